"""`desk exchange`: the simulated exchange alone, for any Alpaca client, until Ctrl-C."""

from datetime import date, time
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tasks.errors import ConfigError

if TYPE_CHECKING:
    from tasks.exchange import ExchangeUrls

DEFAULT_PORT = 8900
PACE_MAX = 10_000.0  # beyond it a paced day is over before a client has connected


def exchange(
    session_date: Annotated[str, typer.Option("--date", help="Session date, yyyy-mm-dd.")],
    bars: Annotated[
        Path | None, typer.Option(help="Replay <SYMBOL>/<yyyy-mm-dd>.parquet files of this folder.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Make a market of this seed (default 1).")] = None,
    symbols: Annotated[str, typer.Option(help="Comma-separated; default: all there are on the date.")] = "",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = DEFAULT_PORT,
    pace: Annotated[
        str, typer.Option(help="lockstep (time moves by POST /sim/advance) or a multiple of real speed.")
    ] = "lockstep",
    start: Annotated[str, typer.Option(help="New York time the venue's clock starts at, hh:mm.")] = "09:25",
    cash: Annotated[str, typer.Option(help="Starting cash, USD.")] = "100000",
    key: Annotated[str | None, typer.Option(help="Accept only this key; default: any.")] = None,
    secret: Annotated[str | None, typer.Option(help="Accept only this secret; default: any.")] = None,
    rate_limit: Annotated[
        int | None, typer.Option(min=1, help="Refuse more requests a minute than this; Alpaca's is 200.")
    ] = None,
    faults: Annotated[
        Path | None, typer.Option(help="Lie by this fault plan (YAML; examples in docs/fault-plans).")
    ] = None,
    faults_seed: Annotated[int | None, typer.Option(help="In place of the plan's own seed.")] = None,
    data_plan: Annotated[
        str, typer.Option(help="Market data as of Alpaca's plan: basic or algo_trader_plus.")
    ] = "algo_trader_plus",
    data_connections: Annotated[
        int, typer.Option(min=1, help="Clients at once on one endpoint of the data stream; Alpaca takes one.")
    ] = 1,
    late_trades: Annotated[
        float, typer.Option(help="Share of the minutes published again 30 s later, 0 to 1.")
    ] = 0.0,
) -> None:
    """Serve Alpaca's protocol on loopback over a replayed or a generated market."""
    from tasks.exchange import ExchangePlan, serve_exchange

    plan = ExchangePlan(
        session_date=_date(session_date),
        bars=bars,
        seed=seed,
        symbols=tuple(dict.fromkeys(name.strip().upper() for name in symbols.split(",") if name.strip())),
        starts_at=_time(start),
        cash=_cash(cash),
        late_trades_frac=late_trades,
    )
    serve_exchange(
        plan,
        port=port,
        pace=_pace(pace),
        key=key,
        secret=secret,
        rate_limit=rate_limit,
        faults=faults,
        faults_seed=faults_seed,
        data_plan=data_plan,
        data_connections=data_connections,
        on_ready=_announce,
    )


def _announce(urls: "ExchangeUrls") -> None:
    """Print where the exchange is; flushed, so a parent process that reads the pipe sees it at once."""
    typer.echo(f"exchange ready: {urls.url}  stream {urls.stream_url}  control {urls.control_url}")


def _date(value: str) -> date:
    """Read --date."""
    try:
        return date.fromisoformat(value)
    except ValueError as error:
        raise ConfigError(f"--date {value}: expected yyyy-mm-dd") from error


def _time(value: str) -> time:
    """Read --start."""
    try:
        found = time.fromisoformat(value)
    except ValueError as error:
        raise ConfigError(f"--start {value}: expected hh:mm, New York time") from error
    if found.tzinfo is not None:
        raise ConfigError(f"--start {value}: expected hh:mm without an offset; it is New York time")
    return found


def _cash(value: str) -> Decimal:
    """Read --cash."""
    try:
        found = Decimal(value)
    except InvalidOperation as error:
        raise ConfigError(f"--cash {value}: expected a number of USD") from error
    if not found.is_finite():
        raise ConfigError(f"--cash {value}: expected a number of USD")
    return found


def _pace(value: str) -> float | None:
    """Read --pace."""
    if value == "lockstep":
        return None
    try:
        found = float(value)
    except ValueError as error:
        raise ConfigError(
            f"--pace {value}: expected lockstep or a number, 60 for a minute a second"
        ) from error
    if not 0 < found <= PACE_MAX:
        raise ConfigError(f"--pace {value}: allowed are lockstep and numbers above 0 up to {PACE_MAX:g}")
    return found

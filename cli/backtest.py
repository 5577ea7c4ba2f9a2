"""`desk backtest`: play a strategy over minute bars with the desk's own session, and see what came of it."""

from datetime import datetime
from decimal import Decimal, InvalidOperation
from json import loads
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cli.outputs import require_writable
from cli.tables import as_json, console, grid, plain
from tasks.configuration import load_settings
from tasks.errors import ConfigError

if TYPE_CHECKING:
    from schemas.research import Costs, Size
    from tasks.backtest import Backtest
    from tasks.backtest_plan import BacktestPlan

Stream = Annotated[
    bool, typer.Option("--stream", help="Read and play a month at a time: years of many symbols.")
]

NOTHING = "-"
KEPT = "SELECT run_id, strategy, params, sharpe, final_equity FROM backtests ORDER BY started_at"


def backtest(
    strategy: Annotated[
        str, typer.Argument(help="A name, path/to/mine.py:MyIdea, or package.module:MyIdea.")
    ],
    bars: Annotated[
        Path | None, typer.Option(help="Parquet file or folder of minute bars. Default: the warehouse.")
    ] = None,
    actions: Annotated[Path | None, typer.Option(help="Splits and dividends of raw bars.")] = None,
    symbols: Annotated[str | None, typer.Option(help="Symbols, with commas. Default: all there are.")] = None,
    start: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="First day.")] = None,
    end: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Last day, included.")] = None,
    param: Annotated[list[str] | None, typer.Option(help="A parameter, name=value; repeatable.")] = None,
    size: Annotated[
        str | None, typer.Option(help="shares:100, notional:1000 or equity:0.1; default equity:0.1.")
    ] = None,
    costs: Annotated[
        str, typer.Option(help="none or alpaca, and changes: alpaca,slippage_bps=1,latency_bars=1.")
    ] = "none",
    no_gate: Annotated[
        bool, typer.Option("--no-gate", help="No gate, loss limits or protections: the bare idea.")
    ] = False,
    as_live: Annotated[
        bool, typer.Option("--as-live", help="desk.yaml's entries, close-out and sizes: what the desk does.")
    ] = False,
    close_out: Annotated[
        bool | None, typer.Option("--close-out/--overnight", help="Close positions before the bell, or hold.")
    ] = None,
    cash: Annotated[str, typer.Option(help="USD at the start.")] = "100000",
    engine: Annotated[str, typer.Option(help="exact, or screen: a compiled kernel.")] = "exact",
    seed: Annotated[int, typer.Option(min=0, help="Names the venue's orders and executions.")] = 0,
    json: Annotated[Path | None, typer.Option(help="Write the run and its numbers as JSON.")] = None,
    fills: Annotated[Path | None, typer.Option(help="Write the executions as CSV.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write the tear sheet, one HTML file.")] = None,
    stream: Stream = False,
    no_keep: Annotated[bool, typer.Option("--no-keep", help="Leave the run out of the warehouse.")] = False,
) -> None:
    """Backtest a strategy on the desk's own session, gate, order machine and ledger."""
    from schemas.research import Engine
    from tasks.backtest_plan import BacktestPlan

    if engine not in list(Engine):
        raise ConfigError(f"--engine {engine}: allowed are {', '.join(Engine)}")
    plan = BacktestPlan(
        strategy=strategy,
        bars=bars,
        actions=actions,
        symbols=tuple(sorted({word.strip().upper() for word in (symbols or "").split(",") if word.strip()})),
        start=None if start is None else start.date(),
        end=None if end is None else end.date(),
        params=tuple(param or ()),
        size=read_size(size),
        costs=read_costs(costs),
        gate=not no_gate,
        as_live=as_live,
        close_out=close_out,
        cash=read_cash(cash),
        engine=Engine(engine),
        seed=seed,
    )
    _run(plan, json=json, fills=fills, report=report, keeps=not no_keep, streams=stream)


def _run(
    plan: "BacktestPlan",
    *,
    json: Path | None,
    fills: Path | None,
    report: Path | None,
    keeps: bool,
    streams: bool,
) -> None:
    from tasks import backtest as work
    from tasks.streaming import run_streamed

    require_writable(report=report, json=json, fills=fills)
    settings = load_settings(warns=False)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("bars", total=None)
        play = run_streamed if streams else work.run_backtest
        done = play(
            plan,
            settings,
            began=lambda count: progress.update(bar, description="sessions", total=count),
            after=lambda hours: progress.advance(bar),
        )
    _show(done)
    if fills is not None:
        work.write_fills(done.fills, fills)
        console().print(f"fills: {fills}")
    if json is not None:
        json.write_text(as_json(_facts(done)), encoding="utf-8")
        console().print(f"numbers: {json}")
    if report is not None:
        work.report(done, report)
        console().print(f"report: {report}")
    if keeps:
        waits = work.keep(done, settings)
        console().print(waits or f'kept as run {done.run.run_id} in {settings.store}: desk sql "{KEPT}"')


def _facts(done: "Backtest") -> dict[str, object]:
    """Give what --json writes: the record with its parameters by name, the numbers, and what is doubtful."""
    run = plain(done.run) | {"params": {name: loads(value) for name, value in done.run.params}}
    return {"run": run, "performance": done.performance, "doubts": done.doubts, "notes": done.notes}


def _show(done: "Backtest") -> None:
    run, out = done.run, console()
    account, trades, costs = done.performance.account, done.performance.trades, done.performance.costs
    span = f"{run.first} to {run.last}, {account.sessions} sessions, {run.bars:,} bars"
    table = grid(f"{run.strategy}: {span}", "", ">value", " ", "> value")
    extremes = f"{usd(trades.best_usd)}, {usd(trades.worst_usd)}"
    rows = (
        ("final equity, USD", usd(account.equity_end), "trades", f"{trades.trades:,}"),
        ("profit, USD", usd(account.profit_usd), "still open", f"{trades.still_open:,}"),
        ("return", percent(account.total_return_frac), "won", percent(trades.win_rate_frac)),
        (
            "annual return",
            percent(account.annual_return_frac),
            "profit factor",
            number(trades.profit_factor),
        ),
        ("volatility", percent(account.volatility_frac), "mean, USD", usd(trades.expectancy_usd)),
        (
            "Sharpe",
            number(account.sharpe),
            "best, worst, USD",
            extremes,
        ),
        ("Sortino", number(account.sortino), "fills", f"{run.fills:,}"),
        ("Calmar", number(account.calmar), "traded, USD", usd(costs.traded_usd)),
        ("max drawdown", percent(account.max_drawdown_frac), "fees, USD", usd(costs.fees_usd)),
        (
            "time in market",
            percent(account.exposed_frac),
            "spread, slippage, USD",
            usd(costs.spread_usd),
        ),
    )
    for row in rows:
        table.add_row(*row)
    out.print(table)
    out.print(_conventions(done))
    for note in (*done.notes, *done.doubts):
        out.print(note)
    out.print(f"{run.seconds:.2f} s, {run.bars / run.seconds:,.0f} bars/s; orders {run.orders_hash[:16]}")


def _conventions(done: "Backtest") -> str:
    run = done.run
    parts = (
        f"engine {run.engine.value}",
        f"size {run.size or 'allocation and slots'}",
        cost_words(run.costs),
        "gate on" if run.gate else "no gate",
        "closed out before the bell" if run.close_out else "held overnight",
    )
    return "; ".join(parts)


def read_size(words: str | None) -> "Size | None":
    """Read --size.

    Raises:
        ConfigError: it is no size.
    """
    from schemas.research import Size

    try:
        found = Size.parse(words)
    except ValueError as error:
        raise ConfigError(f"--{error}") from error
    return found if isinstance(found, Size) else None


def read_costs(words: str) -> "Costs":
    """Read --costs.

    Raises:
        ConfigError: there are none of that name, or a change is wrong.
    """
    from pydantic import ValidationError

    from schemas.research import COSTS_BY_NAME, Costs

    name, *changes = [word.strip() for word in words.split(",")]
    if name not in COSTS_BY_NAME:
        raise ConfigError(f"--costs {words}: begin with {' or '.join(COSTS_BY_NAME)}")
    given = dict(COSTS_BY_NAME[name].model_dump())
    for change in changes:
        key, _, value = change.partition("=")
        if key not in given:
            raise ConfigError(f"--costs {change}: allowed are {', '.join(given)}")
        given[key] = None if value == "none" else value
    try:
        return Costs.model_validate(given)
    except ValidationError as error:
        found = error.errors()[0]
        raise ConfigError(f"--costs {found['loc'][0]}={found['input']}: {found['msg'].lower()}") from None


def cost_words(costs: "Costs") -> str:
    """Give costs as --costs takes them: the nearest name, and what differs from it."""
    from schemas.research import COSTS_BY_NAME, NO_COSTS

    if costs == NO_COSTS:
        return "no costs"
    given = costs.model_dump()
    changes = {
        name: [
            f"{key}={_cost(given[key])}" for key, value in named.model_dump().items() if given[key] != value
        ]
        for name, named in COSTS_BY_NAME.items()
    }
    nearest = min(changes, key=lambda name: len(changes[name]))
    return ", ".join((f"costs {nearest}", *changes[nearest]))


def _cost(value: object) -> str:
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def read_cash(words: str) -> Decimal:
    """Read --cash.

    Raises:
        ConfigError: it is no number, or not more than 0 USD.
    """
    try:
        found = Decimal(words)
    except InvalidOperation:
        found = Decimal("NaN")
    if not found.is_finite():
        raise ConfigError(f"--cash {words}: not a number")
    if found <= 0:
        raise ConfigError(f"--cash {words}: must be more than 0 USD")
    return found


def usd(amount: float | None) -> str:
    """Give USD as people read it."""
    return NOTHING if amount is None else f"{amount:z,.2f}"


def percent(share: float | None) -> str:
    """Give a fraction as per cent."""
    return NOTHING if share is None else f"{share:z.2%}"


def number(value: float | None) -> str:
    """Give a number with two decimals."""
    return NOTHING if value is None else f"{value:z.2f}"

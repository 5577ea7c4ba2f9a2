"""Open a simulated exchange and serve it: what `desk exchange` runs.

A market is replayed from Parquet files or made of a seed; both are told apart here, and only here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal
from pathlib import Path

from desk.errors import ConfigError
from desk.exchange.data_plan import DataOptions, Plan
from desk.exchange.files import ReplayMarket
from desk.exchange.floor import Floor
from desk.exchange.generated import DEFAULT_SYMBOLS, GeneratedMarket
from desk.exchange.market import Market
from desk.exchange.revisions import LateTrades
from desk.exchange.server import ExchangeUrls as ExchangeUrls
from desk.exchange.server import ServerOptions, serve
from desk.hours import FIRST_DAY, LAST_DAY, from_new_york, session_hours
from tasks.fault_plans import read_plan, require_known

DEFAULT_SEED = 1
STARTS_AT = time(9, 25)  # New York: five minutes before the bell, so start-up has happened when it rings


@dataclass(frozen=True, slots=True)
class ExchangePlan:
    """What to open: exactly one of `bars` and `seed`, or neither for the default seed."""

    session_date: date
    bars: Path | None = None
    seed: int | None = None
    symbols: tuple[str, ...] = ()  # none: every symbol of the files with the date, or the generator's own
    starts_at: time = STARTS_AT
    cash: Decimal = Decimal(100_000)
    late_trades_frac: float = 0.0  # share of the minutes that are published twice, their last trades late


def require_session(day: date) -> None:
    """Refuse a date on which nothing is traded.

    Raises:
        ConfigError: outside the calendar, a weekend or a holiday.
    """
    if not FIRST_DAY < day < LAST_DAY:
        raise ConfigError(f"--date {day}: outside the calendar, {FIRST_DAY} to {LAST_DAY}")
    if session_hours(day) is None:
        raise ConfigError(f"--date {day}: no trading day of the New York Stock Exchange")


def open_floor(plan: ExchangePlan) -> Floor:
    """Open the exchange's floor.

    Raises:
        ConfigError: the plan contradicts itself or its date is outside the calendar.
        NoBars: the date has no session, or a symbol no bars of it.
        BadBatch: a file lacks a column or cannot be read.
    """
    if plan.bars is not None and plan.seed is not None:
        raise ConfigError("--bars replays files and --seed makes a market: give one of them")
    require_session(plan.session_date)
    if plan.bars is not None and not plan.bars.is_dir():
        raise ConfigError(
            f"--bars {plan.bars}: no such directory; expected <SYMBOL>/<yyyy-mm-dd>.parquet in it"
        )
    if plan.cash <= 0:
        raise ConfigError(f"--cash {plan.cash}: must be more than 0 USD")
    if not 0.0 <= plan.late_trades_frac <= 1.0:
        raise ConfigError(f"--late-trades {plan.late_trades_frac:g}: a share of the minutes, 0 to 1")
    seed = plan.seed if plan.seed is not None else DEFAULT_SEED
    market = _market(plan, seed)
    if plan.late_trades_frac > 0.0:
        market = LateTrades(market, seed=seed, share_frac=plan.late_trades_frac)
    return Floor(
        market,
        session_date=plan.session_date,
        starts_at=from_new_york(plan.session_date, plan.starts_at),
        starting_cash=plan.cash,
        seed=seed,
    )


def serve_exchange(
    plan: ExchangePlan,
    *,
    port: int,
    pace: float | None,
    key: str | None,
    secret: str | None,
    rate_limit: int | None = None,
    faults: Path | None = None,
    faults_seed: int | None = None,
    data_plan: str = Plan.PLUS.value,
    data_connections: int = 1,
    on_ready: Callable[[ExchangeUrls], None],
) -> None:
    """Serve an exchange on loopback until told to stop.

    Args:
        plan: what to open.
        port: 0 takes a free one.
        pace: times real speed, or None for lock step.
        key: the only key accepted, with `secret`; None accepts any.
        secret: see `key`.
        rate_limit: requests a minute of the venue's time before 429, or None for any number.
        faults: the file of a fault plan; none: no faults until POST /sim/faults.
        faults_seed: decides in place of the plan's own.
        data_plan: Alpaca's plan of market data, basic or algo_trader_plus.
        data_connections: how many may listen at a time to one endpoint of the data stream.
        on_ready: called with the addresses once requests are answered.

    Raises:
        ConfigError: a plan is wrong, one of key and secret is missing, or the port is taken.
        DataError: bars are missing or unusable.
    """
    if (key is None) != (secret is None):
        raise ConfigError("--key and --secret go together: give both, or neither to accept any")
    if faults is None and faults_seed is not None:
        raise ConfigError("--faults-seed decides what a plan leaves to chance: give --faults too")
    if data_plan not in list(Plan):
        raise ConfigError(f"--data-plan {data_plan}: allowed are {', '.join(Plan)}")
    lies = None if faults is None else read_plan(faults)
    floor = open_floor(plan)
    if lies is not None:
        require_known(lies, floor.market.symbols, source=str(faults))
    options = ServerOptions(
        port=port,
        pace=pace,
        key=key,
        secret=secret,
        rate_limit=rate_limit,
        faults=lies,
        faults_seed=faults_seed,
        data=DataOptions(plan=Plan(data_plan), connections=data_connections),
    )
    serve(floor, options, on_ready=on_ready)


def _market(plan: ExchangePlan, seed: int) -> Market:
    """Give the market of a plan."""
    if plan.bars is None:
        return GeneratedMarket(seed, plan.symbols or DEFAULT_SYMBOLS)
    return ReplayMarket(plan.bars, symbols=plan.symbols or None, session_date=plan.session_date)

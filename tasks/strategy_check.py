"""Put a strategy through `desk.research.honesty`, on generated bars or a user's: what `desk check` runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from desk.errors import ConfigError
from desk.exchange.generated import DEFAULT_SYMBOLS, GeneratedMarket
from desk.exchange.market import listed
from desk.hours import sessions_between
from desk.research.findings import Finding, Verdict
from desk.research.honesty import CUTS_DEFAULT, examine, needs
from strategies.base import Strategy, StrategyError
from tasks.bar_files import read_bars
from tasks.strategy_source import make_strategy, read_params

# The week of Thanksgiving 2025 and the Monday after: five sessions, one of which closes at 13:00.
GENERATED_FIRST, GENERATED_END = date(2025, 11, 24), date(2025, 12, 2)
GENERATED_SEED = 7
# A check asks hundreds of times, so it is given some days of some symbols and not all there are.
SYMBOLS_MAX = 3
SESSIONS_MAX = 5


@dataclass(frozen=True)
class CheckPlan:
    """Who is checked, and on what."""

    strategy: str  # a name, path/to/mine.py:Class or package.module:Class
    bars: Path | None = None  # none: a generated market
    symbols: tuple[str, ...] = ()
    params: tuple[str, ...] = ()  # name=value
    cuts: int = CUTS_DEFAULT


@dataclass(frozen=True)
class Report:
    """What was found, of whom, on what."""

    strategy: str
    name: str
    params: Mapping[str, object]
    symbols: tuple[str, ...]
    bars: int
    source: str
    first: date
    last: date
    warm_up: int
    session_anchored: bool
    needs: str
    findings: tuple[Finding, ...]

    @property
    def failed(self) -> tuple[Finding, ...]:
        """Give the checks that failed."""
        return tuple(each for each in self.findings if each.verdict is Verdict.FAILS)


def check_strategy(plan: CheckPlan) -> Report:
    """Examine a strategy.

    Raises:
        ConfigError: it cannot be found or made, or a parameter, a symbol or the bars' path is wrong.
        DataError: the bars cannot be used.
    """
    if plan.bars is None:
        bars, source = _generated(plan.symbols)
    else:
        bars, source = _from_files(plan.bars, plan.symbols)
    symbols = tuple(bars["symbol"].unique().sort().to_list())
    strategy = _made(plan, symbols)
    return Report(
        strategy=plan.strategy,
        name=strategy.name,
        params=strategy.checked.model_dump(mode="json"),
        symbols=symbols,
        bars=bars.height,
        source=source,
        first=bars["ts"].dt.date().min(),  # type: ignore[arg-type]  # bars have rows, and each a date
        last=bars["ts"].dt.date().max(),  # type: ignore[arg-type]
        warm_up=strategy.warm_up,
        session_anchored=strategy.session_anchored,
        needs=needs(strategy, bars),
        findings=examine(strategy, bars, cuts=plan.cuts),
    )


def _made(plan: CheckPlan, symbols: Sequence[str]) -> Strategy:
    try:
        return make_strategy(plan.strategy, symbols, read_params(plan.params))
    except StrategyError as error:
        raise ConfigError(str(error)) from error


def _generated(symbols: tuple[str, ...]) -> tuple[pl.DataFrame, str]:
    market = GeneratedMarket(GENERATED_SEED, symbols or DEFAULT_SYMBOLS[:SYMBOLS_MAX])
    days = sessions_between(GENERATED_FIRST, GENERATED_END)
    bars = pl.concat(market.frame(each.session_date) for each in days)
    return bars.sort("symbol", "ts"), f"a generated market, seed {GENERATED_SEED}"


def _from_files(path: Path, symbols: tuple[str, ...]) -> tuple[pl.DataFrame, str]:
    """Give the newest sessions of the symbols, or of the first ones by name, and say what was left out."""
    read = read_bars(path, symbols=symbols, newest=SESSIONS_MAX)
    there = read.frame["symbol"].unique().sort().to_list()
    chosen = list(symbols) or there[:SYMBOLS_MAX]
    mine = read.frame.filter(pl.col("symbol").is_in(chosen))
    days = mine["ts"].dt.date().unique().sort().tail(SESSIONS_MAX)
    told = [f"{path}, at most its newest {SESSIONS_MAX} sessions"]
    if len(chosen) < len(there):
        told.append(f"{len(chosen)} of {len(there)} symbols, --symbols chooses: {listed(chosen)}")
    if read.impossible:
        told.append(f"{read.impossible:,} rows that cannot be bars left out")
    if read.outside:
        told.append(f"{read.outside:,} outside regular sessions left out")
    return mine.filter(pl.col("ts").dt.date().is_in(days.implode())), "; ".join(told)

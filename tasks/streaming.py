"""Run a backtest over more bars than memory holds: month after month is read, played, valued and let go.

One desk at one venue goes on from month to month (`desk.research.engine.Playback`), with the newest bars of
each symbol, which warm the strategy up, carried along; so the executions are those of one piece. A strategy
that remembers more than its `warm_up` says would differ; `desk check` finds it (window tolerance).

With `as_live` the first month is shown with the sessions before it, as in one piece; they are not played.

What stays is what came of it: executions, trades, the account's minutes, and the bars that filled, which
spread and slippage are measured on. The fingerprint of the bars is one of the months' fingerprints.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from time import perf_counter

import polars as pl

from desk.adapters.system_clock import SystemClock
from desk.errors import ConfigError, NoBars
from desk.research.curve import Book, extend_curve
from desk.research.engine import Plan, Playback, Played, Stretch
from desk.research.folds import MINUTES_A_SESSION
from desk.research.performance import measure
from desk.research.reel import Reel
from desk.research.shares import InShares, Jump, overnight_jumps
from desk.research.trades import NO_TRIPS, OpenTrips, extend_trips
from desk.warm_up import warm_up_sessions
from schemas.bars import RAW_SCHEMA
from schemas.research import EQUITY_SCHEMA, FILL_SCHEMA, FLOW_SCHEMA, TRADE_SCHEMA, Engine
from schemas.settings import Settings
from strategies.base import Strategy
from tasks.backtest import ANY_SYMBOL, Backtest, Progress, Seen, data_hash, day_of, record, strategy_of
from tasks.backtest_bars import shown_as_live, words_of_jumps
from tasks.backtest_plan import BacktestPlan, said_by, settings_of
from tasks.backtest_remarks import remarks
from tasks.bar_files import BarMonths, ReadBars, left_out
from tasks.unheard import unheard

REMEDY = "play them without --stream and give --actions"


def run_streamed(
    plan: BacktestPlan, settings: Settings, *, began: Callable[[int], None], after: Progress
) -> Backtest:
    """Run a backtest month after month; `bars` of what it gives are those that filled.

    Args:
        plan: what was asked for.
        settings: desk.yaml's.
        began: told about how many sessions there are.
        after: told of every session that is over.

    Raises:
        ConfigError: a path, a parameter or a combination is wrong.
        NoBars: there is nothing to play.
        BadBatch: a file is not of bars.
    """
    started_at, clock = SystemClock().now(), perf_counter()
    months = _months(plan)
    began(months.sessions)
    strategy = strategy_of(plan, months.symbols)
    chosen = settings_of(plan, settings, strategy)
    takings = _Takings(Book(cash=float(plan.cash)))
    played = _played(plan, chosen, strategy, months, takings, after=after)
    seen = Seen(takings.bars, takings.first, takings.last, takings.data.hexdigest())
    run = record(plan, chosen, strategy, seen, played, started_at=started_at, began_s=clock)
    curve, trades, filled = pl.concat(takings.curve), takings.closed_and_open(), pl.concat(takings.filled)
    performance = measure(
        cash=plan.cash, curve=curve, trades=trades, fills=played.fills, bars=filled, flows=played.flows
    )
    notes = (
        f"played in {takings.months} months, each warmed up with the {_carried_of(strategy)} bars before it",
        *left_out(impossible=takings.impossible + months.undated, outside=takings.outside),
        *takings.warmed,
        "bars are taken as adjusted for splits and dividends",
    )
    jumps = sorted(takings.jumps, key=lambda each: (each.symbol, each.day))
    return Backtest(
        run=run,
        bars=filled,
        fills=played.fills,
        flows=played.flows,
        trades=trades,
        curve=curve,
        performance=performance,
        notes=notes,
        doubts=remarks(played, gate=plan.gate) + words_of_jumps(jumps, remedy=REMEDY),
        shown=InShares(played.fills, played.fills, filled),
    )


def _months(plan: BacktestPlan) -> BarMonths:
    if plan.bars is None:
        raise ConfigError("--stream reads Parquet files: give --bars")
    if plan.engine is Engine.SCREEN:
        raise ConfigError("--stream is of the exact engine; the screen takes all bars at once")
    if plan.actions is not None:
        raise ConfigError("--stream takes bars that are adjusted: it has no --actions")
    if plan.start is not None and plan.end is not None and plan.end < plan.start:
        raise ConfigError(f"--start {plan.start} is after --end {plan.end}")
    strategy_of(plan, (ANY_SYMBOL,))
    return BarMonths(plan.bars, symbols=plan.symbols, start=plan.start, end=plan.end)


@unheard()
def _played(
    plan: BacktestPlan,
    settings: Settings,
    strategy: Strategy,
    months: BarMonths,
    takings: "_Takings",
    *,
    after: Progress,
) -> Played:
    playback: Playback | None = None
    carried = pl.DataFrame(schema=RAW_SCHEMA)
    played = pl.lit(value=True)  # which of the bars shown are of the days asked for
    for month in months:
        takings.leave_out(month)
        bars = month.frame
        if bars.is_empty():
            continue
        if playback is None and plan.as_live:
            carried, takings.warmed = _before(strategy, months, bars)
            played = pl.col("ts") >= bars["ts"].min()
        shown = pl.concat([carried, bars]).sort("symbol", "ts")
        known, spoken = shown, said_by(strategy, shown)
        if plan.as_live:
            known, spoken = shown.filter(played), spoken.filter(played)
        said = {strategy.name: spoken}
        reel = Reel(known, since=day_of(bars["ts"].min()))
        if playback is None:
            playback = Playback(_plan(plan, settings, strategy, reel, said))
        takings.add(playback.run(reel, said, after=after), bars, known=known, shown=shown)
        carried = shown.group_by("symbol", maintain_order=True).tail(_carried_of(strategy))
    if playback is None:
        raise NoBars(f"{plan.bars}: no bars of regular sessions")
    return playback.played(takings.stretch())


def _before(
    strategy: Strategy, months: BarMonths, bars: pl.DataFrame
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Give the bars before the first month that warm a strategy up as live, and what to say of them."""
    first = bars["ts"].min()
    assert isinstance(first, datetime), "there is a bar"
    earlier = warm_up_sessions(strategy.warm_up, first.date())
    every = months.between(earlier[0].opens_at, first) if earlier else bars.clear()
    shown, words = shown_as_live(strategy, bars.filter(pl.col("ts") == first), every)
    return shown.filter(pl.col("ts") < first), words


def _plan(
    plan: BacktestPlan, settings: Settings, strategy: Strategy, reel: Reel, said: dict[str, pl.DataFrame]
) -> Plan:
    return Plan(
        settings=settings,
        reel=reel,
        said=said,
        strategies=(strategy,),
        cash=plan.cash,
        costs=plan.costs,
        gate=plan.gate,
        skips=plan.skips,
        seed=plan.seed,
    )


def _carried_of(strategy: Strategy) -> int:
    """Give how many bars of a symbol go along: the warm-up, and a session for what is anchored in one."""
    return strategy.warm_up + MINUTES_A_SESSION


@dataclass
class _Takings:
    """What came of the months so far."""

    book: Book
    trips: OpenTrips = NO_TRIPS
    fills: list[pl.DataFrame] = field(default_factory=lambda: [pl.DataFrame(schema=FILL_SCHEMA)])
    flows: list[pl.DataFrame] = field(default_factory=lambda: [pl.DataFrame(schema=FLOW_SCHEMA)])
    curve: list[pl.DataFrame] = field(default_factory=lambda: [pl.DataFrame(schema=EQUITY_SCHEMA)])
    closed: list[pl.DataFrame] = field(default_factory=lambda: [pl.DataFrame(schema=TRADE_SCHEMA)])
    filled: list[pl.DataFrame] = field(default_factory=lambda: [pl.DataFrame(schema=RAW_SCHEMA)])
    jumps: list[Jump] = field(default_factory=list)
    warmed: tuple[str, ...] = ()  # what is to be said of the bars before the first
    impossible: int = 0  # rows left out, as those outside
    outside: int = 0
    data: "hashlib.blake2b" = field(default_factory=lambda: hashlib.blake2b(digest_size=16))
    months: int = 0
    bars: int = 0
    first: date = date.max
    last: date = date.min
    _open: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=TRADE_SCHEMA))

    def leave_out(self, month: ReadBars) -> None:
        """Count the rows of a month that could not be used."""
        self.impossible += month.impossible
        self.outside += month.outside

    def add(self, stretch: Stretch, bars: pl.DataFrame, *, known: pl.DataFrame, shown: pl.DataFrame) -> None:
        """Value one month.

        Args:
            stretch: what came of it.
            bars: those of the month.
            known: they and the newest played before them.
            shown: what the strategy was shown.
        """
        curve, self.book = extend_curve(self.book, stretch.fills, bars, flows=stretch.flows)
        trades, self.trips = extend_trips(self.trips, stretch.fills, bars)
        self.fills.append(stretch.fills)
        self.flows.append(stretch.flows)
        self.curve.append(curve)
        self.closed.append(trades.filter(pl.col("left_at").is_not_null()))
        self._open = trades.filter(pl.col("left_at").is_null())
        self.filled.append(
            bars.join(stretch.fills.select("symbol", "ts").unique(), on=["symbol", "ts"], how="semi")
        )
        first = day_of(bars["ts"].min())
        self.jumps.extend(each for each in overnight_jumps(known) if each.day >= first)
        self.data.update(data_hash(bars if self.months else shown).encode())
        self.months += 1
        self.bars += bars.height
        self.first = min(self.first, first)
        self.last = max(self.last, day_of(bars["ts"].max()))

    def stretch(self) -> Stretch:
        """Give the executions and flows of all months."""
        return Stretch(fills=pl.concat(self.fills), flows=pl.concat(self.flows))

    def closed_and_open(self) -> pl.DataFrame:
        """Give all trades as `desk.research.trades.round_trips` does."""
        trades = pl.concat([*self.closed, self._open])
        return trades.sort("entered_at", "strategy", "symbol", maintain_order=True)

"""Which bars a backtest plays, and which its strategy is shown before them."""

from collections.abc import Sequence
from datetime import datetime, time, timedelta

import polars as pl

from data.bars_between import read_bars_between
from desk.errors import ConfigError, NoBars
from desk.hours import LAST_DAY, from_new_york
from desk.research.kernel import MILLION
from desk.research.shares import Jump, overnight_jumps
from desk.research.slate import ROUNDING_NOISE
from desk.warm_up import warm_up_sessions
from schemas.actions import Actions
from schemas.settings import Settings
from strategies.base import Strategy
from tasks.backtest_plan import BacktestPlan
from tasks.bar_files import left_out, read_bars, regular
from tasks.store import warehouse_path

PRICES = ("open", "high", "low", "close")
ONE_DAY = timedelta(days=1)
JUMPS_NAMED = 3  # the rest is counted


def bars_there(plan: BacktestPlan, settings: Settings) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Give every bar of the plan's symbols, sorted by (symbol, ts), and what is to be said of them.

    Raises:
        ConfigError: there is no such path, or the days are the wrong way round.
        NoBars: there is none.
        BadBatch: a file is not of bars.
    """
    if plan.start is not None and plan.end is not None and plan.end < plan.start:
        raise ConfigError(f"--start {plan.start} is after --end {plan.end}")
    if plan.bars is None:
        return regular(read_bars_between(warehouse_path(settings), symbols=plan.symbols)), ()
    read = read_bars(plan.bars, symbols=plan.symbols)
    return read.frame, left_out(impossible=read.impossible, outside=read.outside)


def asked_for(plan: BacktestPlan, every: pl.DataFrame) -> pl.DataFrame:
    """Give the bars of the plan's days.

    Raises:
        NoBars: there is none.
    """
    frame, midnight = every, time()
    if plan.start is not None:
        frame = frame.filter(pl.col("ts") >= from_new_york(plan.start, midnight))
    if plan.end is not None and plan.end < LAST_DAY:  # no bar is of a later session
        frame = frame.filter(pl.col("ts") < from_new_york(plan.end + ONE_DAY, midnight))
    if frame.height == 0:
        source = "the warehouse" if plan.bars is None else plan.bars
        raise NoBars(f"{source}: no bars from {plan.start or 'the first'} to {plan.end or 'the last'}")
    return frame


def shown_as_live(
    strategy: Strategy, bars: pl.DataFrame, every: pl.DataFrame
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Give what a live strategy would be shown: with the bars of the sessions before that warm it up.

    Args:
        strategy: which.
        bars: those to play, at least one.
        every: all there are, sorted by (symbol, ts).

    Returns:
        The bars, sorted by (symbol, ts), and what is to be said of them.
    """
    first_ts = bars["ts"].min()
    assert isinstance(first_ts, datetime), "there is a bar"
    if strategy.warm_up == 0:
        return bars, ()
    first = first_ts.date()
    earlier = warm_up_sessions(strategy.warm_up, first)
    before = every.clear()
    if earlier:
        before = every.filter(
            (pl.col("ts") >= earlier[0].opens_at)
            & (pl.col("ts") < first_ts)
            & pl.col("symbol").is_in(list(strategy.symbols))
        )
    if before.is_empty():
        return bars, (f"no bars before {first} to warm up with, as a live desk would",)
    preposition = "of" if len(earlier) == 1 else "since"
    note = f"warmed up with {before.height:,} bars {preposition} {earlier[0].session_date}"
    return pl.concat([before, bars]).sort("symbol", "ts"), (note,)


def for_screen(bars: pl.DataFrame) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Give bars with prices of whole millionths of a USD, as the screen needs them, and what was done."""
    finer = {name: _is_finer(name) for name in PRICES}
    count = bars.select(pl.any_horizontal(*finer.values()).sum()).item()
    if count == 0:
        return bars, ()
    rounded = (
        pl.when(is_finer).then(pl.col(name).round(6)).otherwise(name).alias(name)
        for name, is_finer in finer.items()
    )
    note = f"prices of {count:,} bars are finer than a millionth of a USD, and were rounded for the screen"
    return bars.with_columns(*rounded), (note,)


def _is_finer(name: str) -> pl.Expr:
    """Tell whether a price is no whole number of millionths."""
    millionths = pl.col(name) * MILLION
    return (millionths - millionths.round()).abs() >= ROUNDING_NOISE


def action_notes(plan: BacktestPlan, actions: Actions) -> tuple[str, ...]:
    """Say by which splits and dividends the bars were played."""
    if plan.actions is None:
        return ("bars are taken as adjusted for splits and dividends; for raw ones give --actions",)
    return (f"{len(actions.splits)} splits and {len(actions.dividends)} dividends of {plan.actions}",)


def remedy_of(plan: BacktestPlan) -> str:
    """Say what to do about raw bars that jump by a split nobody told of."""
    return "give --actions" if plan.actions is None else f"add the split to {plan.actions}"


def jump_words(bars: pl.DataFrame, *, remedy: str) -> tuple[str, ...]:
    """Say which nights look like splits that nobody told of, and what to do; bars sorted by (symbol, ts)."""
    return words_of_jumps(overnight_jumps(bars), remedy=remedy)


def words_of_jumps(jumps: Sequence[Jump], *, remedy: str) -> tuple[str, ...]:
    """Say which nights look like splits, and what to do."""
    if not jumps:
        return ()
    named = "; ".join(
        f"{each.symbol} from {each.close:g} to {each.open:g} before {each.day} (near {each.ratio:.3g} to 1)"
        for each in jumps[:JUMPS_NAMED]
    )
    more = f", and {len(jumps) - JUMPS_NAMED} more" if len(jumps) > JUMPS_NAMED else ""
    return (f"Prices jumped over night as by a split: {named}{more}. If they are raw, {remedy}.",)

"""The generated cases have in them what they are for."""

from collections import Counter
from datetime import timedelta

import polars as pl

from desk.hours import session_hours
from tests.desk.research.cases import Case, case

SEEDS = range(120)
JUMP_MAX = 0.1  # what desk/inspector.py believes of one minute


def traits(made: Case) -> set[str]:
    """Name what a case has."""
    bars, levels, options = made.bars, made.levels, made.options
    days = bars.group_by("symbol", pl.col("ts").dt.date().alias("day")).len()
    firsts = bars.group_by("symbol").agg(pl.col("ts").min().dt.date().alias("day"))
    signs = levels.with_columns(pl.col("target").shift(1).over("symbol").alias("before"))
    found = {
        "one-bar day": (days["len"] == 1).any(),
        "early close": any(hours.early_close for hours in made.sessions),
        "late start": firsts["day"].n_unique() > 1,
        "under a dollar": (bars["close"] < 1).any(),
        "tie": (bars["close"] == bars["close"].shift(1)).any(),
        "reversal": signs.select((pl.col("target") * pl.col("before") < 0).any()).item(),
        "silence": levels.height < bars.height,
        "part of a level": levels.select(((pl.col("target").abs() % 1) > 0).any()).item(),
        "stop": options.stop_frac is not None,
        "target": options.target_frac is not None,
        "close-out": options.close_out,
        "overnight": not options.close_out,
        "spread": options.costs.spread_bps is not None,
        "slippage": options.costs.slippage_bps > 0,
        "fees": options.costs.regulatory_fees,
        "commission": options.costs.commission_per_share > 0,
        "no costs": options.costs == type(options.costs)(),
        options.size.kind.value: True,
        "several symbols": bars["symbol"].n_unique() > 1,
    }
    return {name for name, is_there in found.items() if is_there}


def test_every_trait_is_there_more_than_once() -> None:
    """No trait is left to luck: each is in at least three of the first cases."""
    count = Counter(trait for seed in SEEDS for trait in traits(case(seed)))

    assert len(count) == 21
    assert min(count.values()) >= 3


def test_a_case_is_a_function_of_its_seed() -> None:
    """The same seed gives the same bars, levels and options."""
    once, again = case(7), case(7)

    assert once.bars.equals(again.bars)
    assert once.levels.equals(again.levels)
    assert once.options == again.options


def test_bars_are_what_the_desk_accepts() -> None:
    """Low <= open, close <= high, inside the session, no jump that the inspector refuses."""
    for seed in SEEDS:
        bars = case(seed).bars
        close = pl.col("close")
        ordered = bars.select(
            (pl.col("low") > 0)
            & (pl.min_horizontal("open", "close") >= pl.col("low"))
            & (pl.max_horizontal("open", "close") <= pl.col("high"))
        ).to_series()
        moves = bars.select((close / close.shift(1).over("symbol") - 1).abs()).to_series()

        assert ordered.all()
        assert (moves.drop_nulls() < JUMP_MAX).all()
        for ts in bars["ts"]:
            hours = session_hours(ts.date())
            assert hours is not None
            assert hours.opens_at <= ts <= hours.closes_at - timedelta(minutes=1)


def test_most_cases_trade() -> None:
    """An agreement about nothing proves nothing: nine in ten cases have fills, half have ten or more."""
    counts = [len(case(seed).play().fills) for seed in SEEDS]

    assert sum(count > 0 for count in counts) > 0.9 * len(counts)
    assert sum(count >= 10 for count in counts) > 0.5 * len(counts)

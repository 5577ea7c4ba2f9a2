"""Ties: cent prices make equal averages and bands common, and the last bit of a float decides nothing."""

import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from schemas.bars import RAW_SCHEMA
from strategies import registry
from strategies.base import StrategyError
from strategies.indicators import TIE, above

OPENS = datetime(2025, 11, 20, 14, 30, tzinfo=UTC)


def bars(closes: Iterable[float], *, symbol: str = "AAA", spread: float = 0.0) -> pl.DataFrame:
    """Make one bar a minute; high and low are `spread` away from the close."""
    rows = [
        (symbol, OPENS + timedelta(minutes=n), close, close + spread, close - spread, close, 100, None, None)
        for n, close in enumerate(closes)
    ]
    return pl.DataFrame(rows, schema=RAW_SCHEMA, orient="row")


def targets(name: str, params: dict[str, object], frame: pl.DataFrame) -> dict[int, float]:
    """Give the levels by number of minutes after the open."""
    said = registry.create(name, ["AAA"], params).signals(frame)
    return {
        int((ts - OPENS).total_seconds() // 60): target
        for ts, target in said.select("ts", "target").iter_rows()
    }


def cents(count: int, *, seed: int) -> list[float]:
    """Give a walk in whole cents that stays near 20 dollars, with long repetitions."""
    chance = random.Random(seed)
    level, found = 2000, []
    while len(found) < count:
        pattern = [level + chance.choice((-1, 0, 1)) for _ in range(chance.choice((1, 2, 4)))]
        found += pattern * chance.randint(2, 12)
        level += chance.choice((-3, -1, 0, 1, 3))
    return [each / 100 for each in found[:count]]


def test_a_tie_is_inside_a_millionth_of_a_dollar() -> None:
    """What is above by less than the tie is not above; for numbers and for columns alike."""
    assert not above(10.0 + TIE / 2, 10.0)
    assert above(10.0 + TIE * 2, 10.0)
    frame = pl.DataFrame({"left": [10.0, 10.0 + TIE / 2, 10.0 + TIE * 2]})
    assert frame.select(above(pl.col("left"), pl.lit(10.0)))["left"].to_list() == [False, False, True]


def test_sma_with_equal_averages_has_no_opinion() -> None:
    """SMA(2) and SMA(4) of 10.01, 10.03, 10.01, 10.03 are both 10.02, whatever their last bits are."""
    for low in range(100, 3000, 7):
        pair = (low / 100, (low + 2) / 100)

        assert targets("sma_crossover", {"fast": 2, "slow": 4}, bars(pair * 10)) == {}


def test_sma_crosses_by_one_cent() -> None:
    """One cent more in the shorter average is an opinion: the tie hides nothing that a price can say."""
    said = targets("sma_crossover", {"fast": 2, "slow": 4}, bars([10.0] * 6 + [10.01] + [10.0] * 6))

    assert said == {6: 1.0, 7: 1.0, 8: 0.0, 9: 0.0}


def test_a_plain_crossover_has_no_band() -> None:
    """By default the averages are compared with each other and nothing else."""
    assert registry.params_of("sma_crossover").model_fields["band_bps"].default == 0.0


def test_vwap_has_no_opinion_at_the_average() -> None:
    """A close on the session's average is neither back at it nor away from it."""
    said = targets(
        "vwap_mean_reversion", {"settle_bars": 3, "rsi_length": 2}, bars([20.0, 20.02] * 9 + [20.01])
    )

    assert 18 not in said


def test_opening_range_needs_more_than_a_touch() -> None:
    """A close on the range's high breaks nothing, and one on its middle leaves nothing."""
    params: dict[str, object] = {"range_minutes": 2}
    inside = [10.1, 10.3]  # their middle is 10.2, and (10.3 + 10.1) / 2 is not the float 10.2
    touch, cross = 10.3, 10.31

    assert targets("opening_range", params, bars([*inside, touch])) == {}
    assert targets("opening_range", params, bars([*inside, cross, 10.2, 10.19])) == {2: 1.0, 3: 1.0, 4: 0.0}


def test_bollinger_without_movement_has_no_opinion() -> None:
    """Closes that do not move have a band of no width: touching it says nothing, however it is rounded."""
    moved = [500.0 + cents / 100 for cents in (0, 50, -50, 25, -75, 10)]

    said = targets("bollinger", {"length": 5, "k": 1.0}, bars([*moved, *[500.37] * 40]))

    assert [minute for minute in said if minute >= len(moved) + 4] == []


def test_bollinger_on_its_band_has_no_opinion() -> None:
    """Closes that swing by a cent around 10.01 end one deviation below it: at k = 1 a tie."""
    frame = bars([10.02, 10.0, 10.02, 10.0])

    assert targets("bollinger", {"length": 4, "k": 1.0}, frame) == {}
    assert targets("bollinger", {"length": 4, "k": 0.99}, frame) == {3: 1.0}


def test_a_band_nobody_can_leave_is_refused() -> None:
    """One close of four is at most sqrt(3) deviations from their average."""
    with pytest.raises(StrategyError, match=r"k = 1\.8: must be under the square root of length - 1 = 3"):
        registry.create("bollinger", ["AAA"], {"length": 4, "k": 1.8})


def test_rsi_on_its_bound_has_no_opinion() -> None:
    """Changes of -7, +3 give RSI(2) = 30: not under 30, and under 30.001."""
    frame = bars([10.0, 9.93, 9.96])

    assert targets("rsi", {"length": 2, "oversold": 30.0}, frame) == {}
    assert targets("rsi", {"length": 2, "oversold": 30.001}, frame) == {2: 1.0}


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("sma_crossover", {"fast": 2, "slow": 4}),
        ("sma_crossover", {"fast": 4, "slow": 16, "allow_short": True}),
        ("bollinger", {"length": 8, "k": 1.0, "allow_short": True}),
        ("rsi", {"length": 4, "allow_short": True}),
        ("vwap_mean_reversion", {"settle_bars": 4, "rsi_length": 2, "k": 0.5}),
        ("opening_range", {"range_minutes": 5}),
    ],
)
def test_prefix_window_and_whole_decide_alike_on_cents(
    name: str, params: dict[str, object], seed: int
) -> None:
    """On prices full of exact ties a rolling sum's drift decides nothing, however far back it began."""
    frame = bars(cents(360, seed=seed))
    strategy = registry.create(name, ["AAA"], params)
    whole = targets(name, params, frame)
    for end in range(60, 360, 7):
        prefix = targets(name, params, frame.head(end))
        assert prefix == {minute: target for minute, target in whole.items() if minute < end}
        if strategy.session_anchored:
            continue
        window = targets(name, params, frame.head(end).tail(strategy.warm_up))
        assert window.get(end - 1) == whole.get(end - 1)


def test_the_cents_have_ties() -> None:
    """The walk above meets equal averages often, so that its silence means something."""
    closes = pl.Series(cents(360, seed=0))
    gap = (closes.rolling_mean(2) - closes.rolling_mean(4)).abs()

    assert ((gap > 0.0) & (gap < TIE)).sum() > 0
    assert (gap < TIE).sum() > 100

"""Rule 39, for every strategy: causal, windowed, blind to the order of symbols, calm when empty."""

import math
import random

import polars as pl
import pytest

from desk.ports import StrategyRunner
from schemas.bars import RAW_SCHEMA
from schemas.signals import SIGNAL_SCHEMA, SignalContract
from strategies import registry
from strategies.base import Strategy
from tests.strategies.bars import walk

SYMBOLS = ("AAA", "BBB", "CCC")
BARS = walk(SYMBOLS, seed=7)
# Besides the defaults, the other side of every switch.
VARIANTS = [(name, {}) for name in registry.names()] + [
    ("vwap_mean_reversion", {"allow_short": True}),
    ("sma_crossover", {"allow_short": True, "fast": 3, "slow": 8}),
    ("opening_range", {"range_minutes": 5, "flat_after_minutes": 60}),
    ("bollinger", {"allow_short": True, "length": 8, "k": 1.5}),
    ("rsi", {"allow_short": True, "length": 5}),
]


def made(name: str, params: dict[str, object]) -> Strategy:
    return registry.create(name, SYMBOLS, params)


def looks_ahead(strategy: StrategyRunner, bars: pl.DataFrame) -> list[object]:
    """Give the instants at which the signals of a prefix differ from the whole run's: empty when causal."""
    whole = strategy.signals(bars)
    differing = []
    for instant in bars["ts"].unique().sort().to_list():
        prefix = strategy.signals(bars.filter(pl.col("ts") <= instant))
        if not prefix.equals(whole.filter(pl.col("ts") <= instant)):
            differing.append(instant)
    return differing


@pytest.mark.parametrize(("name", "params"), VARIANTS)
def test_prefix_equals_full_run(name: str, params: dict[str, object]) -> None:
    """At every minute the signals known then are exactly those of the whole run."""
    assert looks_ahead(made(name, params), BARS) == []


@pytest.mark.parametrize(("name", "params"), VARIANTS)
def test_says_something(name: str, params: dict[str, object]) -> None:
    """Each strategy enters and leaves on the generated days, so the other checks mean something."""
    said = set(made(name, params).signals(BARS)["target"])

    assert 1.0 in said
    assert len(said) > 1


@pytest.mark.parametrize(("name", "params"), VARIANTS)
def test_window_of_warm_up_equals_full_run(name: str, params: dict[str, object]) -> None:
    """The last minute's signal needs only the warm-up, or the session so far where anchored."""
    strategy = made(name, params)
    whole = strategy.signals(BARS)
    chance = random.Random(3)
    instants = chance.sample(BARS["ts"].unique().to_list(), 40)
    for instant in instants:
        seen = BARS.filter(pl.col("ts") <= instant)
        if strategy.session_anchored:
            window = seen.filter(pl.col("ts").dt.date() == instant.date())
        else:
            window = seen.group_by("symbol", maintain_order=True).tail(strategy.warm_up)

        now = strategy.signals(window).filter(pl.col("ts") == instant)

        then = whole.filter(pl.col("ts") == instant)
        assert now.select("symbol", "target").equals(then.select("symbol", "target"))
        for mine, theirs in zip(now["price"], then["price"], strict=True):
            assert math.isclose(mine, theirs, rel_tol=1e-9)


@pytest.mark.parametrize(("name", "params"), VARIANTS)
def test_no_signal_before_the_warm_up(name: str, params: dict[str, object]) -> None:
    """With fewer bars of a symbol than the warm-up there is no opinion."""
    strategy = made(name, params)

    few = BARS.group_by("symbol", maintain_order=True).head(strategy.warm_up - 1)

    assert strategy.signals(few).is_empty()


@pytest.mark.parametrize(("name", "params"), VARIANTS)
def test_permuting_symbols_changes_nothing(name: str, params: dict[str, object]) -> None:
    """Symbols renamed into another order, and rows shuffled, give each symbol the same levels."""
    strategy = made(name, params)
    swap = {"AAA": "CCC", "BBB": "AAA", "CCC": "BBB"}
    renamed = BARS.with_columns(pl.col("symbol").replace(swap)).sample(fraction=1.0, shuffle=True, seed=1)

    back = strategy.signals(renamed).with_columns(
        pl.col("symbol").replace({new: old for old, new in swap.items()})
    )

    assert back.sort("symbol", "ts").equals(strategy.signals(BARS))


@pytest.mark.parametrize(("name", "params"), VARIANTS)
def test_empty_frame_is_fine(name: str, params: dict[str, object]) -> None:
    """No bars give no signals, in the right columns."""
    said = made(name, params).signals(pl.DataFrame(schema=RAW_SCHEMA))

    assert said.is_empty()
    assert dict(said.schema) == SIGNAL_SCHEMA


@pytest.mark.parametrize(("name", "params"), VARIANTS)
def test_signals_keep_their_contract(name: str, params: dict[str, object]) -> None:
    """Signals pass the pandera contract, only for own symbols, sorted."""
    strategy = registry.create(name, ["AAA"], params)

    said = strategy.signals(BARS)

    SignalContract.validate(said)
    assert set(said["symbol"]) == {"AAA"}
    assert said["ts"].is_sorted()


class Clairvoyant(Strategy):
    """Knows the next close; must be caught."""

    name = "clairvoyant"

    def bars_needed(self) -> int:
        return 1

    def levels(self, bars: pl.DataFrame) -> pl.DataFrame:
        rises = (pl.col("close").shift(-1).over("symbol") > pl.col("close")).fill_null(value=False)
        return bars.select(
            "symbol",
            "ts",
            rises.cast(pl.Float64).alias("target"),
            pl.col("close").alias("price"),
            reason=pl.lit(""),
        )


class Normalizing(Strategy):
    """Compares with the whole day's mean, the commonest way to look ahead; must be caught."""

    name = "normalizing"

    def bars_needed(self) -> int:
        return 1

    def levels(self, bars: pl.DataFrame) -> pl.DataFrame:
        cheap = pl.col("close") < pl.col("close").mean().over("symbol")
        return bars.select(
            "symbol",
            "ts",
            cheap.cast(pl.Float64).alias("target"),
            pl.col("close").alias("price"),
            reason=pl.lit(""),
        )


@pytest.mark.parametrize("cheat", [Clairvoyant, Normalizing])
def test_look_ahead_is_caught(cheat: type[Strategy]) -> None:
    """The check finds a strategy that uses later bars."""
    assert looks_ahead(cheat(SYMBOLS), BARS) != []

"""Every strategy that is shipped passes every check of `desk check`, and says something worth checking."""

import pytest

from desk.research.findings import Verdict
from desk.research.honesty import examine
from schemas.contracts import SignalContract
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


@pytest.mark.parametrize(("name", "params"), VARIANTS)
def test_every_check_holds(name: str, params: dict[str, object]) -> None:
    """No look-ahead, no other symbol, no order, no window, no calendar changes what it says of a bar."""
    findings = examine(made(name, params), BARS)

    assert {each.check: each.words for each in findings if each.verdict is not Verdict.HOLDS} == {}


@pytest.mark.parametrize(("name", "params"), VARIANTS)
def test_says_something(name: str, params: dict[str, object]) -> None:
    """Each strategy enters and leaves on the generated days, so the other checks mean something."""
    said = set(made(name, params).signals(BARS)["target"])

    assert 1.0 in said
    assert len(said) > 1


@pytest.mark.parametrize(("name", "params"), VARIANTS)
def test_targets_are_those_of_the_signals(name: str, params: dict[str, object]) -> None:
    """A search, which asks for targets alone, plays what a backtest plays: row for row, bit for bit."""
    strategy = made(name, params)

    alone = strategy.targets(BARS)

    assert alone.equals(strategy.signals(BARS).select("symbol", "ts", "target"))


@pytest.mark.parametrize(("name", "params"), VARIANTS)
def test_signals_keep_their_contract(name: str, params: dict[str, object]) -> None:
    """Signals pass the pandera contract, only for own symbols, sorted."""
    strategy = registry.create(name, ["AAA"], params)

    said = strategy.signals(BARS)

    SignalContract.validate(said)
    assert set(said["symbol"]) == {"AAA"}
    assert said["ts"].is_sorted()

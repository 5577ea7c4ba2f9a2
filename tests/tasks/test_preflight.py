"""The preflight's look at what strategies need before they speak."""

from datetime import date

import pytest

from desk.exchange.generated import GeneratedMarket
from desk.exchange.venue import Venue
from strategies.sma_crossover import SmaCrossover
from tasks.preflight import Level, warm_up_check

DAY = date(2025, 9, 15)
SYMBOLS = ("F", "KO")


class Long(SmaCrossover):
    """Looks back as far as it is told."""

    needed = 0

    def bars_needed(self) -> int:
        """Give what the test wants."""
        return self.needed


@pytest.mark.parametrize(
    ("bars", "level", "words"),
    [
        (390, Level.OK, "390 bars, sessions to load: 1"),
        (391, Level.OK, "391 bars, sessions to load: 2"),
        (9_000, Level.FAIL, "sma_crossover: a strategy needs 9,000 bars before it speaks; the 21 sessions"),
    ],
)
def test_a_strategy_that_looks_back_too_far_is_found_before_the_day(
    bars: int, level: Level, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session would refuse to start with it: the operator hears of it the day before."""
    monkeypatch.setattr(Long, "needed", bars)
    venue = Venue(GeneratedMarket(1, SYMBOLS), session_date=DAY)

    check = warm_up_check([Long(SYMBOLS, {"fast": 5, "slow": 15})], venue)

    assert check.level is level
    assert words in check.found

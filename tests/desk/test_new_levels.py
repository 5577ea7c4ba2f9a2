"""A price that jumped and stays is believed after so many minutes, delivery by delivery, and no sooner."""

from dataclasses import replace

import pytest

from desk.inspection import Inspection
from desk.inspector import inspect
from desk.new_levels import NewLevels, is_settled
from desk.tape import Tape
from schemas.bars import Flaw
from tests.desk.deliveries import TEN, Row, bar, ctx


def judged(rows: list[Row], *, overlap: int = 3) -> list[Inspection]:
    """Have each minute delivered as it comes, with the minutes before it again, as a poll does."""
    tape, levels, found = Tape(), NewLevels(), []
    for count in range(1, len(rows) + 1):
        delivery = rows[max(0, count - 1 - overlap) : count]
        context = replace(ctx(delivery, memory=tape), refused=levels.refused)
        result = inspect(delivery, context)
        tape.add(result.bars, context.now)
        levels.note(result)
        found.append(result)
    return found


def believed(found: list[Inspection]) -> list[bool]:
    """Tell of each minute whether its own bar was accepted and entries are allowed on it."""
    return [
        TEN.minute + n in result.bars["ts"].dt.minute().to_list() and not result.suspects
        for n, result in enumerate(found)
    ]


@pytest.mark.parametrize("overlap", [0, 1])
def test_five_minutes_at_a_new_level_are_believed(overlap: int) -> None:
    """Four are refused and make the symbol suspect, the fifth and what follows is accepted."""
    rows = [bar(minute=minute, price=50.0 if minute < 3 else 60.0 + minute / 10) for minute in range(12)]

    found = believed(judged(rows, overlap=overlap))

    assert found[:7] == [True, True, True, False, False, False, False]
    assert found[-3:] == [True, True, True]
    assert overlap > 0 or found[7:] == [True] * 5


def test_a_print_that_comes_back_starts_the_count_anew() -> None:
    """Four away, one back, four away: none of them is believed."""
    prices = [50.0] * 2 + [60.0] * 4 + [50.0] + [60.0] * 4
    found = judged([bar(minute=n, price=price) for n, price in enumerate(prices)], overlap=0)

    accepted = [not result.bars.is_empty() for result in found]

    assert accepted == [price == 50.0 for price in prices]


def test_a_price_that_wanders_is_not_believed() -> None:
    """Five refused bars that do not agree with each other are five error prints."""
    prices = [50.0] * 2 + [60.0, 90.0, 30.0, 75.0, 20.0, 95.0]

    found = judged([bar(minute=n, price=price) for n, price in enumerate(prices)], overlap=0)

    assert [not result.bars.is_empty() for result in found] == [True] * 2 + [False] * 6


def test_a_wrong_unit_is_never_believed() -> None:
    """Cents for dollars stay refused however long they are delivered."""
    prices = [50.0] * 2 + [5000.0] * 20

    found = judged([bar(minute=n, price=price) for n, price in enumerate(prices)], overlap=0)

    assert all(result.bars.is_empty() for result in found[2:])
    assert {result.rows["reason"][0] for result in found[2:]} == {Flaw.SCALE_MISMATCH.value}


def test_the_newest_refused_closes_decide() -> None:
    """Only as many as are asked for must agree, the oldest of the row do not matter."""
    before = {TEN.replace(minute=n): close for n, close in enumerate([90.0, 60.0, 61.0])}

    assert is_settled(60.5, before, jump=0.1, minutes=3)
    assert not is_settled(60.5, before, jump=0.1, minutes=4)
    assert not is_settled(60.5, before, jump=0.1, minutes=5)

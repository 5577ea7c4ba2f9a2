"""Who is waited for, and for how long: everybody at first, then by the day's habits."""

from datetime import UTC, datetime, timedelta

import pytest

from desk.watermark import LEARN_MIN, WINDOW, Watermark

MINUTE = timedelta(minutes=1)
START = datetime(2025, 11, 26, 15, 0, tzinfo=UTC)
LONGEST = timedelta(seconds=4)
NOW = START + 100 * MINUTE


def after(late_s: dict[int, float | None], count: int = WINDOW) -> Watermark:
    """Give a watermark after minutes in which BBB came so late, or not; AAA always at one second."""
    mark = Watermark(("AAA", "BBB"), longest=LONGEST)
    for number in range(count):
        minute = START + number * MINUTE
        mark.printed("AAA", minute, minute + MINUTE + timedelta(seconds=1))
        late = late_s.get(number % 10, late_s.get(-1))
        if late is not None:
            mark.printed("BBB", minute, minute + MINUTE + timedelta(seconds=late))
        mark.close(minute)
    return mark


def test_a_minute_with_every_bar_is_due_at_its_end() -> None:
    """Nobody is missing: nothing is waited for."""
    mark = after({-1: 1.0})
    for symbol in ("AAA", "BBB"):
        mark.printed(symbol, NOW, NOW + MINUTE)

    assert mark.missing(NOW) == frozenset()
    assert mark.due(NOW) == NOW + MINUTE


def test_everybody_is_waited_for_until_habits_are_known() -> None:
    """Before ten minutes are known, a symbol that never printed gets the longest wait."""
    assert after({-1: None}, LEARN_MIN - 1).patience("BBB") == LONGEST
    assert after({-1: None}, LEARN_MIN).patience("BBB") == timedelta(0)


@pytest.mark.parametrize(
    ("late_s", "patience_s"),
    [
        ({-1: 1.0}, 4.0),  # always there: the longest wait
        ({0: None, -1: 1.0}, 4.0),  # nine of ten
        ({0: None, 1: None, -1: 1.0}, 1.25),  # eight of ten, at one second
        ({0: None, 1: None, 2: 3.0, -1: 1.0}, 3.25),  # one of its eight bars at three seconds
        ({0: None, 1: None, -1: 3.9}, 4.0),  # never beyond the longest
        ({0: 1.0, 1: 1.0, 2: 1.0, 3: 1.0, -1: None}, 0.0),  # four of ten
        ({-1: 9.0}, 0.0),  # always, but always too late
    ],
)
def test_patience_follows_the_habit(late_s: dict[int, float | None], patience_s: float) -> None:
    """The share of minutes with a bar in time decides, and between the limits how long its bars took."""
    mark = after(late_s)

    assert mark.patience("BBB") == timedelta(seconds=patience_s)
    assert mark.due(NOW, excused=frozenset({"AAA"})) == NOW + MINUTE + timedelta(seconds=patience_s)
    assert mark.overdue(NOW) == ({"AAA", "BBB"} if patience_s > 0 else {"AAA"})


def test_a_bar_after_the_decision_still_counts_when_it_was_in_time() -> None:
    """A symbol given up wins back its wait: what came within the longest wait is a habit, decided or not."""
    mark = after({-1: None})

    for number in range(WINDOW, 2 * WINDOW):
        minute = START + number * MINUTE
        mark.close(minute)
        mark.printed("BBB", minute, minute + MINUTE + timedelta(seconds=2))

    assert mark.patience("BBB") == LONGEST


def test_what_only_the_history_has_is_no_bad_habit() -> None:
    """A stream that loses a symbol's bars does not make the symbol one that seldom trades."""
    mark = Watermark(("AAA",), longest=LONGEST)
    for number in range(WINDOW):
        mark.told("AAA", START + number * MINUTE)
        mark.close(START + number * MINUTE)

    assert mark.patience("AAA") == LONGEST


def test_excused_symbols_cost_no_wait() -> None:
    """A halted symbol is missing, and nobody waits for it."""
    mark = after({-1: 1.0})
    mark.printed("AAA", NOW, NOW + MINUTE)

    assert mark.due(NOW, excused=frozenset({"BBB"})) == NOW + MINUTE
    assert mark.overdue(NOW, excused=frozenset({"BBB"})) == frozenset()


def test_old_minutes_are_forgotten() -> None:
    """A day of minutes keeps half an hour of them."""
    mark = after({-1: 1.0}, 390)

    assert len(mark._late_s) == WINDOW

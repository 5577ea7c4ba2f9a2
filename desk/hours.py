"""Trading hours of the New York Stock Exchange, and the only module where New York exists.

All instants elsewhere are UTC. Here the table of holidays, special closures and early closes
(desk/holidays.py) is read once, and a session's record made once, when it is first asked for; every
question is then a lookup, so two callers can never disagree about a session.

The bounds are constants and not "today plus a year": a pure module does not know today, and a
backtest must not change with the day it runs on. A day outside them raises, because "no session" for
lack of data would look like a holiday. Left out: extended hours, which this desk does not trade.
"""

from bisect import bisect_left, bisect_right
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from desk.holidays import HOLIDAYS
from schemas.account import SessionHours

NEW_YORK = ZoneInfo("America/New_York")
# The oldest bars this desk has a calendar to compare with start in 2007.
FIRST_DAY = date(2007, 1, 1)
# NYSE publishes its holidays three years ahead: 2026, 2027 and 2028 are announced.
LAST_DAY = date(2028, 12, 31)
MINUTE = timedelta(minutes=1)
OPEN, REGULAR_CLOSE, EARLY_CLOSE = time(9, 30), time(16, 0), time(13, 0)
SATURDAY = 5
SESSIONS_KNOWN = 8192  # more than the calendar has days that anybody asks for: each record is made once


@lru_cache(maxsize=SESSIONS_KNOWN)
def session_hours(day: date) -> SessionHours | None:
    """Give the session of a day, or None on a weekend or holiday.

    Raises:
        ValueError: The day is outside FIRST_DAY to LAST_DAY.
    """
    _within(day)
    _, closed, early = _calendar()
    if day.weekday() >= SATURDAY or day in closed:
        return None
    closes = EARLY_CLOSE if day in early else REGULAR_CLOSE
    return SessionHours(
        session_date=day,
        opens_at=from_new_york(day, OPEN),
        closes_at=from_new_york(day, closes),
        early_close=day in early,
    )


def next_session(day: date) -> SessionHours:
    """Give the first session strictly after a day.

    Raises:
        ValueError: The calendar does not reach so far.
    """
    _within(day)
    days = _calendar()[0]
    index = bisect_right(days, day)
    if index == len(days):
        raise ValueError(f"no session after {day} is known: the calendar ends {LAST_DAY}")
    return _known(days[index])


def previous_session(day: date) -> SessionHours:
    """Give the last session strictly before a day.

    Raises:
        ValueError: The calendar does not reach so far.
    """
    _within(day)
    days = _calendar()[0]
    index = bisect_left(days, day)
    if index == 0:
        raise ValueError(f"no session before {day} is known: the calendar starts {FIRST_DAY}")
    return _known(days[index - 1])


def sessions_between(start: date, end: date) -> tuple[SessionHours, ...]:
    """Give the sessions of the half-open interval [start, end), oldest first.

    Raises:
        ValueError: A bound is outside the calendar.
    """
    _within(start)
    _within(end)
    days = _calendar()[0]
    return tuple(_known(day) for day in days[bisect_left(days, start) : bisect_left(days, end)])


def session_date_at(instant: datetime) -> date | None:
    """Give the session date an instant belongs to: its New York day if that day has a session.

    True before the open and after the close too, so a fill printed a second after the bell belongs to
    its day. Whether trading is open is `is_open`.

    Raises:
        ValueError: The instant is naive or outside the calendar.
    """
    day = new_york(instant).date()
    return None if session_hours(day) is None else day


def is_open(instant: datetime, hours: SessionHours) -> bool:
    """Tell whether an instant lies in the half-open session."""
    return hours.opens_at <= instant < hours.closes_at


@lru_cache(maxsize=16)  # asked for by every symbol of a session
def minutes(hours: SessionHours) -> tuple[datetime, ...]:
    """Give the left edges of a session's minutes: 390 of them, 210 when it closes at 13:00."""
    count = (hours.closes_at - hours.opens_at) // MINUTE
    return tuple(hours.opens_at + index * MINUTE for index in range(count))


def new_york(instant: datetime) -> datetime:
    """Give an instant on New York's clock.

    Raises:
        ValueError: The instant is naive.
    """
    if instant.tzinfo is None:
        raise ValueError(f"an instant is aware, got {instant.isoformat()} without a time zone")
    return instant.astimezone(NEW_YORK)


def minute_words(instant: datetime) -> str:
    """Give a minute as people name it: 2025-11-24 09:30 New York.

    Args:
        instant: Timezone-aware.
    """
    return f"{new_york(instant):%Y-%m-%d %H:%M} New York"


def from_new_york(day: date, clock: time) -> datetime:
    """Give the UTC instant at which New York's clock shows a time.

    An hour that daylight saving repeats is taken the first time; one that it skips is read with the
    offset before the change.
    """
    return datetime.combine(day, clock, tzinfo=NEW_YORK).astimezone(UTC)


def _within(day: date) -> None:
    if not FIRST_DAY <= day <= LAST_DAY:
        raise ValueError(f"{day} is outside the calendar of {FIRST_DAY} to {LAST_DAY}")


def _known(day: date) -> SessionHours:
    """Give the session of a day that has one."""
    hours = session_hours(day)
    assert hours is not None, f"{day} is among the sessions and has none"
    return hours


@lru_cache(maxsize=1)
def _calendar() -> tuple[tuple[date, ...], frozenset[date], frozenset[date]]:
    """Read the table once: days with a session, weekdays without, early closes."""
    closed, early = set(), set()
    for line in HOLIDAYS.split("\n")[1:-1]:
        without, _, short = line.partition("|")
        year, *days = without.split()
        closed |= {date.fromisoformat(year + day) for day in days}
        early |= {date.fromisoformat(year + day) for day in short.split()}
    count = (LAST_DAY - FIRST_DAY).days + 1
    every = (FIRST_DAY + timedelta(days=number) for number in range(count))
    sessions = tuple(day for day in every if day.weekday() < SATURDAY and day not in closed)
    return sessions, frozenset(closed), frozenset(early)

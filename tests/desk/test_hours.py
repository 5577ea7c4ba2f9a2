"""desk/hours.py: sessions as NYSE held them, and New York's clock across daylight saving."""

import csv
import os
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from pathlib import Path

import exchange_calendars
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from desk import hours

REPOSITORY = Path(__file__).parents[2]
REAL = Path(os.environ.get("DESK_REAL_DATA", REPOSITORY.parent / "shared" / "data"))
ANSWERS = [
    row
    for row in csv.DictReader(
        line
        for line in (REPOSITORY / "tests" / "answers" / "sessions.csv").read_text().splitlines()
        if not line.startswith("#")
    )
]
days = st.dates(min_value=date(2007, 1, 10), max_value=date(2028, 12, 15))


@pytest.mark.parametrize("fact", ANSWERS, ids=lambda fact: fact["day"])
def test_a_dated_fact(fact: dict[str, str]) -> None:
    """Holidays, closures and early closes are as the exchange announced them."""
    day = date.fromisoformat(fact["day"])

    found = hours.session_hours(day)

    if fact["open"] == "closed":
        assert found is None
        return
    assert found is not None
    assert found.opens_at == hours.from_new_york(day, time.fromisoformat(fact["open"]))
    assert found.closes_at == hours.from_new_york(day, time.fromisoformat(fact["close"]))
    assert found.early_close == (fact["close"] == "13:00")


@pytest.mark.filterwarnings("ignore:Series.values:DeprecationWarning")  # the library's own, of pandas 3.1
def test_the_table_is_the_librarys() -> None:
    """Every day of the table opens and closes as exchange_calendars has it, and it knows no other session."""
    library = exchange_calendars.get_calendar(
        "XNYS", start=hours.FIRST_DAY.isoformat(), end=hours.LAST_DAY.isoformat()
    )
    theirs = {
        stamp.date(): (row.open.to_pydatetime(), row.close.to_pydatetime())
        for stamp, row in zip(library.schedule.index, library.schedule.itertuples(), strict=True)
    }
    count = (hours.LAST_DAY - hours.FIRST_DAY).days + 1
    every = [hours.FIRST_DAY + timedelta(days=number) for number in range(count)]

    ours = {day: found for day in every if (found := hours.session_hours(day)) is not None}

    assert {day: (each.opens_at, each.closes_at) for day, each in ours.items()} == theirs
    assert hours.sessions_between(every[0], every[-1]) == tuple(ours[day] for day in ours if day < every[-1])
    assert all(
        each.early_close == (each.closes_at.astimezone(hours.NEW_YORK).time() < time(16))
        for each in ours.values()
    )


@pytest.mark.real
def test_the_calendar_equals_the_recorded_one() -> None:
    """Every session of 2007 to 2026 opens and closes when the recorded NYSE calendar says."""
    path = REAL / "calendar.parquet"
    if not path.exists():
        pytest.skip(f"no recorded calendar at {path}")
    rows = pl.read_parquet(path).sort("session_date").rows()

    ours = hours.sessions_between(date(2007, 1, 1), date(2027, 1, 1))

    assert [(s.session_date, s.opens_at, s.closes_at, s.early_close) for s in ours] == rows


@pytest.mark.parametrize(
    ("day", "opens_at"),
    [
        (date(2026, 3, 6), time(14, 30)),
        (date(2026, 3, 9), time(13, 30)),
        (date(2026, 10, 30), time(13, 30)),
        (date(2026, 11, 2), time(14, 30)),
    ],
)
def test_the_open_moves_with_daylight_saving(day: date, opens_at: time) -> None:
    """The open is 14:30 UTC in winter and 13:30 in summer; in 2026 it changes on March 8 and November 1."""
    found = hours.session_hours(day)

    assert found is not None
    assert found.opens_at == datetime.combine(day, opens_at, tzinfo=UTC)


@given(day=days)
def test_next_and_previous_session_are_inverse(day: date) -> None:
    """The session before the next one is this one, or the previous one on a day without a session."""
    after = hours.next_session(day)
    before = hours.previous_session(day)
    here = hours.session_hours(day)

    assert before.session_date < day < after.session_date
    assert hours.previous_session(after.session_date) == (here or before)
    assert hours.next_session(before.session_date) == (here or after)


def test_sessions_between_is_half_open() -> None:
    """The start is included and the end excluded."""
    found = hours.sessions_between(date(2025, 11, 26), date(2025, 12, 1))

    assert [s.session_date for s in found] == [date(2025, 11, 26), date(2025, 11, 28)]


@pytest.mark.parametrize(("day", "count"), [(date(2025, 11, 26), 390), (date(2025, 11, 28), 210)])
def test_minutes_are_the_left_edges_of_the_session(day: date, count: int) -> None:
    """A full day has 390 minutes and an early close 210, from the open to a minute before the close."""
    session = hours.session_hours(day)
    assert session is not None

    edges = hours.minutes(session)

    assert len(edges) == count
    assert edges[0] == session.opens_at
    assert edges[-1] == session.closes_at - timedelta(minutes=1)
    assert all(later - earlier == timedelta(minutes=1) for earlier, later in pairwise(edges))


def test_the_session_date_is_new_york_s_and_not_utc_s() -> None:
    """Half past midnight UTC still belongs to the New York day before."""
    assert hours.session_date_at(datetime(2025, 11, 27, 0, 30, tzinfo=UTC)) == date(2025, 11, 26)
    assert hours.session_date_at(datetime(2025, 11, 27, 18, 0, tzinfo=UTC)) is None
    assert hours.session_date_at(datetime(2025, 11, 26, 21, 0, 1, tzinfo=UTC)) == date(2025, 11, 26)


def test_the_session_is_half_open() -> None:
    """The instant of the close is no longer in the session."""
    session = hours.session_hours(date(2025, 11, 28))
    assert session is not None

    assert hours.is_open(session.opens_at, session)
    assert not hours.is_open(session.closes_at, session)


def test_the_repeated_and_the_skipped_hour() -> None:
    """DST night: the repeated 01:30 is the first one, and the skipped 02:30 is read as 03:30."""
    assert hours.from_new_york(date(2026, 11, 1), time(1, 30)) == datetime(2026, 11, 1, 5, 30, tzinfo=UTC)
    assert hours.from_new_york(date(2026, 3, 8), time(2, 30)) == datetime(2026, 3, 8, 7, 30, tzinfo=UTC)


def test_a_naive_instant_is_refused() -> None:
    """An instant without a time zone has no place on New York's clock."""
    with pytest.raises(ValueError, match="aware"):
        hours.new_york(datetime(2026, 1, 2, 9, 30))  # noqa: DTZ001  the naive instant is the case


@pytest.mark.parametrize("day", [date(2006, 12, 31), date(2029, 1, 1)])
def test_a_day_outside_the_calendar_raises(day: date) -> None:
    """Lack of data is an error and never looks like a holiday."""
    with pytest.raises(ValueError, match="outside the calendar"):
        hours.session_hours(day)


def test_the_edges_of_the_calendar_raise() -> None:
    """There is no session before the first and after the last that is known."""
    with pytest.raises(ValueError, match="no session after"):
        hours.next_session(hours.LAST_DAY)
    with pytest.raises(ValueError, match="no session before"):
        hours.previous_session(hours.FIRST_DAY)

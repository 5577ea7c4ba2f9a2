"""Portfolio history: equity and profit over time, as GET /v2/account/portfolio/history gives them.

What the documents say and what was recorded decide, the latter where they differ:

- A point is labelled with the left edge of its window and holds the equity at the window's end, or now's.
  Windows start at the open and the last one at the close (27 of 15 minutes); with extended hours at 04:00.
- At 1D there is one point a session, labelled with midnight UTC after it, and holding what the account
  calls `last_equity` the day after. Its profit is against the day before.
- Within a day, profit is against the last equity of the day before, per day, or with `no_reset` against
  that of the first day throughout.
- `base_value` is the equity before the first point. `base_value_asof` is left out where that is the money
  the account was opened with. Before it was opened there are no points (the service pads with nulls, which
  its own Python client cannot read).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

from desk.exchange import query, wire
from desk.exchange.equity import EquityHistory
from desk.exchange.floor import EXTENDED_AFTER, Floor
from desk.exchange.refusals import BAD_REQUEST, Refusal
from desk.exchange.tape import EXTENDED_BEFORE
from desk.hours import FIRST_DAY, new_york, previous_session, session_hours
from desk.money import ZERO
from schemas.account import SessionHours

DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)
TIMEFRAMES = {
    "1min": ("1Min", timedelta(minutes=1)),
    "5min": ("5Min", timedelta(minutes=5)),
    "15min": ("15Min", timedelta(minutes=15)),
    "1h": ("1H", timedelta(hours=1)),
    "1d": ("1D", DAY),
}
REPORTINGS = ("market_hours", "extended_hours", "continuous")
RESETS = ("per_day", "no_reset")
UNIT_DAYS = {"D": 1, "W": 7, "M": 30, "A": 365}
MINUTES_UP_TO_DAYS = 7  # longer spans of single minutes would hold up every other request
INTRADAY_UP_TO_DAYS = 30  # beyond, the service takes 1D only
PERIOD_DIGITS_MAX = 4
DECIMALS = 6  # of a number in the answer: finer than any cent


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request's parameters, understood."""

    timeframe: str
    step: timedelta
    reporting: str
    per_day: bool
    cashflow_types: frozenset[str]
    first_date: date  # sessions from here
    start: datetime | None  # stamps from here, where the caller named an instant
    end: datetime


@dataclass(frozen=True, slots=True)
class Point:
    """One element of the answer's arrays."""

    place: int  # of its session among the account's
    stamp: int
    equity: Decimal
    base: Decimal
    fees: Decimal


def history(floor: Floor, equity: EquityHistory, params: Mapping[str, str]) -> wire.Json:
    """Write the history a request asks for.

    Raises:
        Refusal: 422, a parameter is unknown, contradicts another, or asks for too fine a timeframe.
    """
    wanted = _wanted(floor, params)
    places = [
        place for place, hours in enumerate(equity.sessions()) if hours.session_date >= wanted.first_date
    ]
    daily = wanted.step == DAY
    points = list(_days(floor, equity, places, wanted) if daily else _windows(floor, equity, places, wanted))
    first = points[0].base if points else floor.books.starting_cash
    answer: wire.Json = {
        "timestamp": [point.stamp for point in points],
        "equity": [_number(point.equity) for point in points],
        "profit_loss": [],
        "profit_loss_pct": [],
        "base_value": _number(first),
        "timeframe": wanted.timeframe,
        "cashflow": {},
    }
    for point in points:
        base = point.base if wanted.per_day or daily else first
        gain = point.equity - base
        answer["profit_loss"].append(_number(gain))
        answer["profit_loss_pct"].append(0.0 if base == 0 else _number(gain / base))
    if "FEE" in wanted.cashflow_types:
        answer["cashflow"]["FEE"] = [_number(-point.fees) for point in points]
    if points and points[0].place > 0:
        asof = equity.sessions()[points[0].place - 1].session_date
        answer["base_value_asof"] = asof.isoformat()
    return answer


def _days(floor: Floor, equity: EquityHistory, places: list[int], wanted: Wanted) -> Iterator[Point]:
    """Give one point a session."""
    sessions = equity.sessions()
    for place in places:
        hours = sessions[place]
        day = hours.session_date
        if day > new_york(wanted.end).date() or floor.now < hours.opens_at:
            continue
        fees = sum((paid.amount for paid in floor.books.charges if paid.session_date == day), ZERO)
        stamp = datetime.combine(day + DAY, time(0), tzinfo=UTC)
        yield Point(place, int(stamp.timestamp()), equity.closing(place), equity.base(place), fees)


def _windows(floor: Floor, equity: EquityHistory, places: list[int], wanted: Wanted) -> Iterator[Point]:
    """Give the points within each session."""
    sessions = equity.sessions()
    for place in places:
        following = sessions[place + 1] if place + 1 < len(sessions) else None
        opens, last, until = _span(sessions[place], following, wanted.reporting)
        stamps = [
            stamp
            for stamp in _steps(opens, min(last, wanted.end, floor.now), wanted.step)
            if stamp + wanted.step > floor.opened_at and _from_start(stamp, wanted, opens, last)
        ]
        instants = [min(stamp + wanted.step - MICROSECOND, until, floor.now) for stamp in stamps]
        before = opens
        for stamp, at, value in zip(stamps, instants, equity.values(place, instants), strict=True):
            fees = sum((paid.amount for paid in floor.books.charges if before < paid.at <= at), ZERO)
            yield Point(place, int(stamp.timestamp()), value, equity.base(place), fees)
            before = at


def _span(
    hours: SessionHours, following: SessionHours | None, reporting: str
) -> tuple[datetime, datetime, datetime]:
    """Give a session's first window, its last, and the last instant valued."""
    if reporting == "market_hours":
        return hours.opens_at, hours.closes_at, hours.closes_at
    begins = hours.opens_at - EXTENDED_BEFORE
    if reporting == "extended_hours":
        ends = hours.closes_at + EXTENDED_AFTER
        return begins, ends, ends
    if following is None:
        return begins, datetime.max.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    ends = following.opens_at - EXTENDED_BEFORE - MICROSECOND
    return begins, ends, ends


def _steps(first: datetime, last: datetime, step: timedelta) -> Iterator[datetime]:
    """Give the windows' left edges of [first, last]."""
    while first <= last:
        yield first
        first += step


def _from_start(stamp: datetime, wanted: Wanted, opens: datetime, last: datetime) -> bool:
    """Tell whether a window is asked for: a start within hours takes the window it falls into along."""
    if wanted.start is None:
        return True
    if opens <= wanted.start <= last:
        return stamp + wanted.step > wanted.start
    return stamp >= wanted.start


def _wanted(floor: Floor, params: Mapping[str, str]) -> Wanted:
    """Read the parameters; `date_start` and `date_end` are the older clients' names."""
    start_text = params.get("start") or params.get("date_start")
    end_text = params.get("end") or params.get("date_end")
    period_text = params.get("period") or ""
    if start_text and end_text and period_text:
        raise Refusal(422, BAD_REQUEST, "only two of start, end and period are accepted")
    number, unit = _period(period_text or "1M")
    start = _instant(start_text, "start")
    end = _instant(end_text, "end")
    days = number * UNIT_DAYS[unit]
    if start is not None and end is not None:
        if end < start:
            raise Refusal(422, BAD_REQUEST, "end must not be before start")
        days = (end - start) // DAY
    timeframe, step = _timeframe(params.get("timeframe") or "", days)
    reporting = query.choice(params, "intraday_reporting", REPORTINGS)
    if params.get("extended_hours", "").lower() == "true" and not params.get("intraday_reporting"):
        reporting = "extended_hours"
    if start is not None and end is None and period_text:
        end = _moved(start, number, unit)
    if end is not None and start is None:
        start = _moved(end, -number, unit)
    until = floor.now if end is None else min(end, floor.now)
    if step == DAY and end_text and len(end_text) == len("2026-01-01"):
        until = min(until + DAY, floor.now)  # a date names its own session, though it is read as midnight UTC
    if start is None:
        first_date = _first_date(floor, reporting, number, unit)
    elif step == DAY and start_text and len(start_text) == len("2026-01-01"):
        first_date = start.date()
    else:
        first_date = new_york(start).date() if step == DAY else FIRST_DAY
    return Wanted(
        timeframe=timeframe,
        step=step,
        reporting=reporting,
        per_day=query.choice(params, "pnl_reset", RESETS) == "per_day",
        cashflow_types=_cashflow_types(params.get("cashflow_types") or "NONE"),
        first_date=first_date,
        start=None if step == DAY else start,
        end=until,
    )


def _first_date(floor: Floor, reporting: str, number: int, unit: str) -> date:
    """Give the first session of a period that ends with the last session begun."""
    hours = floor.hours
    begins = hours.opens_at if reporting == "market_hours" else hours.opens_at - EXTENDED_BEFORE
    last = hours.session_date
    if floor.now < begins:
        last = previous_session(last).session_date
    noon = datetime.combine(last, time(12), tzinfo=UTC)
    first = max(_moved(noon, -number, unit).date() + DAY, floor.openings[0].session_date)
    return first if session_hours(first) is not None else previous_session(first).session_date


def _period(text: str) -> tuple[int, str]:
    """Read a number and a unit; `all` is longer than any account."""
    if text.lower() == "all":
        return 100, "A"
    found = re.fullmatch(rf"([1-9]\d{{0,{PERIOD_DIGITS_MAX - 1}}})([DWMA])", text.upper())
    if found is None:
        message = f"invalid period: {text}, expected a number and one of D, W, M and A"
        raise Refusal(422, BAD_REQUEST, message)
    return int(found[1]), found[2]


def _moved(at: datetime, number: int, unit: str) -> datetime:
    """Move an instant by a period; a day the month does not have becomes its last; the ends of time hold."""
    months = {"M": number, "A": 12 * number}.get(unit)
    try:
        if months is None:
            return at + timedelta(days=number * UNIT_DAYS[unit])
        year, month = divmod(at.year * 12 + at.month - 1 + months, 12)
        return _in_month(at, year, month + 1)
    except (ValueError, OverflowError):
        return (
            datetime.combine(FIRST_DAY, time(12), tzinfo=UTC)
            if number < 0
            else datetime.max.replace(tzinfo=UTC)
        )


def _in_month(at: datetime, year: int, month: int) -> datetime:
    """Put an instant into another month."""
    following = date(year + month // 12, month % 12 + 1, 1)
    return at.replace(year=year, month=month, day=min(at.day, (following - DAY).day))


def _timeframe(text: str, days: int) -> tuple[str, timedelta]:
    """Read the timeframe, or choose it by the length of the period."""
    if text == "":
        text = "1Min" if days < MINUTES_UP_TO_DAYS else "15Min" if days < INTRADAY_UP_TO_DAYS else "1D"
    if text.lower() not in TIMEFRAMES:
        allowed = ", ".join(name for name, _ in TIMEFRAMES.values())
        raise Refusal(422, BAD_REQUEST, f"invalid timeframe: {text}, allowed are {allowed}")
    name, step = TIMEFRAMES[text.lower()]
    if name != "1D" and days > INTRADAY_UP_TO_DAYS:
        message = f"invalid timeframe: {name} is for up to {INTRADAY_UP_TO_DAYS} days, use 1D"
        raise Refusal(422, BAD_REQUEST, message)
    if name == "1Min" and days > MINUTES_UP_TO_DAYS:
        message = f"invalid timeframe: {name} is for up to {MINUTES_UP_TO_DAYS} days, use 15Min"
        raise Refusal(422, BAD_REQUEST, message)
    return name, step


def _instant(text: str | None, name: str) -> datetime | None:
    """Read seconds since 1970, an instant, or a date, which is midnight UTC here."""
    if not text:
        return None
    if text.isascii() and text.isdigit() and len(text) > len("20260101"):
        try:
            return datetime.fromtimestamp(int(text), UTC)
        except (ValueError, OverflowError, OSError) as error:
            raise Refusal(422, BAD_REQUEST, f"invalid {name}: {text}") from error
    if len(text) == len("2026-01-01"):
        text += "T00:00:00Z"
    return query.moment({name: text}, name)


def _cashflow_types(text: str) -> frozenset[str]:
    """Read which cash flows to add; this venue's accounts know fees."""
    words = frozenset(word.strip().upper() for word in text.split(","))
    return frozenset({"FEE"}) if "ALL" in words else words


def _number(value: Decimal) -> float:
    """Write an amount as a JSON number."""
    return float(round(value, DECIMALS))

"""Clock and calendar of version 3: the markets of US equities, with the phases of their days.

Newer generated clients ask these instead of /v2. The service knows markets of the whole world; this venue
keeps the New York calendar, which the markets of US equities share, and refuses the others by name.
"""

from datetime import UTC, date, datetime, timedelta

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from desk.exchange import query
from desk.exchange.door import FrontDoor, reply
from desk.exchange.floor import EXTENDED_AFTER, Floor
from desk.exchange.reference import LAST_SETTLED
from desk.exchange.refusals import BAD_REQUEST, Refusal
from desk.exchange.tape import EXTENDED_BEFORE
from desk.exchange.wire import Json, settlement
from desk.hours import FIRST_DAY, new_york, next_session, session_hours, sessions_between

ZONE = "America/New_York"
MARKETS = {  # acronym, name, MIC by every word a market goes by
    word: market
    for market in (
        ("NYSE", "New York Stock Exchange", "XNYS"),
        ("NASDAQ", "Nasdaq", "XNAS"),
        ("IEX", "Investors Exchange", "IEXG"),
        ("OTC", "OTC Markets", "OTCM"),
    )
    for word in (market[0], market[2])
}
WEEK = timedelta(days=7)  # a calendar's length where no end is asked for
SPAN_MAX = timedelta(days=3660)  # ten years of rows in one answer


class SessionsApi:
    """Handlers over one floor."""

    def __init__(self, floor: Floor, door: FrontDoor) -> None:
        """Keep the floor and the door."""
        self._floor = floor
        self._door = door

    def routes(self) -> list[Route]:
        """Give the routes under /v3."""
        return self._door.routes(
            ("GET", "/v3/clock", self.clock),
            ("GET", "/v3/calendar/{market}", self.calendar),
        )

    async def clock(self, request: Request) -> Response:
        """Answer the clocks of some markets: now, or at an instant given."""
        wanted = request.query_params
        words = query.words(wanted, "markets") or ("NYSE", "NASDAQ", "OTC")
        at = query.moment(wanted, "time", status=400) or self._floor.now
        if not FIRST_DAY < new_york(at).date() < LAST_SETTLED:
            raise Refusal(
                400, BAD_REQUEST, f"invalid time: outside the calendar, {FIRST_DAY} to {LAST_SETTLED}"
            )
        return reply({"clocks": [{"market": market(word), **_clock(at)} for word in words]})

    async def calendar(self, request: Request) -> Response:
        """Answer the sessions of [start, end]: from today for a week, unless asked otherwise."""
        wanted = request.query_params
        described = market(request.path_params["market"])
        start = query.day(wanted, "start", status=400) or new_york(self._floor.now).date()
        end = query.day(wanted, "end", status=400) or min(start, date.max - WEEK) + WEEK
        if end - start > SPAN_MAX:
            raise Refusal(400, BAD_REQUEST, f"start to end must be at most {SPAN_MAX.days} days")
        utc = query.choice(wanted, "timezone", (ZONE, "UTC"), status=400) == "UTC"
        first, last = max(start, FIRST_DAY), min(end, LAST_SETTLED)
        days = sessions_between(first, last + timedelta(days=1)) if first <= last else ()

        def written(at: datetime) -> str:
            return (at.astimezone(UTC) if utc else new_york(at)).isoformat()

        rows = [
            {
                "date": hours.session_date.isoformat(),
                "core_start": written(hours.opens_at),
                "core_end": written(hours.closes_at),
                "pre_start": written(hours.opens_at - EXTENDED_BEFORE),
                "pre_end": written(hours.opens_at),
                "post_start": written(hours.closes_at),
                "post_end": written(hours.closes_at + EXTENDED_AFTER),
                "settlement_date": settlement(hours.session_date).isoformat(),
            }
            for hours in days
        ]
        return reply({"market": described, "calendar": rows})


def market(word: str) -> Json:
    """Describe a market.

    Raises:
        Refusal: 400, it is none of US equities.
    """
    found = MARKETS.get(word.upper())
    if found is None:
        raise Refusal(400, BAD_REQUEST, f"invalid market: {word}, this venue keeps {', '.join(MARKETS)}")
    return {"acronym": found[0], "name": found[1], "mic": found[2], "timezone": ZONE}


def _clock(at: datetime) -> Json:
    """Write the clock at an instant: the phase it is in, and what comes next."""
    day = new_york(at).date()
    today = session_hours(day)
    following = next_session(day)
    phase, until = "closed", following.opens_at - EXTENDED_BEFORE
    next_open, next_close = following.opens_at, following.closes_at
    if today is not None:
        for name, end in (
            ("closed", today.opens_at - EXTENDED_BEFORE),
            ("pre", today.opens_at),
            ("core", today.closes_at),
            ("post", today.closes_at + EXTENDED_AFTER),
        ):
            if at < end:
                phase, until = name, end
                break
        next_open = today.opens_at if at < today.opens_at else next_open
        next_close = today.closes_at if at < today.closes_at else next_close
    return {
        "timestamp": new_york(at).isoformat(),
        "is_market_day": today is not None,
        "next_market_open": new_york(next_open).isoformat(),
        "next_market_close": new_york(next_close).isoformat(),
        "phase": phase,
        "phase_until": new_york(until).isoformat(),
    }

"""What is the same for everybody: clock, calendar, assets, options, announcements (ALPACA.md section 2.1)."""

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from functools import lru_cache

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from desk.exchange import query
from desk.exchange.activities import split_id
from desk.exchange.corporate import cusip
from desk.exchange.door import FrontDoor, reply
from desk.exchange.floor import EXTENDED_AFTER, Floor
from desk.exchange.orders import SplitDone
from desk.exchange.refusals import BAD_REQUEST, NOT_FOUND, Refusal
from desk.exchange.venue import next_edges
from desk.exchange.wire import Json, amount, asset_id, settlement
from desk.hours import FIRST_DAY, LAST_DAY, new_york, sessions_between
from schemas.account import Asset, SessionHours

LAST_SETTLED = LAST_DAY - timedelta(days=8)  # settlement dates of the last days are not known
SETTLES_WITHIN = timedelta(days=8)  # three sessions, holidays and a weekend between
CALENDAR_DAYS_KEPT = 8192  # more sessions than the calendar has
ANNOUNCEMENT_KINDS = ("dividend", "merger", "spinoff", "split", "reorg")
ANNOUNCEMENT_DATES = ("declaration_date", "ex_date", "record_date", "payable_date")
ANNOUNCEMENT_SPAN = timedelta(days=90)  # the service's limit of one request


class ReferenceApi:
    """Handlers over one floor."""

    def __init__(self, floor: Floor, door: FrontDoor) -> None:
        """Keep the floor and the door."""
        self._floor = floor
        self._door = door

    def routes(self) -> list[Route]:
        """Give the routes; fixed paths come before those with a parameter."""
        return self._door.routes(
            ("GET", "/v2/clock", self.clock),
            ("GET", "/v2/calendar", self.calendar),
            ("GET", "/v2/assets", self.assets),
            ("GET", "/v2/assets/{name:path}", self.asset),
            ("GET", "/v2/options/contracts", self.contracts),
            ("GET", "/v2/options/contracts/{name}", self.contract),
            ("GET", "/v2/corporate_actions/announcements", self.announcements),
            ("GET", "/v2/corporate_actions/announcements/{announcement_id}", self.announcement),
        )

    async def clock(self, request: Request) -> Response:
        """Answer the clock."""
        return reply(clock(self._floor))

    async def calendar(self, request: Request) -> Response:
        """Answer the sessions of [start, end], cut to the calendar this venue has; all of it by default."""
        wanted = request.query_params
        start = query.day(wanted, "start", status=400) or FIRST_DAY
        end = query.day(wanted, "end", status=400) or LAST_SETTLED
        if query.choice(wanted, "date_type", ("TRADING", "SETTLEMENT"), status=400) == "TRADING":
            found = _sessions(start, end)
        else:
            traded = _sessions(start - SETTLES_WITHIN, end) if start > date.min + SETTLES_WITHIN else ()
            found = [hours for hours in traded if start <= settlement(hours.session_date) <= end]
        return reply([calendar_day(hours) for hours in found])

    async def assets(self, request: Request) -> Response:
        """Answer the assets, filtered by status, class, exchange and attributes."""
        wanted = request.query_params
        attributes = query.words(wanted, "attributes")
        found = [asset(share) for share in self._floor.assets()]
        for name, field in (("status", "status"), ("asset_class", "class"), ("exchange", "exchange")):
            if wanted.get(name):
                found = [share for share in found if share[field] == wanted[name]]
        if attributes:
            found = [share for share in found if not set(attributes).isdisjoint(share["attributes"])]
        return reply(found)

    async def asset(self, request: Request) -> Response:
        """Answer one asset by symbol or id."""
        name = request.path_params["name"]
        for share in self._floor.assets():
            if name in (share.symbol, asset_id(share.symbol)):
                return reply(asset(share))
        raise Refusal(404, NOT_FOUND, f"asset not found for {name}")

    async def contracts(self, request: Request) -> Response:
        """Answer the option contracts: this venue trades shares only."""
        return reply({"option_contracts": [], "next_page_token": None})

    async def contract(self, request: Request) -> Response:
        """Answer one option contract: there is none."""
        raise Refusal(404, NOT_FOUND, f"option contract not found for {request.path_params['name']}")

    async def announcements(self, request: Request) -> Response:
        """Answer corporate actions announced: here the splits applied, whose dates are all one."""
        wanted = request.query_params
        kinds = query.words(wanted, "ca_types")
        if not kinds:
            raise Refusal(422, BAD_REQUEST, "ca_types is required")
        for kind in kinds:
            query.choice({"ca_types": kind.lower()}, "ca_types", ANNOUNCEMENT_KINDS)
        query.choice({"date_type": wanted.get("date_type") or "ex_date"}, "date_type", ANNOUNCEMENT_DATES)
        since, until = query.day(wanted, "since"), query.day(wanted, "until")
        if since is None or until is None:
            raise Refusal(422, BAD_REQUEST, "since and until are required")
        if not timedelta(0) <= until - since <= ANNOUNCEMENT_SPAN:
            message = f"since to until must be 0 to {ANNOUNCEMENT_SPAN.days} days"
            raise Refusal(422, BAD_REQUEST, message)
        if "split" not in (kind.lower() for kind in kinds):
            return reply([])
        symbol = wanted.get("symbol")
        found = [split for split in self._floor.splits if not symbol or split.symbol == symbol]
        return reply([_announcement(one) for one in found if since <= new_york(one.at).date() <= until])

    async def announcement(self, request: Request) -> Response:
        """Answer one announcement."""
        name = request.path_params["announcement_id"]
        for split in self._floor.splits:
            if split_id(split) == name:
                return reply(_announcement(split))
        raise Refusal(404, NOT_FOUND, f"announcement not found for {name}")


def clock(floor: Floor) -> Json:
    """Write the clock."""
    next_open, next_close = next_edges(floor)
    return {
        "timestamp": new_york(floor.now).isoformat(),
        "is_open": floor.is_open,
        "next_open": new_york(next_open).isoformat(),
        "next_close": new_york(next_close).isoformat(),
    }


@lru_cache(maxsize=CALENDAR_DAYS_KEPT)
def calendar_day(hours: SessionHours) -> Mapping[str, str]:
    """Write one session."""
    return {
        "date": hours.session_date.isoformat(),
        "open": new_york(hours.opens_at).strftime("%H:%M"),
        "close": new_york(hours.closes_at).strftime("%H:%M"),
        "session_open": "0400",
        "session_close": new_york(hours.closes_at + EXTENDED_AFTER).strftime("%H%M"),
        "settlement_date": settlement(hours.session_date).isoformat(),
    }


def asset(found: Asset) -> Json:
    """Write an asset; `easy_to_borrow` is sent for alpaca-py's sake."""
    percent = "30" if found.marginable else "100"
    return {
        "id": asset_id(found.symbol),
        "class": "us_equity",
        "exchange": found.exchange,
        "symbol": found.symbol,
        "name": f"{found.symbol} Common Stock",
        "status": found.status,
        "tradable": found.tradable,
        "marginable": found.marginable,
        "maintenance_margin_requirement": int(percent),
        "margin_requirement_long": percent,
        "margin_requirement_short": percent,
        "shortable": found.shortable,
        "easy_to_borrow": found.easy_to_borrow,
        "borrow_status": "easy_to_borrow" if found.easy_to_borrow else "hard_to_borrow",
        "fractionable": found.fractionable,
        "attributes": [],
    }


def _announcement(split: SplitDone) -> Json:
    """Write a split as an announcement, in the lower-case words alpaca-py reads, which the service sends."""
    day = new_york(split.at).date().isoformat()
    return {
        "id": split_id(split),
        "corporate_action_id": split_id(split).replace("-", "")[:12].upper(),
        "ca_type": "split",
        "ca_sub_type": "stock_split" if split.new >= split.old else "reverse_split",
        "initiating_symbol": split.symbol,
        "initiating_original_cusip": cusip(split.symbol),
        "target_symbol": split.symbol,
        "target_original_cusip": cusip(split.symbol),
        "declaration_date": day,
        "effective_date": day,
        "ex_date": day,
        "record_date": day,
        "payable_date": day,
        "cash": "0",
        "old_rate": amount(split.old),
        "new_rate": amount(split.new),
    }


def _sessions(start: date, end: date) -> Iterable[SessionHours]:
    """Give the sessions of [start, end] this venue knows."""
    first, last = max(start, FIRST_DAY), min(end, LAST_SETTLED)
    return sessions_between(first, last + timedelta(days=1)) if first <= last else ()

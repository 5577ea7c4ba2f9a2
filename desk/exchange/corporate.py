"""Corporate actions over HTTP: the splits this venue has applied (`/v1/corporate-actions`).

A split is known from the day it is processed, which here is its ex-date. Dividends, mergers and the rest
do not happen here: asked for, they are lists that are not there, as the service leaves out what it has
none of.
"""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from zlib import crc32

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from desk.exchange import query, wire
from desk.exchange.data_request import checked, routes
from desk.exchange.door import FrontDoor, reply
from desk.exchange.floor import Floor
from desk.exchange.orders import SplitDone, fixed_id
from desk.exchange.refusals import BAD_REQUEST, Refusal
from desk.hours import new_york

LIMIT_DEFAULT = 100
LIMIT_MAX = 1_000
KINDS = frozenset({
    "reverse_split", "forward_split", "unit_split", "cash_dividend", "stock_dividend", "spin_off",
    "cash_merger", "stock_merger", "stock_and_cash_merger", "redemption", "name_change",
    "worthless_removal", "rights_distribution", "partial_call", "reorganization",
    "capital_gains_distribution",
})  # fmt: skip
FORWARD, REVERSE = "forward_split", "reverse_split"
Found = tuple[date, str, str, wire.Json]  # process date, id, kind, body


class CorporateActionsApi:
    """The handler over one floor."""

    def __init__(self, floor: Floor, door: FrontDoor) -> None:
        """Keep the floor and the door."""
        self._floor = floor
        self._door = door

    def routes(self) -> list[Route]:
        """Give the route, and its older address, which Alpaca's Node client 3 still asks."""
        return routes(
            self._door,
            {path: self.actions for path in ("/v1/corporate-actions", "/v1beta1/corporate-actions")},
        )

    async def actions(self, request: Request) -> Response:
        """Answer one page of actions by kind, in order of their process date."""
        wanted = dict(request.query_params)
        bracketed = request.query_params.getlist("symbols[]")  # as axios writes a list
        if bracketed:
            wanted["symbols"] = ",".join(bracketed)
        limit = query.integer(wanted, "limit", default=LIMIT_DEFAULT, most=LIMIT_MAX, status=400)
        newest_first = query.choice(wanted, "sort", ("asc", "desc"), status=400) == "desc"
        query.choice(wanted, "region", ("us", "all"), status=400)
        found = sorted(self._chosen(wanted), key=lambda one: one[:2], reverse=newest_first)
        first = _place(found, wanted.get("page_token"))
        page = found[first : first + limit]
        grouped: dict[str, list[wire.Json]] = {}
        for _, _, kind, body in page:
            grouped.setdefault(f"{kind}s", []).append(body)
        token = page[-1][1] if page and len(found) > first + limit else None
        return reply({"corporate_actions": grouped, "next_page_token": token})

    def _chosen(self, wanted: Mapping[str, str]) -> list[Found]:
        """Give the actions a request's filters let through."""
        ids = query.words(wanted, "ids")
        others = [name for name in ("symbols", "types", "start", "end") if wanted.get(name)]
        if ids and others:
            raise Refusal(400, BAD_REQUEST, f"ids and {others[0]} cannot be given together")
        kinds = frozenset(query.words(wanted, "types"))
        if not kinds <= KINDS:
            raise Refusal(400, BAD_REQUEST, f"invalid types: {sorted(kinds - KINDS)[0]}")
        symbols = checked(query.words(wanted, "symbols"))
        today = new_york(self._floor.now).date()
        start = query.day(wanted, "start", status=400) or today
        end = query.day(wanted, "end", status=400) or today
        if end < start:
            raise Refusal(400, BAD_REQUEST, "end should not be before start")
        found = [split_action(split) for split in self._floor.splits]
        if ids:
            return [one for one in found if one[1] in ids]
        return [
            one
            for one in found
            if start <= one[0] <= end
            and (not symbols or one[3]["symbol"] in symbols)
            and (not kinds or one[2] in kinds)
        ]


def split_action(split: SplitDone) -> Found:
    """Write a split as a forward or a reverse one."""
    day = new_york(split.at).date()
    name = fixed_id(f"split:{split.symbol}:{split.at.isoformat()}")
    body: wire.Json = {
        "id": name,
        "symbol": split.symbol,
        "new_rate": _number(split.new),
        "old_rate": _number(split.old),
        "process_date": day.isoformat(),
        "ex_date": day.isoformat(),
        "record_date": day.isoformat(),
        "payable_date": day.isoformat(),
    }
    if split.new >= split.old:
        return day, name, FORWARD, body | {"cusip": cusip(split.symbol)}
    return (
        day,
        name,
        REVERSE,
        body | {"old_cusip": cusip(split.symbol), "new_cusip": cusip(f"{split.symbol}+")},
    )


def cusip(name: str) -> str:
    """Give nine digits that stand for a security; no real one's."""
    return f"{crc32(name.encode()) % 10**9:09d}"


def _number(value: Decimal) -> float | int:
    """Write a rate as a number."""
    return int(value) if value == value.to_integral_value() else float(value)


def _place(found: list[Found], token: str | None) -> int:
    """Give where a page begins: after the action its token names."""
    if not token:
        return 0
    for place, one in enumerate(found):
        if one[1] == token:
            return place + 1
    raise Refusal(400, BAD_REQUEST, f"invalid page_token: {token}")

"""The trading side over HTTP: account, clock, calendar, assets, orders, positions, activities (ALPACA.md
section 2.1).

Handlers are short and never wait: each reads its parameters, asks the floor once, and writes the
answer. One event loop serves all of them, so the floor is never entered twice at a time.
"""

from collections.abc import Iterable
from datetime import timedelta
from decimal import ROUND_DOWN, Decimal

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from desk.exchange import intake, query, wire
from desk.exchange.door import FrontDoor, reply
from desk.exchange.floor import Floor
from desk.exchange.orders import VenueOrder
from desk.exchange.refusals import BAD_REQUEST, NOT_FOUND, Refusal
from desk.hours import FIRST_DAY, LAST_DAY, sessions_between
from desk.money import FRACTIONAL_LOT
from schemas.account import Asset

ORDERS_MAX = 500  # ALPACA.md section 2.1
ORDERS_DEFAULT = 50
ACTIVITIES_MAX = 100
CLOSE_ALL_BAD = 40010001
ACTIVITY_KINDS = ("FILL", "FEE")


class TradingApi:
    """Handlers over one floor."""

    def __init__(self, floor: Floor, door: FrontDoor) -> None:
        """Keep the floor and the door."""
        self._floor = floor
        self._door = door

    def routes(self) -> list[Route]:
        """Give the routes under /v2; fixed paths come before those with a parameter."""
        table = (
            ("GET", "/v2/account/activities", self.activities),
            ("GET", "/v2/account/activities/{kind}", self.activities),
            ("GET", "/v2/clock", self.clock),
            ("GET", "/v2/calendar", self.calendar),
            ("GET", "/v2/assets", self.assets),
            ("GET", "/v2/assets/{name:path}", self.asset),
            ("POST", "/v2/orders", self.submit),
            ("GET", "/v2/orders", self.orders),
            ("DELETE", "/v2/orders", self.cancel_all),
            ("GET", "/v2/orders:by_client_order_id", self.order_by_client_id),
            ("GET", "/v2/orders/{order_id}", self.order),
            ("DELETE", "/v2/orders/{order_id}", self.cancel),
            ("GET", "/v2/positions", self.positions),
            ("DELETE", "/v2/positions", self.close_all),
            ("GET", "/v2/positions/{name}", self.position),
            ("DELETE", "/v2/positions/{name}", self.close),
        )
        return [Route(path, self._door.guarded(handler), methods=[verb]) for verb, path, handler in table]

    async def clock(self, request: Request) -> Response:
        """Answer the clock."""
        return reply(wire.clock(self._floor))

    async def calendar(self, request: Request) -> Response:
        """Answer the sessions of [start, end], cut to the calendar this venue has."""
        today = self._floor.hours.session_date
        start = query.day(request.query_params, "start") or today - timedelta(days=366)
        end = query.day(request.query_params, "end") or today + timedelta(days=366)
        first = max(start, FIRST_DAY)
        last = min(end, LAST_DAY - timedelta(days=8))  # settlement dates of the last days are not known
        found = sessions_between(first, last + timedelta(days=1)) if first <= last else ()
        return reply([wire.calendar_day(hours) for hours in found])

    async def assets(self, request: Request) -> Response:
        """Answer the assets, filtered by status, class and exchange."""
        wanted = request.query_params
        found = [wire.asset(asset) for asset in self._floor.assets()]
        for name, field in (("status", "status"), ("asset_class", "class"), ("exchange", "exchange")):
            if wanted.get(name):
                found = [asset for asset in found if asset[field] == wanted[name]]
        return reply(found)

    async def asset(self, request: Request) -> Response:
        """Answer one asset by symbol or id."""
        return reply(wire.asset(self._asset(request.path_params["name"])))

    async def submit(self, request: Request) -> Response:
        """Take an order."""
        body = intake.loads(await request.body())
        return reply(wire.order(self._floor.submit(intake.order_request(body))))

    async def orders(self, request: Request) -> Response:
        """Answer a listing of orders."""
        wanted = request.query_params
        status = query.choice(wanted, "status", ("open", "closed", "all"))
        newest_first = query.choice(wanted, "direction", ("desc", "asc")) == "desc"
        limit = query.integer(wanted, "limit", default=ORDERS_DEFAULT, most=ORDERS_MAX)
        after, until = query.moment(wanted, "after"), query.moment(wanted, "until")
        symbols = query.words(wanted, "symbols")
        side = wanted.get("side")
        stored = self._floor.blotter.open if status == "open" else self._floor.blotter.orders
        chosen: list[VenueOrder] = []
        for found in reversed(stored.values()) if newest_first else stored.values():
            if after is not None and found.submitted_at <= after:
                if newest_first:
                    break
                continue
            if until is not None and found.submitted_at >= until:
                if not newest_first:
                    break
                continue
            closed_wrong = status == "closed" and found.status.is_open
            if closed_wrong or (symbols and found.symbol not in symbols) or (side and found.side != side):
                continue
            chosen.append(found)
            if len(chosen) == limit:
                break
        return reply([wire.order(found) for found in chosen])

    async def order(self, request: Request) -> Response:
        """Answer an order by id."""
        return reply(wire.order(self._floor.blotter.order(request.path_params["order_id"])))

    async def order_by_client_id(self, request: Request) -> Response:
        """Answer an order by client order id."""
        client_id = request.query_params.get("client_order_id", "")
        return reply(wire.order(self._floor.blotter.order_by_client_id(client_id)))

    async def cancel(self, request: Request) -> Response:
        """Ask for a cancel: 204, which means asked."""
        self._floor.cancel(request.path_params["order_id"])
        return Response(status_code=204)

    async def cancel_all(self, request: Request) -> Response:
        """Ask for a cancel of every open order."""
        return reply(_canceled(self._floor.cancel_all()), 207)

    async def positions(self, request: Request) -> Response:
        """Answer the positions, by symbol."""
        held = sorted(self._floor.books.holdings.items())
        return reply([wire.position(self._floor, holding) for _, holding in held])

    async def position(self, request: Request) -> Response:
        """Answer one position by symbol or asset id."""
        return reply(wire.position(self._floor, self._floor.books.holdings[self._held(request)]))

    async def close(self, request: Request) -> Response:
        """Send the order that closes a position, or part of it."""
        symbol = self._held(request)
        qty = intake.number(request.query_params, "qty")
        percentage = intake.number(request.query_params, "percentage")
        if qty is not None and percentage is not None:
            raise Refusal(422, BAD_REQUEST, "only one of qty or percentage is accepted")
        if percentage is not None:
            if not 0 < percentage <= 100:
                raise Refusal(422, BAD_REQUEST, "percentage must be > 0 and <= 100")
            held = abs(self._floor.books.qty(symbol))
            qty = (held * percentage / Decimal(100)).quantize(FRACTIONAL_LOT, ROUND_DOWN)
        return reply(wire.order(self._floor.close_position(symbol, qty)))

    async def close_all(self, request: Request) -> Response:
        """Send orders that close every position; with cancel_orders, cancel the open orders first."""
        asked = request.query_params.get("cancel_orders", "false")
        if asked.lower() not in ("true", "false"):
            raise Refusal(422, CLOSE_ALL_BAD, f"invalid cancel_orders: {asked}")
        answers = _canceled(self._floor.cancel_all()) if intake.truth(asked) else []
        for symbol in sorted(self._floor.books.holdings):
            try:
                closing = self._floor.close_position(symbol, None)
                answers.append({"symbol": symbol, "status": 200, "body": wire.order(closing)})
            except Refusal as refused:
                answers.append({"symbol": symbol, "status": refused.status, "body": wire.refusal(refused)})
        return reply(answers, 207)

    async def activities(self, request: Request) -> Response:
        """Answer fills and fees, paged by the last id given."""
        wanted = request.query_params
        kinds = self._kinds(request)
        newest_first = query.choice(wanted, "direction", ("desc", "asc")) == "desc"
        size = query.integer(wanted, "page_size", default=ACTIVITIES_MAX, most=ACTIVITIES_MAX)
        after, until = query.moment(wanted, "after"), query.moment(wanted, "until")
        on, of_order = query.day(wanted, "date"), wanted.get("order_id")
        rows = [
            (at, day, row_id, write)
            for at, day, row_id, order_id, write in self._activity_rows(kinds)
            if (after is None or at > after)
            and (until is None or at < until)
            and (on is None or day == on)
            and (not of_order or order_id == of_order)
        ]
        rows.sort(key=lambda row: row[0], reverse=newest_first)
        token = wanted.get("page_token")
        if token:
            places = [place for place, row in enumerate(rows) if row[2] == token]
            if not places:
                raise Refusal(422, BAD_REQUEST, f"invalid page_token: {token}")
            rows = rows[places[0] + 1 :]
        return reply([write() for _, _, _, write in rows[:size]])

    def _kinds(self, request: Request) -> tuple[str, ...]:
        """Read which activities are asked for, by path, by list or by category."""
        wanted = request.query_params
        named = request.path_params.get("kind")
        if named is not None:
            return (str(named).upper(),)
        kinds = query.words(wanted, "activity_types")
        category = wanted.get("category")
        if kinds and category:
            raise Refusal(422, BAD_REQUEST, "category cannot be used with activity_types")
        if category:
            word = query.choice(wanted, "category", ("trade_activity", "non_trade_activity"))
            return ("FILL",) if word == "trade_activity" else ("FEE",)
        return kinds or ACTIVITY_KINDS

    def _activity_rows(self, kinds: Iterable[str]) -> Iterable[wire.ActivityRow]:
        """Give (instant, New York date, id, order id, writer) of the activities of some kinds."""
        if "FILL" in kinds:
            for done in self._floor.books.executions:
                yield wire.fill_row(done)
        if "FEE" in kinds:
            for charge in self._floor.books.charges:
                yield wire.fee_row(charge)

    def _asset(self, name: str) -> Asset:
        """Find an asset by symbol or id."""
        for asset in self._floor.assets():
            if name == wire.asset_id(asset.symbol):
                return asset
        return self._floor.asset(name)

    def _held(self, request: Request) -> str:
        """Give the symbol of the position named in the path."""
        name = request.path_params["name"]
        for symbol in self._floor.books.holdings:
            if name in (symbol, wire.asset_id(symbol)):
                return symbol
        raise Refusal(404, NOT_FOUND, "position does not exist")


def _canceled(orders: Iterable[VenueOrder]) -> list[wire.Json]:
    """Write the answer of a cancel-all."""
    return [{"id": found.order_id, "status": 200, "body": wire.order(found)} for found in orders]

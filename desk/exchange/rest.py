"""Orders and positions over HTTP (ALPACA.md section 2.1).

Handlers are short and never wait: each reads its parameters, asks the floor once, and writes the
answer. One event loop serves all of them, so the floor is never entered twice at a time.
"""

from collections.abc import Iterable
from decimal import ROUND_DOWN, Decimal

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from desk.exchange import intake, query, wire
from desk.exchange.asking import CancelAnswer
from desk.exchange.door import FrontDoor, reply
from desk.exchange.floor import Floor
from desk.exchange.orders import VenueOrder
from desk.exchange.refusals import BAD_REQUEST, NOT_FOUND, Refusal
from desk.money import FRACTIONAL_LOT

ORDERS_MAX = 500  # ALPACA.md section 2.1
ORDERS_DEFAULT = 50
CLOSE_ALL_BAD = 40010001


class TradingApi:
    """Handlers over one floor."""

    def __init__(self, floor: Floor, door: FrontDoor) -> None:
        """Keep the floor and the door."""
        self._floor = floor
        self._door = door

    def routes(self) -> list[Route]:
        """Give the routes under /v2; fixed paths come before those with a parameter."""
        return self._door.routes(
            ("POST", "/v2/orders", self.submit),
            ("GET", "/v2/orders", self.orders),
            ("DELETE", "/v2/orders", self.cancel_all),
            ("GET", "/v2/orders:by_client_order_id", self.order_by_client_id),
            ("GET", "/v2/orders/{order_id}", self.order),
            ("PATCH", "/v2/orders/{order_id}", self.replace),
            ("DELETE", "/v2/orders/{order_id}", self.cancel),
            ("GET", "/v2/positions", self.positions),
            ("DELETE", "/v2/positions", self.close_all),
            ("GET", "/v2/positions/{name}", self.position),
            ("DELETE", "/v2/positions/{name}", self.close),
        )

    async def submit(self, request: Request) -> Response:
        """Take an order."""
        body = intake.loads(await request.body())
        return reply(self._whole(self._floor.submit(intake.order_request(body))))

    async def replace(self, request: Request) -> Response:
        """Replace an order and answer the new one."""
        body = intake.loads(await request.body())
        asked = intake.replace_request(body)
        return reply(self._whole(self._floor.replace(request.path_params["order_id"], asked)))

    async def orders(self, request: Request) -> Response:
        """Answer a listing of orders."""
        wanted = request.query_params
        status = query.choice(wanted, "status", ("open", "closed", "all"))
        newest_first = query.choice(wanted, "direction", ("desc", "asc")) == "desc"
        limit = query.integer(wanted, "limit", default=ORDERS_DEFAULT, most=ORDERS_MAX)
        after, until = query.moment(wanted, "after"), query.moment(wanted, "until")
        symbols = query.words(wanted, "symbols")
        side = wanted.get("side")
        nested = intake.truth(wanted.get("nested"))
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
            if nested and found.parent_id in stored:
                continue
            if closed_wrong or (symbols and found.symbol not in symbols) or (side and found.side != side):
                continue
            chosen.append(found)
            if len(chosen) == limit:
                break
        return reply([self._whole(found, nested=nested) for found in chosen])

    async def order(self, request: Request) -> Response:
        """Answer an order by id."""
        nested = intake.truth(request.query_params.get("nested"))
        return reply(self._whole(self._floor.blotter.order(request.path_params["order_id"]), nested=nested))

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
        canceled = tuple(self._floor.cancel_all()) if intake.truth(asked) else ()
        # The documents want a symbol in every row, the service names canceled orders by id: both are there.
        rows = zip(canceled, _canceled(canceled), strict=True)
        answers = [{**row, "symbol": one.order.symbol} for one, row in rows]
        for symbol in sorted(self._floor.books.holdings):
            try:
                closing = self._floor.close_position(symbol, None)
                answers.append({"symbol": symbol, "status": 200, "body": wire.order(closing)})
            except Refusal as refused:
                answers.append({"symbol": symbol, "status": refused.status, "body": wire.refusal(refused)})
        return reply(answers, 207)

    def _whole(self, found: VenueOrder, *, nested: bool = True) -> wire.Json:
        """Write an order, its legs inside it if nested."""
        return wire.order(found, self._floor.blotter.legs(found) if nested else ())

    def _held(self, request: Request) -> str:
        """Give the symbol of the position named in the path."""
        name = request.path_params["name"]
        for symbol in self._floor.books.holdings:
            if name in (symbol, wire.asset_id(symbol)):
                return symbol
        raise Refusal(404, NOT_FOUND, "position does not exist")


def _canceled(answers: Iterable[CancelAnswer]) -> list[wire.Json]:
    """Write the answer of a cancel-all: each order, or why it was not taken."""
    return [
        {"id": one.order.order_id, "status": 200, "body": wire.order(one.order)}
        if one.refusal is None
        else {"id": one.order.order_id, "status": one.refusal.status, "body": wire.refusal(one.refusal)}
        for one in answers
    ]

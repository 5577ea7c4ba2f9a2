"""What only a simulated venue has: its clock's handle, a person's hand at the broker, and its books for
the auditor.

`POST /sim/advance {"to": "<instant>"}` plays the market up to then and answers `{"now": "<instant>",
"published": <whether bars or a status were told to somebody>}`, when all market data due until then has gone
out to those who listen. With `"until": "published"` it stops at the first instant at which they were.
`POST /sim/trade {"symbol", "side", "qty"[, "price"]}` trades at once on the account, past every rule.
`POST /sim/halt {"symbol"[, "code", "halted": false]}` and `POST /sim/split {"symbol", "old", "new"}` do that.
`GET /sim/state`, `/sim/orders`, `/sim/fills` and `/sim/books` tell what is. Nothing here asks for keys: it is
for loopback.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from desk.exchange import intake, query, wire
from desk.exchange.broadcast import next_publication
from desk.exchange.door import Handler, reply
from desk.exchange.floor import Floor
from desk.exchange.refusals import BAD_REQUEST, Refusal
from desk.money import ZERO
from schemas.orders import Side

ADVANCE_MAX = timedelta(days=31)  # one call plays a month at most, so a mistyped year cannot hang the venue
ADVANCE_STEP = timedelta(minutes=5)  # what is published in one go: bounds what waits for a listener
PACED = 40910000
HALT_CODE = "T1"  # news pending: the commonest halt
PUBLISHED = "published"


class ControlApi:
    """Handlers over one floor."""

    def __init__(
        self,
        floor: Floor,
        *,
        pace: float | None,
        published: Callable[[], Awaitable[None]],
        told: Callable[[], int],
    ) -> None:
        """Keep the floor and how it is driven.

        Args:
            floor: the venue.
            pace: None in lock step.
            published: waits until what is heard has gone out.
            told: counts how often bars or a status were told to somebody.
        """
        self._floor = floor
        self._pace = pace
        self._published = published
        self._told = told

    def routes(self) -> list[Route]:
        """Give the routes under /sim."""
        table = (
            ("POST", "/sim/advance", self.advance),
            ("POST", "/sim/trade", self.trade),
            ("POST", "/sim/halt", self.halt),
            ("POST", "/sim/split", self.split),
            ("GET", "/sim/state", self.state),
            ("GET", "/sim/fills", self.fills),
            ("GET", "/sim/orders", self.orders),
            ("GET", "/sim/books", self.books),
        )
        return [Route(path, _plain(handler), methods=[verb]) for verb, path, handler in table]

    async def advance(self, request: Request) -> Response:
        """Play the market up to an instant; a past one does nothing."""
        if self._pace is not None:
            raise Refusal(409, PACED, f"the venue runs by itself at {self._pace:g} times real time")
        body = intake.loads(await request.body())
        to = query.moment({"to": intake.text(body, "to")}, "to")
        if to is None:
            raise Refusal(422, BAD_REQUEST, "to is required: the instant to play up to")
        if to - self._floor.now > ADVANCE_MAX:
            now = wire.instant(self._floor.now)
            message = f"to {wire.instant(to)} is more than {ADVANCE_MAX.days} days after {now}"
            raise Refusal(422, BAD_REQUEST, message)
        stops = intake.text(body, "until") == PUBLISHED
        before = self._told()
        while True:
            step = next_publication(self._floor.now) if stops else self._floor.now + ADVANCE_STEP
            self._floor.advance(min(to, step))
            await self._published()
            if self._floor.now >= to or (stops and self._told() > before):
                break
        return reply({"now": wire.instant(self._floor.now), "published": self._told() > before})

    async def trade(self, request: Request) -> Response:
        """Trade by hand."""
        body = intake.loads(await request.body())
        qty = intake.number(body, "qty")
        side = intake.text(body, "side")
        if qty is None or side not in ("buy", "sell"):
            raise Refusal(422, BAD_REQUEST, "symbol, side (buy or sell) and qty are required")
        price = intake.number(body, "price")
        if price is not None and price <= 0:
            raise Refusal(422, BAD_REQUEST, "price must be > 0")
        return reply(
            wire.order(self._floor.trade_by_hand(intake.text(body, "symbol"), Side(side), qty, price))
        )

    async def halt(self, request: Request) -> Response:
        """Halt a symbol's trading, or let it go on with `"halted": false`."""
        body = intake.loads(await request.body())
        symbol, halted = intake.text(body, "symbol"), body.get("halted", True)
        self._floor.asset(symbol)
        if halted in (False, "false"):
            self._floor.unhalt(symbol)
        else:
            self._floor.halt(symbol, intake.text(body, "code") or HALT_CODE)
        return reply({"symbol": symbol, "halted": symbol in self._floor.crossing.halted})

    async def split(self, request: Request) -> Response:
        """Split a symbol's shares now: `old` become `new`."""
        body = intake.loads(await request.body())
        symbol, old, new = intake.text(body, "symbol"), intake.number(body, "old"), intake.number(body, "new")
        self._floor.asset(symbol)
        if old is None or new is None or old <= 0 or new <= 0:
            raise Refusal(422, BAD_REQUEST, "symbol, old and new are required; both numbers must be > 0")
        done = self._floor.split(symbol, old=old, new=new)
        return reply({"symbol": symbol, "adjusted": list(done.adjusted), "canceled": list(done.canceled)})

    async def state(self, request: Request) -> Response:
        """Answer what the venue is doing."""
        floor = self._floor
        return reply(
            {
                "now": wire.instant(floor.now),
                "pace": "lockstep" if self._pace is None else self._pace,
                "session_date": floor.hours.session_date.isoformat(),
                "opens_at": wire.instant(floor.hours.opens_at),
                "closes_at": wire.instant(floor.hours.closes_at),
                "early_close": floor.hours.early_close,
                "is_open": floor.is_open,
                "symbols": list(floor.market.symbols),
                "provider": floor.market.provider,
                "seed": floor.seed,
                "open_orders": len(floor.blotter.open),
                "fills": len(floor.books.executions),
            }
        )

    async def fills(self, request: Request) -> Response:
        """Answer every execution since the venue opened, oldest first."""
        return reply([_fill(self._floor, place) for place in range(len(self._floor.books.executions))])

    async def orders(self, request: Request) -> Response:
        """Answer every order the venue ever took, oldest first, in as few words as an auditor needs."""
        return reply(
            [
                {
                    "order_id": order.order_id,
                    "client_order_id": order.client_order_id,
                    "source": order.source,
                    "symbol": order.symbol,
                    "side": str(order.side),
                    "status": str(order.status),
                    "filled_qty": wire.amount(order.filled_qty),
                    "at": wire.instant(order.created_at),
                }
                for order in self._floor.blotter.orders.values()
            ]
        )

    async def books(self, request: Request) -> Response:
        """Answer cash, positions and fees, as the venue has them."""
        books = self._floor.books
        return reply(
            {
                "now": wire.instant(self._floor.now),
                "starting_cash": wire.amount(books.starting_cash),
                "cash": wire.amount(books.cash),
                "equity": wire.amount(self._floor.totals().equity),
                "accrued_fees": wire.amount(books.accrued_fees),
                "fees_charged": wire.amount(books.fees_charged),
                "fees": wire.amount(sum((done.fee for done in books.executions), ZERO)),
                "positions": {
                    symbol: wire.amount(held.qty) for symbol, held in sorted(books.holdings.items())
                },
                "open_orders": list(self._floor.blotter.open),
                "fills": [_fill(self._floor, place) for place in range(len(books.executions))],
            }
        )


def _fill(floor: Floor, place: int) -> wire.Json:
    """Write an execution with what only the venue knows: its fee and whose hand it was."""
    done = floor.books.executions[place]
    of_order = floor.blotter.orders[done.order_id]
    return {
        "execution_id": done.execution_id,
        "order_id": done.order_id,
        "client_order_id": of_order.client_order_id,
        "source": of_order.source,
        "symbol": done.symbol,
        "side": str(done.side),
        "qty": wire.amount(done.qty),
        "price": wire.amount(done.price),
        "cum_qty": wire.amount(done.cum_qty),
        "position_qty": wire.amount(done.position_qty),
        "fee": wire.amount(done.fee),
        "at": wire.instant(done.at),
        "session_date": done.session_date.isoformat(),
    }


def _plain(handler: Handler) -> Handler:
    """Wrap a handler: refusals as JSON, no keys."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except Refusal as refused:
            return reply(wire.refusal(refused), refused.status)

    return answer


def later(now: datetime, seconds: float, pace: float) -> datetime:
    """Give the venue's time after some real seconds at a pace."""
    return now + timedelta(seconds=seconds * pace)

"""Trades taken back: corrections and cancellations, offered to whoever drives the venue.

On the real tape a few trades a day are reported wrongly and amended later; the stream says so to those who
hear trades (`corrections`, `cancelErrors`), and REST marks the trade it had given (`u`). Which trades, and
how, is up to the driver: `correct` and `cancel` in process, `POST /sim/amend` over HTTP. Orders that were
filled at such a print keep their fills, and the minute's bar stays as it is: revising bars is
`desk.exchange.revisions`.
"""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from desk.exchange import intake, ticks, wire
from desk.exchange.broadcast import Broadcast
from desk.exchange.door import reply
from desk.exchange.floor import Floor
from desk.exchange.refusals import BAD_REQUEST, NOT_FOUND, UNPROCESSABLE, Refusal
from schemas.market_stream import StreamCancel, StreamCorrection, StreamTrade

AMENDED_MAX = 100_000  # kept in memory: a hundred times what a busy day of the real tape has
ACTIONS = ("C", "E")  # canceled, error

Amendment = StreamCorrection | StreamCancel


class Amendments:
    """What was taken back on one floor."""

    def __init__(self, floor: Floor, broadcast: Broadcast) -> None:
        """Begin with nothing."""
        self._floor = floor
        self._broadcast = broadcast
        self._made: dict[tuple[str, int], Amendment] = {}

    def routes(self) -> list[Route]:
        """Give the route under /sim."""
        return [Route("/sim/amend", self.amend, methods=["POST"])]

    async def amend(self, request: Request) -> Response:
        """Correct or cancel a trade: symbol, trade_id, and price and size or action."""
        try:
            body = intake.loads(await request.body())
            symbol, trade_id = intake.text(body, "symbol"), _trade_id(body.get("trade_id"))
            price, size = intake.number(body, "price"), intake.number(body, "size")
            if price is not None and size is not None:
                self.correct(symbol, trade_id, price=float(price), size=int(size))
            else:
                self.cancel(symbol, trade_id, action=intake.text(body, "action") or "C")
        except Refusal as refused:
            return reply(wire.refusal(refused), refused.status)
        return reply({"symbol": symbol, "trade_id": trade_id, "at": wire.instant(self._floor.now)})

    def of(self, symbol: str, trade_id: int) -> Amendment | None:
        """Give what became of a trade, or None where it stands."""
        return self._made.get((symbol, trade_id))

    def correct(self, symbol: str, trade_id: int, *, price: float, size: int) -> StreamCorrection:
        """Say that a trade was otherwise.

        Raises:
            Refusal: there is no such trade today, it was amended already, or the numbers are not positive.
        """
        if price <= 0 or size <= 0:
            raise Refusal(422, UNPROCESSABLE, f"a trade has a price and a size, got {price} and {size}")
        wrong = self._trade(symbol, trade_id)
        right = StreamCorrection(
            symbol=symbol,
            ts=self._floor.now,
            exchange=wrong.exchange,
            original_id=wrong.trade_id,
            original_price=wrong.price,
            original_size=wrong.size,
            original_conditions=wrong.conditions,
            corrected_id=wrong.trade_id + ticks.CORRECTED,
            corrected_price=price,
            corrected_size=size,
            corrected_conditions=wrong.conditions,
            tape=wrong.tape,
        )
        self._keep(symbol, trade_id, right)
        return right

    def cancel(self, symbol: str, trade_id: int, *, action: str = "C") -> StreamCancel:
        """Say that a trade is void: canceled (C), or an error (E).

        Raises:
            Refusal: there is no such trade today, it was amended already, or the action is none.
        """
        if action not in ACTIONS:
            raise Refusal(422, UNPROCESSABLE, f"invalid action: {action}, allowed are {', '.join(ACTIONS)}")
        void = self._trade(symbol, trade_id)
        told = StreamCancel(
            symbol=symbol,
            ts=self._floor.now,
            trade_id=trade_id,
            exchange=void.exchange,
            price=void.price,
            size=void.size,
            action=action,
            tape=void.tape,
        )
        self._keep(symbol, trade_id, told)
        return told

    def _trade(self, symbol: str, trade_id: int) -> StreamTrade:
        """Find a trade of today's tape that was not amended yet."""
        if (symbol, trade_id) in self._made:
            raise Refusal(422, UNPROCESSABLE, f"trade {trade_id} of {symbol} was amended already")
        tape = self._floor.tape
        for tick in ticks.ticks_between(tape, symbol, tape.starts_at, self._floor.now):
            if ticks.trade_id(symbol, tick.seen.at) == trade_id:
                return ticks.trade(symbol, tick, listed_on=self._floor.asset(symbol).exchange)
        raise Refusal(404, NOT_FOUND, f"no trade {trade_id} of {symbol} today")

    def _keep(self, symbol: str, trade_id: int, told: Amendment) -> None:
        """Keep an amendment, the oldest going past the bound, and publish it."""
        if len(self._made) >= AMENDED_MAX:
            del self._made[next(iter(self._made))]
        self._made[symbol, trade_id] = told
        self._broadcast.publish(self._floor.now, [told])


def _trade_id(value: object) -> int:
    """Read a trade's id, a number or its digits.

    Raises:
        Refusal: it is neither.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    raise Refusal(422, BAD_REQUEST, f"invalid trade_id: {value}")

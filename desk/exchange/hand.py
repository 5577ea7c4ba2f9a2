"""A person's hand at the broker, and the statuses no client brings about.

What a fault plan or a test does to the account from outside the protocol: trade past every rule, cancel at
once whatever is under way, reject an order after it was taken, and put it into the rare statuses of ALPACA.md
section 2.5. Statuses move along that table only: an order that waits may be passed from hand to hand or begin
to work; one that works may be stopped, suspended, calculated or done for the day, and go on.
"""

from decimal import Decimal

from desk.exchange.admission import Admission
from desk.exchange.crossing import Crossing
from desk.exchange.lives import Lives
from desk.exchange.orders import OrderRequest, Status, VenueOrder
from desk.exchange.refusals import checked, unprocessable
from schemas.orders import Side

WAITING = frozenset({Status.PENDING_REVIEW, Status.ACCEPTED, Status.PENDING_NEW, Status.ACCEPTED_FOR_BIDDING})
AT_WORK = frozenset(
    {
        Status.NEW,
        Status.PARTIALLY_FILLED,
        Status.STOPPED,
        Status.SUSPENDED,
        Status.CALCULATED,
        Status.DONE_FOR_DAY,
    }
)


class Hand:
    """Acts on one account from outside."""

    def __init__(self, lives: Lives, crossing: Crossing) -> None:
        """Keep what is acted on."""
        self._lives = lives
        self._crossing = crossing

    def trade(self, request: OrderRequest, *, price: Decimal) -> VenueOrder:
        """Trade at once and in full at a price.

        Raises:
            Refusal: the request is wrong by itself.
        """
        draft = checked(request)
        assert draft.qty is not None
        held = self._lives.books.qty(draft.symbol)
        closes = held != 0 and (held > 0) != (draft.side is Side.BUY)
        intent = f"{draft.side}_to_{'close' if closes else 'open'}"
        order = self._lives.record(draft, Admission(intent, Decimal(0)), status=Status.NEW)
        self._lives.emit("new", order, execution_id=self._lives.ids.next("execution"))
        return self._lives.execute(order, qty=draft.qty, price=price)

    def cancel(self, order_id: str) -> VenueOrder:
        """Cancel an open order at once, whatever is under way.

        Raises:
            Refusal: 404 unknown, 422 not open.
        """
        return self._end(order_id, Status.CANCELED, "")

    def reject(self, order_id: str, reason: str) -> VenueOrder:
        """Reject an open order, as an exchange does after the broker took it.

        Raises:
            Refusal: 404 unknown, 422 not open.
        """
        return self._end(order_id, Status.REJECTED, reason)

    def put(self, order_id: str, status: Status) -> VenueOrder:
        """Put an open order into a status.

        Raises:
            Refusal: 404 unknown, 422 the order cannot go there from where it is.
        """
        order = self._lives.blotter.order(order_id)
        if status is Status.NEW and order.status in WAITING:
            self._crossing.enter(order)
            return self._lives.blotter.orders[order_id]
        starts = order.status in WAITING and status in WAITING
        goes = order.status in AT_WORK and status in AT_WORK and status is not Status.PARTIALLY_FILLED
        if not starts and not goes:
            raise unprocessable(f"an order does not go from {order.status} to {status}")
        word = str(status)
        if status is Status.NEW and order.filled_qty > 0:
            status = Status.PARTIALLY_FILLED
        return self._lives.change(order, word, status=status)

    def _end(self, order_id: str, status: Status, reason: str) -> VenueOrder:
        """End an open order."""
        order = self._lives.blotter.order(order_id)
        if not order.is_open:
            raise unprocessable(f'order is already in "{order.status}" state')
        return self._lives.end(order, status, reason)

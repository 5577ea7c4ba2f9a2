"""An order of ours: what was meant, and what became of it.

Theory of operation. An order is one record whatever it is at the broker. A bracket, OCO or OTO is one
order of ours with several broker ids (`leg_ids`). Its executions are told apart by side:

* on the intent's side they fill the order (both halves of an OCO leave the position, so they share its
  quantity);
* on the other side they leave what a bracket's or OTO's entry had bought or sold (`left_qty`). Such an
  order is complete when everything it entered was left again.

So an order with legs is over when that is so, or when the broker says that each of its orders ended
(desk/tracker.py): one half that ended says nothing, because its sibling may still execute.

A replacing order and the one it replaces are two orders. Which of them lives is the broker's to say, and
until it said so both may execute, but not both in full (desk/replacing.py).

The instants of lost answers, first cancel requests and newest executions are memory for people, for the probe
schedule and for splits; they are left out of the state's hash, so ledgers of before they existed still prove
equal.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from itertools import takewhile

from desk.lifecycle import OrderEvent
from desk.positions import ZERO
from schemas.orders import Fill, OrderClass, OrderIntent, OrderState

ID_PREFIX = "mqd-"  # of every client order id this program makes (desk/sizer.py)
_ENTERS_AND_LEAVES = frozenset({OrderClass.BRACKET, OrderClass.OTO})
UNHASHED = frozenset({"lost_at", "probed_at", "cancel_asked_at", "filled_at"})


@dataclass(frozen=True, slots=True)
class Order:
    """One order; changed only by the fold."""

    intent: OrderIntent
    state: OrderState
    planned_at: datetime
    changed_at: datetime
    broker_order_id: str | None = None
    filled_qty: Decimal = ZERO  # on the intent's side
    filled_notional: Decimal = ZERO  # sum of qty x price, USD
    left_qty: Decimal | None = None  # executed by legs against the intent's side; None: nothing
    cancel_requested_at: datetime | None = None  # of the newest request
    cancel_asked_at: datetime | None = None  # of the oldest request
    leg_ids: tuple[str, ...] = ()  # broker ids of its further orders
    replaced_by: str | None = None  # client order id of the order in its place
    replaced_filled: Decimal | None = None  # what the order it replaces had executed when this was planned
    probes: int = 0
    lost_at: datetime | None = None  # when its answer was lost
    probed_at: datetime | None = None  # when the broker last did not know it
    filled_at: datetime | None = None  # when its newest execution was, on either side
    message: str = ""  # the broker's words on a refusal, the cause of a lost answer

    @property
    def remaining_qty(self) -> Decimal:
        """Give the quantity of the intent's side that may still execute: zero once ended."""
        return ZERO if self.state.is_terminal else max(ZERO, self.intent.qty - self.filled_qty)

    @property
    def leaving_qty(self) -> Decimal:
        """Give the quantity its legs may still execute against the intent's side."""
        if self.state.is_terminal or not self.has_legs_against:
            return ZERO
        return max(ZERO, self.filled_qty - (self.left_qty or ZERO))

    @property
    def is_working(self) -> bool:
        """Tell whether it may still execute as far as we know."""
        return not self.state.is_terminal

    @property
    def has_legs(self) -> bool:
        """Tell whether it is several orders at the broker."""
        return self.intent.order_class is not OrderClass.SIMPLE

    @property
    def has_legs_against(self) -> bool:
        """Tell whether its legs leave what it enters."""
        return self.intent.order_class in _ENTERS_AND_LEAVES

    @property
    def broker_ids(self) -> tuple[str, ...]:
        """Give every broker id it has, its own first."""
        return self.leg_ids if self.broker_order_id is None else (self.broker_order_id, *self.leg_ids)

    @property
    def overfilled_qty(self) -> Decimal:
        """Give what was executed beyond what was asked."""
        left = self.left_qty or ZERO
        against = left - self.filled_qty if self.has_legs_against else ZERO
        return max(ZERO, self.filled_qty - self.intent.qty, against)

    @property
    def step(self) -> OrderEvent:
        """Give what the newest execution did: quantities decide whether it completed the order.

        More than was asked for completes it too, because the money moved; reconcile makes it a break.
        """
        if self.filled_qty < self.intent.qty:
            return OrderEvent.PARTIAL_FILL
        if self.has_legs_against and (self.left_qty or ZERO) < self.filled_qty:
            return OrderEvent.PARTIAL_FILL
        return OrderEvent.FILL

    def filled_by(self, fill: Fill, *, changed_at: datetime) -> "Order":
        """Give the order with an execution counted, its state as it was."""
        filled_at = fill.filled_at if self.filled_at is None else max(self.filled_at, fill.filled_at)
        if self.has_legs_against and fill.side is not self.intent.side:
            left_qty = (self.left_qty or ZERO) + fill.qty
            return replace(self, left_qty=left_qty, changed_at=changed_at, filled_at=filled_at)
        return replace(
            self,
            filled_qty=self.filled_qty + fill.qty,
            filled_notional=self.filled_notional + fill.qty * fill.price,
            broker_order_id=self.broker_order_id or fill.broker_order_id,
            changed_at=changed_at,
            filled_at=filled_at,
        )


class Orders(dict[str, Order]):
    """Orders by client order id, oldest first, with those at hand that may still execute.

    A ledger of years has tens of thousands of orders and a handful that work: what is asked every few
    seconds must not look at all of them. Orders come in by `orders[client_order_id] = order` alone.
    """

    def __init__(self) -> None:
        """Start empty."""
        super().__init__()
        self._working: dict[str, Order] = {}
        self._overfilled: dict[str, None] = {}
        self._by_broker_id: dict[str, str] = {}

    def __setitem__(self, client_order_id: str, order: Order) -> None:
        known = self.get(client_order_id)
        super().__setitem__(client_order_id, order)
        for broker_order_id in order.broker_ids:
            self._by_broker_id[broker_order_id] = client_order_id
        if order.filled_qty > order.intent.qty or order.left_qty is not None:
            self._overfilled[client_order_id] = None
        if not order.is_working:
            self._working.pop(client_order_id, None)
        elif known is not None and not known.is_working:  # it came back to life: in its old place
            self._working = {name: each for name, each in self.items() if each.is_working}
        else:
            self._working[client_order_id] = order

    def working(self) -> Iterable[Order]:
        """Give the orders that may still execute, oldest first."""
        return self._working.values()

    def overfilled(self) -> tuple[Order, ...]:
        """Give the orders that executed more than was asked for, oldest first."""
        return tuple(order for name in self._overfilled if (order := self[name]).overfilled_qty > 0)

    @property
    def has_working(self) -> bool:
        """Tell whether any order may still execute."""
        return bool(self._working)

    def by_broker_id(self, broker_order_id: str) -> Order | None:
        """Give the order that has a broker's id, itself or as one of its legs, if any."""
        client_order_id = self._by_broker_id.get(broker_order_id)
        return None if client_order_id is None else self[client_order_id]

    def forget(self, before: datetime) -> None:
        """Forget the orders planned before an instant that ended as they were meant to."""
        old = takewhile(lambda order: order.planned_at < before, self.values())
        for order in [order for order in old if not order.is_working]:
            name = order.intent.client_order_id
            if name not in self._overfilled:
                del self[name]
                for broker_order_id in order.broker_ids:
                    del self._by_broker_id[broker_order_id]

    def of_session(self, session_date: date, *, before: int = 0) -> Iterator[Order]:
        """Give a session's orders, and those of some sessions before it, newest first.

        Sessions follow each other, so older ones end the search.
        """
        seen = session_date
        for order in reversed(self.values()):
            day = order.intent.session_date
            if day < seen:
                seen, before = day, before - 1
            if before < 0:
                return
            if day <= session_date:
                yield order

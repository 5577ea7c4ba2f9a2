"""The life of an order: it is recorded, works, is executed, ends, and everybody is told.

Statuses move along ALPACA.md section 2.5 and nowhere else. Every change goes through here: the record is
kept, the books are booked, the stream's listeners hear the event, and then whoever reacts to it (the other
legs of a group) has its turn.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from desk.exchange.admission import Admission
from desk.exchange.blotter import Blotter
from desk.exchange.books import Books
from desk.exchange.matching import Rules
from desk.exchange.orders import Execution, Ids, Status, VenueEvent, VenueOrder
from desk.exchange.refusals import Draft
from desk.exchange.timeline import Timeline
from desk.hours import next_session
from schemas.orders import OrderClass, TimeInForce

EXTENDED_AFTER = timedelta(hours=4)  # 20:00 New York, 17:00 on an early close

Listener = Callable[[VenueEvent], None]
Reaction = Callable[[VenueOrder, Decimal], None]  # the order as it is now, and the shares just executed


class Lives:
    """Moves the orders of one account."""

    def __init__(
        self, *, timeline: Timeline, blotter: Blotter, books: Books, seed: int, rules: Rules
    ) -> None:
        """Keep the books that change; nobody listens yet."""
        self.timeline = timeline
        self.blotter = blotter
        self.books = books
        self.rules = rules
        self.ids = Ids(seed)
        self.listeners: list[Listener] = []
        self.reactions: list[Reaction] = []
        self._event_ids = Ids(seed)

    def record(
        self, draft: Draft, admission: Admission, *, status: Status, expires_at: datetime | None = None
    ) -> VenueOrder:
        """Make the order of an admitted draft."""
        at = self.timeline.stamp()
        order_id = self.ids.next("order")
        complex_ = draft.order_class != ""
        role = "take_profit" if draft.order_class == OrderClass.OCO else "entry"
        return self.blotter.keep(
            VenueOrder(
                order_id=order_id,
                client_order_id=draft.client_order_id if draft.client_order_id else self.ids.next("client"),
                symbol=draft.symbol,
                side=draft.side,
                qty=draft.qty,
                notional=draft.notional,
                order_type=draft.order_type,
                time_in_force=draft.time_in_force,
                limit_price=draft.limit_price,
                stop_price=draft.stop_price,
                trail_price=draft.trail_price,
                trail_percent=draft.trail_percent,
                extended_hours=draft.extended_hours,
                position_intent=admission.position_intent,
                source=draft.source,
                status=status,
                created_at=at,
                submitted_at=at,
                updated_at=at,
                expires_at=expires_at if expires_at is not None else self.expires_at(draft, at),
                reserve_price=admission.reserve_price,
                qty_price=admission.qty_price,
                order_class=draft.order_class,
                group_id=self.ids.next("group") if complex_ else None,
                group_role=role if complex_ else None,
            )
        )

    def expires_at(self, draft: Draft, at: datetime) -> datetime:
        """Give the instant an order ends by itself."""
        if draft.time_in_force is TimeInForce.GTC:
            return at + self.rules.gtc_life
        hours = self.timeline.hours
        after = EXTENDED_AFTER if draft.extended_hours else timedelta(0)
        if draft.time_in_force is TimeInForce.OPG and self.timeline.now >= hours.opens_at:
            return next_session(hours.session_date).closes_at
        if self.timeline.now < hours.closes_at + after:
            return hours.closes_at + after
        return next_session(hours.session_date).closes_at + after

    def change(self, order: VenueOrder, event: str | None = None, **fields: object) -> VenueOrder:
        """Change fields of an order and, if an event is named, tell it."""
        changed = replace(order, updated_at=self.timeline.stamp(), **fields)  # type: ignore[arg-type]
        self.blotter.keep(changed)
        if event is not None:
            self.emit(event, changed, execution_id=self.ids.next("execution"))
        return changed

    def work(self, order: VenueOrder, *, status: Status = Status.NEW) -> VenueOrder:
        """Make an order working; a held one says nothing."""
        self.blotter.work(order)
        return self.change(order, None if status is Status.HELD else "new", status=status, waits_for=None)

    def resume(self, order: VenueOrder, event: str) -> VenueOrder:
        """Give an order back the status it had before something was asked of it."""
        back = order.resumes if order.resumes is not None else order.status
        if order.filled_qty > 0 and back is Status.NEW:
            back = Status.PARTIALLY_FILLED
        return self.change(order, event, status=back, resumes=None, cancel_requested_at=None)

    def execute(self, order: VenueOrder, *, qty: Decimal, price: Decimal) -> VenueOrder:
        """Fill an order, book it and tell."""
        at = self.timeline.stamp()
        filled = self.blotter.keep(order.filled(qty=qty, price=price, at=at))
        session_date = self.timeline.hours.session_date
        done = Execution(
            execution_id=self.ids.next("execution"),
            order_id=filled.order_id,
            symbol=filled.symbol,
            side=filled.side,
            qty=qty,
            price=price,
            cum_qty=filled.filled_qty,
            leaves_qty=filled.remaining if filled.status.is_open else Decimal(0),
            order_status=filled.status,
            fee=self.rules.fees.of(side=filled.side, qty=qty, price=price, day=session_date),
            position_qty=self.books.position_after(symbol=filled.symbol, side=filled.side, qty=qty),
            at=at,
            session_date=session_date,
        )
        self.books.book(done)
        event = "fill" if filled.status is Status.FILLED else "partial_fill"
        self.emit(event, filled, execution_id=done.execution_id, execution=done)
        self._react(filled, qty)
        return filled

    def end(self, order: VenueOrder, status: Status, reason: str = "") -> VenueOrder:
        """Cancel, expire, reject or replace an order and tell."""
        at = self.timeline.stamp()
        moment = {
            Status.CANCELED: "canceled_at",
            Status.EXPIRED: "expired_at",
            Status.REJECTED: "failed_at",
            Status.REPLACED: "replaced_at",
        }[status]
        changes: dict[str, object] = {moment: at, "reject_reason": reason, "resumes": None}
        ended = replace(order, status=status, updated_at=at, **changes)  # type: ignore[arg-type]
        self.blotter.keep(ended)
        self.emit(str(status), ended, execution_id=self.ids.next("execution"))
        self._react(ended, Decimal(0))
        return ended

    def emit(
        self,
        event: str,
        order: VenueOrder,
        *,
        execution_id: str | None = None,
        execution: Execution | None = None,
    ) -> None:
        """Tell the listeners."""
        if self.listeners:
            told = VenueEvent(
                event, order, order.updated_at, self._event_ids.next("event"), execution_id, execution
            )
            for listener in tuple(self.listeners):
                listener(told)

    def _react(self, order: VenueOrder, executed: Decimal) -> None:
        """Let the others of a group have their turn."""
        if order.order_class != "":
            for reaction in self.reactions:
                reaction(order, executed)

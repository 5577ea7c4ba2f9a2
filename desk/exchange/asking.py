"""What a client asks of an open order: a cancel, or a replacement.

Both are asked and then done: at once, or after `cancel_takes` and `replace_takes` of venue time, with the
order `pending_cancel` or `pending_replace` in between; an order that is not at the exchange (accepted, held,
suspended, ...) is the broker's own to change, at once. What is under way goes on meeting the market, so a
fill can win; then the stream says `order_cancel_rejected` or `order_replace_rejected`.

A replacement is a new order with an id of its own; the old one ends as `replaced`. It asks for the quantity
stated, or else for the ORIGINAL quantity, whatever the old one had executed (Alpaca-API #165, open since
2021): a price-only replace of a partly filled order re-opens all of it. While it is under way the account
holds the larger of both orders' buying power.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import ROUND_UP, Decimal

from desk.exchange.admission import Admission, check_available, check_window
from desk.exchange.crossing import Crossing
from desk.exchange.groups import Groups
from desk.exchange.lives import Lives
from desk.exchange.orders import RESERVE_STEP, ReplaceRequest, Status, VenueOrder
from desk.exchange.refusals import Draft, Refusal, unprocessable
from desk.exchange.replacement import draft_of
from desk.money import ZERO
from schemas.orders import OrderType

NOT_REPLACEABLE = frozenset(
    {
        Status.ACCEPTED,
        Status.PENDING_NEW,
        Status.PENDING_CANCEL,
        Status.PENDING_REPLACE,
        Status.PENDING_REVIEW,
        Status.ACCEPTED_FOR_BIDDING,
    }
)
# Told "cancel" or "replace" and the order asked about, before it is judged; it may act on the order.
Warned = Callable[[str, VenueOrder], None]
AT_EXCHANGE = frozenset({Status.NEW, Status.PARTIALLY_FILLED})  # others are the broker's to change at once
Admit = Callable[[Draft, VenueOrder], Admission]  # judges a draft in the place of an open order


@dataclass(frozen=True, slots=True)
class CancelAnswer:
    """What one order of a cancel-all was answered."""

    order: VenueOrder
    refusal: Refusal | None


class Asking:
    """Takes the requests of one account about its open orders."""

    def __init__(self, lives: Lives, groups: Groups, crossing: Crossing, admit: Admit) -> None:
        """Answer at once until told otherwise."""
        self.cancel_takes = timedelta(0)
        self.replace_takes = timedelta(0)
        self.warned: list[Warned] = []
        self._lives = lives
        self._groups = groups
        self._crossing = crossing
        self._admit = admit
        self._blotter = lives.blotter
        self._reserves: dict[str, Decimal] = {}  # what a replacement's share holds once it has taken over

    # --- cancel ---

    def cancel(self, order_id: str) -> None:
        """Ask for a cancel; one canceled, or asked for already, may be asked for again.

        Raises:
            Refusal: 404 unknown, 422 ended otherwise or being replaced.
        """
        order = self._warn("cancel", order_id)
        if order.status is Status.CANCELED or (order.is_open and order.cancel_requested_at is not None):
            return
        if not order.is_open:
            raise unprocessable(f'order is already in "{order.status}" state')
        if order_id in self._blotter.replacing or order.waits_for is not None:
            raise unprocessable("cannot cancel order in pending_replace status")
        timeline = self._lives.timeline
        if self.cancel_takes <= timedelta(0) or order.status not in AT_EXCHANGE:
            self._lives.end(replace(order, cancel_requested_at=timeline.now), Status.CANCELED)
            return
        self._lives.change(
            order,
            "pending_cancel",
            status=Status.PENDING_CANCEL,
            resumes=order.status,
            cancel_requested_at=timeline.now,
        )
        asked_at = timeline.now
        timeline.at(asked_at + self.cancel_takes, lambda: self._cancel_due(order_id, asked_at))

    def cancel_all(self) -> tuple[CancelAnswer, ...]:
        """Ask for a cancel of every open order and give each as it is then."""
        answers: list[tuple[str, Refusal | None]] = []
        for order_id in tuple(self._blotter.open):
            refusal: Refusal | None = None
            try:
                self.cancel(order_id)
            except Refusal as refused:
                refusal = refused
            answers.append((order_id, refusal))
        return tuple(CancelAnswer(self._blotter.orders[order_id], refusal) for order_id, refusal in answers)

    def refuse_cancel(self, order_id: str) -> VenueOrder:
        """Refuse a cancel under way: the order is again what it was.

        Raises:
            Refusal: 404 unknown, 422 no cancel is under way.
        """
        order = self._blotter.order(order_id)
        if not order.is_open or order.cancel_requested_at is None:
            raise unprocessable("no cancel is under way")
        return self._lives.resume(order, "order_cancel_rejected")

    def _warn(self, asked: str, order_id: str) -> VenueOrder:
        """Tell of a request, and give the order as it is then.

        Raises:
            Refusal: 404 unknown.
        """
        for warned in self.warned:
            warned(asked, self._blotter.order(order_id))
        return self._blotter.order(order_id)

    def _cancel_due(self, order_id: str, asked_at: datetime) -> None:
        """End an order whose cancel has arrived; a fill may have won, or the cancel failed before."""
        order = self._blotter.orders[order_id]
        if order.is_open and order.cancel_requested_at == asked_at:
            self._lives.end(order, Status.CANCELED)
        elif order.status is Status.FILLED:
            self._lives.emit("order_cancel_rejected", order, execution_id=self._lives.ids.next("execution"))

    # --- replace ---

    def replace(self, order_id: str, request: ReplaceRequest) -> VenueOrder:
        """Ask for a replacement and give the NEW order as first answered.

        Raises:
            Refusal: 404 unknown; 422 in this status, unchanged or against a rule; 403 as for a new order.
        """
        old = self._warn("replace", order_id)
        self._check_status(old)
        draft = draft_of(old, request)
        self._blotter.check_unused(draft.client_order_id)
        if old.parent_id is None:
            check_window(draft.time_in_force, self._lives.timeline.now, self._lives.timeline.hours)
            admission = self._admit(draft, old)
        else:
            self._check_pair(old, draft)
            self._check_leg_qty(old, draft)
            admission = Admission(old.position_intent, ZERO)
        new = self._record(old, draft, admission)
        self._blotter.replacing[order_id] = new.order_id
        answered = replace(new, leg_ids=old.leg_ids)
        if self.replace_takes <= timedelta(0) or old.status not in AT_EXCHANGE:
            self._replace_due(order_id)
            return answered
        was = old.status
        self._lives.change(old, "pending_replace", status=Status.PENDING_REPLACE, resumes=was)
        timeline = self._lives.timeline
        timeline.at(timeline.now + self.replace_takes, lambda: self._replace_due(order_id, new.order_id))
        return answered

    def refuse_replace(self, order_id: str) -> VenueOrder:
        """Refuse a replacement under way: the old order is again what it was, the new one is rejected.

        Raises:
            Refusal: 404 unknown, 422 no replacement is under way.
        """
        old = self._blotter.order(order_id)
        new_id = self._blotter.replacing.pop(order_id, None)
        if new_id is None:
            raise unprocessable("no replacement is under way")
        self._reject(self._blotter.orders[new_id], old, "replace rejected")
        return self._blotter.orders[order_id]

    def _check_status(self, old: VenueOrder) -> None:
        """Refuse what cannot be replaced now."""
        if old.status is Status.REPLACED:
            raise unprocessable("order already replaced")
        if not old.is_open:
            raise unprocessable("order is not open")
        status = Status.PENDING_REPLACE if old.order_id in self._blotter.replacing else old.status
        if old.cancel_requested_at is not None:
            status = Status.PENDING_CANCEL
        if status in NOT_REPLACEABLE:
            raise unprocessable(f"cannot replace order in {status} status")

    def _check_pair(self, old: VenueOrder, draft: Draft) -> None:
        """Keep the take-profit of a leg's pair beyond its stop."""
        for other in self._groups.siblings(old):
            profit, stop = (draft, other) if old.group_role == "take_profit" else (other, draft)
            if profit.limit_price is None or stop.stop_price is None:
                continue
            if (profit.limit_price - stop.stop_price) * -old.side.sign <= 0:
                sign = ">" if old.side.sign < 0 else "<"
                raise unprocessable(f"take_profit.limit_price must be {sign} stop_loss.stop_price")

    def _check_leg_qty(self, old: VenueOrder, draft: Draft) -> None:
        """Refuse a working leg that would ask for more than is left of the position."""
        if self._blotter.is_working(old.order_id):
            assert draft.qty is not None
            check_available(draft, draft.qty, self._lives.books.qty(old.symbol), self._others(old))

    def _others(self, old: VenueOrder) -> list[VenueOrder]:
        """Give the symbol's open orders that share nothing with this one."""
        grouped = old.group_id is not None
        return [
            other
            for other in self._blotter.open_of(old.symbol)
            if other.order_id != old.order_id and not (grouped and other.group_id == old.group_id)
        ]

    def _record(self, old: VenueOrder, draft: Draft, admission: Admission) -> VenueOrder:
        """Make the new order; until it takes over it holds what it needs beyond the old one."""
        same_force = draft.time_in_force is old.time_in_force
        new = self._lives.record(
            replace(draft, order_class=""),
            admission,
            status=Status.HELD if old.status is Status.HELD else Status.PENDING_NEW,
            expires_at=old.expires_at if same_force else None,
        )
        assert new.qty is not None
        self._reserves[new.order_id] = admission.reserve_price
        more = max(new.qty * admission.reserve_price - old.reserved, ZERO)
        beyond = (more / new.qty).quantize(RESERVE_STEP, ROUND_UP)
        return self._blotter.keep(
            replace(
                new,
                created_at=old.created_at,
                replaces=old.order_id,
                waits_for=old.order_id,
                reserve_price=beyond,
                triggered=old.triggered and old.stop_price == new.stop_price,
                hwm=old.hwm,
                order_class=old.order_class,
                group_id=old.group_id,
                group_role=old.group_role,
            )
        )

    def _replace_due(self, order_id: str, expected: str | None = None) -> None:
        """Let a replacement take over, unless what it replaces has ended or it has."""
        new_id = self._blotter.replacing.get(order_id)
        if new_id is None or expected not in (None, new_id):
            return
        del self._blotter.replacing[order_id]
        old, new = self._blotter.orders[order_id], self._blotter.orders[new_id]
        problem = self._problem(old, new)
        if problem is not None:
            self._reject(new, old, problem)
            return
        was = old.resumes if old.resumes is not None else old.status
        works = self._blotter.is_working(order_id)
        self._lives.end(replace(old, replaced_by=new_id), Status.REPLACED)
        new = self._groups.hand_over(self._blotter.orders[order_id], new)
        new = self._blotter.keep(replace(new, reserve_price=self._reserves.pop(new_id)))
        if new.order_type is OrderType.TRAILING_STOP and new.hwm is not None:
            new = replace(new, hwm=None).trailed(new.hwm)
        if was is Status.HELD and not works:
            self._blotter.keep(replace(new, waits_for=None))
            return
        new = self._crossing.work(new, status=Status.HELD if was is Status.HELD else Status.NEW)
        self._crossing.meet_live(new)

    def _problem(self, old: VenueOrder, new: VenueOrder) -> str | None:
        """Say why a replacement cannot take over, or None."""
        assert new.qty is not None
        if not old.is_open:
            return "order is not open"
        if not new.is_open:
            return "replacement was canceled"
        if new.qty <= old.filled_qty and old.filled_qty > 0:
            return "qty must be > filled_qty"
        if new.position_intent.endswith("_to_close") and self._blotter.is_working(old.order_id):
            held = sum((o.shares_held for o in self._others(old) if o.side is new.side), ZERO)
            if new.qty > abs(self._lives.books.qty(new.symbol)) - held:
                return "insufficient qty available for order"
        return None

    def _reject(self, new: VenueOrder, old: VenueOrder, reason: str) -> None:
        """End a replacement that cannot take over; the old order is what it was."""
        if old.is_open:
            self._lives.resume(old, "order_replace_rejected")
        else:
            self._lives.emit("order_replace_rejected", old, execution_id=self._lives.ids.next("execution"))
        self._reserves.pop(new.order_id, None)
        if new.is_open:
            self._lives.end(replace(new, reserve_price=ZERO), Status.REJECTED, reason)

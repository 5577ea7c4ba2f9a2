"""Brackets, oco and oto: what the orders of a group do to each other (ALPACA.md section 2.3).

- Legs of a bracket or oto are `held` until the entry is filled completely. Then the take-profit goes `new`;
  the stop stays `held` beside it and watches the market, or goes `new` when it is the only leg.
- An oco is its take-profit; its stop is a leg that watches from the start.
- Of a pair, what one executes the other no longer asks for: a full fill cancels it, a partial fill reduces
  its quantity (told as `restated`). Whatever else ends one ends the other.
- An entry that ends without being filled ends its legs, also after a partial fill: those shares are left
  without their stop, as at the real service.
- A replaced order hands its place in the group to its replacement.
"""

from dataclasses import replace
from decimal import Decimal

from desk.exchange.lives import Lives
from desk.exchange.orders import Status, VenueOrder
from desk.exchange.refusals import Draft
from schemas.orders import OrderClass, OrderType

_CLOSING = {"buy": "sell_to_close", "sell": "buy_to_close"}  # of an entry's side


class Groups:
    """Keeps the groups of one account together."""

    def __init__(self, lives: Lives) -> None:
        """React to what happens to grouped orders."""
        self._lives = lives
        self._blotter = lives.blotter
        lives.reactions.append(self._after)

    def record_legs(self, parent: VenueOrder, draft: Draft) -> VenueOrder:
        """Make the legs of a grouped order and give the order knowing them."""
        is_oco = parent.order_class == OrderClass.OCO
        legs: list[VenueOrder] = []
        if draft.take_profit_price is not None and not is_oco:
            legs.append(self._leg(parent, "take_profit", OrderType.LIMIT, limit=draft.take_profit_price))
        if draft.stop_loss_price is not None:
            limit = draft.stop_loss_limit_price
            kind = OrderType.STOP if limit is None else OrderType.STOP_LIMIT
            legs.append(self._leg(parent, "stop_loss", kind, limit=limit, stop=draft.stop_loss_price))
        return self._blotter.keep(replace(parent, leg_ids=tuple(leg.order_id for leg in legs)))

    def after_work(self, order: VenueOrder) -> None:
        """Let the stop of an oco watch as soon as its take-profit works."""
        if order.order_class == OrderClass.OCO:
            for leg in self._blotter.legs(order):
                if leg.status is Status.HELD and not self._blotter.is_working(leg.order_id):
                    self._lives.work(leg, status=Status.HELD)

    def hand_over(self, old: VenueOrder, new: VenueOrder) -> VenueOrder:
        """Give a replacement the place of what it replaces; give it as it is then."""
        if old.parent_id is not None:
            parent = self._blotter.orders[old.parent_id]
            ids = tuple(new.order_id if leg_id == old.order_id else leg_id for leg_id in parent.leg_ids)
            self._blotter.keep(replace(parent, leg_ids=ids))
        for leg in self._blotter.legs(old):
            self._blotter.keep(replace(leg, parent_id=new.order_id))
        return self._blotter.keep(replace(new, parent_id=old.parent_id, leg_ids=old.leg_ids))

    def siblings(self, order: VenueOrder) -> tuple[VenueOrder, ...]:
        """Give the open orders that share their shares with this one."""
        if order.parent_id is None:
            found = self._blotter.legs(order) if order.order_class == OrderClass.OCO else ()
        else:
            parent = self._blotter.orders[order.parent_id]
            found = self._blotter.legs(parent)
            if parent.order_class == OrderClass.OCO:
                found = (parent, *found)
        return tuple(one for one in found if one.order_id != order.order_id and one.is_open)

    def _after(self, order: VenueOrder, executed: Decimal) -> None:
        """React to an execution or an end."""
        if order.status is Status.REPLACED:
            return
        is_entry = order.parent_id is None and order.order_class != OrderClass.OCO
        if is_entry and order.is_open:
            return
        if is_entry and order.status is Status.FILLED:
            self._open_legs(order)
            return
        others = self._blotter.legs(order) if is_entry else self.siblings(order)
        for other in others:
            now = self._blotter.orders[other.order_id]
            if not now.is_open:
                continue
            if order.is_open:
                self._reduce(now, executed)
            else:
                expired = order.status is Status.EXPIRED
                self._lives.end(now, Status.EXPIRED if expired else Status.CANCELED)

    def _reduce(self, other: VenueOrder, executed: Decimal) -> None:
        """Take executed shares off what the sibling asks for."""
        assert other.qty is not None
        left = other.qty - executed
        if left <= other.filled_qty:
            self._lives.end(other, Status.CANCELED)
        else:
            self._lives.change(other, "restated", qty=left)

    def _open_legs(self, entry: VenueOrder) -> None:
        """Let the legs of a filled entry work."""
        legs = [leg for leg in self._blotter.legs(entry) if leg.status is Status.HELD]
        for leg in legs:
            watches = len(legs) > 1 and leg.group_role == "stop_loss"
            ready = replace(leg, qty=entry.filled_qty)
            self._lives.work(ready, status=Status.HELD if watches else Status.NEW)

    def _leg(
        self,
        parent: VenueOrder,
        role: str,
        kind: OrderType,
        *,
        limit: Decimal | None,
        stop: Decimal | None = None,
    ) -> VenueOrder:
        """Make one leg."""
        is_oco = parent.order_class == OrderClass.OCO
        at = self._lives.timeline.stamp()
        return self._blotter.keep(
            replace(
                parent,
                order_id=self._lives.ids.next("order"),
                client_order_id=self._lives.ids.next("client"),
                side=parent.side if is_oco else parent.side.opposite,
                order_type=kind,
                limit_price=limit,
                stop_price=stop,
                position_intent=parent.position_intent if is_oco else _CLOSING[str(parent.side)],
                status=Status.HELD,
                created_at=at,
                submitted_at=at,
                updated_at=at,
                reserve_price=Decimal(0),
                parent_id=parent.order_id,
                leg_ids=(),
                group_role=role,
            )
        )

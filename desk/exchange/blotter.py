"""The venue's orders: by id, by client order id, open, working, and what they hold.

One rule keeps the indexes right: an order enters and changes only through `keep`, which takes the record
as it is now. Dictionaries keep the order of arrival, so listings are oldest first without sorting.
"""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from itertools import takewhile

from desk.exchange.orders import VenueOrder
from desk.exchange.refusals import BAD_REQUEST, NOT_FOUND, UNPROCESSABLE, Refusal
from desk.money import ZERO
from schemas.orders import Side

_ABSENT = object()


@dataclass(slots=True)
class Blotter:
    """Every order of the account since the venue opened."""

    orders: dict[str, VenueOrder] = field(default_factory=dict)
    open: dict[str, VenueOrder] = field(default_factory=dict)
    reserved: Decimal = ZERO  # buying power held by open orders, USD
    replacing: dict[str, str] = field(default_factory=dict)  # order -> its replacement under way
    _by_client_id: dict[str, str] = field(default_factory=dict)
    _open_of: dict[str, dict[str, VenueOrder]] = field(default_factory=dict)
    _working: dict[str, dict[str, object]] = field(default_factory=dict)

    def keep(self, order: VenueOrder) -> VenueOrder:
        """Store an order as it is now."""
        known = self.orders.get(order.order_id)
        if known is None:
            self._by_client_id[order.client_order_id] = order.order_id
        self.reserved += order.reserved - (ZERO if known is None else known.reserved)
        self.orders[order.order_id] = order
        of_symbol = self._open_of.setdefault(order.symbol, {})
        if order.status.is_open:
            self.open[order.order_id] = of_symbol[order.order_id] = order
        else:
            self.open.pop(order.order_id, None)
            of_symbol.pop(order.order_id, None)
            self._rest(order)
        return order

    def work(self, order: VenueOrder) -> None:
        """Let an order meet the market from now on, after those that work already."""
        self._working.setdefault(order.symbol, {})[order.order_id] = None

    def _rest(self, order: VenueOrder) -> None:
        """Let an order meet the market no more; a symbol without working orders is forgotten."""
        working = self._working.get(order.symbol)
        if working is not None and working.pop(order.order_id, _ABSENT) is None and len(working) == 0:
            del self._working[order.symbol]

    def working_symbols(self) -> tuple[str, ...]:
        """Give the symbols with working orders."""
        return tuple(self._working)

    def is_working(self, order_id: str) -> bool:
        """Tell whether an order meets the market."""
        order = self.orders[order_id]
        return order_id in self._working.get(order.symbol, {})

    def legs(self, order: VenueOrder) -> tuple[VenueOrder, ...]:
        """Give an order's legs, take-profit first."""
        return tuple(self.orders[leg_id] for leg_id in order.leg_ids)

    def working(self, symbol: str) -> tuple[VenueOrder, ...]:
        """Give a symbol's working orders, oldest first."""
        return tuple(self.orders[order_id] for order_id in self._working.get(symbol, ()))

    def open_of(self, symbol: str) -> tuple[VenueOrder, ...]:
        """Give a symbol's open orders, oldest first."""
        return tuple(self._open_of.get(symbol, {}).values())

    def open_qty(self, symbol: str, side: Side) -> Decimal:
        """Give the shares that a symbol's open orders of one side keep from others."""
        return sum((order.shares_held for order in self.open_of(symbol) if order.side is side), ZERO)

    def order(self, order_id: str) -> VenueOrder:
        """Give an order.

        Raises:
            Refusal: 404.
        """
        found = self.orders.get(order_id)
        if found is None:
            raise Refusal(404, NOT_FOUND, f"order not found for {order_id}")
        return found

    def order_by_client_id(self, client_order_id: str) -> VenueOrder:
        """Give the order of a client order id.

        Raises:
            Refusal: 404.
        """
        order_id = self._by_client_id.get(client_order_id)
        if order_id is None:
            raise Refusal(404, NOT_FOUND, f"order not found for {client_order_id}")
        return self.orders[order_id]

    def forget(self, before: datetime) -> None:
        """Forget the orders submitted before an instant that ended; their client order ids are free again."""
        old = takewhile(lambda order: order.submitted_at < before, self.orders.values())
        for order in [order for order in old if not order.status.is_open]:
            del self.orders[order.order_id], self._by_client_id[order.client_order_id]

    def check_unused(self, client_order_id: str | None) -> None:
        """Refuse a client order id that was used.

        Raises:
            Refusal: 422; the code depends on whether its order is still open.
        """
        order_id = None if client_order_id is None else self._by_client_id.get(client_order_id)
        if order_id is not None:
            code = UNPROCESSABLE if self.orders[order_id].status.is_open else BAD_REQUEST
            raise Refusal(422, code, "client_order_id must be unique")

"""What a replacement asks for: the old order with the changes a client names, as a new draft.

The quantity is the one stated, or else the ORIGINAL one, whatever was executed (Alpaca-API #165). Only whole
shares can be stated; orders in USD are not replaced at all, grouped ones keep quantity and time in force.
"""

from dataclasses import replace
from decimal import Decimal

from desk.exchange.orders import OrderRequest, ReplaceRequest, VenueOrder
from desk.exchange.refusals import Draft, bad, checked, unprocessable
from desk.money import is_whole
from schemas.orders import OrderType


def draft_of(old: VenueOrder, request: ReplaceRequest) -> Draft:
    """Give the new order's draft; what is not named stays.

    Raises:
        Refusal: nothing changes, or not so.
    """
    qty = _qty(old, request)
    trail_price, trail_percent = old.trail_price, old.trail_percent
    if request.trail is not None:
        if old.order_type is not OrderType.TRAILING_STOP:
            raise bad("trail is for trailing stop orders only")
        if trail_price is not None:
            trail_price = request.trail
        else:
            trail_percent = request.trail
    trails = old.order_type is OrderType.TRAILING_STOP
    stop = request.stop_price if request.stop_price is not None or trails else old.stop_price
    limit = request.limit_price if request.limit_price is not None else old.limit_price
    force = request.time_in_force if request.time_in_force else str(old.time_in_force)
    asked = (qty, limit, force, trail_price, trail_percent)
    had = (old.qty, old.limit_price, str(old.time_in_force), old.trail_price, old.trail_percent)
    if asked == had and stop == (None if trails else old.stop_price):
        raise unprocessable("order parameters are not changed")
    draft = checked(
        OrderRequest(
            symbol=old.symbol,
            side=str(old.side),
            order_type=str(old.order_type),
            time_in_force=force,
            qty=qty,
            limit_price=limit,
            stop_price=stop,
            extended_hours=old.extended_hours,
            client_order_id=request.client_order_id,
            source=old.source,
            trail_price=trail_price,
            trail_percent=trail_percent,
        )
    )
    if old.is_complex and draft.time_in_force is not old.time_in_force:
        raise unprocessable(f"time_in_force of {old.order_class} orders cannot be changed")
    return replace(draft, order_class=old.order_class)


def _qty(old: VenueOrder, request: ReplaceRequest) -> Decimal | None:
    """Give the quantity the new order asks for: the one stated, or the ORIGINAL one."""
    if old.qty is None or request.notional is not None:
        raise unprocessable("notional orders cannot be replaced")
    if request.qty is None or request.qty == old.qty:
        return old.qty
    if not request.qty.is_finite() or request.qty <= 0:
        raise bad("qty must be > 0")
    if not is_whole(old.qty) or not is_whole(request.qty):
        raise unprocessable("qty of fractional orders cannot be changed")
    if old.is_complex:
        raise unprocessable(f"qty of {old.order_class} orders cannot be changed")
    if request.qty <= old.filled_qty:
        raise unprocessable("qty must be > filled_qty")
    return request.qty

"""A split over open positions and orders.

Positions: each share becomes `new / old` shares at the same cost. Open orders, after FINRA rule 5330, which
brokers follow: a reverse split cancels them; a split adjusts quantity and prices in place, quantity rounded
down to whole shares (or to a billionth, where it was a part of a share), prices to the tick, a buy's down and
a sell's up, told as `restated`. What an order had executed before stays as it was executed. Bars are the
market's business: a market with a split in it shows it by itself.
"""

from dataclasses import replace
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_UP, Decimal

from desk.exchange.lives import Lives
from desk.exchange.orders import RESERVE_STEP, SplitDone, Status, VenueOrder
from desk.money import FRACTIONAL_LOT, WHOLE_LOT, is_whole, tick_size
from schemas.orders import Side


def apply_split(lives: Lives, *, symbol: str, old: Decimal, new: Decimal) -> SplitDone:
    """Apply a split now: `old` shares become `new`; give what it did.

    Raises:
        ValueError: a number of shares is not positive.
    """
    if old <= 0 or new <= 0:
        raise ValueError(f"a split is of positive numbers of shares, got {old} for {new}")
    before = lives.books.qty(symbol)
    lives.books.split(symbol, old=old, new=new)
    adjusted: list[str] = []
    canceled: list[str] = []
    for found in lives.blotter.open_of(symbol):
        order = lives.blotter.orders[found.order_id]
        if not order.is_open:
            canceled.append(order.order_id)  # with another of its group
            continue
        changed = None if new < old else _adjusted(order, old=old, new=new)
        if changed is None:
            lives.end(order, Status.CANCELED)
            canceled.append(order.order_id)
        else:
            lives.change(changed, "restated")
            adjusted.append(order.order_id)
    return SplitDone(
        symbol=symbol,
        old=old,
        new=new,
        at=lives.timeline.stamp(),
        adjusted=tuple(adjusted),
        canceled=tuple(canceled),
        before=before,
        after=lives.books.qty(symbol),
    )


def _adjusted(order: VenueOrder, *, old: Decimal, new: Decimal) -> VenueOrder | None:
    """Give an order after a split, or None when nothing of it is left to ask for."""
    qty, ratio = order.qty, new / old
    if qty is not None:
        lot = WHOLE_LOT if is_whole(qty) else FRACTIONAL_LOT
        left = ((qty - order.filled_qty) * new / old).quantize(lot, ROUND_DOWN)
        if left <= 0:
            return None
        qty = order.filled_qty + left
    return replace(
        order,
        qty=qty,
        limit_price=_price(order.limit_price, order.side, ratio),
        stop_price=_price(order.stop_price, order.side, ratio),
        trail_price=_price(order.trail_price, order.side, ratio),
        hwm=None if order.hwm is None else order.hwm / ratio,
        reserve_price=(order.reserve_price / ratio).quantize(RESERVE_STEP, ROUND_UP),
        qty_price=order.qty_price / ratio,
    )


def _price(price: Decimal | None, side: Side, ratio: Decimal) -> Decimal | None:
    """Give a price after a split, on its tick."""
    if price is None:
        return None
    raw = price / ratio
    step = tick_size(raw)
    rounding = ROUND_FLOOR if side is Side.BUY else ROUND_CEILING
    return max((raw / step).to_integral_value(rounding) * step, step)

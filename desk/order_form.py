"""Is an order well formed: would the broker read it as what was meant? (BAD_ORDER)

Every rule here is the broker's own (ALPACA.md §2.3, §2.4) and is judged before anything is sent, because a
refusal costs a request and, for an exit, time. Prices must be legal ticks, quantities legal lots; a trail
is one of amount and percent; a bracket and an oco have a take-profit and a stop-loss, an oto one of them,
on the right sides of each other and, for an entry, of its price; a bracket enters and an oco leaves.

Left out: what depends on the book or the market, which are the other rules of desk/eligibility.py.
"""

from decimal import Decimal

from desk.exposure import order_price
from desk.money import is_legal_price, is_legal_qty, plain
from schemas.account import SessionHours
from schemas.orders import OrderClass, OrderIntent, OrderType, Purpose, TimeInForce

CLIENT_ORDER_ID_MAX = 128  # Alpaca's own limit (ALPACA.md §2.3)
TRAIL_PERCENT_MIN = Decimal("0.1")  # ALPACA.md §2.4
LEGS = {OrderClass.SIMPLE: 0, OrderClass.BRACKET: 2, OrderClass.OCO: 2, OrderClass.OTO: 1}


def form_fault(intent: OrderIntent, *, session: SessionHours | None, flatten: bool) -> str | None:
    """Give the first thing wrong with an order's form, or None.

    Args:
        intent: the order.
        session: today's; None when there is none.
        flatten: whether it is the kill switch's or a person's flatten.
    """
    wants_limit = intent.order_type in (OrderType.LIMIT, OrderType.STOP_LIMIT)
    wants_stop = intent.order_type in (OrderType.STOP, OrderType.STOP_LIMIT)
    if not 1 <= len(intent.client_order_id) <= CLIENT_ORDER_ID_MAX:
        return (
            f"client order id of {len(intent.client_order_id)} characters, 1 to {CLIENT_ORDER_ID_MAX} allowed"
        )
    if not is_legal_qty(intent.qty):
        return f"quantity {intent.qty} must be positive with at most 9 decimals"
    fault = _trail_fault(intent) or _leg_fault(intent) or _extended_fault(intent)
    if fault is not None:
        return fault
    if wants_limit != (intent.limit_price is not None) or wants_stop != (intent.stop_price is not None):
        return f"a {intent.order_type.value} order with limit {intent.limit_price}, stop {intent.stop_price}"
    legs = (intent.take_profit_price, intent.stop_loss_price, intent.stop_loss_limit_price)
    for price in (intent.limit_price, intent.stop_price, intent.trail_price, *legs):
        if price is not None and not is_legal_price(price):
            return f"price {price} is not a positive multiple of its tick"
    if intent.purpose is Purpose.ENTRY and not intent.reference_price > 0:
        return f"reference price {intent.reference_price} must be positive"
    if intent.purpose is Purpose.ENTRY and flatten:
        return "a flatten only leaves positions"
    if session is not None and intent.session_date != session.session_date:
        return f"order of session {intent.session_date} in session {session.session_date}"
    return None


def _trail_fault(intent: OrderIntent) -> str | None:
    trails = [each for each in (intent.trail_price, intent.trail_percent) if each is not None]
    if (intent.order_type is OrderType.TRAILING_STOP) != (len(trails) == 1):
        return f"a {intent.order_type.value} order with trail {intent.trail_price}, {intent.trail_percent} %"
    if intent.trail_percent is not None and intent.trail_percent < TRAIL_PERCENT_MIN:
        return f"trail of {plain(intent.trail_percent)} % under {TRAIL_PERCENT_MIN} %"
    return None


def _leg_fault(intent: OrderIntent) -> str | None:
    profit, loss, name = intent.take_profit_price, intent.stop_loss_price, intent.order_class.value
    legs = sum(each is not None for each in (profit, loss))
    if legs != LEGS[intent.order_class]:
        return f"a {name} order with {legs} of take-profit and stop-loss, {LEGS[intent.order_class]} needed"
    if intent.stop_loss_limit_price is not None and loss is None:
        return "a stop-loss limit without a stop-loss"
    if legs == 0:
        return None
    enters = intent.purpose is Purpose.ENTRY
    if (intent.order_class is OrderClass.OCO) is enters:
        return f"a {name} order to {'enter' if enters else 'leave'}"
    sign = intent.side.sign * (1 if enters else -1)  # which way the position lies
    if profit is not None and loss is not None and (profit - loss) * sign <= 0:
        return f"take-profit {plain(profit)} on the wrong side of stop-loss {plain(loss)}"
    base = order_price(intent)
    below = profit is not None and (profit - base) * sign <= 0
    above = loss is not None and (base - loss) * sign <= 0
    if enters and (below or above):
        return f"legs {profit} and {loss} do not enclose the entry at {plain(base)}"
    return None


def _extended_fault(intent: OrderIntent) -> str | None:
    if not intent.extended_hours:
        return None
    lasting = intent.time_in_force in (TimeInForce.DAY, TimeInForce.GTC)
    simple = intent.order_class is OrderClass.SIMPLE and intent.order_type is OrderType.LIMIT
    return None if lasting and simple else "an order of extended hours is a simple limit, day or gtc"

"""Two orders, one of which lives: judging, counting and checking a replacement.

Theory of operation. A replace (PATCH) makes a second order with ids of its own, and the first ends when
the broker says `replaced`. A 200 is not that word: if the old order fills first, the new one is rejected
later. So between the request and the broker's word about the old order either may execute, but not both
in full. What is reserved meanwhile is the larger of both, never their sum and never less.

What the old order executes while the request is under way is its own. It was meant to be part of what the
new one asks for, so then the new one asks for too much: `excess` says so, and it is canceled at once; what
is still wanted is decided anew. The same holds where the broker opened more than was asked (a price-only
replace of a partly filled order re-opens the original quantity, Alpaca-API #165).

All of it is pure; desk/dispatcher.py and desk/settler.py act.
"""

from desk.money import plain
from desk.own_order import Order
from desk.portfolio import Portfolio
from desk.positions import ZERO
from schemas.orders import BrokerOrder, OrderState


def successor(portfolio: Portfolio, order: Order) -> Order | None:
    """Give the newest order of ours that was meant to take this one's place and was not refused."""
    client_order_id = order.intent.client_order_id
    for other in reversed(portfolio.orders.values()):
        if other.intent.replaces == client_order_id and other.state is not OrderState.REJECTED:
            return other
    return None


def predecessor(portfolio: Portfolio, order: Order) -> Order | None:
    """Give the order this one was meant to take the place of."""
    replaces = order.intent.replaces
    return None if replaces is None else portfolio.orders.get(replaces)


def cannot_arrive(portfolio: Portfolio, order: Order) -> bool:
    """Tell whether an unanswered replacement can no longer happen: what it replaces ended otherwise.

    The broker refuses a replace of an order that is not open (ALPACA.md §2.3).
    """
    old = predecessor(portfolio, order)
    return old is not None and old.state.is_terminal and old.replaced_by is None


def excess(portfolio: Portfolio, order: Order, stated: BrokerOrder | None = None) -> str | None:
    """Say by how much a working replacement may execute more than was meant, or None.

    Args:
        portfolio: our books.
        order: the replacing order.
        stated: the broker's newest word on it, when there is one.
    """
    old = predecessor(portfolio, order)
    if old is None or not order.is_working:
        return None
    raced = old.filled_qty - (order.replaced_filled or ZERO)
    open_qty = order.remaining_qty
    if stated is not None and stated.qty is not None:
        open_qty = max(open_qty, stated.qty - max(stated.filled_qty, order.filled_qty))
    beyond = raced + order.filled_qty + open_qty - order.intent.qty
    if beyond <= 0:
        return None
    return (
        f"{plain(raced)} executed of the replaced order meanwhile and {plain(open_qty)} still open: "
        f"{plain(beyond)} more than the {plain(order.intent.qty)} meant"
    )

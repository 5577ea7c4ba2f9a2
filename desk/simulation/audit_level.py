"""Whether two sides of the books are level: what the ledger's rows say, and what the venue has."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fractions import Fraction

from desk.simulation.audit_books import ENDED, AtVenue, Broken, Known, plain


@dataclass(frozen=True)
class Sides:
    """Positions by symbol and orders: ours by client order id, the venue's by its own."""

    held: Mapping[str, Fraction]
    orders: Mapping[str, Known]
    held_there: Mapping[str, Fraction]
    orders_there: Mapping[str, AtVenue]


def check_level(invariant: str, sides: Sides, *, doubted: Collection[str]) -> None:
    """Raise `Broken` for a difference that no open break names.

    Args:
        invariant: whose check it is.
        sides: what to compare.
        doubted: symbols and order ids of open breaks.
    """
    for symbol in sorted(set(sides.held) | set(sides.held_there)):
        if symbol not in doubted and sides.held.get(symbol, 0) != sides.held_there.get(symbol, 0):
            raise Broken(
                invariant,
                f"{symbol}: the ledger has {plain(sides.held.get(symbol))}, "
                f"the venue {plain(sides.held_there.get(symbol))}, and no break says so",
            )
    _check_theirs(invariant, sides, doubted)
    _check_ours(invariant, sides, doubted)


def _check_theirs(invariant: str, sides: Sides, doubted: Collection[str]) -> None:
    """Every order open at the venue works in the ledger."""
    for order in sides.orders_there.values():
        if order.status in ENDED or order.order_id in doubted:
            continue
        planned = sides.orders.get(order.parent or order.client_order_id)
        if planned is None or not planned.works:
            raise Broken(
                invariant, f"{order.client_order_id} is open at the venue and not in the ledger's books"
            )


def _check_ours(invariant: str, sides: Sides, doubted: Collection[str]) -> None:
    """Every order the ledger knows to work is open at the venue, itself or in one of its legs."""
    there = {order.client_order_id: order for order in sides.orders_there.values()}
    with_legs = {order.parent for order in sides.orders_there.values() if order.status not in ENDED}
    for client_order_id, known in sides.orders.items():
        if known.state not in ("submitted", "partially_filled") or client_order_id in doubted:
            continue
        found = there.get(client_order_id)
        if found is None or (found.status in ENDED and client_order_id not in with_legs):
            state = "unknown" if found is None else found.status
            raise Broken(invariant, f"{client_order_id} works in the ledger and is {state} at the venue")

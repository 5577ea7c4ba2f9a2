"""Whether two sides of the books agree: what the ledger's rows say, and what the venue has."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fractions import Fraction

from desk.simulation.audit_books import ENDED, AtVenue, Broken, Known, Row, plain


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


# What the venue must say of an order for the ledger to end it so.
_EVIDENCE = {
    "canceled": frozenset({"canceled", "replaced", "expired", "done_for_day"}),
    "expired": frozenset({"expired", "canceled", "done_for_day"}),
    "replaced": frozenset({"replaced"}),
}


def check_end(row: Row, there: AtVenue | None, state: str, *, is_accepted: bool) -> None:
    """An order ends only on what the venue has (I4).

    Args:
        row: the ledger's row that ends it.
        there: the order as the venue has it, if it does.
        state: how it ends.
        is_accepted: whether a person accepted that the venue lacks it.
    """
    name = row["client_order_id"]
    if row["kind"] in ("order_rejected", "order_never_arrived"):
        if there is not None and there.status != "rejected":
            raise Broken("I4", f"{name} is {row['kind']} and the venue has it {there.status}")
        return
    if not is_accepted and (there is None or there.status not in _EVIDENCE[state]):
        found = "nothing of it" if there is None else f"it {there.status}"
        raise Broken("I4", f"{name} ends {state} and the venue has {found}")


def check_fill(fill: Row, made: Mapping[str, str] | None) -> None:
    """A booked execution is one the venue made, with its numbers (I3)."""
    name = fill["execution_id"]
    if made is None:
        raise Broken("I3", f"execution {name} is booked and the venue never made it")
    for key in ("symbol", "side"):
        if made[key] != fill[key]:
            raise Broken("I3", f"execution {name}: {key} {fill[key]}, the venue {made[key]}")
    for key in ("qty", "price", "fee"):
        if Fraction(made[key]) != Fraction(fill[key]):
            raise Broken("I3", f"execution {name}: {key} {fill[key]}, the venue {made[key]}")

"""The auditor: a second bookkeeper that knows nothing of the desk's code.

It reads the venue's own list of executions (`GET /sim/fills` or `Venue.fills`) as plain numbers and
recomputes positions and cash from them alone, with its own arithmetic, in cents' fractions. A desk
whose books differ from it has forgotten, doubled or invented something.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction


@dataclass
class Audit:
    """Books from executions alone; exact, because Fractions do not round."""

    cash: Fraction
    positions: dict[str, Fraction] = field(default_factory=dict)
    executions: set[str] = field(default_factory=set)

    def take(self, execution: Mapping[str, str]) -> None:
        """Book one execution: id, symbol, side, qty, price, fee, as text."""
        if execution["execution_id"] in self.executions:
            raise AssertionError(f"the venue lists execution {execution['execution_id']} twice")
        self.executions.add(execution["execution_id"])
        sign = {"buy": 1, "sell": -1}[execution["side"]]
        qty, price = Fraction(execution["qty"]), Fraction(execution["price"])
        if qty <= 0 or price <= 0:
            raise AssertionError(f"the venue executed {qty} at {price}")
        symbol = execution["symbol"]
        self.positions[symbol] = self.positions.get(symbol, Fraction(0)) + sign * qty
        self.cash -= sign * qty * price + Fraction(execution["fee"])

    def open_positions(self) -> dict[str, Fraction]:
        """Give the positions that are not flat."""
        return {symbol: qty for symbol, qty in self.positions.items() if qty != 0}


def audit(opening_cash: str, executions: Iterable[Mapping[str, str]]) -> Audit:
    """Book every execution of a venue."""
    books = Audit(cash=Fraction(opening_cash))
    for execution in executions:
        books.take(execution)
    return books


def differences(
    books: Audit, *, cash: str, positions: Mapping[str, str], executions: Iterable[str]
) -> list[str]:
    """Name every difference between the auditor's books and the desk's; empty when they are equal."""
    found = []
    if Fraction(cash) != books.cash:
        found.append(f"cash: desk {cash}, auditor {float(books.cash)}")
    desk = {symbol: Fraction(qty) for symbol, qty in positions.items() if Fraction(qty) != 0}
    for symbol in sorted(set(desk) | set(books.open_positions())):
        mine, theirs = books.open_positions().get(symbol, Fraction(0)), desk.get(symbol, Fraction(0))
        if mine != theirs:
            found.append(f"{symbol}: desk {theirs}, auditor {mine}")
    booked = set(executions)
    found += [f"execution {each}: the desk forgot it" for each in sorted(books.executions - booked)]
    found += [f"execution {each}: the venue never made it" for each in sorted(booked - books.executions)]
    return found

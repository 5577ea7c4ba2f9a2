"""The auditor's books: executions, orders as the ledger tells them, orders as the venue has them.

Exact fractions, and text as it comes: nothing here is the desk's code, and nothing of ours is imported.
`audit` and `differences` audit a day after the fact, from the venue's own list of executions alone.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

Row = Mapping[str, Any]  # a ledger event as its JSON says it

ENDED = frozenset({"filled", "canceled", "expired", "rejected", "replaced", "done_for_day", "never_arrived"})


class Broken(BaseException):
    """An invariant does not hold."""

    def __init__(self, invariant: str, words: str) -> None:
        super().__init__(f"{invariant}: {words}")
        self.invariant = invariant
        self.words = words


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
        qty, price = Fraction(execution["qty"]), Fraction(execution["price"])
        if qty <= 0 or price <= 0:
            raise AssertionError(f"the venue executed {qty} at {price}")
        change = signed(execution["side"], qty)
        symbol = execution["symbol"]
        self.positions[symbol] = self.positions.get(symbol, Fraction(0)) + change
        self.cash -= change * price + Fraction(execution["fee"])

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


@dataclass
class Known:
    """An order as the ledger tells it."""

    intent: Row
    state: str = "pending"
    filled: Fraction = Fraction(0)
    replaced_by: str = ""

    @property
    def qty(self) -> Fraction:
        """Give the shares asked for."""
        return Fraction(self.intent["qty"])

    @property
    def works(self) -> bool:
        """Tell whether it may still execute as far as the ledger says."""
        return self.state not in ENDED

    @property
    def remaining(self) -> Fraction:
        """Give the shares that may still execute."""
        return max(self.qty - self.filled, Fraction(0)) if self.works else Fraction(0)


@dataclass
class AtVenue:
    """An order as the venue has it."""

    order_id: str
    client_order_id: str
    symbol: str
    side: str
    status: str
    parent: str = ""  # client order id of the order of ours that brought it along


@dataclass(frozen=True)
class Rules:
    """What the desk under audit was told to keep, as text."""

    limits: Mapping[str, str]
    offset_bps: str
    allow_fractional: bool


def signed(side: str, qty: Fraction) -> Fraction:
    """Give a quantity with the sign of its side."""
    return qty if side == "buy" else -qty


def tick(price: Fraction) -> Fraction:
    """Give the tick of Rule 612: a cent from a dollar on, else a hundredth of one."""
    return Fraction(1, 100) if price >= 1 else Fraction(1, 10_000)


def plain(value: Fraction | int | None) -> str:
    """Write a number."""
    return "nothing" if value is None else f"{float(value):g}"


def words_of(held: Mapping[str, Fraction]) -> str:
    """Write positions."""
    return ", ".join(f"{symbol} {float(qty):g}" for symbol, qty in sorted(held.items())) or "nothing"

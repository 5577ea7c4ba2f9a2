"""The arithmetic of a position: signed quantity, average price, realized P&L.

Average cost: adding to a position averages the price, reducing it realizes the difference, and
crossing zero realizes all of the old position and opens the rest at the execution's price.
Fees are kept apart and never enter the average price.
"""

from dataclasses import dataclass, replace
from decimal import Decimal

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Position:
    """A position of one strategy in one symbol; `qty` is signed, amounts are USD.

    `realized_pnl` and `fees` run since the session's start; `begin_session` resets them.
    """

    qty: Decimal = ZERO
    avg_price: Decimal = ZERO
    realized_pnl: Decimal = ZERO
    fees: Decimal = ZERO

    def unrealized_pnl(self, price: Decimal) -> Decimal:
        """Give (price - average price) x signed quantity, USD."""
        return (price - self.avg_price) * self.qty

    def after(self, *, signed_qty: Decimal, price: Decimal, fee: Decimal) -> "Position":
        """Give the position after an execution or adjustment of `signed_qty` shares at `price`."""
        qty = self.qty + signed_qty
        fees = self.fees + fee
        if self.qty * signed_qty >= 0:
            avg_price = (
                (self.avg_price * abs(self.qty) + price * abs(signed_qty)) / abs(qty) if qty != 0 else ZERO
            )
            return replace(self, qty=qty, avg_price=avg_price, fees=fees)
        closed = min(abs(self.qty), abs(signed_qty))
        sign = 1 if self.qty > 0 else -1
        realized = self.realized_pnl + (price - self.avg_price) * closed * sign
        crossed = abs(signed_qty) > abs(self.qty)
        avg_price = price if crossed else (self.avg_price if qty != 0 else ZERO)
        return Position(qty=qty, avg_price=avg_price, realized_pnl=realized, fees=fees)

    def begin_session(self) -> "Position":
        """Give the same holding with the session's counters at zero."""
        return replace(self, realized_pnl=ZERO, fees=ZERO)


class Positions(dict[tuple[str, str], Position]):
    """Positions by (strategy, symbol), flat ones among them, with those at hand that are not flat.

    They come in by `positions[key] = position` alone.
    """

    def __init__(self) -> None:
        """Start empty."""
        super().__init__()
        self.held: dict[tuple[str, str], Position] = {}

    def __setitem__(self, key: tuple[str, str], position: Position) -> None:
        super().__setitem__(key, position)
        if position.qty != 0:
            self.held[key] = position
        else:
            self.held.pop(key, None)

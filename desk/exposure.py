"""What may still be held when every order that works has done its worst.

A working order may fill or not, and one whose answer was lost (UNKNOWN) may be at the broker or not
(I4). So a symbol has no single exposure but an interval: from the position less every working sell to
the position plus every working buy. Limits are held against the worse end of it (I6). A working exit
thus never makes room for an entry before it has filled. An order that may take the place of another
(`rival`) counts with it once, at the larger of both.

Orders count at the worse of their own price and the last price, positions at the last price. A symbol
held without a price has no exposure that could be stated; it is listed in `unpriced`, and the gate
refuses entries while there is one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

from desk.money import ZERO
from schemas.orders import OrderIntent, OrderState, Side


@dataclass(frozen=True, slots=True)
class WorkingOrder:
    """An order that may still fill: what was meant, what remains of it, and how sure we are."""

    intent: OrderIntent
    remaining: Decimal  # shares, positive
    state: OrderState = OrderState.PENDING
    rival: "WorkingOrder | None" = None  # the order it may take the place of: not both execute in full

    @property
    def most(self) -> Decimal:
        """Give the largest quantity that may execute, whichever of the two lives."""
        return self.remaining if self.rival is None else max(self.remaining, self.rival.remaining)


@dataclass(frozen=True, slots=True)
class SymbolExposure:
    """The signed interval one symbol may end in, in shares and in USD."""

    qty_low: Decimal = ZERO
    qty_high: Decimal = ZERO
    usd_low: Decimal = ZERO
    usd_high: Decimal = ZERO

    @property
    def qty_worst(self) -> Decimal:
        """Give the largest number of shares that may be held, long or short."""
        return max(abs(self.qty_low), abs(self.qty_high))

    @property
    def usd_worst(self) -> Decimal:
        """Give the largest notional that may be held, long or short."""
        return max(abs(self.usd_low), abs(self.usd_high))

    def moved(self, *, side: Side, qty: Decimal, price: Decimal) -> "SymbolExposure":
        """Give the interval with one more working order in it."""
        return self.widened(side=side, qty=qty, usd=qty * price)

    def widened(self, *, side: Side, qty: Decimal, usd: Decimal) -> "SymbolExposure":
        """Give the interval with its end of a side moved out."""
        if side is Side.BUY:
            return SymbolExposure(self.qty_low, self.qty_high + qty, self.usd_low, self.usd_high + usd)
        return SymbolExposure(self.qty_low - qty, self.qty_high, self.usd_low - usd, self.usd_high)


FLAT = SymbolExposure()


@dataclass(frozen=True, slots=True)
class Exposure:
    """The exposures of a whole book."""

    symbols: Mapping[str, SymbolExposure] = field(default_factory=dict)
    unpriced: tuple[str, ...] = ()  # held or working, and nobody knows a price
    gross: Decimal = ZERO  # the sum over symbols of the worst absolute notional, USD
    usd_low: Decimal = ZERO  # the sums over symbols of the intervals' ends
    usd_high: Decimal = ZERO

    @property
    def net(self) -> Decimal:
        """Give the worst absolute net notional, USD: all buys filled and no sell, or the reverse."""
        return max(abs(self.usd_low), abs(self.usd_high))

    def symbol(self, symbol: str) -> SymbolExposure:
        """Give one symbol's interval."""
        return self.symbols.get(symbol, FLAT)

    def plus(self, intent: OrderIntent, *, qty: Decimal, price: Decimal | None) -> "Exposure":
        """Give the book's exposure with one more working order in it."""
        before = self.symbol(intent.symbol)
        after = before.moved(side=intent.side, qty=qty, price=worst_price(intent, last=price))
        return Exposure(
            symbols={**self.symbols, intent.symbol: after},
            unpriced=self.unpriced,
            gross=self.gross + after.usd_worst - before.usd_worst,
            usd_low=self.usd_low + after.usd_low - before.usd_low,
            usd_high=self.usd_high + after.usd_high - before.usd_high,
        )


def order_price(intent: OrderIntent) -> Decimal:
    """Give the price an order names: its limit, else its stop, else the price it was sized at."""
    if intent.limit_price is not None:
        return intent.limit_price
    return intent.stop_price if intent.stop_price is not None else intent.reference_price


def worst_price(intent: OrderIntent, *, last: Decimal | None) -> Decimal:
    """Give the price an order counts at: the higher of its own and the last."""
    return order_price(intent) if last is None else max(order_price(intent), last)


def with_order(working: Iterable[WorkingOrder], added: WorkingOrder) -> tuple[WorkingOrder, ...]:
    """Give the working orders with one more; the order it replaces becomes its rival."""
    kept: list[WorkingOrder] = []
    for order in working:
        if order.intent.client_order_id == added.intent.replaces:
            added = replace(added, rival=replace(order, rival=None))
        else:
            kept.append(order)
    return (*kept, added)


def exposure_of(
    positions: Mapping[str, Decimal], working: Iterable[WorkingOrder], prices: Mapping[str, Decimal]
) -> Exposure:
    """Give the exposure of signed positions and working orders, priced at the last prices."""
    symbols: dict[str, SymbolExposure] = {}
    unpriced: list[str] = []
    for symbol, qty in positions.items():
        price = prices.get(symbol)
        if qty == 0:
            continue
        if price is None:
            unpriced.append(symbol)
            continue
        symbols[symbol] = SymbolExposure(qty, qty, qty * price, qty * price)
    for order in working:
        symbol = order.intent.symbol
        last = prices.get(symbol)
        either = (order,) if order.rival is None else (order, order.rival)
        symbols[symbol] = symbols.get(symbol, FLAT).widened(
            side=order.intent.side,
            qty=order.most,
            usd=max(each.remaining * worst_price(each.intent, last=last) for each in either),
        )
    each = symbols.values()
    return Exposure(
        symbols=symbols,
        unpriced=tuple(unpriced),
        gross=sum((exposure.usd_worst for exposure in each), ZERO),
        usd_low=sum((exposure.usd_low for exposure in each), ZERO),
        usd_high=sum((exposure.usd_high for exposure in each), ZERO),
    )

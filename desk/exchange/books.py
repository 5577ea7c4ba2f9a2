"""The venue's account: cash, positions, fees, and what they come to.

Every change is an execution or the day's end. Cash moves at the execution; regulatory fees accrue
during the session and leave cash at its end, rounded up to the cent as Alpaca charges them, with a FEE
activity.

Buying power. Only the start values of a paper account are recorded (ALPACA.md section 8), so the rule
is ours and simple: multiplier x equity, less the market value of all positions (long and short alike),
less what open orders hold. The multiplier is 4 from 2,000 USD of equity (Reg T's minimum for margin)
and 1 below, fixed at the session's start; the account's owner may cap it at any time.
"""

from bisect import bisect_left
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import ROUND_DOWN, Decimal

from desk.exchange.orders import Execution
from desk.fees import charged
from desk.money import FRACTIONAL_LOT
from schemas.orders import Side

ZERO = Decimal(0)
MARGIN_FROM_USD = Decimal(2000)  # Regulation T's minimum equity for a margin account
MARGIN_MULTIPLIER = 4
INITIAL_MARGIN = Decimal("0.5")  # Regulation T
MAINTENANCE_MARGIN = Decimal("0.3")  # Alpaca's for common stock


@dataclass(frozen=True, slots=True)
class Holding:
    """A position: signed quantity and its signed cost, since it was opened and as of today."""

    symbol: str
    qty: Decimal
    cost: Decimal
    day_cost: Decimal  # cost with what was held overnight taken at the last session's close

    @property
    def avg_entry_price(self) -> Decimal:
        """Give the weighted average entry price."""
        return self.cost / self.qty

    def after(self, *, change: Decimal, price: Decimal) -> "Holding":
        """Give the position after a signed change: reductions keep the average, a flip starts anew."""
        qty = self.qty + change
        if self.qty == 0 or (self.qty > 0) == (change > 0):
            return replace(
                self, qty=qty, cost=self.cost + change * price, day_cost=self.day_cost + change * price
            )
        if qty == 0 or (qty > 0) == (self.qty > 0):
            share = qty / self.qty
            return replace(self, qty=qty, cost=self.cost * share, day_cost=self.day_cost * share)
        return replace(self, qty=qty, cost=qty * price, day_cost=qty * price)


@dataclass(frozen=True, slots=True)
class FeeCharge:
    """What a session's fees took from cash."""

    activity_id: str
    session_date: date
    amount: Decimal
    at: datetime


@dataclass(frozen=True, slots=True)
class Opening:
    """The books as a session found them: where the account's history of that session starts."""

    session_date: date
    cash: Decimal
    holdings: dict[str, Holding]
    executions: int  # how many were booked before
    charges: int
    last_equity: Decimal

    @classmethod
    def of(cls, session_date: date, books: "Books") -> "Opening":
        """Keep the books as they are now."""
        return cls(
            session_date=session_date,
            cash=books.cash,
            holdings=dict(books.holdings),
            executions=len(books.executions),
            charges=len(books.charges),
            last_equity=books.last_equity,
        )


@dataclass(frozen=True, slots=True)
class Totals:
    """The account valued at one moment, USD."""

    cash: Decimal
    long_market_value: Decimal
    short_market_value: Decimal  # zero or negative
    multiplier: int
    reserved: Decimal
    last_equity: Decimal
    last_gross: Decimal

    @property
    def equity(self) -> Decimal:
        """Give cash and positions together."""
        return self.cash + self.long_market_value + self.short_market_value

    @property
    def gross(self) -> Decimal:
        """Give long and short market value, both positive."""
        return self.long_market_value - self.short_market_value

    @property
    def buying_power(self) -> Decimal:
        """Give what may still be opened."""
        return max(self.equity * self.multiplier - self.gross - self.reserved, ZERO)

    @property
    def regt_buying_power(self) -> Decimal:
        """Give what may be held overnight on top: twice the equity, or the equity without margin."""
        return max(self.equity * min(self.multiplier, 2) - self.gross - self.reserved, ZERO)

    @property
    def non_marginable_buying_power(self) -> Decimal:
        """Give what may be opened without credit."""
        return max(self.equity - self.gross - self.reserved, ZERO)


@dataclass(slots=True)
class Books:
    """Cash, positions and executions of the one account."""

    starting_cash: Decimal
    cash: Decimal = ZERO
    granted_multiplier: int = 1
    multiplier_cap: int = MARGIN_MULTIPLIER  # the owner's own limit, in force at once
    last_equity: Decimal = ZERO
    last_gross: Decimal = ZERO
    holdings: dict[str, Holding] = field(default_factory=dict)
    executions: list[Execution] = field(default_factory=list)
    charges: list[FeeCharge] = field(default_factory=list)
    accrued: list[Decimal] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Open the account with its starting cash."""
        self.cash = self.starting_cash
        self.last_equity = self.starting_cash
        self._set_multiplier()

    @property
    def multiplier(self) -> int:
        """Give the margin multiplier in force."""
        return min(self.granted_multiplier, self.multiplier_cap)

    def qty(self, symbol: str) -> Decimal:
        """Give the signed position."""
        held = self.holdings.get(symbol)
        return ZERO if held is None else held.qty

    @property
    def accrued_fees(self) -> Decimal:
        """Give the fees owed and not yet taken."""
        return sum(self.accrued, ZERO)

    @property
    def fees_charged(self) -> Decimal:
        """Give the fees taken from cash since the account was opened."""
        return sum((charge.amount for charge in self.charges), ZERO)

    def position_after(self, *, symbol: str, side: Side, qty: Decimal) -> Decimal:
        """Give the signed position an execution would leave."""
        return self.qty(symbol) + side.sign * qty

    def book(self, done: Execution) -> None:
        """Apply one execution."""
        change = done.side.sign * done.qty
        held = self.holdings.get(done.symbol, Holding(done.symbol, ZERO, ZERO, ZERO))
        held = held.after(change=change, price=done.price)
        if held.qty == 0:
            self.holdings.pop(done.symbol, None)
        else:
            self.holdings[done.symbol] = held
        self.cash -= change * done.price
        if done.fee > 0:
            self.accrued.append(done.fee)
        self.executions.append(done)

    def forget(self, before: datetime) -> list[Execution]:
        """Forget the executions before an instant, and give them."""
        count = bisect_left(self.executions, before, key=lambda done: done.at)
        gone = self.executions[:count]
        del self.executions[:count]
        return gone

    def split(self, symbol: str, *, old: Decimal, new: Decimal) -> None:
        """Make `old` shares of a position `new` ones at the same cost, to a billionth of a share."""
        held = self.holdings.get(symbol)
        if held is None:
            return
        qty = (held.qty * new / old).quantize(FRACTIONAL_LOT, ROUND_DOWN)
        if qty == 0:
            del self.holdings[symbol]
        else:
            self.holdings[symbol] = replace(held, qty=qty)

    def pay_out(self, symbol: str, *, qty: Decimal, cash: Decimal) -> None:
        """Take part of a position out at its average cost, for cash; both are negative of a short."""
        held = self.holdings[symbol]
        self.cash += cash
        if qty == held.qty:
            del self.holdings[symbol]
            return
        share = 1 - qty / held.qty
        self.holdings[symbol] = replace(
            held, qty=held.qty - qty, cost=held.cost * share, day_cost=held.day_cost * share
        )

    def charge_fees(
        self, *, activity_id: str, session_date: date, at: datetime, in_cents: bool = True
    ) -> None:
        """Take the accrued fees from cash, rounded up to the cent or as they are; no charge of nothing."""
        if len(self.accrued) == 0:
            return
        amount = charged(self.accrued) if in_cents else self.accrued_fees
        self.accrued.clear()
        self.cash -= amount
        self.charges.append(FeeCharge(activity_id, session_date, amount, at))

    def start_session(self, marks: dict[str, Decimal]) -> None:
        """Carry the account into a new session: yesterday's equity and closes become the base."""
        totals = self.totals(marks, reserved=ZERO)
        self.last_equity = totals.equity
        self.last_gross = totals.gross
        for symbol, held in self.holdings.items():
            if symbol in marks:
                self.holdings[symbol] = replace(held, day_cost=held.qty * marks[symbol])
        self._set_multiplier()

    def totals(self, marks: dict[str, Decimal], *, reserved: Decimal) -> Totals:
        """Value the account; a position without a mark is valued at its cost."""
        long_value = short_value = ZERO
        for symbol, held in self.holdings.items():
            value = held.qty * marks[symbol] if symbol in marks else held.cost
            if value > 0:
                long_value += value
            else:
                short_value += value
        return Totals(
            cash=self.cash,
            long_market_value=long_value,
            short_market_value=short_value,
            multiplier=self.multiplier,
            reserved=reserved,
            last_equity=self.last_equity,
            last_gross=self.last_gross,
        )

    def _set_multiplier(self) -> None:
        """Set the margin multiplier for the session."""
        self.granted_multiplier = MARGIN_MULTIPLIER if self.last_equity >= MARGIN_FROM_USD else 1

"""The day's report as records: everything the page shows but the price plots' series.

USD amounts are Decimal and signed from the account's side: positive is good, except `slippage_bps`,
`slippage_usd` and `fees`, where positive costs money. `None` means "not known", never zero.
"""

from datetime import date, datetime
from decimal import Decimal

from schemas.orders import OrderState, OrderType, Purpose, Side
from schemas.record import Record
from schemas.risk import BreakKind, LatchName
from schemas.settings import Mode


class EquityPoint(Record):
    """Equity at one instant, and how far below the day's highest equity so far it stands."""

    at: datetime
    equity: Decimal
    drawdown_usd: Decimal  # zero or negative


class PnlLine(Record):
    """One strategy's day in one symbol."""

    strategy: str
    symbol: str
    realized: Decimal  # before fees
    unrealized: Decimal | None  # None: a position is open and nobody marked it; flat is zero
    fees: Decimal
    round_trips: int  # from flat back to flat, or through zero
    wins: int  # round trips whose realized P&L is above their fees
    qty_bought: Decimal
    qty_sold: Decimal
    notional: Decimal  # traded, both sides
    position: Decimal  # signed, at the end

    @property
    def net(self) -> Decimal:
        """Give realized plus known unrealized P&L minus fees, USD."""
        return self.realized + (self.unrealized or Decimal(0)) - self.fees


class OrderLine(Record):
    """One order, as it ended or stands."""

    client_order_id: str
    strategy: str
    symbol: str
    side: Side
    purpose: Purpose
    qty: Decimal
    order_type: OrderType
    limit_price: Decimal | None
    stop_price: Decimal | None
    reference_price: Decimal
    planned_at: datetime
    state: OrderState
    filled_qty: Decimal
    average_price: Decimal | None  # None: nothing filled
    reason: str  # the signal's words
    note: str  # the reject's or lost answer's words, empty when all went well


class FillLine(Record):
    """One execution and what it cost against the price the sizer saw."""

    execution_id: str
    client_order_id: str
    strategy: str
    symbol: str
    side: Side
    purpose: Purpose | None  # None: the fill's order is not in the ledger
    qty: Decimal
    price: Decimal
    fee: Decimal
    filled_at: datetime
    reference_price: Decimal | None
    slippage_bps: Decimal | None
    slippage_usd: Decimal | None


class DenialLine(Record):
    """All denials for one reason, strategy and symbol."""

    reason: str
    strategy: str
    symbol: str
    count: int
    first_at: datetime
    last_at: datetime
    example: str  # the last denial's message


class BreakLine(Record):
    """A mismatch between our books and the broker's, and how it ended."""

    break_id: str
    kind: BreakKind
    key: str
    ours: Decimal
    theirs: Decimal
    notional_usd: Decimal
    detail: str
    found_at: datetime
    resolved: str | None  # "accepted by ann: ..."; None while open


class SessionLine(Record):
    """One session process of the day; a second one is a restart."""

    run_id: str
    started_at: datetime
    ended_at: datetime | None  # None: it never said so (crash, or still running)
    cause: str
    strategies: tuple[str, ...]
    symbols: tuple[str, ...]
    equity: Decimal


class Incident(Record):
    """A change of trading state, a latch, a kill or an adjustment: what a person must know of."""

    at: datetime
    what: str
    detail: str
    latch: LatchName | None = None


class Count(Record):
    """A named number."""

    name: str
    count: int


class GapLine(Record):
    """Minutes of the session in which a symbol has no bar."""

    symbol: str
    bars: int
    missing: int  # zero when the session's hours are not known
    longest: int  # minutes, the longest run of missing ones
    longest_from: datetime | None


class DataQuality(Record):
    """What came in, what was kept out and why."""

    bars: int
    symbols: int
    revisions: int  # prints that changed an earlier print of the same minute
    quarantined: tuple[Count, ...]  # by reason, most first
    gaps: tuple[GapLine, ...]  # one per symbol, by name
    session_minutes: int | None  # None: hours not known

    @property
    def missing(self) -> int:
        """Count symbol-minutes of the session without a bar."""
        return sum(gap.missing for gap in self.gaps)


class Link(Record):
    """A place to look further: a flow run, a file."""

    title: str
    url: str


class Headline(Record):
    """The day in numbers."""

    equity_start: Decimal | None
    equity_end: Decimal | None
    realized: Decimal
    unrealized: Decimal | None
    fees: Decimal
    max_drawdown_usd: Decimal | None  # positive; None without an equity curve
    max_drawdown_frac: Decimal | None
    round_trips: int
    win_rate_frac: Decimal | None
    profit_factor: Decimal | None
    slippage_bps: Decimal | None  # weighted by reference notional
    slippage_usd: Decimal | None
    orders: int
    fills: int
    denials: int

    @property
    def net(self) -> Decimal:
        """Give realized plus known unrealized P&L minus fees, USD."""
        return self.realized + (self.unrealized or Decimal(0)) - self.fees


class DayReport(Record):
    """One account's session date, complete."""

    session_date: date
    account: str
    mode: Mode
    closed: bool  # the end-of-day reconcile completed without an open break
    headline: Headline
    equity: tuple[EquityPoint, ...]
    pnl: tuple[PnlLine, ...]
    orders: tuple[OrderLine, ...]
    fills: tuple[FillLine, ...]
    denials: tuple[DenialLine, ...]
    data: DataQuality
    breaks: tuple[BreakLine, ...]
    sessions: tuple[SessionLine, ...]
    incidents: tuple[Incident, ...]
    links: tuple[Link, ...]

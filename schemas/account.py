"""The broker's side of the books: account, positions, assets, calendar."""

from datetime import date, datetime
from decimal import Decimal

from schemas.orders import BrokerFill, BrokerOrder
from schemas.record import Record


class BrokerAccount(Record):
    """What the broker says of the account; only fields the desk decides on."""

    equity: Decimal
    last_equity: Decimal  # equity at the previous session's close
    cash: Decimal
    buying_power: Decimal
    multiplier: int  # 1 cash, 2 Reg T margin, 4 intraday margin
    accrued_fees: Decimal  # regulatory fees owed and not yet taken from cash
    trading_blocked: bool
    account_blocked: bool
    trade_suspended_by_user: bool
    shorting_enabled: bool
    status: str


class BrokerPosition(Record):
    """A position as the broker states it; `qty` is signed."""

    symbol: str
    qty: Decimal
    avg_entry_price: Decimal
    current_price: Decimal | None
    unrealized_pnl: Decimal | None


class Asset(Record):
    """Properties of a symbol that decide whether and how it may be traded (D6)."""

    symbol: str
    tradable: bool
    fractionable: bool
    shortable: bool
    marginable: bool
    easy_to_borrow: bool
    status: str
    exchange: str


class Split(Record):
    """A share split or reverse split: `old` shares become `new` before the open of the ex-date."""

    symbol: str
    ex_date: date
    old: Decimal
    new: Decimal


class BrokerClock(Record):
    """The broker's clock; the desk's own is checked against it."""

    now: datetime
    is_open: bool
    next_open: datetime
    next_close: datetime


class SessionHours(Record):
    """One trading session: the half-open interval [opens_at, closes_at) in UTC."""

    session_date: date
    opens_at: datetime
    closes_at: datetime
    early_close: bool


class BrokerSnapshot(Record):
    """Everything `reconcile` needs of the broker, read at one moment."""

    account: BrokerAccount
    positions: tuple[BrokerPosition, ...]
    orders: tuple[BrokerOrder, ...]  # every open order, and every order of the session
    fills: tuple[BrokerFill, ...]  # every execution of the session, oldest first
    taken_at: datetime

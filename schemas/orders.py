"""Orders, fills and the gate's answers: the nouns of execution.

Orders and fills carry a `side` and a positive `qty`; positions carry a signed `qty`
(`Side.sign` is the one conversion). Every amount is a Decimal, every instant aware UTC.
"""

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from schemas.record import Record


class Side(StrEnum):
    """The direction of an order or a fill."""

    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        """Give +1 for a buy and -1 for a sell."""
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> "Side":
        """Give the other side."""
        return Side.SELL if self is Side.BUY else Side.BUY


class OrderType(StrEnum):
    """The order types of this desk; Alpaca's words."""

    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"
    STOP_LIMIT = "stop_limit"
    TRAILING_STOP = "trailing_stop"


class OrderClass(StrEnum):
    """Whether an order stands alone or brings others with it; Alpaca's words."""

    SIMPLE = "simple"
    BRACKET = "bracket"  # an entry that opens a take-profit and a stop-loss once it is filled
    OCO = "oco"  # a take-profit and a stop-loss of a held position: one fills, the other is canceled
    OTO = "oto"  # an entry that opens one of the two


class TimeInForce(StrEnum):
    """How long an order lives; Alpaca's words."""

    DAY = "day"
    GTC = "gtc"
    OPG = "opg"
    CLS = "cls"
    IOC = "ioc"
    FOK = "fok"


class Purpose(StrEnum):
    """Why an order exists: an entry adds exposure, an exit only removes it."""

    ENTRY = "entry"
    EXIT = "exit"


class OrderState(StrEnum):
    """The desk's order states (E1)."""

    PENDING = "pending"  # planned in the ledger, no answer yet
    SUBMITTED = "submitted"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELED = "canceled"
    REJECTED = "rejected"
    EXPIRED = "expired"
    UNKNOWN = "unknown"  # sent, and the answer was lost

    @property
    def is_terminal(self) -> bool:
        """Tell whether nothing but a late fill can follow."""
        return self in _TERMINAL


_TERMINAL = frozenset({OrderState.FILLED, OrderState.CANCELED, OrderState.REJECTED, OrderState.EXPIRED})


class OrderIntent(Record):
    """An order the desk would like to send, before anybody judged it."""

    client_order_id: str  # a function of strategy, session, symbol, bar, purpose and attempt
    correlation_id: str  # follows bar, signal, order and fill: "<strategy>/<symbol>/<bar_ts>"
    strategy: str
    symbol: str
    side: Side
    qty: Decimal
    order_type: OrderType
    time_in_force: TimeInForce
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    trail_price: Decimal | None = None  # USD behind the best price since it began to work
    trail_percent: Decimal | None = None  # Alpaca's term: 1.5 is 1.5 %
    order_class: OrderClass = OrderClass.SIMPLE
    take_profit_price: Decimal | None = None  # limit of the take-profit leg
    stop_loss_price: Decimal | None = None  # stop of the stop-loss leg
    stop_loss_limit_price: Decimal | None = None  # makes that leg a stop_limit
    extended_hours: bool = False
    replaces: str | None = None  # client order id of our order that this one takes the place of (PATCH)
    purpose: Purpose
    protects: bool = False  # an exit that rests until its price is met and gives way to any other exit
    reference_price: Decimal  # arrival price the sizer saw; slippage is measured against it
    bar_ts: datetime  # left edge of the bar that caused it
    session_date: date
    attempt: int = 0
    reason: str = ""  # the signal's words


class Reason(StrEnum):
    """Why the gate said no. Stable words: the warehouse and reports group by them."""

    TRADING_STATE = "trading_state"
    LOSS_LATCH = "loss_latch"
    DAILY_LOSS = "daily_loss"
    DUPLICATE = "duplicate"
    UNKNOWN_ORDER = "unknown_order"
    OPEN_BREAK = "open_break"
    OUTSIDE_SESSION = "outside_session"
    CLOSE_OUT = "close_out"
    STALE_DATA = "stale_data"
    SUSPECT_DATA = "suspect_data"
    INELIGIBLE_SYMBOL = "ineligible_symbol"
    ACCOUNT_BLOCKED = "account_blocked"
    BAD_ORDER = "bad_order"
    FRACTIONAL = "fractional"
    PRICE_COLLAR = "price_collar"
    POSITION_SHARES = "position_shares"
    POSITION_NOTIONAL = "position_notional"
    POSITION_EQUITY_FRAC = "position_equity_frac"
    ORDER_NOTIONAL = "order_notional"
    GROSS_EXPOSURE = "gross_exposure"
    NET_EXPOSURE = "net_exposure"
    BUYING_POWER = "buying_power"
    ORDERS_PER_DAY = "orders_per_day"
    ORDERS_PER_MINUTE = "orders_per_minute"
    REQUEST_BUDGET = "request_budget"
    PATTERN_DAY_TRADER = "pattern_day_trader"
    INTRADAY_MARGIN = "intraday_margin"
    SHORT_NOT_ALLOWED = "short_not_allowed"
    EXIT_EXCEEDS_POSITION = "exit_exceeds_position"
    WASH_TRADE = "wash_trade"
    EXIT_REFUSABLE = "exit_refusable"
    PROTECTION = "protection"
    HALTED_SYMBOL = "halted_symbol"
    CORPORATE_ACTION = "corporate_action"


class Check(Record):
    """One judged rule: the number found and the limit it was held against."""

    reason: Reason
    number: Decimal
    limit: Decimal


class Approval(Record):
    """The gate's yes, with every number it was judged by (I5)."""

    client_order_id: str
    checks: tuple[Check, ...]
    judged_at: datetime


class Denial(Record):
    """The gate's no: the first rule that failed, its number and its limit."""

    client_order_id: str
    reason: Reason
    number: Decimal
    limit: Decimal
    message: str  # "AAPL buy 500 denied: gross 51,200 USD over 50,000"
    judged_at: datetime


class Fill(Record):
    """One execution, identified by the broker's execution id."""

    execution_id: str
    client_order_id: str
    broker_order_id: str
    strategy: str
    symbol: str
    side: Side
    qty: Decimal
    price: Decimal
    cum_qty: Decimal | None  # the order's filled quantity after this execution, when the source says it
    fee: Decimal  # USD, computed by desk/fees.py
    filled_at: datetime
    session_date: date


class BrokerOrder(Record):
    """An order as the broker states it; unknown words of the broker stay readable in `status`."""

    broker_order_id: str
    client_order_id: str
    symbol: str
    side: Side
    qty: Decimal | None  # None on a notional order
    filled_qty: Decimal
    filled_avg_price: Decimal | None
    order_type: str
    time_in_force: str
    limit_price: Decimal | None
    stop_price: Decimal | None
    status: str  # Alpaca's word, untranslated
    submitted_at: datetime
    updated_at: datetime
    replaced_by: str | None = None
    replaces: str | None = None
    message: str = ""  # a reject reason, when one is given
    order_class: str = ""  # "" or "simple", bracket, oco, oto
    trail_price: Decimal | None = None
    trail_percent: Decimal | None = None
    legs: tuple["BrokerOrder", ...] = ()  # of a bracket, oco or oto, when the source nests them


class BrokerFill(Record):
    """One execution as the broker states it, from the stream or from the activities."""

    execution_id: str
    broker_order_id: str
    client_order_id: str | None  # activities do not carry it
    symbol: str
    side: Side
    qty: Decimal
    price: Decimal
    cum_qty: Decimal | None
    filled_at: datetime


class TradeUpdate(Record):
    """One event of the user stream, reduced to what the desk folds."""

    event: str  # Alpaca's word: new, fill, partial_fill, canceled, ...
    order: BrokerOrder
    fill: BrokerFill | None  # set on fill and partial_fill
    at: datetime

"""The ledger's events: everything the desk did, meant or learned, in the order it happened.

An event is a fact and is never changed. `Portfolio.apply` folds them; the warehouse and the
report are projections of them. `at` is the instant by the desk's Clock (venue time in a
rehearsal), aware UTC.
"""

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from schemas.account import BrokerAccount
from schemas.orders import Approval, Denial, Fill, OrderIntent
from schemas.record import Record
from schemas.risk import Break, LatchName, ProtectionScope, TradingState


class Event(Record):
    """What all events share."""

    at: datetime


class SessionStarted(Event):
    """A session process took the account; a restart of the same day starts another."""

    kind: Literal["session_started"] = "session_started"
    session_date: date
    run_id: str
    strategies: tuple[str, ...]
    symbols: tuple[str, ...]
    settings_hash: str
    equity: Decimal  # the broker's, at start
    code_version: str = ""  # of git; empty: not said


class SessionEnded(Event):
    """The session's loop is over for this date."""

    kind: Literal["session_ended"] = "session_ended"
    session_date: date
    run_id: str
    cause: str
    state_seq: int  # the running process's state after this seq ...
    state_hash: str  # ... had this hash: replay must give it again (I8)
    state_version: int = 1  # of the rule it was made by (desk/state_hash.py)


class AccountOpened(Event):
    """The ledger's first word on an account: the broker's cash is the opening balance.

    Executions before it are part of the balance and never looked at again.
    """

    kind: Literal["account_opened"] = "account_opened"
    cash: Decimal
    executions: tuple[str, ...] = ()  # ids of recent ones that are part of the balance, whatever clocks say


class DayClosed(Event):
    """The end-of-day reconcile of a date completed without an open break."""

    kind: Literal["day_closed"] = "day_closed"
    session_date: date
    equity: Decimal
    cash: Decimal
    realized_pnl: Decimal
    fees: Decimal


class IntentDenied(Event):
    """The gate said no."""

    kind: Literal["intent_denied"] = "intent_denied"
    intent: OrderIntent
    denial: Denial


class OrderPlanned(Event):
    """The gate said yes; written and synced before anything goes on the wire (I1)."""

    kind: Literal["order_planned"] = "order_planned"
    intent: OrderIntent
    approval: Approval


class OrderAcknowledged(Event):
    """The broker has the order."""

    kind: Literal["order_acknowledged"] = "order_acknowledged"
    client_order_id: str
    broker_order_id: str
    leg_ids: tuple[str, ...] = ()  # broker ids of a bracket's, oco's or oto's further orders


class OrderRejected(Event):
    """The broker said no, at once or later."""

    kind: Literal["order_rejected"] = "order_rejected"
    client_order_id: str
    code: str
    message: str


class OrderOutcomeLost(Event):
    """The order was sent and no definite answer came (I4)."""

    kind: Literal["order_outcome_lost"] = "order_outcome_lost"
    client_order_id: str
    cause: str


class OrderProbed(Event):
    """An UNKNOWN order was asked about and the broker did not know it; it stays UNKNOWN."""

    kind: Literal["order_probed"] = "order_probed"
    client_order_id: str


class OrderNeverArrived(Event):
    """The session is over and the broker's complete list of its orders lacks this one: a definite no."""

    kind: Literal["order_never_arrived"] = "order_never_arrived"
    client_order_id: str


class CancelRequested(Event):
    """A cancel is about to be sent."""

    kind: Literal["cancel_requested"] = "cancel_requested"
    client_order_id: str
    cause: str


class CancelRefused(Event):
    """The broker refused the cancel; the order is as it was."""

    kind: Literal["cancel_refused"] = "cancel_refused"
    client_order_id: str
    message: str


class OrderCanceled(Event):
    """The broker says it is canceled (or replaced); fills before it count."""

    kind: Literal["order_canceled"] = "order_canceled"
    client_order_id: str


class OrderReplaced(Event):
    """The broker put another order of ours in its place; its own fills count, nothing more will come."""

    kind: Literal["order_replaced"] = "order_replaced"
    client_order_id: str
    by: str  # client order id of the order that took its place


class OrderExpired(Event):
    """The broker says its time in force ended."""

    kind: Literal["order_expired"] = "order_expired"
    client_order_id: str


class FillSource(StrEnum):
    """Where a fill was learned."""

    STREAM = "stream"
    REST = "rest"


class FillRecorded(Event):
    """An execution; the fold ignores an execution it has."""

    kind: Literal["fill_recorded"] = "fill_recorded"
    fill: Fill
    source: FillSource


class PositionAdjusted(Event):
    """The books were repaired to the broker's position; no order was sent for it."""

    kind: Literal["position_adjusted"] = "position_adjusted"
    strategy: str
    symbol: str
    qty_change: Decimal  # signed
    price: Decimal
    cause: str
    split_on: date | None = None  # ex-date, when a split is what it is for
    settles: str | None = None  # id of the accepted break it books


class CashAdjusted(Event):
    """The books' cash was set right: opening balance, accepted break, deposit."""

    kind: Literal["cash_adjusted"] = "cash_adjusted"
    amount: Decimal  # signed, USD
    cause: str
    settles: str | None = None  # id of the accepted break it books


class BreakFound(Event):
    """Reconcile found a mismatch that no evidence explains."""

    kind: Literal["break_found"] = "break_found"
    session_date: date
    found: Break


class BreakResolved(Event):
    """A break ended: it cleared by itself, or a person accepted it."""

    kind: Literal["break_resolved"] = "break_resolved"
    break_id: str
    how: Literal["cleared", "accepted", "adjusted"]
    by: str
    cause: str


class TradingStateChanged(Event):
    """R5."""

    kind: Literal["trading_state_changed"] = "trading_state_changed"
    state: TradingState
    cause: str
    by: str


class LatchSet(Event):
    """A loss limit or the kill switch latched."""

    kind: Literal["latch_set"] = "latch_set"
    name: LatchName
    number: Decimal
    limit: Decimal
    cause: str


class LatchReleased(Event):
    """A person released a latch."""

    kind: Literal["latch_released"] = "latch_released"
    name: LatchName
    by: str
    cause: str


class ProtectionSet(Event):
    """A protection paused entries in its scope (R4)."""

    kind: Literal["protection_set"] = "protection_set"
    protection: str  # its name in the settings
    scope: ProtectionScope
    key: str  # the strategy or symbol; empty for global
    until: datetime
    number: Decimal
    limit: Decimal
    cause: str


class ProtectionLifted(Event):
    """A person ended a pause before its time."""

    kind: Literal["protection_lifted"] = "protection_lifted"
    protection: str
    key: str
    by: str
    cause: str


class KillVerified(Event):
    """The broker itself says: no open orders and no positions (I14)."""

    kind: Literal["kill_verified"] = "kill_verified"
    orders_canceled: int
    positions_closed: int


class StreamChanged(Event):
    """The user stream was lost, or is heard again; fills are learned by REST either way (E5)."""

    kind: Literal["stream_changed"] = "stream_changed"
    is_up: bool
    cause: str


class StrategyStopped(Event):
    """A strategy raised; it says nothing more until the next session process (S3)."""

    kind: Literal["strategy_stopped"] = "strategy_stopped"
    strategy: str
    cause: str


class Mark(Record):
    """A price a position was valued at."""

    symbol: str
    price: Decimal


class Sight(Record):
    """What a minute's intents were made and judged by, besides bars and books: so they can be replayed."""

    at: datetime  # of the judgement
    seq: int  # the books are those after this seq
    account: BrokerAccount | None
    requests: tuple[int, int] | None  # sent in the last minute, and what entries may use
    suspects: tuple[str, ...] = ()
    halted: tuple[str, ...] = ()
    stated: tuple[Mark, ...] = ()  # the broker's prices of what is held and has no bar of ours
    mids: tuple[Mark, ...] = ()  # middles of the quotes that entries were priced off


class MinuteClosed(Event):
    """A minute's work is done: the equity curve, and the marks it stands on (held symbols only)."""

    kind: Literal["minute_closed"] = "minute_closed"
    session_date: date
    bar_ts: datetime
    equity: Decimal
    cash: Decimal
    realized_pnl: Decimal  # since the session's start, before fees
    unrealized_pnl: Decimal
    fees: Decimal  # since the session's start
    gross: Decimal
    net: Decimal
    marks: tuple[Mark, ...]
    broker_equity: Decimal | None = None  # the broker's own number; None when it could not be read
    requests: int | None = None  # sent to the broker in the last minute; None when nobody counts
    sight: Sight | None = None  # None: nothing was intended, or an earlier version wrote it


class Channel(StrEnum):
    """The seven Discord channels (O1)."""

    PAPER_TRADES = "paper_trades"
    LIVE_TRADES = "live_trades"
    ECONOMIC_CALENDAR = "economic_calendar"
    SCANNER = "scanner"
    HEARTBEAT = "heartbeat"
    BACKTESTS = "backtests"
    SYSTEM_ALERTS = "system_alerts"


class NoticeQueued(Event):
    """A message to people, durable before anybody tries to send it."""

    kind: Literal["notice_queued"] = "notice_queued"
    notice_id: str
    channel: Channel
    text: str


class NoticeDelivered(Event):
    """The message reached its channel, or its channel has no webhook and the log has it."""

    kind: Literal["notice_delivered"] = "notice_delivered"
    notice_id: str
    via: Literal["discord", "log"]


AnyEvent = Annotated[
    AccountOpened
    | SessionStarted
    | SessionEnded
    | DayClosed
    | IntentDenied
    | OrderPlanned
    | OrderAcknowledged
    | OrderRejected
    | OrderOutcomeLost
    | OrderProbed
    | OrderNeverArrived
    | CancelRequested
    | CancelRefused
    | OrderCanceled
    | OrderReplaced
    | OrderExpired
    | FillRecorded
    | PositionAdjusted
    | CashAdjusted
    | BreakFound
    | BreakResolved
    | TradingStateChanged
    | LatchSet
    | LatchReleased
    | ProtectionSet
    | ProtectionLifted
    | KillVerified
    | StreamChanged
    | StrategyStopped
    | MinuteClosed
    | NoticeQueued
    | NoticeDelivered,
    Field(discriminator="kind"),
]

EVENTS: TypeAdapter[AnyEvent] = TypeAdapter(AnyEvent)

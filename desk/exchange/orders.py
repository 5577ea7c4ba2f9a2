"""What the venue keeps of orders: the request as it came, the order, its executions, its events.

Records are frozen: an order changes by being replaced under its id, so an event can carry the order as
it was. Ids are functions of the venue's seed and a counter, so the same day played twice has the same
ids.

An order of a group (bracket, oco, oto) knows its parent and the parent its legs, by id. A leg waits as
`held`. Of an oco, and of a bracket whose entry is filled, the take-profit holds the shares and its stop
stays `held` while it watches the market: `HELD` orders hold no shares.
"""

from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import ROUND_DOWN, Decimal
from enum import StrEnum
from hashlib import blake2b

from desk.exchange.matching import Terms, trailing_stop
from desk.money import FRACTIONAL_LOT, ZERO, is_whole
from schemas.orders import OrderType, Side, TimeInForce

RESERVE_STEP = Decimal("0.000001")  # of what a share holds of buying power: sums of it stay exact


class Status(StrEnum):
    """The order statuses, in Alpaca's words (ALPACA.md section 2.5)."""

    PENDING_REVIEW = "pending_review"
    ACCEPTED = "accepted"  # taken while it cannot trade: market closed or symbol halted
    PENDING_NEW = "pending_new"
    ACCEPTED_FOR_BIDDING = "accepted_for_bidding"
    HELD = "held"  # a leg: waiting for its entry, or watching beside its sibling
    NEW = "new"
    PARTIALLY_FILLED = "partially_filled"
    STOPPED = "stopped"
    SUSPENDED = "suspended"
    CALCULATED = "calculated"
    DONE_FOR_DAY = "done_for_day"
    PENDING_CANCEL = "pending_cancel"
    PENDING_REPLACE = "pending_replace"
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REPLACED = "replaced"
    REJECTED = "rejected"

    @property
    def is_open(self) -> bool:
        """Tell whether the order may still trade."""
        return self not in _CLOSED

    @property
    def meets_market(self) -> bool:
        """Tell whether a working order in this status trades."""
        return self in _MEETS_MARKET


_CLOSED = frozenset({Status.FILLED, Status.CANCELED, Status.EXPIRED, Status.REPLACED, Status.REJECTED})
_MEETS_MARKET = frozenset(
    {
        Status.HELD,
        Status.NEW,
        Status.PARTIALLY_FILLED,
        Status.STOPPED,
        Status.PENDING_CANCEL,
        Status.PENDING_REPLACE,
    }
)


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """An order as a client asked for it; words are unchecked, amounts are parsed."""

    symbol: str
    side: str
    order_type: str
    time_in_force: str
    qty: Decimal | None = None
    notional: Decimal | None = None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    extended_hours: bool = False
    client_order_id: str | None = None
    order_class: str = ""
    position_intent: str | None = None
    source: str = "access_key"
    trail_price: Decimal | None = None
    trail_percent: Decimal | None = None
    take_profit_price: Decimal | None = None  # limit of the take-profit leg
    stop_loss_price: Decimal | None = None  # stop of the stop-loss leg
    stop_loss_limit_price: Decimal | None = None  # makes that leg a stop_limit


@dataclass(frozen=True, slots=True)
class ReplaceRequest:
    """What a client wants changed of an open order; None stays as it is."""

    qty: Decimal | None = None
    time_in_force: str | None = None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    trail: Decimal | None = None  # of trail_price or trail_percent, whichever the order has
    client_order_id: str | None = None
    notional: Decimal | None = None  # always refused: only IPO orders take it


@dataclass(frozen=True, slots=True)
class VenueOrder:
    """An order at the venue."""

    order_id: str
    client_order_id: str
    symbol: str
    side: Side
    qty: Decimal | None  # None on a notional order
    order_type: OrderType
    time_in_force: TimeInForce
    limit_price: Decimal | None
    stop_price: Decimal | None  # of a trailing stop: where it stands now
    extended_hours: bool
    position_intent: str
    source: str
    status: Status
    created_at: datetime
    submitted_at: datetime
    updated_at: datetime
    expires_at: datetime
    filled_qty: Decimal = Decimal(0)
    filled_notional: Decimal = Decimal(0)
    filled_at: datetime | None = None
    expired_at: datetime | None = None
    canceled_at: datetime | None = None
    triggered: bool = False
    reserve_price: Decimal = Decimal(0)  # buying power one open share holds; 0 for what closes a position
    notional: Decimal | None = None  # USD asked for instead of a quantity
    trail_price: Decimal | None = None
    trail_percent: Decimal | None = None
    hwm: Decimal | None = None  # best price since a trailing stop began to work
    order_class: str = ""  # "" is simple; bracket, oco, oto
    parent_id: str | None = None  # of a leg: the entry, or the take-profit of an oco
    leg_ids: tuple[str, ...] = ()
    group_id: str | None = None
    group_role: str | None = None  # entry, take_profit or stop_loss
    replaces: str | None = None
    replaced_by: str | None = None
    replaced_at: datetime | None = None
    failed_at: datetime | None = None
    cancel_requested_at: datetime | None = None
    reject_reason: str = ""
    resumes: Status | None = None  # the status before a pending cancel or replace
    waits_for: str | None = None  # of a replacement under way: the order it is to replace
    qty_price: Decimal = Decimal(0)  # of a notional order: price that estimates its shares while it is open

    @property
    def is_open(self) -> bool:
        """Tell whether the order may still trade."""
        return self.status.is_open

    @property
    def remaining(self) -> Decimal:
        """Give the shares not filled yet; of a notional order an estimate."""
        if self.qty is not None:
            return self.qty - self.filled_qty
        return ZERO if self.qty_price <= 0 else _shares(self.remaining_notional, self.qty_price)

    @property
    def remaining_notional(self) -> Decimal:
        """Give the USD of a notional order not spent yet."""
        return ZERO if self.notional is None else self.notional - self.filled_notional

    @property
    def shares_held(self) -> Decimal:
        """Give the shares of the position the order keeps from others, if it closes one."""
        if not self.status.is_open or self.status is Status.HELD or self.waits_for is not None:
            return ZERO
        return self.remaining

    @property
    def reserved(self) -> Decimal:
        """Give the buying power the order holds, USD."""
        if not self.status.is_open or self.reserve_price == 0:
            return ZERO
        return self.remaining_notional if self.qty is None else self.remaining * self.reserve_price

    @property
    def filled_avg_price(self) -> Decimal | None:
        """Give the mean price of the fills, or None before the first."""
        return None if self.filled_qty == 0 else self.filled_notional / self.filled_qty

    @property
    def is_complex(self) -> bool:
        """Tell whether the order belongs to a bracket, oco or oto."""
        return self.order_class != ""

    def terms(self) -> Terms:
        """Give what matching needs."""
        return Terms(
            side=self.side,
            order_type=self.order_type,
            remaining=ZERO if self.qty is None else self.qty - self.filled_qty,
            limit_price=self.limit_price,
            stop_price=self.stop_price,
            triggered=self.triggered,
            whole=self.qty is not None and is_whole(self.qty),
            notional=None if self.qty is not None else self.remaining_notional,
        )

    def filled(self, *, qty: Decimal, price: Decimal, at: datetime) -> "VenueOrder":
        """Give the order after an execution; a notional one is done when the rest buys no lot."""
        total = self.filled_qty + qty
        spent = self.filled_notional + qty * price
        if self.qty is None:
            assert self.notional is not None
            done = _shares(self.notional - spent, price) <= 0
        else:
            done = total == self.qty
        return replace(
            self,
            filled_qty=total,
            filled_notional=spent,
            status=Status.FILLED if done else Status.PARTIALLY_FILLED,
            filled_at=at if done else None,
            updated_at=at,
        )

    def trailed(self, price: Decimal) -> "VenueOrder":
        """Give a trailing stop after a print: its best price and where it stands; never further away."""
        best = price if self.hwm is None else (min if self.side is Side.BUY else max)(self.hwm, price)
        if best == self.hwm:
            return self
        stop = trailing_stop(
            side=self.side, hwm=best, trail_price=self.trail_price, trail_percent=self.trail_percent
        )
        return replace(self, hwm=best, stop_price=stop)


def _shares(notional: Decimal, price: Decimal) -> Decimal:
    """Give the shares an amount buys, to the ninth decimal, rounded down."""
    return max(notional / price, ZERO).quantize(FRACTIONAL_LOT, ROUND_DOWN)


@dataclass(frozen=True, slots=True)
class Execution:
    """One fill: an entry of the venue's books, a FILL activity, and the fill of a stream event."""

    execution_id: str
    order_id: str
    symbol: str
    side: Side
    qty: Decimal
    price: Decimal
    cum_qty: Decimal
    leaves_qty: Decimal
    order_status: Status
    fee: Decimal
    position_qty: Decimal  # signed, after it
    at: datetime
    session_date: date


@dataclass(frozen=True, slots=True)
class VenueEvent:
    """One event of the user stream."""

    event: str
    order: VenueOrder
    at: datetime
    event_id: str
    execution_id: str | None = None
    execution: Execution | None = None


@dataclass(frozen=True, slots=True)
class HaltNotice:
    """A symbol's trading stops or goes on."""

    symbol: str
    halted: bool
    code: str  # the reason, in the words of the tape: T1, LUDP, ...
    at: datetime


@dataclass(frozen=True, slots=True)
class SplitDone:
    """A split as the venue applied it."""

    symbol: str
    old: Decimal
    new: Decimal
    at: datetime
    adjusted: tuple[str, ...] = field(default=())  # ids of open orders whose quantity and prices changed
    canceled: tuple[str, ...] = field(default=())
    before: Decimal = field(default=Decimal(0))  # the account's shares, signed
    after: Decimal = field(default=Decimal(0))


@dataclass(slots=True)
class Ids:
    """Names made of the seed: the venue's only source of ids."""

    seed: int
    made: int = 0

    def next(self, kind: str) -> str:
        """Give the next id, in the form of a version 4 UUID."""
        self.made += 1
        return fixed_id(f"{self.seed}:{kind}:{self.made}")


def fixed_id(name: str) -> str:
    """Give the id of a name, in the form of a version 4 UUID."""
    digits = blake2b(name.encode(), digest_size=16).hexdigest()
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"

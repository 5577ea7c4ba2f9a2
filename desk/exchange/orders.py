"""What the venue keeps of orders: the request as it came, the order, its executions, its events.

Records are frozen: an order changes by being replaced under its id, so an event can carry the order as
it was. Ids are functions of the venue's seed and a counter, so the same day played twice has the same
ids.
"""

from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from hashlib import blake2b

from desk.exchange.matching import Terms
from desk.money import is_whole
from schemas.orders import OrderType, Side, TimeInForce


class Status(StrEnum):
    """The order statuses this venue uses, in Alpaca's words."""

    ACCEPTED = "accepted"  # taken while the market is closed
    PENDING_NEW = "pending_new"
    NEW = "new"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"

    @property
    def is_open(self) -> bool:
        """Tell whether the order may still trade."""
        return self not in _CLOSED


_CLOSED = frozenset({Status.FILLED, Status.CANCELED, Status.EXPIRED})


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


@dataclass(frozen=True, slots=True)
class VenueOrder:
    """An order at the venue."""

    order_id: str
    client_order_id: str
    symbol: str
    side: Side
    qty: Decimal
    order_type: OrderType
    time_in_force: TimeInForce
    limit_price: Decimal | None
    stop_price: Decimal | None
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

    @property
    def remaining(self) -> Decimal:
        """Give the quantity not filled yet."""
        return self.qty - self.filled_qty

    @property
    def reserved(self) -> Decimal:
        """Give the buying power the order holds, USD."""
        return self.remaining * self.reserve_price if self.status.is_open else Decimal(0)

    @property
    def filled_avg_price(self) -> Decimal | None:
        """Give the mean price of the fills, or None before the first."""
        return None if self.filled_qty == 0 else self.filled_notional / self.filled_qty

    def terms(self) -> Terms:
        """Give what matching needs."""
        return Terms(
            side=self.side,
            order_type=self.order_type,
            remaining=self.remaining,
            limit_price=self.limit_price,
            stop_price=self.stop_price,
            triggered=self.triggered,
            whole=is_whole(self.qty),
        )

    def filled(self, *, qty: Decimal, price: Decimal, at: datetime) -> "VenueOrder":
        """Give the order after an execution."""
        total = self.filled_qty + qty
        done = total == self.qty
        return replace(
            self,
            filled_qty=total,
            filled_notional=self.filled_notional + qty * price,
            status=Status.FILLED if done else Status.PARTIALLY_FILLED,
            filled_at=at if done else None,
            updated_at=at,
        )


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

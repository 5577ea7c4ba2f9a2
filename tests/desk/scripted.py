"""A desk on a broker whose every answer a test writes down, and a clock a test moves by hand."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from desk.desk import Desk
from desk.dispatcher import place
from desk.errors import NotFound, OutcomeUnknown, Rejected
from desk.journal import Journal
from desk.portfolio import Order
from schemas import events as ev
from schemas.account import BrokerAccount, BrokerPosition
from schemas.orders import (
    Approval,
    BrokerFill,
    BrokerOrder,
    OrderIntent,
    TradeUpdate,
)
from tests import rehearsal as r
from tests.makers import NOON
from tests.memory_ledger import MemoryLedger

ZERO = Decimal(0)


@dataclass
class HandClock:
    """The time a test says it is; sleeping passes it."""

    at: datetime = NOON

    def now(self) -> datetime:
        return self.at

    def sleep_until(self, instant: datetime) -> None:
        self.at = max(self.at, instant)

    def later(self, **step: float) -> None:
        self.at += timedelta(**step)


@dataclass
class Stream:
    """A user stream a test speaks through."""

    said: list[TradeUpdate] = field(default_factory=list)
    count: int = 1
    up: bool = True

    def start(self) -> None:
        return None

    def stop(self) -> None:
        return None

    def drain(self) -> tuple[TradeUpdate, ...]:
        said, self.said = tuple(self.said), []
        return said

    def connections(self) -> int:
        return self.count

    def is_listening(self) -> bool:
        return self.up


@dataclass
class Script:
    """A broker that keeps orders as a test sets them. `lose` makes the next writes lose their answers."""

    clock: HandClock
    orders: dict[str, BrokerOrder] = field(default_factory=dict)
    executed: list[BrokerFill] = field(default_factory=list)
    held: dict[str, Decimal] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    lose: list[bool] = field(default_factory=list)  # per write to come: True took it, False never did
    refuse: dict[str, str] = field(default_factory=dict)  # by call: the broker's words
    cash: Decimal = Decimal(100_000)
    replaces_later: bool = False
    on_cancel: Callable[[str], None] | None = None

    def _write(self, name: str) -> bool | None:
        self.calls.append(name)
        if name in self.refuse:
            raise Rejected(self.refuse[name], code="42210000", status=422)
        return self.lose.pop(0) if self.lose else None

    def _new(self, intent: OrderIntent, **changes: object) -> BrokerOrder:
        now = self.clock.now()
        order = BrokerOrder(
            broker_order_id=f"b{len(self.orders) + 1}",
            client_order_id=intent.client_order_id,
            symbol=intent.symbol,
            side=intent.side,
            qty=intent.qty,
            filled_qty=ZERO,
            filled_avg_price=None,
            order_type=intent.order_type.value,
            time_in_force=intent.time_in_force.value,
            limit_price=intent.limit_price,
            stop_price=intent.stop_price,
            status="new",
            submitted_at=now,
            updated_at=now,
            order_class=intent.order_class.value,
        ).model_copy(update=changes)
        self.orders[order.broker_order_id] = order
        return order

    def submit(self, intent: OrderIntent) -> BrokerOrder:
        took = self._write("submit")
        if took is None or took:
            order = self._new(intent)
        if took is not None:
            raise OutcomeUnknown("504")
        return order

    def replace(self, broker_order_id: str, intent: OrderIntent) -> BrokerOrder:
        took = self._write("replace")
        if took is None or took:
            order = self._new(intent, replaces=broker_order_id)
            word = "pending_replace" if self.replaces_later else "replaced"
            self.state(broker_order_id, word, replaced_by=order.broker_order_id)
        if took is not None:
            raise OutcomeUnknown("504")
        return order

    def cancel(self, broker_order_id: str) -> None:
        self._write(f"cancel {broker_order_id}")
        if self.on_cancel is not None:
            self.on_cancel(broker_order_id)

    def cancel_all(self) -> int:
        self._write("cancel_all")
        return len(self.open_orders())

    def state(self, broker_order_id: str, status: str, **changes: object) -> None:
        """Set an order's status."""
        order = self.orders[broker_order_id]
        self.orders[broker_order_id] = order.model_copy(update={"status": status, **changes})

    def fill(self, broker_order_id: str, qty: str, *, price: str = "100") -> BrokerFill:
        """Execute so many shares of an order."""
        order = self.orders[broker_order_id]
        cum = order.filled_qty + Decimal(qty)
        done = BrokerFill(
            execution_id=f"e{len(self.executed) + 1}",
            broker_order_id=broker_order_id,
            client_order_id=None,
            symbol=order.symbol,
            side=order.side,
            qty=Decimal(qty),
            price=Decimal(price),
            cum_qty=cum,
            filled_at=self.clock.now(),
        )
        self.executed.append(done)
        whole = order.qty is not None and cum >= order.qty
        word = order.status if order.status in ("replaced", "canceled") else "partially_filled"
        self.state(broker_order_id, "filled" if whole else word, filled_qty=cum)
        signed = Decimal(qty) * order.side.sign
        self.held[order.symbol] = self.held.get(order.symbol, ZERO) + signed
        self.cash -= signed * Decimal(price)
        return done

    def order(self, broker_order_id: str) -> BrokerOrder:
        self.calls.append("order")
        if broker_order_id not in self.orders:
            raise NotFound("order not found")
        return self.orders[broker_order_id]

    def order_by_client_id(self, client_order_id: str) -> BrokerOrder:
        self.calls.append("by_client_id")
        for order in self.orders.values():
            if order.client_order_id == client_order_id:
                return order
        raise NotFound("order not found")

    def open_orders(self) -> tuple[BrokerOrder, ...]:
        ended = ("filled", "canceled", "expired", "rejected", "replaced")
        return tuple(order for order in self.orders.values() if order.status not in ended)

    def orders_since(self, after: datetime) -> tuple[BrokerOrder, ...]:
        self.calls.append("orders_since")
        return tuple(order.model_copy(update={"legs": ()}) for order in self.orders.values())

    def fills_since(self, after: datetime) -> tuple[BrokerFill, ...]:
        return tuple(self.executed)

    def positions(self) -> tuple[BrokerPosition, ...]:
        return tuple(
            BrokerPosition(
                symbol=symbol,
                qty=qty,
                avg_entry_price=Decimal(100),
                current_price=Decimal(100),
                unrealized_pnl=ZERO,
            )
            for symbol, qty in self.held.items()
            if qty != 0
        )

    def account(self) -> BrokerAccount:
        return BrokerAccount(
            equity=self.cash,
            last_equity=self.cash,
            cash=self.cash,
            buying_power=Decimal(400_000),
            multiplier=4,
            accrued_fees=ZERO,
            trading_blocked=False,
            account_blocked=False,
            trade_suspended_by_user=False,
            shorting_enabled=True,
            status="ACTIVE",
        )


@dataclass
class Played:
    """A desk on a script."""

    desk: Desk
    script: Script
    clock: HandClock
    ledger: MemoryLedger
    stream: Stream

    def send(self, intent: OrderIntent) -> Order:
        """Write an approved intent ahead and send it; give the order."""
        place(self.desk, ((intent, approval_of(intent)),))
        return self.of(intent)

    def of(self, intent: OrderIntent) -> Order:
        """Give the order of an intent as it stands."""
        return self.desk.portfolio.orders[intent.client_order_id]

    def kinds(self, kind: type) -> list:
        """Give the ledger's events of a kind."""
        return [event for _, event in self.ledger.read() if isinstance(event, kind)]


def approval_of(intent: OrderIntent) -> Approval:
    """Approve an intent."""
    return Approval(client_order_id=intent.client_order_id, checks=(), judged_at=NOON)


def scripted(ledger: MemoryLedger | None = None, script: Script | None = None) -> Played:
    """Give a desk on a fresh script, or on one that a process before left."""
    clock = HandClock() if script is None else script.clock
    script = script if script is not None else Script(clock)
    ledger = ledger if ledger is not None else r.new_ledger()
    stream = Stream()
    desk = Desk(
        settings=r.settings(),
        clock=clock,
        broker=script,  # type: ignore[arg-type]
        market=None,  # type: ignore[arg-type]
        updates=stream,
        journal=Journal(ledger),
        recorder=r.Frames(),
        strategies=(),
    )
    if desk.portfolio.opened_at is None:
        desk.journal.record(ev.AccountOpened(at=NOON, cash=script.cash))
    return Played(desk, script, clock, ledger, stream)

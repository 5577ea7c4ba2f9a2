"""What the desk knows, as a fold of its events.

`Portfolio.apply` is the only way state changes: the running session applies what it appended, a
restart replays the ledger through the same function, and `state_hash` proves both equal (I8).

Rules. An execution counts once, under its execution id or, should a source name it otherwise, under
(order, cumulative quantity) (I3). Positions are kept per strategy and symbol; the broker knows only
their sum. Executions of orders that are not ours are booked to the strategy EXTERNAL, and only after
`reconcile` said so. A session's counters restart with a new session date, never with a new process,
so a restart resets no loss (F6). Latches end by `LatchReleased` alone (I7).

Left out: prices. Marks are remembered from `MinuteClosed` for display; decisions get fresh ones.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from desk.errors import IllegalTransition
from desk.exits import is_protective
from desk.lifecycle import OrderEvent, transition
from desk.own_order import Order as Order
from desk.own_order import Orders
from desk.positions import ZERO, Position, Positions
from desk.risk_memory import RiskMemory
from desk.state_hash import hash_of
from schemas import events as ev
from schemas.orders import BrokerFill, Fill, OrderState
from schemas.risk import Break, BreakKind, Latch, LatchName, TradingState

MINUTE = timedelta(minutes=1)
EXTERNAL = "external"  # the sub-ledger of what a person traded at the broker by hand


@dataclass(slots=True)
class Portfolio:
    """The fold. Mutated by `apply` alone."""

    opened_at: datetime | None = None  # None: an empty ledger, nothing known of the account
    cash: Decimal = ZERO
    orders: Orders = field(default_factory=Orders)
    positions: Positions = field(default_factory=Positions)
    executions: set[str] = field(default_factory=set)
    cumulative: set[tuple[str, Decimal]] = field(default_factory=set)
    trading_state: TradingState = TradingState.ACTIVE
    latches: dict[LatchName, Latch] = field(default_factory=dict)
    breaks: dict[str, Break] = field(default_factory=dict)  # open ones
    accepted_breaks: set[str] = field(default_factory=set)  # a person said: book it
    to_book: dict[str, Break] = field(default_factory=dict)  # accepted, and quantities not in the books yet
    session_date: date | None = None
    session_open: bool = False
    equity_start: Decimal = ZERO  # the broker's, when the session date began
    orders_today: int = 0
    denied_today: int = 0
    fills_today: int = 0
    denied_ids: set[str] = field(default_factory=set)  # of this session's denials
    opened_today: set[str] = field(default_factory=set)  # symbols with an opening fill not yet closed against
    day_trades: dict[date, int] = field(default_factory=dict)  # by session date, of the sessions known
    closed_days: set[date] = field(default_factory=set)
    minute: ev.MinuteClosed | None = None
    entered_at: dict[tuple[str, str], datetime] = field(default_factory=dict)  # of open positions
    best_marks: dict[tuple[str, str], Decimal] = field(default_factory=dict)  # since the position was opened
    pending_notices: dict[str, ev.NoticeQueued] = field(default_factory=dict)
    risk: RiskMemory = field(default_factory=RiskMemory)  # what loss limits and protections remember

    # ---- the fold -------------------------------------------------------------------------

    def check(self, event: ev.AnyEvent) -> None:
        """Raise `IllegalTransition` if the event cannot be applied; nothing changes."""
        step = _ORDER_STEPS.get(type(event))
        if step is not None:
            order = self._order(event.client_order_id)  # type: ignore[union-attr]  # all order steps carry it
            _after(order, step)
        elif isinstance(event, ev.FillRecorded) and not self.has_execution(event.fill):
            self._filled(event.fill, event.at)
        elif isinstance(event, ev.OrderPlanned) and event.intent.client_order_id in self.orders:
            raise IllegalTransition(f"order {event.intent.client_order_id} is already planned")

    def apply(self, event: ev.AnyEvent) -> None:
        """Fold one event.

        Raises:
            IllegalTransition: the event cannot follow the order's state; nothing changed.
        """
        handler = _HANDLERS.get(type(event))
        if handler is not None:
            handler(self, event)

    def _order(self, client_order_id: str) -> Order:
        order = self.orders.get(client_order_id)
        if order is None:
            raise IllegalTransition(f"order {client_order_id} was never planned")
        return order

    def _step(self, event: Any, step: OrderEvent, **changes: Any) -> None:
        """Move an order along, with what else the event says of it."""
        order = self._order(event.client_order_id)
        changed = replace(order, state=_after(order, step), changed_at=event.at, **changes)
        self.orders[event.client_order_id] = changed

    def _filled(self, fill: Fill, at: datetime) -> Order | None:
        """Give the order after the fill; None for an execution booked to EXTERNAL."""
        if fill.strategy == EXTERNAL and fill.client_order_id not in self.orders:
            return None
        order = self._order(fill.client_order_id)
        filled = order.filled_by(fill, changed_at=at)
        return replace(filled, state=_after(order, filled.step))

    # ---- questions ------------------------------------------------------------------------

    def has_execution(self, fill: Fill | BrokerFill) -> bool:
        """Tell whether this execution is booked, under either of its names."""
        if fill.execution_id in self.executions:
            return True
        return fill.cum_qty is not None and (fill.broker_order_id, fill.cum_qty) in self.cumulative

    def working_orders(self) -> tuple[Order, ...]:
        """Give orders that may still execute, oldest first."""
        return tuple(self.orders.working())

    def order_by_broker_id(self, broker_order_id: str) -> Order | None:
        """Give our order that has the broker's id, itself or as one of its legs, if any."""
        return self.orders.by_broker_id(broker_order_id)

    def position(self, symbol: str) -> Decimal:
        """Give the signed quantity of all strategies in a symbol."""
        return sum((p.qty for (_, name), p in self.positions.items() if name == symbol), ZERO)

    def holdings(self) -> dict[tuple[str, str], Position]:
        """Give the positions that are not flat, by (strategy, symbol)."""
        return dict(self.positions.held)

    def held_symbols(self) -> tuple[str, ...]:
        """Give the symbols with a position, sorted."""
        return tuple(sorted({symbol for _, symbol in self.positions.held}))

    def broken_symbols(self) -> frozenset[str]:
        """Give the symbols whose quantity is in doubt: a break of position or of foreign executions.

        One that a person accepted counts until the books have it: before that they are as wrong as before.
        """
        found = (*self.breaks.values(), *self.to_book.values())
        return frozenset(item.key for item in found if item.kind in _QUANTITIES)

    def locked_symbols(self) -> frozenset[str]:
        """Give the symbols that take no entry: their quantity is in doubt, or an order in them is (T3)."""
        orders = {item.symbol for item in self.breaks.values() if item.symbol is not None}
        return self.broken_symbols() | orders

    def is_marked_since_entry(self, key: tuple[str, str]) -> bool:
        """Tell whether the newest minute recorded ended after the position was opened: its mark is of it."""
        entered_at = self.entered_at.get(key)
        return self.minute is not None and (entered_at is None or self.minute.bar_ts + MINUTE > entered_at)

    def realized_pnl(self) -> Decimal:
        """Give the session's realized P&L before fees, USD."""
        return sum((p.realized_pnl for p in self.positions.values()), ZERO)

    def fees(self) -> Decimal:
        """Give the session's fees, USD, positive."""
        return sum((p.fees for p in self.positions.values()), ZERO)

    def state_hash(self) -> str:
        """Give the SHA-256 of the canonical state (desk/state_hash.py)."""
        return hash_of({name: getattr(self, name) for name in _HASHED} | self.risk.state())


_QUANTITIES = frozenset({BreakKind.POSITION, BreakKind.FOREIGN_FILL})

_HASHED = (
    "opened_at",
    "cash",
    "orders",
    "positions",
    "executions",
    "cumulative",
    "trading_state",
    "latches",
    "breaks",
    "accepted_breaks",
    "to_book",
    "session_date",
    "session_open",
    "equity_start",
    "orders_today",
    "denied_today",
    "fills_today",
    "denied_ids",
    "opened_today",
    "day_trades",
    "closed_days",
    "minute",
    "entered_at",
    "best_marks",
    "pending_notices",
)


def replay(events: Iterable[ev.AnyEvent]) -> Portfolio:
    """Fold events from empty.

    Raises:
        IllegalTransition: the events are not a ledger this desk wrote.
    """
    portfolio = Portfolio()
    for event in events:
        portfolio.apply(event)
    return portfolio


def _after(order: Order, step: OrderEvent) -> OrderState:
    """Give an order's state after a step; raises `IllegalTransition`, naming the order."""
    try:
        return transition(order.state, step)
    except IllegalTransition as error:
        raise IllegalTransition(f"order {order.intent.client_order_id}: {error}") from error


# ---- handlers: one per event that changes state ------------------------------------------------


def _account_opened(p: Portfolio, e: ev.AccountOpened) -> None:
    p.opened_at = e.at
    p.cash = e.cash
    p.executions.update(e.executions)


def _session_started(p: Portfolio, e: ev.SessionStarted) -> None:
    p.session_open = True
    if p.session_date == e.session_date:
        return  # a restart of the same day resets nothing (F6)
    p.session_date = e.session_date
    p.equity_start = e.equity
    p.orders_today = p.denied_today = p.fills_today = 0
    p.denied_ids = set()
    p.minute = None
    p.opened_today = set()  # what was held overnight and is left today is no day trade
    before = p.holdings()
    p.positions = Positions()
    for key, position in before.items():
        p.positions[key] = position.begin_session()
    p.risk.begin(e, unbooked=_unbooked(p))


def _unbooked(p: Portfolio) -> Decimal:
    """Give the value the broker has and our books lack by breaks of cash and quantities, signed."""
    kinds = (BreakKind.CASH, BreakKind.POSITION)
    found = (item for item in (*p.breaks.values(), *p.to_book.values()) if item.kind in kinds)
    return sum((item.notional_usd if item.theirs > item.ours else -item.notional_usd for item in found), ZERO)


def _session_ended(p: Portfolio, _: ev.SessionEnded) -> None:
    p.session_open = False


def _day_closed(p: Portfolio, e: ev.DayClosed) -> None:
    p.closed_days.add(e.session_date)
    if e.session_date == p.session_date:
        p.risk.close_day(e)


def _intent_denied(p: Portfolio, e: ev.IntentDenied) -> None:
    p.denied_today += 1
    p.denied_ids.add(e.intent.client_order_id)


def _order_planned(p: Portfolio, e: ev.OrderPlanned) -> None:
    p.check(e)
    old = None if e.intent.replaces is None else p.orders.get(e.intent.replaces)
    p.orders[e.intent.client_order_id] = Order(
        intent=e.intent,
        state=OrderState.PENDING,
        planned_at=e.at,
        changed_at=e.at,
        replaced_filled=None if old is None else old.filled_qty,
    )
    p.orders_today += 1


def _order_acknowledged(p: Portfolio, e: ev.OrderAcknowledged) -> None:
    legs = {"leg_ids": e.leg_ids} if e.leg_ids else {}
    p._step(e, OrderEvent.ACKNOWLEDGED, broker_order_id=e.broker_order_id, **legs)


def _order_replaced(p: Portfolio, e: ev.OrderReplaced) -> None:
    p._step(e, OrderEvent.REPLACED, replaced_by=e.by)


def _order_stepped(p: Portfolio, e: Any) -> None:
    p._step(e, _ORDER_STEPS[type(e)])


def _order_rejected(p: Portfolio, e: ev.OrderRejected) -> None:
    p._step(e, OrderEvent.REJECTED, message=f"{e.code} {e.message}".strip())


def _order_outcome_lost(p: Portfolio, e: ev.OrderOutcomeLost) -> None:
    lost_at = p._order(e.client_order_id).lost_at
    p._step(e, OrderEvent.OUTCOME_LOST, message=e.cause, lost_at=lost_at or e.at)


def _order_probed(p: Portfolio, e: ev.OrderProbed) -> None:
    probes = p._order(e.client_order_id).probes
    p._step(e, OrderEvent.PROBED, probes=probes + 1, probed_at=e.at)


def _cancel_requested(p: Portfolio, e: ev.CancelRequested) -> None:
    asked_at = p._order(e.client_order_id).cancel_asked_at
    p._step(e, OrderEvent.CANCEL_REQUESTED, cancel_requested_at=e.at, cancel_asked_at=asked_at or e.at)


def _fill_recorded(p: Portfolio, e: ev.FillRecorded) -> None:
    fill = e.fill
    if p.has_execution(fill):
        return
    order = p._filled(fill, e.at)
    if order is not None:
        p.orders[fill.client_order_id] = order
    else:
        foreign = [b for b, item in p.to_book.items() if item.kind is BreakKind.FOREIGN_FILL]
        for break_id in [b for b in foreign if p.to_book[b].key == fill.symbol]:
            _booked(p, break_id)
    p.executions.add(fill.execution_id)
    if fill.cum_qty is not None:
        p.cumulative.add((fill.broker_order_id, fill.cum_qty))
    key = (fill.strategy, fill.symbol)
    signed = fill.qty * fill.side.sign
    _count_day_trade(p, fill)
    before = p.positions.get(key, Position())
    p.positions[key] = before.after(signed_qty=signed, price=fill.price, fee=fill.fee)
    _note_entry(p, key, before, fill.filled_at)
    if order is not None:
        p.risk.fill(
            fill, before=before, after=p.positions[key], protective=is_protective(order.intent, fill.side)
        )
    p.cash -= signed * fill.price + fill.fee
    p.fills_today += 1


def _note_entry(p: Portfolio, key: tuple[str, str], before: Position, at: datetime) -> bool:
    """Note when a position was opened and forget the one before it; False where it only changed its size."""
    qty = p.positions[key].qty
    if qty * before.qty > 0:
        return False
    p.best_marks.pop(key, None)
    p.entered_at.pop(key, None)
    if qty != 0:
        p.entered_at[key] = at
    return True


def _count_day_trade(p: Portfolio, fill: Fill) -> None:
    """Count a round trip: an opening fill and a later closing one in a symbol and session (FINRA 4210)."""
    held = p.position(fill.symbol)
    if held * fill.side.sign >= 0:
        p.opened_today.add(fill.symbol)
    elif fill.symbol in p.opened_today:
        p.opened_today.discard(fill.symbol)
        p.day_trades[fill.session_date] = p.day_trades.get(fill.session_date, 0) + 1


def _position_adjusted(p: Portfolio, e: ev.PositionAdjusted) -> None:
    key = (e.strategy, e.symbol)
    before = p.positions.get(key, Position())
    p.positions[key] = before.after(signed_qty=e.qty_change, price=e.price, fee=ZERO)
    if _note_entry(p, key, before, e.at):
        p.risk.open_pnl.pop(key, None)
    p.risk.adjust(e.qty_change * e.price)
    if e.split_on is not None:
        p.risk.splits[e.symbol] = e.split_on
    if e.settles is not None:
        _booked(p, e.settles)


def _cash_adjusted(p: Portfolio, e: ev.CashAdjusted) -> None:
    p.cash += e.amount
    p.risk.adjust(e.amount)
    if e.settles is not None:
        _booked(p, e.settles)


def _break_found(p: Portfolio, e: ev.BreakFound) -> None:
    p.breaks[e.found.break_id] = e.found


def _break_resolved(p: Portfolio, e: ev.BreakResolved) -> None:
    found = p.breaks.pop(e.break_id, None)
    if e.how == "cleared":
        p.accepted_breaks.discard(e.break_id)
        p.to_book.pop(e.break_id, None)
        return
    p.accepted_breaks.add(e.break_id)
    if found is not None and found.kind in _QUANTITIES:
        p.to_book[e.break_id] = found


def _booked(p: Portfolio, break_id: str) -> None:
    """Forget an accepted break the books have now; the same difference found again is another one."""
    p.to_book.pop(break_id, None)
    p.accepted_breaks.discard(break_id)


def _trading_state_changed(p: Portfolio, e: ev.TradingStateChanged) -> None:
    p.trading_state = e.state


def _latch_set(p: Portfolio, e: ev.LatchSet) -> None:
    p.latches[e.name] = Latch(name=e.name, number=e.number, limit=e.limit, cause=e.cause, set_at=e.at)


def _latch_released(p: Portfolio, e: ev.LatchReleased) -> None:
    p.latches.pop(e.name, None)
    p.risk.release(e.name)


def _protection_set(p: Portfolio, e: ev.ProtectionSet) -> None:
    p.risk.pause(e)


def _protection_lifted(p: Portfolio, e: ev.ProtectionLifted) -> None:
    p.risk.lift(e)


def _minute_closed(p: Portfolio, e: ev.MinuteClosed) -> None:
    p.minute = e
    p.risk.mark(e, unbooked=_unbooked(p))
    marks = {mark.symbol: mark.price for mark in e.marks}
    for key, position in p.holdings().items():
        if key[1] in marks and p.is_marked_since_entry(key):
            pick = max if position.qty > 0 else min
            p.best_marks[key] = pick(p.best_marks.get(key, marks[key[1]]), marks[key[1]])


def _notice_queued(p: Portfolio, e: ev.NoticeQueued) -> None:
    p.pending_notices[e.notice_id] = e


def _notice_delivered(p: Portfolio, e: ev.NoticeDelivered) -> None:
    p.pending_notices.pop(e.notice_id, None)


_ORDER_STEPS: dict[type, OrderEvent] = {
    ev.OrderAcknowledged: OrderEvent.ACKNOWLEDGED,
    ev.OrderRejected: OrderEvent.REJECTED,
    ev.OrderOutcomeLost: OrderEvent.OUTCOME_LOST,
    ev.OrderProbed: OrderEvent.PROBED,
    ev.OrderNeverArrived: OrderEvent.NEVER_ARRIVED,
    ev.CancelRequested: OrderEvent.CANCEL_REQUESTED,
    ev.CancelRefused: OrderEvent.CANCEL_REFUSED,
    ev.OrderCanceled: OrderEvent.CANCELED,
    ev.OrderReplaced: OrderEvent.REPLACED,
    ev.OrderExpired: OrderEvent.EXPIRED,
}

_HANDLERS: dict[type, Callable[[Portfolio, Any], None]] = {
    ev.AccountOpened: _account_opened,
    ev.SessionStarted: _session_started,
    ev.SessionEnded: _session_ended,
    ev.DayClosed: _day_closed,
    ev.IntentDenied: _intent_denied,
    ev.OrderPlanned: _order_planned,
    ev.OrderAcknowledged: _order_acknowledged,
    ev.OrderRejected: _order_rejected,
    ev.OrderOutcomeLost: _order_outcome_lost,
    ev.OrderProbed: _order_probed,
    ev.OrderNeverArrived: _order_stepped,
    ev.CancelRequested: _cancel_requested,
    ev.CancelRefused: _order_stepped,
    ev.OrderCanceled: _order_stepped,
    ev.OrderReplaced: _order_replaced,
    ev.OrderExpired: _order_stepped,
    ev.FillRecorded: _fill_recorded,
    ev.PositionAdjusted: _position_adjusted,
    ev.CashAdjusted: _cash_adjusted,
    ev.BreakFound: _break_found,
    ev.BreakResolved: _break_resolved,
    ev.TradingStateChanged: _trading_state_changed,
    ev.LatchSet: _latch_set,
    ev.LatchReleased: _latch_released,
    ev.ProtectionSet: _protection_set,
    ev.ProtectionLifted: _protection_lifted,
    ev.MinuteClosed: _minute_closed,
    ev.NoticeQueued: _notice_queued,
    ev.NoticeDelivered: _notice_delivered,
}

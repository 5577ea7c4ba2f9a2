"""The ledger's events as the warehouse's rows.

Theory of operation. Facts that stand alone (decisions, adjustments, equity) become a row per event.
Things that change (orders, sessions, breaks) have one row each, which remembers the last seq it
took in: an event at or below it changes nothing, so the same events may come again. Executions
count once under either of their names, as in `desk.portfolio`. Positions are not folded here: they
are computed from fills and adjustments (data/holdings.py).
"""

import json
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from desk.errors import IllegalTransition
from desk.hours import new_york
from desk.lifecycle import OrderEvent, transition
from schemas import events as ev
from schemas.orders import Fill, OrderIntent, OrderState

_log = logging.getLogger(__name__)

Row = dict[str, Any]

ZERO = Decimal(0)


@dataclass(slots=True)
class Rows:
    """The rows of one account that a batch of events touches; filled with what the warehouse has first."""

    account: str
    session_date: date | None = None  # of the latest session that began before the batch
    decisions: list[Row] = field(default_factory=list)
    adjustments: list[Row] = field(default_factory=list)
    equity: dict[tuple[date, Any], Row] = field(default_factory=dict)
    fills: list[Row] = field(default_factory=list)  # new ones
    executed: dict[str, list[Row]] = field(default_factory=dict)  # all fills of the orders touched
    executions: set[str] = field(default_factory=set)
    cumulative: set[tuple[str, Decimal]] = field(default_factory=set)
    orders: dict[str, Row] = field(default_factory=dict)
    sessions: dict[date, Row] = field(default_factory=dict)
    breaks: dict[str, Row] = field(default_factory=dict)

    def know_fill(self, row: Row) -> None:
        """Take in a fill under both of its names."""
        self.executed.setdefault(row["client_order_id"], []).append(row)
        self.executions.add(row["execution_id"])
        if row["cum_qty"] is not None:
            self.cumulative.add((row["broker_order_id"], row["cum_qty"]))

    def has_fill(self, fill: Fill) -> bool:
        """Tell whether this execution is known, under either of its names (I3)."""
        if fill.execution_id in self.executions:
            return True
        return fill.cum_qty is not None and (fill.broker_order_id, fill.cum_qty) in self.cumulative

    def date_of(self, event: ev.Event) -> date:
        """Give the session an event without one belongs to: the running one, else the calendar's."""
        return self.session_date or new_york(event.at).date()


def order_ids(events: Iterable[ev.AnyEvent]) -> set[str]:
    """Give the client order ids the events speak of."""
    found: set[str] = set()
    for event in events:
        match event:
            case ev.OrderPlanned():
                found.add(event.intent.client_order_id)
            case ev.FillRecorded():
                found.add(event.fill.client_order_id)
            case _ if type(event) in _STEPS:
                found.add(event.client_order_id)  # type: ignore[union-attr]  # all order steps carry it
    return found


def fold(rows: Rows, events: Iterable[tuple[int, ev.AnyEvent]]) -> None:
    """Take events into the rows, in order."""
    for seq, event in events:
        handler = _HANDLERS.get(type(event))
        if handler is not None:
            handler(rows, seq, event)
        elif type(event) in _STEPS:
            _order_step(rows, seq, event)


# ---- decisions and orders ----------------------------------------------------------------------


def _decision(rows: Rows, seq: int, at: Any, intent: OrderIntent) -> Row:
    return {
        "account": rows.account,
        "seq": seq,
        "decided_at": at,
        "session_date": intent.session_date,
        "strategy": intent.strategy,
        "symbol": intent.symbol,
        "side": intent.side.value,
        "qty": intent.qty,
        "order_type": intent.order_type.value,
        "limit_price": intent.limit_price,
        "stop_price": intent.stop_price,
        "reference_price": intent.reference_price,
        "purpose": intent.purpose.value,
        "signal_reason": intent.reason,
        "bar_ts": intent.bar_ts,
        "client_order_id": intent.client_order_id,
        "correlation_id": intent.correlation_id,
    }


def _denied(rows: Rows, seq: int, e: ev.IntentDenied) -> None:
    answer = {
        "approved": False,
        "code": e.denial.reason.value,
        "number": e.denial.number,
        "limit": e.denial.limit,
        "message": e.denial.message,
        "checks": None,
    }
    rows.decisions.append(_decision(rows, seq, e.denial.judged_at, e.intent) | answer)


def _planned(rows: Rows, seq: int, e: ev.OrderPlanned) -> None:
    checks = [check.model_dump(mode="json") for check in e.approval.checks]
    answer = {
        "approved": True,
        "code": None,
        "number": None,
        "limit": None,
        "message": None,
        "checks": json.dumps(checks),
    }
    rows.decisions.append(_decision(rows, seq, e.approval.judged_at, e.intent) | answer)
    if e.intent.client_order_id in rows.orders:
        return
    intent = e.intent
    rows.orders[intent.client_order_id] = {
        "account": rows.account,
        "client_order_id": intent.client_order_id,
        "broker_order_id": None,
        "correlation_id": intent.correlation_id,
        "strategy": intent.strategy,
        "symbol": intent.symbol,
        "side": intent.side.value,
        "qty": intent.qty,
        "order_type": intent.order_type.value,
        "time_in_force": intent.time_in_force.value,
        "limit_price": intent.limit_price,
        "stop_price": intent.stop_price,
        "purpose": intent.purpose.value,
        "reference_price": intent.reference_price,
        "bar_ts": intent.bar_ts,
        "session_date": intent.session_date,
        "attempt": intent.attempt,
        "reason": intent.reason,
        "state": OrderState.PENDING.value,
        "filled_qty": ZERO,
        "filled_avg_price": None,
        "fees": ZERO,
        "planned_at": e.at,
        "changed_at": e.at,
        "cancel_requested_at": None,
        "message": None,
        "last_seq": seq,
    }


def _order_step(rows: Rows, seq: int, event: Any) -> None:
    row = _newer(rows.orders.get(event.client_order_id), seq)
    if row is None:
        return
    _move(row, seq, _STEPS[type(event)])
    row["changed_at"] = event.at
    match event:
        case ev.OrderAcknowledged():
            row["broker_order_id"] = event.broker_order_id
        case ev.OrderRejected():
            row["message"] = f"{event.code} {event.message}".strip()
        case ev.OrderOutcomeLost():
            row["message"] = event.cause
        case ev.CancelRequested():
            row["cancel_requested_at"] = event.at


def _filled(rows: Rows, seq: int, e: ev.FillRecorded) -> None:
    fill = e.fill
    if rows.has_fill(fill):
        return
    row = {
        "account": rows.account,
        "seq": seq,
        "execution_id": fill.execution_id,
        "client_order_id": fill.client_order_id,
        "broker_order_id": fill.broker_order_id,
        "strategy": fill.strategy,
        "symbol": fill.symbol,
        "side": fill.side.value,
        "qty": fill.qty,
        "price": fill.price,
        "cum_qty": fill.cum_qty,
        "fee": fill.fee,
        "filled_at": fill.filled_at,
        "session_date": fill.session_date,
        "source": e.source.value,
    }
    rows.fills.append(row)
    rows.know_fill(row)
    order = _newer(rows.orders.get(fill.client_order_id), seq)
    if order is None:
        return
    executed = rows.executed[fill.client_order_id]
    filled_qty = sum((known["qty"] for known in executed), ZERO)
    notional = sum((known["qty"] * known["price"] for known in executed), ZERO)
    _move(order, seq, OrderEvent.FILL if filled_qty >= order["qty"] else OrderEvent.PARTIAL_FILL)
    order["filled_qty"] = filled_qty
    order["filled_avg_price"] = notional / filled_qty
    order["fees"] = sum((known["fee"] for known in executed), ZERO)
    order["broker_order_id"] = order["broker_order_id"] or fill.broker_order_id
    order["changed_at"] = e.at


def _newer(row: Row | None, seq: int) -> Row | None:
    """Give the row if it has not taken in this seq yet."""
    return row if row is not None and row["last_seq"] < seq else None


def _move(row: Row, seq: int, step: OrderEvent) -> None:
    try:
        row["state"] = transition(OrderState(row["state"]), step).value
    except IllegalTransition as error:
        # The ledger refuses such events; a projection that stopped at one would hide all that follow.
        _log.warning(
            "event does not fit the order",
            extra={"order": row["client_order_id"], "seq": seq, "cause": str(error)},
        )
    row["last_seq"] = seq


# ---- adjustments, equity, sessions, breaks -----------------------------------------------------


def _adjustment(rows: Rows, seq: int, event: ev.Event, **facts: Any) -> None:
    row: Row = {
        "account": rows.account,
        "seq": seq,
        "adjusted_at": event.at,
        "session_date": rows.date_of(event),
        "strategy": None,
        "symbol": None,
        "qty_change": None,
        "price": None,
        "amount": None,
    }
    rows.adjustments.append(row | facts)


def _opened(rows: Rows, seq: int, e: ev.AccountOpened) -> None:
    _adjustment(rows, seq, e, kind="opening", amount=e.cash, cause="opening balance")


def _position_adjusted(rows: Rows, seq: int, e: ev.PositionAdjusted) -> None:
    facts = {"strategy": e.strategy, "symbol": e.symbol, "qty_change": e.qty_change, "price": e.price}
    _adjustment(rows, seq, e, kind="position", cause=e.cause, **facts)


def _cash_adjusted(rows: Rows, seq: int, e: ev.CashAdjusted) -> None:
    _adjustment(rows, seq, e, kind="cash", amount=e.amount, cause=e.cause)


def _minute_closed(rows: Rows, seq: int, e: ev.MinuteClosed) -> None:
    rows.equity[(e.session_date, e.bar_ts)] = {
        "account": rows.account,
        "session_date": e.session_date,
        "bar_ts": e.bar_ts,
        "equity": e.equity,
        "cash": e.cash,
        "realized_pnl": e.realized_pnl,
        "unrealized_pnl": e.unrealized_pnl,
        "fees": e.fees,
        "gross": e.gross,
        "net": e.net,
        "recorded_at": e.at,
        "last_seq": seq,
    }


def _session_started(rows: Rows, seq: int, e: ev.SessionStarted) -> None:
    rows.session_date = e.session_date
    row = rows.sessions.get(e.session_date)
    if row is None:
        rows.sessions[e.session_date] = {
            "account": rows.account,
            "session_date": e.session_date,
            "runs": 1,
            "run_id": e.run_id,
            "started_at": e.at,
            "ended_at": None,
            "cause": None,
            "strategies": list(e.strategies),
            "symbols": list(e.symbols),
            "settings_hash": e.settings_hash,
            "equity_start": e.equity,
            "closed_at": None,
            "equity_end": None,
            "cash_end": None,
            "realized_pnl": None,
            "fees": None,
            "first_seq": seq,
            "last_seq": seq,
        }
    elif row["last_seq"] < seq:
        # A restart of the day: the latest run's facts, the first run's start and equity.
        row |= {
            "runs": row["runs"] + 1,
            "run_id": e.run_id,
            "ended_at": None,
            "cause": None,
            "strategies": list(e.strategies),
            "symbols": list(e.symbols),
            "settings_hash": e.settings_hash,
            "last_seq": seq,
        }


def _session_ended(rows: Rows, seq: int, e: ev.SessionEnded) -> None:
    row = _newer(rows.sessions.get(e.session_date), seq)
    if row is not None:
        row |= {"ended_at": e.at, "cause": e.cause, "last_seq": seq}


def _day_closed(rows: Rows, seq: int, e: ev.DayClosed) -> None:
    row = _newer(rows.sessions.get(e.session_date), seq)
    if row is not None:
        row |= {
            "closed_at": e.at,
            "equity_end": e.equity,
            "cash_end": e.cash,
            "realized_pnl": e.realized_pnl,
            "fees": e.fees,
            "last_seq": seq,
        }


def _break_found(rows: Rows, seq: int, e: ev.BreakFound) -> None:
    row = rows.breaks.get(e.found.break_id)
    if row is not None and row["last_seq"] >= seq:
        return
    rows.breaks[e.found.break_id] = {
        "account": rows.account,
        "break_id": e.found.break_id,
        "session_date": e.session_date,
        "kind": e.found.kind.value,
        "key": e.found.key,
        "ours": e.found.ours,
        "theirs": e.found.theirs,
        "notional_usd": e.found.notional_usd,
        "detail": e.found.detail,
        "found_at": e.found.found_at,
        "resolved_at": None,
        "how": None,
        "resolved_by": None,
        "cause": None,
        "last_seq": seq,
    }


def _break_resolved(rows: Rows, seq: int, e: ev.BreakResolved) -> None:
    row = _newer(rows.breaks.get(e.break_id), seq)
    if row is not None:
        row |= {"resolved_at": e.at, "how": e.how, "resolved_by": e.by, "cause": e.cause, "last_seq": seq}


_STEPS: dict[type, OrderEvent] = {
    ev.OrderAcknowledged: OrderEvent.ACKNOWLEDGED,
    ev.OrderRejected: OrderEvent.REJECTED,
    ev.OrderOutcomeLost: OrderEvent.OUTCOME_LOST,
    ev.OrderProbed: OrderEvent.PROBED,
    ev.OrderNeverArrived: OrderEvent.NEVER_ARRIVED,
    ev.CancelRequested: OrderEvent.CANCEL_REQUESTED,
    ev.CancelRefused: OrderEvent.CANCEL_REFUSED,
    ev.OrderCanceled: OrderEvent.CANCELED,
    ev.OrderExpired: OrderEvent.EXPIRED,
}

_HANDLERS: dict[type, Callable[[Rows, int, Any], None]] = {
    ev.IntentDenied: _denied,
    ev.OrderPlanned: _planned,
    ev.FillRecorded: _filled,
    ev.AccountOpened: _opened,
    ev.PositionAdjusted: _position_adjusted,
    ev.CashAdjusted: _cash_adjusted,
    ev.MinuteClosed: _minute_closed,
    ev.SessionStarted: _session_started,
    ev.SessionEnded: _session_ended,
    ev.DayClosed: _day_closed,
    ev.BreakFound: _break_found,
    ev.BreakResolved: _break_resolved,
}

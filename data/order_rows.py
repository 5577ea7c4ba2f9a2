"""Decisions, orders and fills as rows.

An order has one row, which remembers the last seq it took in: an event at or below it changes
nothing. Executions count once under either of their names, as in `desk.portfolio`, and what an
order's row says of them is always the sum of all it has.
"""

import json
import logging
from typing import Any

from data.rows import ZERO, Row, Rows, newer
from desk.errors import IllegalTransition
from desk.lifecycle import OrderEvent, transition
from schemas import events as ev
from schemas.orders import OrderIntent, OrderState

_log = logging.getLogger(__name__)

STEPS: dict[type, OrderEvent] = {
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


def denied(rows: Rows, seq: int, e: ev.IntentDenied) -> None:
    """Take in the gate's no."""
    answer = {
        "approved": False,
        "code": e.denial.reason.value,
        "number": e.denial.number,
        "limit": e.denial.limit,
        "message": e.denial.message,
        "checks": None,
    }
    rows.decisions.append(_decision(rows, seq, e.denial.judged_at, e.intent) | answer)


def planned(rows: Rows, seq: int, e: ev.OrderPlanned) -> None:
    """Take in the gate's yes and the order it makes."""
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


def order_step(rows: Rows, seq: int, event: Any) -> None:
    """Move an order by one of `STEPS`."""
    row = newer(rows.orders.get(event.client_order_id), seq)
    if row is None:
        return
    _move(row, seq, STEPS[type(event)])
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


def _fill_row(rows: Rows, seq: int, e: ev.FillRecorded) -> Row:
    fill = e.fill
    return {
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


def filled(rows: Rows, seq: int, e: ev.FillRecorded) -> None:
    """Take in an execution, once, and what it makes of its order."""
    fill = e.fill
    known_seq = rows.fill_seq(fill)
    if known_seq is None:
        row = _fill_row(rows, seq, e)
        rows.fills.append(row)
        rows.know_fill(row)
    elif known_seq != seq:
        return  # told again
    order = newer(rows.orders.get(fill.client_order_id), seq)
    if order is None:
        return
    executed = [known for known in rows.executed[fill.client_order_id] if known["seq"] <= seq]
    filled_qty = sum((known["qty"] for known in executed), ZERO)
    notional = sum((known["qty"] * known["price"] for known in executed), ZERO)
    _move(order, seq, OrderEvent.FILL if filled_qty >= order["qty"] else OrderEvent.PARTIAL_FILL)
    order["filled_qty"] = filled_qty
    order["filled_avg_price"] = notional / filled_qty
    order["fees"] = sum((known["fee"] for known in executed), ZERO)
    order["broker_order_id"] = order["broker_order_id"] or fill.broker_order_id
    order["changed_at"] = e.at


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

"""Sending: the only place that writes to the broker.

An order is in the ledger before `submit` is called (I1). The call is made once. A refusal is a
definite no; anything else that is not an answer makes the order UNKNOWN (I4), and the settler asks.
The one write that is repeated is an unanswered *exit*, under the same client order id, after the
broker said that it does not know it: the broker takes an id once, so that cannot double it (I2).
"""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial

from desk.desk import Desk
from desk.errors import BrokerUnavailable, NotFound, OutcomeUnknown, Rejected
from desk.portfolio import Order
from desk.scribe import follow, follow_answers, follow_nested
from schemas.events import (
    AnyEvent,
    CancelRefused,
    CancelRequested,
    IntentDenied,
    OrderOutcomeLost,
    OrderPlanned,
    OrderRejected,
)
from schemas.orders import Approval, BrokerOrder, Denial, OrderIntent, OrderState, Purpose
from schemas.risk import LatchName

log = logging.getLogger(__name__)


CANCEL_AGAIN = timedelta(seconds=30)  # Alpaca cancels within seconds, and a request may be lost
CANCEL_ALARM = timedelta(minutes=3)  # six requests without effect: a person should look
CANCEL_AGAIN_LATER = timedelta(minutes=5)  # a pending_cancel may last hours; asking costs requests

Judged = tuple[OrderIntent, Approval | Denial]


def place(desk: Desk, judged: Sequence[Judged]) -> None:
    """Write every verdict ahead in one synced append, then send what was approved, in order.

    The answers are written in one append after the last send, since every order waits for what is written
    before it. A process that dies between a send and that append finds its order planned, as one does that
    dies before the answer came, and asks the broker under the order's own id: nothing is lost (I1, I2).
    Refusals and lost answers are written at once.

    Raises:
        LedgerUnavailable: nothing was written, so nothing was sent.
        LeaseLost: another session has the account; nothing was sent.
    """
    now = desk.now()
    events: list[AnyEvent] = []
    for intent, verdict in judged:
        if isinstance(verdict, Approval):
            events.append(OrderPlanned(at=now, intent=intent, approval=verdict))
        else:
            events.append(IntentDenied(at=now, intent=intent, denial=verdict))
    desk.journal.record(*events)
    _send_all(desk, [intent for intent, verdict in judged if isinstance(verdict, Approval)])
    for intent, verdict in judged:
        if isinstance(verdict, Denial):
            facts = {"correlation_id": intent.correlation_id, "signal": intent.reason}
            log.info("intent denied", extra={**facts, "denial": verdict.message})


def _send_all(desk: Desk, intents: Sequence[OrderIntent]) -> None:
    """Send planned orders, and write down the answers whatever ends the sending."""
    answers: list[tuple[BrokerOrder, datetime]] = []
    sent: list[OrderIntent] = []
    try:
        for intent in intents:
            if answers:
                desk.journal.catch_up()  # a person may have killed the desk since the last send
            if intent.purpose is Purpose.ENTRY and LatchName.KILL in desk.portfolio.latches:
                _withhold(desk, intent)
                continue
            stated = _sent(desk, intent, partial(desk.broker.submit, intent))
            if stated is not None:
                answers.append((stated, desk.now()))
                sent.append(intent)
    finally:
        follow_answers(desk, answers)
    for intent, (stated, _) in zip(sent, answers, strict=True):
        _tell_sent(intent, stated)


def replace(desk: Desk, order: Order, intent: OrderIntent, approval: Approval) -> OrderState:
    """Ask, once, that an approved intent take the place of a working order; give the new order's state.

    The new order is in the ledger before anything is sent. Acknowledged, both are followed until the
    broker says what became of the old one, which is asked for at once. Refused, the old one lives. Without
    an answer both are possible: the larger of the two stays reserved (desk/replacing.py).

    Raises:
        LedgerUnavailable: nothing was written, so nothing was sent.
        LeaseLost: another session has the account; nothing was sent.
    """
    assert intent.replaces == order.intent.client_order_id, "an intent names the order it replaces"
    desk.journal.record(OrderPlanned(at=desk.now(), intent=intent, approval=approval))
    order = desk.portfolio.orders[order.intent.client_order_id]
    old_id = order.broker_order_id
    if old_id is None or order.state.is_terminal:
        why = f"{order.intent.client_order_id} is {order.state.value} and cannot be replaced"
        _end_unsent(desk, intent, why)
        return desk.portfolio.orders[intent.client_order_id].state
    state = _answered(desk, intent, lambda: desk.broker.replace(old_id, intent))
    if not state.is_terminal and state is not OrderState.UNKNOWN:
        try:
            follow(desk, desk.broker.order(old_id))
        except (BrokerUnavailable, NotFound) as error:
            log.warning("replaced order is asked about later", extra={"cause": str(error)})
    return state


def _withhold(desk: Desk, intent: OrderIntent) -> None:
    """End a planned entry unsent: a person killed the desk between its approval and now (I14)."""
    _end_unsent(desk, intent, "the kill switch was set meanwhile")


def _end_unsent(desk: Desk, intent: OrderIntent, why: str) -> None:
    desk.journal.record(
        OrderRejected(at=desk.now(), client_order_id=intent.client_order_id, code="not_sent", message=why)
    )


def submit(desk: Desk, intent: OrderIntent) -> OrderState:
    """Send a planned order once, record the answer, and give the order's state.

    Raises:
        LeaseLost: another session has the account; nothing was sent.
        LedgerUnavailable: whether that is so could not be asked; nothing was sent.
    """
    return _answered(desk, intent, lambda: desk.broker.submit(intent))


def _answered(desk: Desk, intent: OrderIntent, send: Callable[[], BrokerOrder]) -> OrderState:
    """Send once, record the answer, and give the order's state."""
    stated = _sent(desk, intent, send)
    if stated is not None:
        follow_nested(desk, stated)
        _tell_sent(intent, stated)
    return desk.portfolio.orders[intent.client_order_id].state


def _tell_sent(intent: OrderIntent, stated: BrokerOrder) -> None:
    log.info(
        "order sent",
        extra={
            "client_order_id": intent.client_order_id,
            "correlation_id": intent.correlation_id,
            "broker_order_id": stated.broker_order_id,
            "signal": intent.reason,
        },
    )


def _sent(desk: Desk, intent: OrderIntent, send: Callable[[], BrokerOrder]) -> BrokerOrder | None:
    """Send once, if the account is still ours: this process may have slept since it wrote ahead (I12).

    Gives the broker's answer, to be written down by the caller; None for a refusal or none, which is written.
    """
    client_order_id = intent.client_order_id
    facts = {"client_order_id": client_order_id, "correlation_id": intent.correlation_id}
    desk.journal.renew()
    try:
        return send()
    except Rejected as refusal:
        if desk.portfolio.orders[client_order_id].state is OrderState.UNKNOWN:
            log.warning("order not sent again", extra={**facts, "cause": str(refusal)})
            return None  # it speaks of this send; the first one may have arrived (I4)
        log.warning("order rejected", extra={**facts, "code": refusal.code, "message_text": str(refusal)})
        desk.journal.record(
            OrderRejected(
                at=desk.now(), client_order_id=client_order_id, code=refusal.code, message=str(refusal)
            )
        )
    except OutcomeUnknown as lost:
        log.warning("order outcome unknown", extra={**facts, "cause": str(lost)})
        if desk.portfolio.orders[client_order_id].state is not OrderState.UNKNOWN:  # a second loss is no news
            desk.journal.record(
                OrderOutcomeLost(at=desk.now(), client_order_id=client_order_id, cause=str(lost))
            )
    return None


def cancel(desk: Desk, order: Order, *, cause: str) -> None:
    """Ask for a cancel of a working order the broker knows; whether it canceled is learned later.

    Asking again is harmless and needed, since a request may be lost: every `CANCEL_AGAIN`, and once that
    did not help for `CANCEL_ALARM`, every `CANCEL_AGAIN_LATER`. The order's exposure stays reserved.
    """
    if order.broker_order_id is None or order.state.is_terminal:
        return
    wait = CANCEL_AGAIN_LATER if is_stuck(order, now=desk.now(), after=CANCEL_ALARM) else CANCEL_AGAIN
    if order.cancel_requested_at is not None and desk.now() < order.cancel_requested_at + wait:
        return
    client_order_id = order.intent.client_order_id
    desk.journal.record(CancelRequested(at=desk.now(), client_order_id=client_order_id, cause=cause))
    refusals = []
    ids = _to_cancel(order, order.broker_order_id)
    for broker_order_id in ids:
        try:
            desk.broker.cancel(broker_order_id)
        except (Rejected, NotFound) as refusal:
            refusals.append(str(refusal))
        except OutcomeUnknown as lost:
            log.warning(
                "cancel outcome unknown", extra={"client_order_id": client_order_id, "cause": str(lost)}
            )
    if len(refusals) == len(ids):
        desk.journal.record(
            CancelRefused(at=desk.now(), client_order_id=client_order_id, message="; ".join(refusals))
        )


def is_stuck(order: Order, *, now: datetime, after: timedelta) -> bool:
    """Tell whether a cancel was asked for so long ago and the order may still execute."""
    return order.is_working and order.cancel_asked_at is not None and now >= order.cancel_asked_at + after


def _to_cancel(order: Order, broker_order_id: str) -> tuple[str, ...]:
    """Give the broker ids to cancel: the order's own takes its legs along, until its entry is complete."""
    is_entered = order.has_legs_against and order.filled_qty >= order.intent.qty
    return order.leg_ids if is_entered and order.leg_ids else (broker_order_id,)

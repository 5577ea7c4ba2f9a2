"""Writing down what the broker says of our orders, whichever road it came by.

desk/tracker.py says what is news; here it is recorded. A word that cannot follow an order's state changes
nothing and is an error in the log: one strange message must not end the session, and what is really
different shows as a break.
"""

import logging
from collections.abc import Iterable, Sequence
from datetime import date, datetime

from desk.desk import Desk
from desk.errors import IllegalTransition
from desk.hours import new_york, next_session, session_date_at
from desk.tracker import by_broker_id, fill_event, legs_ending, order_of, status_events, update_fill
from schemas.events import AnyEvent, FillSource
from schemas.orders import BrokerFill, BrokerOrder, TradeUpdate

log = logging.getLogger(__name__)


def booking_date(instant: datetime) -> date:
    """Give the session an execution is booked to: its own day's, else the next session's."""
    day = session_date_at(instant)
    return day if day is not None else next_session(new_york(instant).date()).session_date


def hear(desk: Desk) -> bool:
    """Record what the stream said since the last call; give whether it spoke of orders not ours."""
    if desk.updates is None:
        return False
    is_foreign = False
    for update in desk.updates.drain():
        is_foreign |= not fold_update(desk, update)
    return is_foreign


def fold_update(desk: Desk, update: TradeUpdate) -> bool:
    """Record what one update of the stream says of our order; False for a foreign one, left to reconcile."""
    order = update.order
    if (
        order_of(desk.portfolio, broker_order_id=order.broker_order_id, client_order_id=order.client_order_id)
        is None
    ):
        return False
    fill = update_fill(update)
    if fill is not None:
        _book(desk, fill, FillSource.STREAM)
    follow(desk, order)
    return True


def fold_statements(desk: Desk, fills: Iterable[BrokerFill], orders: Iterable[BrokerOrder]) -> None:
    """Record what REST says: executions first, then the statuses that may end an order."""
    stated = tuple(orders)
    for fill in fills:
        _book(desk, fill, FillSource.REST)
    for order in stated:
        follow(desk, order)
    _end_with_legs(desk, stated, nested=False)


def follow(desk: Desk, stated: BrokerOrder) -> None:
    """Record what a statement says of our order's state."""
    for event in status_events(desk.portfolio, stated, now=desk.now()):
        _write(desk, event)


def follow_nested(desk: Desk, stated: BrokerOrder) -> None:
    """Record what an answer that nests legs says of our order and of each of its legs."""
    follow(desk, stated)
    _end_with_legs(desk, (stated,), nested=True)


def follow_answers(desk: Desk, answers: Sequence[tuple[BrokerOrder, datetime]]) -> None:
    """Record the answers to several orders, each with its instant: plain acknowledgements in one append."""
    found = [status_events(desk.portfolio, stated, now=at) for stated, at in answers]
    try:
        desk.journal.record(*(events[0] for events in found if len(events) == 1))
    except IllegalTransition as error:
        log.warning("answers are recorded one by one", extra={"cause": str(error)})
    for stated, _ in answers:
        follow_nested(desk, stated)  # what is recorded already is no news


def _end_with_legs(desk: Desk, stated: Iterable[BrokerOrder], *, nested: bool) -> None:
    """End orders of which every leg ended; `nested` as in `legs_ending`, of the one order stated."""
    mine = [order for order in desk.portfolio.working_orders() if order.has_legs]
    if not mine:
        return
    statements = by_broker_id(stated)
    for order in mine:
        is_shown = nested and order.broker_order_id in statements
        event = legs_ending(order, statements, now=desk.now(), nested=is_shown)
        if event is not None:
            _write(desk, event)


def _write(desk: Desk, event: AnyEvent) -> None:
    try:
        desk.journal.record(event)
    except IllegalTransition as error:
        log.error("broker's word cannot be", extra={"event": event.kind, "cause": str(error)})


def _book(desk: Desk, stated: BrokerFill, source: FillSource) -> None:
    if desk.portfolio.has_execution(stated):
        return  # most of what REST says was heard before
    day = booking_date(stated.filled_at)
    event = fill_event(
        desk.portfolio, stated, session_date=day, source=source, now=desk.now(), fees=desk.fees
    )
    if event is None:
        return
    desk.journal.record(event)
    if not log.isEnabledFor(logging.INFO):
        return
    fill = event.fill
    log.info(
        "fill booked",
        extra={
            "correlation_id": desk.portfolio.orders[fill.client_order_id].intent.correlation_id,
            "client_order_id": fill.client_order_id,
            "execution_id": fill.execution_id,
            "symbol": fill.symbol,
            "side": fill.side.value,
            "qty": str(fill.qty),
            "price": str(fill.price),
        },
    )

"""What the broker says of our orders, as events of ours. Pure: decide here, record elsewhere.

The stream, the answer of a POST and REST say the same things at different times, some twice, some
never. Each function compares one statement with the portfolio and gives only what is news, so
statements may be repeated, reordered and mixed. Fills are booked before the status that ends an
order. A status word we do not know is no evidence of anything but that the order exists.
"""

from datetime import date, datetime

from desk.fees import fees_for
from desk.lifecycle import STATUS_EVENTS, OrderEvent
from desk.portfolio import EXTERNAL, Order, Portfolio
from schemas.events import (
    AnyEvent,
    FillRecorded,
    FillSource,
    OrderAcknowledged,
    OrderCanceled,
    OrderExpired,
    OrderRejected,
)
from schemas.orders import BrokerFill, BrokerOrder, Fill, OrderState, TradeUpdate

_UNANSWERED = frozenset({OrderState.PENDING, OrderState.UNKNOWN})


def order_of(portfolio: Portfolio, *, broker_order_id: str, client_order_id: str | None) -> Order | None:
    """Find our order by the client order id, else by the broker's id; None when it is not ours."""
    if client_order_id is not None and client_order_id in portfolio.orders:
        return portfolio.orders[client_order_id]
    return portfolio.order_by_broker_id(broker_order_id)


def status_events(portfolio: Portfolio, stated: BrokerOrder, *, now: datetime) -> tuple[AnyEvent, ...]:
    """Give the events that bring our order to the broker's status; empty when nothing is news.

    An order whose broker has executed more than we booked is not ended yet: its fills come first.
    """
    order = order_of(
        portfolio, broker_order_id=stated.broker_order_id, client_order_id=stated.client_order_id
    )
    if order is None:
        return ()
    client_order_id = order.intent.client_order_id
    step = STATUS_EVENTS.get(stated.status, OrderEvent.ACKNOWLEDGED)
    events: list[AnyEvent] = []
    unacknowledged = order.state in _UNANSWERED or (order.broker_order_id is None and order.is_working)
    refused_but_alive = order.state is OrderState.REJECTED and step is not OrderEvent.REJECTED
    if (unacknowledged or refused_but_alive) and step is not OrderEvent.REJECTED:
        events.append(
            OrderAcknowledged(at=now, client_order_id=client_order_id, broker_order_id=stated.broker_order_id)
        )
    if order.state.is_terminal and not refused_but_alive:
        return tuple(events)
    if stated.filled_qty > order.filled_qty:
        return tuple(events)
    match step:
        case OrderEvent.CANCELED:
            events.append(OrderCanceled(at=now, client_order_id=client_order_id))
        case OrderEvent.EXPIRED:
            events.append(OrderExpired(at=now, client_order_id=client_order_id))
        case OrderEvent.REJECTED:
            events.append(
                OrderRejected(at=now, client_order_id=client_order_id, code="async", message=stated.message)
            )
    return tuple(events)


def fill_event(
    portfolio: Portfolio, stated: BrokerFill, *, session_date: date, source: FillSource, now: datetime
) -> FillRecorded | None:
    """Give the event that books an execution of our order; None when booked already or not ours."""
    order = order_of(
        portfolio, broker_order_id=stated.broker_order_id, client_order_id=stated.client_order_id
    )
    if order is None:
        return None
    fill = _fill(
        stated, session_date, strategy=order.intent.strategy, client_order_id=order.intent.client_order_id
    )
    if portfolio.has_execution(fill):
        return None
    return FillRecorded(at=now, fill=fill, source=source)


def external_fill(stated: BrokerFill, *, session_date: date, now: datetime) -> FillRecorded:
    """Give the event that books an execution a person made at the broker by hand."""
    client_order_id = stated.client_order_id or f"{EXTERNAL}-{stated.broker_order_id}"
    fill = _fill(stated, session_date, strategy=EXTERNAL, client_order_id=client_order_id)
    return FillRecorded(at=now, fill=fill, source=FillSource.REST)


def _fill(stated: BrokerFill, session_date: date, *, strategy: str, client_order_id: str) -> Fill:
    fee = fees_for(side=stated.side, qty=stated.qty, price=stated.price, day=session_date)
    return Fill(
        execution_id=stated.execution_id,
        client_order_id=client_order_id,
        broker_order_id=stated.broker_order_id,
        strategy=strategy,
        symbol=stated.symbol,
        side=stated.side,
        qty=stated.qty,
        price=stated.price,
        cum_qty=stated.cum_qty,
        fee=fee,
        filled_at=stated.filled_at,
        session_date=session_date,
    )


def update_fill(update: TradeUpdate) -> BrokerFill | None:
    """Give the execution an update of the stream carries, with its order's client id."""
    if update.fill is None:
        return None
    return update.fill.model_copy(update={"client_order_id": update.order.client_order_id})

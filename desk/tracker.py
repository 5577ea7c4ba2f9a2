"""What the broker says of our orders, as events of ours. Pure: decide here, record elsewhere.

The stream, the answer of a POST and REST say the same things at different times, some twice, some
never. Each function compares one statement with the portfolio and gives only what is news, so
statements may be repeated, reordered and mixed. Fills are booked before the status that ends an
order. A status word we do not know is no evidence of anything but that the order exists.

An order with legs (bracket, OCO, OTO) is over when each of its orders ended and what they executed is
booked: `legs_ending` asks for a statement about every one of them, nested or one by one. `replaced` ends
an order in favour of ours that was meant to take its place; without one somebody else replaced it.
"""

from collections.abc import Iterable, Mapping
from datetime import date, datetime

from desk.fees import ALPACA_FEES, FeeSchedule
from desk.lifecycle import STATUS_EVENTS, OrderEvent
from desk.portfolio import EXTERNAL, Order, Portfolio
from desk.positions import ZERO
from desk.replacing import successor
from schemas.events import (
    AnyEvent,
    FillRecorded,
    FillSource,
    OrderAcknowledged,
    OrderCanceled,
    OrderExpired,
    OrderRejected,
    OrderReplaced,
)
from schemas.orders import BrokerFill, BrokerOrder, Fill, OrderState, TradeUpdate

ENDED = frozenset({"filled", "canceled", "expired", "rejected", "replaced"})  # words nothing follows
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
    if order.has_legs and stated.broker_order_id in order.leg_ids:
        return ()  # one of several: see `legs_ending`
    client_order_id = order.intent.client_order_id
    step = STATUS_EVENTS.get(stated.status, OrderEvent.ACKNOWLEDGED)
    events: list[AnyEvent] = []
    unacknowledged = order.state in _UNANSWERED or (order.broker_order_id is None and order.is_working)
    refused_but_alive = order.state is OrderState.REJECTED and step is not OrderEvent.REJECTED
    is_first = (unacknowledged or refused_but_alive) and step is not OrderEvent.REJECTED
    names_legs = order.is_working and bool(stated.legs) and not order.leg_ids
    if is_first or names_legs:
        events.append(_acknowledged(client_order_id, stated, now))
    if order.state.is_terminal and not refused_but_alive:
        return tuple(events)
    if order.has_legs and step is not OrderEvent.REJECTED:
        return tuple(events)
    if stated.filled_qty > order.filled_qty:
        return tuple(events)
    match step:
        case OrderEvent.CANCELED:
            heir = successor(portfolio, order) if stated.status == "replaced" else None
            if heir is not None:
                by = heir.intent.client_order_id
                events.append(OrderReplaced(at=now, client_order_id=client_order_id, by=by))
            else:
                events.append(OrderCanceled(at=now, client_order_id=client_order_id))
        case OrderEvent.EXPIRED:
            events.append(OrderExpired(at=now, client_order_id=client_order_id))
        case OrderEvent.REJECTED:
            events.append(
                OrderRejected(at=now, client_order_id=client_order_id, code="async", message=stated.message)
            )
    return tuple(events)


def _acknowledged(client_order_id: str, stated: BrokerOrder, now: datetime) -> OrderAcknowledged:
    return OrderAcknowledged(
        at=now,
        client_order_id=client_order_id,
        broker_order_id=stated.broker_order_id,
        leg_ids=tuple(leg.broker_order_id for leg in stated.legs),
    )


def legs_ending(
    order: Order, statements: Mapping[str, BrokerOrder], *, now: datetime, nested: bool = False
) -> AnyEvent | None:
    """Give the event that ends an order with legs, if each of its orders ended and all is booked.

    Args:
        order: an order of ours with legs.
        statements: by broker id, about any orders.
        now: the instant the event gets.
        nested: whether the statements are an answer that nests legs, so that none shown means none.
    """
    if not order.is_working or order.broker_order_id is None or not (order.leg_ids or nested):
        return None
    stated = [statements.get(each) for each in order.broker_ids]
    if any(each is None or each.status not in ENDED for each in stated):
        return None
    executed = sum((each.filled_qty for each in stated if each is not None), ZERO)
    if executed > order.filled_qty + (order.left_qty or ZERO):
        return None
    words = {each.status for each in stated if each is not None}
    make = OrderExpired if "expired" in words and "canceled" not in words else OrderCanceled
    return make(at=now, client_order_id=order.intent.client_order_id)


def by_broker_id(stated: Iterable[BrokerOrder]) -> dict[str, BrokerOrder]:
    """Give statements by broker id, nested ones among them."""
    found: dict[str, BrokerOrder] = {}
    for each in stated:
        found[each.broker_order_id] = each
        found.update((leg.broker_order_id, leg) for leg in each.legs)
    return found


def fill_event(
    portfolio: Portfolio,
    stated: BrokerFill,
    *,
    session_date: date,
    source: FillSource,
    now: datetime,
    fees: FeeSchedule = ALPACA_FEES,
) -> FillRecorded | None:
    """Give the event that books an execution of our order; None when booked already or not ours."""
    order = order_of(
        portfolio, broker_order_id=stated.broker_order_id, client_order_id=stated.client_order_id
    )
    if order is None or portfolio.has_execution(stated):
        return None
    fill = _fill(
        stated,
        session_date,
        strategy=order.intent.strategy,
        client_order_id=order.intent.client_order_id,
        fees=fees,
    )
    return FillRecorded(at=now, fill=fill, source=source)


def external_fill(stated: BrokerFill, *, session_date: date, now: datetime) -> FillRecorded:
    """Give the event that books an execution a person made at the broker by hand."""
    client_order_id = stated.client_order_id or f"{EXTERNAL}-{stated.broker_order_id}"
    fill = _fill(stated, session_date, strategy=EXTERNAL, client_order_id=client_order_id)
    return FillRecorded(at=now, fill=fill, source=FillSource.REST)


def _fill(
    stated: BrokerFill,
    session_date: date,
    *,
    strategy: str,
    client_order_id: str,
    fees: FeeSchedule = ALPACA_FEES,
) -> Fill:
    fee = fees.of(side=stated.side, qty=stated.qty, price=stated.price, day=session_date)
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

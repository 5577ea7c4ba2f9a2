"""Learning: what became of our orders, from the stream and from REST.

The stream makes fills known sooner; REST alone is enough, because nothing is replayed after a gap in
the stream. `settle` drains the stream and, while any order may still execute, asks REST for the
orders and executions since the oldest of them. Everything is folded through desk/tracker.py, so
hearing twice changes nothing.
"""

import logging
from datetime import date, datetime, timedelta

from desk.desk import Desk
from desk.dispatcher import submit
from desk.errors import BrokerUnavailable, IllegalTransition, NotFound
from desk.hours import new_york, next_session, session_date_at, session_hours
from desk.portfolio import Order
from desk.tracker import fill_event, order_of, status_events, update_fill
from schemas.account import BrokerSnapshot
from schemas.events import FillSource, OrderNeverArrived, OrderOutcomeLost, OrderProbed
from schemas.orders import BrokerFill, BrokerOrder, OrderIntent, OrderState, Purpose, TradeUpdate

log = logging.getLogger(__name__)

# The broker's clock and ours may differ by seconds and its lists lag; minutes of overlap cost one page.
OVERLAP = timedelta(minutes=5)
# An UNKNOWN order is asked about at every settle; the ledger needs only the first answers.
PROBES_RECORDED_MAX = 5
# An unanswered exit is sent again (same id) only after the broker denied knowing it this often.
PROBES_BEFORE_EXIT_RESEND = 2


def booking_date(instant: datetime) -> date:
    """Give the session an execution is booked to: its own day's, else the next session's."""
    day = session_date_at(instant)
    return day if day is not None else next_session(new_york(instant).date()).session_date


def settle(desk: Desk, *, resend: bool = False) -> bool:
    """Bring our orders level with what the broker says; one that does not answer is asked next time.

    Gives whether the stream spoke of orders that are not ours: somebody else trades on the account.

    Args:
        desk: the desk; its journal must hold the lease.
        resend: whether an exit the broker denies knowing may be sent again. Only a session whose books
            were compared with the broker's may say so: before that the position may be gone.
    """
    desk.journal.catch_up()
    desk.journal.renew()
    is_foreign = False
    if desk.updates is not None:
        for update in desk.updates.drain():
            is_foreign |= not fold_update(desk, update)
    try:
        probe_unanswered(desk, resend=resend)
        working = [order for order in desk.portfolio.working_orders() if order.broker_order_id is not None]
        if working:
            since = min(order.planned_at for order in working) - OVERLAP
            fold_statements(desk, desk.broker.fills_since(since), desk.broker.orders_since(since))
    except BrokerUnavailable as error:
        log.warning("broker did not answer while settling", extra={"cause": str(error)})
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
    _follow(desk, order)
    return True


def _follow(desk: Desk, stated: BrokerOrder) -> None:
    """Record what a statement says of our order's state.

    A word that cannot follow the state changes nothing and is an error in the log: one strange message
    must not end the session, and what is really different shows as a break.
    """
    for event in status_events(desk.portfolio, stated, now=desk.now()):
        try:
            desk.journal.record(event)
        except IllegalTransition as error:
            log.error("broker's word cannot be", extra={"status": stated.status, "cause": str(error)})


def fold_statements(desk: Desk, fills: tuple[BrokerFill, ...], orders: tuple[BrokerOrder, ...]) -> None:
    """Record what REST says: executions first, then the statuses that may end an order."""
    for fill in fills:
        _book(desk, fill, FillSource.REST)
    for stated in orders:
        _follow(desk, stated)


def _book(desk: Desk, stated: BrokerFill, source: FillSource) -> None:
    day = booking_date(stated.filled_at)
    event = fill_event(desk.portfolio, stated, session_date=day, source=source, now=desk.now())
    if event is None:
        return
    desk.journal.record(event)
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


def probe_unanswered(desk: Desk, *, resend: bool = False) -> None:
    """Ask about every order whose answer was lost; `resend` as in `settle`.

    Raises:
        BrokerUnavailable: the broker does not answer reads either.
    """
    for order in desk.portfolio.working_orders():
        if order.state is OrderState.UNKNOWN:
            _probe(desk, order, resend=resend)


def _probe(desk: Desk, order: Order, *, resend: bool) -> None:
    client_order_id = order.intent.client_order_id
    try:
        stated = desk.broker.order_by_client_id(client_order_id)
    except NotFound:
        if order.probes < PROBES_RECORDED_MAX:
            desk.journal.record(OrderProbed(at=desk.now(), client_order_id=client_order_id))
        if resend and order.probes >= PROBES_BEFORE_EXIT_RESEND and _is_still_wanted(desk, order.intent):
            log.warning("unanswered exit sent again", extra={"client_order_id": client_order_id})
            submit(desk, order.intent)
        return
    _follow(desk, stated)


def _is_still_wanted(desk: Desk, intent: OrderIntent) -> bool:
    """Tell whether an exit still leaves a position, in its own session, while that is open (F4)."""
    hours = session_hours(intent.session_date)
    if (
        intent.purpose is not Purpose.EXIT
        or hours is None
        or intent.symbol in desk.portfolio.broken_symbols()
    ):
        return False
    held = -intent.side.sign * desk.portfolio.position(intent.symbol)
    return held >= intent.qty and hours.opens_at <= desk.now() < hours.closes_at


def lose_pending(desk: Desk) -> None:
    """Make every PENDING order UNKNOWN: at start-up nobody is left to hear its answer."""
    for order in desk.portfolio.working_orders():
        if order.state is OrderState.PENDING:
            desk.journal.record(
                OrderOutcomeLost(
                    at=desk.now(),
                    client_order_id=order.intent.client_order_id,
                    cause="the process ended before an answer",
                )
            )


def may_arrive_until(order: Order) -> datetime:
    """Give the instant from which an unanswered order that nobody has cannot come to life any more."""
    hours = session_hours(order.intent.session_date)
    assert hours is not None, "an intent is of a session"
    return max(hours.closes_at, order.planned_at) + OVERLAP


def end_never_arrived(desk: Desk) -> None:
    """End UNKNOWN orders whose session is over and which the broker's complete order list lacks (I4).

    A DAY order that nobody has minutes after the close cannot come to life.

    Raises:
        BrokerUnavailable: the list could not be read, so nothing ends.
    """
    now = desk.now()
    unknown = [
        order
        for order in desk.portfolio.working_orders()
        if order.state is OrderState.UNKNOWN and may_arrive_until(order) <= now
    ]
    if not unknown:
        return
    since = min(order.planned_at for order in unknown) - OVERLAP
    stated = {order.client_order_id for order in desk.broker.orders_since(since)}
    for order in unknown:
        if order.intent.client_order_id not in stated:
            desk.journal.record(
                OrderNeverArrived(at=desk.now(), client_order_id=order.intent.client_order_id)
            )


def snapshot(desk: Desk, *, since: datetime) -> BrokerSnapshot:
    """Read the broker's side of the books.

    Raises:
        BrokerUnavailable: a part of it could not be read.
    """
    taken_at = desk.now()
    fills = desk.broker.fills_since(since)
    orders = {o.broker_order_id: o for o in (*desk.broker.orders_since(since), *desk.broker.open_orders())}
    return BrokerSnapshot(
        account=desk.broker.account(),
        positions=desk.broker.positions(),
        orders=tuple(orders.values()),
        fills=fills,
        taken_at=taken_at,
    )

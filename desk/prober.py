"""Asking about orders whose answer was lost, until there is one (I4).

Theory of operation. An UNKNOWN order may be at the broker, may be on its way, or may never have left. Its
symbol is blocked and its exposure reserved meanwhile. It is asked about by its client order id, at once and
a few times in quick succession, then ever more rarely: an outage that lasts an hour must not use up the
requests that exits need. When it is asked next is a function of its events alone (`next_probe_at`), so a
restart asks neither sooner nor later, and `desk status` shows the same instant.

"Not found" is recorded (`OrderProbed`), as often as the schedule asks and no oftener, and ends nothing.
Found, the order is as the broker says. It is over (`OrderNeverArrived`) only where it cannot arrive any
more: its session has ended and the broker's complete list lacks it, or it was to replace an order that has
ended otherwise.

An *exit* that stays unanswered is sent again under the same id, after the broker denied knowing it: a broker
takes an id once, so that cannot double it (I2).
"""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from desk.desk import Desk
from desk.dispatcher import submit
from desk.errors import NotFound
from desk.hours import session_hours
from desk.own_order import Order
from desk.replacing import cannot_arrive
from desk.scribe import fold_statements, follow_nested
from schemas.events import OrderNeverArrived, OrderOutcomeLost, OrderProbed
from schemas.orders import OrderIntent, OrderState, Purpose

log = logging.getLogger(__name__)

# The broker's clock and ours may differ by seconds and its lists lag; minutes of overlap cost one page.
OVERLAP = timedelta(minutes=5)
PROBES_QUICK = 3  # asked at every settle: most lost answers are of orders that exist or never left
PROBE_FIRST_WAIT = timedelta(seconds=10)  # then doubled each time
PROBE_WAIT_MAX = timedelta(
    minutes=5
)  # an entry nobody found for minutes is not urgent; its symbol is blocked
PROBE_EXIT_WAIT_MAX = timedelta(seconds=30)  # a position waits for an exit
# An unanswered exit is sent again (same id) only after the broker denied knowing it this often.
PROBES_BEFORE_EXIT_RESEND = 2
ONE_BY_ONE_MAX = 3  # more due at once are looked up in one list: requests are counted, answers are not


def next_probe_at(order: Order) -> datetime | None:
    """Give when an unanswered order is asked about next; None for one that is answered."""
    if order.state is not OrderState.UNKNOWN:
        return None
    if order.probed_at is None or order.probes < PROBES_QUICK:
        return order.changed_at
    longest = PROBE_EXIT_WAIT_MAX if order.intent.purpose is Purpose.EXIT else PROBE_WAIT_MAX
    doublings = min(order.probes - PROBES_QUICK, 10)  # ten pass any longest wait
    return order.probed_at + min(PROBE_FIRST_WAIT * (1 << doublings), longest)


def unknown_since(order: Order) -> datetime | None:
    """Give since when an order's answer is missing; None for one that is answered."""
    if order.state is not OrderState.UNKNOWN:
        return None
    return order.lost_at if order.lost_at is not None else order.changed_at


def probe_unanswered(desk: Desk, *, resend: bool = False, urgent: bool = False) -> None:
    """Ask about the unanswered orders that are due.

    Args:
        desk: the desk; its journal must hold the lease.
        resend: whether an exit the broker denies knowing may be sent again. Only a session whose books
            were compared with the broker's may say so: before that the position may be gone.
        urgent: whether to ask about all now: at start-up, at the end of the day, in a kill.

    Raises:
        BrokerUnavailable: the broker does not answer reads either.
    """
    now = desk.now()
    due = [
        order
        for order in desk.portfolio.working_orders()
        if (at := next_probe_at(order)) is not None and (urgent or at <= now)
    ]
    if len(due) > ONE_BY_ONE_MAX:
        _look_up(desk, due)
    else:
        for order in due:
            _ask(desk, order)
    for order in due:
        _conclude(desk, order.intent, resend=resend)


def _look_up(desk: Desk, due: Sequence[Order]) -> None:
    """Find many at once in the list of the orders sent since the oldest of them."""
    stated = desk.broker.orders_since(min(order.planned_at for order in due) - OVERLAP)
    known = {each.client_order_id for each in stated}
    fold_statements(desk, (), [each for each in stated if each.client_order_id != ""])
    for order in due:
        if order.intent.client_order_id not in known:
            _probed(desk, order)


def _ask(desk: Desk, order: Order) -> None:
    try:
        stated = desk.broker.order_by_client_id(order.intent.client_order_id)
    except NotFound:
        _probed(desk, order)
        return
    follow_nested(desk, stated)


def _probed(desk: Desk, order: Order) -> None:
    """Record a denial, unless the order was asked about ahead of its time: a kill asks every other second."""
    client_order_id = order.intent.client_order_id
    due = next_probe_at(desk.portfolio.orders[client_order_id])
    if due is not None and due <= desk.now():
        desk.journal.record(OrderProbed(at=desk.now(), client_order_id=client_order_id))


def _conclude(desk: Desk, intent: OrderIntent, *, resend: bool) -> None:
    """Do what a denial allows: end a replacement that cannot happen any more, send an exit again."""
    order = desk.portfolio.orders[intent.client_order_id]
    if order.state is not OrderState.UNKNOWN:
        return
    if intent.replaces is not None:
        if order.probes > 0 and cannot_arrive(desk.portfolio, order):
            desk.journal.record(OrderNeverArrived(at=desk.now(), client_order_id=intent.client_order_id))
        return
    if resend and order.probes >= PROBES_BEFORE_EXIT_RESEND and _is_still_wanted(desk, intent):
        log.warning("unanswered exit sent again", extra={"client_order_id": intent.client_order_id})
        submit(desk, intent)


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

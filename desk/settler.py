"""Learning: what became of our orders, from the stream and from REST.

The stream makes fills known sooner; REST alone is enough, because nothing is replayed after a gap in
the stream. `settle` drains the stream, asks about orders without an answer (desk/prober.py) and, while any
order may still execute, asks REST for the orders and executions since the oldest of them. Everything is
folded through desk/tracker.py, so hearing twice changes nothing.

A replacement that may execute more than was meant (desk/replacing.py) is canceled here, at once.
"""

import logging
from collections.abc import Collection, Iterator
from datetime import datetime

from desk.desk import Desk
from desk.dispatcher import cancel
from desk.errors import BrokerUnavailable, NotFound
from desk.prober import OVERLAP, probe_unanswered
from desk.replacing import excess
from desk.scribe import fold_statements, follow_nested, hear
from desk.tracker import by_broker_id
from schemas.account import BrokerSnapshot
from schemas.orders import BrokerOrder

log = logging.getLogger(__name__)


def settle(desk: Desk, *, resend: bool = False, urgent: bool = False) -> bool:
    """Bring our orders level with what the broker says; one that does not answer is asked next time.

    Gives whether the stream spoke of orders that are not ours: somebody else trades on the account.

    Args:
        desk: the desk; its journal must hold the lease.
        resend: whether an exit the broker denies knowing may be sent again; see `probe_unanswered`.
        urgent: whether every unanswered order is asked about now.
    """
    desk.journal.catch_up()
    desk.journal.renew()
    is_foreign = hear(desk)
    stated: tuple[BrokerOrder, ...] = ()
    try:
        probe_unanswered(desk, resend=resend, urgent=urgent)
        learn_legs(desk)
        working = [order for order in desk.portfolio.working_orders() if order.broker_order_id is not None]
        if working:
            since = min(order.planned_at for order in working) - OVERLAP
            fills, stated = desk.broker.fills_since(since), desk.broker.orders_since(since)
            fold_statements(desk, fills, stated)
    except BrokerUnavailable as error:
        log.warning("broker did not answer while settling", extra={"cause": str(error)})
    _cancel_excess(desk, stated)
    return is_foreign


def learn_legs(desk: Desk) -> None:
    """Ask for the legs of an order whose answer, which would have named them, was lost.

    Raises:
        BrokerUnavailable: the broker does not answer.
    """
    for order in desk.portfolio.working_orders():
        if order.has_legs and not order.leg_ids and order.broker_order_id is not None:
            try:
                follow_nested(desk, desk.broker.order(order.broker_order_id))
            except NotFound as error:
                log.warning("broker does not know an order it took", extra={"cause": str(error)})


def _cancel_excess(desk: Desk, stated: tuple[BrokerOrder, ...]) -> None:
    """Cancel replacements that may execute more than was meant."""
    statements = by_broker_id(stated)
    for order in desk.portfolio.working_orders():
        if order.intent.replaces is None or order.broker_order_id is None:
            continue
        why = excess(desk.portfolio, order, statements.get(order.broker_order_id))
        if why is not None:
            cancel(desk, order, cause=why)


def _asked_by_name(desk: Desk, listed: Collection[str]) -> Iterator[BrokerOrder]:
    """Ask by either id for orders of ours that work here and that the broker's lists lack.

    Raises:
        BrokerUnavailable: the broker does not answer.
    """
    for order in desk.portfolio.working_orders():
        if order.broker_order_id is None or order.broker_order_id in listed:
            continue
        try:
            yield desk.broker.order(order.broker_order_id)
        except NotFound:
            try:
                yield desk.broker.order_by_client_id(order.intent.client_order_id)
            except NotFound:
                log.warning(
                    "broker lacks an order of ours", extra={"client_order_id": order.intent.client_order_id}
                )


def snapshot(desk: Desk, *, since: datetime) -> BrokerSnapshot:
    """Read the broker's side of the books.

    Raises:
        BrokerUnavailable: a part of it could not be read.
    """
    learn_legs(desk)
    taken_at = desk.now()
    fills = desk.broker.fills_since(since)
    orders = {o.broker_order_id: o for o in (*desk.broker.orders_since(since), *desk.broker.open_orders())}
    orders |= {stated.broker_order_id: stated for stated in _asked_by_name(desk, orders.keys())}
    return BrokerSnapshot(
        account=desk.broker.account(),
        positions=desk.broker.positions(),
        orders=tuple(orders.values()),
        fills=fills,
        taken_at=taken_at,
    )

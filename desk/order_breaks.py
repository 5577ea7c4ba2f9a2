"""Orders that only one side has: what nobody can explain about them, as breaks.

Theory of operation. Four things can be wrong, and none is repaired by trading or by guessing:

* An open order at the broker that is not ours, a person's or another program's (FOREIGN_ORDER). What it
  will do to the account is not known, so its symbol takes no entry while it is open. Exits go on: the
  broker itself refuses to sell the same shares twice, and a desk that cannot leave is worse.
* An open order whose client order id is made like ours and is not in this ledger (ORPHAN_ORDER). It is not
  adopted: there is no approval of it here (I5), so nobody knows by what limits it was judged or for which
  strategy. It means that another desk trades this account, or that this ledger is not the newest; either
  is a person's to settle before the desk trades on, so start-up halts.
* An order that works here and that the broker lacks, in its complete lists and asked by either id
  (SHADOW_ORDER). It may have existed, so it does not end by itself; a person accepts that it is gone.
* An order with more executed than was asked for (OVERFILL). The executions are booked, because money moved.

Each clears by itself when what caused it is over.
"""

import hashlib
from datetime import datetime
from decimal import Decimal

from desk.own_order import ID_PREFIX
from desk.portfolio import Portfolio
from desk.positions import ZERO
from desk.tracker import order_of
from schemas.account import BrokerSnapshot
from schemas.orders import BrokerOrder, OrderState
from schemas.risk import Break, BreakKind

_ENDED = frozenset({"filled", "canceled", "expired", "rejected", "replaced", "done_for_day"})


def order_breaks(ours: Portfolio, theirs: BrokerSnapshot, now: datetime) -> list[Break]:
    """Give the breaks of orders that one side lacks."""
    breaks = [
        _unknown_here(ours, stated, now)
        for stated in theirs.orders
        if stated.status not in _ENDED
        and order_of(ours, broker_order_id=stated.broker_order_id, client_order_id=stated.client_order_id)
        is None
    ]
    known_ids = {stated.broker_order_id for stated in theirs.orders}
    for order in ours.working_orders():
        unanswered = order.state in (OrderState.PENDING, OrderState.UNKNOWN)
        if unanswered or order.broker_order_id in known_ids:
            continue
        intent = order.intent
        breaks.append(
            break_of(
                BreakKind.SHADOW_ORDER,
                key=intent.client_order_id,
                ours=order.remaining_qty,
                theirs=ZERO,
                notional=order.remaining_qty * intent.reference_price,
                detail=f"{intent.symbol}: {intent.client_order_id} works here, the broker lacks it",
                identity=intent.client_order_id,
                now=now,
                symbol=intent.symbol,
            )
        )
    return breaks


def _unknown_here(ours: Portfolio, stated: BrokerOrder, now: datetime) -> Break:
    """Give the break of an open order at the broker that our ledger does not have."""
    qty = stated.qty if stated.qty is not None else ZERO
    order = f"{stated.symbol}: open {stated.side.value} of {qty} at the broker"
    replaced = None if stated.replaces is None else ours.order_by_broker_id(stated.replaces)
    if stated.client_order_id.startswith(ID_PREFIX):
        kind = BreakKind.ORPHAN_ORDER
        why = (
            f"{stated.client_order_id} is named like ours and is not in this ledger: another desk trades the "
            "account, or the ledger is not the newest"
        )
    elif replaced is not None:
        kind = BreakKind.FOREIGN_ORDER
        why = f"it replaced our {replaced.intent.client_order_id} by hand"
    else:
        kind = BreakKind.FOREIGN_ORDER
        why = "it is not ours"
    return break_of(
        kind,
        key=stated.broker_order_id,
        ours=ZERO,
        theirs=qty,
        notional=qty * (stated.limit_price or ZERO),
        detail=f"{order}, {why}",
        identity=stated.broker_order_id,
        now=now,
        symbol=stated.symbol,
    )


def overfills(ours: Portfolio, now: datetime) -> list[Break]:
    """Give the breaks of orders executed beyond what was asked."""
    return [
        break_of(
            BreakKind.OVERFILL,
            key=order.intent.client_order_id,
            ours=order.intent.qty,
            theirs=order.filled_qty,
            notional=order.overfilled_qty * order.intent.reference_price,
            detail=f"{order.intent.symbol}: {order.intent.client_order_id} asked for {order.intent.qty}, "
            f"{order.filled_qty} were executed",
            identity=order.intent.client_order_id,
            now=now,
            symbol=order.intent.symbol,
        )
        for order in ours.orders.overfilled()
    ]


def break_of(
    kind: BreakKind,
    *,
    key: str,
    ours: Decimal,
    theirs: Decimal,
    notional: Decimal,
    detail: str,
    identity: str,
    now: datetime,
    symbol: str | None = None,
) -> Break:
    """Give a break; its id is a function of what differs, so that found twice it is one."""
    digest = hashlib.sha256(f"{kind.value} {key} {identity}".encode()).hexdigest()[:8]
    return Break(
        break_id=f"{kind.value}-{key[:24]}-{digest}",
        kind=kind,
        key=key,
        ours=ours,
        theirs=theirs,
        notional_usd=notional,
        detail=detail,
        found_at=now,
        symbol=symbol,
    )

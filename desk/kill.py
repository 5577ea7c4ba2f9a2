"""The kill switch (R5, I14): no open orders and no positions, as the broker says, and no new entries.

It latches first, so nothing new starts while it works. Then, until the broker itself shows neither
orders nor positions: cancel everything, bring the books level (adjusting every break, because flat at
the broker is the goal), and send market exits for what is held. The exits go through the ledger like
every order (I1). A position still there after the last round raises; the latch stays in any case.
"""

import logging
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from desk.bookkeeper import level_books
from desk.desk import Desk
from desk.errors import BrokerUnavailable, KillIncomplete, OutcomeUnknown, Rejected
from desk.flattener import flatten
from desk.prober import lose_pending
from desk.settler import settle
from desk.tracker import order_of
from schemas.events import KillVerified, LatchSet, TradingStateChanged
from schemas.orders import BrokerOrder, Purpose
from schemas.risk import LatchName, TradingState

log = logging.getLogger(__name__)

# A market order fills within seconds in an open market; thirty looks two seconds apart is a minute.
ROUNDS_MAX = 30
POLL = timedelta(seconds=2)
EVERYTHING = Decimal("1e12")  # USD: any break is adjusted


def latch_events(desk: Desk, *, cause: str, by: str) -> tuple[LatchSet, TradingStateChanged]:
    """Give the events that latch the kill switch; an operator may append them without the lease."""
    now = desk.now()
    return (
        LatchSet(at=now, name=LatchName.KILL, number=Decimal(1), limit=Decimal(0), cause=cause),
        TradingStateChanged(at=now, state=TradingState.HALTED, cause=cause, by=by),
    )


def kill(desk: Desk, *, cause: str, by: str) -> KillVerified:
    """Latch, cancel all, flatten, and verify at the broker.

    Raises:
        KillIncomplete: the broker still shows orders or positions; the latch is set.
        BrokerUnavailable: the broker never answered; the latch is set.
    """
    if LatchName.KILL not in desk.portfolio.latches:
        desk.journal.record(*latch_events(desk, cause=cause, by=by))
    lose_pending(desk)
    first: _Shown | None = None
    for _ in range(ROUNDS_MAX):
        shown = _look(desk)
        first = first if first is not None else shown
        if first is not None and shown == _Shown(orders=0, positions=0):
            verified = KillVerified(
                at=desk.now(), orders_canceled=first.orders, positions_closed=first.positions
            )
            desk.journal.record(verified)
            return verified
        is_level = shown is not None and _work(desk, cause=cause)
        desk.clock.sleep_until(desk.now() + POLL)
        settle(desk, resend=is_level, urgent=True)
    raise KillIncomplete(_what_is_left(desk))


def is_flat(desk: Desk) -> bool:
    """Tell whether the broker shows neither orders nor positions; its silence is a no."""
    return _look(desk) == _Shown(orders=0, positions=0)


@dataclass(frozen=True, slots=True)
class _Shown:
    """How many open orders and positions the broker showed at one look."""

    orders: int
    positions: int


def _look(desk: Desk) -> _Shown | None:
    try:
        return _Shown(orders=len(desk.broker.open_orders()), positions=len(desk.broker.positions()))
    except BrokerUnavailable as error:
        log.error("broker did not answer the kill switch", extra={"cause": str(error)})
        return None


def _work(desk: Desk, *, cause: str) -> bool:
    """Cancel what is not an exit of ours; when nothing such is open, level the books and send exits.

    Gives whether the books were leveled, so that the exits on the way are known to be right.
    """
    try:
        if any(not _is_our_exit(desk, stated) for stated in desk.broker.open_orders()):
            desk.broker.cancel_all()
            return False
        level_books(desk, adjust_max_usd=EVERYTHING)
    except (BrokerUnavailable, OutcomeUnknown, Rejected) as error:
        log.error("broker did not answer the kill switch", extra={"cause": str(error)})
        return False
    flatten(desk, reason=f"kill switch: {cause}", emergency=True, by_hand=True)
    return True


def _is_our_exit(desk: Desk, stated: BrokerOrder) -> bool:
    order = order_of(
        desk.portfolio, broker_order_id=stated.broker_order_id, client_order_id=stated.client_order_id
    )
    return order is not None and order.intent.purpose is Purpose.EXIT and not order.intent.protects


def _what_is_left(desk: Desk) -> str:
    positions = ", ".join(f"{p.symbol} {p.qty}" for p in desk.broker.positions()) or "none"
    return (
        f"after {ROUNDS_MAX} rounds the broker still shows {len(desk.broker.open_orders())} open orders "
        f"and positions: {positions}; the kill latch stays set"
    )

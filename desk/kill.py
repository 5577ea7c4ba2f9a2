"""The kill switch (R5, I14): no open orders and no positions, as the broker says, and no new entries.

It latches first, so nothing new starts while it works. Then, until the broker itself shows neither
orders nor positions: cancel everything, bring the books level (adjusting every break, because flat at
the broker is the goal), and send market exits for what is held. The exits go through the ledger like
every order (I1). A position still there after the last round raises; the latch stays in any case.

Where the broker cannot be read, everything is canceled all the same, and nothing is closed unseen.

A cancel that takes hours holds nothing up: after a few rounds the positions are closed beside it. And an
account that is flat while an order of ours has no answer is not verified: the order may still arrive. That
is said, naming it and until when, and whoever has the account looks again.
"""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from desk.bookkeeper import level_books
from desk.desk import Desk
from desk.errors import BrokerUnavailable, KillIncomplete, OutcomeUnknown, Rejected
from desk.flattener import flatten
from desk.hours import new_york
from desk.own_order import Order
from desk.portfolio import Portfolio
from desk.prober import lose_pending, may_arrive_until
from desk.settler import settle
from desk.tracker import order_of
from schemas.events import KillVerified, LatchSet, TradingStateChanged
from schemas.orders import BrokerOrder, OrderState, Purpose
from schemas.risk import LatchName, TradingState

log = logging.getLogger(__name__)

# A market order fills within seconds in an open market; thirty looks two seconds apart is a minute.
ROUNDS_MAX = 30
POLL = timedelta(seconds=2)
CANCEL_ROUNDS = 5  # ten seconds for cancels; then positions are closed beside what does not cancel
FLAT_ROUNDS = 3  # looks at a flat account with an order unanswered, each asking about it, before saying so
AGAIN = "the kill latch stays set, and a session or another `desk kill` looks again"
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
    flat_looks = 0
    for number in range(ROUNDS_MAX):
        shown = _look(desk)
        first = first if first is not None else shown
        is_level = False
        if first is not None and shown == _FLAT:
            if not _may_arrive(desk.portfolio, desk.now()):
                return _verified(desk, first)
            flat_looks += 1
            if flat_looks > FLAT_ROUNDS:
                raise KillIncomplete(f"{what_may_arrive(desk.portfolio, desk.now())}; {AGAIN}")
        elif shown is not None:
            is_level = _work(desk, cause=cause, patient=number < CANCEL_ROUNDS)
        elif number == 0:
            desk.journal.renew()
            _cancel_again(desk)  # reads may be held back (429) where a cancel is not
        desk.clock.sleep_until(desk.now() + POLL)
        settle(desk, resend=is_level, urgent=True)
    raise KillIncomplete(_what_is_left(desk))


def _verified(desk: Desk, first: "_Shown") -> KillVerified:
    verified = KillVerified(at=desk.now(), orders_canceled=first.orders, positions_closed=first.positions)
    desk.journal.record(verified)
    return verified


def _may_arrive(portfolio: Portfolio, now: datetime) -> tuple[Order, ...]:
    """Give the orders without an answer that may still come to life at the broker."""
    return tuple(
        order
        for order in portfolio.working_orders()
        if order.state is OrderState.UNKNOWN and now < may_arrive_until(order)
    )


def what_may_arrive(portfolio: Portfolio, now: datetime) -> str | None:
    """Say why a flat account is not verified: unanswered orders, until when; None without any."""
    orders = _may_arrive(portfolio, now)
    if not orders:
        return None
    names = ", ".join(order.intent.client_order_id for order in orders)
    until = new_york(max(may_arrive_until(order) for order in orders))
    return (
        f"the broker shows no open orders and no positions, but {len(orders)} without an answer may "
        f"still arrive until {until:%H:%M} New York: {names}"
    )


def is_flat(desk: Desk) -> bool:
    """Tell whether the broker shows neither orders nor positions; its silence is a no."""
    return _look(desk) == _FLAT


@dataclass(frozen=True, slots=True)
class _Shown:
    """How many open orders and positions the broker showed at one look."""

    orders: int
    positions: int


_FLAT = _Shown(orders=0, positions=0)


def _look(desk: Desk) -> _Shown | None:
    try:
        return _Shown(orders=len(desk.broker.open_orders()), positions=len(desk.broker.positions()))
    except BrokerUnavailable as error:
        log.error("broker did not answer the kill switch", extra={"cause": str(error)})
        return None


def _work(desk: Desk, *, cause: str, patient: bool) -> bool:
    """Cancel what is not an exit of ours; when nothing such is open, level the books and send exits.

    Gives whether the books were leveled, so that the exits on the way are known to be right.

    Args:
        desk: the desk; its journal must hold the lease.
        cause: why, in words.
        patient: whether to wait for the cancels; else positions are closed beside what is still open.
    """
    desk.journal.renew()  # a process that slept past its lease sends nothing (I12)
    try:
        if any(not _is_our_exit(desk, stated) for stated in desk.broker.open_orders()):
            if patient:
                desk.broker.cancel_all()
                return False
            _cancel_again(desk)
        level_books(desk, adjust_max_usd=EVERYTHING)
    except (BrokerUnavailable, OutcomeUnknown, Rejected) as error:
        log.error("broker did not answer the kill switch", extra={"cause": str(error)})
        return False
    flatten(desk, reason=f"kill switch: {cause}", emergency=True, by_hand=True)
    return True


def _cancel_again(desk: Desk) -> None:
    """Ask once more for all; that it was not confirmed keeps nobody from closing positions."""
    try:
        desk.broker.cancel_all()
    except (BrokerUnavailable, OutcomeUnknown, Rejected) as error:
        log.error("cancel of everything was not confirmed", extra={"cause": str(error)})


def _is_our_exit(desk: Desk, stated: BrokerOrder) -> bool:
    order = order_of(
        desk.portfolio, broker_order_id=stated.broker_order_id, client_order_id=stated.client_order_id
    )
    return order is not None and order.intent.purpose is Purpose.EXIT and not order.intent.protects


def _what_is_left(desk: Desk) -> str:
    said = f"after {ROUNDS_MAX} rounds the broker"
    try:
        positions = ", ".join(f"{p.symbol} {p.qty}" for p in desk.broker.positions()) or "none"
        orders = len(desk.broker.open_orders())
    except BrokerUnavailable as error:
        return f"{said} does not answer ({error}); the kill latch stays set"
    return f"{said} still shows {orders} open orders and positions: {positions}; the kill latch stays set"

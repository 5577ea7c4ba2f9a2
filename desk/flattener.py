"""Closing positions: at close-out, after a loss latch, by the kill switch, on a crash.

Gives a market exit for every holding that has no exit working, through the gate and the ledger like
any order. Working entries of a symbol are canceled first, because the broker refuses an exit against
them as a wash trade, and so are protective orders, which hold the shares; their exits follow at the next
call. An entry without an answer cannot be canceled
and may not exist, so no exit waits for it. Calling it again and again until nothing is
held is the intended use: an exit that ended unfilled gets a new attempt, with a new client order id.

A cancel that the broker does not carry out (`pending_cancel` for hours) holds nothing up: after a while
the order counts as stuck. What is held beyond a stuck exit is closed, never more: the stuck one may still
fill, and its shares stay its own. Beside a stuck entry the exit is a limit order a tick past the entry's
limit: a market order would be refused as a wash trade, and one at that price trades wherever the market is
better than the entry's (ALPACA.md §2.4).

What a person holds on the account (EXTERNAL) is the person's: only the kill switch closes it.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from desk.desk import Desk
from desk.dispatcher import Judged, cancel, is_stuck, place
from desk.gate import review, with_approved
from desk.money import is_whole, tick_size
from desk.portfolio import EXTERNAL, Order
from desk.positions import ZERO
from desk.prober import unknown_since
from desk.scribe import booking_date
from desk.sizer import Key, exit_intent
from desk.views import MarketView, gate_view
from schemas.orders import Approval, OrderIntent, OrderType, Purpose, TimeInForce

# After so many exits that ended without a share in one session the broker is asked once a minute only.
FAILED_MAX = 20
# Alpaca cancels within a second or so; close-out has minutes, an emergency has not.
STUCK_AFTER = timedelta(seconds=60)
STUCK_AFTER_IN_EMERGENCY = timedelta(seconds=10)
MINUTE = timedelta(minutes=1)


def flatten(
    desk: Desk,
    *,
    reason: str,
    emergency: bool = False,
    by_hand: bool = False,
    only: Collection[Key] | None = None,
) -> int:
    """Send exits for what is held; give how many holdings are left without a working exit.

    Args:
        desk: the desk; its journal must hold the lease.
        reason: why, in words; kept with the orders.
        emergency: exits that HALTED lets through: of the kill switch, a loss latch, a crash.
        by_hand: whether what a person holds is closed as well; the kill switch does.
        only: the holdings to close, by (strategy, symbol); all when None.
    """
    meant = _meant(desk, by_hand=by_hand, only=only)
    _cancel_resting(desk, cause=reason, only=only, by_hand=by_hand)
    intents = tuple(_exits(desk, meant, reason, emergency=emergency, by_hand=by_hand))
    if intents:
        place(desk, _judged(desk, intents, emergency=emergency))
    return sum(1 for key in meant if not any(not o.intent.protects for o in exits_of(desk, *key)))


def _meant(desk: Desk, *, by_hand: bool, only: Collection[Key] | None) -> tuple[Key, ...]:
    """Give the holdings to close, sorted."""
    held = desk.portfolio.holdings()
    return tuple(
        sorted(key for key in held if (by_hand or key[0] != EXTERNAL) and (only is None or key in only))
    )


def _judged(desk: Desk, intents: Sequence[OrderIntent], *, emergency: bool) -> tuple[Judged, ...]:
    view = gate_view(desk, MarketView())
    result: list[Judged] = []
    for intent in intents:
        verdict = review(intent, view, desk.settings.risk, flatten=emergency)
        if isinstance(verdict, Approval):
            view = with_approved(view, intent)
        result.append((intent, verdict))
    return tuple(result)


def _cancel_resting(desk: Desk, *, cause: str, only: Collection[Key] | None, by_hand: bool) -> None:
    """Ask for a cancel of every working entry and protective order, or of those of some holdings.

    In a symbol in doubt the gate lets no exit through but a kill's, so its protective orders stay.
    """
    broken = frozenset() if by_hand else desk.portfolio.broken_symbols()
    for order in desk.portfolio.working_orders():
        intent = order.intent
        is_meant = only is None or (intent.strategy, intent.symbol) in only
        goes = intent.purpose is Purpose.ENTRY or (intent.protects and intent.symbol not in broken)
        if is_meant and goes:
            cancel(desk, order, cause=cause)


def exits_of(desk: Desk, strategy: str, symbol: str) -> tuple[Order, ...]:
    """Give the exits of a strategy in a symbol that may still execute."""
    return tuple(
        order
        for order in desk.portfolio.working_orders()
        if order.intent.purpose is Purpose.EXIT
        and (order.intent.strategy, order.intent.symbol) == (strategy, symbol)
    )


def _exits(
    desk: Desk, meant: Sequence[Key], reason: str, *, emergency: bool, by_hand: bool
) -> list[OrderIntent]:
    now = desk.now()
    minute = now.replace(second=0, microsecond=0) - MINUTE
    after = STUCK_AFTER_IN_EMERGENCY if emergency else STUCK_AFTER
    entries = [
        order
        for order in desk.portfolio.working_orders()
        if order.intent.purpose is Purpose.ENTRY and order.broker_order_id is not None
    ]
    stuck = [order.intent for order in entries if is_stuck(order, now=now, after=after)]
    entering = {order.intent.symbol for order in entries if order.intent not in stuck}
    result = []
    for strategy, symbol in meant:
        attempt, is_pausing = attempts(desk, strategy=strategy, symbol=symbol)
        working = exits_of(desk, strategy, symbol)
        if symbol in entering or is_pausing:
            continue
        if any(_holds_up(order, now=now, after=after) for order in working):
            continue
        position = desk.portfolio.holdings()[(strategy, symbol)]
        free = abs(position.qty) - sum((order.remaining_qty for order in working), ZERO)
        if free <= 0:
            continue
        intent = exit_intent(
            strategy=strategy,
            symbol=symbol,
            position=free if position.qty > 0 else -free,
            price=_last_price(desk, symbol, position.avg_price),
            bar_ts=minute,
            session_date=booking_date(now),
            attempt=attempt,
            reason=reason,
        )
        intent = _beside(intent, stuck)
        # A flatten is tried at every settle, and one denial a minute says it all; a kill waits for nothing.
        if intent.client_order_id not in desk.portfolio.denied_ids or by_hand:
            result.append(intent)
    return result


def _beside(leaving: OrderIntent, stuck: Sequence[OrderIntent]) -> OrderIntent:
    """Give an exit that no stuck entry on the other side could trade with, where there is such a price."""
    met = [
        entry.limit_price
        for entry in stuck
        if (entry.symbol, entry.side) == (leaving.symbol, leaving.side.opposite)
        and entry.limit_price is not None
    ]
    if not met:
        return leaving
    tick = -leaving.side.sign
    price = max(met) if tick > 0 else min(met)
    return leaving.model_copy(
        update={"order_type": OrderType.LIMIT, "limit_price": price + tick * tick_size(price)}
    )


def lasting(qty: Decimal, *, overnight: bool) -> TimeInForce:
    """Give how long an exit stands: past the bell where orders are left for the next open."""
    return TimeInForce.GTC if overnight and is_whole(qty) else TimeInForce.DAY


def _holds_up(order: Order, *, now: datetime, after: timedelta) -> bool:
    """Tell whether an exit is still waited for; one unanswered, or being canceled, only for a while."""
    lost_at = unknown_since(order)
    is_lost = lost_at is not None and now >= lost_at + after
    return not is_lost and not is_stuck(order, now=now, after=after)


def attempts(desk: Desk, *, strategy: str, symbol: str) -> tuple[int, bool]:
    """Give the next attempt's number, unique in the session, and whether to wait after too many failures."""
    exits = [
        order
        for order in desk.portfolio.orders.of_session(booking_date(desk.now()))
        if order.intent.purpose is Purpose.EXIT
        and (order.intent.strategy, order.intent.symbol) == (strategy, symbol)
    ]
    failed = sum(1 for o in exits if o.state.is_terminal and o.filled_qty == 0 and not o.intent.protects)
    is_recent = any(o.planned_at > desk.now() - MINUTE and not o.intent.protects for o in exits)
    return 1 + len(exits), failed >= FAILED_MAX and is_recent


def _last_price(desk: Desk, symbol: str, fallback: Decimal) -> Decimal:
    minute = desk.portfolio.minute
    marks = {} if minute is None else {mark.symbol: mark.price for mark in minute.marks}
    return marks.get(symbol, fallback)

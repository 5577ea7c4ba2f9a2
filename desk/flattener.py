"""Closing positions: at close-out, after a loss latch, by the kill switch, on a crash.

Gives a market exit for every holding that has no exit working, through the gate and the ledger like
any order. Working entries of a symbol are canceled first, because the broker refuses an exit against
them as a wash trade; their exits follow at the next call. An entry without an answer cannot be canceled
and may not exist, so no exit waits for it. Calling it again and again until nothing is
held is the intended use: an exit that ended unfilled gets a new attempt, with a new client order id.
"""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

from desk.desk import Desk
from desk.dispatcher import Judged, cancel, place
from desk.gate import review, with_approved
from desk.portfolio import Order
from desk.settler import booking_date
from desk.sizer import exit_intent
from desk.views import MarketView, gate_view
from schemas.orders import Approval, OrderIntent, Purpose

# Exits refused or expired without a share filled; so many in one session are a matter for a person.
FAILED_MAX = 20
MINUTE = timedelta(minutes=1)


def flatten(desk: Desk, *, reason: str, emergency: bool = False) -> int:
    """Send exits for what is held; give how many holdings are left without a working exit.

    Args:
        desk: the desk; its journal must hold the lease.
        reason: why, in words; kept with the orders.
        emergency: the kill switch's own exits, which HALTED lets through.
    """
    cancel_entries(desk, cause=reason)
    intents = tuple(_exits(desk, reason))
    if intents:
        place(desk, _judged(desk, intents, emergency=emergency))
    return sum(1 for key in desk.portfolio.holdings() if not exits_of(desk, *key))


def _judged(desk: Desk, intents: Sequence[OrderIntent], *, emergency: bool) -> tuple[Judged, ...]:
    view = gate_view(desk, MarketView())
    result: list[Judged] = []
    for intent in intents:
        verdict = review(intent, view, desk.settings.risk, flatten=emergency)
        if isinstance(verdict, Approval):
            view = with_approved(view, intent)
        result.append((intent, verdict))
    return tuple(result)


def cancel_entries(desk: Desk, *, cause: str) -> None:
    """Ask for a cancel of every working entry."""
    for order in desk.portfolio.working_orders():
        if order.intent.purpose is Purpose.ENTRY:
            cancel(desk, order, cause=cause)


def exits_of(desk: Desk, strategy: str, symbol: str) -> tuple[Order, ...]:
    """Give the exits of a strategy in a symbol that may still execute."""
    return tuple(
        order
        for order in desk.portfolio.working_orders()
        if order.intent.purpose is Purpose.EXIT
        and (order.intent.strategy, order.intent.symbol) == (strategy, symbol)
    )


def _exits(desk: Desk, reason: str) -> list[OrderIntent]:
    now = desk.now()
    minute = now.replace(second=0, microsecond=0) - MINUTE
    entering = {
        order.intent.symbol
        for order in desk.portfolio.working_orders()
        if order.intent.purpose is Purpose.ENTRY and order.broker_order_id is not None
    }
    result = []
    for (strategy, symbol), position in sorted(desk.portfolio.holdings().items()):
        attempt, failed = _attempts(desk, strategy=strategy, symbol=symbol)
        if symbol in entering or exits_of(desk, strategy, symbol) or failed >= FAILED_MAX:
            continue
        result.append(
            exit_intent(
                strategy=strategy,
                symbol=symbol,
                position=position.qty,
                price=_last_price(desk, symbol, position.avg_price),
                bar_ts=minute,
                session_date=booking_date(now),
                attempt=attempt,
                reason=reason,
            )
        )
    return result


def _attempts(desk: Desk, *, strategy: str, symbol: str) -> tuple[int, int]:
    """Give the next attempt's number, unique in the session, and how many exits ended without a fill."""
    exits = [
        order
        for order in desk.portfolio.orders.values()
        if order.intent.purpose is Purpose.EXIT
        and (order.intent.strategy, order.intent.symbol) == (strategy, symbol)
        and order.intent.session_date == booking_date(desk.now())
    ]
    failed = sum(1 for order in exits if order.state.is_terminal and order.filled_qty == 0)
    return 1 + len(exits), failed


def _last_price(desk: Desk, symbol: str, fallback: Decimal) -> Decimal:
    minute = desk.portfolio.minute
    marks = {} if minute is None else {mark.symbol: mark.price for mark in minute.marks}
    return marks.get(symbol, fallback)

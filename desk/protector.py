"""Acting on desk/exits.py: protective orders placed, withdrawn, or an exit sent by the desk itself.

`protect` is called between the minutes. It looks at every position of a strategy that has exit rules, and
at every protective order whose position is gone. The last price is the newest mark of the ledger
(`MinuteClosed`), so a restart decides the same. Everything goes through the gate and the ledger.

HALTED holds back entries and what strategies want; a position keeps the protection its rules give it, as a
stop that rests at the broker does anyway. A symbol in doubt is left alone here as everywhere.

`release` clears the way for an exit that the strategy itself wants.
"""

import logging
from collections.abc import Collection, Iterator
from datetime import timedelta
from typing import assert_never

from desk.desk import Desk
from desk.dispatcher import cancel, place
from desk.exits import Held, Leave, Rest, Withdraw, decide, resting_intent
from desk.exposure import WorkingOrder
from desk.flattener import attempts, flatten
from desk.gate import review
from desk.losses import allowed
from desk.portfolio import Order
from desk.positions import ZERO, Position
from desk.scribe import booking_date
from desk.settler import settle
from desk.sizer import Key, exit_intent
from desk.views import MarketView, gate_view, working
from schemas.orders import Approval, OrderState, Purpose
from schemas.risk import TradingState
from schemas.settings import ExitSettings

log = logging.getLogger(__name__)

MINUTE = timedelta(minutes=1)
# Alpaca cancels within a second or so; what takes longer leaves at the next minute, by its level.
RELEASE_LOOKS = 4
RELEASE_POLL = timedelta(milliseconds=500)


def protect(desk: Desk) -> None:
    """Bring the protection of every position level with its strategy's rules."""
    rules = {each.name: each.exits for each in desk.settings.strategies if each.exits is not None}
    if not rules:
        return
    for held in list(_positions(desk, rules)):
        found = decide(held, rules[held.strategy])
        match found:
            case None:
                continue
            case Withdraw():
                cancel(desk, desk.portfolio.orders[found.client_order_id], cause=found.why)
            case Leave():
                log.info("protective exit", extra={"symbol": held.symbol, "why": found.why})
                only = {(held.strategy, held.symbol)}
                flatten(desk, reason=found.why, emergency=_is_halted(desk), only=only)
            case Rest():
                _rest(desk, held, found)
            case _:
                assert_never(found)


def _is_halted(desk: Desk) -> bool:
    """Tell whether protection needs the word that lets an exit pass a HALTED desk."""
    return desk.portfolio.trading_state is TradingState.HALTED


def release(desk: Desk, keys: Collection[Key]) -> None:
    """Cancel the protective orders of some holdings and wait a moment for the broker to say so.

    Where the gate would deny the exit (HALTED, a symbol in doubt) the protection is not given up for it.
    """
    for _ in range(RELEASE_LOOKS):
        keys = _may_leave(desk, keys)
        resting = [order for order in protective_orders(desk) if _key(order) in keys]
        if not resting:
            return
        for order in resting:
            cancel(desk, order, cause="the strategy leaves the position")
        settle(desk)
        if any(_key(order) in keys for order in protective_orders(desk)):
            desk.clock.sleep_until(desk.now() + RELEASE_POLL)
            settle(desk)


def _may_leave(desk: Desk, keys: Collection[Key]) -> frozenset[Key]:
    """Give the holdings whose exit the trading state and the books let through."""
    if not allowed(desk.portfolio.trading_state, Purpose.EXIT):
        return frozenset()
    broken = desk.portfolio.broken_symbols()
    return frozenset(key for key in keys if key[1] not in broken)


def protective_orders(desk: Desk) -> tuple[Order, ...]:
    """Give the protective orders that may still execute."""
    return tuple(order for order in desk.portfolio.working_orders() if order.intent.protects)


def _key(order: Order) -> Key:
    return order.intent.strategy, order.intent.symbol


def _positions(desk: Desk, rules: dict[str, ExitSettings]) -> Iterator[Held]:
    """Give the positions under rules, and those gone whose protective order rests still, by name."""
    portfolio = desk.portfolio
    minute = portfolio.minute
    marks = {} if minute is None else {mark.symbol: mark.price for mark in minute.marks}
    by_key: dict[Key, list[WorkingOrder]] = {}
    for order in working(portfolio):
        by_key.setdefault((order.intent.strategy, order.intent.symbol), []).append(order)
    resting = {_key(order) for order in protective_orders(desk)}
    broken = portfolio.broken_symbols()
    for key in sorted(portfolio.holdings().keys() | resting):
        strategy, symbol = key
        if strategy not in rules or symbol in broken:
            continue
        position = portfolio.positions.get(key, Position())
        yield Held(
            strategy=strategy,
            symbol=symbol,
            qty=position.qty,
            avg_price=position.avg_price if position.qty != 0 else ZERO,
            last_price=marks.get(symbol),
            best_price=portfolio.best_marks.get(key),
            working=tuple(by_key.get(key, ())),
            is_seen=portfolio.is_marked_since_entry(key),
            refusals=_refusals(desk, key),
        )


def _refusals(desk: Desk, key: Key) -> int:
    """Count the protective orders the broker would not keep since the session's last entry was planned."""
    count = 0
    for order in desk.portfolio.orders.of_session(booking_date(desk.now())):
        intent = order.intent
        if _key(order) != key:
            continue
        if intent.purpose is Purpose.ENTRY:
            break
        count += intent.protects and _is_unwanted(order)
    return count


def _is_unwanted(order: Order) -> bool:
    """Tell whether the broker refused an order, or it ended there unfilled without our asking."""
    dropped = order.state in (OrderState.CANCELED, OrderState.EXPIRED) and order.cancel_asked_at is None
    return order.state is OrderState.REJECTED or (dropped and order.filled_qty == 0)


def _rest(desk: Desk, held: Held, found: Rest) -> None:
    """Judge and send one protective order."""
    number, _ = attempts(desk, strategy=held.strategy, symbol=held.symbol)
    now = desk.now()
    assert held.last_price is not None, "nothing rests for a position without a price"
    leaving = exit_intent(
        strategy=held.strategy,
        symbol=held.symbol,
        position=held.qty,
        price=held.last_price,
        bar_ts=now.replace(second=0, microsecond=0) - MINUTE,
        session_date=booking_date(now),
        attempt=number,
        reason=f"protective {found.order_class.value} {found.order_type.value}",
    )
    intent = resting_intent(leaving, found)
    if intent.client_order_id in desk.portfolio.denied_ids:
        return  # one denial a minute says it all
    verdict = review(intent, gate_view(desk, MarketView()), desk.settings.risk, flatten=_is_halted(desk))
    if not isinstance(verdict, Approval):
        log.info("protective order denied", extra={"denial": verdict.message})
    place(desk, ((intent, verdict),))

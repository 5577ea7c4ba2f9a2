"""Protective exits: where a position is left without being told, and who watches for it.

A strategy's `exits` (schemas/settings.py) name a stop, a target or a trail. Whoever watches the price,
there is one watcher a position at any moment:

- the broker, by one resting order: a stop and a target together as an OCO, which the broker holds as one
  (one fills, the other is canceled); a stop, a target or a trail alone as a simple order;
- the desk, where the broker cannot: fractions of a share (Alpaca takes no complex or trailing order of
  them), a target together with a trail (no such order exists), while an entry of the position still
  works (its size changes), after the broker (or a person there) would not keep the resting order twice, or
  because `at: desk` says so. The desk looks at each minute's last price, so its exits are a minute coarse.

A resting order holds the shares (ALPACA.md §2.4), so it is canceled, and known to be ended, before any
other exit of the position is sent. `decide` therefore never asks for both, and asks for nothing while the
answer about a resting order is outstanding: an order that may still fill is not replaced by another.

Levels, with p the average price of the position and s = +1 long, -1 short: stop p(1 - s stop_frac),
target p(1 + s target_frac), trail b(1 - s trail_frac) of the best price b since the position was opened
(at the broker: since the trailing order began to work, which is the broker's rule).
Stops are rounded to the tick that triggers early, targets to the one that pays more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import assert_never

from desk.exposure import WorkingOrder
from desk.money import is_whole, limit_price, plain, stop_price
from schemas.orders import OrderClass, OrderIntent, OrderState, OrderType, Purpose, Side, TimeInForce
from schemas.settings import ExitsAt, ExitSettings

REFUSALS_MAX = 2  # one refusal may be a race with a fill; after the second the desk watches itself
TRAIL_PERCENT_MIN = Decimal("0.1")  # ALPACA.md §2.4
PERCENT = Decimal(100)
# How the reason of an exit begins that the desk sends because a level was reached.
STOP_LOSS, TAKE_PROFIT, TRAILING_STOP = "stop-loss", "take-profit", "trailing stop"


@dataclass(frozen=True, slots=True)
class Levels:
    """The prices a position is left at; None where the rules name none."""

    stop: Decimal | None
    target: Decimal | None
    trail_percent: Decimal | None


@dataclass(frozen=True, slots=True)
class Held:
    """One strategy's position in one symbol and what is known around it."""

    strategy: str
    symbol: str
    qty: Decimal  # signed; zero when it was left meanwhile
    avg_price: Decimal
    last_price: Decimal | None
    best_price: Decimal | None  # the best mark since it was opened; None before the first
    working: Sequence[WorkingOrder]  # the strategy's orders in the symbol
    is_seen: bool  # whether the last price is from after it was opened
    refusals: int  # of protective orders, since the position was opened


@dataclass(frozen=True, slots=True)
class Rest:
    """Put a protective order at the broker."""

    order_type: OrderType
    order_class: OrderClass
    levels: Levels


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Cancel the protective order that rests: it does not fit the position any more."""

    client_order_id: str
    why: str


@dataclass(frozen=True, slots=True)
class Leave:
    """Leave the position now."""

    why: str


Decision = Rest | Withdraw | Leave | None


def levels(held: Held, rules: ExitSettings) -> Levels:
    """Give the prices of a position's protective exits, at legal ticks."""
    sign = 1 if held.qty > 0 else -1
    side = Side.SELL if held.qty > 0 else Side.BUY
    stop = target = percent = None
    if rules.stop_frac is not None:
        stop = stop_price(held.avg_price * (1 - sign * rules.stop_frac), side=side)
    if rules.target_frac is not None:
        target = limit_price(held.avg_price * (1 + sign * rules.target_frac), side=side)
    if rules.trail_frac is not None:
        percent = rules.trail_frac * PERCENT
    return Levels(stop=stop, target=target, trail_percent=percent)


def decide(held: Held, rules: ExitSettings) -> Decision:
    """Give the one thing to do about a position's protection now, or None."""
    resting = [order for order in held.working if order.intent.protects]
    if any(order.intent.purpose is Purpose.EXIT and not order.intent.protects for order in held.working):
        return None  # it is being left already
    if resting:
        return _about(resting[0], held, rules)
    if held.qty == 0:
        return None
    reached = _reached(held, rules)
    if reached is not None:
        return Leave(reached)
    return _rest(held, rules)


def is_protective(intent: OrderIntent, side: Side) -> bool:
    """Tell whether an execution on a side leaves a position by protection, at the broker or by the desk."""
    if side is not intent.side:
        return True  # a leg of a bracket or oto
    words = tuple(f"{word}:" for word in (STOP_LOSS, TAKE_PROFIT, TRAILING_STOP))
    return intent.purpose is Purpose.EXIT and (intent.protects or intent.reason.startswith(words))


def _about(order: WorkingOrder, held: Held, rules: ExitSettings) -> Withdraw | None:
    """Judge the order that rests; one without an answer is asked about, not acted on (I4)."""
    if order.state in (OrderState.PENDING, OrderState.UNKNOWN):
        return None
    intent = order.intent
    if held.qty == 0:
        return Withdraw(intent.client_order_id, "the position is gone")
    if held.qty * intent.side.sign > 0 or order.remaining != abs(held.qty):
        why = f"it is for {plain(order.remaining)} shares, {plain(abs(held.qty))} are held"
        return Withdraw(intent.client_order_id, why)
    if _levels_of(intent) != levels(held, rules):
        return Withdraw(intent.client_order_id, "the average price has moved")
    return None


def _levels_of(intent: OrderIntent) -> Levels:
    match intent.order_type:
        case OrderType.TRAILING_STOP:
            return Levels(None, None, intent.trail_percent)
        case OrderType.LIMIT if intent.order_class is OrderClass.OCO:
            return Levels(intent.stop_loss_price, intent.take_profit_price, None)
        case _:
            return Levels(intent.stop_price, intent.limit_price, None)


def _reached(held: Held, rules: ExitSettings) -> str | None:
    """Say which level the last price has reached, if any."""
    last = held.last_price
    if last is None or not held.is_seen:  # a price from before the entry says nothing of the position
        return None
    sign = 1 if held.qty > 0 else -1
    wanted = levels(held, rules)
    if wanted.stop is not None and (last - wanted.stop) * sign <= 0:
        return f"{STOP_LOSS}: last {plain(last)} at or past {plain(wanted.stop)}"
    if wanted.target is not None and (last - wanted.target) * sign >= 0:
        return f"{TAKE_PROFIT}: last {plain(last)} at or past {plain(wanted.target)}"
    if rules.trail_frac is not None:
        best = held.avg_price if held.best_price is None else held.best_price
        trail = stop_price(best * (1 - sign * rules.trail_frac), side=Side.SELL if sign > 0 else Side.BUY)
        if (last - trail) * sign <= 0:
            return f"{TRAILING_STOP}: last {plain(last)} at or past {plain(trail)}, best {plain(best)}"
    return None


def _rest(held: Held, rules: ExitSettings) -> Rest | None:
    """Give the order the broker can hold for the position, or None where the desk must watch."""
    entering = any(order.intent.purpose is Purpose.ENTRY for order in held.working)
    refused = held.refusals >= REFUSALS_MAX
    if entering or refused or rules.at is ExitsAt.DESK or held.last_price is None or not is_whole(held.qty):
        return None
    wanted = levels(held, rules)
    match (wanted.stop is not None, wanted.target is not None, wanted.trail_percent is not None):
        case (True, True, False):
            return Rest(OrderType.LIMIT, OrderClass.OCO, wanted)
        case (True, False, False):
            return Rest(OrderType.STOP, OrderClass.SIMPLE, wanted)
        case (False, True, False):
            return Rest(OrderType.LIMIT, OrderClass.SIMPLE, wanted)
        case (False, False, True) if (wanted.trail_percent or TRAIL_PERCENT_MIN) >= TRAIL_PERCENT_MIN:
            return Rest(OrderType.TRAILING_STOP, OrderClass.SIMPLE, wanted)
        case _:
            return None


def resting_intent(leaving: OrderIntent, found: Rest) -> OrderIntent:
    """Give the protective order as a change of the market exit of the whole position.

    Args:
        leaving: `desk.sizer.exit_intent` of the position: id, side, quantity, words.
        found: what should rest.
    """
    wanted = found.levels
    changes: dict[str, object] = {
        "protects": True,
        "order_type": found.order_type,
        "order_class": found.order_class,
        "time_in_force": TimeInForce.DAY,
    }
    match found.order_type:
        case OrderType.TRAILING_STOP:
            changes["trail_percent"] = wanted.trail_percent
        case OrderType.STOP:
            changes["stop_price"] = wanted.stop
        case OrderType.LIMIT:
            changes["limit_price"] = wanted.target
            if found.order_class is OrderClass.OCO:
                changes |= {"take_profit_price": wanted.target, "stop_loss_price": wanted.stop}
        case OrderType.MARKET | OrderType.STOP_LIMIT:
            raise ValueError(f"a {found.order_type.value} order does not rest for a position")
        case _:
            assert_never(found.order_type)
    return leaving.model_copy(update=changes)

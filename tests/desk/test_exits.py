"""Protective exits: who watches a position's price, and that there is never more than one watcher."""

from decimal import Decimal
from itertools import product

import pytest
from pydantic import ValidationError

from desk.exits import Held, Leave, Levels, Rest, Withdraw, decide, levels, resting_intent
from desk.exposure import WorkingOrder
from desk.sizer import exit_intent
from schemas.orders import OrderClass, OrderIntent, OrderState, OrderType, Purpose, Side
from schemas.settings import ExitsAt, ExitSettings
from tests import makers

D = Decimal
STOP = ExitSettings(stop_frac=D("0.01"))
TARGET = ExitSettings(target_frac=D("0.02"))
BOTH = ExitSettings(stop_frac=D("0.01"), target_frac=D("0.02"))
TRAIL = ExitSettings(trail_frac=D("0.015"))
TRAIL_AND_TARGET = ExitSettings(trail_frac=D("0.015"), target_frac=D("0.02"))


def held(
    qty: str = "100",
    *,
    avg: str = "50",
    last: str | None = "50",
    best: str | None = None,
    working: tuple[WorkingOrder, ...] = (),
    is_seen: bool = True,
    refusals: int = 0,
) -> Held:
    """Give a position of a strategy in AAPL."""
    return Held(
        strategy="s",
        symbol="AAPL",
        qty=D(qty),
        avg_price=D(avg),
        last_price=None if last is None else D(last),
        best_price=None if best is None else D(best),
        working=working,
        is_seen=is_seen,
        refusals=refusals,
    )


def resting(position: Held, rules: ExitSettings, *, state: OrderState = OrderState.SUBMITTED) -> WorkingOrder:
    """Give the protective order the desk itself would put for a position."""
    found = decide(position, rules)
    assert isinstance(found, Rest)
    intent = resting_intent(leaving(position), found)
    return WorkingOrder(intent=intent, remaining=intent.qty, state=state)


def leaving(position: Held) -> OrderIntent:
    """Give the market exit of a position."""
    return exit_intent(
        strategy="s",
        symbol="AAPL",
        position=position.qty,
        price=D(50),
        bar_ts=makers.NOON,
        session_date=makers.DAY,
        attempt=1,
        reason="x",
    )


@pytest.mark.parametrize(
    ("rules", "order_type", "order_class"),
    [
        (STOP, OrderType.STOP, OrderClass.SIMPLE),
        (TARGET, OrderType.LIMIT, OrderClass.SIMPLE),
        (BOTH, OrderType.LIMIT, OrderClass.OCO),
        (TRAIL, OrderType.TRAILING_STOP, OrderClass.SIMPLE),
    ],
)
def test_the_broker_holds_what_it_can(
    rules: ExitSettings, order_type: OrderType, order_class: OrderClass
) -> None:
    """One order at the broker carries the whole protection of a whole-share position."""
    found = decide(held(), rules)

    assert isinstance(found, Rest)
    assert (found.order_type, found.order_class) == (order_type, order_class)


@pytest.mark.parametrize(
    "position_and_rules",
    [
        (held("1.5"), BOTH),
        (held(), TRAIL_AND_TARGET),
        (held(), ExitSettings(trail_frac=D("0.0009"))),
        (held(refusals=2), BOTH),
        (held(), BOTH.model_copy(update={"at": ExitsAt.DESK})),
    ],
    ids=["fraction", "trail and target", "trail too fine", "refused twice", "told so"],
)
def test_the_desk_watches_what_the_broker_cannot(position_and_rules: tuple[Held, ExitSettings]) -> None:
    """Nothing rests for it, and a reached level makes the desk leave."""
    position, rules = position_and_rules
    far = Held(**{**{f: getattr(position, f) for f in position.__slots__}, "last_price": D("10")})

    assert decide(position, rules) is None
    assert isinstance(decide(far, rules), Leave)


def test_levels_of_a_long_and_a_short() -> None:
    """Stops trigger a tick early rather than late, targets pay a tick more rather than less."""
    assert levels(held(avg="33.333"), BOTH) == Levels(D("33.00"), D("34.00"), None)
    assert levels(held("-100", avg="33.333"), BOTH) == Levels(D("33.66"), D("32.66"), None)


@pytest.mark.parametrize(("last", "word"), [("49.50", "stop-loss"), ("51.00", "take-profit")])
def test_a_reached_level_leaves_at_once(last: str, word: str) -> None:
    """A price at the level is reached: the broker would refuse a stop behind the market."""
    found = decide(held(last=last), BOTH)

    assert isinstance(found, Leave)
    assert word in found.why


def test_a_trail_follows_the_best_price() -> None:
    """1.5 % under a best of 60 is 59.10, whatever was paid."""
    rules = TRAIL.model_copy(update={"at": ExitsAt.DESK})

    assert decide(held(last="59.11", best="60"), rules) is None
    assert isinstance(decide(held(last="59.10", best="60"), rules), Leave)
    assert isinstance(decide(held("-100", avg="70", last="60.90", best="60"), rules), Leave)


def test_a_fitting_order_is_left_alone() -> None:
    """An order for the position's shares at its levels stays, also after both filled in part."""
    for rules in (STOP, TARGET, BOTH, TRAIL):
        order = resting(held(), rules)
        part = WorkingOrder(intent=order.intent, remaining=D(40), state=OrderState.PARTIALLY_FILLED)

        assert decide(held(working=(order,)), rules) is None
        assert decide(held("40", working=(part,)), rules) is None


@pytest.mark.parametrize("position", [held("60"), held("0"), held("-100"), held(avg="51")])
def test_an_order_that_does_not_fit_is_withdrawn(position: Held) -> None:
    """Other shares, other side, no position or another average price: the order goes first."""
    order = resting(held(), BOTH)
    now = Held(**{**{f: getattr(position, f) for f in position.__slots__}, "working": (order,)})

    assert isinstance(decide(now, BOTH), Withdraw)


@pytest.mark.parametrize("state", [OrderState.PENDING, OrderState.UNKNOWN])
def test_i4_an_unanswered_protective_order_blocks_every_other(state: OrderState) -> None:
    """It may be at the broker, so nothing is put beside it, even past the stop."""
    order = resting(held(), BOTH, state=state)

    assert decide(held(last="10", working=(order,)), BOTH) is None


def test_never_both() -> None:
    """While an order that leaves or protects works, nothing further is sent, at any price."""
    exit_order = WorkingOrder(intent=leaving(held()), remaining=D(100), state=OrderState.SUBMITTED)
    for rules, last in product((STOP, TARGET, BOTH, TRAIL), ("10", "50", "90")):
        protective = resting(held(), rules)

        assert decide(held(last=last, working=(protective,)), rules) is None
        assert decide(held(last=last, working=(exit_order,)), rules) is None


def test_while_an_entry_works_the_desk_watches() -> None:
    """The position still grows: nothing rests, and a reached stop leaves all the same."""
    entry = makers.intent("mqd-n", strategy="s", purpose=Purpose.ENTRY, side=Side.BUY, limit_price="50")
    working = (WorkingOrder(intent=entry, remaining=D(60), state=OrderState.PARTIALLY_FILLED),)

    assert decide(held("40", working=working), BOTH) is None
    assert isinstance(decide(held("40", last="49", working=working), BOTH), Leave)


@pytest.mark.parametrize("fields", [{}, {"stop_frac": "0.01", "trail_frac": "0.01"}, {"stop_frac": "1"}])
def test_rules_that_say_nothing_or_two_stops_are_refused(fields: dict[str, str]) -> None:
    """A mistake in desk.yaml is an error, not a position without a stop."""
    with pytest.raises(ValidationError):
        ExitSettings.model_validate(fields)


def test_a_price_from_before_the_entry_reaches_no_level() -> None:
    """A share bought at 50 after a close of 49 has not fallen: its stop waits for a price of its own."""
    rules = ExitSettings(stop_frac=D("0.01"), at=ExitsAt.DESK)

    assert decide(held(last="49", is_seen=False), rules) is None
    assert isinstance(decide(held(last="49"), rules), Leave)

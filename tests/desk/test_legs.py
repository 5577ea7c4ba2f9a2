"""One order of ours that is several at the broker: it ends when all of them did, and fills count once."""

from decimal import Decimal

import pytest

from desk.dispatcher import cancel
from desk.exposure import exposure_of
from desk.portfolio import replay
from desk.reconciler import reconcile
from desk.settler import settle, snapshot
from desk.views import working
from schemas.orders import BrokerOrder, OrderClass, OrderIntent, OrderState, Purpose, Side
from schemas.risk import BreakKind, RiskLimits
from tests.desk.scripted import Played, scripted
from tests.makers import DAY, NOON, filled, intent, planned

HELD = intent("mqd-held", qty="100")


def oco() -> OrderIntent:
    """Give a take-profit and stop-loss over 100 held shares."""
    made = intent("mqd-oco", side=Side.SELL, qty="100", purpose=Purpose.EXIT, limit_price="110")
    return made.model_copy(
        update={
            "order_class": OrderClass.OCO,
            "take_profit_price": Decimal(110),
            "stop_loss_price": Decimal(95),
            "protects": True,
        }
    )


def bracket() -> OrderIntent:
    """Give an entry of 100 with both exits."""
    made = intent("mqd-bracket", qty="100", limit_price="100")
    return made.model_copy(
        update={
            "order_class": OrderClass.BRACKET,
            "take_profit_price": Decimal(110),
            "stop_loss_price": Decimal(95),
        }
    )


def with_legs(played: Played, wanted: OrderIntent, *legs: str) -> None:
    """Send an order whose broker opens legs on the selling side; the answer names them."""
    submit = played.script.submit

    def nesting(order: OrderIntent) -> BrokerOrder:
        parent = submit(order)
        made = [
            played.script._new(order, client_order_id=f"brokers-{leg}", side=Side.SELL, status="held")
            for leg in legs
        ]
        played.script.state(parent.broker_order_id, "new", legs=tuple(made))
        return played.script.orders[parent.broker_order_id]

    played.script.submit = nesting  # type: ignore[method-assign]
    played.send(wanted)


def holding() -> Played:
    """Give a desk that holds 100 AAPL."""
    played = scripted()
    played.send(HELD)
    played.script.fill("b1", "100")
    settle(played.desk)
    return played


def test_the_legs_of_an_answer_are_ours() -> None:
    """Their broker ids find our order, and reconcile calls none of them foreign."""
    played = holding()
    with_legs(played, oco(), "stop")

    books = played.desk.portfolio
    assert books.order_by_broker_id("b3") is books.orders["mqd-oco"]
    theirs = snapshot(played.desk, since=NOON)
    result = reconcile(books, theirs, limits=RiskLimits(), session_date_at=lambda _: DAY, now=NOON)
    assert [found for found in result.breaks if found.kind is not BreakKind.CASH] == []


@pytest.mark.parametrize("filled_leg", ["b2", "b3"], ids=["target", "stop"])
def test_an_oco_ends_filled_by_either_half(filled_leg: str) -> None:
    """One half executes, the other is canceled: the position is left once and the order is filled."""
    played = holding()
    with_legs(played, oco(), "stop")
    other = "b3" if filled_leg == "b2" else "b2"

    played.script.state(other, "canceled")
    settle(played.desk)
    assert played.of(oco()).is_working

    played.script.fill(filled_leg, "100", price="110")
    settle(played.desk)

    assert played.of(oco()).state is OrderState.FILLED
    assert played.desk.portfolio.position("AAPL") == 0


def test_an_oco_filled_in_parts_by_both_halves_is_one_quantity() -> None:
    """60 at the target and 40 at the stop are the 100 that were held."""
    played = holding()
    with_legs(played, oco(), "stop")
    played.script.fill("b2", "60", price="110")
    settle(played.desk)
    assert played.of(oco()).remaining_qty == 40

    played.script.fill("b3", "40", price="95")
    settle(played.desk)

    assert played.of(oco()).state is OrderState.FILLED
    assert played.desk.portfolio.position("AAPL") == 0


def test_an_oco_ends_canceled_only_when_both_halves_are() -> None:
    """While one half may execute its shares are spoken for."""
    played = holding()
    with_legs(played, oco(), "stop")

    played.script.state("b2", "canceled")
    settle(played.desk)
    assert played.of(oco()).state is OrderState.SUBMITTED
    assert played.of(oco()).remaining_qty == 100

    played.script.state("b3", "canceled")
    settle(played.desk)
    assert played.of(oco()).state is OrderState.CANCELED


def test_legs_that_expired_expire_the_order() -> None:
    """At the close a DAY order's halves expire together."""
    played = holding()
    with_legs(played, oco(), "stop")
    played.script.state("b2", "expired")
    played.script.state("b3", "expired")

    settle(played.desk)

    assert played.of(oco()).state is OrderState.EXPIRED


def test_ended_legs_with_a_fill_not_booked_yet_do_not_end_the_order() -> None:
    """The broker counts 100 executed and the executions are not in its list yet: nothing is free to sell."""
    played = holding()
    with_legs(played, oco(), "stop")
    played.script.state("b2", "canceled")
    played.script.fill("b3", "100", price="95")
    late = played.script.executed.pop()

    settle(played.desk)
    assert played.of(oco()).is_working

    played.script.executed.append(late)
    settle(played.desk)
    assert played.of(oco()).state is OrderState.FILLED


def test_legs_of_a_lost_answer_are_asked_for() -> None:
    """Found again by its id, an order without known legs is asked about whole."""
    played = holding()
    played.script.lose = [True]
    played.send(oco())
    leg = played.script._new(oco(), client_order_id="brokers-stop", status="held")
    played.script.state("b2", "new", legs=(leg,))

    settle(played.desk)

    assert played.of(oco()).leg_ids == ("b3",)


# ---- brackets --------------------------------------------------------------------------------------


def test_a_bracket_whose_entry_is_filled_still_works() -> None:
    """The entry is bought and its exits may sell it: exposure is the position, and no exit fits beside."""
    played = scripted()
    with_legs(played, bracket(), "target", "stop")

    played.script.fill("b1", "100")
    settle(played.desk)

    order = played.of(bracket())
    assert (order.is_working, order.remaining_qty, order.leaving_qty) == (True, Decimal(0), Decimal(100))
    exposure = exposure_of(
        {"AAPL": Decimal(100)}, working(played.desk.portfolio), {"AAPL": Decimal(100)}
    ).symbol("AAPL")
    assert (exposure.qty_low, exposure.qty_high) == (Decimal(0), Decimal(100))


def test_a_bracket_is_filled_when_what_it_entered_was_left() -> None:
    """Bought 100 and sold 100 by a leg: flat, and the order is over."""
    played = scripted()
    with_legs(played, bracket(), "target", "stop")
    played.script.fill("b1", "100")
    settle(played.desk)

    played.script.fill("b2", "100", price="110")
    played.script.state("b3", "canceled")
    settle(played.desk)

    assert played.of(bracket()).state is OrderState.FILLED
    assert played.desk.portfolio.position("AAPL") == 0
    assert played.of(bracket()).overfilled_qty == 0


def test_canceling_a_bracket_that_is_in_cancels_its_legs() -> None:
    """The entry is filled and cannot be canceled; its exits can."""
    played = scripted()
    with_legs(played, bracket(), "target", "stop")
    cancel(played.desk, played.of(bracket()), cause="test")
    assert [call for call in played.script.calls if call.startswith("cancel")] == ["cancel b1"]

    played.script.fill("b1", "100")
    settle(played.desk)
    played.clock.later(minutes=1)
    cancel(played.desk, played.of(bracket()), cause="test")

    assert [c for c in played.script.calls if c.startswith("cancel")][1:] == ["cancel b2", "cancel b3"]


def test_a_leg_executed_beyond_the_entry_is_an_overfill() -> None:
    """Both exits executed: the order took more than it had, which reconcile shows as a break."""
    order = bracket()
    sold = order.model_copy(update={"side": Side.SELL})
    books = replay(
        [planned(order), filled(order, "e1", "100"), filled(sold, "e2", "100"), filled(sold, "e3", "100")]
    )

    assert books.position("AAPL") == -100
    assert books.orders[order.client_order_id].overfilled_qty == 100

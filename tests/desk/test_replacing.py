"""Replacing an order: whatever the broker answers, no more is executed or reserved than one of the two."""

from decimal import Decimal

import pytest

from desk.dispatcher import replace
from desk.exposure import WorkingOrder, exposure_of
from desk.gate import review, with_approved
from desk.settler import settle
from desk.views import working
from schemas import events as ev
from schemas.orders import Approval, Denial, OrderIntent, OrderState, Reason
from tests.desk.risk_book import WIDE, account, entry, gate_view
from tests.desk.scripted import Played, approval_of, scripted
from tests.makers import intent

OLD = intent("mqd-old", qty="100", limit_price="50.00", reference_price="50")


def new(qty: str = "100", price: str = "51.00") -> OrderIntent:
    """Give a replacement of OLD."""
    made = intent("mqd-new", qty=qty, limit_price=price, reference_price="50")
    return made.model_copy(update={"replaces": "mqd-old"})


def asked(played: Played, wanted: OrderIntent) -> None:
    """Ask for a replacement of OLD."""
    replace(played.desk, played.of(OLD), wanted, approval_of(wanted))


def reserved(played: Played) -> tuple[Decimal, Decimal]:
    """Give the most shares and USD that may be held of the symbol."""
    exposure = exposure_of({}, working(played.desk.portfolio), {"AAPL": Decimal(1)}).symbol("AAPL")
    return exposure.qty_high, exposure.usd_high


def test_a_replacement_is_on_disk_before_it_is_sent_and_ends_the_old_order() -> None:
    """The new order is planned first (I1); when the broker says replaced, the old one ends in its favour."""
    played = scripted()
    played.send(OLD)

    asked(played, new("60"))

    kinds = [event.kind for _, event in played.ledger.read(after_seq=1)]
    assert kinds == [
        "order_planned", "order_acknowledged", "order_planned", "order_acknowledged", "order_replaced",
    ]  # fmt: skip
    assert (played.of(OLD).state, played.of(OLD).replaced_by) == (OrderState.CANCELED, "mqd-new")
    assert played.of(new()).state is OrderState.SUBMITTED
    assert reserved(played) == (Decimal(60), Decimal(60) * 51)


def test_a_refused_replacement_leaves_the_old_order_working() -> None:
    """The broker's no is about the new order only."""
    played = scripted()
    played.send(OLD)
    played.script.refuse["replace"] = "cannot replace order in accepted status"

    asked(played, new())

    assert played.of(new()).state is OrderState.REJECTED
    assert played.of(OLD).state is OrderState.SUBMITTED
    assert reserved(played) == (Decimal(100), Decimal(100) * 50)


@pytest.mark.parametrize(
    ("qty", "price", "shares", "usd"),
    [("60", "51.00", 100, 5000), ("120", "51.00", 120, 6120), ("100", "40.00", 100, 5000)],
    ids=["smaller", "larger", "cheaper"],
)
@pytest.mark.parametrize("took", [True, False], ids=["taken", "never taken"])
def test_i4_i6_without_an_answer_the_larger_of_both_is_reserved(
    *, took: bool, qty: str, price: str, shares: int, usd: int
) -> None:
    """Neither the sum nor the smaller: one of the two lives, and nobody knows which (I4, I6)."""
    played = scripted()
    played.send(OLD)
    played.script.lose = [took]

    asked(played, new(qty, price))

    assert played.of(new()).state is OrderState.UNKNOWN
    assert played.of(OLD).state is OrderState.SUBMITTED
    assert reserved(played) == (Decimal(shares), Decimal(usd))


def test_i4_a_taken_replacement_whose_answer_was_lost_is_found_and_ends_the_old_order() -> None:
    """The new client order id finds it, and it was not sent again."""
    played = scripted()
    played.send(OLD)
    played.script.lose = [True]
    asked(played, new())

    settle(played.desk)

    assert played.of(new()).state is OrderState.SUBMITTED
    assert played.of(OLD).replaced_by == "mqd-new"
    assert played.script.calls.count("replace") == 1


def test_i4_a_replacement_nobody_has_ends_when_its_old_order_has_ended_otherwise() -> None:
    """A filled order cannot be replaced any more, so a request nobody knows is a definite no."""
    played = scripted()
    played.send(OLD)
    played.script.lose = [False]
    asked(played, new())
    settle(played.desk)
    assert played.of(new()).state is OrderState.UNKNOWN

    played.script.fill("b1", "100")
    settle(played.desk)
    settle(played.desk)

    assert played.of(OLD).state is OrderState.FILLED
    assert played.kinds(ev.OrderNeverArrived)
    assert played.of(new()).state is OrderState.REJECTED


def test_fills_that_raced_the_replacement_are_the_old_orders_and_the_rest_is_canceled() -> None:
    """40 executed meanwhile and 100 open are more than the 100 meant: the new order goes at once (#165)."""
    played = scripted()
    played.send(OLD)
    played.script.lose = [True]
    asked(played, new("100"))
    played.script.fill("b1", "40")

    settle(played.desk)
    settle(played.desk)

    assert played.of(OLD).filled_qty == 40
    assert played.of(new()).filled_qty == 0
    assert played.desk.portfolio.position("AAPL") == 40
    assert "cancel b2" in played.script.calls


def test_a_replacement_opened_larger_than_asked_is_canceled() -> None:
    """A broker that re-opens the original quantity is not left to execute it (#165)."""
    played = scripted()
    played.send(OLD)
    played.script.fill("b1", "40")
    settle(played.desk)
    asked(played, new("60"))
    assert "cancel b2" not in played.script.calls
    played.script.state("b2", "new", qty=Decimal(100))

    settle(played.desk)

    assert "cancel b2" in played.script.calls


def test_a_replacement_of_what_is_left_is_kept() -> None:
    """What was executed before the request was known, and is not counted again."""
    played = scripted()
    played.send(OLD)
    played.script.fill("b1", "40")
    settle(played.desk)
    asked(played, new("60"))
    played.script.fill("b2", "30")

    settle(played.desk)

    assert not [call for call in played.script.calls if call.startswith("cancel")]
    assert played.desk.portfolio.position("AAPL") == 70
    assert reserved(played)[0] == 30


def test_a_replacement_rejected_after_a_200_leaves_the_old_order_as_the_broker_says() -> None:
    """A 200 is no promise: the old order fills first and the new one is rejected; 100 shares, once."""
    played = scripted()
    played.send(OLD)
    played.script.replaces_later = True
    asked(played, new("120"))
    assert played.of(OLD).state is OrderState.SUBMITTED
    assert reserved(played) == (Decimal(120), Decimal(120) * 51)

    played.script.fill("b1", "100")
    played.script.state("b2", "rejected")
    settle(played.desk)

    assert (played.of(OLD).state, played.of(new()).state) == (OrderState.FILLED, OrderState.REJECTED)
    assert played.desk.portfolio.position("AAPL") == 100
    assert reserved(played) == (Decimal(0), Decimal(0))


def test_an_ended_order_is_not_replaced() -> None:
    """What has no working order to take the place of is ended unsent."""
    played = scripted()
    played.send(OLD)
    played.script.fill("b1", "100")
    settle(played.desk)

    asked(played, new())

    assert played.of(new()).state is OrderState.REJECTED
    assert "replace" not in played.script.calls


def test_somebody_elses_replacement_cancels_ours() -> None:
    """Replaced at the broker by hand, our order is over and the new one is foreign."""
    played = scripted()
    played.send(OLD)
    played.script.state("b1", "replaced", replaced_by="b9")

    settle(played.desk)

    assert (played.of(OLD).state, played.of(OLD).replaced_by) == (OrderState.CANCELED, None)


# ---- the gate --------------------------------------------------------------------------------------


def test_i6_the_gate_does_not_count_the_replaced_order_twice() -> None:
    """Of the same size a replacement passes where a second order of that size is over the limit (I6)."""
    old = entry(qty="100")
    book = gate_view(working=(WorkingOrder(old, Decimal(100), OrderState.SUBMITTED),))
    limits = WIDE.model_copy(update={"position_shares_max": Decimal(150)})
    second = old.model_copy(update={"client_order_id": "mqd-second"})
    instead = second.model_copy(update={"replaces": old.client_order_id})

    refused = review(second, book, limits)
    allowed = review(instead, book, limits)

    assert isinstance(refused, Denial)
    assert refused.reason is Reason.POSITION_SHARES
    assert isinstance(allowed, Approval)


def test_i6_after_a_replacement_was_approved_the_larger_of_both_is_in_the_book() -> None:
    """A smaller replacement makes no room in the same minute: the old order may still fill (I6)."""
    old = entry(qty="100")
    book = gate_view(working=(WorkingOrder(old, Decimal(100), OrderState.SUBMITTED),))
    smaller = old.model_copy(
        update={"client_order_id": "mqd-second", "replaces": old.client_order_id, "qty": Decimal(10)}
    )

    after = with_approved(book, smaller)

    assert len(after.working) == 1
    assert exposure_of({}, after.working, {}).symbol("AAPL").qty_high == 100


def test_a_replacing_entry_needs_buying_power_for_what_it_costs_more() -> None:
    """Alpaca charges the larger of both, and the old order is charged already (ALPACA.md §2.3)."""
    old = entry(qty="100")
    poor = account(buying_power=Decimal(5_000))
    book = gate_view(working=(WorkingOrder(old, Decimal(100), OrderState.SUBMITTED),), account=poor)
    more = old.model_copy(
        update={"client_order_id": "mqd-second", "replaces": old.client_order_id, "qty": Decimal(120)}
    )
    too_much = more.model_copy(update={"qty": Decimal(130)})

    assert isinstance(review(more, book, WIDE), Approval)
    denied = review(too_much, book, WIDE)
    assert isinstance(denied, Denial)
    assert (denied.reason, denied.number) == (Reason.BUYING_POWER, Decimal(6000))

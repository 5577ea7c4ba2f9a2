"""The story of an order: told from the ledger alone, also where it is strange."""

from datetime import timedelta
from decimal import Decimal

import pytest

from desk.errors import ConfigError
from schemas.events import (
    AnyEvent,
    CancelRequested,
    IntentDenied,
    OrderAcknowledged,
    OrderNeverArrived,
    OrderOutcomeLost,
    OrderProbed,
    OrderRejected,
)
from schemas.orders import Denial, Reason, Side
from tasks.story import tell
from tests.makers import NOON, filled, intent, planned

BUY = intent("mqd-a-20251126-AAPL-1659-n0", limit_price="101")
SELL = intent("mqd-a-20251126-MSFT-1659-n0", symbol="MSFT", side=Side.SELL)


def numbered(*events: AnyEvent) -> list[tuple[int, AnyEvent]]:
    """Give events the seqs of a ledger that others write to as well: with gaps."""
    return [(10 * number, event) for number, event in enumerate(events, start=1)]


def acknowledged(order_id: str) -> OrderAcknowledged:
    return OrderAcknowledged(at=NOON, client_order_id=order_id, broker_order_id=f"b-{order_id}")


def test_a_filled_order_has_its_fills_with_what_they_cost() -> None:
    """A buy above and a sell below the price seen cost money: both slippages are positive."""
    events = numbered(
        planned(BUY),
        acknowledged(BUY.client_order_id),
        filled(BUY, "e1", "60", price="100.10"),
        planned(SELL),
        filled(SELL, "e2", "100", price="99.50"),
        filled(BUY, "e3", "40", price="99.90"),
    )

    bought, sold = tell(events, BUY.client_order_id), tell(events, SELL.client_order_id)

    assert [(told.seq, told.slippage_bps, told.slippage_usd) for told in bought.fills] == [
        (30, Decimal(10), Decimal(6)),
        (60, Decimal(-10), Decimal(-4)),
    ]
    assert [told.slippage_usd for told in sold.fills] == [Decimal(50)]
    assert [step.what for step in bought.steps] == ["written ahead", "acknowledged", "fill", "fill"]
    assert bought.judged_seq == 10
    assert bought.order is not None
    assert bought.order.state == "filled"


def test_a_lost_answer_is_told_step_by_step() -> None:
    """An order whose answer was lost shows when it was asked about and how it ended."""
    order_id = BUY.client_order_id
    events = numbered(
        planned(BUY),
        OrderOutcomeLost(at=NOON, client_order_id=order_id, cause="read timed out"),
        OrderProbed(at=NOON, client_order_id=order_id),
        OrderNeverArrived(at=NOON + timedelta(hours=4), client_order_id=order_id),
    )

    story = tell(events, order_id)

    assert [step.what for step in story.steps] == [
        "written ahead",
        "outcome unknown",
        "asked about",
        "never arrived",
    ]
    assert "read timed out" in story.steps[1].detail


def test_a_refusal_and_a_cancel_keep_their_words() -> None:
    """The broker's words and our own cause are in the story."""
    events = numbered(
        planned(BUY),
        OrderRejected(at=NOON, client_order_id=BUY.client_order_id, code="403", message="insufficient"),
        planned(SELL),
        acknowledged(SELL.client_order_id),
        CancelRequested(at=NOON, client_order_id=SELL.client_order_id, cause="entry not filled in time"),
    )

    assert tell(events, BUY.client_order_id).steps[-1].detail == "403 insufficient"
    assert tell(events, SELL.client_order_id).steps[-1].detail == "entry not filled in time"


def test_a_denied_intent_has_a_story_too() -> None:
    """The denial's rule, number and limit are the verdict; there is no order."""
    denial = Denial(
        client_order_id=BUY.client_order_id,
        reason=Reason.GROSS_EXPOSURE,
        number=Decimal(51_200),
        limit=Decimal(50_000),
        message="AAPL buy 100 denied: gross 51,200 USD over 50,000",
        judged_at=NOON,
    )

    story = tell(numbered(IntentDenied(at=NOON, intent=BUY, denial=denial)), BUY.client_order_id)

    assert (story.verdict, story.order, story.fills) == (denial, None, ())


def test_an_order_is_found_by_the_brokers_id_or_by_a_part() -> None:
    """What a person copies from the broker's page, or types, is enough where it is unmistakable."""
    events = numbered(planned(BUY), acknowledged(BUY.client_order_id), planned(SELL))

    assert tell(events, f"b-{BUY.client_order_id}").intent == BUY
    assert tell(events, "AAPL-1659").intent == BUY
    with pytest.raises(ConfigError, match="part of 2 order ids"):
        tell(events, "20251126")
    with pytest.raises(ConfigError, match="did you mean"):
        tell(events, "mqd-a-20251126-AAPL-1659-n1")

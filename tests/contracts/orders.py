"""What becomes of an order at every broker: taken, refused, canceled, replaced."""

from decimal import Decimal
from typing import Any

import pytest

from desk.errors import NotFound, Rejected
from schemas.orders import OrderType, Side
from tests.contracts.venue import MINUTE, OPEN, PER_PRINT, UnderTest, ids_of, order_of, resting


class OrderContract:
    """Submit, cancel and replace; a part of `BrokerContract`."""

    # --- submit ---

    def test_a_submitted_order_is_acknowledged_and_found(self, venue: UnderTest) -> None:
        """The answer is about our order, exactly as sent, and both ids find it again."""
        venue.clock.sleep_until(OPEN + MINUTE)
        intent = resting(qty=Decimal("7"), limit_price=Decimal("90.10"))

        order = venue.broker.submit(intent)

        assert (order.client_order_id, order.symbol, order.side) == (intent.client_order_id, "AAPL", Side.BUY)
        assert (order.qty, order.limit_price, order.filled_qty) == (Decimal(7), Decimal("90.1"), Decimal(0))
        assert (order.order_type, order.time_in_force) == ("limit", "day")
        assert order.submitted_at >= OPEN + MINUTE
        assert venue.broker.order(order.broker_order_id).client_order_id == intent.client_order_id
        assert (
            venue.broker.order_by_client_id(intent.client_order_id).broker_order_id == order.broker_order_id
        )

    def test_a_fraction_of_a_share_is_exact(self, venue: UnderTest) -> None:
        """Nine decimals survive the way there and back."""
        venue.clock.sleep_until(OPEN + MINUTE)
        order = venue.broker.submit(order_of(qty=Decimal("0.123456789")))
        venue.clock.sleep_until(OPEN + 3 * MINUTE)

        assert order.qty == Decimal("0.123456789")
        assert [fill.qty for fill in venue.broker.fills_since(OPEN)] == [Decimal("0.123456789")]

    def test_the_same_client_id_twice_is_one_order(self, venue: UnderTest) -> None:
        """Submitting again gives the order that exists, working or filled, and makes no second (I2)."""
        venue.clock.sleep_until(OPEN + MINUTE)
        first = venue.broker.submit(order_of())
        again = venue.broker.submit(order_of())
        venue.clock.sleep_until(OPEN + 3 * MINUTE)
        later = venue.broker.submit(order_of())

        assert first.broker_order_id == again.broker_order_id == later.broker_order_id
        assert later.status == "filled"
        assert len(venue.broker.orders_since(OPEN)) == 1
        assert [position.qty for position in venue.broker.positions()] == [Decimal(1)]

    @pytest.mark.parametrize(
        "changes",
        [
            {"symbol": "NOPE"},
            {"qty": Decimal(100_000)},
            {"order_type": OrderType.LIMIT, "limit_price": Decimal("90.001")},
        ],
        ids=["symbol", "buying power", "tick"],
    )
    def test_a_refused_order_leaves_nothing(self, venue: UnderTest, changes: dict[str, Any]) -> None:
        """A refusal has code and status, and the client order id is neither used up nor found."""
        venue.clock.sleep_until(OPEN + MINUTE)
        with pytest.raises(Rejected) as caught:
            venue.broker.submit(order_of(**changes))

        assert caught.value.status in (403, 422)
        assert caught.value.code != ""
        with pytest.raises(NotFound):
            venue.broker.order_by_client_id(order_of().client_order_id)
        assert venue.broker.orders_since(OPEN) == ()
        assert venue.broker.submit(order_of()).client_order_id == order_of().client_order_id

    def test_unknown_orders_are_not_found(self, venue: UnderTest) -> None:
        """Both look-ups say NotFound."""
        with pytest.raises(NotFound):
            venue.broker.order("61e69015-8549-4bfd-b9c3-01e75843f47d")
        with pytest.raises(NotFound):
            venue.broker.order_by_client_id("mqd-never-sent")

    # --- cancel ---

    def test_a_canceled_order_is_no_longer_open(self, venue: UnderTest) -> None:
        """After a cancel the order ends as canceled; canceling it again is harmless."""
        venue.clock.sleep_until(OPEN + MINUTE)
        order = venue.broker.submit(resting())

        venue.broker.cancel(order.broker_order_id)
        venue.broker.cancel(order.broker_order_id)

        assert venue.broker.order(order.broker_order_id).status == "canceled"
        assert venue.broker.open_orders() == ()

    def test_what_cannot_be_canceled_is_rejected(self, venue: UnderTest) -> None:
        """A filled order and an unknown one are definite refusals."""
        venue.clock.sleep_until(OPEN + MINUTE)
        order = venue.broker.submit(order_of())
        venue.clock.sleep_until(OPEN + 3 * MINUTE)

        with pytest.raises(Rejected):
            venue.broker.cancel(order.broker_order_id)
        with pytest.raises(Rejected):
            venue.broker.cancel("61e69015-8549-4bfd-b9c3-01e75843f47d")

    def test_cancel_all_asks_for_every_open_order(self, venue: UnderTest) -> None:
        """It gives how many were asked, zero when none is open."""
        venue.clock.sleep_until(OPEN + MINUTE)
        for number in range(3):
            venue.broker.submit(resting(number))

        assert venue.broker.cancel_all() == 3
        assert venue.broker.open_orders() == ()
        assert venue.broker.cancel_all() == 0

    def test_a_cancel_may_be_under_way(self, venue: UnderTest) -> None:
        """While the venue takes five minutes the order is pending_cancel and open; then it is canceled."""
        venue.clock.sleep_until(OPEN + MINUTE)
        order = venue.broker.submit(resting())
        venue.floor.cancel_takes = 5 * MINUTE

        venue.broker.cancel(order.broker_order_id)
        venue.broker.cancel(order.broker_order_id)
        (pending,) = venue.broker.open_orders()
        venue.clock.sleep_until(OPEN + 6 * MINUTE)

        assert pending.status == "pending_cancel"
        assert venue.broker.order(order.broker_order_id).status == "canceled"
        assert venue.broker.open_orders() == ()

    def test_a_fill_may_win_over_a_cancel(self, venue: UnderTest) -> None:
        """Asked to cancel in time and filled first, the order is filled, and a cancel is refused then."""
        venue.floor.cancel_takes = 5 * MINUTE
        venue.clock.sleep_until(OPEN + 5 * MINUTE)
        order = venue.broker.submit(order_of())
        venue.broker.cancel(order.broker_order_id)
        venue.clock.sleep_until(OPEN + 7 * MINUTE)

        assert venue.broker.order(order.broker_order_id).status == "filled"
        with pytest.raises(Rejected):
            venue.broker.cancel(order.broker_order_id)

    # --- replace ---

    def test_a_replacement_takes_the_place_of_the_old_order(self, venue: UnderTest) -> None:
        """It has the intent's id and terms and an id of its own; each names the other, and one is open."""
        venue.clock.sleep_until(OPEN + MINUTE)
        old = venue.broker.submit(resting())

        new = venue.broker.replace(old.broker_order_id, resting(1, limit_price=Decimal("90.50")))

        was, now = (venue.broker.order(o.broker_order_id) for o in (old, new))
        assert (was.status, was.replaced_by) == ("replaced", new.broker_order_id)
        assert (now.status, now.replaces, now.limit_price) == ("new", old.broker_order_id, Decimal("90.50"))
        assert now.client_order_id == new.client_order_id == resting(1).client_order_id
        assert ids_of(venue.broker.open_orders()) == [new.client_order_id]
        assert venue.broker.order_by_client_id(old.client_order_id).status == "replaced"

    def test_a_replacements_quantity_is_its_own(self, venue: UnderTest) -> None:
        """An order filled 100 of 150 and replaced by one of 120 buys 220 in all."""
        venue.clock.sleep_until(OPEN + MINUTE)
        changes: dict[str, Any] = {"order_type": OrderType.LIMIT, "limit_price": Decimal("100.02")}
        old = venue.broker.submit(order_of(qty=Decimal(150), **changes))
        assert venue.broker.order(old.broker_order_id).filled_qty == PER_PRINT

        new = venue.broker.replace(old.broker_order_id, order_of(1, qty=Decimal(120), **changes))
        venue.clock.sleep_until(OPEN + 2 * MINUTE)

        assert venue.broker.order(new.broker_order_id).filled_qty == Decimal(120)
        assert venue.broker.order(old.broker_order_id).filled_qty == PER_PRINT
        (position,) = venue.broker.positions()
        assert position.qty == PER_PRINT + Decimal(120)

    def test_what_cannot_be_replaced_is_rejected(self, venue: UnderTest) -> None:
        """Filled, unknown, unchanged and below what was executed: definite refusals that change nothing."""
        venue.clock.sleep_until(OPEN + MINUTE)
        filled = venue.broker.submit(order_of())
        rests = venue.broker.submit(resting(1))
        venue.clock.sleep_until(OPEN + 2 * MINUTE)

        for broker_id, intent in (
            (filled.broker_order_id, resting(2)),
            ("61e69015-8549-4bfd-b9c3-01e75843f47d", resting(2)),
            (rests.broker_order_id, resting(2)),
        ):
            with pytest.raises(Rejected):
                venue.broker.replace(broker_id, intent)
        assert venue.broker.order(rests.broker_order_id).status == "new"
        with pytest.raises(NotFound):
            venue.broker.order_by_client_id(resting(2).client_order_id)

    def test_a_replacement_may_be_under_way_and_lose(self, venue: UnderTest) -> None:
        """The old order fills before its replacement arrives: one is filled, the other rejected."""
        venue.floor.replace_takes = 2 * MINUTE
        venue.clock.sleep_until(OPEN + 5 * MINUTE)
        changes: dict[str, Any] = {"order_type": OrderType.LIMIT, "limit_price": Decimal("100.02")}
        old = venue.broker.submit(order_of(**changes))
        assert venue.broker.order(old.broker_order_id).status == "new"

        new = venue.broker.replace(old.broker_order_id, order_of(1, qty=Decimal(2), **changes))
        pending = venue.broker.order(old.broker_order_id).status
        with pytest.raises(Rejected):
            venue.broker.cancel(old.broker_order_id)
        venue.clock.sleep_until(OPEN + 8 * MINUTE)

        assert pending == "pending_replace"
        assert venue.broker.order(old.broker_order_id).status == "filled"
        assert venue.broker.order(new.broker_order_id).status == "rejected"
        assert [position.qty for position in venue.broker.positions()] == [Decimal(1)]

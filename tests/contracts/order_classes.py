"""What every broker does with brackets, OCOs, trailing stops and halted symbols."""

from decimal import Decimal
from typing import Any

import pytest

from schemas.orders import OrderClass, OrderType, Purpose, Side
from tests.contracts.venue import MINUTE, OPEN, UnderTest, bracket, order_of


class OrderClassContract:
    """Orders of several parts, and orders that wait; a part of `BrokerContract`."""

    # --- classes of orders ---

    def test_a_bracket_answers_with_its_legs(self, venue: UnderTest) -> None:
        """Both legs have ids of their own, close the position, and open when the entry is filled."""
        venue.clock.sleep_until(OPEN + MINUTE)
        entry = venue.broker.submit(bracket())
        profit, stop = entry.legs
        venue.clock.sleep_until(OPEN + 2 * MINUTE)

        assert (entry.order_class, profit.side, stop.side) == ("bracket", Side.SELL, Side.SELL)
        assert (profit.limit_price, stop.stop_price) == (Decimal(110), Decimal(90))
        assert len({o.broker_order_id for o in (entry, profit, stop)}) == 3
        assert len({o.client_order_id for o in (entry, profit, stop)}) == 3
        assert venue.broker.order(entry.broker_order_id).status == "filled"
        assert venue.broker.order(profit.broker_order_id).status == "new"
        assert venue.broker.order(stop.broker_order_id).status == "held"
        legs = {leg.broker_order_id for leg in (profit, stop)}
        assert {order.broker_order_id for order in venue.broker.open_orders()} == legs

    def test_an_order_found_by_its_client_id_has_its_legs(self, venue: UnderTest) -> None:
        """After a lost answer this is how the legs become known: without them one's fills look foreign."""
        venue.clock.sleep_until(OPEN + MINUTE)
        entry = venue.broker.submit(bracket())

        found = venue.broker.order_by_client_id(entry.client_order_id)

        assert [leg.broker_order_id for leg in found.legs] == [leg.broker_order_id for leg in entry.legs]

    def test_canceling_an_entry_cancels_its_legs(self, venue: UnderTest) -> None:
        """Nothing of the bracket is open afterwards."""
        venue.clock.sleep_until(OPEN + MINUTE)
        entry = venue.broker.submit(bracket(order_type=OrderType.LIMIT, limit_price=Decimal(95)))

        venue.broker.cancel(entry.broker_order_id)

        assert venue.broker.open_orders() == ()
        assert {venue.broker.order(leg.broker_order_id).status for leg in entry.legs} == {"canceled"}

    def test_an_oco_is_a_take_profit_with_a_stop(self, venue: UnderTest) -> None:
        """One leg, the stop; the shares are held once, and canceling one ends both."""
        venue.clock.sleep_until(OPEN + MINUTE)
        venue.broker.submit(order_of())
        exits = venue.broker.submit(
            order_of(
                1,
                side=Side.SELL,
                order_type=OrderType.LIMIT,
                purpose=Purpose.EXIT,
                order_class=OrderClass.OCO,
                take_profit_price=Decimal(110),
                stop_loss_price=Decimal(90),
                stop_loss_limit_price=Decimal(89),
            )
        )
        (stop,) = exits.legs

        venue.broker.cancel(stop.broker_order_id)

        assert (exits.limit_price, stop.stop_price, stop.limit_price) == (
            Decimal(110),
            Decimal(90),
            Decimal(89),
        )
        assert stop.order_type == "stop_limit"
        assert venue.broker.order(exits.broker_order_id).status == "canceled"
        assert venue.broker.open_orders() == ()

    @pytest.mark.parametrize("trail", [{"trail_price": Decimal(2)}, {"trail_percent": Decimal("1.5")}])
    def test_a_trailing_stop_keeps_its_trail(self, venue: UnderTest, trail: dict[str, Any]) -> None:
        """Its stop stands the trail behind the best price, and the trail can be replaced."""
        venue.clock.sleep_until(OPEN + MINUTE)
        venue.broker.submit(order_of())
        exits: dict[str, Any] = {
            "side": Side.SELL,
            "order_type": OrderType.TRAILING_STOP,
            "purpose": Purpose.EXIT,
        }
        order = venue.broker.submit(order_of(1, **exits, **trail))
        now = venue.broker.order(order.broker_order_id)
        wider = {name: amount + 1 for name, amount in trail.items()}

        new = venue.broker.replace(order.broker_order_id, order_of(2, **exits, **wider))

        after = venue.broker.order(new.broker_order_id)
        away = next(iter(trail.values()))
        assert (now.trail_price, now.trail_percent) == (trail.get("trail_price"), trail.get("trail_percent"))
        assert (now.stop_price, after.stop_price) == (Decimal(100) - away, Decimal(99) - away)

    def test_nothing_fills_while_a_symbol_is_halted(self, venue: UnderTest) -> None:
        """A new order stays accepted until trading goes on, and then fills at the next print."""
        venue.floor.at(OPEN + MINUTE, lambda: venue.floor.halt("AAPL"))
        venue.floor.at(OPEN + 3 * MINUTE, lambda: venue.floor.unhalt("AAPL"))
        venue.clock.sleep_until(OPEN + MINUTE)
        order = venue.broker.submit(order_of())
        venue.clock.sleep_until(OPEN + 2 * MINUTE)
        halted = venue.broker.order(order.broker_order_id)
        venue.clock.sleep_until(OPEN + 4 * MINUTE)

        assert (halted.status, halted.filled_qty) == ("accepted", Decimal(0))
        assert venue.broker.order(order.broker_order_id).status == "filled"

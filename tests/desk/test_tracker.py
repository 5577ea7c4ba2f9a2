"""The broker's statements as news: what ends an order, and what must come first."""

from decimal import Decimal

import pytest

from desk.portfolio import replay
from desk.tracker import status_events
from schemas.events import OrderAcknowledged, OrderCanceled, OrderExpired
from schemas.orders import BrokerOrder
from tests import makers


def stated(status: str, filled: str) -> BrokerOrder:
    """Give the broker's word on the order of `makers.intent()`."""
    intent = makers.intent()
    return BrokerOrder(
        broker_order_id="b-1",
        client_order_id=intent.client_order_id,
        symbol=intent.symbol,
        side=intent.side,
        qty=intent.qty,
        filled_qty=Decimal(filled),
        filled_avg_price=None,
        order_type="market",
        time_in_force="day",
        limit_price=None,
        stop_price=None,
        status=status,
        submitted_at=makers.NOON,
        updated_at=makers.NOON,
    )


@pytest.mark.parametrize(("status", "ending"), [("canceled", OrderCanceled), ("expired", OrderExpired)])
def test_f2_an_order_ends_only_when_what_it_executed_is_booked(status: str, ending: type) -> None:
    """Ended with 40 executed and none booked, it stays open: its exit would be sized 40 shares short."""
    intent = makers.intent()
    known = OrderAcknowledged(at=makers.NOON, client_order_id=intent.client_order_id, broker_order_id="b-1")
    before = replay([makers.planned(intent), known])
    after = replay([makers.planned(intent), known, makers.filled(intent, "e-1", "40")])

    assert status_events(before, stated(status, "40"), now=makers.NOON) == ()
    assert [type(event) for event in status_events(after, stated(status, "40"), now=makers.NOON)] == [ending]

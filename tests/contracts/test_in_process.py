"""The contract on the venue in process."""

from decimal import Decimal

import pytest

from desk.exchange.venue import Venue
from schemas.orders import Side
from tests.contracts.broker import BrokerContract
from tests.contracts.venue import DAY, UnderTest, flat_market


class TestInProcess(BrokerContract):
    """Venue is broker, market data and clock in one."""

    @pytest.fixture
    def venue(self) -> UnderTest:
        """Give a fresh venue."""
        venue = Venue(flat_market(), session_date=DAY)

        def by_hand(symbol: str, side: Side, qty: Decimal) -> None:
            venue.trade_by_hand(symbol=symbol, side=side, qty=qty)

        return UnderTest(
            broker=venue,
            market=venue,
            clock=venue,
            updates=venue.updates(),
            by_hand=by_hand,
            floor=venue.floor,
        )

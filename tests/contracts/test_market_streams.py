"""The market stream's contract on the venue in process, and on alpaca-py at the exchange server."""

from collections.abc import Iterator

import pytest

from desk.adapters.alpaca_data_stream import connect_data_stream
from desk.adapters.venue_clock import VenueClock
from desk.exchange.floor import Floor
from desk.exchange.generated import GeneratedMarket
from desk.exchange.server import ExchangeServer
from desk.exchange.venue import Venue
from schemas.settings import BrokerSettings, Settings
from tests.contracts.market_stream import DAY, SYMBOLS, MarketStreamContract, UnderTest


class TestInProcess(MarketStreamContract):
    """The venue's own stream."""

    @pytest.fixture
    def market(self) -> UnderTest:
        """Give a venue's stream and the venue as its clock."""
        place = Venue(GeneratedMarket(1, SYMBOLS), session_date=DAY)
        return UnderTest(stream=place.market_stream(), clock=place)


class TestOverHttp(MarketStreamContract):
    """alpaca-py's stream against the real server."""

    @pytest.fixture
    def market(self) -> Iterator[UnderTest]:
        """Give the adapter of a fresh server, composed as the desk does it."""
        with ExchangeServer(Floor(GeneratedMarket(1, SYMBOLS), session_date=DAY)) as server:
            broker = BrokerSettings(trading_url=server.url, data_url=server.url, feed="sip")
            stream = connect_data_stream(Settings(broker=broker))
            yield UnderTest(stream=stream, clock=VenueClock(server.url))
            stream.stop()

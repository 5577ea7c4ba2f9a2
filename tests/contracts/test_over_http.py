"""The contract on the exchange server, through alpaca-py, the adapters and real sockets."""

from collections.abc import Iterator
from decimal import Decimal

import pytest
import requests

from desk.adapters.alpaca_broker import connect_broker
from desk.adapters.alpaca_market import connect_market
from desk.adapters.alpaca_stream import connect_stream
from desk.adapters.venue_clock import VenueClock
from desk.exchange.floor import Floor
from desk.exchange.server import ExchangeServer
from schemas.orders import Side
from schemas.settings import BrokerSettings, ClockKind, Settings
from tests.contracts.broker import BrokerContract
from tests.contracts.venue import DAY, UnderTest, flat_market


class TestOverHttp(BrokerContract):
    """The adapters against the real server."""

    @pytest.fixture
    def venue(self) -> Iterator[UnderTest]:
        """Give the adapters of a fresh server, connected as the desk's composition does it."""
        floor = Floor(flat_market(), session_date=DAY)
        with ExchangeServer(floor) as server:
            settings = Settings(
                broker=BrokerSettings(
                    trading_url=server.url,
                    data_url=server.url,
                    stream_url=server.stream_url,
                    clock=ClockKind.VENUE,
                )
            )

            def by_hand(symbol: str, side: Side, qty: Decimal) -> None:
                body = {"symbol": symbol, "side": side.value, "qty": str(qty)}
                requests.post(f"{server.control_url}/trade", json=body, timeout=5).raise_for_status()

            stream = connect_stream(settings)
            yield UnderTest(
                broker=connect_broker(settings),
                market=connect_market(settings),
                clock=VenueClock(server.url),
                updates=stream,
                by_hand=by_hand,
                floor=floor,
            )
            stream.stop()

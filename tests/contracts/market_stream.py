"""What every market stream must do, in process or over a socket; each runs it with its own fixture."""

import threading
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from desk.ports import Clock, MarketStream
from schemas.market_stream import BarKind, Channel, StreamBar, StreamQuote

DAY = date(2025, 11, 26)
OPEN = datetime(2025, 11, 26, 14, 30, tzinfo=UTC)
SYMBOLS = ("AAPL", "MSFT", "XOM")
BARS = {Channel.BARS: SYMBOLS, Channel.UPDATED_BARS: SYMBOLS, Channel.STATUSES: SYMBOLS}
PUBLISHED = timedelta(seconds=61)
ARRIVE_S = 5.0


@dataclass
class UnderTest:
    """A stream that is not started, and the clock of its venue."""

    stream: MarketStream
    clock: Clock

    def connected(self, number: int = 1) -> None:
        """Wait until so many connections were made."""
        pause = threading.Event()
        for _ in range(1_000):
            if self.stream.connections() >= number:
                return
            pause.wait(0.01)
        raise AssertionError("no connection")


class MarketStreamContract:
    """The suite; a subclass gives the fixture `market`."""

    def test_nothing_is_heard_before_the_start(self, market: UnderTest) -> None:
        """A stream that was not started has no connection, no message and nothing to wake for."""
        market.clock.sleep_until(OPEN + PUBLISHED)

        assert market.stream.connections() == 0
        assert market.stream.drain() == ()
        assert not market.stream.arrived.is_set()

    def test_a_sleeper_is_woken_when_a_minute_is_published(self, market: UnderTest) -> None:
        """The sleep ends where the bars go out, all of them are there, and draining clears the wake."""
        market.stream.start(BARS)
        market.connected()
        market.stream.drain()

        market.clock.sleep_until(OPEN + timedelta(minutes=5), market.stream.arrived)
        heard = market.stream.drain()

        assert market.clock.now() == OPEN + PUBLISHED
        assert [message.symbol for message in heard] == list(SYMBOLS)
        assert all(isinstance(bar, StreamBar) and bar.kind is BarKind.MINUTE for bar in heard)
        assert {bar.ts for bar in heard} == {OPEN}
        assert not market.stream.arrived.is_set()
        assert market.stream.drain() == ()

    def test_a_sleep_nobody_wakes_lasts(self, market: UnderTest) -> None:
        """Before anything is published the sleep ends at its instant, wake or not."""
        market.stream.start(BARS)
        market.connected()
        market.stream.drain()

        market.clock.sleep_until(OPEN + timedelta(seconds=20), market.stream.arrived)

        assert market.clock.now() == OPEN + timedelta(seconds=20)

    def test_a_set_wake_ends_a_sleep_at_once(self, market: UnderTest) -> None:
        """What is there already is not slept over."""
        market.stream.start(BARS)
        market.connected()
        market.clock.sleep_until(OPEN + PUBLISHED)
        market.stream.arrived.wait(ARRIVE_S)
        before = market.clock.now()

        market.clock.sleep_until(before + timedelta(minutes=3), market.stream.arrived)

        assert market.clock.now() == before

    def test_quotes_are_drained_and_wake_nobody(self, market: UnderTest) -> None:
        """Only bars, statuses and connections wake; quotes wait until somebody drains."""
        market.stream.start({Channel.QUOTES: SYMBOLS[:1]})
        market.connected()
        market.stream.drain()

        market.clock.sleep_until(OPEN + timedelta(seconds=40), market.stream.arrived)
        heard: list[object] = []
        for _ in range(500):
            heard += market.stream.drain()
            if len(heard) >= 3:
                break
            market.stream.arrived.wait(0.01)

        assert market.clock.now() == OPEN + timedelta(seconds=40)
        assert heard
        assert all(isinstance(message, StreamQuote) for message in heard)

    def test_starting_twice_and_stopping_twice_change_nothing(self, market: UnderTest) -> None:
        """One connection however often it is started; after a stop nothing is heard."""
        market.stream.start(BARS)
        market.stream.start(BARS)
        market.connected()
        market.stream.drain()
        assert market.stream.connections() == 1

        market.stream.stop()
        market.stream.stop()
        market.clock.sleep_until(OPEN + PUBLISHED)

        assert market.stream.drain() == ()

    def test_renewing_makes_one_more_connection(self, market: UnderTest) -> None:
        """A renewed stream counts another connection and is heard as before."""
        market.stream.start(BARS)
        market.connected()
        market.stream.renew()
        market.connected(2)
        market.stream.drain()

        market.clock.sleep_until(OPEN + timedelta(minutes=5), market.stream.arrived)

        assert market.stream.connections() == 2
        assert len(market.stream.drain()) == len(SYMBOLS)

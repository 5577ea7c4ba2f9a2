"""The stock data stream through the real alpaca-py: at the real exchange, and at servers that misbehave."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgpack
import pytest

from desk.adapters.alpaca_data_stream import AlpacaDataStream, stream_url
from desk.adapters.alpaca_login import login
from desk.adapters.alpaca_market import connect_market
from desk.adapters.venue_clock import VenueClock
from desk.errors import ConfigError
from desk.exchange.data_plan import DataOptions, Plan
from desk.exchange.floor import Floor
from desk.exchange.generated import GeneratedMarket
from desk.exchange.server import ExchangeServer, ServerOptions
from schemas.market_stream import BarKind, Channel, StreamBar, StreamMessage, StreamQuote, StreamTrade
from schemas.settings import BrokerSettings, Settings
from tests.desk.adapters.rough_stream import Peer, rough_stream

PATIENCE_S = 10.0
DAY = date(2025, 11, 26)
OPEN = datetime(2025, 11, 26, 14, 30, tzinfo=UTC)
SYMBOLS = ("AAPL", "MSFT", "XOM")
BARS = {Channel.BARS: SYMBOLS}


@pytest.fixture(autouse=True)
def _quiet() -> None:
    """alpaca-py logs each failed connection with a traceback; that is not what is tested."""
    logging.getLogger("alpaca.data.live.websocket").setLevel(logging.CRITICAL + 1)


@contextmanager
def running(
    url: str, wanted: dict[Channel, tuple[str, ...]] | None = None, **limits: Any
) -> Iterator[AlpacaDataStream]:
    """Run a stream with short limits and stop it afterwards."""
    defaults = {"handshake_s": 0.3, "probe_after_s": 0.2, "probe_answer_s": 0.2}
    stream = AlpacaDataStream(url, feed="sip", api_key="key", secret_key="secret", **(defaults | limits))
    stream.start(BARS if wanted is None else wanted)
    try:
        yield stream
    finally:
        stream.stop()


def until(true: Callable[[], bool]) -> None:
    """Wait, with patience, for something other threads bring about."""
    deadline = time.monotonic() + PATIENCE_S
    pause = threading.Event()
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        pause.wait(0.005)


def collect(stream: AlpacaDataStream, count: int) -> list[StreamMessage]:
    """Drain until so many messages are there."""
    got: list[StreamMessage] = []

    def enough() -> bool:
        got.extend(stream.drain())
        return len(got) >= count

    until(enough)
    return got


@contextmanager
def exchange(options: DataOptions | None = None) -> Iterator[tuple[ExchangeServer, VenueClock, str]]:
    """Serve a lock-step venue; give it, its clock and its stream's address."""
    floor = Floor(GeneratedMarket(1, SYMBOLS), session_date=DAY)
    chosen = ServerOptions() if options is None else replace(ServerOptions(), data=options)
    with ExchangeServer(floor, chosen) as server:
        yield server, VenueClock(server.url), server.url.replace("http", "ws") + "/v2/sip"


def test_bars_of_a_minute_come_with_one_wake() -> None:
    """A minute's bars are all there when the sleeper is woken, and the venue stands where they went out."""
    with exchange() as (_, clock, url), running(url, probe_answer_s=2.0) as stream:
        until(lambda: stream.connections() == 1)
        stream.drain()
        clock.sleep_until(OPEN + timedelta(minutes=1))
        stream.drain()

        clock.sleep_until(OPEN + timedelta(minutes=1, seconds=40), stream.arrived)
        heard = stream.drain()

    assert [message.symbol for message in heard] == list(SYMBOLS)
    assert all(isinstance(message, StreamBar) and message.kind is BarKind.MINUTE for message in heard)
    assert {message.ts for message in heard} == {OPEN}
    assert clock.now() == OPEN + timedelta(seconds=61)


def test_stream_and_rest_say_the_same_of_a_minute() -> None:
    """What is heard of a minute is what the history says of it, value for value."""
    with exchange() as (server, clock, url), running(url) as stream:
        until(lambda: stream.connections() == 1)
        clock.sleep_until(OPEN + timedelta(seconds=61))
        heard = {message.symbol: message for message in collect(stream, len(SYMBOLS))}
        broker = BrokerSettings(trading_url=server.url, data_url=server.url, feed="sip")
        told = connect_market(Settings(broker=broker)).bars(SYMBOLS, OPEN, OPEN + timedelta(minutes=1))

    assert told.height == len(SYMBOLS)
    for symbol, ts, *values in told.iter_rows():
        bar = heard[symbol]
        assert isinstance(bar, StreamBar)
        said = [bar.open, bar.high, bar.low, bar.close, bar.volume, bar.vwap, bar.trade_count]
        assert (bar.ts, said) == (ts, values)


def test_quotes_and_trades_come_and_wake_nobody() -> None:
    """Quotes and trades are there to be drained; nobody is woken for them."""
    wanted = {Channel.QUOTES: SYMBOLS[:1], Channel.TRADES: SYMBOLS[:1]}
    with exchange() as (_, clock, url), running(url, wanted) as stream:
        until(lambda: stream.connections() == 1)
        stream.drain()
        clock.sleep_until(OPEN + timedelta(seconds=30))
        heard = collect(stream, 4)
        woken = stream.arrived.is_set()

    quote = next(message for message in heard if isinstance(message, StreamQuote))
    assert 0 < quote.bid_price < quote.ask_price
    assert any(isinstance(message, StreamTrade) and message.price > 0 for message in heard)
    assert not woken


def test_renewing_makes_another_connection_that_is_heard() -> None:
    """A dropped connection is made again, at once, and counted."""
    with exchange() as (_, clock, url), running(url) as stream:
        until(lambda: stream.connections() == 1)
        stream.renew()
        until(lambda: stream.connections() == 2)
        clock.sleep_until(OPEN + timedelta(seconds=61))

        assert len(collect(stream, len(SYMBOLS))) == len(SYMBOLS)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (DataOptions(symbols_max=2), "405"),
        (DataOptions(connections=0), "connection limit exceeded"),
        (DataOptions(plan=Plan.BASIC), "insufficient subscription"),
    ],
)
def test_a_refusal_is_kept_in_the_servers_words(options: DataOptions, word: str) -> None:
    """Too many symbols, connections, or too small a plan: the desk says which."""
    with exchange(options) as (_, _, url), running(url) as stream:
        until(lambda: word in stream.refusal())

        assert stream.drain() == ()


# ---- servers that misbehave -------------------------------------------------------------------


async def greet(peer: Peer, **channels: list[str]) -> None:
    """Let the client in and confirm what it wants, or something else."""
    await say(peer, {"T": "success", "msg": "connected"})
    await peer.socket.recv()
    await say(peer, {"T": "success", "msg": "authenticated"})
    await peer.socket.recv()
    await say(peer, {"T": "subscription", **(channels or {"bars": list(SYMBOLS)})})


async def say(peer: Peer, *messages: dict[str, Any]) -> None:
    await peer.send(msgpack.packb(list(messages)))


def bar_message(symbol: str = "AAPL", **changes: Any) -> dict[str, Any]:
    row = {"T": "b", "S": symbol, "o": 1.0, "h": 1.0, "l": 1.0, "c": 1.0, "v": 5, "n": 1, "vw": 1.0}
    return {**row, "t": msgpack.Timestamp.from_datetime(OPEN), **changes}


@pytest.mark.parametrize("silent_at", ["open", "auth", "subscribe", "later"])
def test_a_mute_server_is_left_for_another_connection(silent_at: str) -> None:
    """Wherever the first server stops answering, the second one is heard."""

    async def script(peer: Peer) -> None:
        if peer.number == 1 and silent_at != "later":
            if silent_at != "open":
                await say(peer, {"T": "success", "msg": "connected"})
                await peer.socket.recv()
            if silent_at == "subscribe":
                await say(peer, {"T": "success", "msg": "authenticated"})
            await peer.stay()
            return
        await greet(peer)
        if peer.number > 1:
            await say(peer, bar_message())
        await peer.stay()

    with rough_stream(script) as server, running(server.url) as stream:
        (heard,) = collect(stream, 1)

    assert isinstance(heard, StreamBar)
    assert server.accepted == 2


def test_rubbish_is_said_and_the_rest_of_it_is_heard() -> None:
    """An unreadable frame or message is counted as a loss; what stands beside it arrives."""

    async def script(peer: Peer) -> None:
        await greet(peer)
        await peer.send(b"\xc1")
        await peer.send(msgpack.packb({"T": "b"}))
        await say(peer, bar_message(t=7), {"T": "zz"}, bar_message("MSFT", o="1.0", v=2.0, h=None))
        await peer.stay()

    with rough_stream(script) as server, running(server.url) as stream:
        (heard,) = collect(stream, 1)
        counted = stream.connections()

    assert isinstance(heard, StreamBar)
    assert (heard.symbol, heard.open, heard.high, heard.volume) == ("MSFT", None, None, 2)
    assert heard.ts == OPEN
    assert counted == 4  # one connection and three losses


def test_messages_nobody_drains_are_dropped_and_said() -> None:
    """A full queue drops what comes, counts it, and the count of connections says so."""

    async def script(peer: Peer) -> None:
        await greet(peer)
        await say(peer, *(bar_message() for _ in range(5)))
        await peer.stay()

    with rough_stream(script) as server, running(server.url, queue_max=2) as stream:
        until(lambda: stream.overflowed() == 3)

        assert stream.connections() == 2
        assert len(stream.drain()) == 2


def test_a_symbol_the_server_does_not_confirm_is_no_confirmation_of_all() -> None:
    """The connection counts, and an earlier refusal is not forgotten while symbols lack."""

    async def script(peer: Peer) -> None:
        await greet(peer, bars=["AAPL"])
        await say(peer, {"T": "error", "code": 405, "msg": "symbol limit exceeded"})
        await peer.stay()

    with rough_stream(script) as server, running(server.url) as stream:
        until(lambda: stream.refusal() != "")

        assert stream.connections() == 1
        assert "405" in stream.refusal()


@pytest.mark.parametrize("moment", ["never started", "at once", "connected"])
def test_a_stop_ends_the_thread_whenever_it_comes(moment: str) -> None:
    """Before the start, right after it, and while connected: `stop` returns and no thread is left."""

    async def script(peer: Peer) -> None:
        await greet(peer)
        await peer.stay()

    with rough_stream(script) as server:
        stream = AlpacaDataStream(server.url, feed="iex", api_key="k", secret_key="s")
        if moment != "never started":
            stream.start(BARS)
        if moment == "connected":
            until(lambda: stream.connections() == 1)
        stream.stop()
        stream.renew()

        assert "alpaca-data-stream" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("wanted", [{}, {Channel.BARS: ()}, {Channel.LULDS: ("AAPL",)}])
def test_a_start_for_nothing_is_refused(wanted: dict[Channel, tuple[str, ...]]) -> None:
    """No symbols, or a channel the SDK cannot subscribe to, is an error with names."""
    stream = AlpacaDataStream("ws://127.0.0.1:1/", feed="iex", api_key="k", secret_key="s")

    with pytest.raises(ConfigError, match="channels bars"):
        stream.start(wanted)


def test_the_address_follows_the_market_datas() -> None:
    """Alpaca's own by feed, a foreign host's beside its history, or as configured."""
    keys = {"api_key": "PK1", "secret_key": "s"}
    at_alpaca = login(Settings.model_validate({"secrets": keys, "broker": {"feed": "sip"}}))
    elsewhere = login(Settings(broker=BrokerSettings(trading_url="http://h:1", data_url="http://h:1")))

    assert stream_url(None, at_alpaca) == "wss://stream.data.alpaca.markets/v2/sip"
    assert stream_url(None, elsewhere) == "ws://h:1/v2/iex"
    assert stream_url("wss://x/y", at_alpaca) == "wss://x/y"
    with pytest.raises(ConfigError, match="data_stream_url"):
        stream_url("http://x", at_alpaca)

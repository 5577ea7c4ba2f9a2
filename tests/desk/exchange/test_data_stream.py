"""What the stock data stream tells, over real sockets: to Alpaca's own client and to plain ones."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import httpx
import msgpack
import pytest
from alpaca.data.models import Bar, Quote, Trade
from websockets.sync.client import connect

from desk.exchange.data_plan import DataOptions
from desk.exchange.server import ExchangeServer, ServerOptions
from tests.desk.exchange.makers import OPEN, at, floor_of
from tests.desk.exchange.stream_clients import (
    AUTH,
    AUTHENTICATED,
    CONNECTED,
    PATIENCE_S,
    Heard,
    Plain,
    advance,
    subscribed,
    url_of,
)


@pytest.fixture
def server() -> Iterator[ExchangeServer]:
    with ExchangeServer(floor_of()) as running:
        yield running


def test_alpacas_client_hears_bars_quotes_and_trades(server: ExchangeServer) -> None:
    """StockDataStream gets its models, timestamps included, in the order of the venue's time."""
    heard = Heard(server)
    heard.stream.subscribe_bars(heard.hear, "SPY")
    heard.stream.subscribe_quotes(heard.hear, "SPY")
    heard.stream.subscribe_trades(heard.hear, "SPY")
    heard.stream.subscribe_daily_bars(heard.hear, "SPY")
    with heard:
        subscribed(server)
        advance(server, at(61))
        got = heard.wait(12)

    assert [type(m) for m in got[:2]] == [Quote, Trade]
    bars = [m for m in got if isinstance(m, Bar)]
    midnight = datetime.fromisoformat("2024-08-27T00:00:00-04:00")
    assert [(bar.symbol, bar.timestamp, bar.close, bar.trade_count) for bar in bars] == [
        ("SPY", OPEN, 100.0, 4.0),
        ("SPY", midnight, 100.0, 4.0),
    ]
    assert [m.timestamp for m in got if isinstance(m, Trade)] == [at(s) for s in (0, 15, 30, 45, 60)]
    assert {m.exchange for m in got if isinstance(m, Trade)} <= set("QNPZKDV")


def test_alpacas_client_subscribes_in_one_fragmented_message(server: ExchangeServer) -> None:
    """Its 32 KiB chunks are put together again: thousands of symbols arrive."""
    heard = Heard(server)
    names = [f"S{number:05d}" for number in range(9_000)]
    heard.stream.subscribe_bars(heard.hear, *names, "SPY")
    with heard:
        subscribed(server)
        advance(server, at(121))
        got = heard.wait(2)

    assert [bar.timestamp for bar in got] == [OPEN, at(60)]


def test_alpacas_client_comes_back_after_a_drop(server: ExchangeServer) -> None:
    """A closed connection is made anew and subscribed anew; what went out in between is lost."""
    heard = Heard(server)
    heard.stream._reconnect_min_backoff = 0.05
    heard.stream.subscribe_bars(heard.hear, "SPY")
    with heard:
        subscribed(server)
        advance(server, at(61))
        heard.wait(1)
        loop = heard.stream._loop
        asyncio.run_coroutine_threadsafe(heard.stream._ws.close(), loop).result(PATIENCE_S)
        subscribed(server, admitted=2)
        advance(server, at(121))
        got = heard.wait(2)

    assert [bar.timestamp for bar in got] == [OPEN, at(60)]


def test_bars_in_json(server: ExchangeServer) -> None:
    """A minute of all symbols is one frame; t is text, prices are numbers."""
    with connect(url_of(server)) as socket:
        client = Plain(socket).let_in()
        client.ask(action="subscribe", bars=["*"])
        advance(server, at(61))
        frame = client.read()

    shown = {"T": "b", "S": "SPY", "o": 100.0, "h": 100.0, "l": 100.0, "c": 100.0, "v": 40000}
    assert frame[0] == shown | {"t": "2024-08-27T13:30:00Z", "n": 4, "vw": 100.0}
    assert [message["S"] for message in frame] == ["SPY", "QQQ"]


def test_bars_in_msgpack(server: ExchangeServer) -> None:
    """t is the timestamp extension; counts are integers and prices floats."""
    with connect(url_of(server), additional_headers={"Content-Type": "application/msgpack"}) as socket:
        assert msgpack.unpackb(socket.recv(PATIENCE_S)) == [CONNECTED]
        socket.send(msgpack.packb(AUTH))
        assert msgpack.unpackb(socket.recv(PATIENCE_S)) == [AUTHENTICATED]
        socket.send(msgpack.packb({"action": "subscribe", "bars": ["SPY"]}))
        socket.recv(PATIENCE_S)
        advance(server, at(61))
        frame = socket.recv(PATIENCE_S)

    assert isinstance(frame, bytes)
    (bar,) = msgpack.unpackb(frame)
    assert bar["t"] == msgpack.Timestamp(int(OPEN.timestamp()), 0)
    assert [type(bar[name]) for name in ("v", "n", "o", "vw")] == [int, int, float, float]


def test_everything_due_is_out_before_the_advance_is_answered(server: ExchangeServer) -> None:
    """A whole day's messages lie in the client's socket, in order, when /sim/advance returns."""
    with connect(url_of(server), max_queue=None) as socket:
        client = Plain(socket).let_in()
        client.ask(action="subscribe", bars=["SPY"], quotes=["QQQ"])
        advance(server, OPEN + timedelta(hours=7))
        heard = [m for _ in range(390 + 1560) for m in json.loads(socket.recv(0.5))]

    due = [datetime.fromisoformat(m["t"]) + timedelta(seconds=61 * (m["T"] == "b")) for m in heard]
    assert due == sorted(due)
    assert len(heard) == 390 + 1560


def test_the_test_feed_speaks_when_the_market_is_shut() -> None:
    """FAKEPACA trades at 09:26 New York as well: a quote and a trade every 15 s and a bar a minute."""
    with ExchangeServer(floor_of()) as server, connect(url_of(server, "test")) as socket:
        client = Plain(socket).let_in()
        client.ask(action="subscribe", bars=["FAKEPACA"], trades=["FAKEPACA"], quotes=["*"])
        advance(server, at(-180))
        heard = [client.read() for _ in range(9)]

    assert [[m["T"] for m in frame] for frame in heard[:2]] == [["b"], ["q", "t"]]
    assert {m["S"] for frame in heard for m in frame} == {"FAKEPACA"}
    bars = [m for frame in heard for m in frame if m["T"] == "b"]
    assert [bar["t"] for bar in bars] == ["2024-08-27T13:24:00Z", "2024-08-27T13:25:00Z"]


def test_pings_are_answered(server: ExchangeServer) -> None:
    """A client that watches its peer by pings keeps the connection."""
    with connect(url_of(server)) as socket:
        Plain(socket).let_in()

        assert socket.ping().wait(PATIENCE_S)


def test_a_paced_venue_publishes_as_time_passes() -> None:
    """At 600 times real time a minute's bar comes a tenth of a second after the last."""
    with ExchangeServer(floor_of(), ServerOptions(pace=600.0)) as server, connect(url_of(server)) as socket:
        client = Plain(socket).let_in()
        client.ask(action="subscribe", bars=["SPY"])
        stamps = [client.read()[0]["t"] for _ in range(3)]

    found = [datetime.fromisoformat(stamp).astimezone(UTC) for stamp in stamps]
    assert [b - a for a, b in pairwise(found)] == [timedelta(minutes=1)] * 2


def test_trades_taken_back_are_told_and_marked(server: ExchangeServer) -> None:
    """A correction and a cancellation reach who hears the trades, as alpaca-py's models; REST marks them."""
    heard = Heard(server)
    heard.stream.subscribe_trades(heard.hear, "SPY")
    heard.stream.register_trade_corrections(heard.hear)
    heard.stream.register_trade_cancels(heard.hear)
    keys = {"APCA-API-KEY-ID": "k", "APCA-API-SECRET-KEY": "s"}
    with heard:
        subscribed(server)
        advance(server, at(20))
        first, second = heard.wait(2)

        def amend(**body: Any) -> httpx.Response:
            return httpx.post(f"{server.control_url}/amend", json={"symbol": "SPY"} | body)

        corrected = amend(trade_id=first.id, price=99.5, size=7)
        canceled = amend(trade_id=second.id, action="E")
        again = amend(trade_id=second.id)
        unknown = amend(trade_id=1)
        odd = amend(trade_id=first.id, action="?")
        correction, void = heard.wait(4)[2:]
        shown = httpx.get(f"{server.url}/v2/stocks/SPY/trades", headers=keys).json()["trades"]

    assert [r.status_code for r in (corrected, canceled, again, unknown, odd)] == [200, 200, 422, 404, 422]
    assert (correction.original_id, correction.corrected_price, correction.corrected_size) == (
        first.id,
        99.5,
        7,
    )
    assert (void.id, void.action, void.timestamp) == (second.id, "E", at(20))
    assert [(t["p"], t["s"], t.get("u")) for t in shown] == [
        (100.0, 10_000, "incorrect"), (99.5, 7, "corrected"), (100.0, 10_000, "canceled"),
    ]  # fmt: skip


def test_alpacas_client_hears_a_halt() -> None:
    """As TradingStatus, with the codes of the tape."""
    floor = floor_of()
    with ExchangeServer(floor) as server:
        heard = Heard(server)
        heard.stream.subscribe_trading_statuses(heard.hear, "*")
        with heard:
            subscribed(server)
            answer = httpx.post(f"{server.control_url}/halt", json={"symbol": "SPY", "code": "LUDP"})
            assert answer.status_code == 200, answer.text
            (status,) = heard.wait(1)

    assert (status.symbol, status.status_code, status.reason_code, status.tape) == ("SPY", "P", "LUDP", "C")


def test_a_broken_bar_is_sent_broken() -> None:
    """A price that is no number is null in JSON and nil in msgpack, and the frame stays readable."""
    floor = floor_of([(float("nan"), 101.0, 99.0, 100.0, 400)])
    options = ServerOptions(data=DataOptions(connections=2))
    pack = {"Content-Type": "application/msgpack"}
    with (
        ExchangeServer(floor, options) as server,
        connect(url_of(server)) as text,
        connect(url_of(server), additional_headers=pack) as packed,
    ):
        client = Plain(text).let_in()
        client.ask(action="subscribe", bars=["SPY"])
        for message in (AUTH, {"action": "subscribe", "bars": ["SPY"]}):
            packed.recv(PATIENCE_S)
            packed.send(msgpack.packb(message))
        packed.recv(PATIENCE_S)
        advance(server, at(61))
        (shown,) = client.read()
        frame = packed.recv(PATIENCE_S)

    assert isinstance(frame, bytes)
    (bar,) = msgpack.unpackb(frame)
    assert (shown["o"], shown["c"]) == (bar["o"], bar["c"]) == (None, 100.0)

"""The stock data stream over real sockets: Alpaca's own client, plain clients, and every refusal."""

import asyncio
import json
import logging
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import httpx
import msgpack
import pytest
from alpaca.data.live.stock import StockDataStream
from alpaca.data.models import Bar, Quote, Trade
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from desk.exchange import data_stream
from desk.exchange.data_plan import DataOptions, Plan
from desk.exchange.server import ExchangeServer, ServerOptions
from tests.desk.exchange.makers import OPEN, at, floor_of

PATIENCE_S = 10.0
AUTH = {"action": "auth", "key": "k", "secret": "s"}
CONNECTED = {"T": "success", "msg": "connected"}
AUTHENTICATED = {"T": "success", "msg": "authenticated"}
NOTHING: dict[str, Any] = {
    "T": "subscription", "trades": [], "quotes": [], "bars": [], "updatedBars": [], "dailyBars": [],
    "statuses": [], "lulds": [], "corrections": [], "cancelErrors": [],
}  # fmt: skip


@pytest.fixture
def server() -> Iterator[ExchangeServer]:
    with ExchangeServer(floor_of()) as running:
        yield running


def url_of(server: ExchangeServer, feed: str = "iex") -> str:
    return server.url.replace("http", "ws") + f"/v2/{feed}"


def advance(server: ExchangeServer, to: datetime) -> None:
    answer = httpx.post(f"{server.control_url}/advance", json={"to": to.isoformat()}, timeout=30)
    assert answer.status_code == 200, answer.text


class Plain:
    """A JSON client."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    def read(self) -> list[dict[str, Any]]:
        frame = self.socket.recv(PATIENCE_S)
        assert isinstance(frame, str)
        return json.loads(frame)

    def ask(self, **message: Any) -> list[dict[str, Any]]:
        self.socket.send(json.dumps(message))
        return self.read()

    def let_in(self) -> "Plain":
        assert self.read() == [CONNECTED]
        assert self.ask(**AUTH) == [AUTHENTICATED]
        return self

    def ended(self) -> bool:
        """Tell whether the server closes the connection."""
        try:
            self.socket.recv(PATIENCE_S)
        except ConnectionClosed:
            return True
        return False


def error(code: int, words: str) -> list[dict[str, Any]]:
    return [{"T": "error", "code": code, "msg": words}]


class Heard:
    """alpaca-py's stream in a thread, and what its handlers were given."""

    def __init__(self, server: ExchangeServer, feed: str = "iex", **options: Any) -> None:
        self.stream = StockDataStream("k", "s", url_override=url_of(server, feed), **options)
        self.got: list[Any] = []
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self.stream.run, daemon=True)

    async def hear(self, message: Any) -> None:
        with self._news:
            self.got.append(message)
            self._news.notify_all()

    def wait(self, count: int) -> list[Any]:
        with self._news:
            assert self._news.wait_for(lambda: len(self.got) >= count, PATIENCE_S), self.got
            return list(self.got)

    def __enter__(self) -> "Heard":
        self._thread.start()
        return self

    def __exit__(self, *ignored: object) -> None:
        loop = self.stream._loop
        if self._thread.is_alive() and loop is not None:
            # An idle stream notices `stop` up to 5 s late (ALPACA.md section 1.1): close under it as well.
            asyncio.run_coroutine_threadsafe(_end(self.stream), loop).result(PATIENCE_S)
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()


async def _end(stream: StockDataStream) -> None:
    await stream.stop_ws()
    if stream._ws is not None:
        await stream._ws.close()


def subscribed(server: ExchangeServer, *, admitted: int = 1) -> None:
    """Wait until that many clients were let in and one there has subscribed."""
    with httpx.Client() as client:
        for _ in range(2000):
            told = client.get(f"{server.control_url}/listeners").json()
            if told["admitted"] >= admitted and any(one["symbols"] for one in told["connections"]):
                return
    raise AssertionError("nobody subscribed")


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


def test_alpacas_client_ends_quietly_without_the_subscription() -> None:
    """409 is the one refusal that ends its run; SIP is not in the basic plan."""
    options = ServerOptions(data=DataOptions(plan=Plan.BASIC))
    logging.getLogger("alpaca.data.live.websocket").setLevel(logging.CRITICAL)
    with ExchangeServer(floor_of(), options) as server:
        heard = Heard(server, "sip")
        heard.stream.subscribe_bars(heard.hear, "SPY")
        heard._thread.start()
        heard._thread.join(PATIENCE_S)

        assert not heard._thread.is_alive()


def test_the_handshake_in_json(server: ExchangeServer) -> None:
    """Connected, authenticated, then each answer is the whole set."""
    with connect(url_of(server)) as socket:
        client = Plain(socket).let_in()
        first = client.ask(action="subscribe", bars=["SPY"], trades=["QQQ"])
        second = client.ask(action="subscribe", bars=["QQQ", "*"], statuses=["*"])
        third = client.ask(action="unsubscribe", bars=["SPY", "NEVER"], trades=["QQQ"])

    followed = {"trades": ["QQQ"], "corrections": ["QQQ"], "cancelErrors": ["QQQ"]}
    assert first == [NOTHING | followed | {"bars": ["SPY"]}]
    assert second == [NOTHING | followed | {"bars": ["*", "QQQ", "SPY"], "statuses": ["*"]}]
    assert third == [NOTHING | {"bars": ["*", "QQQ"], "statuses": ["*"]}]
    assert list(first[0]) == list(NOTHING)


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


def test_keys_in_the_handshake(server: ExchangeServer) -> None:
    """The two headers authenticate without a frame; a frame after that is 403."""
    headers = {"APCA-API-KEY-ID": "k", "APCA-API-SECRET-KEY": "s"}
    with connect(url_of(server), additional_headers=headers) as socket:
        client = Plain(socket)
        first, second = client.read(), client.read()
        again = client.ask(**AUTH)

    assert (first, second) == ([CONNECTED], [AUTHENTICATED])
    assert again == error(403, "already authenticated")


def test_auth_before_connected_is_read(server: ExchangeServer) -> None:
    """Alpaca's Node client sends its keys at once; both answers come, in order."""
    with connect(url_of(server)) as socket:
        socket.send(json.dumps(AUTH))
        client = Plain(socket)

        assert (client.read(), client.read()) == ([CONNECTED], [AUTHENTICATED])


@pytest.mark.parametrize(
    ("frame", "code", "words"),
    [
        ("{", 400, "invalid syntax"),
        ("[1]", 400, "invalid syntax"),
        ('{"action":"dance"}', 400, "invalid syntax"),
        ('{"action":"subscribe","bars":["SPY"]}', 401, "not authenticated"),
    ],
)
def test_before_authentication(server: ExchangeServer, frame: str, code: int, words: str) -> None:
    """Only keys are taken; the connection stays and may still authenticate."""
    with connect(url_of(server)) as socket:
        client = Plain(socket)
        client.read()
        socket.send(frame)

        assert client.read() == error(code, words)
        assert client.ask(**AUTH) == [AUTHENTICATED]


@pytest.mark.parametrize(
    ("frame", "code", "words"),
    [
        (b"\xff\xfe", 400, "invalid syntax"),
        ('{"action":"subscribe","bars":"SPY"}', 400, "invalid syntax"),
        ('{"action":"subscribe","bars":[1]}', 400, "invalid syntax"),
        ('{"action":"subscribe","orderbooks":["BTC/USD"]}', 410, "invalid subscribe action for this feed"),
    ],
)
def test_after_authentication(server: ExchangeServer, frame: str | bytes, code: int, words: str) -> None:
    """What cannot be read or does not belong here changes nothing."""
    with connect(url_of(server)) as socket:
        client = Plain(socket).let_in()
        socket.send(frame)

        assert client.read() == error(code, words)
        assert client.ask(action="unsubscribe") == [NOTHING]


def test_wrong_keys_are_told_and_ended() -> None:
    """402, then the connection is closed."""
    with (
        ExchangeServer(floor_of(), ServerOptions(key="right", secret="too")) as server,
        connect(url_of(server)) as socket,
    ):
        client = Plain(socket)
        client.read()

        assert client.ask(**AUTH) == error(402, "auth failed")
        assert client.ended()


def test_a_mute_client_is_timed_out(server: ExchangeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """404 when no keys came in time, ten seconds on the real service."""
    monkeypatch.setattr(data_stream, "AUTH_WAIT_S", 0.05)
    with connect(url_of(server)) as socket:
        client = Plain(socket)
        client.read()

        assert client.read() == error(404, "auth timeout")
        assert client.ended()


def test_one_connection_an_endpoint(server: ExchangeServer) -> None:
    """The second learns 406 as the answer to its keys; another endpoint and a later try are let in."""
    with connect(url_of(server)) as first:
        Plain(first).let_in()
        with connect(url_of(server)) as second:
            client = Plain(second)
            client.read()
            assert client.ask(**AUTH) == error(406, "connection limit exceeded")
            assert client.ended()
        with connect(url_of(server, "sip")) as other:
            Plain(other).let_in()
    gone_or_retry(server)


def gone_or_retry(server: ExchangeServer) -> None:
    """The place of a client that left is free at once."""
    for _ in range(100):
        with connect(url_of(server)) as socket:
            client = Plain(socket)
            client.read()
            if client.ask(**AUTH) == [AUTHENTICATED]:
                return
    raise AssertionError("the place stays taken")


def test_more_connections_when_told_so() -> None:
    """Two hear the same, each what it asked for."""
    options = ServerOptions(data=DataOptions(connections=2))
    with (
        ExchangeServer(floor_of(), options) as server,
        connect(url_of(server)) as one,
        connect(url_of(server)) as two,
    ):
        clients = [Plain(one).let_in(), Plain(two).let_in()]
        for client, symbols in zip(clients, (["SPY"], ["*"]), strict=True):
            client.ask(action="subscribe", bars=symbols)
        advance(server, at(61))
        frames = [[message["S"] for message in client.read()] for client in clients]

    assert frames == [["SPY"], ["SPY", "QQQ"]]


def test_the_symbol_limit() -> None:
    """405 for the 31st symbol of the basic plan and for `*`; what was wanted before stays."""
    options = ServerOptions(data=DataOptions(plan=Plan.BASIC))
    names = sorted(f"S{number:02d}" for number in range(30))
    with ExchangeServer(floor_of(), options) as server, connect(url_of(server)) as socket:
        client = Plain(socket).let_in()
        first = client.ask(action="subscribe", bars=names, quotes=names[:3])
        more = client.ask(action="subscribe", quotes=["ONE"])
        every = client.ask(action="subscribe", bars=["*"])
        still = client.ask(action="unsubscribe", quotes=names[:1])

    assert first == [NOTHING | {"bars": names, "quotes": names[:3]}]
    assert more == every == error(405, "symbol limit exceeded")
    assert still == [NOTHING | {"bars": names, "quotes": names[1:3]}]


def test_a_client_that_does_not_read_is_ended(
    server: ExchangeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The advance is answered all the same, and the place is free again."""
    monkeypatch.setattr(data_stream, "TAKE_WAIT_S", 0.3)
    monkeypatch.setattr(data_stream, "CLOSE_WAIT_S", 0.1)
    with connect(url_of(server), compression=None, max_queue=1, close_timeout=0.1) as socket:
        client = Plain(socket).let_in()
        client.ask(action="subscribe", bars=[f"S{number:05d}" for number in range(9_000)])
        for _ in range(200):  # each is answered with the whole set: 16 MB that nobody reads
            socket.send('{"action":"unsubscribe"}')
        first = httpx.get(f"{server.control_url}/listeners").json()
        advance(server, at(61))
        gone_or_retry(server)

    assert [one["authenticated"] for one in first["connections"]] == [True]


def test_a_full_queue_ends_a_slow_client(server: ExchangeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """407, and what was not taken yet is dropped."""
    monkeypatch.setattr(data_stream, "QUEUE_BYTES_MAX", 2_000)
    with connect(url_of(server)) as socket:
        client = Plain(socket).let_in()
        client.ask(action="subscribe", quotes=["*"], trades=["*"])
        advance(server, at(300))
        before_the_bell = client.read()

        assert {m["t"] for m in before_the_bell} == {"2024-08-27T13:30:00Z"}
        assert client.read()[0]["T"] == "t"
        assert client.read() == error(407, "slow client")
        assert client.ended()


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

"""Who is let in to the stock data stream, what is refused and with which code, and how many may listen."""

import json
import logging
from collections.abc import Iterator

import httpx
import pytest
from websockets.sync.client import connect

from desk.exchange import data_stream
from desk.exchange.data_plan import DataOptions, Plan
from desk.exchange.server import ExchangeServer, ServerOptions
from tests.desk.exchange.makers import at, floor_of
from tests.desk.exchange.stream_clients import (
    AUTH,
    AUTHENTICATED,
    CONNECTED,
    NOTHING,
    PATIENCE_S,
    Heard,
    Plain,
    advance,
    error,
    gone_or_retry,
    url_of,
)


@pytest.fixture
def server() -> Iterator[ExchangeServer]:
    with ExchangeServer(floor_of()) as running:
        yield running


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

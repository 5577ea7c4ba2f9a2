"""The two streams over sockets where they refuse, fall silent, cut and end: what any client sees."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from desk.exchange import stream as user_stream
from desk.exchange.faults_venue import FaultyVenue
from desk.exchange.server import ExchangeServer, ServerOptions
from desk.exchange.venue import Venue
from schemas.market_stream import Channel
from tests.desk.exchange.fault_rigs import plan_of, venue_market
from tests.desk.exchange.makers import CLOSE, DAY, PLAIN, at, floor_of

KEYS = {"APCA-API-KEY-ID": "k", "APCA-API-SECRET-KEY": "s"}
PATIENCE_S = 10.0
SHORT_S = 0.3  # real time after which what has not come is taken not to come


@contextmanager
def served(**options: Any) -> Iterator[ExchangeServer]:
    with ExchangeServer(floor_of(), ServerOptions(**options)) as server:
        yield server


def advance(server: ExchangeServer, to: datetime) -> None:
    body = {"to": to.isoformat()}
    httpx.post(f"{server.control_url}/advance", json=body, timeout=30).raise_for_status()


def order(server: ExchangeServer, **changes: Any) -> dict[str, Any]:
    body = {"symbol": "SPY", "qty": "10", "side": "buy", "type": "market", "time_in_force": "day", **changes}
    answer = httpx.post(f"{server.url}/v2/orders", json=body, headers=KEYS)
    assert answer.status_code == 200, answer.text
    return answer.json()


def ask(socket: ClientConnection, message: object, *, binary: bool = False) -> Any:
    text = json.dumps(message)
    socket.send(text.encode() if binary else text)
    return json.loads(socket.recv(PATIENCE_S))


def login(socket: ClientConnection) -> None:
    ask(socket, {"action": "authenticate", "data": {"key_id": "k", "secret_key": "s"}})
    ask(socket, {"action": "listen", "data": {"streams": ["trade_updates"]}})


def ending(socket: ClientConnection) -> int:
    return told_until_the_end(socket)[1]


def told_until_the_end(socket: ClientConnection) -> tuple[list[Any], int]:
    """Give what still comes, and the code the connection ends with."""
    told: list[Any] = []
    while True:
        try:
            told.append(json.loads(socket.recv(PATIENCE_S)))
        except ConnectionClosed as closed:
            return told, 0 if closed.rcvd is None else closed.rcvd.code


# --- the user stream ---


def test_one_connection_too_many_is_refused_at_the_upgrade() -> None:
    """429 where one is allowed, and room again when the first has gone."""
    with served(user_streams=1) as server:
        with connect(server.stream_url) as first:
            login(first)
            with pytest.raises(InvalidStatus) as caught:
                connect(server.stream_url)
            order(server)
            assert json.loads(first.recv(PATIENCE_S))["data"]["event"] == "accepted"
        with connect(server.stream_url) as second:
            login(second)

    assert caught.value.response.status_code == 429


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize(
    "message",
    [
        {"action": "authenticate", "data": {"key_id": "k", "secret_key": "s"}},
        {"action": "auth", "key": "k", "secret": "s"},
    ],
)
def test_both_forms_of_keys_are_read(message: dict[str, Any], *, binary: bool) -> None:
    """Text or binary, with data or without: authorized, and the answer calls it authenticate."""
    with served(key="k", secret="s") as server, connect(server.stream_url) as socket:
        answer = ask(socket, message, binary=binary)

    assert answer == {"stream": "authorization", "data": {"status": "authorized", "action": "authenticate"}}


@pytest.mark.parametrize(
    ("message", "action"),
    [
        ({"action": "listen", "data": {"streams": ["trade_updates"]}}, "listen"),
        ({"action": "auth", "key": "k", "secret": "wrong"}, "authenticate"),
        ({"action": "authenticate", "data": "k"}, "authenticate"),
        ([1], ""),
    ],
)
def test_who_is_not_let_in_is_told_so(message: object, action: str) -> None:
    """The answer names what was tried."""
    with served(key="k", secret="s") as server, connect(server.stream_url) as socket:
        answer = ask(socket, message)

    assert answer == {"stream": "authorization", "data": {"status": "unauthorized", "action": action}}


def test_wrong_keys_end_what_right_ones_began() -> None:
    """Who loses his authorization hears nothing more."""
    with served(key="k", secret="s") as server, connect(server.stream_url) as socket:
        login(socket)
        ask(socket, {"action": "auth", "key": "k", "secret": "wrong"})
        order(server)
        with pytest.raises(TimeoutError):
            socket.recv(SHORT_S)


def test_a_new_listen_replaces_the_last() -> None:
    """Listening to nothing ends the updates, unknown streams are left out; listening again begins anew."""
    with served() as server, connect(server.stream_url) as socket:
        login(socket)
        nothing = ask(socket, {"action": "listen", "data": {"streams": ["account_updates"]}})
        order(server)
        login(socket)
        order(server, client_order_id="heard")
        update = json.loads(socket.recv(PATIENCE_S))

    assert nothing == {"stream": "listening", "data": {"streams": []}}
    assert update["data"]["order"]["client_order_id"] == "heard"


def test_pings_are_answered() -> None:
    """The protocol's own ping gets its pong."""
    with served() as server, connect(server.stream_url) as socket:
        assert socket.ping().wait(PATIENCE_S)


def test_the_legs_of_a_bracket_tell_their_events_one_by_one() -> None:
    """Each leg is an order of its own on the stream, with its own id."""
    with served() as server, connect(server.stream_url) as socket:
        advance(server, at(20))
        login(socket)
        entry = order(
            server,
            order_class="bracket",
            take_profit={"limit_price": "120"},
            stop_loss={"stop_price": "80"},
        )
        httpx.delete(f"{server.url}/v2/orders", headers=KEYS)
        heard: dict[str, list[str]] = {}
        while sum(words[-1] == "canceled" for words in heard.values()) < 2:
            data = json.loads(socket.recv(PATIENCE_S))["data"]
            heard.setdefault(data["order"]["id"], []).append(data["event"])

    profit, stop = (leg["id"] for leg in entry["legs"])
    assert heard == {
        entry["id"]: ["pending_new", "new", "fill"],
        profit: ["new", "canceled"],
        stop: ["canceled"],  # it watched as `held`, which has no event
    }


def test_a_client_too_slow_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    """More events at once than its queue holds: what fitted is sent, then 1008."""
    monkeypatch.setattr(user_stream, "QUEUE_MAX", 30)
    with served() as server, connect(server.stream_url) as socket:
        login(socket)
        for _ in range(40):
            order(server, type="limit", limit_price="1", time_in_force="day")
        heard = [json.loads(socket.recv(PATIENCE_S))["data"]["event"] for _ in range(40)]
        advance(server, CLOSE + timedelta(minutes=1))  # works at the open, expires at the close: 80 events
        code = ending(socket)

    assert heard == ["accepted"] * 40
    assert code == 1008


def test_a_silent_stream_answers_nothing_until_it_speaks_again() -> None:
    """Open and mute: no update and no acknowledgement, then both; what was meanwhile is lost."""
    rule = {"kind": "stream_silent", "at": "09:31:00", "for_s": 60, "streams": ["user"]}
    with served(faults=plan_of(rule)) as server, connect(server.stream_url) as socket:
        login(socket)
        advance(server, at(60))
        order(server, client_order_id="lost")
        socket.send(json.dumps({"action": "listen", "data": {"streams": ["trade_updates"]}}))
        with pytest.raises(TimeoutError):
            socket.recv(SHORT_S)
        advance(server, at(121))
        login(socket)
        order(server, client_order_id="heard")
        update = json.loads(socket.recv(PATIENCE_S))

    assert update["data"]["order"]["client_order_id"] == "heard"


@pytest.mark.parametrize(("kind", "code"), [("stream_disconnect", 1012), ("slow_client_disconnect", 1008)])
def test_a_cut_ends_the_connection(kind: str, code: int) -> None:
    """The client sees the close, with the reason's code, after what was told before."""
    with (
        served(faults=plan_of({"kind": kind, "at": "09:31:00", "streams": ["user"]})) as server,
        connect(server.stream_url) as socket,
    ):
        login(socket)
        advance(server, at(61))

        assert ending(socket) == code


@pytest.mark.parametrize(("kind", "status"), [("connection_406", 406), ("upgrade_429", 429)])
def test_a_connection_is_refused_by_plan(kind: str, status: int) -> None:
    """The first client is refused with the fault's status, the second let in."""
    rule = {"kind": kind, "every": 1, "times": 1, "streams": ["user"]}
    with served(faults=plan_of(rule)) as server:
        with pytest.raises(InvalidStatus) as caught:
            connect(server.stream_url)
        with connect(server.stream_url) as socket:
            login(socket)

    assert caught.value.response.status_code == status


# --- the data stream ---


def data_url(server: ExchangeServer) -> str:
    return server.url.replace("http", "ws") + "/v2/sip"


@contextmanager
def bars_of(server: ExchangeServer) -> Iterator[ClientConnection]:
    with connect(data_url(server)) as socket:
        socket.recv(PATIENCE_S)
        ask(socket, {"action": "auth", "key": "k", "secret": "s"})
        ask(socket, {"action": "subscribe", "bars": ["SPY"]})
        yield socket


def minutes(socket: ClientConnection) -> list[str]:
    """Give the minutes of the bars in the next frame."""
    return [message["t"][11:16] for message in json.loads(socket.recv(PATIENCE_S))]


def test_a_mute_data_stream_loses_bars_that_rest_has() -> None:
    """Bars due in the silence are never told; REST has them."""
    rule = {"kind": "stream_silent", "at": "09:31:30", "for_s": 60, "streams": ["data"]}
    with served(faults=plan_of(rule)) as server, bars_of(server) as socket:
        heard = []
        for second in (61, 121, 181):
            advance(server, at(second))
            if second != 121:
                heard.append(minutes(socket))
        rest = httpx.get(f"{server.url}/v2/stocks/SPY/bars?timeframe=1Min", headers=KEYS).json()["bars"]

    assert heard == [["13:30"], ["13:32"]]
    assert [bar["t"][11:16] for bar in rest] == ["13:30", "13:31", "13:32"]


@pytest.mark.parametrize("kind", ["stream_disconnect", "slow_client_disconnect"])
def test_a_cut_data_stream_may_be_joined_again(kind: str) -> None:
    """The connection ends, a slow client's with 407; a new one hears what comes next."""
    rule = {"kind": kind, "at": "09:31:30", "streams": ["data"]}
    with served(faults=plan_of(rule)) as server:
        with bars_of(server) as socket:
            advance(server, at(61))
            first = minutes(socket)
            advance(server, at(91))
            told, _ = told_until_the_end(socket)
        with bars_of(server) as socket:
            advance(server, at(121))
            second = minutes(socket)

    assert (first, second) == (["13:30"], ["13:31"])
    assert [frame[0].get("code") for frame in told] == ([407] if kind == "slow_client_disconnect" else [])


def test_a_data_connection_is_refused_by_plan() -> None:
    """406 is the answer to the keys, 429 one at the upgrade."""
    rules = (
        {"kind": "connection_406", "every": 1, "times": 1, "streams": ["data"]},
        {"kind": "upgrade_429", "every": 2, "times": 1, "streams": ["data"]},
    )
    with served(faults=plan_of(rules[0], {**rules[1], "every": 1})) as server:
        with connect(data_url(server)) as socket:
            socket.recv(PATIENCE_S)
            answer = ask(socket, {"action": "auth", "key": "k", "secret": "s"})
        with pytest.raises(InvalidStatus) as caught:
            connect(data_url(server))
        with bars_of(server) as socket:
            advance(server, at(61))
            heard = minutes(socket)

    assert [(message["T"], message["code"]) for message in answer] == [("error", 406)]
    assert caught.value.response.status_code == 429
    assert heard == ["13:30"]


def test_the_data_stream_in_process_fails_alike() -> None:
    """A venue in process loses the same bars, and its stream says that it was connected anew."""
    rules = (
        {"kind": "stream_silent", "at": "09:31:30", "for_s": 60, "streams": ["data"]},
        {"kind": "stream_disconnect", "at": "09:33:30", "streams": ["data"]},
    )
    place = FaultyVenue(Venue(venue_market(), session_date=DAY, rules=PLAIN), plan_of(*rules))
    stream = place.market_stream()
    stream.start({Channel.BARS: ["SPY"]})
    heard = []
    for second in (61, 121, 181, 210, 241, 301):
        place.sleep_until(at(second))
        heard.append(([f"{message.ts:%H:%M}" for message in stream.drain()], stream.connections()))

    assert heard == [
        (["13:30"], 1), ([], 1), (["13:32"], 1), ([], 1), (["13:33"], 2), (["13:34"], 2)
    ]  # fmt: skip
    assert place.counts == {"stream_disconnect": 1, "stream_silent": 1}

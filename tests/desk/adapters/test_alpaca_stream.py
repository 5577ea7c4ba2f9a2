"""The user stream against servers that misbehave, through the real alpaca-py and real sockets."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest

from desk.adapters.alpaca_stream import AlpacaStream
from schemas.orders import Side, TradeUpdate
from tests.desk.adapters.rough_stream import Peer, RoughStream, rough_stream
from tests.desk.adapters.wire import order_json

PATIENCE_S = 10.0


@pytest.fixture(autouse=True)
def _quiet() -> None:
    """alpaca-py logs each failed connection with a traceback; that is not what is tested."""
    logging.getLogger("alpaca.trading.stream").setLevel(logging.CRITICAL)


@contextmanager
def running(url: str, **limits: Any) -> Iterator[AlpacaStream]:
    """Run a stream with short limits and stop it afterwards."""
    defaults = {"handshake_s": 0.3, "probe_after_s": 0.2, "probe_answer_s": 0.2}
    stream = AlpacaStream(url, api_key="key", secret_key="secret", **(defaults | limits))
    stream.start()
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


def collect(stream: AlpacaStream, count: int) -> list[TradeUpdate]:
    """Drain until so many updates are there."""
    got: list[TradeUpdate] = []

    def enough() -> bool:
        got.extend(stream.drain())
        return len(got) >= count

    until(enough)
    return got


def update(event: str = "new", execution: str = "e1", **order: Any) -> dict[str, Any]:
    """Give a trade update as the stream has it."""
    data: dict[str, Any] = {
        "event": event,
        "at": "2026-11-20T17:00:03.1Z",
        "event_id": "01J",
        "timestamp": "2026-11-20T17:00:03.123456789Z",
        "execution_id": execution,
        "order": order_json(**order),
    }
    if event in ("fill", "partial_fill"):
        data |= {"price": "187.12", "qty": "2", "position_qty": "2"}
    return {"stream": "trade_updates", "data": data}


def test_a_fill_arrives_with_its_execution() -> None:
    """Price, quantity, execution id and cumulated quantity come as exact amounts."""

    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.send(update("partial_fill", status="partially_filled", filled_qty="2"))
        await peer.stay()

    with rough_stream(script) as server, running(server.url) as stream:
        (got,) = collect(stream, 1)

    assert got.fill is not None
    assert (got.fill.execution_id, got.fill.side, got.fill.cum_qty) == ("e1", Side.BUY, Decimal(2))
    assert (got.fill.qty, got.fill.price) == (Decimal(2), Decimal("187.12"))
    assert got.at.microsecond == 123456


def test_unknown_words_and_duplicates_arrive_in_order() -> None:
    """Unknown events, statuses and asset classes are delivered, as are repeated frames."""
    frames = [
        update("teleported", status="superposed"),
        update("new", asset_class="hologram", position_intent="x", order_class="y", created_at=None),
        update("new", asset_class="hologram", position_intent="x", order_class="y", created_at=None),
    ]

    async def script(peer: Peer) -> None:
        await peer.greet()
        for frame in frames:
            await peer.send(frame)
        await peer.stay()

    with rough_stream(script) as server, running(server.url) as stream:
        got = collect(stream, 3)
        assert stream.connections() == 1

    assert [(one.event, one.order.status) for one in got] == [
        ("teleported", "superposed"),
        ("new", "pending_new"),
        ("new", "pending_new"),
    ]


@pytest.mark.parametrize(
    "frame",
    ["not json", "[]", {"stream": "trade_updates", "data": {}}, update("fill", execution="")],
    ids=["text", "list", "empty", "fill without execution id"],
)
def test_an_unreadable_frame_asks_for_rest(frame: Any) -> None:
    """What cannot be read raises the connection count, and what follows still arrives."""

    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.send(frame)
        await peer.send(update())
        await peer.stay()

    with rough_stream(script) as server, running(server.url) as stream:
        (got,) = collect(stream, 1)

        assert got.event == "new"
        assert stream.connections() == 2


def test_a_full_queue_drops_counts_and_asks_for_rest() -> None:
    """Nobody draining costs no memory: the rest is dropped, counted, and the connection count rises."""

    async def script(peer: Peer) -> None:
        await peer.greet()
        for _ in range(10):
            await peer.send(update())
        await peer.stay()

    with rough_stream(script) as server, running(server.url, queue_max=4) as stream:
        until(lambda: stream.overflowed() == 6)

        assert len(stream.drain()) == 4
        assert stream.connections() == 7


def test_a_dropped_connection_is_made_again_and_counted() -> None:
    """After a disconnect updates arrive again, and the count says that some may be missing."""

    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.send(update(execution=f"e{peer.number}"))
        if peer.number > 1:
            await peer.stay()

    with rough_stream(script) as server, running(server.url) as stream:
        collect(stream, 2)

        assert stream.connections() == 2


async def mute_at_login(peer: Peer) -> None:
    """Never answer the first login."""
    if peer.number == 1:
        await peer.stay()
    await peer.greet()
    await peer.stay()


async def mute_at_listen(peer: Peer) -> None:
    """Never acknowledge the first listen."""
    await peer.authorize()
    if peer.number == 1:
        await peer.stay()
    await peer.listen()
    await peer.stay()


async def mute_later(peer: Peer) -> None:
    """Answer pings but nothing else after the first greeting."""
    await peer.greet()
    if peer.number == 1:
        await peer.stay()
    while True:
        await peer.listen()


async def refuse_keys_once(peer: Peer) -> None:
    """Refuse the first login."""
    await peer.authorize("unauthorized" if peer.number == 1 else "authorized")
    await peer.listen()
    await peer.stay()


@pytest.mark.parametrize("script", [mute_at_login, mute_at_listen, mute_later, refuse_keys_once])
def test_a_mute_or_refusing_server_is_left_for_a_new_connection(script: Any) -> None:
    """Connected but mute, at login, at listen or later, ends in a new connection within the limits."""
    with rough_stream(script) as server, running(server.url) as stream:
        expected = 2 if script is mute_later else 1
        until(lambda: server.accepted >= 2 and stream.connections() >= expected)


def test_a_quiet_server_that_answers_probes_is_kept() -> None:
    """Silence alone is not muteness: who acknowledges the probe is not reconnected."""
    probes = threading.Semaphore(0)

    async def script(peer: Peer) -> None:
        await peer.greet()
        while True:
            await peer.listen()
            probes.release()

    with rough_stream(script) as server, running(server.url, probe_after_s=0.02, probe_answer_s=5) as stream:
        for _ in range(3):
            assert probes.acquire(timeout=PATIENCE_S)

        assert (server.accepted, stream.connections()) == (1, 1)


async def never_accept(peer: Peer) -> None:
    """Hang in the middle of the login."""
    await peer.stay()


async def flood(peer: Peer) -> None:
    """Talk without end."""
    await peer.greet()
    while not peer.over.is_set():
        await peer.send(update())
        await asyncio.sleep(0)


@pytest.mark.parametrize("script", [never_accept, mute_later, flood])
def test_stop_ends_the_thread_whatever_the_server_does(script: Any) -> None:
    """Stop returns within its bound and no thread of the stream is left."""
    with rough_stream(script) as server:
        with running(server.url, handshake_s=60, probe_after_s=60) as stream:
            until(lambda: server.accepted == 1)
            started = time.monotonic()
            stream.stop()

            assert time.monotonic() - started < 6
        assert not [thread for thread in threading.enumerate() if thread.name == "alpaca-stream"]


def test_stop_at_any_moment_is_harmless() -> None:
    """Before start, right after start, twice, and with nobody listening at the address."""
    stream = AlpacaStream("ws://127.0.0.1:9/stream", api_key="k", secret_key="s")
    stream.stop()
    for _ in range(20):
        stream.start()
        stream.stop()
    stream.stop()

    assert stream.drain() == ()
    assert stream.connections() == 0
    assert not [thread for thread in threading.enumerate() if thread.name == "alpaca-stream"]


def test_a_stopped_stream_starts_again() -> None:
    """Start after stop connects anew."""

    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.stay()

    def connected(server: RoughStream, stream: AlpacaStream, count: int) -> bool:
        return server.accepted == count and stream.connections() == count

    with rough_stream(script) as server, running(server.url, probe_after_s=60) as stream:
        until(lambda: connected(server, stream, 1))
        stream.stop()
        stream.start()
        until(lambda: connected(server, stream, 2))


def test_a_dead_thread_is_replaced_by_the_next_drain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Should the thread die of anything, drain starts another."""

    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.stay()

    with rough_stream(script) as server, running(server.url, probe_after_s=60) as stream:
        until(lambda: stream.connections() == 1)
        thread = stream._thread._thread
        assert thread is not None
        assert stream._thread._cancel is not None
        stream._thread._cancel()  # what a death looks like from outside: the loop is over, nobody called stop
        thread.join(5)
        stream.drain()

        until(lambda: stream.connections() == 2)


def test_whether_it_is_listening_follows_the_connection() -> None:
    """Not before the acknowledgement, yes after it, no when the server hangs up, yes on the next one."""
    gates = [threading.Event(), threading.Event()]

    async def script(peer: Peer) -> None:
        if peer.number > 1:
            while not gates[1].is_set():
                await asyncio.sleep(0.005)
        await peer.greet()
        if peer.number > 1:
            await peer.stay()
        while not gates[0].is_set():
            await asyncio.sleep(0.005)

    with (
        rough_stream(script) as server,
        running(server.url, handshake_s=5.0, probe_after_s=5.0) as stream,
    ):
        until(stream.is_listening)
        gates[0].set()
        until(lambda: not stream.is_listening())
        gates[1].set()
        until(stream.is_listening)

        assert stream.connections() == 2
        stream.stop()
        assert not stream.is_listening()

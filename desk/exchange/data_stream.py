"""The stock data stream over a WebSocket: connect, authenticate, subscribe, hear (ALPACA.md section 5).

A connection speaks msgpack when its handshake says `Content-Type: application/msgpack`, JSON otherwise. It is
told "connected", authenticates by a frame or by the two headers of its handshake within ten seconds, and
then names channels and symbols; each answer lists the whole set. A client may authenticate before it has read
"connected". One connection an endpoint is allowed unless the venue is told otherwise; the one too many learns
it (406) as the answer to its keys.

Each connection has a bounded queue: who does not take his frames is told 407 and disconnected, as the service
does. Nothing is replayed: what went out while a client was away is gone.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from desk.exchange.broadcast import Broadcast, Reader
from desk.exchange.data_plan import DataOptions
from desk.exchange.data_wire import Codec, Json, NotAMessage, codec_of
from desk.exchange.door import FrontDoor, reply
from desk.exchange.fakepaca import FakepacaFeed
from desk.exchange.subscription import EVERY, Subscription
from schemas.faults import FaultKind
from schemas.market_stream import Channel, StreamMessage

AUTH_WAIT_S = 10.0  # ALPACA.md section 5
TAKE_WAIT_S = 5.0  # a client that has not taken an advance's frames by then is slow
QUEUE_BYTES_MAX = 64 * 2**20  # waiting for one client: two hours of every quote and trade of 500 symbols
FRAME_MESSAGES_MAX = 1_000  # in one frame; keeps it well under the 1 MiB most clients accept
CLOSE_WAIT_S = 1.0  # a peer that does not read does not get a goodbye
POLICY_VIOLATION = 1008
GOING_AWAY = 1001
TEST_FEED = "test"
FEEDS = ("iex", "sip", TEST_FEED)
NOT_HERE = frozenset({"news", "orderbooks", "imbalances"})  # channels of Alpaca's other streams
ERRORS = {
    400: "invalid syntax",
    401: "not authenticated",
    402: "auth failed",
    403: "already authenticated",
    404: "auth timeout",
    405: "symbol limit exceeded",
    406: "connection limit exceeded",
    407: "slow client",
    408: "v2 not enabled",
    409: "insufficient subscription",
    410: "invalid subscribe action for this feed",
    500: "internal error",
}


class DataStream:
    """The connections to one floor's market data, and what may be done to them."""

    def __init__(
        self, broadcast: Broadcast, test: FakepacaFeed, door: FrontDoor, options: DataOptions
    ) -> None:
        """Keep what is published, who may hear it, and how much."""
        self._sources: dict[str, list[Reader]] = {feed: broadcast.readers for feed in FEEDS}
        self._sources[TEST_FEED] = test.readers
        self._door = door
        self.options = options
        self.connections: list[DataConnection] = []
        self.admitted = 0
        self.answers_auth = True  # off: keys are read and never answered, as a hung service does
        self.refuses: Callable[[], FaultKind | None] | None = None  # a fault plan's word on a connection

    def routes(self) -> list[BaseRoute]:
        """Give the paths of the feeds, and the one that tells who listens."""
        feeds = [
            WebSocketRoute(f"/v2/{feed}{end}", self._endpoint(feed)) for feed in FEEDS for end in ("", "/")
        ]
        return [*feeds, Route("/sim/listeners", self.listeners, methods=["GET"])]

    async def listeners(self, request: Request) -> Response:
        """Answer how many clients were ever let in, and who is there, with how many symbols a channel."""
        there = [
            {
                "feed": one.feed,
                "authenticated": one.authenticated,
                "symbols": {c.value: len(one.subscription.of(c)) for c in Channel if one.subscription.of(c)},
            }
            for one in self.connections
        ]
        return reply({"admitted": self.admitted, "connections": there})

    async def published(self) -> None:
        """Wait until every connection has taken what was put together for it; the slow ones are ended."""
        waiting = [one for one in self.connections if not one.idle.is_set()]
        if not waiting:
            return
        tasks = [asyncio.ensure_future(one.idle.wait()) for one in waiting]
        _, late = await asyncio.wait(tasks, timeout=TAKE_WAIT_S)
        for one, task in zip(waiting, tasks, strict=True):
            if task in late:
                task.cancel()
                one.fail(407)

    def cut(self, *, slow: bool) -> None:
        """End every connection, or tell each that it is too slow and end it (fault plans)."""
        for one in tuple(self.connections):
            if slow:
                one.fail(407)
            else:
                one.lose()

    async def close(self) -> None:
        """Disconnect everybody."""
        for one in tuple(self.connections):
            await one.leave(GOING_AWAY)

    def _endpoint(self, feed: str) -> Any:
        """Give the handler of a feed's path."""

        async def serve(socket: WebSocket) -> None:
            await self._serve(socket, feed)

        return serve

    async def _serve(self, socket: WebSocket, feed: str) -> None:
        """Serve one connection until it ends."""
        fault = None if self.refuses is None else self.refuses()
        if fault is FaultKind.UPGRADE_429:
            await socket.send_denial_response(Response("too many connections", 429))
            return
        await socket.accept()
        one = DataConnection(socket, feed, codec_of(socket.headers.get("content-type", "")))
        one.refused = fault is FaultKind.CONNECTION_406
        self.connections.append(one)
        talking = asyncio.create_task(self._converse(one, socket.headers))
        sending = asyncio.create_task(one.send_all())
        over = asyncio.create_task(one.over.wait())
        try:
            await asyncio.wait({talking, sending, over}, return_when=asyncio.FIRST_COMPLETED)
            if one.ended:  # the reason still goes out, if the client takes it
                await asyncio.wait({sending}, timeout=CLOSE_WAIT_S)
        finally:
            self.connections.remove(one)
            if one in self._sources[feed]:
                self._sources[feed].remove(one)
            for task in (talking, sending, over):
                task.cancel()
            ends = await asyncio.gather(talking, sending, over, return_exceptions=True)
        for end in ends:
            if isinstance(end, Exception) and not isinstance(end, WebSocketDisconnect):
                raise end

    async def _converse(self, one: "DataConnection", headers: Mapping[str, str]) -> None:
        """Let a client in, then answer what it asks until it leaves or is ended."""
        one.success("connected")
        key, secret = headers.get("apca-api-key-id", ""), headers.get("apca-api-secret-key", "")
        if key or secret:
            self._admit(one, key, secret)
        try:
            async with asyncio.timeout(AUTH_WAIT_S):
                while not (one.authenticated or one.ended):
                    self._before(one, await one.receive())
        except TimeoutError:
            one.fail(404)
        while not one.ended:
            asked = await one.receive()
            if not one.ended:
                self._after(one, asked)

    def _before(self, one: "DataConnection", asked: Mapping[str, Any] | None) -> None:
        """Answer a message of a client that is not let in yet."""
        action = None if asked is None else asked.get("action")
        if asked is not None and action == "auth":
            self._admit(one, str(asked.get("key") or ""), str(asked.get("secret") or ""))
        elif action in ("subscribe", "unsubscribe"):
            one.error(401)
        else:
            one.error(400)

    def _admit(self, one: "DataConnection", key: str, secret: str) -> None:
        """Judge keys, plan and number of connections."""
        if not self.answers_auth:
            return
        peers = [other for other in self.connections if other.feed == one.feed and other.authenticated]
        if not self._door.admits(key, secret):
            one.fail(402)
        elif not self.options.streams(one.feed):
            one.fail(409)
        elif one.refused or len(peers) >= self.options.connections:
            one.fail(406)
        else:
            one.authenticated = True
            self.admitted += 1
            self._sources[one.feed].append(one)
            one.success("authenticated")

    def _after(self, one: "DataConnection", asked: Mapping[str, Any] | None) -> None:
        """Answer a message of a client that is let in."""
        action = None if asked is None else asked.get("action")
        if asked is not None and action in ("subscribe", "unsubscribe"):
            self._change(one, asked, subscribe=action == "subscribe")
        else:
            one.error(403 if action == "auth" else 400)

    def _change(self, one: "DataConnection", asked: Mapping[str, Any], *, subscribe: bool) -> None:
        """Change what a connection wants, all of it or nothing, and answer the whole set."""
        if any(asked.get(name) for name in NOT_HERE):
            one.error(410)
            return
        wanted = one.subscription.copy()
        for channel in Channel:
            symbols = asked.get(channel.value)
            if symbols is None:
                continue
            if not isinstance(symbols, list) or not all(isinstance(symbol, str) for symbol in symbols):
                one.error(400)
                return
            (wanted.add if subscribe else wanted.remove)(channel, symbols)
        limit = self.options.symbol_limit
        named = wanted.symbols()
        if subscribe and limit is not None and (len(named) > limit or EVERY in named):
            one.error(405)
            return
        one.subscription = wanted
        one.control({"T": "subscription"} | {c.value: sorted(wanted.of(c)) for c in Channel})


class DataConnection:
    """One client: its encoding, what it wants, and the frames it has not taken yet."""

    def __init__(self, socket: WebSocket, feed: str, codec: Codec) -> None:
        """Begin with nothing wanted and nothing to send."""
        self.feed = feed
        self.subscription = Subscription()
        self.authenticated = False
        self.over = asyncio.Event()
        self.refused = False  # on: one connection too many, whatever the count says
        self.silent = False  # on: the connection stays open and market data does not go out
        self.idle = asyncio.Event()
        self.idle.set()
        self._socket = socket
        self._codec = codec
        self._frames: deque[bytes] = deque()
        self._waiting = 0
        self._more = asyncio.Event()

    @property
    def ended(self) -> bool:
        """Tell whether the connection is to be closed, or is."""
        return self.over.is_set()

    def hear(self, messages: Sequence[StreamMessage]) -> None:
        """Queue market data, in as few frames as the bound allows."""
        if self.silent or self.ended:
            return
        for first in range(0, len(messages), FRAME_MESSAGES_MAX):
            self._put(self._codec.frame(messages[first : first + FRAME_MESSAGES_MAX]))

    def control(self, body: Json) -> None:
        """Queue a control message."""
        self._put(self._codec.control(body))

    def success(self, word: str) -> None:
        """Say that something went well."""
        self.control({"T": "success", "msg": word})

    def error(self, code: int) -> None:
        """Say what was wrong; the connection goes on."""
        self.control({"T": "error", "code": code, "msg": ERRORS[code]})

    def fail(self, code: int) -> None:
        """Say what was wrong and end the connection; what a slow client has not taken is dropped."""
        if self.ended:
            return
        if code == 407:
            self._frames.clear()
            self._waiting = 0
        self.error(code)
        self.over.set()
        self._more.set()

    def lose(self) -> None:
        """End the connection without a word."""
        self.over.set()
        self._more.set()

    async def receive(self) -> Mapping[str, Any] | None:
        """Give the client's next message; None for one that cannot be read.

        Raises:
            WebSocketDisconnect: the client is gone.
        """
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1005))
        text, data = message.get("text"), message.get("bytes")
        try:
            return self._codec.read(text if text is not None else data or b"")
        except NotAMessage:
            return None

    async def send_all(self) -> None:
        """Send queued frames in order until the connection is ended, then say goodbye."""
        while True:
            while self._frames:
                frame = self._frames.popleft()
                self._waiting -= len(frame)
                if self._codec.is_text:
                    await self._socket.send_text(frame.decode())
                else:
                    await self._socket.send_bytes(frame)
            self.idle.set()
            if self.ended:
                await self.leave(POLICY_VIOLATION)
                return
            await self._more.wait()
            self._more.clear()

    async def leave(self, code: int) -> None:
        """Close the socket, which may be closing already or its peer be gone."""
        try:
            await asyncio.wait_for(self._socket.close(code), CLOSE_WAIT_S)
        except (RuntimeError, TimeoutError, WebSocketDisconnect):
            return  # starlette says RuntimeError when the close was sent before

    def _put(self, frame: bytes) -> None:
        """Queue a frame; past the bound the client is slow."""
        if self.ended:
            return
        if self._waiting + len(frame) > QUEUE_BYTES_MAX:
            self.fail(407)
            return
        self._frames.append(frame)
        self._waiting += len(frame)
        self.idle.clear()
        self._more.set()

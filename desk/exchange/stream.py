"""The user stream over a WebSocket: authenticate, listen, trade_updates (ALPACA.md section 3).

The real service answers in binary frames, so this one does, and reads text and binary alike. Nothing is
replayed: who was not listening missed it. The legs of a bracket are orders of their own and tell their
events one by one. Each connection has a bounded queue; a client too slow for it is disconnected, as the
service does. Where a limit on connections is set, one more is refused with 429 at the upgrade.

What a fault plan does to frames and connections is decided in `faults_stream`; while the stream is silent
it answers nothing either, pings of the protocol aside.
"""

import asyncio
import json
from collections.abc import Mapping

from starlette.responses import Response
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from desk.exchange import wire
from desk.exchange.door import FrontDoor
from desk.exchange.faults_stream import SPOILT_EVENT, SPOILT_STATUS, Cut, Frame, StreamFaults, Twist
from schemas.faults import FaultKind

QUEUE_MAX = 100_000  # frames waiting for one client: a day's worth, since lock-step days arrive in bursts
TRADE_UPDATES = "trade_updates"
SLOW_CLIENT = 1008  # policy violation
GOING_AWAY = 1001
SERVICE_RESTART = 1012
EMPTY = b""


class UserStream:
    """The connections of one account's stream."""

    def __init__(self, door: FrontDoor, filter_: StreamFaults, *, connections_max: int | None = None) -> None:
        """Serve what passes a filter.

        Args:
            door: who knows the keys.
            filter_: where events come from, faults included.
            connections_max: how many the account may have at once; None: any number.
        """
        self._door = door
        self._filter = filter_
        self._connections_max = connections_max
        self._clients: set[_Client] = set()
        self._written: tuple[Frame, bytes] | None = None

    def routes(self) -> list[WebSocketRoute]:
        """Give the two paths clients use."""
        return [WebSocketRoute(path, self._serve) for path in ("/stream", "/stream/")]

    async def close(self) -> None:
        """Disconnect everybody."""
        for client in tuple(self._clients):
            await _close(client.socket, GOING_AWAY)

    def written(self, frame: Frame) -> bytes:
        """Give a frame's bytes, written once however many listen."""
        if self._written is None or self._written[0] is not frame:
            self._written = (frame, _written(frame))
        return self._written[1]

    async def _serve(self, socket: WebSocket) -> None:
        """Serve one connection until it ends."""
        refused = self._refused()
        if refused is not None:
            await socket.send_denial_response(refused)
            return
        await socket.accept()
        client = _Client(self, socket)
        self._clients.add(client)
        sending = asyncio.create_task(client.send_all())
        try:
            await self._converse(client)
        except WebSocketDisconnect:
            return
        finally:
            self._filter.leave(client)
            self._clients.discard(client)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    def _refused(self) -> Response | None:
        """Judge one more connection: None lets it in."""
        fault = self._filter.admits()
        if fault is FaultKind.CONNECTION_406:
            return Response("connection limit exceeded", 406)
        crowded = self._connections_max is not None and len(self._clients) >= self._connections_max
        if crowded or fault is FaultKind.UPGRADE_429:
            return Response("too many connections", 429)
        return None

    async def _converse(self, client: "_Client") -> None:
        """Answer the client's messages; text and binary alike."""
        authorized = False
        while True:
            message = await client.socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            asked = _parse(message.get("text") or message.get("bytes") or b"")
            action = asked.get("action")
            data = asked.get("data")
            data = data if isinstance(data, Mapping) else {}
            if action in ("authenticate", "auth"):
                key = str(data.get("key_id") or asked.get("key") or "")
                secret = str(data.get("secret_key") or asked.get("secret") or "")
                authorized = self._door.admits(key, secret)
                answer = _authorization("authorized" if authorized else "unauthorized", "authenticate")
                if not authorized:
                    self._filter.leave(client)
            elif not authorized:
                answer = _authorization("unauthorized", str(action or ""))
            elif action == "listen":
                answer = self._listen(client, data.get("streams"))
            else:
                continue
            if not self._filter.is_silent:
                client.put(wire.dumps(answer))

    def _listen(self, client: "_Client", named: object) -> wire.Json:
        """Put a client's wish in the place of its last one."""
        streams = [TRADE_UPDATES] if isinstance(named, list) and TRADE_UPDATES in named else []
        if streams:
            self._filter.listen(client)
        else:
            self._filter.leave(client)
        return {"stream": "listening", "data": {"streams": streams}}


class _Client:
    """One connection; it takes frames without waiting and sends them in order."""

    def __init__(self, stream: UserStream, socket: WebSocket) -> None:
        """Wait for frames."""
        self.socket = socket
        self._stream = stream
        self._queue: asyncio.Queue[bytes | int] = asyncio.Queue(QUEUE_MAX)  # an int ends it: the code
        self._ending = False

    def frame(self, frame: Frame) -> None:
        """Take one frame."""
        self.put(self._stream.written(frame))

    def cut(self, cause: Cut) -> None:
        """End the connection after what is queued."""
        self._end(SLOW_CLIENT if cause is Cut.SLOW else SERVICE_RESTART)

    def put(self, body: bytes) -> None:
        """Queue bytes; a client too slow for the queue is ended."""
        if self._ending:
            return
        if self._queue.qsize() < QUEUE_MAX - 1:
            self._queue.put_nowait(body)
        else:
            self._end(SLOW_CLIENT)

    async def send_all(self) -> None:
        """Send queued frames in order until the connection is ended."""
        while not isinstance(item := await self._queue.get(), int):
            await self.socket.send_bytes(item)
        await _close(self.socket, item)

    def _end(self, code: int) -> None:
        """Queue the end, once."""
        if not self._ending:
            self._ending = True
            self._queue.put_nowait(code)


def _written(frame: Frame) -> bytes:
    """Write a frame, its twist included."""
    if frame.twist is Twist.EMPTY:
        return EMPTY
    body = wire.stream_update(frame.told)
    if frame.twist is Twist.EVENT:
        body["data"]["event"] = SPOILT_EVENT
        for key in ("execution_id", "price", "qty", "position_qty", "settle_date"):
            body["data"].pop(key, None)
    elif frame.twist is Twist.STATUS:
        body["data"]["order"]["status"] = SPOILT_STATUS
    return wire.dumps(body)


async def _close(socket: WebSocket, code: int) -> None:
    """Close a connection that may be closing already."""
    try:
        await socket.close(code)
    except RuntimeError:
        return  # starlette says so when the close was sent before


def _parse(frame: str | bytes) -> Mapping[str, object]:
    """Read a client's frame; anything but an object is an empty one."""
    try:
        parsed = json.loads(frame)
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _authorization(status: str, action: str) -> wire.Json:
    """Write the answer about keys."""
    return {"stream": "authorization", "data": {"status": status, "action": action}}

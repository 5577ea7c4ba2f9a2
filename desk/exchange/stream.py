"""The user stream over a WebSocket: authenticate, listen, trade_updates (ALPACA.md section 3).

The real service answers in binary frames, so this one does. Nothing is replayed: who was not listening
missed it. Each connection has a bounded queue; a client too slow for it is disconnected, as the service
does.
"""

import asyncio
import json
from collections.abc import Mapping

from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from desk.exchange import wire
from desk.exchange.door import FrontDoor
from desk.exchange.floor import Floor
from desk.exchange.orders import VenueEvent

QUEUE_MAX = 100_000  # frames waiting for one client: a day's worth, since lock-step days arrive in bursts
TRADE_UPDATES = "trade_updates"
SLOW_CLIENT = 1008  # policy violation


class UserStream:
    """The connections of one account's stream."""

    def __init__(self, floor: Floor, door: FrontDoor) -> None:
        """Listen to the floor."""
        self._door = door
        self._listening: set[asyncio.Queue[bytes | None]] = set()
        self._sockets: set[WebSocket] = set()
        floor.listeners.append(self._tell)

    def routes(self) -> list[WebSocketRoute]:
        """Give the two paths clients use."""
        return [WebSocketRoute(path, self._serve) for path in ("/stream", "/stream/")]

    async def close(self) -> None:
        """Disconnect everybody."""
        for socket in tuple(self._sockets):
            await _close(socket, 1001)

    def _tell(self, event: VenueEvent) -> None:
        """Queue an event for every listener; None in a queue means the client is too slow."""
        if not self._listening:
            return
        frame = wire.dumps(wire.stream_update(event))
        for queue in tuple(self._listening):
            if queue.qsize() < QUEUE_MAX - 1:
                queue.put_nowait(frame)
            else:
                self._listening.discard(queue)
                queue.put_nowait(None)

    async def _serve(self, socket: WebSocket) -> None:
        """Serve one connection until it ends."""
        await socket.accept()
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(QUEUE_MAX)
        self._sockets.add(socket)
        sending = asyncio.create_task(_send(socket, queue))
        try:
            await self._converse(socket, queue)
        except WebSocketDisconnect:
            return
        finally:
            self._listening.discard(queue)
            self._sockets.discard(socket)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _converse(self, socket: WebSocket, queue: asyncio.Queue[bytes | None]) -> None:
        """Answer the client's messages; text and binary alike."""
        authorized = False
        while True:
            message = await socket.receive()
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
            elif not authorized:
                answer = _authorization("unauthorized", str(action or ""))
            elif action == "listen":
                named = data.get("streams")
                streams = [s for s in named if s == TRADE_UPDATES] if isinstance(named, list) else []
                if streams:
                    self._listening.add(queue)
                else:
                    self._listening.discard(queue)
                answer = {"stream": "listening", "data": {"streams": streams}}
            else:
                continue
            queue.put_nowait(wire.dumps(answer))


async def _send(socket: WebSocket, queue: asyncio.Queue[bytes | None]) -> None:
    """Send queued frames in order; end a client that is too slow."""
    while (frame := await queue.get()) is not None:
        await socket.send_bytes(frame)
    await _close(socket, SLOW_CLIENT)


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
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _authorization(status: str, action: str) -> wire.Json:
    """Write the answer about keys."""
    return {"stream": "authorization", "data": {"status": status, "action": action}}

"""A small trade_updates server that behaves as badly as told, over real WebSockets."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.server import ServerConnection, serve

Script = Callable[["Peer"], Awaitable[None]]


@dataclass
class Peer:
    """One accepted connection, with the two polite answers a script may give or not."""

    socket: ServerConnection
    number: int  # of the connection, from 1
    over: asyncio.Event

    async def authorize(self, status: str = "authorized") -> None:
        """Read the login and answer it."""
        await self.socket.recv()
        await self.send({"stream": "authorization", "data": {"status": status, "action": "authenticate"}})

    async def listen(self) -> None:
        """Read a listen and acknowledge it."""
        await self.socket.recv()
        await self.send({"stream": "listening", "data": {"streams": ["trade_updates"]}})

    async def greet(self) -> None:
        """Do both."""
        await self.authorize()
        await self.listen()

    async def send(self, message: Any) -> None:
        """Send one binary frame, as Alpaca does; text goes as it is."""
        await self.socket.send(message if isinstance(message, str | bytes) else json.dumps(message).encode())

    async def stay(self) -> None:
        """Stay connected until the server ends, saying nothing."""
        await self.over.wait()


@dataclass
class RoughStream:
    """The running server: its URL and the number of connections so far."""

    url: str = ""
    accepted: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)


@contextmanager
def rough_stream(script: Script) -> Iterator[RoughStream]:
    """Serve by the script until the block ends."""
    rough = RoughStream()
    ready = threading.Event()
    stop: list[Callable[[], object]] = []

    async def main() -> None:
        over, loop = asyncio.Event(), asyncio.get_running_loop()

        async def handle(socket: ServerConnection) -> None:
            with rough.changed:
                rough.accepted += 1
                number = rough.accepted
                rough.changed.notify_all()
            await script(Peer(socket, number, over))

        async with serve(handle, "127.0.0.1", 0, close_timeout=0.2) as server:
            rough.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/stream"
            stop.append(lambda: loop.call_soon_threadsafe(over.set))
            ready.set()
            await over.wait()

    thread = threading.Thread(target=lambda: asyncio.run(main()), daemon=True)
    thread.start()
    ready.wait(5)
    try:
        yield rough
    finally:
        stop[0]()
        thread.join(5)

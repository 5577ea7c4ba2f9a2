"""Keep-alive connections that ask and ask again: the load of the exchange's bench and of its soak.

One process, one loop, a handful of connections; each sends its next request when it has the answer to the
last. Requests are bytes made beforehand and answers are read only as far as needed, so that what is
measured is the server.
"""

import asyncio
from collections.abc import Callable
from time import perf_counter
from urllib.parse import urlsplit

HEADERS = "APCA-API-KEY-ID: k\r\nAPCA-API-SECRET-KEY: s\r\nContent-Type: application/json\r\nAccept: */*\r\n"

# What to send next, given the status and body of the last answer; None at first. None ends the connection.
Talk = Callable[[int | None, bytes], bytes | None]


def request(verb: str, path: str, host: str, body: str = "", headers: str = HEADERS) -> bytes:
    """Write a request."""
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    return f"{verb} {path} HTTP/1.1\r\nHost: {host}\r\n{headers}{length}\r\n{body}".encode()


class _Connection(asyncio.Protocol):
    """One connection."""

    def __init__(self, talk: Talk, taken: list[float], ended: asyncio.Future[None]) -> None:
        self._talk, self._taken, self._ended = talk, taken, ended
        self._heard = b""
        self._sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send(self._talk(None, b""))

    def data_received(self, data: bytes) -> None:
        self._heard += data
        head, found, body = self._heard.partition(b"\r\n\r\n")
        if not found or len(body) < _length(head):
            return
        self._heard = b""
        self._taken.append(perf_counter() - self._sent_at)
        try:
            self._send(self._talk(int(head[9:12]), body))
        except ValueError as error:
            self._end(error)

    def connection_lost(self, error: Exception | None) -> None:
        self._end(error)

    def _send(self, asked: bytes | None) -> None:
        if asked is None:
            self._transport.close()
            return
        self._sent_at = perf_counter()
        self._transport.write(asked)

    def _end(self, error: Exception | None) -> None:
        if self._ended.done():
            return
        if error is None:
            self._ended.set_result(None)
        else:
            self._ended.set_exception(error)


def _length(head: bytes) -> int:
    """Read an answer's length; an empty one has none."""
    lowered = head.lower()
    if b"content-length:" not in lowered:
        return 0
    return int(lowered.partition(b"content-length:")[2].split(b"\r\n")[0])


async def drive(url: str, talks: list[Talk], *, seconds: float | None = None) -> list[float]:
    """Hold one connection a talk, until all have ended or the time is over; give how long answers took, s."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    loop = asyncio.get_running_loop()
    taken: list[float] = []
    ends: list[asyncio.Future[None]] = []
    for talk in talks:
        ended: asyncio.Future[None] = loop.create_future()
        ends.append(ended)
        make = _maker(talk, taken, ended)
        await loop.create_connection(make, parts.hostname, parts.port)
    done, _ = await asyncio.wait(ends, timeout=seconds, return_when=asyncio.ALL_COMPLETED)
    for ended in done:
        ended.result()
    return taken


def _maker(talk: Talk, taken: list[float], ended: asyncio.Future[None]) -> Callable[[], _Connection]:
    return lambda: _Connection(talk, taken, ended)

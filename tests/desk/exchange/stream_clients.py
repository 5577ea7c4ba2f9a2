"""Clients of the stock data stream: a plain one, and alpaca-py's in a thread."""

import asyncio
import json
import threading
from datetime import datetime
from typing import Any

import httpx
from alpaca.data.live.stock import StockDataStream
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from desk.exchange.server import ExchangeServer

PATIENCE_S = 10.0
AUTH = {"action": "auth", "key": "k", "secret": "s"}
CONNECTED = {"T": "success", "msg": "connected"}
AUTHENTICATED = {"T": "success", "msg": "authenticated"}
NOTHING: dict[str, Any] = {
    "T": "subscription", "trades": [], "quotes": [], "bars": [], "updatedBars": [], "dailyBars": [],
    "statuses": [], "lulds": [], "corrections": [], "cancelErrors": [],
}  # fmt: skip


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


def gone_or_retry(server: ExchangeServer) -> None:
    """The place of a client that left is free at once."""
    for _ in range(100):
        with connect(url_of(server)) as socket:
            client = Plain(socket)
            client.read()
            if client.ask(**AUTH) == [AUTHENTICATED]:
                return
    raise AssertionError("the place stays taken")

"""Order requests a second at the simulated exchange, beside a bare server in the same run.

The load is a process of its own with keep-alive connections, each doing what a client does: post a limit
order that rests, read its id, cancel it. The venue is `desk exchange`'s server in a second process, over a
generated market in the middle of its session. The bare server is starlette on the same uvicorn with one
route that answers a constant body of an order's size: what is left between the two is the venue's own work.
Goal: 2,000 order requests a second on two cores, so less than 500 microseconds each.
"""

import asyncio
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from time import perf_counter
from urllib.parse import urlsplit

from desk.exchange.floor import Floor
from desk.exchange.generated import GeneratedMarket
from desk.exchange.server import ExchangeUrls, ServerOptions, listen, serve, serve_app, urls_of
from desk.hours import session_hours

SESSION = date(2024, 8, 27)
CONNECTIONS = 8  # a desk, a few tools and a stream of each: more only queue
WARM_UP_S = 1.0
MEASURE_S = 6.0
GOAL_US = 500.0
ORDER = {
    "symbol": "SPY",
    "qty": "1",
    "side": "buy",
    "type": "limit",
    "time_in_force": "day",
    "limit_price": "90",
}
HEADERS = "APCA-API-KEY-ID: k\r\nAPCA-API-SECRET-KEY: s\r\nContent-Type: application/json\r\nAccept: */*\r\n"


def run() -> list[dict[str, object]]:
    """Measure and give one row per figure."""
    rates = {}
    for kind in ("bare", "venue"):
        with _server(kind) as url:
            rates[kind] = _load(url)
    name = f"{CONNECTIONS} connections"
    return [
        _row(f"order requests, {name}", rates["venue"][0], "1/s"),
        _row(f"requests at a bare server, {name}", rates["bare"][0], "1/s"),
        _row("bare server over venue", rates["bare"][0] / rates["venue"][0], "times"),
        _row("an order request, mean", 1e6 / rates["venue"][0], "us", goal=GOAL_US),
        _row("an order request seen by its client, p99", rates["venue"][1], "us"),
    ]


@contextmanager
def _server(kind: str) -> Iterator[str]:
    """Run a server in a process of its own; give its address."""
    command = [sys.executable, "-W", "ignore", "-m", "bench.exchange", "serve", kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().strip()
        finally:
            server.terminate()
            server.wait()


def _load(url: str) -> tuple[float, float]:
    """Run the load in a process of its own; give requests a second, and the 99th percentile in us."""
    command = [sys.executable, "-W", "ignore", "-m", "bench.exchange", "load", url]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    found = json.loads(done.stdout)
    return float(found["rate"]), float(found["p99_us"])


class _Client(asyncio.Protocol):
    """One keep-alive connection: an order, its cancel, and again."""

    def __init__(self, host: str, taken: list[float], ended: asyncio.Future[None]) -> None:
        self._host, self._taken, self._ended = host, taken, ended
        self._heard = b""
        self._sent_at = 0.0
        body = json.dumps(ORDER)
        self._post = (
            f"POST /v2/orders HTTP/1.1\r\nHost: {host}\r\n{HEADERS}Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send(self._post)

    def data_received(self, data: bytes) -> None:
        self._heard += data
        head, found, body = self._heard.partition(b"\r\n\r\n")
        if not found or len(body) < _length(head):
            return
        self._heard = b""
        self._taken.append(perf_counter() - self._sent_at)
        status = head[9:12]
        if status == b"200":
            order_id = body.partition(b'"id":"')[2][:36].decode()
            request = f"DELETE /v2/orders/{order_id} HTTP/1.1\r\nHost: {self._host}\r\n{HEADERS}\r\n"
            self._send(request.encode())
        elif status == b"204":
            self._send(self._post)
        else:
            self._ended.set_exception(RuntimeError(f"unexpected answer: {head!r} {body!r}"))

    def connection_lost(self, error: Exception | None) -> None:
        if not self._ended.done():
            self._ended.set_exception(RuntimeError(f"the connection was lost: {error}"))

    def _send(self, request: bytes) -> None:
        self._sent_at = perf_counter()
        self._transport.write(request)


def _length(head: bytes) -> int:
    """Read an answer's length; an empty one has none."""
    lowered = head.lower()
    if b"content-length:" not in lowered:
        return 0
    return int(lowered.partition(b"content-length:")[2].split(b"\r\n")[0])


async def _drive(url: str) -> dict[str, float]:
    """Load a server for a while."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    host, port = parts.hostname, parts.port
    taken: list[float] = []
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    for _ in range(CONNECTIONS):
        await asyncio.get_running_loop().create_connection(
            lambda: _Client(parts.netloc, taken, ended), host, port
        )
    await asyncio.wait({ended}, timeout=WARM_UP_S)
    taken.clear()
    began = perf_counter()
    await asyncio.wait({ended}, timeout=MEASURE_S)
    lasted = perf_counter() - began
    if ended.done():
        ended.result()
    return {"rate": len(taken) / lasted, "p99_us": statistics.quantiles(taken, n=100)[98] * 1e6}


def _serve(kind: str) -> None:
    """Serve the venue or the bare server until told to end."""

    def ready(urls: ExchangeUrls) -> None:
        sys.stdout.write(f"{urls.url}\n")
        sys.stdout.flush()

    if kind == "bare":
        from starlette.applications import Starlette
        from starlette.requests import Request
        from starlette.responses import Response
        from starlette.routing import Route

        constant = json.dumps({"id": "0" * 36, **{f"field_{place}": "a value" for place in range(40)}})

        async def answer(request: Request) -> Response:
            if request.method == "DELETE":
                return Response(status_code=204)
            await request.body()
            return Response(constant.replace(" ", ""), media_type="application/json")

        routes = [
            Route("/v2/orders", answer, methods=["POST"]),
            Route("/v2/orders/{order_id}", answer, methods=["DELETE"]),
        ]
        bound = listen("127.0.0.1", 0)
        serve_app(Starlette(routes=routes), bound, on_ready=lambda: ready(urls_of(bound)))
        return
    floor = Floor(GeneratedMarket(1), session_date=SESSION)
    hours = session_hours(SESSION)
    assert hours is not None
    floor.advance(hours.opens_at + (hours.closes_at - hours.opens_at) / 2)
    serve(floor, ServerOptions(), on_ready=ready)


def _row(name: str, value: float, unit: str, *, goal: float | None = None) -> dict[str, object]:
    return {"name": name, "value": round(value, 3), "unit": unit, "goal": goal}


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        _serve(sys.argv[2])
    else:
        sys.stdout.write(json.dumps(asyncio.run(_drive(sys.argv[2]))))

"""Order requests a second at the simulated exchange, beside a bare server in the same run.

The load is a process of its own with keep-alive connections, each doing what a client does: post a limit
order that rests, read its id, cancel it. The venue is `desk exchange`'s server in a second process, over a
generated market in the middle of its session. The bare server is starlette on the same uvicorn with one
route that answers a constant body of an order's size: what is left between the two is the venue's own work.
Goal: 2,000 order requests a second on two cores, so less than 500 microseconds each.
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from pathlib import Path
from time import perf_counter

from bench.keepalive import Talk, drive, request
from desk.exchange.floor import Floor
from desk.exchange.generated import GeneratedMarket
from desk.exchange.orders import OrderRequest
from desk.exchange.server import ExchangeUrls, ServerOptions, listen, serve, serve_app, urls_of
from desk.hours import session_hours

SESSION = date(2024, 8, 27)
CONNECTIONS = 8  # a desk, a few tools and a stream of each: more only queue
WARM_UP_S = 1.0
MEASURE_S = 6.0
GOAL_US = 500.0
RESTING = 500  # open orders of the same symbol: each new one is judged beside all of them
ORDER = {
    "symbol": "SPY",
    "qty": "1",
    "side": "buy",
    "type": "limit",
    "time_in_force": "day",
    "limit_price": "90",
}


def run() -> list[dict[str, object]]:
    """Measure and give one row per figure."""
    rates = {}
    for kind in ("bare", "venue"):
        with server(kind) as (url, pid):
            rates[kind] = _load(url, pid)
    with server("busy") as (url, pid), _listener(url):
        rates["busy"] = _load(url, pid)
    name = f"{CONNECTIONS} connections"
    return [
        _row(f"order requests, {name}", rates["venue"][0], "1/s"),
        _row(f"requests at a bare server, {name}", rates["bare"][0], "1/s"),
        _row(f"the same, {RESTING} orders resting, a user stream heard", rates["busy"][0], "1/s"),
        _row("bare server over venue", rates["bare"][0] / rates["venue"][0], "times"),
        _row("an order request, mean", 1e6 / rates["venue"][0], "us", goal=GOAL_US),
        _row("processor time of an order request", rates["venue"][2], "us", goal=GOAL_US),
        _row("processor time of a bare request", rates["bare"][2], "us"),
        _row("an order request seen by its client, p99", rates["venue"][1], "us"),
    ]


@contextmanager
def server(kind: str) -> Iterator[tuple[str, int]]:
    """Run a server in a process of its own; give its address and the process."""
    command = [sys.executable, "-W", "ignore", "-m", "bench.exchange", "serve", kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as serving:
        try:
            assert serving.stdout is not None
            yield serving.stdout.readline().strip(), serving.pid
        finally:
            serving.terminate()
            serving.wait()


@contextmanager
def _listener(url: str) -> Iterator[None]:
    """Hear the user stream from a process of its own, as a desk does."""
    command = [sys.executable, "-W", "ignore", "-m", "bench.exchange", "listen", url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as listener:
        try:
            assert listener.stdout is not None
            assert listener.stdout.readline() == "listening\n"
            yield
        finally:
            listener.terminate()
            listener.wait()


def _load(url: str, pid: int) -> tuple[float, float, float]:
    """Load a server from a process of its own.

    Returns:
        Requests a second; their 99th percentile, us; processor time the server took for each, us, which
        stays the same on a machine that is busy with other things.
    """
    command = [sys.executable, "-W", "ignore", "-m", "bench.exchange", "load", url]
    before = _processor_s(pid)
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    spent = _processor_s(pid) - before
    found = json.loads(done.stdout)
    return float(found["rate"]), float(found["p99_us"]), spent / found["answers"] * 1e6


def _processor_s(pid: int) -> float:
    """Read the processor time a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def order_talk(host: str) -> Talk:
    """Give what one connection says: an order, its cancel, and again."""
    post = request("POST", "/v2/orders", host, json.dumps(ORDER))

    def say(status: int | None, body: bytes) -> bytes:
        if status is None or status == 204:
            return post
        if status != 200:
            raise ValueError(f"unexpected answer: {status} {body!r}")
        order_id = body.partition(b'"id":"')[2][:36].decode()
        return request("DELETE", f"/v2/orders/{order_id}", host)

    return say


def _drive(url: str) -> dict[str, float]:
    """Load a server for a while."""
    host = url.removeprefix("http://")
    talks = [order_talk(host) for _ in range(CONNECTIONS)]
    warm = asyncio.run(drive(url, talks, seconds=WARM_UP_S))
    began = perf_counter()
    taken = asyncio.run(drive(url, [order_talk(host) for _ in range(CONNECTIONS)], seconds=MEASURE_S))
    lasted = perf_counter() - began
    return {
        "rate": len(taken) / lasted,
        "p99_us": statistics.quantiles(taken, n=100)[98] * 1e6,
        "answers": len(warm) + len(taken),
    }


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
    for _ in range(RESTING if kind == "busy" else 0):
        floor.submit(OrderRequest("SPY", "buy", "limit", "day", qty=Decimal(1), limit_price=Decimal(80)))
    serve(floor, ServerOptions(), on_ready=ready)


def _listen(url: str) -> None:
    """Hear the user stream and drop what is heard, until told to end."""
    from websockets.sync.client import connect

    with connect(f"{url.replace('http', 'ws')}/stream", compression=None, ping_interval=None) as stream:
        stream.send(json.dumps({"action": "auth", "key": "k", "secret": "s"}))
        stream.recv()
        stream.send(json.dumps({"action": "listen", "data": {"streams": ["trade_updates"]}}))
        stream.recv()
        sys.stdout.write("listening\n")
        sys.stdout.flush()
        for _ in stream:
            continue


def _row(name: str, value: float, unit: str, *, goal: float | None = None) -> dict[str, object]:
    return {"name": name, "value": round(value, 3), "unit": unit, "goal": goal}


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        _serve(sys.argv[2])
    elif sys.argv[1] == "listen":
        _listen(sys.argv[2])
    else:
        sys.stdout.write(json.dumps(_drive(sys.argv[2])))

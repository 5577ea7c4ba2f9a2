"""Bar to wire: from the exchange publishing a minute's bars to the exchange receiving the order they caused.

Both ends are stamped by the exchange's process at its sockets, with one clock: when the first frame with a
minute's bars is handed to a WebSocket, and when the first byte of a POST of an order arrives. The minute of
an order stands in its client order id. An accelerated hour of a generated market is traded by the real
session: Prefect server, flow and tasks, the ledger's synced writes, alpaca-py. In the same run a bare
alpaca-py script hears the same bars and posts one market order a minute when the last symbol has arrived: no
ledger, no gate, no Prefect. The distance between the two is what the desk costs.

Goals: p99 below 50 ms at 100 symbols, below 250 ms at 500, over the minutes in which every symbol printed.
Minutes in which a symbol did not print are rows of their own, without a goal: they are decided at a deadline
(desk/watermark.py) and after asking the history, so their time is a setting and not a speed. The generated
market leaves out one bar in 200, so at 100 symbols about half the minutes are of that kind, and at 500 nearly
all: there the goal is held against what few whole minutes the hour has, if any.

`PACE` is how many times faster than life the exchange runs. What a minute costs the Prefect server, the
exchange and the session's own work after its orders (warehouse, fills, valuation) comes so many times more
often than in life, on the same two cores: at 60 a minute lasts one second, and a minute's tail reaches into
the next minute's bars on a busy machine. At 20 it lasts three.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from time import perf_counter
from typing import Any
from urllib.request import urlopen

import msgpack
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cli.platform import Platform, PlatformPlace
from cli.processes import Child
from cli.rehearsal import Stage, write_run_folder
from desk.hours import session_hours
from soak.stage import STRATEGY, configure, session_process

DAY = date(2025, 11, 26)
PACE = 20.0  # see the module text
MINUTES = 60
LEAD = timedelta(minutes=5)  # the programs start up before the bell: 15 s of ours
SYMBOLS = {10: None, 100: 50.0, 500: 250.0}  # how many, and the goal in ms
SEED = 3
BAR_MARK = b"\xa1T\xa1b"  # msgpack of {"T": "b"}'s inside: a frame with minute bars
NAMES = tuple(f"{a}{b}{c}" for a in "ABCDEFGH" for b in "ABCDEFGH" for c in "ABCDEFGH")
STAMPS = "/bench/stamps"


@dataclass(frozen=True)
class Taken:
    """Sorted milliseconds from bars to order, one an order."""

    whole: list[float]  # of minutes in which every symbol printed
    lacking: list[float]  # of minutes in which a symbol did not


def run() -> list[dict[str, object]]:
    """Measure and give the rows of each size and program."""
    rows: list[dict[str, object]] = []
    for count, goal in SYMBOLS.items():
        desk, bare = (measure(program, count) for program in ("desk", "bare"))
        rows += _rows("desk", count, desk, goal) + _rows("bare alpaca-py script", count, bare, None)
        if desk.whole and bare.whole:
            times = _at(desk.whole, 50) / _at(bare.whole, 50)
            rows.append({**_row(f"desk over bare, {count} symbols, p50", times), "unit": "times"})
    return rows


def _rows(name: str, count: int, taken: Taken, goal: float | None) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for minutes, found, limit in (("", taken.whole, goal), (", a bar missing", taken.lacking, None)):
        title = f"{name}, {count} symbols{minutes}, {len(found)} orders"
        if found:
            rows += [_row(f"{title}, p50", _at(found, 50)), _row(f"{title}, p99", _at(found, 99), limit)]
    return rows


def measure(program: str, count: int, *, pace: float = PACE) -> Taken:
    """Time one program ("desk" or "bare") over the hour."""
    with ExitStack() as stack:
        platform = stack.enter_context(_platform()) if program == "desk" else None
        url = stack.enter_context(_exchange(count, pace))
        stack.enter_context(_script(url, count) if platform is None else _session(platform, url, count))
        time.sleep((_lead(pace) + timedelta(minutes=MINUTES)).total_seconds() / pace)
        stamps = _get(url + STAMPS)
    published = {minute: (at, symbols) for minute, at, symbols in stamps["published"]}
    taken = Taken(whole=[], lacking=[])
    for name, received in stamps["received"]:
        _, minute, purpose = name.rsplit("-", 2)
        if purpose.startswith(("n", "x0")) and minute in published:
            at, symbols = published[minute]
            (taken.whole if symbols == count else taken.lacking).append((received - at) * 1000)
    if not taken.whole and not taken.lacking:
        raise RuntimeError(f"{program} sent no order for {count} symbols")
    return Taken(whole=sorted(taken.whole), lacking=sorted(taken.lacking))


def _lead(pace: float) -> timedelta:
    return LEAD * (pace / PACE)


class Stamped:
    """An ASGI application that stamps what leaves and what arrives."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap the exchange's application."""
        self.app = app
        self.published: dict[str, float] = {}  # "HHMM" of the bars, UTC
        self.symbols: dict[str, set[str]] = {}  # who printed in it
        self.received: list[tuple[str, float]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the stamps, or stamp and pass on."""
        if scope.get("path") == STAMPS:
            published = [(minute, at, len(self.symbols[minute])) for minute, at in self.published.items()]
            body = {"published": published, "received": self.received}
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": json.dumps(body).encode()})
        elif scope["type"] == "websocket" and scope["path"].startswith("/v2/"):
            await self.app(scope, receive, self._hearing(send))
        elif scope["type"] == "http" and scope["method"] == "POST" and scope["path"] == "/v2/orders":
            await self.app(scope, self._reading(receive, perf_counter()), send)
        else:
            await self.app(scope, receive, send)

    def _hearing(self, send: Send) -> Send:
        async def stamped(message: Message) -> None:
            data = message.get("bytes") or b""
            if message["type"] == "websocket.send" and BAR_MARK in data:
                at = perf_counter()
                for one in msgpack.unpackb(data, timestamp=3):
                    if one["T"] == "b":
                        self.published.setdefault(f"{one['t']:%H%M}", at)
                        self.symbols.setdefault(f"{one['t']:%H%M}", set()).add(one["S"])
            await send(message)

        return stamped

    def _reading(self, receive: Receive, at: float) -> Receive:
        parts: list[bytes] = []

        async def read() -> Message:
            message = await receive()
            parts.append(message.get("body", b""))
            if message["type"] == "http.request" and not message.get("more_body", False):
                body: dict[str, Any] = json.loads(b"".join(parts) or b"{}")
                self.received.append((str(body.get("client_order_id", "")), at))
            return message

        return read


def serve(count: int, pace: float) -> None:
    """Serve a stamped exchange in this process and print its address."""
    from desk.exchange.floor import Floor
    from desk.exchange.generated import GeneratedMarket
    from desk.exchange.server import ServerOptions, build_app, listen, serve_app, urls_of

    hours = session_hours(DAY)
    assert hours is not None, "a trading day"
    market = GeneratedMarket(SEED, NAMES[:count])
    floor = Floor(market, session_date=DAY, starts_at=hours.opens_at - _lead(pace), seed=SEED)
    options = ServerOptions(pace=pace)
    bound = listen(options.host, options.port)
    app = Stamped(build_app(floor, options))
    serve_app(app, bound, on_ready=lambda: print(urls_of(bound).url, flush=True))


def bare(url: str, count: int) -> None:
    """Hear the bars and post one order a minute when the last symbol has arrived, as plainly as can be."""
    from alpaca.data.enums import DataFeed
    from alpaca.data.live import StockDataStream
    from alpaca.data.models import Bar
    from alpaca.trading.client import TradingClient
    from alpaca.trading.enums import OrderSide, TimeInForce
    from alpaca.trading.requests import MarketOrderRequest

    client = TradingClient("k", "s", url_override=url)
    stream = StockDataStream("k", "s", feed=DataFeed.SIP, url_override=f"ws{url[4:]}/v2/sip")
    heard: dict[str, set[str]] = {}

    async def on_bar(bar: Bar) -> None:
        minute = f"{bar.timestamp:%H%M}"
        symbols = heard.setdefault(minute, set())
        symbols.add(bar.symbol)
        # A missing minute is normal, so the last symbol is waited for only as long as most have come.
        if len(symbols) == int(count * 0.95):
            order = MarketOrderRequest(
                symbol=bar.symbol,
                qty=1,
                side=OrderSide.BUY,
                time_in_force=TimeInForce.DAY,
                client_order_id=f"bare-{minute}-n0",
            )
            client.submit_order(order)

    stream.subscribe_bars(on_bar, *NAMES[:count])  # type: ignore[arg-type]
    stream.run()


@contextmanager
def _exchange(count: int, pace: float) -> Iterator[str]:
    with _child("serve", str(count), str(pace), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()


@contextmanager
def _script(url: str, count: int) -> Iterator[None]:
    with _child("bare", url, str(count), stdout=subprocess.DEVNULL):
        yield


@contextmanager
def _child(*arguments: str, stdout: int) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "bench.wire", *arguments],
        stdout=stdout,
        text=True,
        env={**os.environ, "NO_PROXY": "127.0.0.1"},
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def _platform() -> Iterator[Platform]:
    """Run a Prefect server of its own, and give where the desk may live."""
    with tempfile.TemporaryDirectory(prefix="desk-wire-") as scratch:
        folder = Path(scratch)
        place = PlatformPlace(
            home=folder / "prefect", logs=folder / "logs", config=folder / "desk" / "desk.yaml"
        )
        place.config.parent.mkdir()
        with Platform(place) as platform:
            platform.start_server()
            yield platform


def _session(platform: Platform, url: str, count: int) -> Child:
    """Start the real session flow against the exchange."""
    stage = Stage(None, DAY, NAMES[:count], (str(STRATEGY["name"]),), SEED)
    folder = platform.config.parent
    config = write_run_folder(folder, stage, exchange_url=url, stream_url=f"ws{url[4:]}/stream")
    configure(config, fast=10, slow=30)
    return session_process(platform, config, DAY)


def _get(url: str) -> Any:
    with urlopen(url, timeout=10) as answer:
        return json.load(answer)


def _at(ordered: list[float], percentile: int) -> float:
    return ordered[min(len(ordered) * percentile // 100, len(ordered) - 1)]


def _row(name: str, value: float, goal: float | None = None) -> dict[str, object]:
    return {"name": name, "value": round(value, 2), "unit": "ms", "goal": goal}


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(int(sys.argv[2]), float(sys.argv[3]))
    else:
        bare(sys.argv[2], int(sys.argv[3]))

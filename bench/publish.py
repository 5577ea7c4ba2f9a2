"""How long a minute of bars takes from the venue's clock to a client that has read it.

500 symbols, one msgpack client on a socket of this process, lock step: the clock starts when the minute's
advance is sent and stops when the client has unpacked the frame. Beside it, what of that is the advance's own
request without anybody listening, and the same in process. Run by `python -m bench publish`; the goal is
issue 3's budget for the exchange: under 10 ms for the 99th percentile.
"""

from collections.abc import Callable
from datetime import date, timedelta
from time import perf_counter

import httpx
import msgpack
from websockets.sync.client import connect
from websockets.sync.connection import Connection

from desk.exchange.floor import Floor
from desk.exchange.generated import GeneratedMarket
from desk.exchange.server import ExchangeServer
from desk.exchange.venue import Venue
from schemas.market_stream import Channel

SYMBOLS = tuple(f"S{number:03d}" for number in range(500))
DAY = date(2025, 11, 26)
MINUTES = 200  # the 99th percentile then stands on two samples above it
SEED = 1
GOAL_MS = 10.0
MINUTE = timedelta(minutes=1)
PUBLISHED = timedelta(seconds=1)  # a bar goes out 1 s after its minute


def run() -> list[dict[str, object]]:
    """Measure and give one row per figure: name, value, unit, goal."""
    quiet, _ = _over_http(listening=False)
    heard, bars = _over_http(listening=True)
    inside = _in_process()
    what = f"{len(SYMBOLS)} symbols, {bars} bars"
    return [
        _row("advance, nobody listens, p50", quiet, 50),
        _row(f"advance to msgpack client, {what}, p50", heard, 50),
        _row(f"advance to msgpack client, {what}, p99", heard, 99, goal=GOAL_MS),
        _row("advance to reader in process, p50", inside, 50),
        _row("advance to reader in process, p99", inside, 99),
    ]


def _over_http(*, listening: bool) -> tuple[list[float], int]:
    """Time the minutes of a served day; give them and how many bars were heard."""
    floor = Floor(GeneratedMarket(SEED, SYMBOLS), session_date=DAY)
    floor.advance(floor.hours.opens_at)
    opens_at = floor.hours.opens_at
    heard = 0
    with (
        ExchangeServer(floor) as server,
        httpx.Client() as client,
        connect(
            server.url.replace("http", "ws") + "/v2/sip",
            additional_headers={"Content-Type": "application/msgpack"},
        ) as socket,
    ):
        if listening:
            _subscribe(socket)

        def minute(number: int) -> None:
            nonlocal heard
            to = opens_at + number * MINUTE + PUBLISHED
            client.post(f"{server.control_url}/advance", json={"to": to.isoformat()}).raise_for_status()
            if listening:
                frame = socket.recv()
                assert isinstance(frame, bytes)
                heard += len(msgpack.unpackb(frame))

        return _timed(minute), heard


def _subscribe(socket: Connection) -> None:
    """Authenticate and ask for every bar."""
    for message in ({"action": "auth", "key": "k", "secret": "s"}, {"action": "subscribe", "bars": ["*"]}):
        socket.recv()
        socket.send(msgpack.packb(message))
    socket.recv()


def _in_process() -> list[float]:
    """Time the minutes of a day heard in process."""
    venue = Venue(GeneratedMarket(SEED, SYMBOLS), session_date=DAY)
    stream = venue.market_stream()
    stream.start({Channel.BARS: ["*"]})
    opens_at = venue.floor.hours.opens_at
    venue.sleep_until(opens_at)

    def minute(number: int) -> None:
        venue.sleep_until(opens_at + number * MINUTE + PUBLISHED)
        assert len(stream.drain()) > 0

    return _timed(minute)


def _timed(minute: Callable[[int], None]) -> list[float]:
    """Time minutes 1 to MINUTES, sorted, in ms."""
    spent: list[float] = []
    for number in range(1, MINUTES + 1):
        start = perf_counter()
        minute(number)
        spent.append((perf_counter() - start) * 1000)
    return sorted(spent)


def _row(name: str, spent: list[float], percentile: int, goal: float | None = None) -> dict[str, object]:
    value = spent[len(spent) * percentile // 100]
    return {"name": name, "value": round(value, 3), "unit": "ms", "goal": goal}

"""The exchange for a long time: what it holds after a hundred thousand requests more, and then again.

`python -m soak exchange --steps 3`. A server process of its own is asked over keep-alive connections that
are opened anew every 250 requests. First only what leaves nothing: reads of every kind, refused orders,
unknown paths, wrong keys, bodies that are no JSON. Then orders and their cancels, which an account keeps for
ever. Memory is read from /proc after each step; the first step of each kind warms up. A step that leaves
nothing must leave nothing, and an order must weigh what an order weighs.
"""

import asyncio
import json
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.exchange import ORDER, order_talk, server
from bench.keepalive import HEADERS, Talk, drive, request
from soak.endurance import PAGE_KIB

STEP = 100_000  # requests between two looks
CONNECTIONS = 8
LIFE = 250  # requests of one connection before another takes its place
READ_KIB_MAX = (
    2_048  # growth of a step that leaves nothing: what an allocator takes and gives, 20 bytes a request
)
ORDER_KIB_MAX = 6.0  # one order with its instants, ids, statuses and places in the indexes

# What leaves nothing, in the order it is asked.
ASKED = (
    ("GET", "/v2/account", "", HEADERS),
    ("GET", "/v2/clock", "", HEADERS),
    ("GET", "/v2/orders?status=all&limit=5", "", HEADERS),
    ("GET", "/v2/positions", "", HEADERS),
    ("GET", "/v2/account/activities", "", HEADERS),
    ("GET", "/v2/account/portfolio/history?period=1D&timeframe=1H", "", HEADERS),
    ("GET", "/v2/assets/SPY", "", HEADERS),
    ("GET", "/v2/stocks/bars/latest?symbols=SPY,QQQ", "", HEADERS),
    ("GET", "/v2/calendar?start=2024-08-01&end=2024-08-31", "", HEADERS),
    ("PATCH", "/v2/account/configurations", '{"trade_confirm_email":"none"}', HEADERS),
    ("POST", "/v2/orders", json.dumps({**ORDER, "qty": "1000000"}), HEADERS),
    ("POST", "/v2/orders", "{", HEADERS),
    ("GET", "/v2/nowhere", "", HEADERS),
    ("PUT", "/v2/orders", "", HEADERS),
    ("GET", "/v2/account", "", "APCA-API-KEY-ID: k\r\n"),
)


@dataclass(frozen=True, slots=True)
class Step:
    """One step: what was asked, and what the server held after it."""

    kind: str
    requests: int
    memory_kib: int
    grown_kib: int


def run(*, steps: int, console: Console, size: int = STEP) -> tuple[Step, ...]:
    """Soak a server; give the steps in their order."""
    done: list[Step] = []
    with server("venue") as (url, pid):
        held = _resident_kib(pid)
        for kind in ("leaves nothing", "orders"):
            for _ in range(steps):
                count = asyncio.run(_ask(url, kind, size))
                before, held = held, _resident_kib(pid)
                done.append(Step(kind, count, held, held - before))
                console.print(f"{kind}: {count:,} requests, {held / 1024:,.1f} MiB held")
    return tuple(done)


def wrong(steps: tuple[Step, ...]) -> list[str]:
    """Tell what grew that must not; the first step of a kind warms up."""
    found: list[str] = []
    for place, step in enumerate(steps):
        if place == 0 or steps[place - 1].kind != step.kind:
            continue
        if step.kind == "orders":
            each = step.grown_kib / (step.requests / 2)  # an order is posted and canceled
            if each > ORDER_KIB_MAX:
                found.append(f"an order left {each:.2f} KiB, at most {ORDER_KIB_MAX:g} expected")
        elif step.grown_kib > READ_KIB_MAX:
            found.append(
                f"{step.requests:,} requests left {step.grown_kib} KiB, at most {READ_KIB_MAX} expected"
            )
    return found


def show(steps: tuple[Step, ...], console: Console) -> None:
    """Print the steps and what was wrong."""
    table = Table("asked", title="The exchange's memory", title_justify="left")
    for column in ("requests", "held, MiB", "grown, KiB", "a request, bytes"):
        table.add_column(column, justify="right")
    for step in steps:
        each = step.grown_kib * 1024 / step.requests
        table.add_row(
            step.kind,
            f"{step.requests:,}",
            f"{step.memory_kib / 1024:,.1f}",
            f"{step.grown_kib:,}",
            f"{each:,.0f}",
        )
    console.print(table)
    for line in wrong(steps):
        console.print(f"[red]{line}[/]")


async def _ask(url: str, kind: str, size: int) -> int:
    """Ask a step's requests; give how many were answered."""
    host = url.removeprefix("http://")
    count = 0
    while count < size:
        talks = [
            _limited(order_talk(host) if kind == "orders" else _reading(host, place))
            for place in range(CONNECTIONS)
        ]
        count += len(await drive(url, talks))
    return count


def _reading(host: str, first: int) -> Talk:
    """Give what a connection says that leaves nothing."""
    made = [request(verb, path, host, body, headers) for verb, path, body, headers in ASKED]
    turns = cycle([*made[first:], *made[:first]])

    def say(status: int | None, body: bytes) -> bytes:
        if status is not None and status >= 500:
            raise ValueError(f"unexpected answer: {status} {body!r}")
        return next(turns)

    return say


def _limited(talk: Talk) -> Talk:
    """End a talk after its life."""
    said = 0

    def say(status: int | None, body: bytes) -> bytes | None:
        nonlocal said
        said += 1
        return talk(status, body) if said <= LIFE else None

    return say


def _resident_kib(pid: int) -> int:
    """Read what a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * PAGE_KIB

"""Two real processes and one account: exactly one sends, and the other says why it stopped (I12)."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from data.lease import LEASE_TTL
from desk.exchange.floor import Floor
from desk.exchange.server import ExchangeServer
from tests.contracts.venue import DAY, OPEN, flat_market
from tests.house import CHECKOUT
from tests.tasks.sender import HELD, LOST

PATIENCE_S = 60.0
PAST_LEASE_S = 2 * LEASE_TTL.total_seconds()


@dataclass(frozen=True)
class Exchange:
    """A venue over HTTP, and its own books."""

    url: str
    floor: Floor


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    """Serve a venue whose session is open."""
    floor = Floor(flat_market(), session_date=DAY)
    floor.advance(OPEN)
    with ExchangeServer(floor) as server:
        yield Exchange(server.url, floor)


@contextmanager
def sender(
    folder: Path, server: Exchange, name: str, *, ahead_s: float = 0.0, pause: bool = False
) -> Iterator[subprocess.Popen[str]]:
    """Start a process of its own that takes the account and sends; stop it at the end."""
    ledger = folder / "ledger.sqlite"
    command = [sys.executable, "-m", "tests.tasks.sender", str(ledger), server.url, name, str(ahead_s)]
    process = subprocess.Popen(
        [*command, "pause" if pause else "go"],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(PATIENCE_S)
        assert process.stdout is not None
        process.stdout.close()


def line_of(process: subprocess.Popen[str], words: str) -> str:
    """Read until a line has these words."""
    assert process.stdout is not None
    for line in process.stdout:
        if words in line:
            return line
    raise AssertionError(f"never said {words!r}")


def sent_by(server: Exchange, name: str) -> int:
    """Count the orders of a process at the exchange."""
    orders = server.floor.blotter.orders.values()
    return sum(order.client_order_id.startswith(f"mqd-{name}-") for order in orders)


def test_i12_a_session_woken_past_its_lease_sends_nothing(tmp_path: Path, exchange: Exchange) -> None:
    """Stopped between writing ahead and sending; another took the account; woken, it sends none of three."""
    with sender(tmp_path, exchange, "first", pause=True) as first:
        line_of(first, "stopping")

        with sender(tmp_path, exchange, "second", ahead_s=PAST_LEASE_S) as second:
            line_of(second, "sent")
            assert second.wait(PATIENCE_S) == 0

        first.send_signal(signal.SIGCONT)
        line_of(first, "woken")
        said = line_of(first, "token")
        assert first.wait(PATIENCE_S) == LOST

    assert "session second with token 2 has it" in said
    assert (sent_by(exchange, "first"), sent_by(exchange, "second")) == (0, 3)


def test_i12_a_session_woken_within_its_lease_goes_on(tmp_path: Path, exchange: Exchange) -> None:
    """Nobody took the account meanwhile, so its orders are sent; a second start is told who has it."""
    with sender(tmp_path, exchange, "first", pause=True) as first:
        line_of(first, "stopping")

        with sender(tmp_path, exchange, "second") as second:
            assert "session first" in line_of(second, "is held by")
            assert second.wait(PATIENCE_S) == HELD

        first.send_signal(signal.SIGCONT)
        line_of(first, "sent")
        assert first.wait(PATIENCE_S) == 0

    assert (sent_by(exchange, "first"), sent_by(exchange, "second")) == (3, 0)

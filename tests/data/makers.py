"""Ledgers for the tests of memory, and the small clock they run by."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from data.holders import IsAlive, is_alive
from data.ledger import Ledger
from schemas.events import AnyEvent, CashAdjusted, OrderProbed

START = datetime(2025, 11, 26, 14, 30, tzinfo=UTC)


class HandClock:
    """A wall clock that moves when told."""

    def __init__(self, now: datetime = START) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def open_ledger(
    path: Path,
    *,
    clock: HandClock | None = None,
    host: str = "here",
    pid: int = 1,
    alive: IsAlive = is_alive,
    log_path: Path | None = None,
    create: bool = True,
    account: str = "paper",
    busy_timeout_ms: int = 2_000,
) -> Ledger:
    """Open a ledger file as some process of some host."""
    return Ledger.open(
        f"sqlite:///{path}",
        account,
        clock or HandClock(),
        host,
        pid,
        log_path,
        create=create,
        alive=alive,
        busy_timeout_ms=busy_timeout_ms,
    )


def cash(amount: str) -> CashAdjusted:
    """Make an event an operator may append."""
    return CashAdjusted(at=START, amount=Decimal(amount), cause="deposit")


def probed(client_order_id: str) -> OrderProbed:
    """Make an event only the lease's holder may append."""
    return OrderProbed(at=START, client_order_id=client_order_id)


def stored(ledger: Ledger) -> list[AnyEvent]:
    """Give the ledger's events."""
    return [event for _, event in ledger.read()]

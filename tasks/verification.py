"""Hold a finished day against the outside: the venue's own books, and a replay of the ledger.

The desk's word is not taken for anything here. Positions and cash come from a fresh replay of the
ledger and are compared with what the exchange says; the state hash that the running session wrote at
its end is compared with the hash a replay up to the same event gives (I8).
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from desk.errors import NotReady
from desk.hours import session_hours
from desk.portfolio import Portfolio, replay
from schemas.events import AnyEvent, FillRecorded, IntentDenied, MinuteClosed, OrderPlanned
from tasks.configuration import load_settings
from tasks.page.build import report_path
from tasks.proof import prove
from tasks.resources import open_ledger
from tasks.store import ledger_path, warehouse_path
from tasks.warehouse import count_rows

CENT = Decimal("0.01")


@dataclass(frozen=True)
class DayFacts:
    """A day in numbers, and whether it holds. Money is USD."""

    session_date: date
    bars: int
    quarantined: int
    signals: int
    intents: int
    approved: int
    denied: dict[str, int]  # by reason
    orders: int
    fills: int
    realized_pnl: Decimal
    fees: Decimal
    equity_end: Decimal | None  # None: no minute was closed
    books_equal: bool
    replay_equal: bool
    differences: tuple[str, ...]
    warehouse: Path
    ledger: Path
    report: Path | None

    def as_json(self) -> dict[str, Any]:
        """Give the numbers as JSON has them: money as strings."""
        return {
            "session_date": self.session_date.isoformat(),
            "bars": self.bars,
            "quarantined": self.quarantined,
            "signals": self.signals,
            "intents": self.intents,
            "approved": self.approved,
            "denied": self.denied,
            "orders": self.orders,
            "fills": self.fills,
            "realized_pnl": str(self.realized_pnl),
            "fees": str(self.fees),
            "equity_end": str(self.equity_end) if self.equity_end is not None else None,
            "books_equal": self.books_equal,
            "replay_equal": self.replay_equal,
        }

    def rows(self) -> Iterator[tuple[str, str]]:
        """Give name and value of each number, for a table."""
        denied = ", ".join(f"{reason} {count}" for reason, count in self.denied.items()) or "none"
        yield "bars", f"{self.bars} ({self.quarantined} quarantined)"
        yield "signals", f"{self.signals}"
        yield "intents", f"{self.intents}: {self.approved} approved; denied: {denied}"
        yield "orders, fills", f"{self.orders}, {self.fills}"
        yield "realized", f"{self.realized_pnl:+,.2f} USD, fees {self.fees:,.2f}"
        yield "equity at end", f"{self.equity_end:,.2f} USD" if self.equity_end is not None else "unknown"
        yield "books", "equal the exchange's" if self.books_equal else "; ".join(self.differences)
        yield "replay", "same state, same hash" if self.replay_equal else "DIFFERS from the running state"

    def paths(self) -> Iterator[tuple[str, Path]]:
        """Give the files a person looks into."""
        yield "warehouse", self.warehouse
        yield "ledger", self.ledger
        if self.report is not None:
            yield "report", self.report


def verify_day(config: Path, session_date: date, venue_books: Mapping[str, Any]) -> DayFacts:
    """Read a finished day and hold it against the venue's books (`GET /sim/books`).

    Raises:
        LedgerUnavailable: there is no ledger to read.
        WarehouseError: there is no warehouse to read.
        NotReady: the date has no session.
    """
    hours = session_hours(session_date)
    if hours is None:
        raise NotReady(f"{session_date} is not a trading day")
    settings = load_settings(config)
    with closing(open_ledger(settings, create=False)) as ledger:
        rows = list(ledger.read())
    proof = prove(rows)
    differences = tuple(_differences(replay(event for _, event in rows), venue_books))
    day = _of_day([event for _, event in rows], session_date)
    planned = [event for event in day if isinstance(event, OrderPlanned)]
    denied = [event for event in day if isinstance(event, IntentDenied)]
    minutes = [event for event in day if isinstance(event, MinuteClosed)]
    counts = count_rows(settings, hours)
    report = report_path(settings.store, session_date)
    return DayFacts(
        session_date=session_date,
        bars=counts.bars,
        quarantined=counts.quarantined,
        signals=counts.signals,
        intents=len(planned) + len(denied),
        approved=len(planned),
        denied=_tally(event.denial.reason.value for event in denied),
        orders=len(planned),
        fills=len({event.fill.execution_id for event in day if isinstance(event, FillRecorded)}),
        realized_pnl=minutes[-1].realized_pnl if minutes else Decimal(0),
        fees=minutes[-1].fees if minutes else Decimal(0),
        equity_end=minutes[-1].equity if minutes else None,
        books_equal=not differences,
        replay_equal=proof.holds and proof.compared > 0,
        differences=differences,
        warehouse=warehouse_path(settings),
        ledger=ledger_path(settings),
        report=report if report.is_file() else None,
    )


def _differences(portfolio: Portfolio, venue: Mapping[str, Any]) -> Iterator[str]:
    ours = {symbol: qty for symbol in portfolio.held_symbols() if (qty := portfolio.position(symbol)) != 0}
    theirs = {symbol: Decimal(qty) for symbol, qty in venue["positions"].items() if Decimal(qty) != 0}
    for symbol in sorted(ours.keys() | theirs.keys()):
        mine, venues = ours.get(symbol, Decimal(0)), theirs.get(symbol, Decimal(0))
        if mine != venues:
            yield f"{symbol}: ours {mine:f}, the exchange's {venues:f}"
    cash = Decimal(venue["cash"]) - Decimal(venue["accrued_fees"])
    if abs(portfolio.cash - cash) >= CENT:
        yield f"cash: ours {portfolio.cash:f}, the exchange's {cash:f} USD after fees owed"
    if venue["open_orders"]:
        yield f"{len(venue['open_orders'])} orders are still open at the exchange"
    known = {fill["execution_id"] for fill in venue["fills"]}
    missing = known - set(portfolio.executions)
    if missing:
        yield f"{len(missing)} of the exchange's {len(known)} executions are not in our books"


def _of_day(events: Iterable[AnyEvent], session_date: date) -> list[AnyEvent]:
    """Give the events that carry this session date, in order."""
    found: list[AnyEvent] = []
    for event in events:
        match event:
            case OrderPlanned() | IntentDenied():
                day = event.intent.session_date
            case FillRecorded():
                day = event.fill.session_date
            case MinuteClosed():
                day = event.session_date
            case _:
                continue
        if day == session_date:
            found.append(event)
    return found


def _tally(words: Iterable[str]) -> dict[str, int]:
    tally: dict[str, int] = {}
    for word in sorted(words):
        tally[word] = tally.get(word, 0) + 1
    return tally

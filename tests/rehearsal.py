"""A whole desk in one process on a simulated venue, for tests of the loop: no sockets, no files."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

import polars as pl

from desk.desk import Desk
from desk.exchange.generated import GeneratedMarket
from desk.exchange.orders import Execution
from desk.exchange.venue import Venue
from desk.journal import Journal
from desk.ports import Ledger
from desk.session import Session
from desk.simulation.audit_books import audit, differences
from schemas.risk import RiskLimits
from schemas.settings import SessionSettings, Settings, StrategySettings
from schemas.signals import SIGNAL_SCHEMA
from tests.memory_ledger import MemoryLedger

DAY = date(2025, 11, 26)
SYMBOLS = ("AAPL", "MSFT", "XOM")


@dataclass
class Frames:
    """A recorder that keeps what it is given."""

    printed: list[pl.DataFrame] = field(default_factory=list)
    refused: list[pl.DataFrame] = field(default_factory=list)
    said: list[pl.DataFrame] = field(default_factory=list)

    def bars(self, frame: pl.DataFrame) -> None:
        self.printed.append(frame)

    def quarantine(self, frame: pl.DataFrame) -> None:
        self.refused.append(frame)

    def signals(self, frame: pl.DataFrame) -> None:
        self.said.append(frame)

    def flush(self) -> None:
        return None


@dataclass
class Churner:
    """A strategy that changes its mind often: long in some stretches of minutes, flat in others.

    What it says of a bar is a function of the bar's time, the symbol and the seed alone.
    """

    seed: int = 1
    name: str = "churner"
    symbols: tuple[str, ...] = SYMBOLS
    warm_up: int = 0
    seen: list[pl.DataFrame] = field(default_factory=list)

    def signals(self, bars: pl.DataFrame) -> pl.DataFrame:
        self.seen.append(bars)
        targets = [
            float(random.Random(f"{self.seed}/{symbol}/{ts:%H}{ts.minute // 7}").random() < 0.4)
            for symbol, ts in bars.select("symbol", "ts").iter_rows()
        ]
        return bars.select(
            pl.lit(self.name).alias("strategy"),
            "symbol",
            "ts",
            pl.Series("target", targets, dtype=pl.Float64),
            pl.col("close").alias("price"),
            pl.lit("churn").alias("reason"),
        ).select(list(SIGNAL_SCHEMA))


def settings(**risk: object) -> Settings:
    """Make settings for the churner; keyword arguments are risk limits."""
    return Settings(
        symbols=SYMBOLS,
        strategies=(StrategySettings(name="churner", allocation_frac=Decimal("0.6")),),
        session=SessionSettings(slots=3),
        risk=RiskLimits.model_validate(risk),
    )


def venue(seed: int = 1, day: date = DAY, symbols: Sequence[str] = SYMBOLS) -> Venue:
    """Open a venue on a generated market."""
    return Venue(GeneratedMarket(seed, tuple(symbols)), session_date=day)


def desk_on(
    place: Venue,
    ledger: Ledger,
    *,
    strategy: object | None = None,
    configured: Settings | None = None,
    recorder: Frames | None = None,
    wrap: Callable[[Venue], object] | None = None,
) -> Desk:
    """Compose a desk over a venue; `wrap` may put a liar between them as the broker."""
    broker = place if wrap is None else wrap(place)
    return Desk(
        settings=configured if configured is not None else settings(),
        clock=place,
        broker=broker,  # type: ignore[arg-type]
        market=place,
        updates=place.updates(),
        journal=Journal(ledger),
        recorder=recorder if recorder is not None else Frames(),
        strategies=(strategy if strategy is not None else Churner(),),  # type: ignore[arg-type]
    )


def session_of(desk: Desk, day: date = DAY, run_id: str = "run-1") -> Session:
    """Give the day's session of a desk."""
    return Session(desk, session_date=day, run_id=run_id)


def executions_of(place: Venue) -> list[dict[str, str]]:
    """Give the venue's executions as the auditor reads them."""
    return [_plain(execution) for execution in place.floor.books.executions]


def _plain(execution: Execution) -> dict[str, str]:
    return {
        "execution_id": execution.execution_id,
        "symbol": execution.symbol,
        "side": str(execution.side.value),
        "qty": str(execution.qty),
        "price": str(execution.price),
        "fee": str(execution.fee),
    }


def audited(place: Venue, desk: Desk, opening_cash: str = "100000") -> list[str]:
    """Name what the auditor finds different in the desk's books."""
    portfolio = desk.portfolio
    held: dict[str, Decimal] = {}
    for (_, symbol), position in portfolio.positions.items():
        held[symbol] = held.get(symbol, Decimal(0)) + position.qty
    return differences(
        audit(opening_cash, executions_of(place)),
        cash=str(portfolio.cash),
        positions={symbol: str(qty) for symbol, qty in held.items()},
        executions=portfolio.executions,
    )


def new_ledger() -> MemoryLedger:
    """Give an empty ledger."""
    return MemoryLedger()

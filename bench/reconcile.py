"""How long start-up takes with 1,000 orders at the broker: replay, reads and repair, over real sockets.

A desk sends 1,000 orders through alpaca-py to the exchange server and is gone before it hears of a
single fill: half are market orders that fill while nobody listens, half rest. A second desk opens the
same ledger and recovers. The goal is issue 2's: under 10 s.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from time import perf_counter

import polars as pl

from data.ledger import Ledger
from desk.adapters.alpaca_broker import connect_broker
from desk.adapters.alpaca_market import connect_market
from desk.adapters.system_clock import SystemClock
from desk.adapters.venue_clock import VenueClock
from desk.desk import Desk
from desk.dispatcher import place
from desk.exchange.floor import Floor
from desk.exchange.market import FrameMarket
from desk.exchange.server import ExchangeServer
from desk.journal import Journal
from desk.recovery import recover
from desk.settler import snapshot
from schemas.bars import RAW_SCHEMA
from schemas.orders import Approval, OrderIntent, OrderState, OrderType, Purpose, Side, TimeInForce
from schemas.settings import BrokerSettings, ClockKind, Settings

ORDERS = 1_000
GOAL_S = 10.0
ACCOUNT = "bench"
DAY = date(2025, 11, 26)
OPEN = datetime(2025, 11, 26, 14, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
PRICE = 20.0  # 500 resting shares at 18 and 500 bought at 20 fit into the account
VOLUME = 1_000_000  # every market order fills at once


class _NoRecorder:
    """A recorder that keeps nothing: no bar is read here."""

    def bars(self, frame: pl.DataFrame) -> None:
        """Keep nothing."""

    def quarantine(self, frame: pl.DataFrame) -> None:
        """Keep nothing."""

    def signals(self, frame: pl.DataFrame) -> None:
        """Keep nothing."""

    def flush(self) -> None:
        """Keep nothing."""


def run() -> list[dict[str, object]]:
    """Measure and give one row per figure: name, value, unit, goal."""
    floor = Floor(_market(), session_date=DAY)
    with ExchangeServer(floor) as server, tempfile.TemporaryDirectory() as folder:
        with _desk(server, Path(folder)) as first:
            recover(first, DAY)
            first.clock.sleep_until(OPEN + MINUTE)
            started = perf_counter()
            place(first, [_judged(number) for number in range(ORDERS)])
            send_s = perf_counter() - started
            first.clock.sleep_until(OPEN + 2 * MINUTE)
        started = perf_counter()
        with _desk(server, Path(folder)) as second:
            replay_s = perf_counter() - started
            recovery = recover(second, DAY)
            total_s = perf_counter() - started
            started = perf_counter()
            snapshot(second, since=OPEN)
            reads_s = perf_counter() - started
            states = [order.state for order in second.portfolio.orders.values()]
        assert recovery.breaks == (), "the books must equal the broker's"
        assert states.count(OrderState.FILLED) == ORDERS // 2, "every fill must have been found"
    return [
        _row(f"start-up reconcile, {ORDERS:,} orders, replay to equal books", total_s, goal=GOAL_S),
        _row(f"  of it ledger replay, {ORDERS:,} orders", replay_s, goal=None),
        _row(f"one reading of the broker's books, {ORDERS:,} orders", reads_s, goal=None),
        _row(f"write-ahead and submit over HTTP, {ORDERS:,} orders", send_s, goal=None),
    ]


@contextmanager
def _desk(server: ExchangeServer, folder: Path) -> Iterator[Desk]:
    """Compose a desk as tasks/resources does it, on the server and the ledger in a folder."""
    settings = Settings(
        symbols=("AAPL",),
        broker=BrokerSettings(
            trading_url=server.url, data_url=server.url, stream_url=server.stream_url, clock=ClockKind.VENUE
        ),
    )
    url = f"sqlite:///{folder / 'ledger.sqlite'}"
    ledger = Ledger.open(url, ACCOUNT, SystemClock().now, "bench", os.getpid())
    ledger.acquire("bench")
    yield Desk(
        settings=settings,
        clock=VenueClock(server.url),
        broker=connect_broker(settings),
        market=connect_market(settings),
        updates=None,
        journal=Journal(ledger),
        recorder=_NoRecorder(),
        strategies=(),
    )
    ledger.release()
    ledger.close()


def _judged(number: int) -> tuple[OrderIntent, Approval]:
    """Give an approved order of one share: even numbers trade at once, odd ones rest."""
    rests = number % 2 == 1
    intent = OrderIntent(
        client_order_id=f"mqd-bench-20251126-AAPL-1430-n{number}",
        correlation_id="bench/AAPL/2025-11-26T14:30",
        strategy="bench",
        symbol="AAPL",
        side=Side.BUY,
        qty=Decimal(1),
        order_type=OrderType.LIMIT if rests else OrderType.MARKET,
        time_in_force=TimeInForce.DAY,
        limit_price=Decimal(18) if rests else None,
        purpose=Purpose.ENTRY,
        reference_price=Decimal(20),
        bar_ts=OPEN,
        session_date=DAY,
    )
    return intent, Approval(client_order_id=intent.client_order_id, checks=(), judged_at=OPEN + MINUTE)


def _market() -> FrameMarket:
    rows = [
        ("AAPL", OPEN + minute * MINUTE, PRICE, PRICE, PRICE, PRICE, VOLUME, PRICE, 100)
        for minute in range(10)
    ]
    return FrameMarket({DAY: pl.DataFrame(rows, schema=RAW_SCHEMA, orient="row")})


def _row(name: str, seconds: float, *, goal: float | None) -> dict[str, object]:
    return {"name": name, "value": round(seconds, 3), "unit": "s", "goal": goal}

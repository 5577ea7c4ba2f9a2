"""The ledger: what an append costs before an order may go on the wire, and what a start-up replay costs."""

import os
import tempfile
import time
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from data.ledger import Ledger
from desk.portfolio import replay
from schemas.events import AnyEvent, FillRecorded, FillSource, OrderAcknowledged, OrderPlanned
from schemas.orders import Approval, Fill, OrderIntent, OrderType, Purpose, Side, TimeInForce

APPENDS = 1_000
REPLAYED = 10_000

_OPEN = datetime(2025, 11, 26, 14, 30, tzinfo=UTC)


def run() -> list[dict[str, object]]:
    """Measure append latency on a real disk, and reading with replay of ten thousand events."""
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger.open(
            f"sqlite:///{folder}/ledger.db",
            "bench",
            _wall_clock,
            "bench",
            os.getpid(),
            Path(folder) / "ledger.ndjson",
        )
        ledger.acquire("bench")
        try:
            return _measure(ledger)
        finally:
            ledger.close()


def _measure(ledger: Ledger) -> list[dict[str, object]]:
    events = order_events(REPLAYED // 3 + 1)[:REPLAYED]
    took: list[float] = []
    for event in events[:APPENDS]:
        began = time.perf_counter()
        ledger.append([event])
        took.append((time.perf_counter() - began) * 1_000)
    ledger.append(events[APPENDS:])
    began = time.perf_counter()
    state_hash = replay(event for _, event in ledger.read()).state_hash()
    replay_s = time.perf_counter() - began
    assert len(state_hash) == 64
    took.sort()
    return [
        _row("ledger append p50", took[len(took) // 2], "ms", 5.0),
        _row("ledger append p99", took[len(took) * 99 // 100], "ms", 5.0),
        _row(f"ledger replay of {REPLAYED:,} events", replay_s, "s", 10.0),
    ]


def order_events(count: int) -> list[AnyEvent]:
    """Make `count` orders, each planned, acknowledged and filled."""
    made: list[AnyEvent] = []
    for number in range(count):
        at = _OPEN + timedelta(seconds=number)
        intent = _intent(number, at)
        cid, broker_id = intent.client_order_id, f"b{number}"
        approval = Approval(client_order_id=cid, checks=(), judged_at=at)
        fill = Fill(
            execution_id=f"e{number}",
            client_order_id=cid,
            broker_order_id=broker_id,
            strategy=intent.strategy,
            symbol=intent.symbol,
            side=intent.side,
            qty=intent.qty,
            price=Decimal("100.05"),
            cum_qty=intent.qty,
            fee=Decimal("0.01"),
            filled_at=at,
            session_date=intent.session_date,
        )
        made += [
            OrderPlanned(at=at, intent=intent, approval=approval),
            OrderAcknowledged(at=at, client_order_id=cid, broker_order_id=broker_id),
            FillRecorded(at=at, fill=fill, source=FillSource.STREAM),
        ]
    return made


def _intent(number: int, at: datetime) -> OrderIntent:
    return OrderIntent(
        client_order_id=f"mqd-bench-{number}",
        correlation_id=f"bench/{number}",
        strategy="bench",
        symbol=f"S{number % 100}",
        side=Side.BUY if number % 2 == 0 else Side.SELL,
        qty=Decimal(10),
        order_type=OrderType.LIMIT,
        time_in_force=TimeInForce.DAY,
        limit_price=Decimal("100.10"),
        purpose=Purpose.ENTRY,
        reference_price=Decimal("100.00"),
        bar_ts=at,
        session_date=date(2025, 11, 26),
    )


def _wall_clock() -> datetime:
    return datetime.fromtimestamp(time.time(), UTC)


def _row(name: str, value: float, unit: str, goal: float | None) -> dict[str, object]:
    return {"name": name, "value": round(value, 3), "unit": unit, "goal": goal}

"""Ingest into memory: the spool before the strategy, the warehouse after it, and the ledger's projection."""

import os
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from bench.ledger import order_events
from data.ledger import Ledger
from data.warehouse import Warehouse
from schemas.bars import PRINT_SCHEMA

SIZES = (10, 100, 500)  # symbols a minute
MINUTES = 60
PUBLISHED = 10_000  # events

_OPEN = datetime(2025, 11, 26, 14, 30, tzinfo=UTC)


def run() -> list[dict[str, object]]:
    """Measure an hour of minutes at each size, one flush a minute, and one publish of a busy ledger."""
    rows: list[dict[str, object]] = []
    for symbols in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            rows += _minutes(Path(folder), symbols)
    with tempfile.TemporaryDirectory() as folder:
        rows += _publish(Path(folder))
    return rows


def _minutes(folder: Path, symbols: int) -> list[dict[str, object]]:
    warehouse = Warehouse(folder / "w.duckdb", folder / "spool", account="bench", wall_clock=_wall_clock)
    warehouse.flush()
    spool: list[float] = []
    flush: list[float] = []
    for minute in range(MINUTES):
        frame = _prints(symbols, _OPEN + timedelta(minutes=minute))
        spool.append(_ms(lambda frame=frame: warehouse.bars(frame)))  # type: ignore[misc]
        flush.append(_ms(warehouse.flush))
    assert warehouse.waiting() == 0
    spool_goal = 50.0 if symbols == max(SIZES) else None  # of which the contract takes the most
    return [
        _row(f"spool {symbols} symbols p50", sorted(spool)[MINUTES // 2], "ms", spool_goal),
        _row(f"spool {symbols} symbols max", max(spool), "ms", spool_goal),
        _row(f"warehouse flush {symbols} symbols p50", sorted(flush)[MINUTES // 2], "ms", None),
        _row(f"warehouse flush {symbols} symbols max", max(flush), "ms", None),
    ]


def _publish(folder: Path) -> list[dict[str, object]]:
    ledger = Ledger.open(f"sqlite:///{folder}/ledger.db", "bench", _wall_clock, "bench", os.getpid())
    ledger.acquire("bench")
    events = order_events(PUBLISHED // 3 + 1)[:PUBLISHED]
    warehouse = Warehouse(
        folder / "w.duckdb", folder / "spool", account="bench", wall_clock=_wall_clock, ledger=ledger
    )
    ledger.append(events[:-30])
    whole = _ms(lambda: warehouse.publish(ledger))
    ledger.append(events[-30:])
    news = _ms(warehouse.flush)
    again = _ms(lambda: warehouse.publish(ledger, 0))
    ledger.close()
    return [
        _row(f"publish {PUBLISHED:,} events", whole / 1_000, "s", None),
        _row("publish a minute's 30 events", news, "ms", None),
        _row(f"publish {PUBLISHED:,} events again", again / 1_000, "s", None),
    ]


def _prints(symbols: int, ts: datetime) -> pl.DataFrame:
    close = 100 + np.random.default_rng(1).normal(0, 1, symbols).round(2)
    frame = pl.DataFrame(
        {
            "symbol": [f"S{number:03d}" for number in range(symbols)],
            "open": close,
            "high": close + 0.05,
            "low": close - 0.05,
            "close": close,
            "vwap": close,
        }
    )
    return frame.with_columns(
        pl.lit(ts).alias("ts"),
        pl.lit("1Min").alias("timeframe"),
        pl.lit(1_000).alias("volume"),
        pl.lit(50).alias("trade_count"),
        pl.lit("bench").alias("provider"),
        pl.lit("iex").alias("feed"),
        pl.lit(ts + timedelta(seconds=61)).alias("known_at"),
        pl.lit(0).alias("revision"),
    ).select(pl.col(name).cast(dtype) for name, dtype in PRINT_SCHEMA.items())


def _ms(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1_000


def _wall_clock() -> datetime:
    return datetime.fromtimestamp(time.time(), UTC)


def _row(name: str, value: float, unit: str, goal: float | None) -> dict[str, object]:
    return {"name": name, "value": round(value, 3), "unit": unit, "goal": goal}

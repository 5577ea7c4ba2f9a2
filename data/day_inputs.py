"""What a session was decided by, out of the warehouse: every print with its `known_at`, and the signals."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from data.duckfile import reading, to_frame
from schemas.account import SessionHours
from schemas.bars import PRINT_SCHEMA
from schemas.signals import SIGNAL_SCHEMA

_PRINTS = """
SELECT symbol, ts, timeframe, open, high, low, close, volume, vwap, trade_count, provider, feed, known_at,
    revision
FROM bar_prints
WHERE timeframe = '1Min' AND ts >= $start AND ts < $stop AND list_contains($symbols, symbol)
ORDER BY known_at, symbol, ts, revision
"""
_SIGNALS = """
SELECT strategy, symbol, ts, target, price, reason FROM signals
WHERE account = $account AND ts >= $start AND ts < $stop
ORDER BY ts, strategy, symbol, recorded_at
"""


@dataclass(frozen=True, kw_only=True)
class DayInputs:
    """A session's inputs as they were recorded."""

    prints: pl.DataFrame  # columns of PRINT_SCHEMA, every print, in the order they were known
    said: pl.DataFrame  # columns of SIGNAL_SCHEMA


def read_day_inputs(
    path: Path, *, account: str, symbols: Sequence[str], first: SessionHours, last: SessionHours
) -> DayInputs:
    """Read the prints of some sessions and what lies between, and the signals of the last.

    Args:
        path: the DuckDB file.
        account: whose signals.
        symbols: whose prints.
        first: the oldest session the strategies were warmed up with; the last itself where they were not.
        last: the session.

    Raises:
        WarehouseBusy: somebody held the file during every attempt.
        WarehouseUnavailable: the file is missing or corrupt.
    """
    session = {"start": last.opens_at, "stop": last.closes_at}
    both = {"start": first.opens_at, "stop": last.closes_at, "symbols": list(symbols)}
    with reading(path) as connection:
        prints = to_frame(connection.sql(_PRINTS, params=both))
        said = to_frame(connection.sql(_SIGNALS, params={**session, "account": account}))
    return DayInputs(
        prints=prints.select(pl.col(name).cast(kind) for name, kind in PRINT_SCHEMA.items()),
        said=said.select(pl.col(name).cast(kind) for name, kind in SIGNAL_SCHEMA.items()),
    )

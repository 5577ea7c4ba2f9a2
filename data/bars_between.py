"""Minute bars of many days out of the warehouse, for a backtest."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from data.duckfile import opened, to_frame
from desk.errors import NoBars
from schemas.bars import RAW_SCHEMA

_BARS = """
SELECT symbol, ts, open, high, low, close, volume, vwap, trade_count FROM bars
WHERE timeframe = '1Min' AND ($everything OR list_contains($symbols, symbol))
QUALIFY row_number() OVER (PARTITION BY symbol, ts ORDER BY known_at DESC, provider, feed) = 1
ORDER BY symbol, ts
"""


def read_bars_between(path: Path, *, symbols: Sequence[str] = ()) -> pl.DataFrame:
    """Give the newest prints of every minute, columns of `RAW_SCHEMA`, sorted by (symbol, ts).

    Args:
        path: the DuckDB file.
        symbols: which; none: all.

    Raises:
        NoBars: there is no file, or no such bar in it.
        WarehouseBusy: somebody writes to it.
        WarehouseUnavailable: it cannot be opened.
    """
    if not path.exists():
        raise NoBars(f"{path}: there is no warehouse yet; give --bars a Parquet file or folder")
    with opened(path, read_only=True) as connection:
        found = to_frame(connection.sql(_BARS, params={"everything": not symbols, "symbols": list(symbols)}))
    frame = found.select(pl.col(name).cast(kind) for name, kind in RAW_SCHEMA.items())
    if frame.height == 0:
        raise NoBars(f"{path}: no minute bars{' of ' + ', '.join(symbols) if symbols else ''} in it")
    return frame

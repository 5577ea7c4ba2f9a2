"""Read minute bars from Parquet: one file, or a folder of files in folders.

A file has the columns of `schemas.bars.RAW_SCHEMA`; `timestamp` may stand for `ts`, and vwap and trade count
may lack. Files named by a date (`AAPL/2025-11-26.parquet`) are opened only where the date is wanted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from desk.errors import BadBatch, ConfigError, NoBars
from desk.exchange.market import listed, raw_frame
from desk.hours import FIRST_DAY, LAST_DAY, sessions_between
from desk.tape import microseconds
from schemas.bars import possible_bar

DAY = timedelta(days=1)
DAY_US = 86_400_000_000
EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class ReadBars:
    """Bars of the regular session, sorted by (symbol, ts), unique, and how many rows could not be used."""

    frame: pl.DataFrame
    impossible: int  # rows that cannot be bars, and second ones of a minute
    outside: int  # rows outside the regular session


def read_bars(path: Path, *, symbols: Sequence[str] = (), newest: int | None = None) -> ReadBars:
    """Read bars, of the regular session only.

    Args:
        path: a file, or a folder that has files in it or below it.
        symbols: which; none: all there are.
        newest: of files named by a date, only so many newest a folder; None: all.

    Raises:
        ConfigError: there is no such path, or no Parquet file below it.
        NoBars: no bar of a symbol, or of any, is there.
        BadBatch: a file cannot be read or lacks a column.
    """
    frames = [_read(file, symbols) for file in _files(path, symbols=symbols, newest=newest)]
    rows = pl.concat(frames)
    able = _once(rows.filter(possible_bar().fill_null(value=False)).sort("symbol", "ts", maintain_order=True))
    frame = regular(able)
    there = frame["symbol"].unique().sort().to_list()
    lacking = [symbol for symbol in symbols if symbol not in there]
    if lacking or not there:
        found = f"; there are {listed(there)}" if there else ""
        raise NoBars(f"{path}: no bars of {listed(lacking or ['any symbol'])} in regular sessions{found}")
    return ReadBars(frame, impossible=rows.height - able.height, outside=able.height - frame.height)


def regular(bars: pl.DataFrame) -> pl.DataFrame:
    """Keep the bars of regular sessions: [open, close) of days that have one."""
    if bars.height == 0:
        return bars
    # Looked up by number of the day, in arrays: a join costs ten times as much on a million bars.
    ts = bars["ts"].to_physical().to_numpy()
    day = ts // DAY_US
    first = max(int(day.min()), (FIRST_DAY - EPOCH).days)
    last = min(int(day.max()), (LAST_DAY - EPOCH).days - 1)
    if first > last:
        return bars.clear()
    opens, closes = np.zeros((2, last - first + 1), np.int64)
    for each in sessions_between(EPOCH + first * DAY, EPOCH + (last + 1) * DAY):
        number = (each.session_date - EPOCH).days - first
        opens[number], closes[number] = microseconds(each.opens_at), microseconds(each.closes_at)
    place = np.clip(day - first, 0, last - first)
    inside = (ts >= opens[place]) & (
        ts < closes[place]
    )  # a day beyond the calendar is in no session of another
    return bars if inside.all() else bars.filter(pl.Series(inside))


def _once(bars: pl.DataFrame) -> pl.DataFrame:
    """Keep the last row of each symbol and minute of sorted bars; looking is cheap, removing is not."""
    again = (bars["symbol"] == bars["symbol"].shift(-1)) & (bars["ts"] == bars["ts"].shift(-1))
    return bars.filter(~again.fill_null(value=False)) if again.any() else bars


def _files(path: Path, *, symbols: Sequence[str], newest: int | None) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise ConfigError(f"--bars {path}: no such file or folder; expected Parquet files of minute bars")
    found = sorted(path.rglob("*.parquet"))
    if not found:
        raise ConfigError(f"--bars {path}: no .parquet file in it or below it")
    dated = [file for file in found if _date_of(file) is not None]
    chosen = [file for file in found if file not in set(dated)]
    for folder in sorted({file.parent for file in dated}):
        if symbols and folder != path and folder.name not in symbols:
            continue
        days = [file for file in dated if file.parent == folder]
        chosen += days if newest is None else days[-newest:]
    if not chosen:
        raise NoBars(f"{path}: no folder of {listed(list(symbols))}; there are {listed(_folders(dated))}")
    return sorted(chosen)


def _folders(files: Sequence[Path]) -> list[str]:
    return sorted({file.parent.name for file in files})


def _date_of(file: Path) -> date | None:
    try:
        return date.fromisoformat(file.stem)
    except ValueError:
        return None


def _read(file: Path, symbols: Sequence[str]) -> pl.DataFrame:
    try:
        found = pl.read_parquet(file)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise BadBatch(f"{file}: cannot be read as Parquet: {error}") from error
    frame = raw_frame(found, str(file))
    return frame.filter(pl.col("symbol").is_in(symbols)) if symbols else frame

"""Read minute bars from Parquet: one file, or a folder of files in folders.

A file has the columns of `schemas.bars.RAW_SCHEMA`; `timestamp` may stand for `ts`, and vwap and trade count
may lack. Files named by a date (`AAPL/2025-11-26.parquet`) are opened only where the date is wanted.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl

from desk.errors import BadBatch, ConfigError, NoBars
from desk.exchange.market import listed, raw_frame
from desk.hours import FIRST_DAY, LAST_DAY, from_new_york, new_york, sessions_between
from desk.tape import microseconds
from schemas.bars import possible_bar

DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)
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
    read = _cleaned(pl.concat(frames))
    there = read.frame["symbol"].unique().sort().to_list()
    lacking = [symbol for symbol in symbols if symbol not in there]
    if lacking or not there:
        found = f"; there are {listed(there)}" if there else ""
        raise NoBars(f"{path}: no bars of {listed(lacking or ['any symbol'])} in regular sessions{found}")
    return read


class BarMonths:
    """Bars of a file or folder, read a month at a time: years of many symbols never are in memory at once."""

    def __init__(
        self, path: Path, *, symbols: Sequence[str] = (), start: date | None = None, end: date | None = None
    ) -> None:
        """Look at what is there, without reading the bars.

        Args:
            path: a file, or a folder that has files in it or below it.
            symbols: which; none: all there are.
            start: the first day; None: the first there is.
            end: the last day, included; None: the last there is.

        Raises:
            ConfigError: there is no such path, or no Parquet file below it.
            NoBars: there is nothing of those symbols and days.
            BadBatch: a file cannot be read or lacks a column.
        """
        self._path = path
        files = _files(path, symbols=symbols, newest=None)
        spans = [(file, *_span(file)) for file in files]
        first = min(low for _, low, _ in spans) if start is None else from_new_york(start, time())
        last = max(high for _, _, high in spans)
        ends = last + MICROSECOND if end is None else from_new_york(end + DAY, time())
        self._spans = [each for each in spans if each[1] < ends and each[2] >= first]
        there = sorted({name for file, _, _ in self._spans for name in _names(file)})
        self.symbols = tuple(name for name in there if not symbols or name in symbols)
        lacking = [name for name in symbols if name not in there]
        if lacking or not self.symbols:
            raise NoBars(f"{path}: no bars of {listed(lacking or ['any symbol'])}; there are {listed(there)}")
        days = new_york(first).date(), new_york(min(ends, last + MICROSECOND) - MICROSECOND).date()
        self.sessions = len(sessions_between(days[0], days[1] + DAY))
        edges = [from_new_york(day, time()) for day in _months_between(*days)][1:]
        self._edges = list(pairwise([first, *edges, ends]))

    def __iter__(self) -> Iterator[ReadBars]:
        """Give the bars month by month, those months that have any."""
        for low, high in self._edges:
            parts = [
                _read(f, self.symbols, between=(low, high))
                for f, a, b in self._spans
                if a < high and b >= low
            ]
            read = _cleaned(pl.concat(parts)) if parts else None
            if read is not None and read.frame.height > 0:
                yield read


def _months_between(first: date, last: date) -> list[date]:
    """Give the first days of the months that have a day in [first, last]."""
    count = (last.year - first.year) * 12 + last.month - first.month + 1
    numbers = range(first.month - 1, first.month - 1 + count)
    return [date(first.year + number // 12, number % 12 + 1, 1) for number in numbers]


def _cleaned(rows: pl.DataFrame) -> ReadBars:
    able = _once(rows.filter(possible_bar().fill_null(value=False)).sort("symbol", "ts", maintain_order=True))
    frame = regular(able)
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
    dated: dict[Path, list[Path]] = {}  # by folder
    chosen = []
    for file in found:
        if _date_of(file) is None:
            chosen.append(file)
        else:
            dated.setdefault(file.parent, []).append(file)
    for folder, days in dated.items():
        if not symbols or folder == path or folder.name in symbols:
            chosen += days if newest is None else days[-newest:]
    if not chosen:
        folders = sorted({folder.name for folder in dated})
        raise NoBars(f"{path}: no folder of {listed(list(symbols))}; there are {listed(folders)}")
    return sorted(chosen)


def _date_of(file: Path) -> date | None:
    try:
        return date.fromisoformat(file.stem)
    except ValueError:
        return None


def _read(
    file: Path, symbols: Sequence[str], *, between: tuple[datetime, datetime] | None = None
) -> pl.DataFrame:
    try:
        rows = pl.scan_parquet(file)
        if between is not None:
            rows = rows.filter(_ts_of(rows).is_between(*between, closed="left"))
        found = rows.collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise BadBatch(f"{file}: cannot be read as Parquet: {error}") from error
    frame = raw_frame(found, str(file))
    return frame.filter(pl.col("symbol").is_in(symbols)) if symbols else frame


def _ts_of(rows: pl.LazyFrame) -> pl.Expr:
    names = rows.collect_schema().names()
    return pl.col("timestamp" if "ts" not in names and "timestamp" in names else "ts")


def _span(file: Path) -> tuple[datetime, datetime]:
    """Give the first and the last instant of a file.

    Raises:
        BadBatch: it cannot be read, or its instants have no time zone.
    """
    try:
        rows = pl.scan_parquet(file)
        low, high = rows.select(low=_ts_of(rows).min(), high=_ts_of(rows).max()).collect().row(0)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise BadBatch(f"{file}: cannot be read as Parquet: {error}") from error
    if not isinstance(low, datetime) or low.tzinfo is None:
        raise BadBatch(f"{file}: column ts: expected instants with a time zone, got {low!r}")
    return low, high


def _names(file: Path) -> list[str]:
    """Give the symbols of a file.

    Raises:
        BadBatch: it has no column `symbol`.
    """
    try:
        return pl.scan_parquet(file).select(pl.col("symbol").unique()).collect()["symbol"].to_list()
    except pl.exceptions.PolarsError as error:
        raise BadBatch(f"{file}: column symbol: {error}") from error

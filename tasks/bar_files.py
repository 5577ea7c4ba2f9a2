"""Read minute bars from Parquet: one file, or a folder of files in folders.

A file has the columns of `schemas.bars.RAW_SCHEMA`; `timestamp` may stand for `ts`, and vwap and trade count
may lack. Files named by a date (`AAPL/2025-11-26.parquet`) are opened only where the date is wanted.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from desk.errors import BadBatch, ConfigError, NoBars
from desk.exchange.market import listed, raw_frame
from desk.hours import FIRST_DAY, LAST_DAY, session_hours, sessions_between
from desk.tape import microseconds
from schemas.bars import RAW_SCHEMA, possible_bar

DAY = timedelta(days=1)
DAY_US = 86_400_000_000
TICKS_A_DAY = {"ms": DAY_US // 1000, "us": DAY_US, "ns": DAY_US * 1000}
EPOCH = date(1970, 1, 1)
# Days are numbered from there. Rows of before 1900 or after 2199 count as of the first or the last of these:
# no bar is so old, and Python's dates end where a column's need not.
FIRST_NUMBER, END_NUMBER = ((date(year, 1, 1) - EPOCH).days for year in (1900, 2200))


@dataclass(frozen=True)
class ReadBars:
    """Bars of the regular session, sorted by (symbol, ts), unique, and how many rows could not be used."""

    frame: pl.DataFrame
    impossible: int  # rows that cannot be bars, and second ones of a minute
    outside: int  # rows outside the regular session


def left_out(*, impossible: int, outside: int) -> tuple[str, ...]:
    """Say how many rows were left out, and why."""
    found = (
        (impossible, f"{impossible:,} rows that cannot be bars left out"),
        (outside, f"{outside:,} rows outside regular sessions left out"),
    )
    return tuple(words for count, words in found if count)


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
        """Look at what is there, and read on until every symbol has a bar of a regular session.

        Args:
            path: a file, or a folder that has files in it or below it.
            symbols: which; none: all there are.
            start: the first day; None: the first there is.
            end: the last day, included; None: the last there is.

        Raises:
            ConfigError: there is no such path, or no Parquet file below it.
            NoBars: there is nothing of those symbols, or of those days.
            BadBatch: a file cannot be read or lacks a column.
        """
        self._wanted = tuple(symbols)
        self._files = [_survey(file, symbols) for file in _files(path, symbols=symbols, newest=None)]
        self._low = FIRST_NUMBER if start is None else max(FIRST_NUMBER, _number(start))
        self._high = END_NUMBER if end is None else min(END_NUMBER, _number(end) + 1)
        there = set[str]().union(*(each.names for each in self._files))
        inside = self._with_bars(there.intersection(symbols) if symbols else there, self._low, self._high)
        lacking = set(symbols) - inside
        if lacking:  # they need not have a bar in those days, if they have one in others
            lacking -= self._with_bars(lacking, FIRST_NUMBER, self._low)
            lacking -= self._with_bars(lacking, self._high, END_NUMBER)
        if lacking or not (inside or start or end):
            names = [name for name in symbols if name in lacking] or ["any symbol"]
            found = f"; there are {listed(sorted(there - lacking))}" if lacking and there - lacking else ""
            raise NoBars(f"{path}: no bars of {listed(names)} in regular sessions{found}")
        if not inside:
            raise NoBars(f"{path}: no bars from {start or 'the first'} to {end or 'the last'}")
        self.symbols = tuple(sorted(inside))  # those that have a bar of a regular session in those days
        self.undated = sum(each.undated for each in self._files)  # rows that have no instant
        known = range(_number(FIRST_DAY), _number(LAST_DAY) + 1)
        numbers = set[int]().union(*(each.days for each in self._files))
        days = (EPOCH + number * DAY for number in numbers if number in known)
        self.sessions = sum(
            1 for day in days if self._low <= _number(day) < self._high and session_hours(day) is not None
        )

    def __iter__(self) -> Iterator[ReadBars]:
        """Give the bars month by month, those months that have any row."""
        for low, high, files in self._months(self._low, self._high):
            yield self._read(low, high, files)

    def between(self, since: datetime, until: datetime) -> pl.DataFrame:
        """Give the bars with `since` <= ts < `until`, whether or not they are of the days asked for."""
        months = self._months(_number(since.date()), _number(until.date()) + 1)
        parts = [pl.DataFrame(schema=RAW_SCHEMA), *(self._read(*month).frame for month in months)]
        return pl.concat(parts).filter(pl.col("ts").is_between(since, until, closed="left"))

    def _read(self, low: int, high: int, files: list["_Survey"]) -> ReadBars:
        days = low, high
        return _cleaned(pl.concat([_read(each.file, self._wanted, days=days) for each in files]))

    def _months(self, low: int, high: int) -> list[tuple[int, int, list["_Survey"]]]:
        """Give the months that have rows on days [low, high), each with its own such days and its files."""
        found: dict[int, list[_Survey]] = {}
        for each in self._files:
            for month in sorted({_month_of(day) for day in each.days if low <= day < high}):
                found.setdefault(month, []).append(each)
        return [
            (max(low, _first_of(month)), min(high, _first_of(month + 1)), found[month])
            for month in sorted(found)
        ]

    def _with_bars(self, names: set[str], low: int, high: int) -> set[str]:
        """Give those symbols that have a bar of a regular session on days [low, high).

        Files are read one by one until all are found, which most often is within the first month.
        """
        found: set[str] = set()
        for first, end, files in self._months(low, high):
            for each in files:
                left = (names - found) & each.names
                if left:
                    read = _cleaned(_read(each.file, sorted(left), days=(first, end)))
                    found.update(read.frame["symbol"].unique().to_list())
            if found == names:
                break
        return found


@dataclass(frozen=True, slots=True)
class _Survey:
    """What is in a file."""

    file: Path
    names: frozenset[str]  # its symbols
    days: frozenset[int]  # of UTC, those that have rows of the symbols asked for
    undated: int  # rows of them that have no instant


def _survey(file: Path, symbols: Sequence[str]) -> _Survey:
    """Look at the symbols and instants of a file.

    Raises:
        BadBatch: it cannot be read or lacks a column.
    """
    day = (pl.col("ts").dt.epoch("us") // DAY_US).clip(FIRST_NUMBER, END_NUMBER - 1)
    try:
        rows = pl.scan_parquet(file)
        raw_frame(rows.head(0).collect(), str(file))
        named = rows.select(pl.col("symbol").cast(pl.String), ts=_ts_of(rows))
        found = named.group_by("symbol", day=day).len().collect(engine="streaming")
    except (pl.exceptions.PolarsError, OSError) as error:
        raise BadBatch(f"{file}: cannot be read as Parquet: {error}") from error
    mine = found.filter(pl.col("symbol").is_in(symbols)) if symbols else found
    return _Survey(
        file,
        names=frozenset(found["symbol"].drop_nulls()) - {""},
        days=frozenset(mine["day"].drop_nulls()),
        undated=int(mine.filter(pl.col("day").is_null())["len"].sum()),
    )


def _number(day: date) -> int:
    return (day - EPOCH).days


def _month_of(number: int) -> int:
    day = EPOCH + number * DAY
    return day.year * 12 + day.month - 1


def _first_of(month: int) -> int:
    """Give the first day of a month."""
    return _number(date(month // 12, month % 12 + 1, 1))


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


def _read(file: Path, symbols: Sequence[str], *, days: tuple[int, int] | None = None) -> pl.DataFrame:
    """Read a file's rows; of days [first, end) of UTC if they are given."""
    try:
        rows = pl.scan_parquet(file)
        if days is not None:
            rows = _of_days(rows, *days)
        found = rows.collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise BadBatch(f"{file}: cannot be read as Parquet: {error}") from error
    frame = raw_frame(found, str(file))
    return frame.filter(pl.col("symbol").is_in(symbols)) if symbols else frame


def _of_days(rows: pl.LazyFrame, first: int, end: int) -> pl.LazyFrame:
    """Keep days [first, end); the bounds are of the column's own kind, so what lies apart is not read."""
    ts = _ts_of(rows)
    kind = rows.select(ts).collect_schema().dtypes()[0]
    day = TICKS_A_DAY[getattr(kind, "time_unit", "us")]
    if first > FIRST_NUMBER:
        rows = rows.filter(ts >= pl.lit(first * day).cast(kind))
    if end < END_NUMBER:
        rows = rows.filter(ts < pl.lit(end * day).cast(kind))
    return rows


def _ts_of(rows: pl.LazyFrame) -> pl.Expr:
    names = rows.collect_schema().names()
    return pl.col("timestamp" if "ts" not in names and "timestamp" in names else "ts")

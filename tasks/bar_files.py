"""Read minute bars from Parquet: one file, or a folder of files in folders.

A file has the columns of `schemas.bars.RAW_SCHEMA`; `timestamp` may stand for `ts`, and vwap and trade count
may lack. Files named by a date (`AAPL/2025-11-26.parquet`) are opened only where the date is wanted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import polars as pl

from desk.errors import BadBatch, ConfigError, NoBars
from desk.exchange.market import listed, raw_frame
from desk.hours import FIRST_DAY, LAST_DAY, sessions_between
from schemas.bars import UTC_US, possible_bar

_HOURS = {"date": pl.Date(), "opens_at": UTC_US, "closes_at": UTC_US}


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
    able = rows.filter(possible_bar().fill_null(value=False)).unique(["symbol", "ts"], keep="last")
    frame = regular(able).sort("symbol", "ts")
    there = frame["symbol"].unique().sort().to_list()
    lacking = [symbol for symbol in symbols if symbol not in there]
    if lacking or not there:
        found = f"; there are {listed(there)}" if there else ""
        raise NoBars(f"{path}: no bars of {listed(lacking or ['any symbol'])} in regular sessions{found}")
    return ReadBars(frame, impossible=rows.height - able.height, outside=able.height - frame.height)


def regular(bars: pl.DataFrame) -> pl.DataFrame:
    """Keep the bars of regular sessions: [open, close) of days that have one."""
    days = bars["ts"].dt.date().unique().drop_nulls()
    known = days.filter((days >= FIRST_DAY) & (days < LAST_DAY))
    if known.len() == 0:
        return bars.clear()
    first, last = known.min(), known.max()
    assert isinstance(first, date), "a date's least is a date"
    assert isinstance(last, date), "and its greatest"
    hours = pl.DataFrame(
        [(each.session_date, each.opens_at, each.closes_at) for each in sessions_between(first, last + DAY)],
        schema=_HOURS,
        orient="row",
    )
    return (
        bars.with_columns(pl.col("ts").dt.date().alias("date"))
        .join(hours, on="date", how="inner", maintain_order="left")
        .filter((pl.col("ts") >= pl.col("opens_at")) & (pl.col("ts") < pl.col("closes_at")))
        .drop(list(_HOURS))
    )


DAY = timedelta(days=1)


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

"""Rows that wait on disk until the warehouse is free.

Theory of operation. Every frame is one small Parquet file, written under another name and renamed, so
a file that is there is whole. Names begin with the wall clock, so sorting them gives the order of
writing, and carry the pid, so two processes never write the same name. A file that cannot be read
(a power cut may leave one) is set aside, so that it does not hold up the others.

Left out: fsync. Bars can be fetched again; facts about orders never pass through here.
"""

import io
import itertools
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from data.columns import SPOOLED
from desk.errors import BadBatch

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SUFFIX = ".parquet"


class Spool:
    """A folder of waiting frames."""

    def __init__(self, folder: Path, *, wall_clock: Callable[[], datetime], pid: int) -> None:
        """Touch nothing yet."""
        self.folder = folder
        self._wall_clock = wall_clock
        self._pid = pid
        self._numbers = itertools.count()

    def write(self, kind: str, frame: pl.DataFrame) -> Path:
        """Keep a frame of `kind`, its columns those of `data.columns.SPOOLED`.

        Raises:
            BadBatch: the frame lacks a column or has values of another type; nothing was kept.
            OSError: the disk is full or the folder cannot be written; nothing was kept.
        """
        try:
            chosen = frame.select(pl.col(name).cast(dtype) for name, dtype in SPOOLED[kind].items())
        except pl.exceptions.PolarsError as error:
            raise BadBatch(f"{kind}: {_first_line(error)}") from error
        buffer = io.BytesIO()
        chosen.write_parquet(buffer, compression="lz4", statistics=False)
        micros = (self._wall_clock() - _EPOCH) // timedelta(microseconds=1)
        path = self.folder / f"{micros:017d}-{self._pid:07d}-{next(self._numbers):07d}-{kind}{_SUFFIX}"
        self._write_whole(path, buffer.getvalue())
        return path

    def waiting(self, limit: int | None = None) -> list[Path]:
        """Give the waiting files, oldest first; none if the folder is not there.

        Raises:
            OSError: the folder cannot be read.
        """
        try:
            names = sorted(entry.name for entry in os.scandir(self.folder) if entry.name.endswith(_SUFFIX))
        except FileNotFoundError:
            return []
        return [self.folder / name for name in names if not name.startswith(".")][:limit]

    def set_aside(self, files: Sequence[Path]) -> list[Path]:
        """Move the files that cannot be loaded to `bad/` and give them.

        Raises:
            OSError: a file cannot be moved.
        """
        bad = [file for file in files if not _is_sound(file)]
        for file in bad:
            place = self.folder / "bad" / file.name
            place.parent.mkdir(exist_ok=True)
            file.replace(place)
        return bad

    def _write_whole(self, path: Path, content: bytes) -> None:
        part = path.with_name(f".{path.name}.part")
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            part.write_bytes(content)
            part.replace(path)
        except OSError:
            part.unlink(missing_ok=True)  # a half file would keep the room the next one needs
            raise


def kind_of(file: Path) -> str:
    """Give the kind of a waiting file."""
    return file.stem.rpartition("-")[2]


def _is_sound(file: Path) -> bool:
    """Tell whether the file can be read and has the columns of its kind, filled where they must be."""
    schema = SPOOLED.get(kind_of(file))
    if schema is None:
        return False
    try:
        frame = pl.read_parquet(file.read_bytes())
    except pl.exceptions.PolarsError:
        return False
    if dict(frame.schema) != schema:
        return False
    may_be_null = _NULLABLE[kind_of(file)]
    return all(frame[name].null_count() == 0 for name in schema if name not in may_be_null)


_NULLABLE = {
    "bars": frozenset({"vwap", "trade_count"}),
    "quarantine": frozenset({"symbol", "ts"}),
    "signals": frozenset[str](),
    "backtest_fills": frozenset[str](),
    "backtest_trades": frozenset({"left_at"}),
    "backtest_equity": frozenset[str](),
    "sweeps": frozenset({"sharpe", "calmar", "max_drawdown_frac", "overfitting_frac"}),
    "sweep_trials": frozenset(
        {
            "test_first",
            "test_last",
            "deflated_sharpe_frac",
            "train_sharpe",
            "train_calmar",
            "train_max_drawdown_frac",
            "test_sharpe",
            "test_calmar",
            "test_max_drawdown_frac",
        }
    ),
    "backtests": frozenset(
        {
            "total_return_frac",
            "annual_return_frac",
            "volatility_frac",
            "sharpe",
            "sortino",
            "calmar",
            "max_drawdown_frac",
            "exposed_frac",
            "win_rate_frac",
            "profit_factor",
        }
    ),
}


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]

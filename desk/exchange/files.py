"""Bars in Parquet files as a market: `<directory>/<SYMBOL>/<yyyy-mm-dd>.parquet`.

This module is at the rim: it reads files, and nothing else of the venue does. Rows are played as found,
errors included: what is wrong with them is the business of the desk's contract.
"""

from datetime import date
from functools import lru_cache
from pathlib import Path

import polars as pl

from desk.errors import BadBatch, NoBars
from desk.exchange.market import listed, raw_frame
from schemas.bars import RAW_SCHEMA

FILES_CACHED = 512  # session files held parsed: one date of the largest universe we promise


class ReplayMarket:
    """The market of a directory of Parquet files."""

    provider = "replay"

    def __init__(self, directory: Path, *, symbols: tuple[str, ...] | None, session_date: date) -> None:
        """Look at what is there.

        Args:
            directory: holds one folder a symbol.
            symbols: the symbols to serve, or None for all that have the date.
            session_date: the date that every symbol must have.

        Raises:
            NoBars: the directory, a symbol or the date is not there; says what is.
        """
        if not directory.is_dir():
            raise NoBars(
                f"{directory}: no such directory of bars; expected <SYMBOL>/<yyyy-mm-dd>.parquet in it"
            )
        self._directory = directory
        there = sorted(path.name for path in directory.iterdir() if path.is_dir())
        if len(there) == 0:
            raise NoBars(f"{directory}: no symbol folders; expected <SYMBOL>/<yyyy-mm-dd>.parquet")
        wanted = symbols if symbols is not None else tuple(there)
        unknown = [symbol for symbol in wanted if symbol not in there]
        if unknown:
            raise NoBars(f"{directory}: no bars of {listed(unknown)}; there are {listed(there)}")
        self._dates = {symbol: self._dates_of(symbol) for symbol in wanted}
        having = tuple(symbol for symbol in wanted if session_date in self._dates[symbol])
        lacking = [symbol for symbol in wanted if session_date not in self._dates[symbol]]
        if len(having) == 0 or (symbols is not None and lacking):
            symbol = lacking[0]
            days = [str(day) for day in self._dates[symbol]]
            raise NoBars(f"{directory}: no bars of {symbol} on {session_date}; there are {listed(days)}")
        self.symbols = tuple(sorted(having))
        self._read = lru_cache(maxsize=FILES_CACHED)(self._read_file)

    def frame(self, session_date: date) -> pl.DataFrame:
        """Give the date's bars of all symbols that have it.

        Raises:
            BadBatch: a file cannot be read or lacks a column.
        """
        frames = [
            self._read(symbol, session_date) for symbol in self.symbols if session_date in self._dates[symbol]
        ]
        return pl.concat(frames) if frames else pl.DataFrame(schema=RAW_SCHEMA)

    def part(self, session_date: date, symbols: tuple[str, ...]) -> pl.DataFrame:
        """Give the date's bars of some symbols; other files are not read for it.

        Raises:
            BadBatch: a file cannot be read or lacks a column.
        """
        wanted = [symbol for symbol in self.symbols if symbol in symbols]
        frames = [self._read(one, session_date) for one in wanted if session_date in self._dates[one]]
        return pl.concat(frames) if frames else pl.DataFrame(schema=RAW_SCHEMA)

    def prior_close(self, symbol: str, session_date: date) -> float | None:
        """Give the last close of the newest earlier file."""
        earlier = [day for day in self._dates.get(symbol, ()) if day < session_date]
        if not earlier:
            return None
        closes = self._read(symbol, earlier[-1]).sort("ts")["close"].drop_nulls()
        return float(closes[-1]) if len(closes) > 0 else None

    def _dates_of(self, symbol: str) -> tuple[date, ...]:
        """Give the dates a symbol has, sorted; files of other names are left alone."""
        days: list[date] = []
        for path in sorted((self._directory / symbol).glob("????-??-??.parquet")):
            try:
                days.append(date.fromisoformat(path.stem))
            except ValueError:
                continue
        return tuple(days)

    def _read_file(self, symbol: str, day: date) -> pl.DataFrame:
        """Read one file; the folder's name is the symbol."""
        path = self._directory / symbol / f"{day.isoformat()}.parquet"
        try:
            found = pl.read_parquet(path)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise BadBatch(f"{path}: cannot be read as Parquet: {error}") from error
        return raw_frame(found, str(path)).with_columns(symbol=pl.lit(symbol))

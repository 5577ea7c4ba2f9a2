"""The tape: what this desk has accepted so far, and the only bars a strategy may see (I10).

Bars come in from the inspector alone, each minute's as one chunk; a bar that had not ended when it
became known is refused as a programming error. Two readers:

- strategies get `frame`: regular-session bars (the 16:00 closing print and extended hours are not signal
  bars), one row per symbol and minute, the newest print of each, sorted by (symbol, ts);
- the inspector gets `since` and `last`: every accepted print of every segment, to tell a redelivery
  from a revision, a late bar from a new one, and a jump from a move.

Chunks are joined and sorted when somebody asks, and the joined frame is kept until the next chunk. Left
out: forgetting. A tape lives one session; 500 symbols of a day and a week's warm-up are about 60 MB.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from desk.inspection import LAST_SCHEMA
from schemas.bars import ACCEPTED_SCHEMA, RAW_SCHEMA, Segment

MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Bar:
    """One regular-session bar as a strategy may see it; prices in USD."""

    symbol: str
    ts: datetime
    open: float
    high: float
    low: float
    close: float
    volume: int


class Tape:
    """Accepted bars of today and of the warm-up before it."""

    def __init__(self) -> None:
        self._chunks: list[tuple[datetime, pl.DataFrame]] = []  # newest ts in the chunk, the chunk
        self._regular: pl.DataFrame = pl.DataFrame(schema=RAW_SCHEMA)
        self._waiting: list[pl.DataFrame] = []
        self._last = pl.DataFrame(schema=LAST_SCHEMA)
        self._latest: dict[str, Bar] = {}

    def add(self, accepted: pl.DataFrame, known_at: datetime) -> None:
        """Take in accepted bars, columns of `ACCEPTED_SCHEMA` (`Inspection.bars`).

        A print of a minute already here replaces it for strategies.

        Raises:
            ValueError: A bar ends after `known_at`, or the columns differ.
        """
        if accepted.height == 0:
            return
        if dict(accepted.schema) != ACCEPTED_SCHEMA:
            raise ValueError(f"a tape takes columns {list(ACCEPTED_SCHEMA)}, got {accepted.columns}")
        newest = accepted["ts"].max()
        assert isinstance(newest, datetime)
        if newest + MINUTE > known_at:
            raise ValueError(
                f"bar {newest.isoformat()} ends after {known_at.isoformat()}, when it is said to be known"
            )
        self._chunks.append((newest, accepted))
        regular = accepted.filter(pl.col("segment") == Segment.REGULAR.value)
        if regular.height > 0:
            self._waiting.append(regular.select(*RAW_SCHEMA))
            self._note_latest(regular)
        self._last = _newest_bars([self._last, _as_last(accepted)])

    def frame(self, symbols: Iterable[str] | None = None) -> pl.DataFrame:
        """Give the regular-session bars, columns of `RAW_SCHEMA`, sorted by (symbol, ts).

        Args:
            symbols: Only these; None gives all.
        """
        if self._waiting:
            self._regular = _merge([self._regular, *self._waiting])
            self._waiting = []
        if symbols is None:
            return self._regular
        return self._regular.filter(pl.col("symbol").is_in(list(symbols)))

    def latest(self, symbol: str) -> Bar | None:
        """Give a symbol's newest regular-session bar, or None."""
        return self._latest.get(symbol)

    def last_prices(self) -> dict[str, float]:
        """Give the close of each symbol's newest regular-session bar, USD."""
        return {symbol: bar.close for symbol, bar in self._latest.items()}

    def since(self, ts: datetime) -> pl.DataFrame:
        """Give every accepted print with ts at or after `ts`, in order of arrival."""
        recent = [chunk for newest, chunk in self._chunks if newest >= ts]
        if not recent:
            return pl.DataFrame(schema=ACCEPTED_SCHEMA)
        return pl.concat(recent).filter(pl.col("ts") >= ts)

    def last(self) -> pl.DataFrame:
        """Give the newest accepted bar per symbol, all segments."""
        return self._last

    def _note_latest(self, regular: pl.DataFrame) -> None:
        newest = regular.unique(subset="symbol", keep="last", maintain_order=True)
        for row in newest.select("symbol", "ts", "open", "high", "low", "close", "volume").iter_rows():
            bar = Bar(*row)
            held = self._latest.get(bar.symbol)
            if held is None or bar.ts >= held.ts:
                self._latest[bar.symbol] = bar


def _as_last(accepted: pl.DataFrame) -> pl.DataFrame:
    return accepted.select(
        "symbol",
        pl.col("ts").alias("last_ts"),
        pl.col("close").alias("last_close"),
        pl.col("session_date").alias("last_session"),
    )


def _newest_bars(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Give one row per symbol, the newest; of prints of one minute the one that came last."""
    joined = pl.concat(frames).sort("symbol", "last_ts", maintain_order=True)
    return joined.unique(subset="symbol", keep="last", maintain_order=True)


def _merge(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Join and sort; of prints of one minute the one that came last stays."""
    joined = pl.concat(frames).sort("symbol", "ts", maintain_order=True)
    same = (pl.col("symbol") == pl.col("symbol").shift(-1)) & (pl.col("ts") == pl.col("ts").shift(-1))
    return joined.filter(~same.fill_null(value=False))

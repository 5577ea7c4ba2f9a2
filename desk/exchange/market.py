"""Where the venue's bars come from: what a market is, and one made of given frames.

A market is asked for whole session dates. It says the same for ever when asked the same, so a venue on
it is a function of its orders. Real files are a market too (`desk.exchange.files`), and so is a seed
(`desk.exchange.generated`).

Providers disagree about whether a bar carries vwap and trade count, and Alpaca's always do. Where a
source has none, the venue states those of the minute as it plays it: the mean of four equal prints, and
four trades.
"""

from collections.abc import Mapping
from datetime import date
from typing import Protocol, runtime_checkable

import polars as pl

from desk.errors import BadBatch, NoBars
from desk.exchange.matching import PRINTS_PER_MINUTE
from schemas.bars import RAW_SCHEMA, UTC_US

LISTED_MAX = 12  # names listed in an error: enough to see the pattern, short enough for one line
WICK_FRAC = 0.05  # a wick beyond this share of the body does not enter the stated vwap (matching rule 4)


class Market(Protocol):
    """Minute bars by session date."""

    symbols: tuple[str, ...]
    provider: str

    def frame(self, session_date: date) -> pl.DataFrame:
        """Give the date's bars, columns of `schemas.bars.RAW_SCHEMA`; no rows on a date it does not have."""
        ...

    def prior_close(self, symbol: str, session_date: date) -> float | None:
        """Give the last close before the date, or None when it is not known."""
        ...


@runtime_checkable
class PartMarket(Protocol):
    """A market that can give some symbols of a date without making the others."""

    def part(self, session_date: date, symbols: tuple[str, ...]) -> pl.DataFrame:
        """Give the date's bars of these symbols, as `frame` has them."""
        ...


def frame_of(market: Market, session_date: date, symbols: tuple[str, ...]) -> pl.DataFrame:
    """Give a date's bars of some symbols, with as little work as the market can."""
    if isinstance(market, PartMarket):
        return market.part(session_date, symbols)
    return market.frame(session_date).filter(pl.col("symbol").is_in(symbols))


class FrameMarket:
    """A market of frames already in memory, one a session date."""

    provider = "frames"

    def __init__(self, frames: Mapping[date, pl.DataFrame]) -> None:
        """Check and keep the frames.

        Raises:
            BadBatch: a column is missing or of the wrong kind.
            NoBars: there is no frame.
        """
        if len(frames) == 0:
            raise NoBars("a market needs the bars of at least one date")
        self._frames = {day: raw_frame(frames[day], f"bars of {day}") for day in sorted(frames)}
        self.symbols = tuple(
            sorted({s for f in self._frames.values() for s in f["symbol"].unique().to_list()})
        )

    def frame(self, session_date: date) -> pl.DataFrame:
        """Give the date's bars, or no rows."""
        return self._frames.get(session_date, pl.DataFrame(schema=RAW_SCHEMA))

    def prior_close(self, symbol: str, session_date: date) -> float | None:
        """Give the last close of the newest earlier frame that has the symbol."""
        for day in reversed(self._frames):
            if day < session_date:
                closes = self._frames[day].filter(pl.col("symbol") == symbol).sort("ts")["close"].drop_nulls()
                if len(closes) > 0:
                    return float(closes[-1])
        return None


def raw_frame(frame: pl.DataFrame, source: str) -> pl.DataFrame:
    """Bring a source's frame to `schemas.bars.RAW_SCHEMA`.

    `timestamp` may stand for `ts`; vwap and trade count may lack.

    Args:
        frame: the rows as found.
        source: the file or thing they came from, for messages.

    Raises:
        BadBatch: a column is missing, or not of the kind it must be.
    """
    if "ts" not in frame.columns and "timestamp" in frame.columns:
        frame = frame.rename({"timestamp": "ts"})
    for name in ("vwap", "trade_count"):
        if name not in frame.columns:
            frame = frame.with_columns(pl.lit(None, RAW_SCHEMA[name]).alias(name))
    missing = [name for name in RAW_SCHEMA if name not in frame.columns]
    if missing:
        raise BadBatch(
            f"{source}: column {', '.join(missing)} is missing; expected symbol, ts or timestamp, open, "
            f"high, low, close, volume; found {', '.join(frame.columns)}"
        )
    zone = getattr(frame.schema["ts"], "time_zone", None)
    if not isinstance(frame.schema["ts"], pl.Datetime) or zone is None:
        raise BadBatch(f"{source}: column ts is {frame.schema['ts']}; expected a datetime with a time zone")
    try:
        frame = frame.select(
            pl.col("ts").dt.convert_time_zone("UTC").cast(UTC_US) if name == "ts" else pl.col(name).cast(kind)
            for name, kind in RAW_SCHEMA.items()
        )
    except pl.exceptions.InvalidOperationError as error:
        raise BadBatch(f"{source}: a column has values of the wrong kind: {error}") from error
    return _with_stated(frame)


def _with_stated(frame: pl.DataFrame) -> pl.DataFrame:
    """Fill vwap and trade count where the source has none (see the module's text)."""
    body_high = pl.max_horizontal("open", "close")
    body_low = pl.min_horizontal("open", "close")
    high = pl.min_horizontal("high", body_high * (1 + WICK_FRAC))
    low = pl.max_horizontal("low", body_low * (1 - WICK_FRAC))
    mean = ((pl.col("open") + high + low + pl.col("close")) / PRINTS_PER_MINUTE).round(6)
    trades = pl.min_horizontal(pl.col("volume"), pl.lit(PRINTS_PER_MINUTE, pl.Int64)).clip(0)
    return frame.with_columns(
        vwap=pl.col("vwap").fill_null(mean), trade_count=pl.col("trade_count").fill_null(trades)
    )


def listed(names: list[str]) -> str:
    """Write names in one line, with how many were left out."""
    shown = ", ".join(names[:LISTED_MAX])
    return shown if len(names) <= LISTED_MAX else f"{shown} and {len(names) - LISTED_MAX} more"

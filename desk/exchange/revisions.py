"""Minutes that are published twice: what a market said first, and what it says once late trades are in.

A trade may be reported after its minute was computed; about 30 s after the mark the service then sends the
minute again (`updatedBars`), and REST shows the new one from there on (ALPACA.md section 4.1). A market
that has such minutes offers `first_prints` beside its frames: the frame is what really traded, and what
orders meet; the first print is what was known of it for half a minute.

`LateTrades` makes such a market of any other, by a seed: of about `share_frac` of the minutes the last
trades come late. First, the minute then has less volume and closes at its vwap or its open; of one in eight
of them nothing was known at first.
"""

from datetime import date
from hashlib import blake2b
from typing import Protocol, runtime_checkable

import numpy as np
import polars as pl

from desk.exchange.market import Market, frame_of
from schemas.bars import RAW_SCHEMA

SHARE_FRAC = 0.01  # of minutes; Alpaca gives no figure, revised bars are seen daily on liquid names
LATE_VOLUME_FRAC = 0.1  # how much of the minute's volume the late trades carry
SILENT_ONE_IN = 8  # of revised minutes, how many had no bar at first


@runtime_checkable
class RevisedMarket(Protocol):
    """A market whose minutes may change after their first publication."""

    def first_prints(self, session_date: date) -> pl.DataFrame:
        """Give the rows that were published otherwise at first, columns of `schemas.bars.RAW_SCHEMA`.

        Each stands for the row of the same symbol and ts in the date's frame; null volume means that no
        bar was published at first.
        """
        ...


def first_prints(market: Market, session_date: date) -> pl.DataFrame:
    """Give a market's first prints; no rows for one that revises nothing."""
    if isinstance(market, RevisedMarket):
        return market.first_prints(session_date)
    return pl.DataFrame(schema=RAW_SCHEMA)


class LateTrades:
    """A market with some of its minutes revised."""

    def __init__(self, market: Market, *, seed: int, share_frac: float = SHARE_FRAC) -> None:
        """Keep the market.

        Args:
            market: the minutes as they end up.
            seed: decides which are revised.
            share_frac: how many of them, 0 to 1.

        Raises:
            ValueError: the share is no fraction.
        """
        if not 0.0 <= share_frac <= 1.0:
            raise ValueError(f"share_frac is a fraction of the minutes, got {share_frac}")
        self._market = market
        self._seed = seed
        self._share = share_frac
        self.symbols = market.symbols
        self.provider = market.provider

    def frame(self, session_date: date) -> pl.DataFrame:
        """Give the date's bars as they end up."""
        return self._market.frame(session_date)

    def part(self, session_date: date, symbols: tuple[str, ...]) -> pl.DataFrame:
        """Give the date's bars of some symbols as they end up."""
        return frame_of(self._market, session_date, symbols)

    def prior_close(self, symbol: str, session_date: date) -> float | None:
        """Give the last close before the date."""
        return self._market.prior_close(symbol, session_date)

    def first_prints(self, session_date: date) -> pl.DataFrame:
        """Give the revised minutes as they were at first."""
        frame = self.frame(session_date).sort("symbol", "ts", maintain_order=True)
        name = f"{self._seed}:{session_date.isoformat()}:late".encode()
        rng = np.random.Generator(np.random.PCG64(int.from_bytes(blake2b(name, digest_size=16).digest())))
        chosen = pl.Series(rng.random(frame.height) < self._share)
        silent = pl.Series(rng.integers(0, SILENT_ONE_IN, frame.height) == 0)
        revised = frame.with_columns(silent=silent).filter(chosen & (pl.col("volume") > 1))
        late = (pl.col("volume") * LATE_VOLUME_FRAC).ceil().cast(pl.Int64)
        close = pl.coalesce("vwap", "open").clip(pl.col("low"), pl.col("high")).round(2)
        close = close.clip(pl.col("low"), pl.col("high"))
        return revised.with_columns(
            close=close,
            volume=pl.when("silent").then(None).otherwise(pl.col("volume") - late),
            trade_count=(pl.col("trade_count") - 1).clip(lower_bound=1),
        ).select(list(RAW_SCHEMA))

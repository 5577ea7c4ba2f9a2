"""The tape: what this desk has accepted so far, and the only bars a strategy may see (I10).

Bars come in from the inspector alone, each minute's as one chunk; a bar that had not ended when it
became known is refused as a programming error. Two readers:

- strategies get `frame`: regular-session bars (the 16:00 closing print and extended hours are not signal
  bars), one row per symbol and minute, the newest print of each, sorted by (symbol, ts);
- the inspector gets `since` and `last`: every accepted print of every segment, to tell a redelivery
  from a revision, a late bar from a new one, and a jump from a move.

Chunks are joined and sorted when somebody asks, and the joined frame is kept until the next chunk. What
the inspector asks of every row (the newest bar of a symbol, the last minutes' values) is also kept as plain
values. Left out: forgetting. A tape lives one session; 500 symbols of a day and a week's warm-up are about
60 MB.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import polars as pl

from desk.inspection import LAST_SCHEMA, Newest, Values
from schemas.bars import ACCEPTED_SCHEMA, RAW_SCHEMA, Segment

MINUTE = timedelta(minutes=1)
MINUTE_US = 60_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Minutes whose values are kept at hand: a bar is printed again within half a minute, and asked for again
# within three; older redeliveries are looked up in the frames.
AT_HAND_MINUTES = 10
# Above so many rows only the newest of each symbol and the minutes at hand are read out one by one.
ROW_BY_ROW_MAX = 5_000


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
        self._newest: dict[str, Newest] = {}
        self._latest: dict[str, tuple[int, Values]] = {}  # ts in microseconds, values; regular session
        self._at_hand: dict[int, dict[str, tuple[int, Values]]] = {}  # by ts and symbol: revision, values
        self._forgotten_us = 0  # `values_at` knows every print from here on

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
        is_regular = accepted["segment"] == Segment.REGULAR.value
        regular = accepted if is_regular.all() else accepted.filter(is_regular)
        if regular.height > 0:
            self._waiting.append(regular.select(*RAW_SCHEMA))
        if accepted.height <= ROW_BY_ROW_MAX:
            self._note(accepted)
            return
        edge = newest - AT_HAND_MINUTES * MINUTE
        self._forgotten_us = max(self._forgotten_us, microseconds(edge))
        for part in (_newest_bars(regular), _newest_bars(accepted), accepted.filter(pl.col("ts") >= edge)):
            self._note(part)

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
        wanted = frozenset(symbols)
        if wanted >= self._latest.keys():
            return self._regular
        return self._regular.filter(pl.col("symbol").is_in(sorted(wanted)))

    def latest(self, symbol: str) -> Bar | None:
        """Give a symbol's newest regular-session bar, or None."""
        found = self._latest.get(symbol)
        if found is None:
            return None
        ts_us, (first, high, low, close, volume, _, _) = found
        return Bar(symbol, _instant(ts_us), first, high, low, close, volume)

    def last_prices(self) -> dict[str, float]:
        """Give the close of each symbol's newest regular-session bar, USD."""
        return {symbol: values[3] for symbol, (_, values) in self._latest.items()}

    def since(self, ts: datetime) -> pl.DataFrame:
        """Give every accepted print with ts at or after `ts`, in order of arrival."""
        recent = [chunk for newest, chunk in self._chunks if newest >= ts]
        if not recent:
            return pl.DataFrame(schema=ACCEPTED_SCHEMA)
        return pl.concat(recent).filter(pl.col("ts") >= ts)

    def last(self) -> pl.DataFrame:
        """Give the newest accepted bar per symbol, all segments."""
        rows = [
            (symbol, _instant(newest.ts_us), newest.close, newest.session_date)
            for symbol, newest in sorted(self._newest.items())
        ]
        return pl.DataFrame(rows, schema=LAST_SCHEMA, orient="row")

    def newest(self, symbol: str) -> Newest | None:
        """Give the newest accepted bar of a symbol, all segments."""
        return self._newest.get(symbol)

    def values_at(self, symbol: str, ts_us: int) -> Values | None:
        """Give the newest print of a symbol's minute at hand; None where there is none."""
        minute = self._at_hand.get(ts_us)
        found = None if minute is None else minute.get(symbol)
        return None if found is None else found[1]

    def has(self, symbol: str, ts: datetime) -> bool:
        """Tell whether a symbol's minute was printed, however long ago."""
        if microseconds(ts) >= self._forgotten_us:
            return self.values_at(symbol, microseconds(ts)) is not None
        return not self.since(ts).filter((pl.col("ts") == ts) & (pl.col("symbol") == symbol)).is_empty()

    def at_hand_us(self) -> int:
        """Give the minute from which on `values_at` knows every print."""
        return self._forgotten_us

    def _note(self, accepted: pl.DataFrame) -> None:
        """Keep at hand what is asked of single rows; noting a print twice changes nothing."""
        stamps = accepted["ts"].to_physical().to_list()
        names = ("symbol", "open", "high", "low", "close", "volume", "vwap", "trade_count")
        lists = [accepted[name].to_list() for name in (*names, "revision", "session_date", "segment")]
        for ts, symbol, *values, revision, day, segment in zip(stamps, *lists, strict=True):
            printed = tuple(values)
            held = self._newest.get(symbol)
            if held is None or ts >= held.ts_us:
                self._newest[symbol] = Newest(ts, printed[3], day)
            shown = self._latest.get(symbol)
            if segment == Segment.REGULAR.value and (shown is None or ts >= shown[0]):
                self._latest[symbol] = ts, printed
            if ts >= self._forgotten_us:
                minute = self._at_hand.setdefault(ts, {})
                known = minute.get(symbol)
                if known is None or revision >= known[0]:
                    minute[symbol] = revision, printed
        while len(self._at_hand) > AT_HAND_MINUTES:
            oldest = min(self._at_hand)
            del self._at_hand[oldest]
            self._forgotten_us = max(self._forgotten_us, oldest + MINUTE_US)


def microseconds(instant: datetime) -> int:
    return (instant - EPOCH) // timedelta(microseconds=1)


def _instant(us: int) -> datetime:
    return EPOCH + timedelta(microseconds=us)


def _newest_bars(frame: pl.DataFrame) -> pl.DataFrame:
    """Give one row per symbol, the newest; of prints of one minute the one that came last."""
    ordered = frame.sort("symbol", "ts", maintain_order=True)
    return ordered.unique(subset="symbol", keep="last", maintain_order=True)


def _merge(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Join and sort; of prints of one minute the one that came last stays."""
    joined = pl.concat(frames).sort("symbol", "ts", maintain_order=True)
    same = (pl.col("symbol") == pl.col("symbol").shift(-1)) & (pl.col("ts") == pl.col("ts").shift(-1))
    return joined.filter(~same.fill_null(value=False))

"""The inspector's question and answer: what a delivery is judged by, and the judgement."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple, Protocol, TypeAlias

import polars as pl

from schemas.account import SessionHours
from schemas.bars import ACCEPTED_SCHEMA, PRINT_SCHEMA, RAW_SCHEMA, Flaw, Segment, Verdict
from schemas.settings import DataSettings

TIMEFRAME = "1Min"

SessionOn: TypeAlias = Callable[[date], SessionHours | None]
Refused: TypeAlias = Mapping[str, Mapping[datetime, float]]  # closes by symbol and minute

LAST_SCHEMA: dict[str, pl.DataType] = {
    "symbol": pl.String(),
    "last_ts": pl.Datetime("us", "UTC"),
    "last_close": pl.Float64(),
    "last_session": pl.Date(),
}


# Open, high, low, close, volume, vwap, trade count of a print.
Values: TypeAlias = tuple[float, float, float, float, int, float | None, int | None]


class Newest(NamedTuple):
    """The newest accepted bar of a symbol; ts in microseconds since 1970."""

    ts_us: int
    close: float
    session_date: date


class Mode(StrEnum):
    """How a delivery came."""

    LIVE = "live"  # one poll at `now`
    LIVE_STREAM = "live_stream"  # rows came one by one, in the order given
    BACKFILL = "backfill"  # a historical load
    EOD = "eod"  # the day's load after its end

    @property
    def is_live(self) -> bool:
        """Tell whether decisions hang on the newest row."""
        return self in (Mode.LIVE, Mode.LIVE_STREAM)


class Memory(Protocol):
    """The bars accepted before; `desk.tape.Tape` is one."""

    def since(self, ts: datetime) -> pl.DataFrame:
        """Give every accepted print with ts at or after `ts`, columns of `ACCEPTED_SCHEMA`."""
        ...

    def last(self) -> pl.DataFrame:
        """Give the newest accepted bar per symbol, columns of `LAST_SCHEMA`, unique by symbol."""
        ...

    def newest(self, symbol: str) -> Newest | None:
        """Give what `last` says of one symbol."""
        ...

    def values_at(self, symbol: str, ts_us: int) -> Values | None:
        """Give the newest accepted print of a symbol's minute; None also where it is not `at_hand`."""
        ...

    def at_hand_us(self) -> int:
        """Give the minute from which on `values_at` knows every accepted print."""
        ...


class Forgetful:
    """A memory with nothing in it, for a load that stands alone."""

    def since(self, ts: datetime) -> pl.DataFrame:
        """Give no bars."""
        return pl.DataFrame(schema=ACCEPTED_SCHEMA)

    def last(self) -> pl.DataFrame:
        """Give no symbols."""
        return pl.DataFrame(schema=LAST_SCHEMA)

    def newest(self, symbol: str) -> Newest | None:
        """Know of none."""
        return None

    def values_at(self, symbol: str, ts_us: int) -> Values | None:
        """Know of none."""
        return None

    def at_hand_us(self) -> int:
        """Say that nothing was ever accepted."""
        return 0


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a delivery is judged by.

    `session_on` gives a day's session or None, and may raise ValueError outside its calendar.
    `known_symbols` is the symbol master; with it, a foreign symbol is told from an unknown one.
    """

    now: datetime
    mode: Mode
    expected: frozenset[str]
    session_on: SessionOn
    limits: DataSettings
    memory: Memory
    known_symbols: frozenset[str] | None = None
    refused: Refused = field(default_factory=dict)  # closes refused as jumps (desk/new_levels.py)
    provider: str = ""
    feed: str = ""


@dataclass(frozen=True)
class Finding:
    """Something a person may want to know of a delivery that is no single row's verdict."""

    flaw: Flaw
    verdict: Verdict
    symbol: str | None
    ts: datetime | None
    detail: str


@dataclass(frozen=True)
class Inspection:
    """The judgement of one delivery.

    Attributes:
        verdict: Of the whole delivery: the most severe of its rows and findings; a dropped
            duplicate counts as a warning.
        report: Makes `rows`, which nobody needs in a session.
        bars: Every accepted print, columns of `ACCEPTED_SCHEMA`, sorted by (symbol, ts, revision).
        quarantine: Everything refused but identical redeliveries, columns of `QUARANTINE_SCHEMA`.
        suspects: Symbols that get no new entries on this minute.
        findings: Gaps, stale feeds, revisions, extra columns and the like.
    """

    verdict: Verdict
    report: Callable[[], pl.DataFrame]
    bars: pl.DataFrame
    quarantine: pl.DataFrame
    suspects: frozenset[str]
    findings: tuple[Finding, ...]

    @cached_property
    def rows(self) -> pl.DataFrame:
        """Give one row per delivered row, in delivered order: row, symbol, ts, verdict, reason, detail.

        Reason and detail are null where a row was accepted.
        """
        return self.report()

    @property
    def accepted(self) -> pl.DataFrame:
        """Give the newest print per symbol and minute, columns of `RAW_SCHEMA`, sorted, all segments."""
        return self._newest().select(*RAW_SCHEMA)

    @property
    def regular(self) -> pl.DataFrame:
        """Give the newest prints of the regular session only, columns of `RAW_SCHEMA`, sorted."""
        return self._newest().filter(pl.col("segment") == Segment.REGULAR.value).select(*RAW_SCHEMA)

    def prints(self, *, known_at: datetime, provider: str, feed: str) -> pl.DataFrame:
        """Give every accepted print as the warehouse keeps it, columns of `PRINT_SCHEMA`."""
        return self.bars.with_columns(
            pl.lit(TIMEFRAME).alias("timeframe"),
            pl.lit(provider).alias("provider"),
            pl.lit(feed).alias("feed"),
            pl.lit(known_at, pl.Datetime("us", "UTC")).alias("known_at"),
        ).select(*PRINT_SCHEMA)

    def _newest(self) -> pl.DataFrame:
        minutes = set(
            zip(self.bars["symbol"].to_list(), self.bars["ts"].to_physical().to_list(), strict=True)
        )
        if len(minutes) == self.bars.height:
            return self.bars
        return self.bars.unique(subset=["symbol", "ts"], keep="last", maintain_order=True)

"""The short way for a live delivery with nothing wrong in any row, which is nearly every one.

The inspector asks dozens of questions of a delivery, each a pass over a frame; for a minute's few rows the
passes cost far more than the answers. Here the same questions are asked of each row in one walk. The walk
only ever says "clean" or "look closely": at the first row that is not plainly sound, new or an identical
redelivery, it gives None and the inspector judges the delivery from the beginning. So a fault is found, named
and worded in one place, and a mistake here can only be one of calling a bad delivery clean: a property test
holds every answer given here to what the inspector would have said.

Clean means, for every row: a symbol asked for; a finished minute of the session that is open; finite,
ordered, positive prices; something traded; a vwap within the range; close to the close before it; and
either a minute not printed yet and later than any, or one printed with the same values. And of the whole:
the clock right. Bars that are missing make no row doubtful, and with many symbols some bar is missing nearly
always: gaps and stale symbols are found here too, and worded where the inspector words them.
"""

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeAlias, TypeGuard

import polars as pl

from desk.delivery import Delivery
from desk.feed_watch import GAPS_NAMED_MAX, gap, session_at, stale_symbols, wrong_time
from desk.inspection import Context, Finding, Inspection, Mode, Values
from desk.plausibility import SCALE_SLACK
from desk.refusals import row_report
from desk.row_checks import MINUTE_US, PRICE_MAX_USD, VOLUME_MAX
from schemas.account import SessionHours
from schemas.bars import (
    ACCEPTED_SCHEMA,
    QUARANTINE_SCHEMA,
    RAW_SCHEMA,
    VWAP_SLACK_FRAC,
    VWAP_SLACK_USD,
    Flaw,
    Segment,
    Verdict,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
COLUMNS = list(RAW_SCHEMA)
Delivered: TypeAlias = float | int | None
# A hair inside the limit: logarithms of two libraries may differ in the last digit.
UNIT_LOG_MAX = 1 - SCALE_SLACK - 1e-9


def clean(delivery: Delivery, context: Context) -> Inspection | None:
    """Give the judgement of a delivery with nothing wrong in any row; None where that is not certain."""
    if context.mode is not Mode.LIVE or not isinstance(delivery, pl.DataFrame):
        return None
    if context.refused:
        return None  # a price in doubt may be about to be believed
    if delivery.height == 0 or delivery.columns != COLUMNS or dict(delivery.schema) != RAW_SCHEMA:
        return None
    hours = session_at(context)
    if hours is None:
        return None
    stamps = delivery["ts"].to_physical().to_list()
    lists = [stamps if name == "ts" else delivery[name].to_list() for name in COLUMNS]
    walk = _Walk.through(context, hours)
    if not all(walk.passes(row, *values) for row, values in enumerate(zip(*lists, strict=True))):
        return None
    newest = instant(max(stamps))
    if wrong_time(newest, context) is not None or len(walk.gaps) > GAPS_NAMED_MAX:
        return None
    return _judgement(delivery, walk, context, hours)


def us(instant: datetime) -> int:
    """Give an instant in microseconds since 1970."""
    return (instant - EPOCH) // MICROSECOND


def instant(stamp: int) -> datetime:
    """Give the instant of microseconds since 1970."""
    return EPOCH + stamp * MICROSECOND


@dataclass(slots=True)
class _Walk:
    """One walk over the rows, in delivered order."""

    context: Context
    hours: SessionHours
    opens_us: int
    closes_us: int
    final_us: int  # the newest left edge of a minute that is final now
    at_hand_us: int
    jump: float
    before: dict[str, tuple[int, float]]  # the row before of each symbol: ts and close
    fresh: dict[str, int]  # the newest new minute of each symbol
    new: list[tuple[str, int, int]]  # symbol, ts and place of each row that is not a redelivery
    again: set[int]  # places of those that are
    gaps: list[tuple[str, int, int]]  # symbol, the minutes before and after what is missing

    @classmethod
    def through(cls, context: Context, hours: SessionHours) -> "_Walk":
        """Stand before the first row."""
        return cls(
            context=context,
            hours=hours,
            opens_us=us(hours.opens_at),
            closes_us=us(hours.closes_at),
            final_us=us(context.now) - MINUTE_US - round(context.limits.final_after_s * 1_000_000),
            at_hand_us=context.memory.at_hand_us(),
            jump=float(context.limits.jump_frac),
            before={},
            fresh={},
            new=[],
            again=set(),
            gaps=[],
        )

    def passes(self, row: int, symbol: str | None, ts: int | None, *values: Delivered) -> bool:
        """Take in one row; False when it must be looked at closely."""
        if symbol is None or ts is None or symbol not in self.context.expected:
            return False
        if ts % MINUTE_US != 0 or not self.opens_us <= ts < self.closes_us or ts > self.final_us:
            return False
        if ts < self.at_hand_us or not is_sound(values):
            return False
        before = self.before.get(symbol)
        if before is not None and ts <= before[0]:
            return False
        if not self._is_near(symbol, before, values) or not self._is_in_line(row, symbol, ts, values):
            return False
        self.before[symbol] = ts, values[3]
        return True

    def _is_near(self, symbol: str, before: tuple[int, float] | None, values: Values) -> bool:
        """Tell whether a row's prices are near the close before it."""
        first, high, low, close, *_ = values
        if 1 - low / min(first, close) > self.jump or high / max(first, close) - 1 > self.jump:
            return False
        if before is not None:
            reference, same_day = before[1], True
        else:
            last = self.context.memory.newest(symbol)
            if last is None:
                return True
            reference, same_day = last.close, last.session_date == self.hours.session_date
        if same_day and (abs(low / reference - 1) > self.jump or abs(high / reference - 1) > self.jump):
            return False
        return abs(math.log10(close / reference)) <= UNIT_LOG_MAX

    def _is_in_line(self, row: int, symbol: str, ts: int, values: Values) -> bool:
        """Tell whether a row is an identical redelivery, or a later minute of its symbol."""
        memory = self.context.memory
        known = memory.values_at(symbol, ts)
        if known is not None:
            self.again.add(row)
            return values == known
        last = memory.newest(symbol)
        if last is not None and ts < last.ts_us:
            return False  # late
        earlier = self.fresh.get(symbol)
        if earlier is None and last is not None and last.session_date == self.hours.session_date:
            earlier = max(last.ts_us, self.opens_us - MINUTE_US)
        if earlier is not None and ts - earlier > MINUTE_US:
            self.gaps.append((symbol, earlier, ts))
        self.fresh[symbol] = ts
        self.new.append((symbol, ts, row))
        return True


def is_sound(values: tuple[Delivered, ...]) -> TypeGuard[Values]:
    """Tell whether values in the order of `Values` can be a bar in which something traded."""
    first, high, low, close, volume, vwap, trades = values
    if first is None or high is None or low is None or close is None or volume is None:
        return False
    if not (0.0 < low <= first <= high <= PRICE_MAX_USD and low <= close <= high):
        return False  # a comparison with NaN is false
    if not 0 < volume <= VOLUME_MAX or (trades is not None and trades < 0):
        return False
    slack = VWAP_SLACK_USD + high * VWAP_SLACK_FRAC
    return vwap is None or low - slack <= vwap <= high + slack


def _judgement(delivery: pl.DataFrame, walk: _Walk, context: Context, hours: SessionHours) -> Inspection:
    """Write down that nothing is wrong with what came, and what did not come."""
    places = [place for _, _, place in sorted(walk.new)]
    bars = delivery if places == list(range(delivery.height)) else delivery[places]
    count = len(places)
    bars = bars.hstack(
        [
            pl.Series("revision", [0] * count, dtype=ACCEPTED_SCHEMA["revision"]),
            pl.Series("session_date", [hours.session_date] * count, dtype=ACCEPTED_SCHEMA["session_date"]),
            pl.Series("segment", [Segment.REGULAR.value] * count, dtype=ACCEPTED_SCHEMA["segment"]),
        ]
    )
    findings = []
    if walk.again:
        words = f"{len(walk.again)} row(s) were delivered before with the same values and dropped"
        findings.append(Finding(Flaw.DUPLICATE, Verdict.WARN, None, None, words))
    findings += [gap(symbol, instant(earlier), instant(ts)) for symbol, earlier, ts in sorted(walk.gaps)]
    stale, suspects = stale_symbols({symbol: instant(ts) for symbol, ts in walk.fresh.items()}, context)
    findings += stale
    return Inspection(
        verdict=_overall(findings),
        report=lambda: _report(delivery, walk.again, context),
        bars=bars,
        quarantine=pl.DataFrame(schema=QUARANTINE_SCHEMA),
        suspects=suspects,
        findings=tuple(findings),
    )


def _overall(findings: list[Finding]) -> Verdict:
    """Give the most severe verdict of the findings, the rows being accepted or dropped."""
    if any(finding.verdict is Verdict.QUARANTINE for finding in findings):
        return Verdict.QUARANTINE
    return Verdict.WARN if findings else Verdict.ACCEPT


def _report(delivery: pl.DataFrame, again: set[int], context: Context) -> pl.DataFrame:
    """Give every row's verdict."""
    dropped = pl.col("row").is_in(sorted(again))
    final = delivery.with_columns(pl.int_range(pl.len(), dtype=pl.UInt32).alias("row")).with_columns(
        pl.when(dropped).then(pl.lit(Flaw.DUPLICATE.value)).alias("reason"),
        pl.when(dropped)
        .then(pl.lit(Verdict.REJECT_ROW.value))
        .otherwise(pl.lit(Verdict.ACCEPT.value))
        .alias("verdict"),
        pl.lit(None, pl.String).alias("detail"),
    )
    return row_report(final, context)

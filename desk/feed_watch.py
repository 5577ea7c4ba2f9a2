"""The feed as a whole: is it alive, is its clock right, what is missing.

No row says that a feed stopped: rows that come are sound and old, or none come at all. Age is measured
in session time against the newest bar known, so the staleness clock runs on through empty deliveries and
does not run over the night. An hour or more is another fault than three minutes: a delivery whose newest
bar is whole hours away carries somebody's wall clock under the wrong label, and none of it is used.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import polars as pl

from desk.inspection import Context, Finding
from desk.row_checks import MINUTE, sessions_around
from schemas.account import SessionHours
from schemas.bars import Flaw, Segment, Verdict

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
# From here on a live delivery is not late but wrong; zone errors and missed clock changes start at one hour.
STALE_BATCH = HOUR
# Gaps named one by one; a delivery with more of them is summed up, for nobody reads a thousand lines.
GAPS_NAMED_MAX = 500


def session_at(context: Context) -> SessionHours | None:
    """Give the session that is open at `now`."""
    for hours in sessions_around([context.now], context):
        if hours.opens_at <= context.now < hours.closes_at:
            return hours
    return None


def wrong_time(newest: datetime, context: Context) -> tuple[Flaw, str] | None:
    """Judge a live delivery by its newest bar: None, stale_batch or zone_shift.

    Before the open and after the close feeds are rightly quiet, so only an open session judges age.
    """
    if not context.mode.is_live:
        return None
    stale_after = timedelta(seconds=context.limits.stale_after_s)
    age = context.now - (newest + MINUTE)
    if age < -HOUR + stale_after:
        return _hours_off(-age, "ahead of", newest, stale_after) or (
            Flaw.FUTURE_BAR,
            f"newest bar {newest.isoformat()} lies {-age} ahead of {context.now.isoformat()}",
        )
    hours = session_at(context)
    if hours is None or age < STALE_BATCH or context.now < hours.opens_at + stale_after:
        return None
    return _hours_off(age, "behind", newest, stale_after) or (
        Flaw.STALE_BATCH,
        f"newest bar {newest.isoformat()} ended {age.total_seconds():,.0f} s ago, "
        f"limit {STALE_BATCH.total_seconds():,.0f} s",
    )


def _hours_off(off: timedelta, where: str, newest: datetime, slack: timedelta) -> tuple[Flaw, str] | None:
    whole = round(off / HOUR)
    if whole >= 1 and abs(off - whole * HOUR) <= slack:
        return (
            Flaw.ZONE_SHIFT,
            f"newest bar {newest.isoformat()} is {whole} whole hour(s) {where} the clock: "
            "a wall clock under the wrong zone",
        )
    return None


def staleness(bars: pl.DataFrame, context: Context) -> tuple[list[Finding], frozenset[str]]:
    """Find symbols, or the whole feed, whose newest bar ended too long ago.

    Args:
        bars: What this delivery adds, `ACCEPTED_SCHEMA`.
        context: With the bars known before.

    Returns:
        Findings, and the stale symbols: they get no entries. A feed of which no bar was ever seen is a
        warning; its staleness is unknown, not zero, so its symbols are among the stale ones.
    """
    added: dict[str, datetime] = {}
    for symbol, ts in zip(bars["symbol"].to_list(), bars["ts"].to_list(), strict=True):
        added[symbol] = max(ts, added.get(symbol, ts))
    return stale_symbols(added, context)


def stale_symbols(added: Mapping[str, datetime], context: Context) -> tuple[list[Finding], frozenset[str]]:
    """Do as `staleness`, with the newest bar of each symbol that a delivery adds."""
    hours = session_at(context) if context.mode.is_live else None
    if hours is None:
        return [], frozenset()
    limit = timedelta(seconds=context.limits.stale_after_s)
    edge = context.now - limit
    if hours.opens_at >= edge:
        return [], frozenset()  # nothing can be stale so soon after the open
    newest = dict(added)
    for symbol in context.expected:
        last = context.memory.newest(symbol)
        if last is not None:
            known = EPOCH + timedelta(microseconds=last.ts_us)
            newest[symbol] = max(known, newest.get(symbol, known))
    stale = {
        symbol: context.now - max(newest[symbol] + MINUTE, hours.opens_at) if symbol in newest else None
        for symbol in sorted(context.expected)
        if symbol not in newest or newest[symbol] + MINUTE < edge
    }
    if not stale:
        return [], frozenset()
    whole_feed = any(symbol in newest for symbol in context.expected) and len(stale) == len(context.expected)
    verdict = Verdict.QUARANTINE if whole_feed else Verdict.WARN
    findings = [
        Finding(
            Flaw.STALE_FEED, verdict, symbol, newest.get(symbol), _stale_words(symbol, newest, age, limit)
        )
        for symbol, age in stale.items()
    ]
    return findings, frozenset(stale)


def _stale_words(symbol: str, newest: dict[str, datetime], age: timedelta | None, limit: timedelta) -> str:
    if age is None:
        return f"{symbol} has no bar yet, limit {limit.total_seconds():.0f} s after the open"
    ended = (newest[symbol] + MINUTE).isoformat()
    seconds = f"{age.total_seconds():,.0f} s ago, limit {limit.total_seconds():.0f} s"
    return f"newest {symbol} bar ended {ended}: {seconds}"


def gaps(bars: pl.DataFrame, context: Context) -> list[Finding]:
    """Find missing minutes between regular-session bars, the newest known one included.

    Nothing is invented for them: a strategy sees the bars there are.

    Args:
        bars: Accepted bars sorted by (symbol, ts), with opens_at.
        context: With the bars known before.
    """
    regular = bars.filter(pl.col("segment") == Segment.REGULAR.value)
    if regular.height == 0:
        return []
    last = context.memory.last()
    before = regular.join(last, on="symbol", how="left", maintain_order="left")
    same = (pl.col("symbol") == pl.col("symbol").shift(1)) & (
        pl.col("session_date") == pl.col("session_date").shift(1)
    )
    opening = pl.col("opens_at") - MINUTE
    known = pl.when(pl.col("last_session") == pl.col("session_date")).then(
        pl.max_horizontal(pl.col("last_ts"), opening)
    )
    found = (
        before.with_columns(
            pl.when(same.fill_null(value=False)).then(pl.col("ts").shift(1)).otherwise(known).alias("before")
        )
        .filter(pl.col("ts") - pl.col("before") > MINUTE)
        .select("symbol", "before", "ts")
    )
    findings = []
    for symbol, earlier, ts in found.head(GAPS_NAMED_MAX).iter_rows():
        findings.append(gap(symbol, earlier, ts))
    if found.height > GAPS_NAMED_MAX:
        words = f"{found.height - GAPS_NAMED_MAX} more gaps, beyond the {GAPS_NAMED_MAX} named"
        findings.append(Finding(Flaw.GAP, Verdict.WARN, None, None, words))
    return findings


def gap(symbol: str, earlier: datetime, ts: datetime) -> Finding:
    """Say that the minutes of a symbol between two of its bars are missing."""
    missing = (ts - earlier) // MINUTE - 1
    words = f"{symbol} lacks {missing} minute(s) from {(earlier + MINUTE).isoformat()} to {ts.isoformat()}"
    return Finding(Flaw.GAP, Verdict.WARN, symbol, earlier + MINUTE, words)

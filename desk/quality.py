"""What a day's bars were like: how many, how often corrected, what was kept out, what is missing.

Pure over frames. A gap is a minute of the session without a bar for a symbol that has bars that day,
or was asked for; thin symbols have honest gaps, since a minute without a trade has no bar. Bars
outside the session's hours are counted as bars and make no gap.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

import polars as pl

from desk.hours import minutes
from schemas.account import SessionHours
from schemas.report import Count, DataQuality, GapLine


def data_quality(
    bars: pl.DataFrame,
    *,
    symbols: Sequence[str],
    hours: SessionHours | None,
    revisions: int,
    quarantined: Mapping[str, int],
) -> DataQuality:
    """Count what the report shows of the day's data.

    Args:
        bars: latest prints of the day; at least `symbol` and `ts`, one row per symbol and minute.
        symbols: what the sessions asked for; a symbol without any bar then shows as missing.
        hours: the session; None leaves gaps unknown.
        revisions: prints that changed an earlier one.
        quarantined: rows kept out, by reason.
    """
    session = minutes(hours) if hours is not None else ()
    edges: dict[str, set[datetime]] = {symbol: set() for symbol in symbols}
    for symbol, ts in bars.select("symbol", "ts").iter_rows():
        edges.setdefault(symbol, set()).add(ts)
    return DataQuality(
        bars=bars.height,
        symbols=len(edges),
        revisions=revisions,
        quarantined=tuple(
            Count(name=name, count=count)
            for name, count in sorted(quarantined.items(), key=lambda item: (-item[1], item[0]))
        ),
        gaps=tuple(_gap(symbol, edges[symbol], session) for symbol in sorted(edges)),
        session_minutes=len(session) if hours is not None else None,
    )


def _gap(symbol: str, seen: set[datetime], session: Sequence[datetime]) -> GapLine:
    """Give a symbol's missing minutes and the longest run of them."""
    longest, run = 0, 0
    longest_from: datetime | None = None
    run_from: datetime | None = None
    missing = 0
    for minute in session:
        if minute in seen:
            run = 0
            continue
        missing += 1
        run_from = minute if run == 0 else run_from
        run += 1
        if run > longest:
            longest, longest_from = run, run_from
    return GapLine(symbol=symbol, bars=len(seen), missing=missing, longest=longest, longest_from=longest_from)

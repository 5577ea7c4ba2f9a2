"""One day's bars out of the warehouse, for the report.

The file is opened read-only and closed again at once. While another process holds it for writing
(the session opens it for milliseconds a minute, a person's DuckDB shell for as long as they like) a
few tries are made, then `WarehouseBusy` says so. A warehouse that does not exist yet has no bars.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl

from data.duckfile import opened, to_frame
from desk.errors import WarehouseBusy
from desk.hours import from_new_york
from schemas.bars import RAW_SCHEMA

OPEN_ATTEMPTS = 8  # with the waits below about 6 s: many times what a writer of ours holds the file
FIRST_WAIT_S = 0.05  # doubles each time
QUERY_TIMEFRAME = "1Min"

# A print may have been corrected by a later one of the same minute; `bars` shows the latest. Prints of
# two feeds of one minute are one bar here: the one known last.
_BARS = """
SELECT symbol, ts, open, high, low, close, volume, vwap, trade_count
FROM bars
WHERE timeframe = $timeframe AND ts >= $start AND ts < $stop
QUALIFY row_number() OVER (PARTITION BY symbol, ts ORDER BY known_at DESC, provider, feed) = 1
ORDER BY symbol, ts
"""
_REVISIONS = """
SELECT count(*) FROM bar_prints
WHERE timeframe = $timeframe AND ts >= $start AND ts < $stop AND revision > 0
"""
_QUARANTINED = """
SELECT reason, count(*) FROM quarantine
WHERE coalesce(ts, known_at) >= $start AND coalesce(ts, known_at) < $stop
GROUP BY reason ORDER BY reason
"""


@dataclass(frozen=True, kw_only=True)
class DayBars:
    """A New York day as the warehouse has it."""

    bars: pl.DataFrame  # columns of RAW_SCHEMA, one row per symbol and minute, sorted by both
    revisions: int  # prints that changed an earlier one
    quarantined: dict[str, int]  # rows kept out, by reason


def read_day_bars(path: Path, session_date: date, *, sleep: Callable[[float], None] = time.sleep) -> DayBars:
    """Give the latest prints of a New York day, and what was kept out of it.

    Args:
        path: the DuckDB file.
        session_date: the day, midnight to midnight in New York.
        sleep: waits between tries, seconds.

    Raises:
        WarehouseBusy: somebody held the file through all tries; names the process.
        WarehouseUnavailable: the file is corrupt or cannot be opened.
    """
    if not path.exists():
        return DayBars(bars=pl.DataFrame(schema=RAW_SCHEMA), revisions=0, quarantined={})
    midnight = datetime.min.time()
    window = {
        "start": from_new_york(session_date, midnight),
        "stop": from_new_york(session_date + timedelta(days=1), midnight),
    }
    wait_s = FIRST_WAIT_S
    for _ in range(1, OPEN_ATTEMPTS):
        try:
            return _read(path, window)
        except WarehouseBusy:
            sleep(wait_s)
            wait_s *= 2
    return _read(path, window)


def _read(path: Path, window: dict[str, datetime]) -> DayBars:
    """Read the window once; raises what `opened` raises."""
    minute = {**window, "timeframe": QUERY_TIMEFRAME}
    with opened(path, read_only=True) as connection:
        bars = to_frame(connection.sql(_BARS, params=minute))
        revisions = connection.execute(_REVISIONS, minute).fetchall()
        quarantined = connection.execute(_QUARANTINED, window).fetchall()
    return DayBars(
        bars=bars.cast({name: kind for name, kind in RAW_SCHEMA.items() if name in bars.columns}),
        revisions=int(revisions[0][0]),
        quarantined={str(reason): int(count) for reason, count in quarantined},
    )

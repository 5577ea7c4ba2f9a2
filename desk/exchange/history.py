"""Bars as the venue has published them: the current session up to now, and earlier sessions whole."""

from datetime import datetime, timedelta

import polars as pl

from desk.exchange.market import Market
from desk.exchange.tape import Tape
from desk.hours import FIRST_DAY, sessions_between

HISTORY_DAYS_MAX = 400  # how far back bars are served: a year of sessions and room to spare
ONE_DAY = timedelta(days=1)


def public_bars(market: Market, tape: Tape, now: datetime, start: datetime, end: datetime) -> pl.DataFrame:
    """Give the public bars with ts in [start, end), by time: a minute is public 1 s after it ends."""
    today = tape.hours.session_date
    first = max(start.date() - ONE_DAY, today - timedelta(days=HISTORY_DAYS_MAX), FIRST_DAY)
    last = min(end.date() + ONE_DAY, today)
    earlier: list[pl.DataFrame] = []
    if first < last and start < tape.starts_at:
        for hours in sessions_between(first, last):
            frame = market.frame(hours.session_date)
            earlier.append(frame.filter((pl.col("ts") >= start) & (pl.col("ts") < end)).sort("ts"))
    return pl.concat([*earlier, tape.published(now, start, end)])

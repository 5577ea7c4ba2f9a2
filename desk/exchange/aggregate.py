"""Longer bars, made of minutes.

Minutes and hours are counted from midnight in New York, days, weeks (from Monday) and months begin there:
a bar's `ts` is the start of its span, whether or not anything traded then (ALPACA.md section 4). A day's
open, high, low and close are those of the regular session; its volume, trade count and vwap are of all
its minutes, as consolidated daily bars have it: trades outside the session carry condition T and move
volume alone. A day without a regular minute has no bar. Minutes that cannot be bars (prices that are no
numbers) do not enter.
"""

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum

import polars as pl

from desk.hours import NEW_YORK, from_new_york
from schemas.account import SessionHours
from schemas.bars import PRICES, RAW_SCHEMA, UTC_US

_WORDS = re.compile(r"(\d{0,2})(T|Min|H|Hour|D|Day|W|Week|M|Month)", re.IGNORECASE)
_MONTHS = (1, 2, 3, 4, 6, 12)
ONE_DAY = timedelta(days=1)


class Unit(StrEnum):
    """What a timeframe counts; the letters are those of page tokens."""

    MINUTE = "M"
    HOUR = "H"
    DAY = "D"
    WEEK = "W"
    MONTH = "MO"


_UNITS = {
    "t": Unit.MINUTE, "min": Unit.MINUTE, "h": Unit.HOUR, "hour": Unit.HOUR, "d": Unit.DAY, "day": Unit.DAY,
    "w": Unit.WEEK, "week": Unit.WEEK, "month": Unit.MONTH,
}  # fmt: skip
_COUNTS = {
    Unit.MINUTE: range(1, 60),
    Unit.HOUR: range(1, 24),
    Unit.DAY: (1,),
    Unit.WEEK: (1,),
    Unit.MONTH: _MONTHS,
}


@dataclass(frozen=True, slots=True)
class Timeframe:
    """How long a bar is."""

    count: int
    unit: Unit

    @property
    def is_minute(self) -> bool:
        """Tell whether these are the minutes themselves."""
        return self.unit is Unit.MINUTE and self.count == 1

    @property
    def is_intraday(self) -> bool:
        """Tell whether several fit into a day."""
        return self.unit in (Unit.MINUTE, Unit.HOUR)


def timeframe(word: str) -> Timeframe | None:
    """Read 1Min, 5T, 4Hour, 1D, 1Week, 3M and the like; None for what Alpaca does not have."""
    found = _WORDS.fullmatch(word)
    if found is None:
        return None
    count, name = found.groups()
    unit = Unit.MONTH if name == "M" else _UNITS.get(name.lower())
    number = int(count) if count else 1
    if unit is None or number not in _COUNTS[unit]:
        return None
    return Timeframe(number, unit)


def daily(minutes: pl.DataFrame, hours: SessionHours) -> pl.DataFrame:
    """Give one row per symbol with a regular minute: the session's day so far, by symbol.

    Args:
        minutes: columns of `schemas.bars.RAW_SCHEMA`, of one session date, sorted by ts.
        hours: the session.
    """
    regular = (pl.col("ts") >= hours.opens_at) & (pl.col("ts") < hours.closes_at)
    sound = minutes.filter(_sound())
    starts_at = from_new_york(hours.session_date, time(0))
    return (
        sound.group_by("symbol")
        .agg(
            pl.col("open").filter(regular).first(),
            pl.col("high").filter(regular).max(),
            pl.col("low").filter(regular).min(),
            pl.col("close").filter(regular).last(),
            *_totals(),
        )
        .filter(pl.col("open").is_not_null())
        .with_columns(ts=pl.lit(starts_at).cast(UTC_US))
        .select(list(RAW_SCHEMA))
        .sort("symbol")
    )


def intraday(minutes: pl.DataFrame, frame: Timeframe) -> pl.DataFrame:
    """Give the bars of some minutes or hours each, by symbol and time; minutes of any number of days."""
    if frame.is_minute:
        return minutes
    local = pl.col("ts").dt.convert_time_zone(NEW_YORK.key)
    midnight = local.dt.truncate("1d")
    since = (local - midnight).dt.total_microseconds()
    step = frame.count * (60 if frame.unit is Unit.MINUTE else 3600) * 1_000_000
    start = (midnight + pl.duration(microseconds=since - since % step)).dt.convert_time_zone("UTC")
    return _merged(minutes.filter(_sound()).with_columns(ts=start.cast(UTC_US)))


def longer(days: pl.DataFrame, frame: Timeframe) -> pl.DataFrame:
    """Give the weeks or months of daily bars, by symbol and time; days themselves stay as they are."""
    if frame.unit is Unit.DAY:
        return days
    local = pl.col("ts").dt.convert_time_zone(NEW_YORK.key).dt.date()
    if frame.unit is Unit.WEEK:
        first = local - pl.duration(days=local.dt.weekday() - 1)
    else:
        month = (local.dt.month() - 1) // frame.count * frame.count + 1
        first = pl.date(local.dt.year(), month, 1)
    start = first.cast(pl.Datetime("us")).dt.replace_time_zone(NEW_YORK.key).dt.convert_time_zone("UTC")
    return _merged(days.with_columns(ts=start.cast(UTC_US)))


def span_start(instant: datetime, frame: Timeframe) -> date:
    """Give the New York day on which the span begins that an instant lies in."""
    day = instant.astimezone(NEW_YORK).date()
    if frame.unit is Unit.WEEK:
        return day - day.weekday() * ONE_DAY
    if frame.unit is Unit.MONTH:
        return day.replace(month=(day.month - 1) // frame.count * frame.count + 1, day=1)
    return day


def span_end(instant: datetime, frame: Timeframe) -> date:
    """Give the New York day after the span that an instant lies in."""
    first = span_start(instant, frame)
    if frame.unit is Unit.WEEK:
        return first + 7 * ONE_DAY
    if frame.unit is Unit.MONTH:
        months = first.month - 1 + frame.count
        return date(first.year + months // 12, months % 12 + 1, 1)
    return first + ONE_DAY


def _merged(rows: pl.DataFrame) -> pl.DataFrame:
    """Merge the rows of one symbol and ts, in the order they stand in."""
    return (
        rows.group_by("symbol", "ts", maintain_order=True)
        .agg(
            pl.col("open").first(),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close").last(),
            *_totals(),
        )
        .select(list(RAW_SCHEMA))
        .sort("symbol", "ts")
    )


def _totals() -> list[pl.Expr]:
    """Give volume, trade count and vwap of the rows together; without volume, vwap is their last close."""
    weighted = (pl.col("vwap").fill_null(pl.col("close")) * pl.col("volume")).sum()
    volume = pl.col("volume").sum()
    return [
        volume,
        pl.when(volume > 0).then(weighted / volume).otherwise(pl.col("close").last()).round(6).alias("vwap"),
        pl.col("trade_count").sum(),
    ]


def _sound() -> pl.Expr:
    """Tell per row whether its prices and volume are numbers."""
    return pl.all_horizontal(pl.col(name).is_finite().fill_null(value=False) for name in PRICES) & (
        pl.col("volume").fill_null(-1) >= 0
    )

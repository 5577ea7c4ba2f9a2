"""Bars cut, changed and moved so that a dishonest strategy gives itself away (desk/research/honesty.py).

Frames are those of `schemas.bars.RAW_SCHEMA`, of the regular session, sorted by (symbol, ts); everything here
is a function of its arguments.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import polars as pl

from desk.hours import session_hours

KEYS = ["symbol", "ts"]
PRICED = ("open", "high", "low", "close", "vwap")
# Days onto which bars are moved. Each pair of rows has the same weekdays and as many nights between.
EARLY_CLOSE = (date(2024, 11, 27), date(2024, 11, 29), date(2024, 12, 2))  # the 29th closes at 13:00
SPRING = ((date(2024, 3, 8), date(2024, 3, 11), date(2024, 3, 12)),
          (date(2024, 3, 15), date(2024, 3, 18), date(2024, 3, 19)))  # fmt: skip
AUTUMN = ((date(2024, 11, 1), date(2024, 11, 4), date(2024, 11, 5)),
          (date(2024, 11, 15), date(2024, 11, 18), date(2024, 11, 19)))  # fmt: skip


@dataclass(frozen=True)
class Difference:
    """The first bar, by time, of which two answers say different things."""

    symbol: str
    ts: datetime
    expected: str
    found: str


def difference(
    expected: pl.DataFrame, found: pl.DataFrame, *, columns: Sequence[str], tolerance: float = 0.0
) -> Difference | None:
    """Compare two answers, frames of `schemas.signals.SIGNAL_SCHEMA`; None where they say the same.

    Args:
        expected: what must be said.
        found: what is said.
        columns: what is compared.
        tolerance: numbers closer than this are equal, relative above one.
    """
    if expected.select(*KEYS, *columns).equals(found.select(*KEYS, *columns)):
        return None
    both = expected.join(found, on=KEYS, how="full", coalesce=True, suffix="_found")
    differs = pl.any_horizontal(
        pl.col(name).ne_missing(pl.col(f"{name}_found")) & ~_near(both, name, tolerance) for name in columns
    )
    rows = both.filter(differs).sort("ts", "symbol").head(1).to_dicts()
    if not rows:
        return None
    row = rows[0]
    return Difference(row["symbol"], row["ts"], _words(row, ""), _words(row, "_found"))


def _near(both: pl.DataFrame, name: str, tolerance: float) -> pl.Expr:
    if not both.schema[name].is_float():
        return pl.lit(value=False)
    one, other = pl.col(name), pl.col(f"{name}_found")
    scale = pl.max_horizontal(one.abs(), pl.lit(1.0))
    return ((one - other).abs() <= tolerance * scale).fill_null(value=False)


def _words(row: Mapping[str, object], suffix: str) -> str:
    target = row[f"target{suffix}"]
    if target is None:
        return "nothing"
    return f"target {target:g} at {row[f'price{suffix}']:.12g}, {row[f'reason{suffix}']}"


def cut_points(bars: pl.DataFrame, said: pl.DataFrame, *, count: int) -> list[datetime]:
    """Choose minutes to cut the bars at: sessions' edges, before changes of mind, and evenly between.

    Where the next bar changes what is said, who knew that bar is likeliest to be caught. The last minute is
    left out: cut there, nothing is missing.
    """
    instants = bars["ts"].unique().sort()
    dates = instants.dt.date()
    edges = (
        instants.filter(dates != dates.shift(1)).to_list()
        + instants.filter(dates != dates.shift(-1)).to_list()
    )
    levels = bars.select(KEYS).join(said.select(*KEYS, "target"), on=KEYS, how="left", maintain_order="left")
    turning = (
        levels.filter(pl.col("target").ne_missing(pl.col("target").shift(-1)).over("symbol"))["ts"]
        .unique()
        .sort()
    )
    chosen = {*edges, *spread(turning.to_list(), count // 2), *spread(instants.to_list(), count // 2)}
    return sorted(chosen - {instants[-1]})


def spread(values: Sequence[datetime], count: int) -> list[datetime]:
    """Give at most `count` of some values, evenly spread."""
    if len(values) <= count:
        return list(values)
    return [values[index * len(values) // count] for index in range(count)]


def up_to(bars: pl.DataFrame, cut: datetime) -> pl.DataFrame:
    """Give the bars, or the signals, known with the minute `cut`."""
    return bars.filter(pl.col("ts") <= cut)


def with_newest_changed(bars: pl.DataFrame, *, factor: float) -> pl.DataFrame:
    """Give the bars with those of the newest minute at other prices and ten times the volume."""
    newest = pl.col("ts") == pl.col("ts").max()
    return bars.with_columns(
        *(pl.when(newest).then(pl.col(name) * factor).otherwise(pl.col(name)).alias(name) for name in PRICED),
        pl.when(newest).then(pl.col("volume") * 10 + 1).otherwise(pl.col("volume")).alias("volume"),
    )


def with_later_of_others(bars: pl.DataFrame, symbol: str, cut: datetime, *, factor: float) -> pl.DataFrame:
    """Give the bars with other symbols' later ones at other prices; with factor 0, without them."""
    later = (pl.col("symbol") != symbol) & (pl.col("ts") > cut)
    if factor == 0.0:
        return bars.filter(~later)
    return bars.with_columns(
        pl.when(later).then(pl.col(name) * factor).otherwise(pl.col(name)).alias(name) for name in PRICED
    )


def reversed_names(bars: pl.DataFrame) -> dict[str, str]:
    """Give each symbol the name of its mirror in alphabetical order."""
    names = bars["symbol"].unique().sort().to_list()
    return dict(zip(names, reversed(names), strict=True))


def renamed(frame: pl.DataFrame, names: Mapping[str, str]) -> pl.DataFrame:
    """Give bars or signals under other symbols, sorted again."""
    return frame.with_columns(pl.col("symbol").replace(dict(names))).sort(KEYS)


def poor_frames(bars: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Give bars as sources and markets can have them at their poorest, by what is poor."""
    flat = [pl.col("close").first().over("symbol").alias(name) for name in PRICED]
    return {
        "vwap and trade_count null": bars.with_columns(
            pl.lit(None, pl.Float64).alias("vwap"), pl.lit(None, pl.Int64).alias("trade_count")
        ),
        "no volume": bars.with_columns(pl.lit(0, pl.Int64).alias("volume")),
        "prices that never move": bars.with_columns(flat),
        "prices that never move, no volume": bars.with_columns(*flat, pl.lit(0, pl.Int64).alias("volume")),
        "every other minute missing": bars.filter(pl.col("ts").dt.minute() % 2 == 0),
        "one bar a symbol": bars.group_by("symbol", maintain_order=True).head(1),
    }


def session_dates(bars: pl.DataFrame) -> list[date]:
    """Give the session dates there are: a regular session lies within one UTC day."""
    return bars["ts"].dt.date().unique().sort().to_list()


def moved(bars: pl.DataFrame, days: Sequence[date]) -> pl.DataFrame:
    """Move the first sessions onto other dates, minute of the session by minute.

    Gives `RAW_SCHEMA` and `was`, the instant of each bar before. Minutes after an early bell are left out.
    """
    frames = []
    for day, onto in zip(session_dates(bars), days, strict=False):
        before, after = session_hours(day), session_hours(onto)
        assert before is not None, "bars are those of regular sessions"
        assert after is not None, "the days above have sessions"
        frame = bars.filter(pl.col("ts").dt.date() == day).with_columns(pl.col("ts").alias("was"))
        shifted = frame.with_columns(pl.col("ts") + (after.opens_at - before.opens_at))
        frames.append(shifted.filter(pl.col("ts") < after.closes_at))
    return pl.concat(frames).sort(KEYS)

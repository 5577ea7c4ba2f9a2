"""What a single row can be refused for: its symbol, its minute, its numbers, its session.

Each check is an expression giving the flaw's word or null, so a batch is judged by a handful of passes
however many symbols it has. The first flaw in the order below is the row's reason. Values are compared,
never repaired: a timestamp is not rounded, a crossed bar is not turned round.
"""

from collections.abc import Iterable
from datetime import date, datetime, timedelta

import polars as pl

from desk.inspection import Context
from schemas.account import SessionHours
from schemas.bars import PRICES, Flaw, Segment, vwap_contradicts

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
MINUTE_US = 60_000_000
# Extended hours are 04:00 to 20:00 in New York; after an early close they end four hours after it.
PRE_MARKET = timedelta(hours=5, minutes=30)
POST_MARKET = timedelta(hours=4)
# Between UTC and New York lie four or five hours; with five, a New York evening stays on its own day.
NEW_YORK_LAG = timedelta(hours=5)
# No US share has traded ten billion times in a minute; what is larger is an error or another unit.
VOLUME_MAX = 10_000_000_000
# The dearest US share costs below a million dollars; above two, the unit is not the dollar.
PRICE_MAX_USD = 2_000_000.0


def word(condition: pl.Expr, flaw: Flaw) -> pl.Expr:
    """Give the flaw's word where the condition is true, else null."""
    return pl.when(condition).then(pl.lit(flaw.value))


def drop_idle_vwap() -> pl.Expr:
    """Set aside the vwap of a bar nobody traded in: sources write 0, NaN or the last price there."""
    return pl.when(pl.col("volume") == 0).then(None).otherwise(pl.col("vwap")).alias("vwap")


def row_flaws(context: Context) -> pl.Expr:
    """Give each row's first flaw but those of the calendar, which need the sessions joined."""
    return pl.coalesce(
        pl.col("flaw"),
        _missing(),
        _symbol_flaws(context),
        _minute_flaws(context),
        _number_flaws(),
    ).alias("reason")


def _missing() -> pl.Expr:
    required = ("symbol", "ts", *PRICES, "volume")
    return word(pl.any_horizontal(pl.col(name).is_null() for name in required), Flaw.MISSING_VALUE)


def _symbol_flaws(context: Context) -> pl.Expr:
    """Tell another known symbol from one the desk does not know; an alias is never guessed."""
    expected = pl.col("symbol").is_in(sorted(context.expected))
    if context.known_symbols is not None:
        unknown = ~pl.col("symbol").is_in(sorted(context.known_symbols | context.expected))
    else:
        # Without a symbol master: another spelling of a symbol asked for is unknown, not another symbol.
        spellings = sorted({_bare(symbol) for symbol in context.expected})
        unknown = pl.col("symbol").str.to_uppercase().str.replace_all(r"[^A-Z0-9]", "").is_in(spellings)
    return pl.when(~expected).then(
        pl.when(unknown).then(pl.lit(Flaw.UNKNOWN_SYMBOL.value)).otherwise(pl.lit(Flaw.WRONG_SYMBOL.value))
    )


def _bare(symbol: str) -> str:
    return "".join(char for char in symbol.upper() if char.isalnum())


def _minute_flaws(context: Context) -> pl.Expr:
    """Judge ts against now: a bar is final `final_after_s` after its minute ended."""
    final_us = MINUTE_US + round(context.limits.final_after_s * 1_000_000)
    now = pl.lit(context.now, pl.Datetime("us", "UTC"))
    return pl.coalesce(
        word(pl.col("ts").dt.epoch("us") % MINUTE_US != 0, Flaw.MISALIGNED_TIMESTAMP),
        word(pl.col("ts") > now, Flaw.FUTURE_BAR),
        word(pl.col("ts") + pl.duration(microseconds=final_us) > now, Flaw.UNFINISHED_BAR),
    )


def _number_flaws() -> pl.Expr:
    finite = pl.all_horizontal(pl.col(name).is_finite() for name in PRICES)
    positive = pl.all_horizontal(pl.col(name) > 0 for name in PRICES)
    ordered = (pl.col("high") >= pl.max_horizontal("open", "close", "low")) & (
        pl.col("low") <= pl.min_horizontal("open", "close")
    )
    return pl.coalesce(
        word(~finite, Flaw.NON_FINITE_PRICE),
        word(~positive, Flaw.NON_POSITIVE_PRICE),
        word(~ordered, Flaw.OHLC_ORDER),
        word(pl.col("high") > PRICE_MAX_USD, Flaw.SCALE_MISMATCH),
        word(pl.col("volume") < 0, Flaw.NEGATIVE_VOLUME),
        word(pl.col("volume") > VOLUME_MAX, Flaw.VOLUME_OVERFLOW),
        word(pl.col("trade_count") < 0, Flaw.NEGATIVE_TRADE_COUNT),
        word(vwap_contradicts(), Flaw.VWAP_RANGE),
    )


def sessions_around(instants: Iterable[datetime], context: Context) -> list[SessionHours]:
    """Give the sessions whose day may hold any of these instants, oldest first.

    A day outside the calendar has no session here: its bars are refused, not guessed at.
    """
    days: set[date] = set()
    for instant in instants:
        days.update((instant.date(), (instant - DAY).date()))
    sessions = []
    for day in sorted(days):
        try:
            hours = context.session_on(day)
        except ValueError:
            continue
        if hours is not None:
            sessions.append(hours)
    return sessions


def attach_session(rows: pl.DataFrame, context: Context) -> pl.DataFrame:
    """Add session_date and segment, and the calendar's flaws to `reason`.

    Args:
        rows: With ts and reason.
    """
    clean = rows.filter(pl.col("reason").is_null()).select(pl.col("ts").dt.truncate("1d").unique())
    sessions = sessions_around(clean["ts"].to_list(), context)
    utc = pl.Datetime("us", "UTC")
    calendar = pl.DataFrame(
        {
            "starts": [hours.opens_at - PRE_MARKET for hours in sessions],
            "opens_at": [hours.opens_at for hours in sessions],
            "closes_at": [hours.closes_at for hours in sessions],
            "session_date": [hours.session_date for hours in sessions],
        },
        schema={"starts": utc, "opens_at": utc, "closes_at": utc, "session_date": pl.Date()},
    )
    joined = rows.sort("ts").join_asof(calendar, left_on="ts", right_on="starts", check_sortedness=False)
    inside = (pl.col("ts") < pl.col("closes_at") + POST_MARKET).fill_null(value=False)
    on_session_day = (pl.col("ts") - NEW_YORK_LAG).dt.date().is_in([day.session_date for day in sessions])
    segment = (
        pl.when(pl.col("ts") < pl.col("opens_at"))
        .then(pl.lit(Segment.PRE.value))
        .when(pl.col("ts") < pl.col("closes_at"))
        .then(pl.lit(Segment.REGULAR.value))
        .otherwise(pl.lit(Segment.POST.value))
    )
    return joined.with_columns(
        pl.when(inside).then(pl.col("session_date")).alias("session_date"),
        pl.when(inside).then(segment).alias("segment"),
        pl.coalesce(
            "reason",
            word(~inside & on_session_day, Flaw.OUTSIDE_HOURS),
            word(~inside, Flaw.NOT_A_SESSION),
        ).alias("reason"),
    ).drop("starts", "closes_at")

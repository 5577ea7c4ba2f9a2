"""Indicators: causal polars expressions over bars sorted by (symbol, ts).

Causal means that a value at a bar depends on that bar and earlier ones only, so computing over a prefix
gives the same numbers as computing over the whole (tests/strategies hold every strategy to it, exactly).

Each expression runs per symbol; session-anchored ones run per symbol and New York day, which they find in
the column `session` (`with_session`; `Strategy.levels` gets it). Null means "not known yet". Frames are
those of `schemas.bars.RAW_SCHEMA`, regular session only; prices USD, volume shares.
"""

from typing import TypeVar, overload

import polars as pl

Bars = TypeVar("Bars", pl.DataFrame, pl.LazyFrame)  # an idea in expressions says the same of both

NEW_YORK = "America/New_York"
OPEN_MINUTE = 9 * 60 + 30  # the regular session opens at 09:30, on early closes too
# USD, or points of an index: numbers closer than this are equal. Prices have cents, so equal averages and
# bands are common, and a float's last bit depends on where its sum began; rounding noise of prices up to a
# million dollars stays below it, and an average of 400 cent prices that differs at all differs by more.
TIE = 1e-6


@overload
def above(left: float, right: float) -> bool: ...
@overload
def above(left: pl.Expr, right: pl.Expr | float) -> pl.Expr: ...
@overload
def above(left: pl.Expr | float, right: pl.Expr) -> pl.Expr: ...
def above(left: pl.Expr | float, right: pl.Expr | float) -> pl.Expr | bool:
    """Tell where `left` is above `right` by more than a tie; every strategy compares with it.

    Neither `above(a, b)` nor `above(b, a)`: a tie, which is no opinion.
    """
    return left - right > TIE


def session_day() -> pl.Expr:
    """Give the New York date of each bar: for a regular-session bar, its session's date."""
    return pl.col("ts").dt.convert_time_zone(NEW_YORK).dt.date()


def with_session(bars: Bars) -> Bars:
    """Add `session`: a number per symbol and New York day, counted up in the order of the frame.

    Numbering once costs a tenth of grouping by (symbol, day) in every indicator. The numbers themselves
    mean nothing. Bars must be sorted by (symbol, ts). A regular session lies within one UTC day, so the day
    is taken without asking a time zone, which would cost ten times as much as all the rest.
    """
    return bars.with_columns(
        pl.struct("symbol", pl.col("ts").dt.date().alias("day")).rle_id().alias("session")
    )


def minute_of_session() -> pl.Expr:
    """Count the minutes from 09:30 New York to each bar's left edge: 0 for a session's first minute."""
    local = pl.col("ts").dt.convert_time_zone(NEW_YORK)
    return local.dt.hour().cast(pl.Int32) * 60 + local.dt.minute().cast(pl.Int32) - OPEN_MINUTE


def typical_price() -> pl.Expr:
    """Give (high + low + close) / 3, USD."""
    return (pl.col("high") + pl.col("low") + pl.col("close")) / 3.0


def session_vwap() -> pl.Expr:
    """Give the session's volume-weighted average price so far, USD.

    VWAP(t) = sum(v_i * p_i) / sum(v_i) over the session's bars i <= t, p the typical price, v the volume
    (https://en.wikipedia.org/wiki/Volume-weighted_average_price). A bar without volume adds nothing.
    Null until something traded.
    """
    volume = pl.col("volume").cum_sum().over("session")
    money = (typical_price() * pl.col("volume")).cum_sum().over("session")
    return pl.when(volume > 0).then(money / volume)


def session_vwap_sigma() -> pl.Expr:
    """Give the volume-weighted standard deviation of typical prices around the session's VWAP, USD.

    sigma(t)^2 = sum(v_i * (p_i - o)^2) / sum(v_i) - (VWAP(t) - o)^2, o the session's first typical price:
    the shift changes nothing in exact arithmetic and keeps the difference of squares from cancelling.
    Population form (no n - 1). Null until something traded.
    """
    off = typical_price() - typical_price().first().over("session")
    volume = pl.col("volume").cum_sum().over("session")
    mean = (off * pl.col("volume")).cum_sum().over("session") / volume
    square = (off * off * pl.col("volume")).cum_sum().over("session") / volume
    return pl.when(volume > 0).then((square - mean * mean).clip(lower_bound=0.0).sqrt())


def bars_so_far() -> pl.Expr:
    """Count the session's bars up to and including each, from 1."""
    return pl.int_range(1, pl.len() + 1).over("session")


def sma(column: str, *, length: int) -> pl.Expr:
    """Give the simple moving average of `length` bars; null before there are so many.

    SMA(t) = (x(t) + ... + x(t - length + 1)) / length, over the symbol's bars, across sessions.
    """
    # Bars are sorted, so a symbol is one run: grouping by its number takes half as long as by its name, and
    # runs laid end to end are the frame again.
    run = pl.col("symbol").rle_id()
    return pl.col(column).rolling_mean(length, min_samples=length).over(run, mapping_strategy="explode")


def session_sma(column: str, *, length: int) -> pl.Expr:
    """Give the simple moving average of the session's last `length` bars; null before it has so many.

    SMA(t) as in `sma`, over the bars of one session.
    """
    return pl.col(column).rolling_mean(length, min_samples=length).over("session")


def session_sigma(column: str, *, length: int) -> pl.Expr:
    """Give the standard deviation of the session's last `length` bars; null before it has so many.

    sigma(t)^2 = sum((x(i) - SMA(t))^2) / length over the last `length` bars i <= t of the session. Population
    form (no n - 1), as J. Bollinger uses it (Bollinger on Bollinger Bands, 2001).
    """
    return pl.col(column).rolling_std(length, min_samples=length, ddof=0).over("session")


def rsi(column: str = "close", *, length: int, by_session: bool = False) -> pl.Expr:
    """Give Wilder's relative strength index, 0 to 100.

    RSI = 100 - 100 / (1 + G / L), G and L Wilder averages of gains and losses: the first is the plain mean
    of the first `length` changes, then A(t) = (A(t-1) * (length - 1) + x(t)) / length (J. W. Wilder, New
    Concepts in Technical Trading Systems, 1978). Null for the first `length` bars. No losses give 100, no
    gains give 0, no change at all gives 50.

    Args:
        column: What to measure.
        length: Changes in an average, Wilder's 14.
        by_session: Start anew each session, so overnight gaps are no gains or losses.
    """
    by = "session" if by_session else "symbol"
    change = pl.col(column) - pl.col(column).shift(1)
    gain = _wilder(change.clip(lower_bound=0.0), length)
    loss = _wilder((-change).clip(lower_bound=0.0), length)
    strength = 100.0 * gain / (gain + loss)
    return pl.when(gain + loss > 0).then(strength).when(gain.is_not_null()).then(50.0).over(by)


def _wilder(changes: pl.Expr, length: int) -> pl.Expr:
    """Give Wilder's average of a series whose first value is null.

    An exponential average with alpha = 1 / length that starts, at the `length`-th change, from the plain
    mean of the first `length` ones: before it the input is null, at it the mean, after it the changes.
    """
    order = pl.int_range(pl.len())
    seed = changes.rolling_mean(length, min_samples=length)
    fed = pl.when(order > length).then(changes).when(order == length).then(seed)
    return fed.ewm_mean(alpha=1.0 / length, adjust=False, ignore_nulls=True)

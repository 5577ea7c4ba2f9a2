"""Minute bars: the frames that cross a boundary, the contract they pass, and the words of a judgement.

`RAW_SCHEMA` is what a provider is asked for, `BarContract` what a bar must be before anybody uses it,
`PRINT_SCHEMA` what the warehouse keeps, `QUARANTINE_SCHEMA` what was refused and why. Checks that need a
clock, a calendar or the bars before are not here: they are `desk/inspector.py`.
"""

from enum import StrEnum

import polars as pl

UTC_US = pl.Datetime("us", "UTC")

RAW_SCHEMA: dict[str, pl.DataType] = {
    "symbol": pl.String(),
    "ts": UTC_US,  # left edge
    "open": pl.Float64(),
    "high": pl.Float64(),
    "low": pl.Float64(),
    "close": pl.Float64(),
    "volume": pl.Int64(),
    "vwap": pl.Float64(),  # null: the source does not say
    "trade_count": pl.Int64(),  # null: the source does not say
}

PRINT_SCHEMA: dict[str, pl.DataType] = {
    "symbol": pl.String(),
    "ts": UTC_US,
    "timeframe": pl.String(),  # "1Min"
    "open": pl.Float64(),
    "high": pl.Float64(),
    "low": pl.Float64(),
    "close": pl.Float64(),
    "volume": pl.Int64(),
    "vwap": pl.Float64(),
    "trade_count": pl.Int64(),
    "provider": pl.String(),
    "feed": pl.String(),
    "known_at": UTC_US,  # when this desk learned this print
    "revision": pl.Int32(),  # 0 for the first print of a minute, then 1, 2, ...
}

# A bar the inspector accepted: what it says, which print of its minute it is, and where it lies in the day.
ACCEPTED_SCHEMA: dict[str, pl.DataType] = {
    **RAW_SCHEMA,
    "revision": pl.Int32(),
    "session_date": pl.Date(),
    "segment": pl.String(),  # pre, regular, post: only regular bars are signal bars
}

QUARANTINE_SCHEMA: dict[str, pl.DataType] = {
    "symbol": pl.String(),  # as delivered; null if it was not text
    "ts": UTC_US,  # null if it could not be read
    "verdict": pl.String(),  # reject_row, quarantine, reject_batch
    "reason": pl.String(),  # machine word: ohlc_order, stale_batch, ...
    "detail": pl.String(),  # number and limit in words
    "row": pl.String(),  # the delivered row as JSON
    "provider": pl.String(),
    "feed": pl.String(),
    "known_at": UTC_US,
}

PRICES = ("open", "high", "low", "close")

# A vwap is rounded to three or four decimals by the sources while prices carry four: half a unit of the
# third decimal, and the noise of 32-bit floats, are not contradictions.
VWAP_SLACK_USD = 0.0005
VWAP_SLACK_FRAC = 1e-6


class Verdict(StrEnum):
    """What becomes of a row or of a whole delivery, mildest first."""

    ACCEPT = "accept"  # use as delivered
    WARN = "warn"  # use, and record a finding
    REJECT_ROW = "reject_row"  # drop the row, keep the rest
    QUARANTINE = "quarantine"  # keep aside; the symbol or feed is suspect: no new entries
    REJECT_BATCH = "reject_batch"  # drop the delivery, keep the last good state, alert


class Segment(StrEnum):
    """Where a bar lies in its session's day: [04:00, open), [open, close), [close, close + 4 h)."""

    PRE = "pre"
    REGULAR = "regular"
    POST = "post"


class Flaw(StrEnum):
    """Why a row or a delivery was not simply accepted. Stable words: the warehouse groups by them."""

    # the shape of the delivery
    MISSING_COLUMN = "missing_column"
    EXTRA_COLUMN = "extra_column"
    TYPE_MISMATCH = "type_mismatch"
    MISSING_VALUE = "missing_value"
    EMPTY_DELIVERY = "empty_delivery"
    # whose bar
    WRONG_SYMBOL = "wrong_symbol"
    UNKNOWN_SYMBOL = "unknown_symbol"
    # which minute
    NAIVE_TIMESTAMP = "naive_timestamp"
    BAD_TIMESTAMP = "bad_timestamp"
    MISALIGNED_TIMESTAMP = "misaligned_timestamp"
    UNFINISHED_BAR = "unfinished_bar"
    FUTURE_BAR = "future_bar"
    NOT_A_SESSION = "not_a_session"
    OUTSIDE_HOURS = "outside_hours"
    EXTENDED_HOURS = "extended_hours"
    ZONE_SHIFT = "zone_shift"
    # when it came
    STALE_BATCH = "stale_batch"
    STALE_FEED = "stale_feed"
    OUT_OF_ORDER = "out_of_order"
    LATE_BAR = "late_bar"
    DUPLICATE = "duplicate"
    REVISION = "revision"
    GAP = "gap"
    # what it says
    NON_FINITE_PRICE = "non_finite_price"
    NON_POSITIVE_PRICE = "non_positive_price"
    OHLC_ORDER = "ohlc_order"
    NEGATIVE_VOLUME = "negative_volume"
    VOLUME_OVERFLOW = "volume_overflow"
    ZERO_VOLUME = "zero_volume"
    NEGATIVE_TRADE_COUNT = "negative_trade_count"
    VWAP_RANGE = "vwap_range"
    SCALE_MISMATCH = "scale_mismatch"
    PRICE_JUMP = "price_jump"
    PRICE_OUTLIER = "price_outlier"


def vwap_contradicts() -> pl.Expr:
    """Tell per row whether the vwap of traded shares lies outside [low, high] or is not a number."""
    slack = VWAP_SLACK_USD + pl.col("high") * VWAP_SLACK_FRAC
    inside = (pl.col("vwap") >= pl.col("low") - slack) & (pl.col("vwap") <= pl.col("high") + slack)
    return (~inside | ~pl.col("vwap").is_finite()).fill_null(value=False) & (pl.col("volume") > 0)


def possible_bar() -> pl.Expr:
    """Tell per row whether it can be a bar.

    A name; ts on the left edge of a minute; finite positive prices with low <= open, close <= high; no
    negative volume or count; a vwap, if given, that is a number and lies between low and high.
    """
    positive = pl.all_horizontal(pl.col(name).is_finite() & (pl.col(name) > 0) for name in PRICES)
    ordered = (pl.col("high") >= pl.max_horizontal("open", "close", "low")) & (
        pl.col("low") <= pl.min_horizontal("open", "close")
    )
    counted = (pl.col("volume") >= 0) & (pl.col("trade_count").fill_null(0) >= 0)
    weighted = pl.col("vwap").is_finite().fill_null(value=True) & ~vwap_contradicts()
    aligned = pl.col("ts").dt.epoch("us") % 60_000_000 == 0
    return aligned & positive & ordered & counted & weighted & (pl.col("symbol").str.len_bytes() > 0)


# `BarContract` in one expression, true where it holds. pandera makes some forty passes to say the same in
# words; it is asked only when this is not true (a property test holds the two to one another).
_HOLDS = possible_bar().fill_null(value=False).all() & ~pl.struct("symbol", "ts").is_duplicated().any()
_COLUMNS = list(RAW_SCHEMA)


def contract_breach(bars: pl.DataFrame) -> str | None:
    """Say what in a frame breaks `BarContract` (schemas/contracts.py), or give None when nothing does."""
    if bars.columns == _COLUMNS and dict(bars.schema) == RAW_SCHEMA and bars.select(_HOLDS).item():
        return None
    from schemas.contracts import BarContract, breach  # pandera: a third of a second, for who breaks it

    return breach(BarContract, bars)

"""Minute bars: the frames that cross a boundary and the contract they pass."""

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

"""Prints of a minute already printed: redeliveries, revisions, and bars that come too late.

A minute is printed about a second after it ends and may be revised half a minute later. The same values
again are a redelivery and are dropped; other values are a revision and are kept beside the first print
with the next number. A minute that was never seen and lies before one that decisions were taken on is
late: it is kept aside, for nothing that was decided is decided again.
"""

from datetime import datetime

import polars as pl

from desk.inspection import Context, Mode
from desk.row_checks import word
from schemas.bars import PRICES, Flaw

VALUES = (*PRICES, "volume", "vwap", "trade_count")


def judge_repeats(rows: pl.DataFrame, context: Context) -> pl.DataFrame:
    """Add `revision` (null where refused) and `repeat`: duplicate, revision, late_bar or null.

    Args:
        rows: Usable rows sorted by (symbol, ts, row).
    """
    known = _known(rows, context)
    if known.height == 0 and not _has_repeats(rows) and not context.mode.is_live:
        return rows.with_columns(
            pl.lit(0, pl.Int32).alias("revision"), pl.lit(None, pl.String).alias("repeat")
        )
    joined = rows.join(known, on=["symbol", "ts"], how="left", maintain_order="left")
    again = (
        (pl.col("symbol") == pl.col("symbol").shift(1)) & (pl.col("ts") == pl.col("ts").shift(1))
    ).fill_null(value=False)
    same_as_before = pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift(1)) for name in VALUES)
    same_as_known = pl.all_horizontal(pl.col(name).eq_missing(pl.col(f"{name}_known")) for name in VALUES)
    was_known = pl.col("revision_known").is_not_null()
    marked = joined.with_columns(
        pl.when(again).then(same_as_before).otherwise(was_known & same_as_known).alias("same"),
        (again | was_known).alias("printed"),
        _late(context).alias("late"),
    )
    base = pl.col("revision_known").fill_null(-1)
    order = (
        (~pl.col("same")).cast(pl.Int32).cum_sum().over("symbol", "ts")
        if _has_repeats(rows)
        else ((~pl.col("same")).cast(pl.Int32))
    )
    return marked.with_columns(
        pl.when(~pl.col("same")).then(base + order).cast(pl.Int32).alias("revision"),
        pl.coalesce(
            word(pl.col("same"), Flaw.DUPLICATE),
            word(pl.col("printed"), Flaw.REVISION),
            word(pl.col("late"), Flaw.LATE_BAR),
        ).alias("repeat"),
    ).drop("same", "printed", "late", *(f"{name}_known" for name in VALUES), "revision_known")


def _known(rows: pl.DataFrame, context: Context) -> pl.DataFrame:
    """Give the newest accepted print of every minute from the delivery's oldest on."""
    oldest = rows["ts"].min()
    if not isinstance(oldest, datetime):
        oldest = context.now  # no rows: nothing is known of them
    prints = context.memory.since(oldest)
    newest = prints.sort("revision", maintain_order=True).unique(
        subset=["symbol", "ts"], keep="last", maintain_order=True
    )
    return newest.select(
        "symbol",
        "ts",
        *(pl.col(name).alias(f"{name}_known") for name in VALUES),
        pl.col("revision").alias("revision_known"),
    )


def _has_repeats(rows: pl.DataFrame) -> bool:
    again = (pl.col("symbol") == pl.col("symbol").shift(1)) & (pl.col("ts") == pl.col("ts").shift(1))
    return bool(rows.select(again.any()).item())


def _late(context: Context) -> pl.Expr:
    """Tell whether newer bars of the symbol were acted on before this row came."""
    last = context.memory.last()
    if not context.mode.is_live:
        return pl.lit(value=False)
    newest = pl.col("symbol").replace_strict(
        last["symbol"], last["last_ts"], default=None, return_dtype=pl.Datetime("us", "UTC")
    )
    late = (pl.col("ts") < newest).fill_null(value=False)
    if context.mode is Mode.LIVE_STREAM:
        # Sorted by ts within a symbol: a row is late if some later minute came earlier in the list.
        earliest_after = pl.col("row").reverse().cum_min().reverse().over("symbol")
        late = late | (pl.col("row") > earliest_after)
    return late

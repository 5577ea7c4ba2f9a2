"""What is written down of a judgement: every row's verdict in words, and the refused rows as delivered."""

import polars as pl

from desk.delivery import Delivery, row_json
from desk.inspection import Context
from desk.row_words import describe
from schemas.bars import QUARANTINE_SCHEMA


def row_report(final: pl.DataFrame, context: Context) -> pl.DataFrame:
    """Give the verdict of every delivered row in delivered order, in words where there is a reason."""
    report = final.sort("row").select("row", "symbol", "ts", "verdict", "reason", "detail")
    if report["reason"].null_count() == report.height:
        return report
    told = final.filter(pl.col("reason").is_not_null())
    words = pl.DataFrame(
        {"row": told["row"], "words": [describe(row, context) for row in told.iter_rows(named=True)]},
        schema={"row": pl.UInt32(), "words": pl.String()},
    )
    return (
        report.join(words, on="row", how="left", maintain_order="left")
        .with_columns(pl.coalesce("detail", "words").alias("detail"))
        .drop("words")
    )


def quarantined(delivery: Delivery, refused: pl.DataFrame, context: Context) -> pl.DataFrame:
    """Give refused rows as they are kept, columns of `QUARANTINE_SCHEMA`."""
    if refused.height == 0:
        return pl.DataFrame(schema=QUARANTINE_SCHEMA)
    rows = list(refused.iter_rows(named=True))
    return pl.DataFrame(
        {
            "symbol": [row["symbol"] for row in rows],
            "ts": [row["ts"] for row in rows],
            "verdict": [row["verdict"] for row in rows],
            "reason": [row["reason"] for row in rows],
            "detail": [row["detail"] or describe(row, context) for row in rows],
            "row": [row_json(delivery, row["row"]) for row in rows],
            "provider": [context.provider] * len(rows),
            "feed": [context.feed] * len(rows),
            "known_at": [context.now] * len(rows),
        },
        schema=QUARANTINE_SCHEMA,
    )

"""Our fills as every contestant tells them."""

from collections.abc import Iterable

import polars as pl
from contest import Fill


def told(fills: pl.DataFrame) -> Iterable[Fill]:
    """Give rows of `FILL_SCHEMA` as plain tuples."""
    return fills.select(
        pl.col("ts").dt.strftime("%Y-%m-%dT%H:%M:%S"),
        "symbol",
        "side",
        pl.col("qty").cast(pl.Int64),
        pl.col("price").cast(pl.Float64),
    ).iter_rows()

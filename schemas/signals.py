"""The signal contract: what a strategy says, and nothing about how much or how.

A signal is a *level*, not an edge: "at this bar I want to be long (1), flat (0) or short (-1)".
A strategy gives a row only for bars where it has an opinion. Levels make restarts harmless: a
missed minute is restated by the next one, and the sizer turns a level into an intent only where
position and working orders differ from it.
"""

import pandera.polars as pa
import polars as pl
from pandera.typing.polars import Series

SIGNAL_SCHEMA: dict[str, pl.DataType] = {
    "strategy": pl.String(),
    "symbol": pl.String(),
    "ts": pl.Datetime("us", "UTC"),  # left edge of the bar that was evaluated
    "target": pl.Float64(),  # -1 short, 0 flat, 1 long; fractions size an entry down
    "price": pl.Float64(),  # the close the strategy saw
    "reason": pl.String(),  # short words with the numbers, for `desk explain`
}


class SignalContract(pa.DataFrameModel):
    """One row per strategy, symbol and bar; no nulls, no NaN; sorted by (symbol, ts)."""

    strategy_name: Series[str] = pa.Field(alias="strategy", str_length={"min_value": 1})
    symbol: Series[str] = pa.Field(str_length={"min_value": 1})
    ts: Series[pl.Datetime] = pa.Field(dtype_kwargs={"time_unit": "us", "time_zone": "UTC"})
    target: Series[float] = pa.Field(ge=-1, le=1)
    price: Series[float] = pa.Field(gt=0)
    reason: Series[str]

    class Config:
        strict = True
        unique: list[str] = ["strategy", "symbol", "ts"]  # noqa: RUF012  pandera reads a plain list


# `SignalContract` in one expression, true where it holds; no less strict, for pandera lets an infinite or
# missing number pass where a comparison with it happens to be true.
_HOLDS = (
    (pl.col("strategy").str.len_bytes() > 0)
    & (pl.col("symbol").str.len_bytes() > 0)
    & pl.col("ts").is_not_null()
    & (pl.col("target") >= -1)
    & (pl.col("target") <= 1)
    & (pl.col("price") > 0)
    & pl.col("price").is_finite()
    & pl.col("reason").is_not_null()
).fill_null(value=False).all() & ~pl.struct("strategy", "symbol", "ts").is_duplicated().any()


def checked_signals(said: pl.DataFrame) -> pl.DataFrame:
    """Hold a strategy's answer to `SignalContract` and give it with the columns of `SIGNAL_SCHEMA` in order.

    Raises:
        SchemaError: It breaks the contract; the error says where.
    """
    if (
        said.columns == list(SIGNAL_SCHEMA)
        and dict(said.schema) == SIGNAL_SCHEMA
        and said.select(_HOLDS).item()
    ):
        return said
    return SignalContract.validate(said).select(list(SIGNAL_SCHEMA))

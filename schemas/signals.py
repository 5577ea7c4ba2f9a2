"""The signal contract: what a strategy says, and nothing about how much or how.

A signal is a *level*, not an edge: "at this bar I want to be long (1), flat (0) or short (-1)".
A strategy gives a row only for bars where it has an opinion. Levels make restarts harmless: a
missed minute is restated by the next one, and the sizer turns a level into an intent only where
position and working orders differ from it.
"""

import polars as pl

SIGNAL_SCHEMA: dict[str, pl.DataType] = {
    "strategy": pl.String(),
    "symbol": pl.String(),
    "ts": pl.Datetime("us", "UTC"),  # left edge of the bar that was evaluated
    "target": pl.Float64(),  # -1 short, 0 flat, 1 long; fractions size an entry down
    "price": pl.Float64(),  # the close the strategy saw
    "reason": pl.String(),  # short words with the numbers, for `desk explain`
}


# `SignalContract` (schemas/contracts.py) in one expression, true where it holds; no less strict, for pandera
# lets an infinite or missing number pass where a comparison with it happens to be true.
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
    from schemas.contracts import SignalContract  # pandera: a third of a second, for who breaks it

    return SignalContract.validate(said).select(list(SIGNAL_SCHEMA))

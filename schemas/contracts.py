"""The contracts of frames in pandera's words, which say of a frame what is wrong with it.

Apart from the frames' columns (schemas/bars.py, schemas/signals.py): there one expression tells whether a
frame holds, and only where it does not is pandera imported, which takes longer than a small backtest. A file
of corporate actions (schemas/actions.py) is small and rare, and always held to its contract.
"""

import math

import pandera.polars as pa
import polars as pl
from pandera.errors import SchemaError
from pandera.typing.polars import Series

from schemas.actions import RATIO_MAX
from schemas.bars import possible_bar


class BarContract(pa.DataFrameModel):
    """One row per symbol and minute; nulls only in vwap and trade_count; NaN nowhere."""

    symbol: Series[str]
    ts: Series[pl.Datetime] = pa.Field(dtype_kwargs={"time_unit": "us", "time_zone": "UTC"})
    open: Series[float]
    high: Series[float]
    low: Series[float]
    close: Series[float]
    volume: Series[int]
    vwap: Series[float] = pa.Field(nullable=True)
    trade_count: Series[int] = pa.Field(nullable=True)

    @pa.dataframe_check
    @classmethod
    def every_row_is_a_possible_bar(cls, data: pa.PolarsData) -> pl.LazyFrame:
        """Hold each row to `possible_bar`: one check, for pandera charges half a millisecond for each."""
        return data.lazyframe.select(possible_bar())

    class Config:
        strict = True
        unique: list[str] = ["symbol", "ts"]  # noqa: RUF012  pandera reads a plain list


class SignalContract(pa.DataFrameModel):
    """One row per strategy, symbol and bar; no nulls, no NaN; sorted by (symbol, ts)."""

    strategy_name: Series[str] = pa.Field(alias="strategy", str_length={"min_value": 1})
    symbol: Series[str] = pa.Field(str_length={"min_value": 1})
    ts: Series[pl.Datetime] = pa.Field(dtype_kwargs={"time_unit": "us", "time_zone": "UTC"})
    target: Series[float] = pa.Field(ge=-1, le=1)
    price: Series[float] = pa.Field(gt=0, lt=math.inf)  # neither infinite nor NaN, which counts as above all
    reason: Series[str]

    class Config:
        strict = True
        unique: list[str] = ["strategy", "symbol", "ts"]  # noqa: RUF012  pandera reads a plain list


class ActionContract(pa.DataFrameModel):
    """One row per symbol, ex-date and action, with the number that action has and no other."""

    symbol: Series[str] = pa.Field(str_length={"min_value": 1})
    ex_date: Series[pl.Date]
    action: Series[str] = pa.Field(isin=["dividend", "split"])
    cash_amount: Series[float] = pa.Field(nullable=True)
    split_ratio: Series[float] = pa.Field(nullable=True)

    @pa.dataframe_check
    @classmethod
    def every_row_has_its_number(cls, data: pa.PolarsData) -> pl.LazyFrame:
        """Hold a dividend to a positive amount and a split to a positive ratio, and nothing else."""
        cash, ratio = pl.col("cash_amount"), pl.col("split_ratio")
        dividend = (pl.col("action") == "dividend") & (cash > 0) & cash.is_finite() & ratio.is_null()
        split = (pl.col("action") == "split") & ratio.is_between(1 / RATIO_MAX, RATIO_MAX) & cash.is_null()
        return data.lazyframe.select((dividend | split).fill_null(value=False))

    class Config:
        strict = True
        unique: list[str] = ["symbol", "ex_date", "action"]  # noqa: RUF012  pandera reads a plain list


def breach(contract: type[pa.DataFrameModel], frame: pl.DataFrame) -> str | None:
    """Say on one line what in a frame breaks a contract, or give None when nothing does."""
    try:
        contract.validate(frame)
    except SchemaError as error:
        return " ".join(str(error).split())
    return None

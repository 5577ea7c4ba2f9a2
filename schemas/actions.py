"""Corporate actions that a backtest of raw bars goes through: the contract of their file, and the records."""

from datetime import date
from decimal import Decimal

import pandera.polars as pa
import polars as pl
from pandera.errors import SchemaError
from pandera.typing.polars import Series

from schemas.account import Split
from schemas.record import Record

# One row per action; cash_amount of dividends alone, split_ratio of splits alone.
ACTION_SCHEMA: dict[str, pl.DataType] = {
    "symbol": pl.String(),
    "ex_date": pl.Date(),
    "action": pl.String(),  # dividend or split
    "cash_amount": pl.Float64(),  # USD a share held at the close before the ex-date
    "split_ratio": pl.Float64(),  # new shares per old one: 2 doubles them, 0.05 makes one of twenty
}
RATIO_MAX = 1000  # no split known was larger; more is a mistake of units


class Dividend(Record):
    """A cash dividend: who is long at the close before the ex-date gets it, who is short pays it."""

    symbol: str
    ex_date: date
    amount: Decimal  # USD a share


class Actions(Record):
    """Splits and dividends, each sorted by ex-date and symbol."""

    splits: tuple[Split, ...] = ()
    dividends: tuple[Dividend, ...] = ()


NO_ACTIONS = Actions()


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


def action_breach(actions: pl.DataFrame) -> str | None:
    """Say what in a frame breaks `ActionContract`, or give None when nothing does."""
    try:
        ActionContract.validate(actions)
    except SchemaError as error:
        return " ".join(str(error).split())
    return None

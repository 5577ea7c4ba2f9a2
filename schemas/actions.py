"""Corporate actions that a backtest of raw bars goes through: the contract of their file, and the records."""

from datetime import date
from decimal import Decimal

import polars as pl

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


def action_breach(actions: pl.DataFrame) -> str | None:
    """Say what in a frame breaks `ActionContract` (schemas/contracts.py), or give None when nothing does."""
    from schemas.contracts import ActionContract, breach  # pandera: a third of a second of every process

    return breach(ActionContract, actions)

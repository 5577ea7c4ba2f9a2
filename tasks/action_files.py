"""Read corporate actions from a file: Parquet or CSV with the columns of `schemas.actions.ACTION_SCHEMA`."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import polars as pl

from desk.errors import BadBatch, ConfigError
from schemas.account import Split
from schemas.actions import ACTION_SCHEMA, RATIO_MAX, Actions, Dividend, action_breach


def read_actions(path: Path, *, symbols: Sequence[str]) -> Actions:
    """Read the splits and dividends of some symbols; columns beyond those of the contract are left out.

    Raises:
        ConfigError: there is no such file, or it is neither Parquet nor CSV.
        BadBatch: it cannot be read, lacks a column or breaks the contract.
    """
    if not path.is_file():
        raise ConfigError(f"--actions {path}: no such file")
    found = _read(path)
    missing = [name for name in ACTION_SCHEMA if name not in found.columns]
    if missing:
        raise BadBatch(
            f"{path}: column {', '.join(missing)} is missing; expected {', '.join(ACTION_SCHEMA)}; "
            f"found {', '.join(found.columns)}"
        )
    try:
        frame = found.select(pl.col(name).cast(kind) for name, kind in ACTION_SCHEMA.items())
    except pl.exceptions.PolarsError as error:
        raise BadBatch(f"{path}: a column has values of the wrong kind: {error}") from error
    breach = action_breach(frame)
    if breach is not None:
        raise BadBatch(f"{path}: {breach}")
    mine = frame.filter(pl.col("symbol").is_in(list(symbols))).sort("ex_date", "symbol")
    return Actions(
        splits=tuple(
            _split(symbol, day, ratio)
            for symbol, day, kind, _, ratio in mine.iter_rows()
            if kind == "split" and ratio != 1
        ),
        dividends=tuple(
            Dividend(symbol=symbol, ex_date=day, amount=Decimal(repr(cash)))
            for symbol, day, kind, cash, _ in mine.iter_rows()
            if kind == "dividend"
        ),
    )


def _read(path: Path) -> pl.DataFrame:
    try:
        match path.suffix.lower():
            case ".parquet":
                return pl.read_parquet(path)
            case ".csv":
                return pl.read_csv(path, try_parse_dates=True)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise BadBatch(f"{path}: cannot be read: {error}") from error
    raise ConfigError(f"--actions {path}: expected a .parquet or a .csv file")


def _split(symbol: str, ex_date: date, ratio: float) -> Split:
    """Give a split in whole shares: 1.5 is three for two, 0.3333 one for three."""
    whole = Fraction(ratio).limit_denominator(RATIO_MAX)
    return Split(symbol=symbol, ex_date=ex_date, old=Decimal(whole.denominator), new=Decimal(whole.numerator))

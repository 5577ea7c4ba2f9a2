"""Ask a strategy, and hold its answer to the contract and to the bars it was asked about."""

from typing import Protocol

import polars as pl
from pandera.errors import SchemaError

from desk.research.provocation import KEYS
from schemas.signals import SIGNAL_SCHEMA, checked_signals


class Speaker(Protocol):
    """Who says something of bars."""

    def signals(self, bars: pl.DataFrame) -> pl.DataFrame:
        """Give signals for all bars given."""
        ...


class Examined(Speaker, Protocol):
    """A strategy as its examiner sees it."""

    @property
    def warm_up(self) -> int: ...

    @property
    def session_anchored(self) -> bool: ...


class Broken(Exception):
    """The strategy raised, or its answer breaks the contract; `str()` says how."""


def said_of(strategy: Speaker, bars: pl.DataFrame) -> pl.DataFrame:
    """Give a strategy's answer, held to the contract and to the bars it was asked about.

    Raises:
        Broken: it raised or broke the contract.
    """
    try:
        said = strategy.signals(bars)
    except Exception as error:  # a user's code may raise anything; it is a finding
        raise Broken(f"it raised {type(error).__name__}: {' '.join(str(error).split())}") from error
    if not isinstance(said, pl.DataFrame):
        raise Broken(f"it answered a {type(said).__name__}, not a polars DataFrame")
    if dict(said.schema) != SIGNAL_SCHEMA:
        raise Broken(f"its answer has the columns {dict(said.schema)}, not those of schemas.signals")
    try:
        said = checked_signals(said)
    except SchemaError as error:
        raise Broken(f"its answer breaks the contract: {' '.join(str(error).split())}") from error
    strange = said.join(bars.select(KEYS), on=KEYS, how="anti").sort("ts", "symbol")
    if strange.height > 0:
        raise Broken(
            f"it spoke of {strange['symbol'][0]} at {strange['ts'][0]:%F %R}, a bar it was not given"
        )
    return said.sort(KEYS)

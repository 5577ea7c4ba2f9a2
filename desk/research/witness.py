"""Ask a strategy, and hold its answer to the contract and to the bars it was asked about."""

from typing import Protocol

import polars as pl

from desk.hours import minute_words
from desk.research.provocation import KEYS
from desk.strategy_trouble import trouble_of
from schemas.signals import UnlawfulSignal, checked_signals


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
        raise Broken(f"it raised {trouble_of(strategy, error)}") from error
    try:
        said = checked_signals(said)
    except UnlawfulSignal as error:
        raise Broken(f"its answer breaks the contract: {error}") from error
    strange = said.join(bars.select(KEYS), on=KEYS, how="anti").sort("ts", "symbol")
    if strange.height > 0:
        raise Broken(
            f"it spoke of {strange['symbol'][0]} at {minute_words(strange['ts'][0])}, a bar it was not given"
        )
    return said.sort(KEYS)

"""Ideas made to trade much: loads for the desk, with no claim to earn anything.

What they say of a bar is a function of the bar, the seed and the minute alone, so that a process started
at noon says what one that ran since the morning says.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import polars as pl

from desk.ports import StrategyRunner
from desk.simulation.chance import Chance
from schemas.signals import SIGNAL_SCHEMA

# (name, symbols, seed, whether it may say "short") to a strategy
Idea: TypeAlias = Callable[[str, Sequence[str], int, bool], StrategyRunner]


@dataclass
class Churner:
    """Changes its mind every few minutes: long in some, flat in others, short if it may."""

    name: str
    symbols: tuple[str, ...]
    seed: int
    may_short: bool
    stretch: int = 2  # minutes between two opinions
    warm_up: int = 0
    _said: dict[tuple[str, int], float] = field(default_factory=dict)

    def signals(self, bars: pl.DataFrame) -> pl.DataFrame:
        """Give a level for every bar."""
        minutes = bars["ts"].dt.epoch("s") // (60 * self.stretch)
        targets = [
            self._target(symbol, minute) for symbol, minute in zip(bars["symbol"], minutes, strict=True)
        ]
        return bars.select(
            pl.lit(self.name).alias("strategy"),
            "symbol",
            "ts",
            pl.Series("target", targets, dtype=pl.Float64),
            pl.col("close").alias("price"),
            pl.lit("churn").alias("reason"),
        ).select(list(SIGNAL_SCHEMA))

    def _target(self, symbol: str, minute: int) -> float:
        key = (symbol, minute)
        if key not in self._said:
            chance = Chance(self.seed, self.name, symbol, str(minute))
            levels = (1.0, 1.0, 0.5, 0.0, 0.0) + ((-1.0, -1.0) if self.may_short else ())
            self._said[key] = chance.among(levels)
        return self._said[key]


def churner(name: str, symbols: Sequence[str], seed: int, may_short: bool) -> StrategyRunner:
    """Make a churner."""
    return Churner(name, tuple(sorted(symbols)), seed, may_short)


def stubborn(name: str, symbols: Sequence[str], seed: int, may_short: bool) -> StrategyRunner:
    """Make one that keeps an opinion for longer."""
    return Churner(name, tuple(sorted(symbols)), seed, may_short, stretch=5)


LOADS: dict[str, Idea] = {"churner": churner, "stubborn": stubborn}

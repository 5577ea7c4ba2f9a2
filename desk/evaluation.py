"""Evaluation: the tape is shown to each strategy, and what it says of this minute is kept.

An older level has been left already. A strategy that raises is stopped for the day and reported; the others
go on (S3). This is the one place besides the session's own halt that catches every exception, because
strategies are the user's code and a bug in one idea must not cost the exits of another.
"""

import logging
from collections.abc import Iterable
from datetime import datetime
from functools import partial

import polars as pl

from desk.desk import Desk
from desk.intake import Intake
from desk.ports import StrategyRunner
from desk.strategy_trouble import trouble_of
from schemas.events import StrategyStopped
from schemas.signals import SIGNAL_SCHEMA, checked_signals

log = logging.getLogger(__name__)


class Evaluation:
    """Asks the strategies, and remembers who was stopped."""

    def __init__(self, desk: Desk, intake: Intake) -> None:
        """Keep the strategies and the tape they are shown."""
        self.desk = desk
        self.intake = intake
        self._stopped: set[str] = set()

    def evaluate(self, minute: datetime, bars: pl.DataFrame) -> pl.DataFrame:
        """Give every strategy's levels for `minute`, columns of `SIGNAL_SCHEMA`.

        Args:
            minute: left edge of the bar that was just accepted.
            bars: what `ingest` gave; with no bar of this minute nothing is evaluated.
        """
        if not (bars["ts"] == minute).any():
            return pl.DataFrame(schema=SIGNAL_SCHEMA)
        frames = [self._signals(strategy, minute) for strategy in self._running()]
        signals = pl.concat([pl.DataFrame(schema=SIGNAL_SCHEMA), *frames])
        self.intake.later(partial(self.desk.recorder.signals, signals))
        return signals

    def _running(self) -> Iterable[StrategyRunner]:
        return (strategy for strategy in self.desk.strategies if strategy.name not in self._stopped)

    def _signals(self, strategy: StrategyRunner, minute: datetime) -> pl.DataFrame:
        """Give one strategy's levels for the minute; a strategy that raises is stopped for the day."""
        try:
            said = strategy.signals(self.intake.frame(strategy.symbols))
            return checked_signals(said.filter(said["ts"] == minute))
        except Exception as error:  # a user's strategy may raise anything; see the module text
            log.exception("strategy stopped", extra={"strategy": strategy.name})
            self._stopped.add(strategy.name)
            self.desk.journal.record(
                StrategyStopped(at=self.desk.now(), strategy=strategy.name, cause=trouble_of(strategy, error))
            )
            return pl.DataFrame(schema=SIGNAL_SCHEMA)

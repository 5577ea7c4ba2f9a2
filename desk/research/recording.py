"""What is known of a session that is over: its ledger, its prints with when each was known, its settings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from desk.ports import StrategyRunner
from desk.research.redecision import accepted, taped
from schemas.account import Asset, SessionHours
from schemas.events import AnyEvent
from schemas.settings import Settings

MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What is known of a session that is over."""

    events: Sequence[tuple[int, AnyEvent]]  # the whole ledger, with its seqs
    prints: pl.DataFrame  # columns of PRINT_SCHEMA, of the sessions below
    said: pl.DataFrame  # recorded signals of the session, columns of SIGNAL_SCHEMA
    hours: SessionHours
    warm_up: Sequence[SessionHours]  # the sessions before, which strategies were shown
    settings: Settings
    strategies: Sequence[StrategyRunner]
    assets: Mapping[str, Asset]
    settings_differ: str = ""  # in words
    code_differs: str = ""

    def accepted(self) -> pl.DataFrame:
        """Give the regular bars among the prints, as `desk.research.redecision.accepted` does."""
        return accepted(self.prints, [*self.warm_up, self.hours])

    def bars_by(self, at: datetime) -> pl.DataFrame:
        """Give the bars as they were known at an instant, columns of `RAW_SCHEMA`, sorted by (symbol, ts)."""
        return taped(self.accepted().filter(pl.col("known_at") <= at)).frame()

    def moved(self, at: datetime) -> str:
        """Say how many bars were printed again or late by an instant; empty where none was."""
        prints = self.accepted().filter(pl.col("known_at") <= at)
        longest = MINUTE + timedelta(seconds=self.settings.session.bar_delay_s)
        late = prints.filter(
            (pl.col("known_at") > pl.col("ts") + longest) & (pl.col("ts") >= self.hours.opens_at)
        )
        again = prints.height - prints.select("symbol", "ts").n_unique()
        words = [f"{again} bars were printed again"] if again > 0 else []
        words += [f"{late.height} came late"] if late.height > 0 else []
        return " and ".join(words)

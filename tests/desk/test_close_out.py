"""The bell: nothing is held overnight that was to be closed (F5)."""

from dataclasses import dataclass
from datetime import timedelta

import polars as pl
import pytest

from schemas import events as ev
from schemas.orders import Purpose
from schemas.settings import SessionSettings
from schemas.signals import SIGNAL_SCHEMA
from tests import rehearsal as r
from tests.desk.short_day import CLOSE, kinds, run_short, short_venue


@dataclass
class AlwaysLong:
    """Long in every symbol and minute."""

    name: str = "churner"
    symbols: tuple[str, ...] = r.SYMBOLS
    warm_up: int = 0

    def signals(self, bars: pl.DataFrame) -> pl.DataFrame:
        return bars.select(
            pl.lit(self.name).alias("strategy"),
            "symbol",
            "ts",
            pl.lit(1.0).alias("target"),
            pl.col("close").alias("price"),
            pl.lit("always").alias("reason"),
        ).select(list(SIGNAL_SCHEMA))


@pytest.mark.parametrize("close_out", [True, False])
def test_f5_positions_are_closed_before_the_bell_if_they_are_to_be(close_out: bool) -> None:
    """A strategy that never leaves is flat at the close; without close-out it holds on."""
    place, ledger = short_venue(), r.new_ledger()
    configured = r.settings().model_copy(update={"session": SessionSettings(slots=3, close_out=close_out)})

    run_short(r.desk_on(place, ledger, strategy=AlwaysLong(), configured=configured))

    exits = [e for e in kinds(ledger, ev.OrderPlanned) if e.intent.purpose is Purpose.EXIT]
    assert (place.positions() == ()) == close_out
    assert bool(exits) == close_out
    assert all(CLOSE - timedelta(minutes=5) <= e.at < CLOSE for e in exits)

"""The stateful style: replayed from a fresh state, it cannot depend on when it was started."""

from datetime import timedelta

import polars as pl

from strategies import registry
from strategies.base import Level, SeenBar, StatefulStrategy
from tests.strategies.bars import OPENS, walk

BARS = walk(("AAA", "BBB"), seed=11)


class Counting(StatefulStrategy):
    """Counts bars; a leaked state would show in the count."""

    name = "counting"

    def bars_needed(self) -> int:
        return 1

    def on_start(self) -> None:
        self.count = 0

    def on_bar(self, bar: SeenBar) -> Level | None:
        self.count += 1
        return Level(0.0, str(self.count))


def test_replay_starts_fresh() -> None:
    """Asking twice gives the same answer: no state survives a replay."""
    strategy = Counting(["AAA", "BBB"])

    assert strategy.signals(BARS).equals(strategy.signals(BARS))


def test_bars_come_in_time_order_across_symbols() -> None:
    """on_bar sees minute by minute, symbols in order within one."""
    said = Counting(["AAA", "BBB"]).signals(BARS).sort("ts", "symbol")

    assert said["reason"].to_list() == [str(number) for number in range(1, BARS.height + 1)]


def test_restart_at_noon_equals_a_run_since_the_morning() -> None:
    """A new process given the same bars says what the old one would have said."""
    old = registry.create("opening_range", ["AAA", "BBB"])
    for instant in BARS["ts"].unique().sort().to_list()[:60]:
        old.signals(BARS.filter(pl.col("ts") <= instant))

    new = registry.create("opening_range", ["AAA", "BBB"])

    assert new.signals(BARS).equals(old.signals(BARS))


def test_opening_range_counts_from_the_open_not_from_the_first_bar() -> None:
    """A symbol whose first bars are missing has a shorter range, not a later one."""
    late = BARS.filter((pl.col("symbol") == "AAA") & (pl.col("ts") >= OPENS[0] + timedelta(minutes=20)))
    first_day = late.filter(pl.col("ts") < OPENS[1])

    assert registry.create("opening_range", ["AAA"]).signals(first_day).is_empty()

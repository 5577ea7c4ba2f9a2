"""What a strategy does wrong is told with its own file and line, or with bar, value and limits."""

import math
from pathlib import Path

import polars as pl
import pytest

from desk.errors import ConfigError
from desk.research.findings import Check
from desk.research.honesty import examine
from schemas.signals import UnlawfulSignal, checked_signals
from strategies.base import Strategy
from tasks.backtest_plan import said_by, targets_by
from tasks.strategy_source import make_strategy
from tests.strategies.bars import walk

BARS = walk(("AAA", "BBB"), seed=3, minutes=30)
RAISES = '''"""Raises in the middle of a replay."""

from strategies.base import Level, StatefulStrategy


def part(whole, count):
    return whole / count


class Boom(StatefulStrategy):
    name = "boom"

    def bars_needed(self):
        return 1

    def on_start(self):
        self.left = 5

    def on_bar(self, bar):
        self.left -= 1
        return Level(part(1.0, self.left), "up")
'''
EXPRESSES = """from strategies.base import Strategy


class Boom(Strategy):
    name = "boom"

    def bars_needed(self):
        return 1

    def levels(self, bars):
        return bars.select("nothing")
"""
SAYS = """import polars as pl

from strategies.base import Strategy


class Says(Strategy):
    name = "says"
    lazy = {lazy}

    def bars_needed(self):
        return 1

    def levels(self, bars):
        third = (pl.col("symbol") == "BBB") & (pl.int_range(pl.len()).over("symbol") == 2)
        target = pl.when(third).then(pl.lit({value}, dtype=pl.Float64)).otherwise(0.5)
        return bars.select("symbol", "ts", target.alias("target"), price="close", reason=pl.lit("so"))
"""


def written(folder: Path, source: str) -> Strategy:
    """Give the strategy of a user's file."""
    path = folder / "mine.py"
    path.write_text(source, encoding="utf-8")
    return make_strategy(str(path), ("AAA", "BBB"))


@pytest.mark.parametrize("ask", [said_by, targets_by])
def test_what_a_strategy_raises_has_its_own_files_line(tmp_path: Path, ask) -> None:
    """The newest frame of the strategy's own file is named, whatever of ours lies between."""
    with pytest.raises(ConfigError) as caught:
        ask(written(tmp_path, RAISES), BARS)

    told = str(caught.value).replace("float division", "division")  # as older Pythons put it
    assert told == "strategy boom: ZeroDivisionError: division by zero (mine.py, line 7)"


def test_what_polars_raises_has_the_line_that_asked_it(tmp_path: Path) -> None:
    """An error below the user's file is placed in it, and stays one line."""
    with pytest.raises(ConfigError, match=r"ColumnNotFoundError: .*\(mine\.py, line 11\)$") as caught:
        said_by(written(tmp_path, EXPRESSES), BARS)

    assert "\n" not in str(caught.value)


def test_desk_check_names_the_line_too(tmp_path: Path) -> None:
    """A finding that a strategy raised says where."""
    findings = {each.check: each.words for each in examine(written(tmp_path, RAISES), BARS, cuts=2)}

    assert findings[Check.SCHEMA].endswith("division by zero (mine.py, line 7)")


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("ask", [said_by, targets_by])
@pytest.mark.parametrize(
    ("value", "words"),
    [("5.0", "5.0"), ("-1.01", "-1.01"), ("float('nan')", "nan"), ("float('inf')", "inf"), ("None", "null")],
)
def test_an_unlawful_target_is_refused(tmp_path: Path, ask, lazy: bool, value: str, words: str) -> None:
    """Strategy, symbol, minute, value and limits are named, by whoever asks."""
    with pytest.raises(ConfigError) as caught:
        ask(written(tmp_path, SAYS.format(lazy=lazy, value=value)), BARS)

    minute = BARS.filter(pl.col("symbol") == "BBB")["ts"][2].strftime("%Y-%m-%d 09:32")
    told = f"strategy says: target {words} of BBB at {minute} New York; allowed: "
    assert str(caught.value) == told + "from -1 (short) over 0 (flat) to 1 (long)"


@pytest.mark.parametrize("value", ["-1.0", "1.0", "0.25"])
def test_a_lawful_target_passes(tmp_path: Path, value: str) -> None:
    """The limits themselves are allowed."""
    strategy = written(tmp_path, SAYS.format(lazy=False, value=value))

    assert said_by(strategy, BARS)["target"].to_list().count(float(value)) == 1
    assert targets_by(strategy, BARS).height == BARS.height


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (pl.lit(math.nan).alias("price"), "price nan of AAA at .* New York; allowed: a number above 0"),
        (pl.lit(None, pl.String).alias("reason"), "reason null of AAA at .* New York; allowed: words"),
        (pl.lit("").alias("strategy"), "strategy  of AAA at .* New York; allowed: a name"),
        (pl.col("ts").first(), "AAA at .* New York has more than one row; allowed: one"),
        (pl.col("target").cast(pl.Int64), "the columns are .*target Int64.*; allowed: .*target Float64"),
    ],
)
def test_every_breach_is_told_in_words(tmp_path: Path, change: pl.Expr, words: str) -> None:
    """Column, value and bar of the first row that breaks the contract are named."""
    said = written(tmp_path, SAYS.format(lazy=False, value="1.0")).signals(BARS)

    with pytest.raises(UnlawfulSignal, match=words):
        checked_signals(said.with_columns(change))

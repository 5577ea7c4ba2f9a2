"""Find two kept backtests by what a person calls them, and compare them."""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.kept_runs import RunName, read_run, read_run_names
from desk.errors import ConfigError, NoBars
from desk.research.comparison import Comparison, KeptRun, compare
from schemas.settings import Settings
from tasks.page.compare import render_comparison, row_of
from tasks.page.template import put_page
from tasks.store import warehouse_path

LAST = re.compile(r"last(?:~(\d+))?")
NEAREST_MAX = 3  # runs named where none is meant
SIMILAR_MIN = 0.5  # of two ids; less is no misspelling


@dataclass(frozen=True, slots=True)
class Compared:
    """Two runs held against each other, for people."""

    first: KeptRun
    second: KeptRun
    comparison: Comparison

    @property
    def rows(self) -> list[dict[str, str]]:
        """Give the numbers in words: name, first, second, change, and the change's tone."""
        return [row_of(each) for each in self.comparison.numbers]

    @property
    def symbols(self) -> list[dict[str, Any]]:
        """Give both runs' trades by symbol, the largest change first."""
        return self.comparison.symbols.to_dicts()

    @property
    def facts(self) -> dict[str, Any]:
        """Give what a program wants of it; numbers are not rounded."""
        found = self.comparison
        return {
            "first": found.first,
            "second": found.second,
            "same_data": found.same_data,
            "remarks": found.remarks,
            "asked": found.asked,
            "numbers": {
                each.metric.column: {"first": each.first, "second": each.second, "change": each.change}
                for each in found.numbers
            },
            "fills": {
                "both": found.fills_equal,
                "first_only": found.fills_first,
                "second_only": found.fills_second,
            },
            "first_fill_that_differs": found.fill,
            "first_trade_that_differs": found.trade,
            "symbols": self.symbols,
        }


def compared(settings: Settings, first: str, second: str) -> Compared:
    """Compare two runs of the warehouse.

    Args:
        settings: whose.
        first: an id, the beginning of one, `last`, or `last~N` for the Nth before it.
        second: as `first`.

    Raises:
        ConfigError: no run, or more than one, is called that.
        NoBars: there is no run yet.
        WarehouseError: the warehouse cannot be read.
    """
    path = warehouse_path(settings)
    names = read_run_names(path) if path.exists() else ()
    if not names:
        raise NoBars(f"{path}: no backtest is kept in it yet; desk backtest keeps one")
    chosen = [named(words, names) for words in (first, second)]
    one, other = (read_run(path, run_id) for run_id in chosen)
    return Compared(one, other, compare(one, other))


def named(words: str, runs: Sequence[RunName]) -> str:
    """Give the id of the run a person means.

    Args:
        words: what was written.
        runs: those there are, the newest first, at least one.

    Raises:
        ConfigError: none, or more than one, is meant; the nearest are named.
    """
    recent = LAST.fullmatch(words)
    if recent is not None:
        back = int(recent[1] or 0)
        if back >= len(runs):
            raise ConfigError(f"{words}: there are {len(runs)} runs, so the oldest is last~{len(runs) - 1}")
        return runs[back].run_id
    found = [run for run in runs if words and run.run_id.startswith(words.lower())]
    if len(found) == 1 or any(run.run_id == words for run in found):
        return found[0].run_id if len(found) == 1 else words
    if found:
        raise ConfigError(f"{words}: {len(found)} runs begin so: {_listed(found)}")
    ids = {run.run_id: run for run in runs}
    near = difflib.get_close_matches(words.lower(), list(ids), n=NEAREST_MAX, cutoff=SIMILAR_MIN)
    similar = [ids[each] for each in near]
    told = f"the nearest: {_listed(similar)}" if similar else f"the newest: {_listed(runs)}"
    raise ConfigError(f"run {words!r}: there is none of that name; {told}; or write last, last~1")


def write_comparison(found: Compared, path: Path) -> None:
    """Write the page, whole or not at all.

    Raises:
        OSError: it cannot be written; an earlier one is untouched.
    """
    put_page(path, render_comparison(found.first, found.second, found.comparison).encode())


def _listed(runs: Sequence[RunName]) -> str:
    shown = ", ".join(
        f"{run.run_id} ({run.strategy}, {run.started_at:%Y-%m-%d %H:%M})" for run in runs[:NEAREST_MAX]
    )
    more = len(runs) - NEAREST_MAX
    return shown if more <= 0 else f"{shown} and {more} more"

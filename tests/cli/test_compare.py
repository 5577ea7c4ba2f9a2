"""`desk compare` as a person meets it: tables on the terminal, a page, numbers for programs, mistakes."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Desk
from tests.desk.research import market
from tests.tasks.browsing import specs


@pytest.fixture
def runs(desk: Desk, tmp_path: Path) -> Desk:
    """Keep two runs that differ in a parameter."""
    path = tmp_path / "bars.parquet"
    market.make_bars(symbols=2).write_parquet(path)
    for fast in ("10", "20"):
        words = ("sma_crossover", "--bars", str(path), "--param", f"fast={fast}", "--size", "shares:10")
        assert desk("backtest", *words).code == 0
    return desk


def test_two_runs_are_shown_written_and_drawn(runs: Desk, tmp_path: Path) -> None:
    """What was asked otherwise, numbers, the first fill that differs, symbols; as page and JSON too."""
    page, numbers = tmp_path / "compare.html", tmp_path / "compare.json"

    answer = runs("compare", "last~1", "last", "--report", str(page), "--json", str(numbers))

    assert answer.code == 0, answer.err
    found = json.loads(numbers.read_text(encoding="utf-8"))
    assert (found["same_data"], found["asked"][0]) == (True, {"name": "fast", "first": "10", "second": "20"})
    assert found["first"]["run_id"] in answer.out
    assert found["first_fill_that_differs"]["first"] in answer.out
    assert f"fills: {found['fills']['both']:,} in both" in answer.out
    assert "profit, USD" in answer.out
    assert "S00" in answer.out
    assert "equity" in specs(page.read_text(encoding="utf-8"))


def test_a_run_that_is_not_there_is_a_mistake(runs: Desk) -> None:
    """One line that names the newest."""
    said = runs.fails("compare", "last", "zzz", code=2)

    assert said.startswith("run 'zzz': there is none of that name; the newest: ")


def test_nothing_kept_is_a_failure(desk: Desk) -> None:
    """One line that says how to keep a run."""
    assert "desk backtest keeps one" in desk.fails("compare", "last", "last~1", code=1)

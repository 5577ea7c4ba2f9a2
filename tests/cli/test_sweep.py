"""`desk sweep` as a person meets it: mistakes in one line, and what is kept, written and shown."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Desk
from tests.desk.research import market
from tests.tasks.browsing import specs

RANGES = ("--range", "fast=5..25:10", "--range", "slow=20,60")


@pytest.fixture
def bars(tmp_path: Path) -> str:
    path = tmp_path / "bars.parquet"
    market.make_bars(symbols=1).write_parquet(path)
    return str(path)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--range", "speed=1..3"), "--range speed: 1: extra inputs are not permitted; parameters are allow"),
        (("--range", "fast=0..300:100"), "--range fast: 0: input should be greater than or equal to 1"),
        (("--range", "fast=100..300:100"), "--range fast: 300: input should be less than or equal to 200"),
        (("--range", "fast=50,60", "--range", "slow=20,30"), "takes none of the 4 sets of these ranges"),
        ((), "no --range: a sweep needs one at least"),
        ((*RANGES, "--param", "fast=5"), "fast has a --range and a --param; allowed: one of them"),
        ((*RANGES, "--heat", "fast,slow"), "--heat fast,slow: the heat maps are in the page; give --report"),
        ((*RANGES, "--heat", "fast,speed", "--report", "r.html"), "--heat fast,speed: write two of fast"),
        ((*RANGES, "--train", "2"), "--train and --test belong together"),
        ((*RANGES, "--runner", "dask"), "--runner dask needs Prefect's server, and none answers"),
    ],
)
def test_a_mistake_is_one_line_and_costs_nothing(
    desk: Desk, bars: str, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], complaint: str
) -> None:
    """It names the option, the value and what is allowed, before a set is played."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)

    said = desk.fails("sweep", "sma_crossover", "--bars", bars, *words, code=2)

    assert complaint in said
    assert list(desk.place.store.glob("sweeps/*/*.parquet")) == []


def test_a_mistake_in_the_ranges_is_told_before_the_bars_are_read(desk: Desk, tmp_path: Path) -> None:
    """A file of bars that is not there is not what is complained of first."""
    said = desk.fails("sweep", "sma_crossover", "--bars", str(tmp_path / "no"), "--range", "fast=0", code=2)

    assert "--range fast: 0" in said


def test_a_sweep_is_kept_shown_and_written(
    desk: Desk, bars: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tables on the terminal, rows in the warehouse, a page with the chosen maps, numbers for programs."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    page, facts = tmp_path / "page.html", tmp_path / "facts.json"

    done = desk(
        *("sweep", "sma_crossover", "--bars", bars, *RANGES, "--train", "2", "--test", "2"),
        *("--workers", "1", "--report", str(page), "--heat", "slow,fast", "--json", str(facts)),
    )

    assert done.code == 0, done.err
    found = json.loads(facts.read_text(encoding="utf-8"))
    assert found["sweep_id"] in done.out
    assert "Left out, as the strategy does not take them: 1 set." in done.out
    layout = specs(page.read_text(encoding="utf-8"))["heat-test"]["layout"]
    assert (layout["xaxis"]["title"]["text"], layout["yaxis"]["title"]["text"]) == ("slow", "fast")
    rows = desk("sql", "SELECT count(*) AS n FROM sweep_trials WHERE is_best", "--json").json
    assert rows == [{"n": len(found["folds"])}]


def test_a_sweep_can_be_left_out_of_the_warehouse(
    desk: Desk, bars: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--no-keep writes no row and says nothing of keeping."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)

    done = desk("sweep", "sma_crossover", "--bars", bars, "--range", "fast=5", "--workers", "1", "--no-keep")

    assert done.code == 0, done.err
    assert "kept as sweep" not in done.out
    assert not (desk.place.store / "spool-backtests").exists()

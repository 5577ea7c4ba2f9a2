"""A sweep in the warehouse: every set in every fold, once, as the search judged it."""

import json
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from data.columns import SWEEP
from data.duckfile import opened, query_readonly
from schemas.settings import Settings
from schemas.sweep import Objective
from tasks import sweep_keep
from tasks.store import warehouse_path
from tasks.sweep import Sweep
from tasks.sweep_keep import keep_sweep
from tests.tasks.sweeps import made, write_bars


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    folder = tmp_path_factory.mktemp("walked")
    return made(write_bars(folder), folder)


def stored(settings: Settings, query: str) -> pl.DataFrame:
    """Ask the warehouse as `desk sql` does."""
    return query_readonly(warehouse_path(settings), query)


def test_every_set_of_every_fold_is_there(walked: Sweep, tmp_path: Path) -> None:
    """Five sets in three folds; each fold chose one, and its numbers are those of the verdict."""
    settings = Settings(store=tmp_path)

    assert keep_sweep(walked, settings) is None

    rows = stored(settings, "FROM sweep_trials ORDER BY fold, place")
    assert dict(rows.schema) == dict(SWEEP["sweep_trials"])
    assert rows.height == 5 * 3
    chosen = rows.filter("is_best")
    bests = [choice.best for choice in walked.verdict.choices]
    assert chosen["fold"].to_list() == [1, 2, 3]
    assert chosen["place"].to_list() == [best.place for best in bests]
    assert chosen["test_pnl"].to_list() == [best.test.pnl for best in bests]
    assert chosen["train_sharpe"].to_list() == [best.train.sharpe for best in bests]
    assert rows.filter(~pl.col("is_best"))["deflated_sharpe_frac"].null_count() == 12
    first = rows.row(0, named=True)
    assert json.loads(first["params"]) == {"fast": 5, "slow": 20}
    assert (first["train_first"], first["train_last"]) == (date(2025, 11, 10), date(2025, 11, 14))
    assert (first["test_first"], first["test_last"]) == (date(2025, 11, 18), date(2025, 11, 20))


def test_the_sweeps_own_row_can_be_run_again(walked: Sweep, tmp_path: Path) -> None:
    """It has all that was asked, and the chained tests' P&L is the sum of the chosen sets' tests."""
    settings = Settings(store=tmp_path)
    keep_sweep(walked, settings)

    row = stored(settings, "FROM sweeps").row(0, named=True)

    assert row["sweep_id"] == walked.prepared.job.sweep_id
    assert json.loads(row["ranges"]) == {"fast": [5, 15, 25], "slow": [20, 60]}
    assert (row["strategy"], row["method"], row["objective"]) == ("sma_crossover", "grid", "sharpe")
    assert (row["tried"], row["refused"], row["folds"], row["sessions"]) == (5, 1, 3, 13)
    assert (row["purge"], row["embargo"], row["anchored"], row["engine"]) == (1, 0, False, "screen")
    assert (row["size"], row["gate"], row["is_tested"]) == ("shares:10", False, True)
    assert row["pnl"] == pytest.approx(sum(choice.best.test.pnl for choice in walked.verdict.choices))
    assert row["truth"] == walked.verdict.truth


def test_the_same_sweep_twice_is_one(walked: Sweep, tmp_path: Path) -> None:
    """Its rows are replaced together, and those of another sweep are left alone."""
    settings = Settings(store=tmp_path)
    other = made(write_bars(tmp_path), tmp_path, objective=Objective.PNL)

    for each in (walked, other, walked):
        assert keep_sweep(each, settings) is None

    counts = stored(settings, "SELECT sweep_id, count(*) AS n FROM sweep_trials GROUP BY 1 ORDER BY 1")
    assert counts.rows() == sorted((each.prepared.job.sweep_id, 15) for each in (walked, other))
    assert stored(settings, "FROM sweeps").height == 2


def test_a_sweep_without_a_test_says_so(tmp_path: Path) -> None:
    """Nothing was tested: null where a test would stand, and 0 USD."""
    settings = Settings(store=tmp_path)
    sweep = made(write_bars(tmp_path), tmp_path, train=None, test=None)

    keep_sweep(sweep, settings)

    assert stored(settings, "FROM sweeps").row(0, named=True)["is_tested"] is False
    rows = stored(settings, "FROM sweep_trials")
    assert rows["test_first"].null_count() == rows["test_sharpe"].null_count() == rows.height == 5
    assert rows["test_pnl"].to_list() == [0.0] * 5


def test_rows_wait_while_somebody_holds_the_file(
    walked: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader in the way costs one clear line and no row: the next sweep brings them."""
    settings = Settings(store=tmp_path)
    keep_sweep(made(write_bars(tmp_path), tmp_path, objective=Objective.CALMAR), settings)
    waits: list[float] = []
    monkeypatch.setattr(
        sweep_keep,
        "keep_backtest",
        lambda warehouse, rows, keep=sweep_keep.keep_backtest: keep(warehouse, rows, sleep=waits.append),
    )

    with opened(warehouse_path(settings), read_only=True):
        trouble = keep_sweep(walked, settings)

    assert trouble is not None
    assert "is held by" in trouble
    assert waits != []
    assert stored(settings, "FROM sweeps").height == 1
    assert keep_sweep(walked, settings) is None
    assert stored(settings, "FROM sweeps").height == 2
    assert stored(settings, "FROM sweep_trials").height == 30

"""A sweep: the same result whoever plays it, resumed after a kill, proven by the exact engine."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from desk.errors import ConfigError
from desk.research.engine import Played
from desk.research.walk import FillsDiffer
from schemas.research import ALPACA_COSTS, Size
from schemas.settings import Settings
from schemas.sweep import Method, Objective, Piece
from tasks import sweep_bench
from tasks.backtest import run_backtest
from tasks.backtest_plan import BacktestPlan
from tasks.sweep import Sweep, pieces_of, search
from tasks.sweep_bench import file_of
from tasks.sweep_plan import Prepared, prepare
from tasks.sweep_pool import Pool
from tests.desk.research import market
from tests.house import CHECKOUT
from tests.tasks.sweeps import alone, made, plan_of, quiet, write_bars

PATIENCE_S = 120.0


@pytest.fixture(scope="module")
def bars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bars(tmp_path_factory.mktemp("bars"))


def result(sweep: Sweep) -> list[tuple[object, ...]]:
    """Give everything of a sweep that must not depend on who played it."""
    return [
        (
            trial.place,
            trial.fold.number,
            trial.train_trades,
            trial.train_days.tolist(),
            trial.test_trades,
            trial.test_days.tolist(),
        )
        for trial in sweep.trials
    ]


def test_a_set_is_played_as_a_backtest_of_the_sessions_plays_it(bars: Path, tmp_path: Path) -> None:
    """Training and test of every set are what the exact engine gives for those sessions, warmed up."""
    sweep = made(bars, tmp_path)
    frame = pl.read_parquet(bars)
    days = frame["ts"].dt.date().unique().sort().to_list()

    assert len({trial.place for trial in sweep.trials}) == 5
    assert sweep.refused == 1
    assert len(sweep.prepared.job.folds) == 3
    fold = sweep.trials[0].fold
    trained = days[fold.train_start : fold.train_end]
    part = tmp_path / "part.parquet"
    frame.filter(pl.col("ts").dt.date().is_in(trained)).write_parquet(part)
    for trial in sweep.trials:
        if trial.fold != fold or trial.fold.train_start > 0:
            continue  # only the first training begins where the bars do
        params = tuple(f"{name}={value}" for name, value in sweep.params(trial.place).items())
        plan = replace(plan_of(part).backtest, params=params)
        alone_run = run_backtest(plan, Settings(store=tmp_path), began=lambda _: None, after=lambda _: None)
        assert alone_run.performance.days["pnl"].to_list() == pytest.approx(
            trial.train_days.tolist(), abs=1e-6
        )
        assert alone_run.performance.trades.trades == trial.train_trades


def test_every_winner_is_proven_by_the_exact_engine(bars: Path, tmp_path: Path) -> None:
    """Each fold's best traded in its test, and both engines gave as many fills."""
    sweep = made(bars, tmp_path)

    assert set(sweep.proven) == {1, 2, 3}
    assert all(count > 0 for count in sweep.proven.values())
    assert len(sweep.verdict.days) == 13 - 5 - 1
    assert sweep.prepared.job.folds[0].test_start - sweep.prepared.job.folds[0].train_end == 1


def test_a_winner_whose_fills_differ_is_a_defect(
    bars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exact engine that gives one price a cent off stops the sweep and names the fill."""
    prepared = prepare(plan_of(bars), Settings(store=tmp_path))
    play = sweep_bench.Bench._exact

    def off(*arguments: object) -> Played:
        played = play(*arguments)  # type: ignore[arg-type]
        cent = pl.when(pl.int_range(pl.len()) == 2).then(pl.col("price") + market.TICK)
        price = cent.otherwise(pl.col("price")).cast(played.fills.schema["price"]).alias("price")
        return replace(played, fills=played.fills.with_columns(price))

    monkeypatch.setattr(sweep_bench.Bench, "_exact", off)

    with pytest.raises(FillsDiffer, match=r"fold 1, .*fill 3: the screen has"):
        search(prepared, alone, quiet)


@pytest.mark.parametrize("method", [Method.GRID, Method.RANDOM, Method.BAYES])
def test_a_pool_of_processes_gives_what_one_process_gives(bars: Path, tmp_path: Path, method: Method) -> None:
    """To the last bit, whatever the method."""
    trials = None if method is Method.GRID else 4
    here = made(bars, tmp_path / "here", method=method, trials=trials)

    with Pool(2) as pool:
        prepared = prepare(plan_of(bars, method=method, trials=trials), Settings(store=tmp_path / "there"))
        there = search(prepared, pool, quiet)

    assert result(here) == result(there)
    assert here.verdict.choices == there.verdict.choices
    assert here.prepared.job.sweep_id == there.prepared.job.sweep_id


def test_a_search_by_lot_or_bayes_is_a_function_of_its_seed(bars: Path, tmp_path: Path) -> None:
    """The same seed tries the same sets; another, others; each set once a fold, none that is refused."""
    ranges = ("fast=5..60:5", "slow=20..120:10")
    for method in (Method.RANDOM, Method.BAYES):
        changes = {"method": method, "trials": 20, "ranges": ranges}
        one = made(bars, tmp_path / f"{method}-1", seed=1, **changes)
        again = made(bars, tmp_path / f"{method}-2", seed=1, **changes)
        other = made(bars, tmp_path / f"{method}-3", seed=2, **changes)

        assert result(one) == result(again)
        assert {t.place for t in one.trials} != {t.place for t in other.trials}
        tried = [(trial.fold.number, trial.place) for trial in one.trials]
        assert len(tried) == len(set(tried)) == 3 * 20
        assert all(one.params(place)["fast"] < one.params(place)["slow"] for _, place in tried)  # type: ignore[operator]


def test_bayes_finds_more_than_its_start(bars: Path, tmp_path: Path) -> None:
    """After sixteen sets by lot it asks near the good ones: its later sets are better on average."""
    changes = {"method": Method.BAYES, "ranges": ("fast=2..60:1", "slow=62..200:2"), "train": 9, "test": 3}
    sweep = made(bars, tmp_path, trials=48, objective=Objective.PNL, **changes)
    folder = sweep.prepared.folder
    means = []
    for part in ("0000", "0002"):
        frames = [pl.read_parquet(path) for path in sorted(folder.glob(f"fold-001-round-{part}-*.parquet"))]
        means.append(pl.concat(frames)["train_pnl"].list.sum().mean())

    assert means[0] is not None
    assert means[1] is not None
    assert means[1] > means[0]


def test_what_the_screen_does_not_cover_the_exact_engine_plays(bars: Path, tmp_path: Path) -> None:
    """With costs that limit participation nothing is screened, and the job says why."""
    backtest = replace(plan_of(bars).backtest, costs=ALPACA_COSTS)

    sweep = made(bars, tmp_path, backtest=backtest, ranges=("fast=5,15",))

    assert not sweep.prepared.job.screens
    assert "participation" in sweep.prepared.job.why_exact
    assert sweep.proven == {}
    assert all(trial.train_trades > 0 for trial in sweep.trials)


def test_pieces_are_work_for_many_processes(bars: Path, tmp_path: Path) -> None:
    """Every set is in one piece, each piece in all folds; few sets are a piece each, many fill sixteen."""
    for ranges, count in ((("fast=5..25:10", "slow=20,60"), 5), (("fast=1..9", "slow=11..20"), 15)):
        prepared = prepare(plan_of(bars, ranges=ranges), Settings(store=tmp_path))

        pieces = pieces_of(prepared)

        assert [place for piece in pieces for place in piece.sets] == list(prepared.sets)
        assert len(pieces) == len({piece.name for piece in pieces}) == count
        assert all(piece.folds == (1, 2, 3) for piece in pieces)


def test_a_piece_that_is_done_is_not_played_again(bars: Path, tmp_path: Path) -> None:
    """The second run of a command plays nothing; one file lost is one piece played; an empty one too."""
    played: list[str] = []

    def counting(folder: Path, pieces: Sequence[Piece]) -> Iterator[str]:
        for name in alone(folder, pieces):
            played.append(name)
            yield name

    prepared = prepare(plan_of(bars), Settings(store=tmp_path))
    first = search(prepared, counting, quiet)
    everything = list(played)
    played.clear()

    second = search(prepare(plan_of(bars), Settings(store=tmp_path)), counting, quiet)

    assert played == []
    assert result(first) == result(second)
    file_of(prepared.folder, pieces_of(prepared)[0]).write_bytes(b"")
    assert result(search(prepared, counting, quiet)) == result(first)
    assert played == everything[:1]


KILLED = {
    Method.GRID: ("fast=2..40:2", "slow=41..100:2"),  # 600 sets in 16 pieces
    Method.BAYES: ("fast=2..60", "slow=62..200:2"),  # 64 sets in each fold, in rounds of 16
}


@pytest.mark.parametrize(
    ("method", "trials", "pieces"), [(Method.GRID, None, "sets"), (Method.BAYES, 64, "fold")]
)
def test_a_sweep_killed_in_the_middle_goes_on(
    bars: Path, tmp_path: Path, method: Method, trials: int | None, pieces: str
) -> None:
    """kill -9 on the command leaves whole pieces and no process; the same command again ends the work.

    The result is that of a sweep nobody killed. Prefect's server is configured and dead all the while.
    """
    asked = ["--method", method, *(["--trials", str(trials)] if trials else [])]
    config = tmp_path / "desk.yaml"
    config.write_text("store: store\n", encoding="utf-8")
    words = [
        *(sys.executable, "-m", "cli.main", "--config", str(config), "sweep", "sma_crossover"),
        *("--bars", str(bars), "--range", KILLED[method][0], "--range", KILLED[method][1], *asked),
        *("--train", "5", "--test", "3", "--size", "shares:10", "--workers", "2"),
    ]
    environment = {**os.environ, "PREFECT_API_URL": "http://127.0.0.1:9/api"}  # a server that is dead
    process = subprocess.Popen(
        words, cwd=CHECKOUT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + PATIENCE_S
    while not (done := list((tmp_path / "store" / "sweeps").glob(f"*/{pieces}-*.parquet"))):
        assert time.monotonic() < deadline
        assert process.poll() is None
    children = children_of(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    folder = done[0].parent
    while any(is_alive(child) for child in children):
        assert time.monotonic() < deadline, "its workers are left behind"
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*.parquet")}
    assert list(folder.glob("proof-*")) == []

    facts = tmp_path / "facts.json"
    again = subprocess.run(
        [*words, "--json", str(facts)], cwd=CHECKOUT, env=environment, capture_output=True, text=True,
        check=False, timeout=PATIENCE_S,
    )  # fmt: skip

    assert again.returncode == 0, again.stderr
    assert children != []
    after = {path: path.stat().st_mtime_ns for path in folder.glob("*.parquet")}
    assert before.items() <= after.items()
    assert len(after) > len(before)
    found = json.loads(facts.read_text(encoding="utf-8"))
    whole = made(bars, tmp_path / "whole", method=method, trials=trials, ranges=KILLED[method])
    assert found["sweep_id"] == whole.prepared.job.sweep_id
    assert found["sets"] == len({trial.place for trial in whole.trials})
    choices = whole.verdict.choices
    assert [fold["params"] for fold in found["folds"]] == [whole.params(each.best.place) for each in choices]
    assert [fold["test"]["pnl"] for fold in found["folds"]] == [each.best.test.pnl for each in choices]
    assert [fold["fills"] for fold in found["folds"]] == [whole.proven[number] for number in (1, 2, 3)]


def children_of(pid: int) -> list[int]:
    """Give the processes a process started and their own."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and parent_of(int(entry.name)) == pid:
            found += [int(entry.name), *children_of(int(entry.name))]
    return found


def parent_of(pid: int) -> int | None:
    """Give a process's parent; None where it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return int(fields[1])


def is_alive(pid: int) -> bool:
    """Tell whether a process runs: it is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ranges": ()}, "no --range"),
        ({"ranges": ("speed=1..3",)}, "speed: 1: extra inputs are not permitted; parameters are allow_short"),
        ({"ranges": ("fast=0..3",)}, "fast: 0: input should be greater than or equal to 1"),
        ({"ranges": ("fast=a,b",)}, "fast: 'a': input should be a valid integer"),
        ({"ranges": ("fast=50,60", "slow=20,30")}, "takes none of the 4 sets"),
        ({"train": None}, "belong together"),
        ({"train": None, "test": None, "purge": 2}, "need --train and --test"),
        ({"train": 40, "test": 10}, "13 sessions; train 40"),
        ({"embargo": 3}, "embargo less than test"),
        ({"trials": 5}, "a grid tries all"),
        ({"backtest": BacktestPlan(strategy="nonsense", gate=False)}, "nonsense"),
    ],
)
def test_a_wrong_wish_is_refused(bars: Path, tmp_path: Path, changes: dict[str, object], words: str) -> None:
    """Before anything is played, in one line with the number and what is allowed."""
    backtest = changes.get("backtest")
    if isinstance(backtest, BacktestPlan):
        changes = {**changes, "backtest": replace(backtest, bars=bars)}

    with pytest.raises(ConfigError) as caught:
        prepare(plan_of(bars, **changes), Settings(store=tmp_path))

    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_identity_has_everything_that_decides(bars: Path, tmp_path: Path) -> None:
    """What changes the result changes the folder; the number of workers and the store do not."""
    settings = Settings(store=tmp_path)
    base = prepare(plan_of(bars), settings)
    other = tmp_path / "other.parquet"
    pl.read_parquet(bars).with_columns(pl.col("close") + 0.01, pl.col("high") + 0.01).write_parquet(other)

    def of(**changes: object) -> Prepared:
        return prepare(plan_of(bars, **changes), settings)

    backtest = plan_of(bars).backtest
    different = [
        of(ranges=("fast=5..25:10", "slow=20,61")),
        of(test=4),
        of(embargo=1),
        of(anchored=True),
        of(objective=Objective.PNL),
        of(seed=1),
        of(method=Method.RANDOM, trials=5),
        of(backtest=replace(backtest, bars=other)),
        of(backtest=replace(backtest, cash=backtest.cash + 1)),
        of(backtest=replace(backtest, size=Size.parse("shares:11"))),
        of(backtest=replace(backtest, close_out=True)),
        of(backtest=replace(backtest, params=("band_bps=1",))),
        of(backtest=replace(backtest, end=date(2025, 11, 25))),
    ]

    ids = [each.job.sweep_id for each in (base, *different)]
    assert len(set(ids)) == len(ids)
    elsewhere = prepare(plan_of(bars), Settings(store=tmp_path / "elsewhere"))
    assert elsewhere.job.sweep_id == base.job.sweep_id


def test_a_purge_shorter_than_the_warm_up_is_made_longer(bars: Path, tmp_path: Path) -> None:
    """The sweep says so; a longer one is kept; a strategy that begins anew each session needs none."""
    settings = Settings(store=tmp_path)
    short = prepare(plan_of(bars, purge=0), settings)
    long = prepare(plan_of(bars, purge=3), settings)
    anew = plan_of(bars, ranges=("range_minutes=10,20",))
    anew = replace(anew, backtest=replace(anew.backtest, strategy="opening_range"))

    def purges(prepared: Prepared) -> set[int]:
        return {fold.test_start - fold.train_end for fold in prepared.job.folds}

    assert purges(short) == {1}
    assert any("purge 1 sessions, not 0" in note for note in short.notes)
    assert purges(long) == {3}
    assert purges(prepare(anew, settings)) == {0}


IDEA = """
import polars as pl
from pydantic import Field
from strategies.base import Params, Strategy

class IdeaParams(Params):
    window: int = Field(5, ge=1, le=500, description="Bars.")

class Idea(Strategy):
    name = "idea"
    params_model = IdeaParams

    def bars_needed(self):
        if self.checked.window == 13:
            raise ValueError("unlucky")
        return self.checked.window

    def levels(self, bars):
        level = bars.select("symbol", "ts", target=pl.lit(1.0), price="close", reason=pl.lit("always"))
        return level.filter(pl.lit(1 / (self.checked.window - 1) > 0))
"""


def test_a_users_own_mistake_is_one_line(bars: Path, tmp_path: Path) -> None:
    """What a user's file raises for one of the sets is named as the file's, before anything is played."""
    (tmp_path / "mine.py").write_text(IDEA, encoding="utf-8")
    backtest = replace(plan_of(bars).backtest, strategy=str(tmp_path / "mine.py"))

    with pytest.raises(ConfigError, match=r"mine.py: it cannot be made: ValueError: unlucky") as caught:
        prepare(plan_of(bars, backtest=backtest, ranges=("window=11..15",)), Settings(store=tmp_path))

    assert "\n" not in str(caught.value)


def test_a_strategy_that_raises_under_way_is_named(bars: Path, tmp_path: Path) -> None:
    """In a process of the pool too: one line with the strategy and what it said, no defect of ours."""
    (tmp_path / "mine.py").write_text(IDEA, encoding="utf-8")
    backtest = replace(plan_of(bars).backtest, strategy=str(tmp_path / "mine.py"))
    prepared = prepare(plan_of(bars, backtest=backtest, ranges=("window=1,2",)), Settings(store=tmp_path))

    with pytest.raises(ConfigError, match="strategy idea: ZeroDivisionError"), Pool(1) as pool:
        search(prepared, pool, quiet)


def test_a_purge_looks_at_every_set(bars: Path, tmp_path: Path) -> None:
    """The longest warm-up decides, wherever in a large space it lies and whatever the method."""
    (tmp_path / "mine.py").write_text(IDEA.replace("== 13", "== 0"), encoding="utf-8")
    backtest = replace(plan_of(bars).backtest, strategy=str(tmp_path / "mine.py"))
    ranges = ("window=2..500",)
    for method, trials in ((Method.GRID, None), (Method.RANDOM, 450), (Method.BAYES, 3)):
        changes = {"backtest": backtest, "ranges": ranges, "method": method, "trials": trials}
        prepared = prepare(plan_of(bars, **changes), Settings(store=tmp_path))

        fold = prepared.job.folds[0]
        assert fold.test_start - fold.train_end == 2


def test_bars_that_look_raw_are_a_caution(bars: Path, tmp_path: Path) -> None:
    """A night on which a price halves is named: a sweep takes its bars as adjusted."""
    raw, prices = tmp_path / "raw.parquet", ("open", "high", "low", "close")
    later = (pl.col("symbol") == "S00") & (pl.col("ts").dt.date() >= date(2025, 11, 18))
    halved = [pl.when(later).then(pl.col(name) / 2).otherwise(pl.col(name)).alias(name) for name in prices]
    pl.read_parquet(bars).with_columns(halved).write_parquet(raw)
    settings = Settings(store=tmp_path)

    (caution,) = prepare(plan_of(raw), settings).notes

    assert "S00" in caution
    assert "before 2025-11-18 (near 2 to 1)" in caution
    assert "adjust them" in caution
    assert prepare(plan_of(bars), settings).notes == ()


def test_prices_too_fine_for_the_screen_are_rounded(bars: Path, tmp_path: Path) -> None:
    """Bars that were floats of 32 bits once: their prices are no whole millionths, and the sweep says so."""
    fine, prices = tmp_path / "fine.parquet", ("open", "high", "low", "close")
    short = [pl.col(name).cast(pl.Float32).cast(pl.Float64) for name in prices]
    pl.read_parquet(bars).with_columns(*short).write_parquet(fine)

    sweep = made(fine, tmp_path)

    assert sweep.prepared.job.screens
    assert "finer than a millionth" in sweep.prepared.notes[0]
    assert sum(sweep.proven.values()) > 0


def test_no_secret_is_written(bars: Path, tmp_path: Path) -> None:
    """The job that every process reads has the settings without keys."""
    settings = Settings.model_validate(
        {"store": tmp_path, "secrets": {"api_key": "PKSECRETKEY", "secret_key": "very-secret"}}
    )

    prepared = prepare(plan_of(bars), settings)

    written = b"".join(path.read_bytes() for path in prepared.folder.iterdir() if path.suffix == ".json")
    assert b"PKSECRETKEY" not in written
    assert b"very-secret" not in written

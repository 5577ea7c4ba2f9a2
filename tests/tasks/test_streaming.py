"""`desk backtest --stream`: month after month gives what one piece gives, and forgets what is over."""

import gc
import weakref
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from desk.errors import ConfigError, NoBars
from desk.exchange.generated import GeneratedMarket
from desk.hours import sessions_between
from desk.research.engine import Plan, Playback
from desk.research.reel import Reel
from schemas.account import SessionHours
from schemas.research import ALPACA_COSTS, Engine
from schemas.settings import SessionSettings, Settings, StrategySettings
from strategies.sma_crossover import SmaCrossover
from tasks import streaming
from tasks.backtest import Backtest, BacktestPlan, keep, report, run_backtest
from tasks.bar_files import BarMonths
from tasks.streaming import run_streamed

SYMBOLS = ("KO", "QQQ", "F")
FIRST, LAST = date(2025, 10, 22), date(2025, 12, 5)  # three months, one early close


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write generated bars, a file a month; the last symbol begins in November."""
    market, found = GeneratedMarket(5, SYMBOLS), tmp_path_factory.mktemp("bars")
    days = [market.frame(each.session_date) for each in sessions_between(FIRST, LAST)]
    bars = pl.concat(days).filter((pl.col("symbol") != "F") | (pl.col("ts").dt.month() > 10))
    for month in (10, 11, 12):
        part = bars.filter(pl.col("ts").dt.month() == month).sort("ts").rename({"ts": "timestamp"})
        part.write_parquet(found / f"2025-{month}.parquet")
    return found


def both(plan: BacktestPlan, tmp_path: Path) -> tuple[Backtest, Backtest]:
    """Run a plan in one piece and month after month."""
    settings = Settings(store=tmp_path / "store")
    plain, streamed = (
        run(plan, settings, began=lambda _: None, after=lambda _: None)
        for run in (run_backtest, run_streamed)
    )
    return plain, streamed


@pytest.mark.parametrize(
    ("strategy", "more"),
    [
        ("sma_crossover", {}),
        ("vwap_mean_reversion", {"costs": ALPACA_COSTS, "close_out": True}),
        ("rsi", {"costs": ALPACA_COSTS.model_copy(update={"latency_bars": 2}), "gate": False}),
    ],
)
def test_months_are_the_whole(folder: Path, tmp_path: Path, strategy: str, more: dict[str, object]) -> None:
    """The same orders, executions, flows, trades and minutes; what it is worth is the same number."""
    plan = BacktestPlan(strategy=strategy, bars=folder, **more)  # type: ignore[arg-type]

    plain, streamed = both(plan, tmp_path)

    assert plain.run.orders > 100
    assert streamed.run.orders_hash == plain.run.orders_hash
    assert streamed.fills.equals(plain.fills)
    assert streamed.flows.equals(plain.flows)
    assert_frame_equal(streamed.curve, plain.curve, abs_tol=1e-6)
    assert_frame_equal(streamed.trades, plain.trades, abs_tol=1e-6)
    assert asdict(streamed.performance.costs) == pytest.approx(asdict(plain.performance.costs), abs=1e-6)
    assert (streamed.run.bars, streamed.run.first, streamed.run.last) == (
        plain.run.bars,
        plain.run.first,
        plain.run.last,
    )
    assert streamed.run.final_equity == plain.run.final_equity


def test_a_stretch_of_days_is_the_whole(folder: Path, tmp_path: Path) -> None:
    """From a day to a day, of some symbols."""
    plan = BacktestPlan(
        strategy="bollinger",
        bars=folder,
        symbols=("F", "KO"),
        start=date(2025, 10, 30),
        end=date(2025, 12, 2),
    )

    plain, streamed = both(plan, tmp_path)

    assert streamed.fills.equals(plain.fills)
    assert streamed.fills.height > 20


def test_a_streamed_run_is_kept_and_drawn(folder: Path, tmp_path: Path) -> None:
    """Its rows go into the warehouse and its page is written, as of any run."""
    settings = Settings(store=tmp_path / "store")
    plan = BacktestPlan(strategy="sma_crossover", bars=folder)
    done = run_streamed(plan, settings, began=lambda _: None, after=lambda _: None)

    report(done, tmp_path / "page.html")

    assert keep(done, settings) is None
    assert done.run.run_id in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_what_is_over_is_forgotten(folder: Path) -> None:
    """After the last of 31 sessions, desk, venue and ledger know the orders of the last weeks alone."""
    bars = pl.concat(month.frame for month in BarMonths(folder)).sort("symbol", "ts")
    strategy = SmaCrossover(SYMBOLS)
    plan = Plan(
        settings=Settings(
            symbols=SYMBOLS,
            strategies=(StrategySettings(name=strategy.name, size="shares:10"),),
            session=SessionSettings(close_out=False, overnight=True),
        ),
        reel=Reel(bars),
        said={strategy.name: strategy.signals(bars)},
        strategies=(strategy,),
        gate=False,
    )
    playback = Playback(plan)
    stretch = playback.run(plan.reel, plan.said)
    done = playback.played(stretch)
    assert done.journal is not None
    known = done.journal.portfolio.orders

    assert done.fills.height > 3 * len(known) > 0
    assert min(order.planned_at for order in known.values()).date() >= date(2025, 11, 20)
    assert len(done.journal.portfolio.executions) == len(done.journal.portfolio.cumulative)
    assert len(done.journal.portfolio.executions) <= len(known)


def test_no_months_bars_outlive_it(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a month is played, the bars of none before it are held, not even those of the first."""
    made: list[weakref.ref[Reel]] = []
    alive: list[int] = []

    class Watched(Reel):
        def __init__(self, *args: Any, **more: Any) -> None:
            super().__init__(*args, **more)
            made.append(weakref.ref(self))

    def count(_: SessionHours) -> None:
        gc.collect()
        alive.append(sum(each() is not None for each in made))

    monkeypatch.setattr(streaming, "Reel", Watched)
    plan = BacktestPlan(strategy="opening_range", bars=folder)
    run_streamed(plan, Settings(store=tmp_path / "store"), began=lambda _: None, after=count)

    assert len(made) == 3
    assert set(alive) == {1}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bars": None}, "--stream reads Parquet files: give --bars"),
        ({"engine": Engine.SCREEN}, "--stream is of the exact engine"),
        ({"actions": Path("splits.csv")}, "--stream takes bars that are adjusted"),
        (
            {"start": date(2025, 12, 2), "end": date(2025, 12, 1)},
            "--start 2025-12-02 is after --end 2025-12-01",
        ),
    ],
)
def test_what_cannot_be_streamed_is_said(
    folder: Path, tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    """One line each, before a bar is read."""
    asked: dict[str, object] = {"strategy": "rsi", "bars": folder, **changes}

    with pytest.raises(ConfigError, match=words):
        streamed(BacktestPlan(**asked), tmp_path)  # type: ignore[arg-type]


def test_an_unknown_symbol_is_named(folder: Path, tmp_path: Path) -> None:
    """With those that are there."""
    with pytest.raises(NoBars, match=r"no bars of TSLA; there are F, KO, QQQ"):
        streamed(BacktestPlan(strategy="rsi", bars=folder, symbols=("TSLA",)), tmp_path)


def streamed(plan: BacktestPlan, tmp_path: Path) -> Backtest:
    """Run a plan month after month."""
    return run_streamed(plan, Settings(store=tmp_path / "store"), began=lambda _: None, after=lambda _: None)

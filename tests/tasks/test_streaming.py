"""`desk backtest --stream`: month after month gives what one piece gives, and forgets what is over."""

import gc
import weakref
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from desk.errors import BadBatch, ConfigError, NoBars
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
    with pytest.raises(NoBars, match=r"no bars of TSLA in regular sessions; there are F, KO, QQQ"):
        streamed(BacktestPlan(strategy="rsi", bars=folder, symbols=("TSLA",)), tmp_path)


def test_as_live_is_warmed_up_as_in_one_piece(folder: Path, tmp_path: Path) -> None:
    """From a day within a month and from the first of one, the strategy is shown the sessions before."""
    for start in (date(2025, 10, 28), date(2025, 11, 3)):
        plan = BacktestPlan(
            strategy="sma_crossover",
            bars=folder,
            start=start,
            end=date(2025, 11, 5),
            as_live=True,
            params=("fast=60", "slow=200"),
        )

        plain, streamed = both(plan, tmp_path)

        assert plain.fills.height > 5
        assert streamed.fills.equals(plain.fills)
        assert streamed.run.final_equity == plain.run.final_equity
        assert "warmed up with" in plain.notes[0]
        assert plain.notes[0] in streamed.notes


FEW = ("KO", "F")


@pytest.fixture(scope="module")
def few() -> pl.DataFrame:
    """Give four sessions of two symbols, over the end of a month."""
    market = GeneratedMarket(5, FEW)
    sessions = sessions_between(date(2025, 10, 30), date(2025, 11, 5))
    return pl.concat([market.frame(each.session_date) for each in sessions])


def row_5(**changed: pl.Expr | None) -> list[pl.Expr]:
    """Say what one row has in some columns."""
    is_5 = pl.int_range(pl.len()) == 5
    return [pl.when(is_5).then(to).otherwise(name).alias(name) for name, to in changed.items()]


KINDS: dict[str, Callable[[pl.DataFrame], pl.DataFrame]] = {
    "New York": lambda bars: bars.with_columns(pl.col("ts").dt.convert_time_zone("America/New_York")),
    "ns": lambda bars: bars.with_columns(pl.col("ts").cast(pl.Datetime("ns", "UTC"))),
    "ms": lambda bars: bars.with_columns(pl.col("ts").cast(pl.Datetime("ms", "Europe/Berlin"))),
    "categorical": lambda bars: bars.with_columns(pl.col("symbol").cast(pl.Categorical)),
    "whole numbers": lambda bars: bars.filter(pl.col("symbol") == "KO").with_columns(symbol=pl.lit(7)),
    "no symbol": lambda bars: bars.with_columns(row_5(symbol=None)),
    "no ts": lambda bars: bars.with_columns(row_5(ts=None)),
    "impossible": lambda bars: pl.concat([bars, bars.head(40).with_columns(close=pl.lit(-1.0))]),
    "by night": lambda bars: pl.concat([bars, bars.head(3).with_columns(pl.col("ts") - timedelta(hours=5))]),
    "a symbol by night": lambda bars: pl.concat(
        [bars, bars.head(30).with_columns(pl.col("ts") + timedelta(hours=9), symbol=pl.lit("Z"))]
    ),
    "before the calendar": lambda bars: pl.concat(
        [bars, *(bars.head(9).with_columns(pl.col("ts") - timedelta(days=365 * n)) for n in (20, 50, 300))]
    ),
    "after the calendar": lambda bars: pl.concat(
        [bars, *(bars.head(9).with_columns(pl.col("ts") + timedelta(days=365 * n)) for n in (5, 300))]
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_files_of_any_kind_are_as_in_one_piece(few: pl.DataFrame, tmp_path: Path, kind: str) -> None:
    """What the one takes, the other does: with the same fills, symbols and rows left out."""
    KINDS[kind](few).write_parquet(tmp_path / "bars.parquet")
    few.clear().write_parquet(tmp_path / "none.parquet")
    plan = BacktestPlan(strategy="sma_crossover", bars=tmp_path)

    plain, streamed = both(plan, tmp_path)

    assert streamed.fills.equals(plain.fills)
    assert streamed.run.symbols == plain.run.symbols
    left_out = [words for words in plain.notes if "left out" in words]
    assert [words for words in streamed.notes if "left out" in words] == left_out
    assert bool(left_out) == (kind not in ("New York", "ns", "ms", "categorical", "whole numbers"))


def test_days_beyond_the_bars_are_as_in_one_piece(few: pl.DataFrame, tmp_path: Path) -> None:
    """From before the calendar to after it; of symbols that have bars on other days alone."""
    shorter = few.filter((pl.col("symbol") == "F") | (pl.col("ts").dt.month() == 10))
    shorter.write_parquet(tmp_path / "bars.parquet")
    plan = BacktestPlan(strategy="sma_crossover", bars=tmp_path, symbols=FEW)
    long = replace(plan, start=date.min, end=date.max)

    for each in (long, replace(plan, start=date(2025, 11, 3)), replace(plan, end=date(2025, 10, 31))):
        plain, streamed = both(each, tmp_path)

        assert plain.fills.height > 0
        assert streamed.fills.equals(plain.fills)
        assert streamed.run.symbols == plain.run.symbols


@pytest.mark.parametrize(
    "change",
    [
        {"start": date(2025, 12, 1)},
        {"end": date(2000, 1, 1)},
        {"start": date(2200, 1, 1)},
        {"end": date(1500, 1, 1)},
        {"symbols": ("KO", "Z")},
    ],
)
def test_what_is_not_there_is_told_as_in_one_piece(
    few: pl.DataFrame, tmp_path: Path, change: dict[str, Any]
) -> None:
    """No bar on those days, and a symbol with none in a regular session."""
    KINDS["a symbol by night"](few).write_parquet(tmp_path / "bars.parquet")
    plan = replace(BacktestPlan(strategy="sma_crossover", bars=tmp_path), **change)

    assert refusal(run_streamed, plan).partition(";")[0] == refusal(run_backtest, plan).partition(";")[0]


def test_a_file_that_is_not_of_bars_is_told_as_in_one_piece(few: pl.DataFrame, tmp_path: Path) -> None:
    """Instants without a zone, a column that lacks or is of words, and bars by night alone."""
    naive = few.with_columns(pl.col("ts").dt.replace_time_zone(None))
    night = few.with_columns(pl.col("ts") + timedelta(hours=9))
    words = few.with_columns(close=pl.lit("dear"))
    for number, bars in enumerate((naive, few.drop("symbol"), few.drop("close"), words, night)):
        bars.write_parquet(tmp_path / f"{number}.parquet")
        plan = BacktestPlan(strategy="sma_crossover", bars=tmp_path / f"{number}.parquet")

        assert refusal(run_streamed, plan)[:90] == refusal(run_backtest, plan)[:90]


def test_a_night_that_looks_like_a_split_is_told_once(few: pl.DataFrame, tmp_path: Path) -> None:
    """Within a month, with the bars carried on to the next, and between two."""
    for day in (31, 33):
        edge = few["ts"].min() + timedelta(days=day - 30)
        halved = pl.when((pl.col("symbol") == "KO") & (pl.col("ts") >= edge)).then(0.5).otherwise(1.0)
        prices = pl.col("open", "high", "low", "close", "vwap")
        few.with_columns(prices * halved).write_parquet(tmp_path / "bars.parquet")

        plain, streamed = both(BacktestPlan(strategy="sma_crossover", bars=tmp_path), tmp_path)

        (told,), (words,) = plain.doubts, streamed.doubts
        assert words.partition(". If")[0] == told.partition(". If")[0]
        assert words.count("KO from") == 1


def refusal(run: Callable[..., Backtest], plan: BacktestPlan) -> str:
    """Give the kind of error and its words."""
    with pytest.raises((NoBars, BadBatch)) as caught:
        run(plan, Settings(), began=lambda _: None, after=lambda _: None)
    return f"{caught.type.__name__}: {caught.value}"


def streamed(plan: BacktestPlan, tmp_path: Path) -> Backtest:
    """Run a plan month after month."""
    return run_streamed(plan, Settings(store=tmp_path / "store"), began=lambda _: None, after=lambda _: None)

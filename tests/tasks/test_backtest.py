"""`desk backtest` from files to numbers: the fills are those of a plain loop, and mistakes are one line."""

import logging
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from desk.errors import ConfigError, NoBars
from desk.exchange.generated import GeneratedMarket
from desk.hours import sessions_between
from schemas.research import ALPACA_COSTS, Engine, Size, SizeKind
from schemas.settings import Settings
from tasks.backtest import Backtest, BacktestPlan, keep, report, run_backtest, write_fills
from tasks.bar_files import read_bars
from tests.answers import reference_loop

TEN = Size(kind=SizeKind.SHARES, amount=Decimal(10))
HUNDRED = Size(kind=SizeKind.SHARES, amount=Decimal(100))
CASH = Decimal(50_000_000)
PARAMS = ("fast=20", "slow=50")

# As a new user writes it, from docs/strategies.md alone.
MINE = '''"""VWAP reversion: buy under the session's VWAP less a band, leave at it."""

import polars as pl
from pydantic import Field

from strategies.base import Params, Strategy
from strategies.indicators import above, bars_so_far, session_vwap


class ReversionParams(Params):
    band_bps: float = Field(20.0, ge=0, le=1000, description="How far under the VWAP, basis points.")
    settle: int = Field(15, ge=1, le=389, description="Bars of a session before it speaks.")


class Reversion(Strategy):
    name = "reversion"
    params_model = ReversionParams
    session_anchored = True
    checked: ReversionParams

    def bars_needed(self) -> int:
        return self.checked.settle

    def levels(self, bars: pl.DataFrame) -> pl.DataFrame:
        seen = bars.with_columns(session_vwap().alias("mean"), bars_so_far().alias("count"))
        band = pl.col("mean") * self.checked.band_bps / 10_000
        close = pl.col("close")
        low, back = above(pl.col("mean") - band, close), above(close, pl.col("mean"))
        return (
            seen.with_columns(pl.when(low).then(1.0).when(back).then(0.0).alias("target"))
            .filter(pl.col("target").is_not_null() & (pl.col("count") >= self.checked.settle))
            .select("symbol", "ts", "target", close.alias("price"), pl.lit("vwap").alias("reason"))
        )
'''


def settings(tmp_path: Path) -> Settings:
    """Give the defaults, in a store of the test's own."""
    return Settings(store=tmp_path / "store")


def bars_file(tmp_path: Path, *, days: int = 6) -> Path:
    """Write generated bars of three symbols into one file, over an early close."""
    market = GeneratedMarket(11, ("KO", "QQQ", "F"))
    sessions = sessions_between(date(2025, 11, 21), date(2025, 12, 31))[:days]
    path = tmp_path / "bars.parquet"
    pl.concat(market.frame(each.session_date) for each in sessions).write_parquet(path)
    return path


def run(plan: BacktestPlan, tmp_path: Path) -> Backtest:
    """Run a backtest without a progress bar."""
    return run_backtest(plan, settings(tmp_path), began=lambda _: None, after=lambda _: None)


def idea(tmp_path: Path) -> str:
    """Write the user's strategy into a folder of its own."""
    path = tmp_path / "ideas" / "mine.py"
    path.parent.mkdir()
    path.write_text(MINE, encoding="utf-8")
    return f"{path}:Reversion"


def plain_loop(bars: pl.DataFrame, levels: reference_loop.Levels) -> list[tuple[object, ...]]:
    """Give the fills of the plain loop: every fill, to the cent."""
    plain = reference_loop.plain_bars(bars)
    first, last = bars["ts"].min().date(), bars["ts"].max().date()
    days = sessions_between(first, date.fromordinal(last.toordinal() + 1))
    outcome = reference_loop.play(plain, levels, days, size=HUNDRED, cash=CASH)
    return sorted((f.ts, f.symbol, f.side, f.qty, f.price) for f in outcome.fills)


def fills_of(done: Backtest) -> list[tuple[object, ...]]:
    return sorted(done.fills.select("ts", "symbol", "side", "qty", "price").rows())


def bare(strategy: str, path: Path, params: tuple[str, ...] = (), **how: object) -> BacktestPlan:
    """Ask for a hundred shares an entry, no costs, no gate."""
    return BacktestPlan(
        strategy=strategy, bars=path, params=params, size=HUNDRED, gate=False, cash=CASH, **how
    )


def test_sma_crossover_fills_as_a_plain_loop_does(tmp_path: Path) -> None:
    """SMA 20/50 over generated bars: the same executions, to the cent, as the loop a person would write."""
    path = bars_file(tmp_path)

    done = run(bare("sma_crossover", path, PARAMS), tmp_path)

    wanted = plain_loop(done.bars, reference_loop.sma_levels(reference_loop.plain_bars(done.bars)))
    assert len(wanted) > 50
    assert fills_of(done) == wanted


def test_a_users_vwap_reversion_fills_as_a_plain_loop_does(tmp_path: Path) -> None:
    """A file outside the repository, on the same terms."""
    path = bars_file(tmp_path)

    done = run(bare(idea(tmp_path), path), tmp_path)

    wanted = plain_loop(done.bars, reference_loop.vwap_levels(reference_loop.plain_bars(done.bars)))
    assert len(wanted) > 20
    assert fills_of(done) == wanted


@pytest.mark.real
@pytest.mark.parametrize("symbols", [("AAPL", "MSFT", "JPM"), ("AMZN", "XOM")])
def test_real_bars_fill_as_a_plain_loop_does(
    tmp_path: Path, real_data: Path, symbols: tuple[str, ...]
) -> None:
    """Both ideas on real minute bars: the same executions, to the cent."""
    folder = real_data / "bars" / "1min"
    plain = reference_loop.plain_bars(read_bars(folder, symbols=symbols).frame)

    crossover = run(bare("sma_crossover", folder, PARAMS, symbols=symbols), tmp_path)
    reversion = run(bare(idea(tmp_path), folder, symbols=symbols), tmp_path)

    assert fills_of(crossover) == plain_loop(crossover.bars, reference_loop.sma_levels(plain))
    assert fills_of(reversion) == plain_loop(reversion.bars, reference_loop.vwap_levels(plain))
    assert crossover.fills.height > 50


def test_the_screen_fills_as_the_exact_engine_does(tmp_path: Path) -> None:
    """Both engines, one plan."""
    path = bars_file(tmp_path)

    exact = run(bare("sma_crossover", path, PARAMS), tmp_path)
    screen = run(bare("sma_crossover", path, PARAMS, engine=Engine.SCREEN), tmp_path)

    assert fills_of(screen) == fills_of(exact)
    assert screen.run.final_equity == exact.run.final_equity


def test_the_screen_takes_prices_that_were_short_floats(tmp_path: Path) -> None:
    """Prices off by a hundred-thousandth of a dollar are rounded, and the fills are the exact engine's."""
    path, prices = bars_file(tmp_path), ("open", "high", "low", "close")
    short = [pl.col(name).cast(pl.Float32).cast(pl.Float64) for name in prices]
    pl.read_parquet(path).with_columns(*short).write_parquet(path)

    exact = run(bare("sma_crossover", path, PARAMS), tmp_path)
    screen = run(bare("sma_crossover", path, PARAMS, engine=Engine.SCREEN), tmp_path)

    assert fills_of(screen) == fills_of(exact)
    assert "bars are finer than a millionth of a USD" in screen.notes[0]


def test_a_run_is_a_function_of_what_was_asked(tmp_path: Path) -> None:
    """The same plan gives the same run, name, orders and numbers; another parameter another."""
    path = bars_file(tmp_path, days=2)

    first, again = (run(bare("sma_crossover", path, PARAMS), tmp_path) for _ in range(2))
    other = run(bare("sma_crossover", path, ("fast=10", "slow=50")), tmp_path)

    assert (first.run.run_id, first.run.orders_hash) == (again.run.run_id, again.run.orders_hash)
    assert first.fills.equals(again.fills)
    assert other.run.run_id != first.run.run_id
    assert other.run.orders_hash != first.run.orders_hash


def test_under_the_gate_denials_are_counted(tmp_path: Path) -> None:
    """A hundred shares of QQQ are more than the default limit of an order, and nothing is sent."""
    path = bars_file(tmp_path, days=2)
    plan = BacktestPlan(strategy="sma_crossover", bars=path, symbols=("QQQ",), params=PARAMS, size=HUNDRED)

    done = run(plan, tmp_path)

    assert done.run.orders == done.fills.height == 0
    assert done.run.denied > 0
    assert done.doubts[-1].startswith(f"The gate denied {done.run.denied:,} of {done.run.denied:,} intents: ")
    assert f"order_notional {done.run.denied:,}" in done.doubts[-1]


def test_a_latch_that_ends_a_run_is_told_first(tmp_path: Path) -> None:
    """A loss limit of a few dollars latches on the first day: what comes after it has no entry."""
    path = bars_file(tmp_path)
    limits = settings(tmp_path).risk.model_copy(update={"daily_loss_usd": Decimal(2)})
    few = settings(tmp_path).model_copy(update={"risk": limits})
    plan = BacktestPlan(strategy="sma_crossover", bars=path, symbols=("F", "KO"), params=PARAMS, size=TEN)

    done = run_backtest(plan, few, began=lambda _: None, after=lambda _: None)

    assert done.fills.height > 0
    day = done.fills["ts"].max()
    assert done.doubts[0].startswith(f"daily_loss latched at {day:%Y-%m-%d} ")
    assert "No entry after it" in done.doubts[0]


def test_orders_that_the_venue_rejected_are_told_of(tmp_path: Path) -> None:
    """Twenty times the account's equity is more than its buying power: no fill, and the reason."""
    path = bars_file(tmp_path, days=1)
    plan = replace(bare("sma_crossover", path, PARAMS), size=Size(kind=SizeKind.EQUITY, amount=Decimal(20)))

    done = run(plan, tmp_path)

    orders = done.run.orders
    assert done.fills.is_empty()
    assert (
        done.doubts[0]
        == f"The venue rejected {orders:,} of {orders:,} orders: insufficient buying power {orders:,}."
    )


def test_the_profit_is_that_of_the_trades(tmp_path: Path) -> None:
    """Over a month with fees: no day's rounding goes to the account beside its trades."""
    plan = bare("sma_crossover", bars_file(tmp_path, days=22), PARAMS, costs=ALPACA_COSTS)
    done = run(plan, tmp_path)

    assert done.fills["fee"].sum() > 1
    assert done.flows.is_empty()
    assert done.performance.costs.fees_usd == pytest.approx(float(done.fills["fee"].sum()), abs=1e-9)
    assert done.trades["pnl"].sum() == pytest.approx(done.performance.account.profit_usd, abs=1e-6)


def test_a_backtest_logs_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What is only played is not in the desk's log: not its orders, nor its latches."""
    path = bars_file(tmp_path, days=1)
    caplog.set_level(logging.DEBUG, logger="desk")

    done = run(bare("sma_crossover", path, PARAMS), tmp_path)

    assert done.run.orders > 0
    assert caplog.records == []


def test_as_live_closes_out_before_the_bell(tmp_path: Path) -> None:
    """By desk.yaml's rules nothing is held over night."""
    path = bars_file(tmp_path)

    done = run(BacktestPlan(strategy="sma_crossover", bars=path, params=PARAMS, as_live=True), tmp_path)

    signed = pl.when(pl.col("side") == "buy").then(pl.col("qty")).otherwise(-pl.col("qty"))
    left = done.fills.group_by(pl.col("ts").dt.date(), "symbol").agg(signed.sum())
    assert done.fills.height > 0
    assert (left["qty"] == 0).all()


def test_as_live_a_later_start_is_warmed_up_as_the_desk_is(tmp_path: Path) -> None:
    """A day alone, shown the session before as the live desk is, fills as it does after that session."""
    path = bars_file(tmp_path, days=3)
    asked = {"bars": path, "strategy": "sma_crossover", "params": PARAMS, "size": Size.parse("shares:20")}
    day = date(2025, 11, 25)

    both = run(BacktestPlan(**asked, as_live=True), tmp_path)
    alone = run(BacktestPlan(**asked, as_live=True, start=day), tmp_path)
    first = run(BacktestPlan(**asked, as_live=True, end=date(2025, 11, 21)), tmp_path)
    bare_one = run(BacktestPlan(**asked, start=day), tmp_path)

    of_day = both.fills.filter(pl.col("ts").dt.date() == day).select("ts", "symbol", "side", "qty", "price")
    assert fills_of(alone) == sorted(of_day.rows())
    assert alone.fills["ts"].min() < bare_one.fills["ts"].min()  # research is shown what was asked for
    assert alone.run.first == bare_one.run.first == day
    assert alone.run.bars == bare_one.run.bars
    before = both.bars.filter(pl.col("ts").dt.date() == date(2025, 11, 24)).height
    assert f"warmed up with {before:,} bars of 2025-11-24" in alone.notes
    assert "no bars before 2025-11-21 to warm up with, as a live desk would" in first.notes


def test_what_is_written_can_be_read_again(tmp_path: Path) -> None:
    """The executions as CSV, the tear sheet as one page, the run in DuckDB once however often it is kept."""
    done = run(bare("sma_crossover", bars_file(tmp_path, days=2), PARAMS), tmp_path)

    write_fills(done.fills, tmp_path / "fills.csv")
    report(done, tmp_path / "report.html")
    waits = [keep(done, settings(tmp_path)) for _ in range(2)]

    rows = pl.read_csv(tmp_path / "fills.csv", try_parse_dates=True)
    assert rows.columns == ["ts", "symbol", "side", "qty", "price"]
    assert rows.height == done.fills.height
    assert rows["ts"].is_sorted()
    assert rows["price"].to_list() == [float(price) for price in done.fills["price"]]
    assert done.run.run_id in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert waits == [None, None]


def test_mistakes_name_the_thing(tmp_path: Path) -> None:
    """No such file, no bars between two dates, dates the wrong way round, an unknown parameter."""
    path = bars_file(tmp_path, days=1)

    with pytest.raises(ConfigError, match=r"nosuch\.parquet"):
        run(bare("sma_crossover", tmp_path / "nosuch.parquet"), tmp_path)
    with pytest.raises(NoBars, match="2031-01-01"):
        run(bare("sma_crossover", path, start=date(2031, 1, 1)), tmp_path)
    with pytest.raises(ConfigError, match="after"):
        run(bare("sma_crossover", path, start=date(2025, 2, 1), end=date(2025, 1, 1)), tmp_path)
    with pytest.raises(ConfigError, match="fats"):
        run(bare("sma_crossover", path, ("fats=3",)), tmp_path)
    with pytest.raises(NoBars, match="no warehouse"):
        run(BacktestPlan(strategy="sma_crossover"), tmp_path)

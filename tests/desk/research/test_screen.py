"""The screen against the plain loop, over generated backtests; and what it refuses."""

import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from desk.errors import DataError, NoBars
from desk.hours import session_hours
from desk.research import kernel
from desk.research.screen import NotCovered, Played, Screen, Terms, uncovered
from desk.research.slate import Slate
from schemas.bars import RAW_SCHEMA
from schemas.research import ALPACA_COSTS, FILL_SCHEMA, NO_COSTS, Costs, Size, SizeKind
from schemas.settings import EntryOrder, ExitsAt, ExitSettings, SessionSettings
from strategies.sma_crossover import SmaCrossover
from tests.answers import reference_loop
from tests.desk.research.cases import LEVEL_SCHEMA, Case, Options, case

CASES, CHUNK = 600, 50
SHARES = Size(kind=SizeKind.SHARES, amount=Decimal(100))
OVERNIGHT = SessionSettings(entry_order=EntryOrder.MARKET, close_out=False, overnight=True)
PLAIN = Terms(size=SHARES, session=OVERNIGHT)


def terms(options: Options) -> Terms:
    """Give a case's options as the screen takes them."""
    exits = None
    if options.stop_frac is not None or options.target_frac is not None:
        exits = ExitSettings(stop_frac=options.stop_frac, target_frac=options.target_frac, at=ExitsAt.DESK)
    session = SessionSettings(
        entry_order=EntryOrder.MARKET,
        close_out=options.close_out,
        overnight=not options.close_out,
        close_out_minutes=options.close_out_minutes,
        no_entry_minutes=options.no_entry_minutes,
    )
    return Terms(
        size=options.size,
        costs=options.costs,
        exits=exits,
        session=session,
        cash=options.cash,
        allow_short=options.allow_short,
    )


def screened(made: Case) -> Played:
    """Give what the screen makes of a case."""
    slate = Slate(made.bars)
    return Screen(slate, terms(made.options)).play(slate.targets(made.levels))


@pytest.mark.parametrize("first", range(0, CASES, CHUNK))
def test_screen_plays_what_the_plain_loop_plays(first: int) -> None:
    """Every execution, fee, reference price and day's equity is the same, to the last unit."""
    for seed in range(first, first + CHUNK):
        made = case(seed)
        wanted, got = made.play(), screened(made)

        columns = ("ts", "symbol", "side", "qty", "price", "fee", "reference_price")
        fills = [tuple(getattr(fill, name) for name in columns) for fill in wanted.fills]
        equity = [wanted.equity_by_day[hours.session_date] for hours in got.slate.sessions]

        assert got.fills().select(columns).rows() == fills, f"seed {seed}"
        assert [Decimal(value) / 1_000_000 for value in got.equity_by_session.tolist()] == equity, (
            f"seed {seed}"
        )
        assert got.summary().final_equity == wanted.final_equity, f"seed {seed}"


def test_playing_again_gives_the_same_and_leaves_the_first_alone() -> None:
    """A screen is used for many arrays of levels: nothing is left over from one to the next."""
    made = case(3)
    slate = Slate(made.bars)
    screen = Screen(slate, terms(made.options))
    targets = slate.targets(made.levels)

    first = screen.play(targets)
    before = first.fills()
    nothing = screen.play(np.full(len(slate.ts), np.nan))

    assert before.height > 0
    assert nothing.summary().executions == 0
    assert nothing.summary().pnl == 0
    assert first.fills().equals(before)
    assert screen.play(targets).fills().equals(before)


def test_summary_adds_up() -> None:
    """P&L is the days' together; fees are the executions'; a round trip has two executions."""
    played = screened(case(11))
    fills, summary = played.fills(), played.summary()

    assert fills.schema == FILL_SCHEMA
    assert summary.executions == fills.height > 0
    assert summary.trades == (fills.height - played.open_positions) // 2
    assert summary.pnl == pytest.approx(played.daily_pnl().sum(), abs=1e-6)
    assert summary.fees == pytest.approx(float(fills["fee"].sum()), abs=1e-6)


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        (replace(PLAIN, size=None), "sizes by allocation and slots"),
        (replace(PLAIN, gate=True), "the gate's limits, loss limits and protections"),
        (replace(PLAIN, allow_fractional=True), "fractions of a share"),
        (replace(PLAIN, session=SessionSettings()), "entries as limit orders"),
        (
            replace(PLAIN, session=SessionSettings(entry_order=EntryOrder.MARKET, close_out=False)),
            "holding overnight without orders for the next open (session.overnight)",
        ),
        (replace(PLAIN, costs=ALPACA_COSTS), "participation"),
        (replace(PLAIN, costs=Costs(latency_bars=1)), "latency"),
        (replace(PLAIN, costs=Costs(borrow_annual_frac=Decimal("0.01"))), "borrow"),
        (
            replace(PLAIN, exits=ExitSettings(trail_frac=Decimal("0.01"), at=ExitsAt.DESK)),
            "trailing stops",
        ),
        (
            replace(PLAIN, exits=ExitSettings(stop_frac=Decimal("0.01"))),
            "stops and targets that rest at the broker (exits.at: auto)",
        ),
        (replace(PLAIN, cash=Decimal(10) ** 10), "cash over 1,000,000,000 USD"),
        (
            replace(PLAIN, costs=Costs(commission_per_share=Decimal("0.0000001"))),
            "commission 1E-7 with more decimals than 0.000001",
        ),
        (
            replace(PLAIN, costs=Costs(slippage_bps=Decimal("0.00001"))),
            "slippage 0.00001 with more decimals than 0.0001",
        ),
    ],
)
def test_what_is_not_covered_is_refused_by_name(asked: Terms, named: str) -> None:
    """The screen never plays something else in silence."""
    assert uncovered(asked) == (named,)
    with pytest.raises(NotCovered) as refused:
        Screen(Slate(case(0).bars), asked)
    assert named in str(refused.value)


def test_all_that_is_not_covered_is_named_at_once() -> None:
    """A person mends the command once."""
    asked = replace(PLAIN, gate=True, costs=ALPACA_COSTS, size=None)

    assert len(uncovered(asked)) == 3


@pytest.mark.parametrize(
    ("spoiled", "words"),
    [
        (lambda bars: bars.reverse(), "not sorted"),
        (lambda bars: pl.concat([bars.head(1), bars]), "twice"),
        (lambda bars: bars.with_columns(pl.col("ts").dt.offset_by("8h")), "outside the regular session"),
        (lambda bars: bars.with_columns(pl.col("close") + 1e-7), "whole millionths"),
        (lambda bars: bars.with_columns(pl.lit(float("nan")).alias("open")), "whole millionths"),
        (lambda bars: bars.with_columns(pl.col("ts").dt.replace(month=12, day=25)), "not a trading day"),
    ],
)
def test_bars_that_would_be_played_wrongly_are_refused(spoiled: object, words: str) -> None:
    """Order, calendar and prices are looked at once, when the slate is made."""
    bars = case(0).bars.filter(pl.col("symbol") == "AAA").head(1)
    two = pl.concat([bars, bars.with_columns(pl.col("ts").dt.offset_by("1m"))])
    assert callable(spoiled)

    with pytest.raises(DataError, match=words):
        Slate(spoiled(two))


def test_no_bars_are_refused() -> None:
    """Nothing can be said about nothing."""
    with pytest.raises(NoBars):
        Slate(pl.DataFrame(schema=RAW_SCHEMA))


def test_levels_of_no_bar_are_refused() -> None:
    """A level that belongs to no bar is a mistake of whoever made it."""
    made = case(0)
    slate = Slate(made.bars)

    with pytest.raises(DataError, match="without a bar"):
        slate.targets(made.levels.with_columns(pl.col("ts").dt.offset_by("30s")))
    with pytest.raises(DataError, match="ZZZ"):
        slate.targets(made.levels.with_columns(pl.lit("ZZZ").alias("symbol")))
    with pytest.raises(DataError, match="not in order"):
        slate.targets(made.levels.filter(pl.col("symbol") == "AAA").reverse())


@pytest.mark.real
def test_screen_plays_real_bars_as_the_plain_loop(real_data: Path) -> None:
    """SMA crossover as shipped, and VWAP reversion, on a week of large caps, with and without close-out."""
    bars = real_bars(real_data, ("AAPL", "AMZN", "BAC", "INTC", "MSFT", "T"))
    plain, slate = reference_loop.plain_bars(bars), Slate(bars)
    shipped = SmaCrossover(slate.symbols, {"fast": 20, "slow": 50, "band_bps": 0.0})
    sma, vwap = reference_loop.sma_levels(plain), reference_loop.vwap_levels(plain, allow_short=True)

    for levels, said in ((sma, shipped.signals(bars)), (vwap, frame_of(vwap))):
        for close_out in (False, True):
            asked = Options(size=SHARES, close_out=close_out)
            wanted = reference_loop.play(plain, levels, slate.sessions, **asked.asked())
            got = Screen(slate, terms(asked)).play(slate.targets(said))

            fills = [(fill.ts, fill.symbol, fill.side, fill.qty, fill.price) for fill in wanted.fills]
            assert len(fills) > 200
            assert got.fills().select("ts", "symbol", "side", "qty", "price").rows() == fills
            assert got.summary().final_equity == wanted.final_equity


def real_bars(folder: Path, symbols: tuple[str, ...]) -> pl.DataFrame:
    """Give the regular sessions' sound bars, each minute once."""
    files = [
        file for symbol in symbols for file in sorted((folder / "bars" / "1min" / symbol).glob("2018-*"))
    ]
    raw = pl.concat([pl.read_parquet(file) for file in files]).rename({"timestamp": "ts"})
    spans = [session_hours(day) for day in raw["ts"].dt.date().unique()]
    inside = pl.any_horizontal(
        *((pl.col("ts") >= each.opens_at) & (pl.col("ts") < each.closes_at) for each in spans if each)
    )
    sound = (pl.col("low") > 0) & (pl.col("low") <= pl.min_horizontal("open", "close"))
    sound &= pl.col("high") >= pl.max_horizontal("open", "close")
    kept = raw.filter(inside & sound).unique(["symbol", "ts"], keep="first")
    return kept.select(pl.col(name).cast(kind) for name, kind in RAW_SCHEMA.items()).sort("symbol", "ts")


def frame_of(levels: reference_loop.Levels) -> pl.DataFrame:
    """Give levels as a frame."""
    rows = [(symbol, ts, level) for symbol, by_ts in levels.items() for ts, level in by_ts.items()]
    return pl.DataFrame(rows, schema=LEVEL_SCHEMA, orient="row").sort("symbol", "ts")


def test_where_nothing_can_be_written_the_kernel_compiles_all_the_same() -> None:
    """numba refuses to cache where it finds no folder; that costs seconds, not the run."""

    def njit(*rule: object, cache: bool = False) -> object:
        if cache:
            raise RuntimeError("cannot cache function: no locator available for file")
        return rule[0]

    assert kernel._kept(njit, abs)(-2) == 2


def test_importing_the_screen_does_not_import_numba() -> None:
    """Half a second that a command which plays nothing need not wait."""
    code = "import sys, desk.research.screen; sys.exit('numba' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_no_costs_are_the_print() -> None:
    """Without spread and slippage an execution is at the bar's open, whatever its decimals."""
    made = case(0)
    slate = Slate(made.bars.with_columns((pl.col("open") + 0.0001).alias("open")))

    played = Screen(slate, replace(PLAIN, costs=NO_COSTS)).play(slate.targets(made.levels))

    opens = {
        (symbol, ts): value for symbol, ts, value in made.bars.select("symbol", "ts", "open").iter_rows()
    }
    assert played.summary().executions > 0
    for symbol, ts, price in played.fills().select("symbol", "ts", "price").iter_rows():
        assert float(price) == pytest.approx(opens[symbol, ts] + 0.0001, abs=1e-9)

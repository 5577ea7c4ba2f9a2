"""Sweeps for tests: a small market, a small walk, and sweeps played in this process."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from schemas.research import Size
from schemas.settings import Settings
from schemas.sweep import Piece
from tasks.backtest_plan import BacktestPlan
from tasks.sweep import Sweep, search
from tasks.sweep_bench import play_piece
from tasks.sweep_plan import SweepPlan, prepare
from tests.desk.research import market

SHARES = Size.parse("shares:10")
assert isinstance(SHARES, Size)


def alone(folder: Path, pieces: Sequence[Piece]) -> Iterator[str]:
    """Play pieces in this process."""
    for piece in pieces:
        yield play_piece(folder, piece)


def quiet(what: str, done: int, total: int) -> None:
    """Hear nothing."""


def write_bars(folder: Path) -> Path:
    """Write two symbols' bars of thirteen sessions."""
    path = folder / "bars.parquet"
    market.make_bars(symbols=2, first=date(2025, 11, 10), last=date(2025, 11, 27)).write_parquet(path)
    return path


def plan_of(bars: Path, **changes: object) -> SweepPlan:
    """Give a walk of three folds over thirteen sessions and six sets, one of which is refused."""
    plan = SweepPlan(
        backtest=BacktestPlan(strategy="sma_crossover", bars=bars, size=SHARES, gate=False),
        ranges=("fast=5..25:10", "slow=20,60"),
        train=5,
        test=3,
    )
    return replace(plan, **changes)  # type: ignore[arg-type]


def made(bars: Path, store: Path, **changes: object) -> Sweep:
    """Run a sweep in this process."""
    return search(prepare(plan_of(bars, **changes), Settings(store=store)), alone, quiet)

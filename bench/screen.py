"""The screen beside a hand-written numpy loop: 10 symbols x 252 days, SMA 20/50, 100 shares, no costs.

The kernel alone is given levels, as a search has them; the numpy loop likewise. The whole processes start
Python, import, load the Parquet file, compute levels and play; both print the same executions and P&L, or
nothing is measured. Issue 4's goals: 50 million bars a second alone (20 ns a bar), three times the numpy
loop's whole process. Processes take turns and the shortest of each counts: the machine has other users.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from time import perf_counter

import numpy as np
import polars as pl

from bench import numpy_loop
from bench.screen_once import TERMS, sma_levels
from desk.hours import minutes, sessions_between
from desk.research.screen import Screen, Terms
from desk.research.slate import Slate
from schemas.bars import RAW_SCHEMA
from schemas.research import Costs, Size, SizeKind
from schemas.settings import EntryOrder, ExitsAt, ExitSettings, SessionSettings
from strategies.sma_crossover import SmaCrossover

SYMBOLS, SESSIONS = 10, 252
ROUNDS = 20  # of what takes milliseconds
PROCESSES = 5  # of each kind
GOAL_NS_A_BAR = 20.0  # 50 million bars a second
GOAL_TIMES = 3.0

CLOSED_OUT = SessionSettings(entry_order=EntryOrder.MARKET)
CAREFUL = replace(
    TERMS,
    size=Size(kind=SizeKind.NOTIONAL, amount=Decimal(10_000)),
    session=CLOSED_OUT,
    costs=Costs(
        spread_bps=Decimal(2),
        slippage_bps=Decimal(1),
        regulatory_fees=True,
        commission_per_share=Decimal("0.005"),
    ),
    exits=ExitSettings(stop_frac=Decimal("0.005"), target_frac=Decimal("0.01"), at=ExitsAt.DESK),
)
COUPLED = replace(TERMS, size=Size(kind=SizeKind.EQUITY, amount=Decimal("0.1")), session=CLOSED_OUT)


def run() -> list[dict[str, object]]:
    """Measure and give one row per figure."""
    bars = _bars()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bars.parquet"
        bars.write_parquet(path)
        return [*_alone(bars), *_preparing(bars), *_processes(path, Path(folder) / "cache")]


def _bars() -> pl.DataFrame:
    """Make a year of random walks in cents."""
    sessions = sessions_between(date(2025, 1, 2), date(2026, 6, 1))[:SESSIONS]
    ts = [minute for hours in sessions for minute in minutes(hours)]
    chance = np.random.Generator(np.random.PCG64(1))
    parts = []
    for symbol in range(SYMBOLS):
        close = np.round(20_000 * np.exp(np.cumsum(chance.normal(0, 0.0005, len(ts))))).clip(500) / 100
        opened = np.append(close[0], close[:-1])
        columns = {
            "symbol": [f"S{symbol:02d}"] * len(ts),
            "ts": ts,
            "open": opened,
            "high": np.maximum(opened, close) + 0.01,
            "low": np.minimum(opened, close) - 0.01,
            "close": close,
            "volume": chance.integers(100, 9999, len(ts)),
            "vwap": [None] * len(ts),
            "trade_count": [None] * len(ts),
        }
        parts.append(pl.DataFrame(columns, schema=RAW_SCHEMA))
    return pl.concat(parts)


def _alone(bars: pl.DataFrame) -> list[dict[str, object]]:
    """Measure a play of levels that are there already."""
    slate = Slate(bars)
    targets = slate.targets(sma_levels(bars))
    rows = [_kernel(slate, targets, TERMS, "100 shares, no costs", GOAL_NS_A_BAR)]
    rows.append(_kernel(slate, targets, CAREFUL, "USD, costs, stop, target, close-out", None))
    rows.append(_kernel(slate, targets, COUPLED, "share of equity, close-out", None))
    arrays = [
        (numpy_loop.levels(part["close"].to_numpy()), part["open"].to_numpy(), part["close"].to_numpy())
        for part in bars.partition_by("symbol", maintain_order=True)
    ]
    seconds = _best(lambda: [numpy_loop.play(*each) for each in arrays])
    return [
        *rows,
        _row("numpy loop alone, 100 shares, no costs", seconds * 1e9 / bars.height, "ns/bar", None),
    ]


def _kernel(
    slate: Slate, targets: np.ndarray, terms: Terms, words: str, goal: float | None
) -> dict[str, object]:
    screen = Screen(slate, terms)
    seconds = _best(lambda: screen.play(targets).summary())
    return _row(f"screen alone, {words}", seconds * 1e9 / len(slate.ts), "ns/bar", goal)


def _preparing(bars: pl.DataFrame) -> list[dict[str, object]]:
    """Measure what a search does once, and what it does for every set of parameters."""
    slate, said = Slate(bars), sma_levels(bars)
    strategy = SmaCrossover(slate.symbols, {"fast": 20, "slow": 50, "band_bps": 0.0})
    return [
        _row("once: bars to arrays", _best(lambda: Slate(bars), 3) * 1e3, "ms", None),
        _row("each: signals with their words", _best(lambda: strategy.signals(bars), 3) * 1e3, "ms", None),
        _row("each: levels alone, lazily", _best(lambda: sma_levels(bars), 3) * 1e3, "ms", None),
        _row("each: levels to array", _best(lambda: slate.targets(said), 3) * 1e3, "ms", None),
    ]


def _processes(path: Path, cache: Path) -> list[dict[str, object]]:
    """Measure whole processes, in turns."""
    cold = _process("bench.screen_once", path, {"NUMBA_CACHE_DIR": str(cache)})
    loop, screen = [], []
    for _ in range(PROCESSES):
        loop.append(_process("bench.numpy_loop", path, {}))
        screen.append(_process("bench.screen_once", path, {"NUMBA_CACHE_DIR": str(cache)}))
    said = {words for words, _ in (cold, *loop, *screen)}
    assert len(said) == 1, f"the loops disagree: {said}"
    fastest = [min(seconds for _, seconds in runs) for runs in (loop, screen)]
    return [
        _row("numpy loop, whole process", fastest[0], "s", None),
        _row("screen, whole process", fastest[1], "s", None),
        _row("screen, whole process, kernel compiled anew", cold[1], "s", None),
        _row("screen's whole process in numpy loops", fastest[1] / fastest[0], "times", GOAL_TIMES),
    ]


def _process(module: str, path: Path, settings: dict[str, str]) -> tuple[str, float]:
    """Run a module on a file; give what it printed and how long it took."""
    start = perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", module, str(path)],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip(), perf_counter() - start


def _best(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Give the shortest of some rounds in seconds, after one that compiles."""
    work()
    seconds = []
    for _ in range(rounds):
        start = perf_counter()
        work()
        seconds.append(perf_counter() - start)
    return min(seconds)


def _row(name: str, value: float, unit: str, goal: float | None) -> dict[str, object]:
    return {"name": name, "value": round(value, 3), "unit": unit, "goal": goal}

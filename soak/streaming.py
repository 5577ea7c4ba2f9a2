"""Years of many symbols, played month after month: does memory stay that of a month?

`python -m soak streaming --symbols 500 --months 6`. Bars are generated into a Parquet file a month (some 17
bytes a bar), then SMA 20/50 with 100 shares is played over all of them as `desk backtest --stream` does, in a
process of its own that tells after every session what it holds (VmRSS). The growth is drawn into
`memory.html` in `--folder`.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import polars as pl
from rich.console import Console
from rich.progress import track
from rich.table import Table

from desk.exchange.generated import GeneratedMarket
from desk.hours import sessions_between
from schemas.account import SessionHours

LAST = date(2025, 12, 31)  # the newest month; the others lie before it
FIRST_YEAR = 2010
SEED = 9
SETTLED_MONTHS = 1  # after so many every buffer has had its size
MAX_GB = 4.0

_CHILD = """
import json, sys
from decimal import Decimal
from pathlib import Path
from schemas.research import Size
from schemas.settings import Settings
from tasks.backtest_plan import BacktestPlan
from tasks.streaming import run_streamed

def held():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))

def tell(hours):
    print(json.dumps([hours.session_date.isoformat(), held()]), flush=True)

folder = Path(sys.argv[1])
plan = BacktestPlan(strategy="sma_crossover", bars=folder / "bars", params=("fast=20", "slow=50"),
                    size=Size.parse("shares:100"), cash=Decimal(10) ** 9, gate=False)
done = run_streamed(plan, Settings(store=folder / "store"), began=lambda count: None, after=tell)
print(json.dumps({"bars": done.run.bars, "orders": done.run.orders, "fills": done.run.fills,
                  "trades": done.trades.height, "seconds": done.run.seconds, "end_kib": held()}), flush=True)
"""


@dataclass(frozen=True)
class Streamed:
    """What a run held after each session, and what it did."""

    held: tuple[tuple[date, float], ...]  # MB
    bars: int
    orders: int
    fills: int
    trades: int
    seconds: float  # of the backtest
    end_mb: float  # with all tables made

    @property
    def months(self) -> list[tuple[str, float]]:
        """Give the most it held after a session of each month, MB."""
        by_month = groupby(self.held, key=lambda each: f"{each[0]:%Y-%m}")
        return [(month, max(mb for _, mb in found)) for month, found in by_month]

    @property
    def mb_a_month(self) -> float:
        """Give the slope of the line through the settled months."""
        settled = [mb for _, mb in self.months[SETTLED_MONTHS:]]
        return float(np.polyfit(range(len(settled)), settled, 1)[0]) if len(settled) > 1 else 0.0

    @property
    def most_mb(self) -> float:
        """Give the most it ever held between sessions or at the end."""
        return max(self.end_mb, *(mb for _, mb in self.held))


def run(*, symbols: int, months: int, folder: Path, console: Console) -> Streamed:
    """Generate what is not there yet, and play it.

    Raises:
        RuntimeError: the backtest ended with an error.
    """
    names = tuple(f"S{number:03d}" for number in range(symbols))
    _write(folder / "bars", names, months, console)
    child = subprocess.Popen([sys.executable, "-c", _CHILD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None, "it was asked for"
    held: list[tuple[date, float]] = []
    began, facts = time.perf_counter(), {}
    with console.status("playing") as status:
        for line in child.stdout:
            told = json.loads(line)
            if isinstance(told, dict):
                facts = told
                continue
            day, kib = told
            held.append((date.fromisoformat(day), kib * 1024 / 1e6))
            status.update(f"{day}: {held[-1][1]:,.0f} MB, {time.perf_counter() - began:,.0f} s")
    if child.wait() != 0 or not facts:
        raise RuntimeError(f"the backtest ended with exit code {child.returncode}")
    done = Streamed(tuple(held), end_mb=facts.pop("end_kib") * 1024 / 1e6, **facts)
    _draw(done, symbols, folder / "memory.html")
    return done


def show(done: Streamed, console: Console) -> None:
    """Print a row a month and the growth."""
    table = Table(title="memory after a session, most of the month")
    table.add_column("month")
    table.add_column("MB", justify="right")
    for month, mb in done.months:
        table.add_row(month, f"{mb:,.0f}")
    table.add_row("all tables made", f"{done.end_mb:,.0f}")
    console.print(table)
    rate = done.bars / done.seconds
    console.print(f"{done.bars:,} bars, {done.orders:,} orders, {done.fills:,} fills, {done.trades:,} trades")
    console.print(
        f"{done.seconds:,.0f} s, {rate:,.0f} bars/s; {done.mb_a_month:+,.1f} MB a month once settled"
    )
    console.print(
        f"most {done.most_mb / 1000:.2f} GB: {'within' if is_good(done) else 'over'} {MAX_GB:.0f} GB"
    )


def is_good(done: Streamed) -> bool:
    """Tell whether it stayed within `MAX_GB`."""
    return done.most_mb <= MAX_GB * 1000


def _months(count: int) -> Iterator[tuple[str, list[SessionHours]]]:
    """Give the newest months, oldest first, with their sessions."""
    every = sessions_between(date(FIRST_YEAR, 1, 1), LAST)
    grouped = [(m, list(found)) for m, found in groupby(every, key=lambda each: f"{each.session_date:%Y-%m}")]
    yield from grouped[-count:]


def _write(folder: Path, names: tuple[str, ...], count: int, console: Console) -> None:
    """Write the months that are not there, a file each."""
    folder.mkdir(parents=True, exist_ok=True)
    market = GeneratedMarket(SEED, names)
    for month, sessions in track(list(_months(count)), "bars", console=console):
        path = folder / f"month-{month}.parquet"
        if not path.exists():
            bars = pl.concat([market.frame(each.session_date) for each in sessions]).sort("symbol", "ts")
            bars.write_parquet(path.with_suffix(".part"))
            path.with_suffix(".part").rename(path)


def _draw(done: Streamed, symbols: int, path: Path) -> None:
    """Draw what was held."""
    days, mb = zip(*done.held, strict=True)
    figure = go.Figure(go.Scatter(x=days, y=mb, mode="lines", name="MB"))
    figure.update_layout(
        title=f"{symbols} symbols, {done.bars:,} bars, {done.fills:,} fills: memory after each session",
        yaxis={"title": "VmRSS, MB", "rangemode": "tozero"},
        template="plotly_white",
    )
    figure.write_html(path, include_plotlyjs=True)

"""The bars of the speed contest: `python -m bench.contest_bars SYMBOLS SESSIONS FILE`.

A process of its own, so that the bench stays small. The market is a seed's (desk/exchange/generated.py): it
lacks minutes, halts, and closes early, as a real one does.
"""

import sys
from datetime import date
from pathlib import Path

import polars as pl

from desk.exchange.generated import generate
from desk.hours import sessions_between

SEED = 4
FIRST, LAST = date(2024, 10, 1), date(2026, 6, 1)  # two early closes and both changes of the clock


def write(symbols: int, sessions: int, path: Path) -> int:
    """Write a Parquet file with the columns of `bars`, sorted by (symbol, ts); give how many rows."""
    days = sessions_between(FIRST, LAST)[:sessions]
    assert len(days) == sessions, f"there are only {len(days)} sessions"
    names = [f"S{number:03d}" for number in range(symbols)]
    bars = pl.concat([generate(SEED, name, hours) for name in names for hours in days], rechunk=True)
    bars.write_parquet(path)
    return bars.height


if __name__ == "__main__":
    print(write(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])))

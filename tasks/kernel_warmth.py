"""Load the screen's compiled kernel beside what reads bars and computes levels.

numba, and what it kept of the kernel, take a third of a second to load, and a first search that much longer.
Reading bars and polars' expressions run without Python's lock, so on two cores the loading costs little.
"""

from threading import Thread

import polars as pl

from desk.research.slate import Slate
from schemas.bars import UTC_US

OPEN = 1_735_828_200_000_000  # 2025-01-02 09:30 in New York: any minute of a session would do


def warm_up_kernel() -> None:
    """Begin to load the kernel; who plays before it is there waits for it. The process waits at its end."""
    Thread(target=_load, name="kernel").start()


def _load() -> None:
    """Spread one level over one bar: with a search's own types, so that nothing else is compiled for it."""
    bars = pl.DataFrame({"symbol": ["A"], "ts": [OPEN], "open": [1.0], "close": [1.0], "target": [0.0]})
    bars = bars.with_columns(pl.col("ts").cast(UTC_US))
    Slate(bars).targets(bars)

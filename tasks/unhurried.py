"""A recorder that opens the warehouse at most once a second of real time.

Live, a minute is a minute and every flush gets through. In a rehearsal's lock step a minute is 30 ms,
and opening the DuckDB file 390 times would cost more than the trading (measured: 15 of 35 s). Rows
wait in the spool meanwhile, as they do while somebody holds the file; the phase's own publish, which
comes after the session, takes in the last of them.
"""

from collections.abc import Callable
from time import monotonic

import polars as pl

from desk.ports import Recorder

FLUSH_EVERY_S = 1.0  # a reader in another process is at most this far behind the spool


class UnhurriedRecorder:
    """`desk.ports.Recorder` around another one."""

    def __init__(self, inner: Recorder, *, clock_s: Callable[[], float] = monotonic) -> None:
        """Wrap a recorder; `clock_s` is seconds that only run forward."""
        self._inner = inner
        self._clock_s = clock_s
        self._flushed_at_s: float | None = None

    def bars(self, frame: pl.DataFrame) -> None:
        """Keep prints."""
        self._inner.bars(frame)

    def quarantine(self, frame: pl.DataFrame) -> None:
        """Keep rejected and quarantined rows."""
        self._inner.quarantine(frame)

    def signals(self, frame: pl.DataFrame) -> None:
        """Keep signals."""
        self._inner.signals(frame)

    def flush(self) -> None:
        """Bring the news into the warehouse, unless that was done within the last second."""
        now_s = self._clock_s()
        if self._flushed_at_s is None or now_s - self._flushed_at_s >= FLUSH_EVERY_S:
            self._inner.flush()
            self._flushed_at_s = self._clock_s()

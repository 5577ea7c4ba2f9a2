"""The warehouse is opened at most once a second, and every row is kept."""

import polars as pl

from tasks.unhurried import UnhurriedRecorder


class Counting:
    """A recorder that counts."""

    def __init__(self) -> None:
        self.kept = 0
        self.flushes = 0

    def bars(self, frame: pl.DataFrame) -> None:
        self.kept += frame.height

    def quarantine(self, frame: pl.DataFrame) -> None:
        self.kept += frame.height

    def signals(self, frame: pl.DataFrame) -> None:
        self.kept += frame.height

    def flush(self) -> None:
        self.flushes += 1


def test_a_lock_step_day_opens_the_file_a_few_times() -> None:
    """Flushes closer than a second to the last one are left out; rows never are."""
    inner, now = Counting(), [0.0]
    recorder = UnhurriedRecorder(inner, clock_s=lambda: now[0])

    for _ in range(100):
        recorder.bars(pl.DataFrame({"x": [1]}))
        recorder.flush()
        now[0] += 0.03

    assert (inner.kept, inner.flushes) == (100, 3)


def test_a_live_minute_always_flushes() -> None:
    """Minutes of real time flush each time."""
    inner, now = Counting(), [0.0]
    recorder = UnhurriedRecorder(inner, clock_s=lambda: now[0])

    for _ in range(5):
        recorder.flush()
        now[0] += 60.0

    assert inner.flushes == 5

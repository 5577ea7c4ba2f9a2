"""Play pieces on processes of this machine, with nothing but Python: no server need answer."""

import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from pathlib import Path
from typing import Self

from desk.errors import DeskError
from schemas.sweep import Piece
from tasks.sweep_bench import play_piece

# A process of polars starts as many threads as there are cores; as many processes as cores are enough.
ALONE = {"POLARS_MAX_THREADS": "1"}


class WorkerLost(DeskError):
    """A process that played pieces ended by itself, as when memory runs out; what is done is kept."""


class Pool:
    """A pool of processes that have one core each; use as a context manager."""

    def __init__(self, workers: int | None = None) -> None:
        """Start nothing yet; None: as many processes as this one may use cores."""
        self.workers = workers or cores()
        self._executor: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        """Begin; processes start with the first pieces."""
        self._executor = ProcessPoolExecutor(self.workers, mp_context=get_context("spawn"), initializer=tied)
        return self

    def __exit__(self, *_: object) -> None:
        """End the processes; pieces nobody began are left."""
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)

    def __call__(self, folder: Path, pieces: Sequence[Piece]) -> Iterator[str]:
        """Play pieces and give their names as they are done.

        Raises:
            WorkerLost: a process ended by itself.
        """
        assert self._executor is not None, "a pool is entered first"
        with alone():
            futures = [self._executor.submit(play_piece, folder, piece) for piece in pieces]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool as error:
            raise WorkerLost(
                "a process of the sweep was ended from outside (out of memory?); run the same command again "
                "to go on, with fewer --workers where memory was short"
            ) from error


def cores() -> int:
    """Count the cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def alone() -> Iterator[None]:
    """Let processes that are started now use one thread each."""
    before = {name: os.environ.get(name) for name in ALONE}
    os.environ.update(ALONE)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def tied() -> None:
    """End this process with the one that started it: a killed sweep leaves nobody behind."""
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent.sentinel,), daemon=True).start()


def _follow(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)

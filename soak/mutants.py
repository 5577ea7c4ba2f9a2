"""Break the desk on purpose and show that something notices.

`python -m soak mutants`: each planted defect (soak/planted.py) is a change of a few characters that loses
money in some story. For each, the tracked files are copied to a scratch folder, the change is made there, and
the simulation plays its first seeds; when it stays green, the tests named for the defect run. A defect that
neither catches is a hole in the net, and the exit code says so. The unchanged copy runs first: a net that is
red without a defect proves nothing.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from soak.planted import PLANTED
from soak.planting import Planted

CHECKOUT = Path(__file__).parent.parent
TIMEOUT_S = 900.0
BATCH = 20  # seeds a process plays before the next looks whether one failed
_SEED = re.compile(r"seed (\d+) breaks")
_FAILED = re.compile(r"^FAILED (\S+)", re.MULTILINE)


@dataclass(frozen=True)
class Caught:
    """What noticed a defect: a seed, a test, or nothing."""

    planted: Planted
    seed: int | None = None
    test: str | None = None

    @property
    def words(self) -> str:
        """Say who noticed."""
        if self.seed is not None:
            return f"seed {self.seed}"
        return self.test if self.test is not None else "NOBODY"

    @property
    def is_caught(self) -> bool:
        """Tell whether anybody noticed."""
        return self.seed is not None or self.test is not None


def run(*, seeds: int, jobs: int, names: Sequence[str], console: Console) -> list[Caught]:
    """Plant every defect, or those named, and give who noticed each.

    Raises:
        RuntimeError: the unchanged desk is red, or a defect's text is not found exactly once.
    """
    chosen = [planted for planted in PLANTED if not names or planted.name in names]
    _check_green(chosen, seeds=seeds)
    found: list[Caught] = []
    with ThreadPoolExecutor(jobs) as pool, Progress(console=console) as progress:
        bar = progress.add_task("planted defects", total=len(chosen))
        for caught in pool.map(lambda planted: _try(planted, seeds=seeds), chosen):
            found.append(caught)
            progress.advance(bar)
            progress.console.print(f"{caught.planted.name}: {caught.words}")
    return found


def changed(planted: Planted, source: str) -> str:
    """Give a module's source with the defect in it.

    Raises:
        RuntimeError: the text it changes is not there exactly once, so the list has to be brought up to date.
    """
    count = source.count(planted.old)
    if count != 1:
        raise RuntimeError(f"{planted.name}: its text is {count} times in {planted.path}, expected once")
    return source.replace(planted.old, planted.new)


def _check_green(chosen: Sequence[Planted], *, seeds: int) -> None:
    with _copy() as folder:
        if _simulated(folder, seeds) is not None:
            raise RuntimeError("the simulation is red without any defect")
        failed = _tested(folder, sorted({test for planted in chosen for test in planted.tests}))
        if failed is not None:
            raise RuntimeError(f"{failed} is red without any defect")


def _try(planted: Planted, *, seeds: int) -> Caught:
    with _copy() as folder:
        path = folder / planted.path
        path.write_text(changed(planted, path.read_text(encoding="utf-8")), encoding="utf-8")
        seed = _simulated(folder, seeds)
        if seed is not None:
            return Caught(planted, seed=seed)
        return Caught(planted, test=_tested(folder, planted.tests))


@contextmanager
def _copy() -> Iterator[Path]:
    """Copy the tracked files to a scratch folder."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, check=True).stdout
    with tempfile.TemporaryDirectory(prefix="desk-mutant-") as scratch:
        folder = Path(scratch)
        for name in filter(None, listed.decode().split("\0")):
            if (CHECKOUT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(CHECKOUT / name, folder / name)
        yield folder


def _simulated(folder: Path, seeds: int) -> int | None:
    """Give the first seed that fails, or None when all hold.

    Raises:
        RuntimeError: the simulation ended in a way that says neither.
    """
    for first in range(0, seeds, BATCH):
        last = min(first + BATCH, seeds) - 1
        done = _python(folder, "-m", "cli.main", "simulate", "--seeds", f"{first}..{last}", "--jobs", "1")
        if done.returncode == 0:
            continue
        seed = _SEED.search(done.stdout)
        if seed is None:
            raise RuntimeError(
                f"desk simulate ended {done.returncode}: {done.stdout[-500:]}{done.stderr[-500:]}"
            )
        return int(seed.group(1))
    return None


def _tested(folder: Path, tests: Sequence[str]) -> str | None:
    """Give the first of the tests that fails, or None when all hold.

    Raises:
        RuntimeError: pytest ended in a way that says neither.
    """
    if not tests:
        return None
    done = _python(folder, "-m", "pytest", "-q", "-n", "0", "-x", "-p", "no:cacheprovider", *tests)
    if done.returncode == 0:
        return None
    failed = _FAILED.search(done.stdout)
    if done.returncode != 1 or failed is None:
        raise RuntimeError(f"pytest ended {done.returncode}: {done.stdout[-1000:]} {done.stderr[-500:]}")
    return failed.group(1)


def _python(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run Python in the copy, which comes before the installed checkout on its path."""
    return subprocess.run(
        [sys.executable, "-W", "ignore", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )


def show(found: Sequence[Caught], console: Console) -> None:
    """Print who noticed what."""
    table = Table("defect", "what it does", "noticed by", title="planted defects", title_justify="left")
    for caught in found:
        table.add_row(caught.planted.name, caught.planted.why, caught.words)
    console.print(table)
    missed = [caught.planted.name for caught in found if not caught.is_caught]
    console.print(
        f"{len(found) - len(missed)} of {len(found)} noticed" + "".join(f"; MISSED {m}" for m in missed)
    )

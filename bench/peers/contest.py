"""What every contestant of bench/backtest.py does alike: tell its phases and its fills in one line of JSON.

Contestants run in their own environments: this module needs nothing but Python. The clock is the machine's
monotonic one, and the bench hands over when it started the process, so `import` holds the interpreter's start
too. What comes after `played` (a second run, reading fills out of a library to compare them) is `extra`: the
bench takes it off the whole process, for nobody but the comparison needs it.
"""

import json
import os
import sys
from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path
from time import perf_counter

STARTED = "CONTEST_STARTED"  # of the environment: perf_counter() of the bench as it started us
FAST, SLOW, SHARES = 20, 50, 100
TIE = 1e-6  # USD: averages this close are no opinion (issue 4)
CASH = 100_000_000.0  # so much that cash never decides: 100 symbols x 100 shares below 10,000 USD
SHOWN = 2  # fills told from each end

Fill = tuple[str, str, str, int, float]  # ts in UTC as 2025-01-02T14:30:00, symbol, side, qty, price


class Contest:
    """One contestant's course: imported, loaded, played, told."""

    def __init__(self) -> None:
        """Begin where the bench started the process."""
        self.path = Path(sys.argv[1])
        self._last = float(os.environ.get(STARTED, perf_counter()))
        self._told: dict[str, object] = {}

    def imported(self) -> None:
        """End the imports."""
        self._mark("import_s")

    def loaded(self) -> None:
        """End the reading of the file into what the library wants."""
        self._mark("load_s")

    def played(self) -> None:
        """End the run: the library has its fills."""
        self._mark("run_s")
        self._told["peak_mb"] = peak_mb()

    def again(self, name: str, work: Callable[[], object]) -> None:
        """Say how long something takes that ran before: compiled, and with warm caches."""
        start = perf_counter()
        work()
        self._told[name] = perf_counter() - start

    def also(self, **facts: object) -> None:
        """Say more, or phases that were measured inside one call; `played` is called before."""
        self._told |= facts

    def tell(self, fills: Iterable[Fill]) -> None:
        """Print everything; the fills in any order."""
        self._told |= facts(fills)
        self._mark("extra_s")
        print(json.dumps(self._told))

    def _mark(self, name: str) -> None:
        now = perf_counter()
        self._told[name] = now - self._last
        self._last = now


def facts(fills: Iterable[Fill]) -> dict[str, object]:
    """Give what fills are compared by: how many, what they cost, the ends, and a hash of them all."""
    rows = sorted(fills)
    words = "\n".join(f"{ts} {symbol} {side} {qty} {price:.4f}" for ts, symbol, side, qty, price in rows)
    return {
        "fills": len(rows),
        "value": sum(round(qty * price * 100) for _, _, _, qty, price in rows) / 100,
        "hash": sha256(words.encode()).hexdigest()[:16],
        "first": rows[:SHOWN],
        "last": rows[-SHOWN:],
    }


def peak_mb() -> float:
    """Give the most memory this process held so far; not `getrusage`, which counts the parent before exec."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmHWM in /proc/self/status: the bench needs Linux")

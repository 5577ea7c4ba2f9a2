"""Whole sessions at 60 times real speed, with faults: what grows, what is missed, what is left open.

`python -m soak endurance --hours 8 --symbols 100`: as many trading days as the hours need, each with its own
exchange and session process. Every few seconds resident memory and open file handles of the session, the
exchange and the Prefect server are read from /proc. Growth is what the last quarter of a process's life
holds over the second quarter (medians), so that warming up is no growth. A session misses no minute
(`MinuteClosed` of each of the day's minutes), and every break found has ended and says how.
"""

import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from cli.platform import Platform, PlatformPlace
from desk.hours import minutes, session_hours
from schemas.events import BreakFound, BreakResolved, MinuteClosed
from soak.crash import DAYS
from soak.stage import SoakDay, open_day
from tasks.verification import verify_day

SYMBOLS = tuple(f"{first}{second}X" for first in "ABCDEFGHIJ" for second in "ABCDEFGHIJ")
SAMPLE_S = 5.0
STARTS_AT = "09:00"  # at pace 60 a process has half a minute of ours to start up before the bell
CLOSE_PATIENCE_S = 300.0
SLOWEST = 3  # a day that takes this many times its length at the pace is not going to end
PAGE_KIB = 4
MEMORY_GROWTH_MAX = 0.10  # allocators keep what they once had; a leak of a day's data is far more
HANDLES_GROWTH_MAX = 5  # connections come and go with faults


@dataclass
class Process:
    """One watched process: its memory and handles over time."""

    name: str
    pid: int
    memory_kib: list[int] = field(default_factory=list)
    handles: list[int] = field(default_factory=list)

    def sample(self) -> None:
        """Read /proc once; a process that has ended is not read."""
        place = Path("/proc") / str(self.pid)
        try:
            resident = int((place / "statm").read_text(encoding="ascii").split()[1]) * PAGE_KIB
            handles = len(list((place / "fd").iterdir()))
        except OSError:
            return
        self.memory_kib.append(resident)
        self.handles.append(handles)

    def growth(self) -> tuple[float, float]:
        """Give what the last quarter holds over the second: memory as a fraction, handles as a count."""
        quarter = len(self.memory_kib) // 4
        if quarter == 0:
            return 0.0, 0.0
        memory = [median(part) for part in _quarters(self.memory_kib, quarter)]
        handles = [median(part) for part in _quarters(self.handles, quarter)]
        return memory[1] / memory[0] - 1, handles[1] - handles[0]


@dataclass
class Findings:
    """What was seen."""

    days: int = 0
    minutes: int = 0
    orders: int = 0
    fills: int = 0
    processes: list[Process] = field(default_factory=list)
    breaks: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def run(
    *, hours: float, symbols: int, seed: int, pace: float, faults: Path | None, folder: Path, console: Console
) -> Findings:
    """Trade day after day until the hours are full."""
    found = Findings()
    place = PlatformPlace(home=folder / "prefect", logs=folder / "logs", config=folder / "desk.yaml")
    place.config.write_text("{}\n", encoding="utf-8")
    with Platform(place) as platform, Progress(console=console) as progress:
        platform.start_server()
        server = Process("prefect server", platform.server_pid)
        found.processes.append(server)
        bar = progress.add_task("minutes", total=hours * 60)
        while found.minutes < hours * 60:
            day = open_day(
                platform,
                folder / f"day-{found.days}",
                session_date=DAYS[found.days % len(DAYS)],
                symbols=SYMBOLS[:symbols],
                seed=seed + found.days,
                pace=pace,
                faults=faults,
                starts_at=STARTS_AT,
            )
            try:
                _trade(day, found, server, pace=pace)
                _judge(day, found)
            finally:
                day.exchange.stop()
            found.days += 1
            progress.update(bar, completed=found.minutes)
    _judge_growth(found)
    return found


def _trade(day: SoakDay, found: Findings, server: Process, *, pace: float) -> None:
    """Run one session to its end, sampling."""
    child = day.start_session()
    number = found.days + 1
    watched = [
        Process(f"session, day {number}", child.pid),
        Process(f"exchange, day {number}", day.exchange.pid),
    ]
    hours = session_hours(day.session_date)
    assert hours is not None, "soaks trade on trading days"
    patience = (hours.closes_at - hours.opens_at + timedelta(minutes=30)) / pace * SLOWEST
    deadline = time.monotonic() + patience.total_seconds()
    while child.is_running() and time.monotonic() < deadline:
        for process in (*watched, server):
            process.sample()
        time.sleep(SAMPLE_S)
    if child.exit_code != 0:
        found.wrong.append(f"{day.session_date}: the session ended {child.exit_code}: {child.last_words(3)}")
    child.stop(patience_s=10.0)
    found.processes += watched


def _judge(day: SoakDay, found: Findings) -> None:
    """Close the day and hold it against the exchange."""
    code = day.close(patience_s=CLOSE_PATIENCE_S)
    if code != 0:
        found.wrong.append(f"{day.session_date}: close-day ended {code}")
    hours = session_hours(day.session_date)
    assert hours is not None, "soaks trade on trading days"
    closed = {event.bar_ts for event in day.events() if isinstance(event, MinuteClosed)}
    missed = [minute for minute in minutes(hours) if minute not in closed]
    found.minutes += len(closed)
    if missed:
        words = f"{len(missed)} minutes missed, the first {missed[0]:%H:%M} UTC"
        found.wrong.append(f"{day.session_date}: {words}")
    open_breaks = {}
    for event in day.events():
        if isinstance(event, BreakFound):
            found.breaks[event.found.kind.value] += 1
            open_breaks[event.found.break_id] = event.found
        elif isinstance(event, BreakResolved):
            open_breaks.pop(event.break_id, None)
    found.wrong += [f"{day.session_date}: open break {one.kind} {one.key}" for one in open_breaks.values()]
    facts = verify_day(day.config, day.session_date, day.exchange.books())
    found.wrong += [f"{day.session_date}: {words}" for words in facts.differences]
    if not facts.replay_equal:
        found.wrong.append(f"{day.session_date}: the replayed state differs")
    found.orders += facts.orders
    found.fills += facts.fills
    if day.has_faults:
        found.faults.update(day.get("/sim/faults")["counts"])


def _judge_growth(found: Findings) -> None:
    for process in found.processes:
        memory, handles = process.growth()
        if process.name != "prefect server" and memory > MEMORY_GROWTH_MAX:
            found.wrong.append(f"{process.name}: memory grew {memory:.0%}, over {MEMORY_GROWTH_MAX:.0%}")
        if handles > HANDLES_GROWTH_MAX:
            found.wrong.append(f"{process.name}: {handles:.0f} more handles, over {HANDLES_GROWTH_MAX}")


def _quarters(samples: list[int], quarter: int) -> tuple[list[int], list[int]]:
    return samples[quarter : 2 * quarter], samples[-quarter:]


def show(found: Findings, console: Console) -> None:
    """Print what was found."""
    table = Table("process", title="endurance soak", title_justify="left")
    for column in ("samples", "memory, MB: 2nd quarter", "last quarter", "growth", "handles", "growth"):
        table.add_column(column, justify="right")
    for process in found.processes:
        memory, handles = process.growth()
        quarter = max(len(process.memory_kib) // 4, 1)
        second, last = (median(part) / 1024 for part in _quarters(process.memory_kib, quarter))
        held = str(max(process.handles, default=0))
        table.add_row(
            process.name,
            str(len(process.memory_kib)),
            f"{second:.0f}",
            f"{last:.0f}",
            f"{memory:+.1%}",
            held,
            f"{handles:+.0f}",
        )
    console.print(table)
    console.print(f"{found.days} days, {found.minutes} minutes, {found.orders} orders, {found.fills} fills")
    console.print(f"breaks: {_counts(found.breaks)}; faults: {_counts(found.faults)}")
    console.print("wrong: " + ("; ".join(found.wrong) or "nothing"))


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{kind} {count}" for kind, count in counts.most_common()) or "none"

"""Who holds a lease or a claim, and whether that process still lives.

A pid alone is not a name: it is given again. Where /proc tells it, the holder carries the boot and
the tick its process started at, so a later process with the same pid is not mistaken for it. A
zombie is dead: it can append nothing and send nothing.
"""

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_STATE, _START = 0, 19  # fields 3 and 22 of /proc/<pid>/stat, counted after the name in parentheses


@dataclass(frozen=True, slots=True)
class Process:
    """A process of a host; `start` is None where it cannot be known cheaply."""

    host: str
    pid: int
    start: str | None


IsAlive = Callable[[Process], bool]


def this_process() -> Process:
    """Name the running process."""
    pid = os.getpid()
    return Process(host=socket.gethostname(), pid=pid, start=process_start(pid))


def process_start(pid: int) -> str | None:
    """Give "<boot>:<tick>" of a process; None where there is no such process or no /proc."""
    fields = _stat(pid)
    return None if fields is None else f"{_boot()}:{fields[_START]}"


def is_alive(process: Process) -> bool:
    """Tell whether a process of this host still runs."""
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # it exists and belongs to somebody else
    fields = _stat(process.pid)
    if fields is None:
        return True
    if fields[_STATE] == "Z":
        return False
    return process.start is None or process.start == f"{_boot()}:{fields[_START]}"


def instant(moment: datetime) -> str:
    """Give an instant as fixed-width ISO 8601 in UTC, so that text order is time order."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _stat(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()


def _boot() -> str:
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""

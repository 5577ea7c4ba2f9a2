"""Children of the `desk` command: each in its own process group, its words in a file, none left behind.

A worker's flow runs live in sessions of their own, so ending the worker's group is not enough: the
descendants are listed before anything is ended, and whoever is still there afterwards is ended too.
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from tasks.errors import ConfigError

_POLL_S = 0.05


class Child:
    """One child process."""

    def __init__(
        self, name: str, command: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: Path
    ) -> None:
        """Start it; what it writes goes to `log`."""
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                command,
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Give the process id, which is also its group's."""
        return self._process.pid

    def is_running(self) -> bool:
        """Tell whether it has not ended yet."""
        return self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Give the exit code, or None while it runs; killed by a signal it is negative."""
        return self._process.poll()

    def last_words(self, lines: int = 5) -> str:
        """Give the end of its log, for the message that says why it ended."""
        text = self.log.read_text(encoding="utf-8", errors="replace").strip()
        return "\n".join(text.splitlines()[-lines:])

    def stop(self, *, patience_s: float) -> None:
        """End it and all its descendants: asked first, killed after `patience_s`. Idempotent."""
        family = {self.pid, *descendants(self.pid)}
        _signal_all(family, signal.SIGTERM)
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline and (self.is_running() or any(map(is_alive, family - {self.pid}))):
            time.sleep(_POLL_S)
        _signal_all(family, signal.SIGKILL)
        self._process.wait()

    def __enter__(self) -> "Child":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(patience_s=5.0)


def descendants(pid: int) -> set[int]:
    """Give the process ids below `pid`, children of children included."""
    table = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
    ).stdout
    children: dict[int, list[int]] = {}
    for line in table.splitlines():
        child, parent = map(int, line.split())
        children.setdefault(parent, []).append(child)
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        below = [child for child in children.get(waiting.pop(), []) if child not in found]
        found.update(below)
        waiting.extend(below)
    return found


def claim_port(port: int | None) -> int:
    """Give `port` if it is free, or any free port for None.

    Raises:
        ConfigError: the port is in use or may not be used.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port or 0))
        except OSError as error:
            raise ConfigError(
                f"port {port} on 127.0.0.1: {os.strerror(error.errno or 0).lower()}; "
                "stop what uses it or name another with --port"
            ) from error
        return int(probe.getsockname()[1])


def is_alive(pid: int) -> bool:
    """Tell whether a process with this id exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # it exists and is somebody else's
    return True


def _signal_all(pids: set[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue  # it ended by itself

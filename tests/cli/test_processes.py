"""Children of the command line: claimed ports, last words, and nothing left behind."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from cli.processes import Child, claim_port, descendants, is_alive
from tasks.errors import ConfigError

# A parent whose child lives in a session of its own, as a Prefect worker's flow runs do.
FAMILY = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print(child.pid, flush=True)
time.sleep(600)
"""


def start(tmp_path: Path, code: str) -> Child:
    command = [sys.executable, "-c", code]
    return Child("probe", command, env=os.environ, cwd=tmp_path, log=tmp_path / "logs" / "probe.log")


def wait_for_words(child: Child) -> str:
    while not child.log.read_text(encoding="utf-8").endswith("\n"):
        assert child.is_running()
    return child.last_words()


def test_a_port_in_use_is_one_clear_line() -> None:
    """A taken port is refused with its number and what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(
            ConfigError, match=rf"port {port} on 127\.0\.0\.1: address already in use; .*--port"
        ):
            claim_port(port)


def test_any_free_port() -> None:
    """Without a wish, a free port is found."""
    assert claim_port(claim_port(None)) > 0


def test_the_whole_family_is_ended(tmp_path: Path) -> None:
    """Ending a child ends its descendants too, also those in a session of their own."""
    child = start(tmp_path, FAMILY)
    grandchild = int(wait_for_words(child))
    assert grandchild in descendants(child.pid)

    child.stop(patience_s=5.0)

    assert not child.is_running()
    assert not is_alive(grandchild) or _is_zombie(grandchild)


def test_a_deaf_child_is_killed(tmp_path: Path) -> None:
    """A child that ignores SIGTERM is killed when patience ends."""
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True)"
    child = start(tmp_path, f"{deaf}; time.sleep(600)")
    wait_for_words(child)

    child.stop(patience_s=0.2)

    assert not child.is_running()


def test_last_words_say_why_it_ended(tmp_path: Path) -> None:
    """The end of a child's log is what its parent quotes."""
    with start(tmp_path, "print('one'); print('two'); print('three')") as child:
        while child.is_running():
            continue

        assert child.last_words(2) == "two\nthree"


def test_stopping_twice_is_fine(tmp_path: Path) -> None:
    """A child that has ended may be stopped again."""
    child = start(tmp_path, "print('done')")

    child.stop(patience_s=5.0)
    child.stop(patience_s=5.0)

    assert not child.is_running()


def _is_zombie(pid: int) -> bool:
    """Tell whether only the process table still knows it: nobody in a bare container reaps orphans."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout
    return state.strip().startswith("Z")

"""One turn of a contestant: a process of its own, timed from outside, ended at a limit of time or memory."""

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Event, Thread
from time import perf_counter
from typing import Any

from bench.environments import last_line
from bench.peers.contest import STARTED

Told = dict[str, Any]

ROOT = Path(__file__).parents[1]
STOP_S = 900.0  # nobody waits longer for a year's backtest
STOP_GB = 16.0  # of a machine of 24 GB
WATCH_S = 0.2
KB_A_GB = 1024**2


class Stopped(Exception):
    """A contestant failed, or was ended at a limit."""


def take(command: Sequence[str], settings: Mapping[str, str], *, stop_s: float = STOP_S) -> Told:
    """Run a contestant; give what it told, and `whole_s`: its process, without what only we asked for.

    Args:
        command: its interpreter, script and words.
        settings: of its environment, beside ours.
        stop_s: seconds after which it is ended.

    Raises:
        Stopped: at a limit, or with the last line it said.
    """
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        start = perf_counter()
        process = subprocess.Popen(
            command,
            stdout=out,
            stderr=err,
            env={**os.environ, "PYTHONPATH": str(ROOT), **settings, STARTED: repr(start)},
        )
        over, why = Event(), []
        watch = Thread(target=_watch, args=(process, stop_s, over, why))
        watch.start()
        try:
            code = process.wait()
        finally:
            process.kill()
            whole = perf_counter() - start
            over.set()
            watch.join()
        out.seek(0)
        err.seek(0)
        if why:
            raise Stopped(why[0])
        if code != 0:
            raise Stopped(f"failed with {code}: {last_line(err.read())}")
        told: Told = json.loads(last_line(out.read()))
    return {**told, "whole_s": whole - told["extra_s"]}


def _watch(process: subprocess.Popen[bytes], stop_s: float, over: Event, why: list[str]) -> None:
    """End a process at a limit, and say which."""
    start = perf_counter()
    while not over.wait(WATCH_S):
        if perf_counter() - start > stop_s:
            why.append(f"stopped after {stop_s:g} s")
        elif _held_gb(process.pid) > STOP_GB:
            why.append(f"stopped at {STOP_GB:g} GB after {perf_counter() - start:.0f} s")
        else:
            continue
        process.kill()
        return


def _held_gb(pid: int) -> float:
    """Give what a process holds in memory, 0 when it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    held = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(held[0].split()[1]) / KB_A_GB if held else 0.0

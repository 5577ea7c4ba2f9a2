"""A day for a soak: an exchange at a pace with faults, a Prefect server, and session processes to be ended.

The session process is what a worker starts: the flow `trade-session` in a Python of its own, reporting to
the Prefect server. Ledger and exchange are read from outside, as an auditor would.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import yaml

from cli.platform import Platform
from cli.processes import Child
from cli.rehearsal import Exchange, Stage, write_run_folder
from desk.errors import LedgerUnavailable
from schemas.events import AnyEvent, SessionStarted
from tasks.configuration import load_settings
from tasks.resources import open_ledger

_SESSION = "from flows.trade_session import trade_session; trade_session({day!r})"
_COMMAND = "from cli.main import run; raise SystemExit(run({arguments!r}))"
# A short crossover changes its mind every few minutes: many orders an hour, so that kills meet them.
STRATEGY = {"name": "sma_crossover", "allocation_frac": 0.9}
PARAMS = {"fast": 2, "slow": 5, "band_bps": 2.0}
SLOTS = 20
POLL_S = 0.1


@dataclass
class SoakDay:
    """One session date being traded: its folder, its exchange, the platform it reports to."""

    platform: Platform
    exchange: Exchange
    config: Path
    session_date: date
    has_faults: bool
    _events: list[AnyEvent] = field(default_factory=list)
    _seq: int = 0

    def start_session(self, name: str = "session") -> Child:
        """Start a session process; its words go to the log of that name."""
        return session_process(self.platform, self.config, self.session_date, name=name)

    def command(self, *arguments: str) -> Child:
        """Start a `desk` command in a process of its own; its words go to the log named for it."""
        program = _COMMAND.format(arguments=list(arguments))
        return _python(self.platform, self.config, program, arguments[0])

    def close(self, *, patience_s: float) -> int | None:
        """Close the day's books; give the exit code, or None when it took too long."""
        child = self.command("close-day", "--date", self.session_date.isoformat())
        ended = until(lambda: not child.is_running(), patience_s=patience_s)
        child.stop(patience_s=1.0)
        return child.exit_code if ended else None

    def events(self) -> list[AnyEvent]:
        """Give the ledger's events, read from where the last reading ended."""
        try:
            with closing(open_ledger(load_settings(self.config), create=False)) as ledger:
                for seq, event in ledger.read(self._seq):
                    self._seq = seq
                    self._events.append(event)
        except LedgerUnavailable:
            return self._events  # it is being made, or not yet
        return self._events

    def starts(self) -> int:
        """Count the sessions that got as far as trading."""
        return sum(1 for event in self.events() if isinstance(event, SessionStarted))

    def venue_orders(self) -> list[dict[str, Any]]:
        """Give every order the venue ever took, by its own list."""
        found: list[dict[str, Any]] = self.get("/sim/orders")
        return found

    def get(self, path: str) -> Any:
        """Ask the exchange; its /sim paths know no faults."""
        with urlopen(Request(self.exchange.url + path), timeout=10) as answer:
            return json.load(answer)

    def lie(self, *rules: Mapping[str, Any]) -> None:
        """Put another fault plan in force at the exchange."""
        plan = json.dumps({"rules": rules}).encode()
        with urlopen(Request(f"{self.exchange.url}/sim/faults", data=plan), timeout=10) as answer:
            answer.read()


def open_day(
    platform: Platform,
    folder: Path,
    *,
    session_date: date,
    symbols: Sequence[str],
    seed: int,
    pace: float,
    faults: Path | None,
    starts_at: str = "09:25",
) -> SoakDay:
    """Start an exchange on a generated market and write the desk's configuration beside it."""
    stage = Stage(None, session_date, tuple(symbols), (str(STRATEGY["name"]),), seed)
    options = ["--start", starts_at]
    if faults is not None:
        options += ["--faults", str(faults), "--faults-seed", str(seed)]
    exchange = Exchange(stage, folder=folder, pace=f"{pace:g}", options=options)
    exchange.wait_until_ready()
    config = write_run_folder(folder, stage, exchange_url=exchange.url, stream_url=exchange.stream_url)
    configure(config)
    return SoakDay(platform, exchange, config, session_date, faults is not None)


def configure(config: Path, **params: int) -> None:
    """Let the desk of a run folder trade much; `params` change the strategy's own."""
    settings = yaml.safe_load(config.read_text(encoding="utf-8"))
    settings["strategies"] = [{**STRATEGY, "params": {**PARAMS, **params}}]
    settings["session"] = {"settle_every_s": 10, "slots": SLOTS, "entry_ttl_minutes": 1}
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")


def session_process(platform: Platform, config: Path, session_date: date, *, name: str = "session") -> Child:
    """Start the flow `trade-session` in a process of its own; ended when used as a context manager."""
    return _python(platform, config, _SESSION.format(day=session_date.isoformat()), name)


def _python(platform: Platform, config: Path, program: str, name: str) -> Child:
    return Child(
        name,
        [sys.executable, "-W", "ignore", "-c", program],
        env={**platform.environment(), "DESK_CONFIG": str(config)},
        cwd=config.parent,
        log=config.parent / "logs" / f"{name}.log",
    )


def kill(child: Child) -> None:
    """End a process as a power cut does; nothing happens to one that has ended by itself."""
    if child.is_running():
        os.kill(child.pid, signal.SIGKILL)
    child.stop(patience_s=0.0)


def trades_again(day: SoakDay, child: Child, *, before: int, patience_s: float) -> bool:
    """Wait until one more session than `before` trades; False when its process ended or was too slow."""
    until(lambda: day.starts() > before or not child.is_running(), patience_s=patience_s)
    return day.starts() > before and child.is_running()


def until(holds: Callable[[], bool], *, patience_s: float) -> bool:
    """Look again and again until something holds; give whether it did in time."""
    deadline = time.monotonic() + patience_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True

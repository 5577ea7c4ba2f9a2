"""One walk-forward sweep on every runner, then again killed in the middle: the same winners each time.

`python -m soak sweeps`. Bars are generated into a Parquet file; `desk sweep` is run as a person runs it, in a
process of its own and a store of its own: on a plain pool without Prefect, and as Prefect's task runs on
processes, on Dask and on Ray. Each is then begun anew, ended with kill -9 when half of its pieces are there,
and the same command goes on. What it writes as JSON must be the same in all but the seconds, and no process
may be left behind by the kill. A runner that is not installed is left out and named (`make runners`).
"""

import json
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Console
from rich.table import Table

from cli.platform import Platform, PlatformPlace
from cli.processes import Child, descendants
from desk.exchange.generated import BASE_PRICES, GeneratedMarket
from desk.hours import sessions_between
from schemas.sweep import Runner
from soak.stage import until

FIRST, LAST = date(2024, 1, 2), date(2024, 12, 31)  # sessions are taken from the first on
SEED = 1
FAST, SLOWEST = range(5, 55, 5), 400  # ten short averages; the long ones follow in steps of 5
SLOW_FROM, SLOW_STEP = 55, 5
PATIENCE_S = 1_800.0  # of one run; 500 sets of 10 symbols and 63 sessions take about a minute on two cores
END_PATIENCE_S = 150.0  # for what a killed run started to end by itself: two of Ray's agents take a minute
PACKAGES = {Runner.DASK: "prefect_dask", Runner.RAY: "prefect_ray"}
PLAIN = "pool without Prefect"


@dataclass(frozen=True)
class Ran:
    """One sweep: on what, and what came of it."""

    way: str
    pieces_at_kill: int  # 0 where it was not killed
    pieces: int
    seconds: float  # of the whole process; where killed, of both
    gone_s: float  # until everything a killed run had started was gone
    facts: dict[str, Any]
    left_behind: int  # processes a kill did not take with it

    @property
    def found(self) -> dict[str, Any]:
        """Give what must be the same whoever plays it."""
        return {name: value for name, value in self.facts.items() if name != "seconds"}


class SweepFailed(AssertionError):
    """A sweep ended with a complaint, or not at all."""


@dataclass(frozen=True)
class Stand:
    """Where the sweeps run."""

    folder: Path
    platform: Platform
    words: tuple[str, ...]  # of the command, but for what differs

    def start(self, way: str, name: str) -> Child:
        """Start a sweep."""
        place = self.folder / name
        place.mkdir(exist_ok=True)
        (place / "desk.yaml").write_text("store: store\n", encoding="utf-8")
        environment = self.platform.environment()
        options = ["--json", str(place / "facts.json"), "--report", str(place / "page.html")]
        if way == PLAIN:
            del environment["PREFECT_API_URL"]
        else:
            options += ["--runner", way]
        return Child(
            name,
            [
                *(sys.executable, "-W", "ignore", "-m", "cli.main"),
                *("--config", str(place / "desk.yaml"), "sweep", *self.words, *options),
            ],
            env=environment,
            cwd=Path.cwd(),
            log=place / "words.log",
        )

    def pieces(self, name: str) -> int:
        """Count the pieces a sweep has played."""
        return len(list((self.folder / name / "store" / "sweeps").glob("*/sets-*.parquet")))

    def facts(self, name: str) -> dict[str, Any]:
        """Read what a sweep found."""
        found: dict[str, Any] = json.loads((self.folder / name / "facts.json").read_text(encoding="utf-8"))
        return found


def run(*, sets: int, symbols: int, sessions: int, workers: int, folder: Path, console: Console) -> list[Ran]:
    """Run the sweep on everything that is installed, whole and killed."""
    bars = folder / "bars.parquet"
    write_bars(bars, symbols=symbols, sessions=sessions)
    words = (
        *("sma_crossover", "--bars", str(bars), *ranges_of(sets), "--size", "shares:100"),
        *("--train", str(max(sessions // 3, 2)), "--test", str(max(sessions // 6, 1))),
        *("--workers", str(workers)),
    )
    console.print("desk sweep " + " ".join(words), soft_wrap=True)
    ran: list[Ran] = []
    place = PlatformPlace(home=folder / "prefect", logs=folder / "logs", config=folder / "desk.yaml")
    with Platform(place) as platform:
        platform.start_server()
        stand = Stand(folder, platform, words)
        for way in ways(console):
            whole = _whole(stand, way)
            console.print(f"{way}: {whole.seconds:,.1f} s, {whole.pieces} pieces")
            killed = _killed(stand, way, at=max(whole.pieces // 2, 1))
            console.print(
                f"{way}, killed after {killed.pieces_at_kill} pieces: {killed.seconds:,.1f} s in all"
            )
            ran += [whole, killed]
    return ran


def write_bars(path: Path, *, symbols: int, sessions: int) -> None:
    """Write generated minutes of so many symbols and sessions."""
    market = GeneratedMarket(SEED, tuple(islice(BASE_PRICES, symbols)))
    days = islice(sessions_between(FIRST, LAST), sessions)
    pl.concat([market.frame(hours.session_date) for hours in days]).sort("symbol", "ts").write_parquet(path)


def ranges_of(sets: int) -> tuple[str, ...]:
    """Give ranges of about so many sets, all of which the strategy takes."""
    last = min(SLOW_FROM + SLOW_STEP * (max(sets // len(FAST), 1) - 1), SLOWEST)
    fast = f"fast={FAST.start}..{FAST[-1]}:{FAST.step}"
    return "--range", fast, "--range", f"slow={SLOW_FROM}..{last}:{SLOW_STEP}"


def ways(console: Console) -> Iterator[str]:
    """Give what there is to play on; say what is not there."""
    yield PLAIN
    for runner in Runner:
        if runner in PACKAGES and find_spec(PACKAGES[runner]) is None:
            console.print(f"[yellow]{runner}: {PACKAGES[runner]} is not installed; `make runners` does it[/]")
        else:
            yield runner.value


def _whole(stand: Stand, way: str) -> Ran:
    name, clock = f"{way.split()[0]}-whole", time.monotonic()
    with stand.start(way, name) as child:
        _wait(child)
    seconds = time.monotonic() - clock
    return Ran(way, 0, stand.pieces(name), seconds, 0.0, stand.facts(name), 0)


def _killed(stand: Stand, way: str, *, at: int) -> Ran:
    """Begin, kill when so many pieces are there, and go on with the same command."""
    name, clock = f"{way.split()[0]}-killed", time.monotonic()
    with stand.start(way, name) as child:
        until(lambda: stand.pieces(name) >= at or not child.is_running(), patience_s=PATIENCE_S)
        if not child.is_running():
            raise SweepFailed(f"{name} ended before it could be killed: {child.last_words()}")
        family = descendants(child.pid)
        os.kill(child.pid, signal.SIGKILL)
        until(lambda: not child.is_running(), patience_s=END_PATIENCE_S)
        there, killed = stand.pieces(name), time.monotonic()
    until(lambda: not any(map(_runs, family)), patience_s=END_PATIENCE_S)
    left = [pid for pid in family if _runs(pid)]
    gone_s = time.monotonic() - killed
    _end(left)
    with stand.start(way, name) as child:
        _wait(child)
    seconds = time.monotonic() - clock - gone_s
    return Ran(way, there, stand.pieces(name), seconds, gone_s, stand.facts(name), len(left))


def _wait(child: Child) -> None:
    until(lambda: not child.is_running(), patience_s=PATIENCE_S)
    if child.exit_code != 0:
        raise SweepFailed(f"{child.name} ended with {child.exit_code}: {child.last_words()}")


def _runs(pid: int) -> bool:
    """Tell whether a process runs; one that has ended and that nobody asked after does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _end(pids: Iterable[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def wrong(ran: list[Ran]) -> list[str]:
    """Tell what differs from the first, what was not really killed, and what stayed behind."""
    found: list[str] = []
    for each in ran:
        name = f"{each.way}, killed" if each.pieces_at_kill else each.way
        found += [
            f"{name}: {key} differs from {ran[0].way}: {each.found.get(key)} instead of {value}"
            for key, value in ran[0].found.items()
            if each.found.get(key) != value
        ]
        if each.pieces_at_kill and not each.pieces_at_kill < each.pieces:
            found.append(f"{name}: all {each.pieces} pieces were there already")
        if each.left_behind:
            found.append(
                f"{name}: {each.left_behind} processes left behind {END_PATIENCE_S:g} s after the kill"
            )
    return found


def show(ran: list[Ran], console: Console) -> None:
    """Print what each took, the winners, and what was wrong."""
    first = ran[0].found
    table = Table("on", title=f"{first['sets']:,} sets, {len(first['folds'])} folds", title_justify="left")
    for column in ("killed after", "pieces", "seconds", "of the search", "all gone after, s"):
        table.add_column(column, justify="right")
    table.add_column("found")
    for each in ran:
        table.add_row(
            each.way,
            f"{each.pieces_at_kill}" if each.pieces_at_kill else "-",
            f"{each.pieces}",
            f"{each.seconds:,.1f}",
            f"{each.facts['seconds']:,.1f}",
            f"{each.gone_s:,.1f}" if each.pieces_at_kill else "-",
            "the same" if each.found == first else "[red]another[/]",
        )
    console.print(table)
    for fold in first["folds"]:
        console.print(f"fold {fold['fold']['number']}: {fold['params']}, {fold['fills']} fills, both engines")
    for line in wrong(ran):
        console.print(f"[red]{line}[/]")

"""The speed contest: our backtests beside those of other libraries, on the same bars, with the same fills.

SMA 20/50, 100 shares, no costs, the next bar's open, positions held overnight, on one-minute bars. Every
contestant is a script in bench/peers, written as somebody who knows that library would, run in a process of
its own by its own interpreter (bench/environments.py makes the environments). `whole` is the process from
start to end, measured from outside, without what only this comparison needs; `alone` is the run with the bars
loaded: of our exact engine signals and engine, of array libraries the second call in the process, but the
first where the compile cache was emptied. Contestants take turns; medians count. Fills are compared by hash:
some libraries fill at the close of the bar that gave the signal, and are held to that.

`python -m bench backtest --full` plays 100 symbols x 252 days too; `--profile` says where our time goes.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import Console

from bench.contest_table import Row, tables
from bench.contestants import (
    BARE,
    COMMAND,
    CONTESTANTS,
    LARGE,
    NUMPY,
    RUNS_SHORT,
    SCREEN,
    SCREEN_COLD,
    SMALL,
    YEAR,
    Contestant,
    Field,
    Kind,
    Score,
)
from bench.environments import OURS, PEERS, CannotInstall, interpreter
from bench.turn import STOP_S, Stopped, take

__all__ = ["run", "tables"]

STOP_OURS_S = 3600.0  # without ours there is nothing to compare: it is waited for longer
BUSY = 1.0  # load average at which figures are worth little
NS_EXACT = 1e9 / 300_000  # 300,000 bars a second
NS_KERNEL = 1e9 / 50_000_000
TIMES_NUMPY = 3.0


def run(*, full: bool = False, profile: bool = False) -> list[Row]:
    """Hold the contest: one row per contestant and field, then the goals; `profile` says where time goes."""
    busy = os.getloadavg()[0]
    if busy > BUSY:
        _say(f"[bold]load average {busy:.2f}: this machine is busy, and these figures are worth little[/]")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        pythons = {who.name: _python(who) for who in CONTESTANTS}
        contest(SMALL, pythons, folder, runs=1)  # not counted: compiles, and warms the disk's cache
        for played in (SMALL, YEAR, *([LARGE] if full else [])):
            load = os.getloadavg()[0]
            bars, scores = contest(played, pythons, folder)
            rows += [*results(played, bars, scores, load), *goals(played, bars, scores)]
        return [*rows, *(_profile(folder) if profile else [])]


def contest(
    played: Field, pythons: Mapping[str, Path | str], folder: Path, runs: int = RUNS_SHORT
) -> tuple[int, list[Score]]:
    """Let everybody play in turns on bars made for it; give how many bars, and how each fared."""
    scores = [Score(who) for who in CONTESTANTS]
    path = folder / "bars.parquet"
    bars = _bars(played, path)
    for turn in range(runs):
        for score in scores:
            if score.is_due():
                _say(f"{played.name}, run {turn + 1}: {score.who.name}")
                _play(score, pythons[score.who.name], path, folder)
    path.unlink()
    _agree(scores)
    return bars, scores


def _play(score: Score, python: Path | str, path: Path, folder: Path) -> None:
    """Let a contestant play once and note what came of it."""
    who = score.who
    if isinstance(python, str):
        score.why_not = python
        return
    with tempfile.TemporaryDirectory(dir=folder) as emptied:
        cache = emptied if who.cold else str(folder / "compiled")
        command = [str(python), str(PEERS / who.script), str(path), *who.words]
        stop_s = STOP_OURS_S if who.peer == OURS else STOP_S
        try:
            score.runs.append(take(command, {"NUMBA_CACHE_DIR": cache}, stop_s=stop_s))
        except Stopped as stopped:
            score.why_not = str(stopped)


def _agree(scores: Sequence[Score]) -> None:
    """Hold ours and the floor to the same fills: without that there is nothing to compare.

    Raises:
        RuntimeError: one of them did not play, or filled otherwise.
    """
    ours = [score for score in scores if score.who.kind in (Kind.EXACT, Kind.SCREEN, Kind.FLOOR)]
    for score in ours:
        if not score.runs:
            raise RuntimeError(f"{score.who.name} did not play: {score.why_not}")
        if score.runs[0]["hash"] != ours[0].runs[0]["hash"]:
            raise RuntimeError(f"{score.who.name} has other fills than {ours[0].who.name}")


def results(played: Field, bars: int, scores: Sequence[Score], load: float) -> Iterator[Row]:
    """Give what each did on a field."""
    by_name = {score.who.name: score for score in scores}
    command, bare = by_name[COMMAND], by_name[BARE]
    for score in scores:
        facts: Row = {"field": played.name, "contestant": score.who.name, "kind": score.who.kind.value}
        facts |= {"bars": bars, "load_average": round(load, 2), "runs": len(score.runs)}
        facts |= {"why_not": score.why_not}
        if score.runs:
            one = score.runs[0]
            facts |= {
                "fills": _fills(score, command.runs[0], by_name[NUMPY].runs[0]["at_close"]),
                "import_s": score.middle("import_s"),
                "load_s": score.middle("load_s"),
                "alone_s": score.alone,
                "alone_spread": [score.seconds(score.who.alone)[place] for place in (0, -1)],
                "whole_s": score.whole,
                "whole_spread": [score.seconds("whole_s")[place] for place in (0, -1)],
                "times_exact_alone": score.alone / bare.alone,
                "times_exact_whole": score.whole / command.whole,
                "peak_mb": score.middle("peak_mb"),
                "first": one["first"],
                "last": one["last"],
            }
        value = score.whole if score.runs else float("nan")
        yield {**_row(f"{played.name}: {score.who.name}, whole", value, "s"), "contest": facts}


def _fills(score: Score, next_open: Row, at_close: Row) -> str:
    """Say how a contestant's fills stand to ours."""
    mine, ours = score.runs[0], at_close if score.who.at_close else next_open
    where = "same, at the signal's close" if score.who.at_close else "same"
    if mine["hash"] == ours["hash"]:
        return where
    return f"OTHERS: {mine['fills']:,} beside {ours['fills']:,}, {mine['value'] - ours['value']:+,.2f} USD"


def goals(played: Field, bars: int, scores: Sequence[Score]) -> Iterator[Row]:
    """Give the goals of issue 4 on a field, as upper bounds: 1 means as fast as the peer named."""
    by_name = {score.who.name: score for score in scores}
    exact, bare, screen = by_name[COMMAND], by_name[BARE], by_name[SCREEN]

    def times(words: str, mine: float, other: float, goal: float = 1.0) -> Row:
        return _row(f"{played.name}: {words}", mine / other, "times", goal)

    events = [score for score in scores if score.runs and score.who.kind is Kind.EVENTS]
    if events:
        peer = min(events, key=lambda score: score.whole)
        yield times(f"exact, whole process, in {peer.who.name}'s", exact.whole, peer.whole)
        peer = min(events, key=lambda score: score.alone)
        yield times(f"exact, run alone, in {peer.who.name}'s", bare.alone, peer.alone)
    arrays = [score for score in scores if score.runs and score.who.kind is Kind.ARRAYS]
    for is_cold, mine in ((False, screen), (True, by_name[SCREEN_COLD])):
        peers = [score for score in arrays if score.who.cold is is_cold]
        if peers:
            peer = min(peers, key=lambda score: score.whole)
            yield times(f"{mine.who.name}, whole process, in {peer.who.name}'s", mine.whole, peer.whole)
            peer = min(peers, key=lambda score: score.alone)
            yield times(f"{mine.who.name}, run alone, in {peer.who.name}'s", mine.alone, peer.alone)
    yield times("desk screen, whole process, in numpy loops", screen.whole, by_name[NUMPY].whole, TIMES_NUMPY)
    if played == YEAR:
        yield _row(f"{played.name}: exact, run alone", bare.alone / bars * 1e9, "ns/bar", NS_EXACT)
        kernel = screen.middle("kernel_s") / bars * 1e9
        yield _row(f"{played.name}: desk screen, levels given", kernel, "ns/bar", NS_KERNEL)


def _profile(folder: Path) -> Iterator[Row]:
    """Say where our exact engine's time goes on a year: by cumulative time, and by their own."""
    path = folder / "bars.parquet"
    _bars(YEAR, path)
    told = take([str(interpreter(OURS)), str(PEERS / "our_exact.py"), str(path), "profile"], {})
    for by, lines in told["profile"].items():
        for line in lines:
            yield {**_row(f"{line['function']}", line[by], "s"), "profile": {"by": by, **line}}


def _python(who: Contestant) -> Path | str:
    """Give a contestant's interpreter, or why there is none."""
    try:
        return interpreter(who.peer)
    except CannotInstall as why:
        return f"cannot be installed: {why}"


def _bars(played: Field, path: Path) -> int:
    """Make the bars of a field, in a process of its own: its memory goes with it."""
    asked = [str(played.symbols), str(played.sessions), str(path)]
    command = [sys.executable, "-m", "bench.contest_bars", *asked]
    made = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(made.stdout)


def _row(name: str, value: float, unit: str, goal: float | None = None) -> Row:
    return {"name": name, "value": round(value, 4), "unit": unit, "goal": goal}


def _say(words: str) -> None:
    """Tell the person who waits."""
    Console(stderr=True).print(words)

"""`python -m soak crash`, `python -m soak drills`: each module of this package says what it shows."""

import argparse
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from soak import agreement, crash, drills, endurance, exchange, mutants, streaming, sweeps
from soak.planted import PLANTED


def main() -> int:
    """Run the soak the command line names; give the exit code."""
    asked = _asked()
    console = Console(width=None if sys.stdout.isatty() else 140)
    if asked.soak == "mutants":
        found = mutants.run(seeds=asked.seeds, jobs=asked.jobs, names=asked.name, console=console)
        mutants.show(found, console)
        return 0 if all(caught.is_caught for caught in found) else 1
    if asked.soak == "agreement":
        differing = agreement.run(cases=asked.cases, jobs=asked.jobs, console=console)
        agreement.show(differing, cases=asked.cases, console=console)
        return 1 if differing else 0
    if asked.soak == "exchange":
        steps = exchange.run(steps=asked.steps, console=console)
        exchange.show(steps, console)
        return 1 if exchange.wrong(steps) else 0
    with tempfile.TemporaryDirectory(prefix="desk-soak-") as scratch:
        folder = (asked.folder if asked.folder is not None else Path(scratch)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        return _in_folder(asked, folder, console)


def _in_folder(asked: argparse.Namespace, folder: Path, console: Console) -> int:
    """Run a soak that writes files; give the exit code."""
    if asked.soak == "sweeps":
        ran = sweeps.run(
            sets=asked.sets,
            symbols=asked.symbols,
            sessions=asked.sessions,
            workers=asked.workers,
            folder=folder,
            console=console,
        )
        sweeps.show(ran, console)
        return 1 if sweeps.wrong(ran) else 0
    if asked.soak == "streaming":
        streamed = streaming.run(symbols=asked.symbols, months=asked.months, folder=folder, console=console)
        streaming.show(streamed, console)
        return 0 if streaming.is_good(streamed) else 1
    if asked.soak == "drills":
        stories = drills.run(
            names=asked.name or tuple(drills.DRILLS), seed=asked.seed, pace=asked.pace, folder=folder
        )
        drills.show(stories, console)
        return 1 if any(story.wrong for story in stories) else 0
    faults = asked.faults.absolute() if asked.faults is not None else None
    if asked.soak == "crash":
        killed = crash.run(
            kills=asked.kills,
            seed=asked.seed,
            pace=asked.pace,
            faults=faults,
            folder=folder,
            console=console,
        )
        crash.show(killed, console)
        return 0 if crash.is_good(killed) else 1
    lasted = endurance.run(
        hours=asked.hours,
        symbols=asked.symbols,
        seed=asked.seed,
        pace=asked.pace,
        faults=faults,
        folder=folder,
        console=console,
    )
    endurance.show(lasted, console)
    return 1 if lasted.wrong else 0


def _asked() -> argparse.Namespace:
    """Read the command line; a name that nothing has ends the program, saying which there are."""
    parser = _parser()
    asked = parser.parse_args()
    known = {"drills": tuple(drills.DRILLS), "mutants": tuple(one.name for one in PLANTED)}
    allowed = known.get(asked.soak, ())
    for name in getattr(asked, "name", ()):
        if name not in allowed:
            parser.error(f"{asked.soak}: no {name!r}; allowed: {', '.join(allowed)}")
    return asked


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m soak", description=__doc__)
    commands = parser.add_subparsers(dest="soak", required=True)
    killing = commands.add_parser("crash", help="kill -9 the session process at random moments")
    killing.add_argument("--kills", type=int, default=100)
    lasting = commands.add_parser("endurance", help="whole sessions, watched for growth")
    lasting.add_argument("--hours", type=float, default=8.0, help="of session time")
    lasting.add_argument("--symbols", type=int, default=len(endurance.SYMBOLS))
    asking = commands.add_parser("exchange", help="100,000 requests at a time, watched for growth")
    asking.add_argument("--steps", type=int, default=3, help="of each kind of request")
    agreeing = commands.add_parser("agreement", help="generated backtests, played four ways")
    agreeing.add_argument("--cases", type=int, default=500)
    agreeing.add_argument("--jobs", type=int, default=2)
    sweeping = commands.add_parser("sweeps", help="one sweep on every runner, whole and killed")
    sweeping.add_argument("--sets", type=int, default=500)
    sweeping.add_argument("--symbols", type=int, default=10)
    sweeping.add_argument("--sessions", type=int, default=63)
    sweeping.add_argument("--workers", type=int, default=2)
    sweeping.add_argument("--folder", type=Path, default=None, help="where to work; default: a temporary one")
    flowing = commands.add_parser("streaming", help="months of bars, watched for growth of memory")
    flowing.add_argument("--symbols", type=int, default=500)
    flowing.add_argument("--months", type=int, default=6)
    flowing.add_argument("--folder", type=Path, default=None, help="where to work; default: a temporary one")
    planting = commands.add_parser("mutants", help="break the desk on purpose and see who notices")
    planting.add_argument("--seeds", type=int, default=60, help="that the simulation plays for each defect")
    planting.add_argument("--jobs", type=int, default=2)
    planting.add_argument("name", nargs="*", help="defects to plant; default: all")
    playing = commands.add_parser("drills", help="two sessions of one account; the kill switch refused")
    playing.add_argument("name", nargs="*", help=f"{', '.join(drills.DRILLS)}; default: all")
    for each, pace in ((killing, 60.0), (lasting, 60.0), (playing, 20.0)):
        each.add_argument("--seed", type=int, default=1)
        each.add_argument("--pace", type=float, default=pace, help="times real speed")
        each.add_argument("--folder", type=Path, default=None, help="where to work; default: a temporary one")
    for each in (killing, lasting):
        each.add_argument("--faults", type=Path, default=None, help="a fault plan; none without it")
    return parser


if __name__ == "__main__":
    sys.exit(main())

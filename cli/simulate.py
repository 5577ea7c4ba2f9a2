"""`desk simulate`: the whole desk on a simulated venue, by the thousand seeds, with faults and kills.

Exit code 0 means that no invariant broke; 1 that one did, with the seed that shows it again.
"""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from tasks.errors import ConfigError

if TYPE_CHECKING:
    from tasks.simulate import Choice, Outcome, Totals

SEEDS_DEFAULT = "0..199"
TERMINAL = "-"  # --trace without a file
FAILED_SHOWN = 3  # told with their last happenings; the others in a line


def simulate(
    seeds: Annotated[str, typer.Option(help="First..last, both included.")] = SEEDS_DEFAULT,
    seed: Annotated[int | None, typer.Option(min=0, help="Play this one seed alone.")] = None,
    minutes: Annotated[int, typer.Option(min=4, max=390, help="Minutes of market in a seed, about.")] = 12,
    faults: Annotated[str, typer.Option(help="all, none, or the file of a fault plan (YAML).")] = "all",
    jobs: Annotated[int, typer.Option(min=1, max=256, help="Processes.")] = 2,
    trace: Annotated[
        bool, typer.Option("--trace", help="With --seed: tell the whole story on the terminal.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="With --seed: write the story to this Markdown file.")
    ] = None,
) -> None:
    """Simulate whole days of the desk from seeds and hold every invariant after every event."""
    from tasks.simulate import choice_of

    choice = choice_of(minutes=minutes, faults=faults)
    if seed is None and (trace or out is not None):
        raise ConfigError("--trace and --out tell the story of one seed: give --seed N")
    if seed is not None:
        _one(seed, choice, told=trace, out=out)
    else:
        _many(_seeds(seeds), choice, jobs=jobs)


def _seeds(words: str) -> range:
    first, _, last = words.partition("..")
    try:
        found = range(int(first), int(last or first) + 1)
    except ValueError:
        found = range(0)
    if len(found) == 0 or found[0] < 0:
        raise ConfigError(f"--seeds {words}; allowed: first..last of whole numbers from 0, as in 0..1999")
    return found


def _many(seeds: range, choice: "Choice", *, jobs: int) -> None:
    from tasks.simulate import Totals
    from tasks.simulate import simulate as played

    console = Console(highlight=False)
    began = time.monotonic()
    totals = Totals()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("seeds", total=len(seeds))
        for outcome in played(seeds, choice, jobs=jobs):
            totals.take(outcome)
            failed = f", [red]{len(totals.failed)} failed" if totals.failed else ""
            progress.update(bar, advance=1, description=f"seeds{failed}")
            if outcome.failure is not None:
                _tell_failure(console, outcome, with_end=len(totals.failed) <= FAILED_SHOWN)
    _summary(console, totals, seconds=time.monotonic() - began, jobs=jobs)
    if totals.failed:
        raise typer.Exit(1)


def _one(seed: int, choice: "Choice", *, told: bool, out: Path | None) -> None:
    from tasks.simulate import Totals, markdown, replay_seed, setting

    console = Console(highlight=False)
    began = time.monotonic()
    scenario, outcome = replay_seed(seed, choice)
    if told:
        for name, words in setting(scenario):
            console.print(Text(f"{name:>12}  ", style="bold") + Text(words), soft_wrap=True)
        _tell(console, outcome)
    if out is not None:
        out.write_text(markdown(scenario, outcome), encoding="utf-8")
        console.print(f"the story of seed {seed}: {out}", soft_wrap=True)
    totals = Totals()
    totals.take(outcome)
    if outcome.failure is not None:
        _tell_failure(console, outcome, with_end=not told)
    _summary(console, totals, seconds=time.monotonic() - began, jobs=1)
    if outcome.failure is not None:
        raise typer.Exit(1)


_STYLES = {"venue": "cyan", "desk": "", "wire": "yellow", "machine": "magenta", "person": "green"}


def _tell(console: Console, outcome: "Outcome") -> None:
    """Print a story, a rule before each day."""
    from tasks.simulate import lines

    day = ""
    for line in lines(outcome.happenings):
        if line.date != day:
            day = line.date
            console.rule(day)
        style = "bold red" if line.is_failure else _STYLES.get(line.who, "")
        console.print(
            Text(f"{line.time} ", style="dim")
            + Text(f"{line.who:>8} ", style=style or "bold")
            + Text(line.words, style=style),
            soft_wrap=True,
        )


def _tell_failure(console: Console, outcome: "Outcome", *, with_end: bool = True) -> None:
    failure = outcome.failure
    assert failure is not None, "asked of failures only"
    console.print(
        Text(f"seed {outcome.seed} breaks {failure.invariant}: {failure.words}", style="bold red"),
        soft_wrap=True,
    )
    if with_end:
        _tell(console, outcome)
    if failure.trace and not with_end:
        console.print(Text(failure.trace.rstrip(), style="dim"), soft_wrap=True)
    console.print(f"again, with its whole story: desk simulate --seed {outcome.seed} --trace", soft_wrap=True)


def _summary(console: Console, totals: "Totals", *, seconds: float, jobs: int) -> None:
    """Show what was tried and what held."""
    counts = totals.counts
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    rate = totals.seeds / seconds if seconds > 0 else 0.0
    for name, value in (
        ("seeds", f"{totals.seeds:,}"),
        ("failed", f"{len(totals.failed):,}"),
        ("minutes of market", f"{counts['minutes']:,}"),
        ("orders at the venue", f"{counts['orders']:,}"),
        ("executions", f"{counts['executions']:,}"),
        ("events in ledgers", f"{counts['events']:,}"),
        ("processes", f"{counts['processes']:,}"),
        ("kills", f"{counts['kills'] + counts['machine switched off']:,}"),
        ("seconds", f"{seconds:,.1f}"),
        ("seeds a second", f"{rate:,.1f} with {jobs} {'process' if jobs == 1 else 'processes'}"),
    ):
        table.add_row(name, value)
    console.print()
    console.print(table)
    for title, prefix in (("faults", "fault: "), ("acts of people", "act: ")):
        found = {k.removeprefix(prefix): n for k, n in sorted(counts.items()) if k.startswith(prefix)}
        words = ", ".join(f"{name} {number:,}" for name, number in found.items()) or "none"
        console.print(Text(f"{title}: ", style="bold") + Text(words))
    checked = sorted(totals.checked.items(), key=lambda item: int(item[0].removeprefix("I")))
    words = ", ".join(f"{name} {number:,}" for name, number in checked)
    console.print(Text("checks: ", style="bold") + Text(words or "none"))
    if totals.failed:
        named = ", ".join(str(outcome.seed) for outcome in totals.failed[:20])
        console.print(Text(f"failed seeds: {named}", style="bold red"))

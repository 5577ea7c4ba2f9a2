"""`desk verify-day`: whether a session's decisions follow from what was known; exit code 1 where not."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from cli.session import Day
from cli.tables import as_json, clock_time, console, grid
from tasks.configuration import load_settings

if TYPE_CHECKING:
    from tasks.day_proof import DayProof

FAILED = 1
SHOWN_MAX = 200  # rows; a day that differs in more differs in everything


def verify_day(
    day: Day = None, json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """Decide a recorded session again from what was known then, and play it again; name what differs."""
    from tasks.day_proof import prove_day

    proof = prove_day(load_settings(), None if day is None else day.date())
    if json:
        typer.echo(as_json(proof))
    else:
        _show(proof)
    if proof.troubles:
        raise typer.Exit(FAILED)


def _show(proof: "DayProof") -> None:
    out = console()
    if proof.differences:
        out.print(_table(proof))
    if len(proof.differences) > SHOWN_MAX:
        out.print(f"and {len(proof.differences) - SHOWN_MAX} more")
    for words in proof.retelling.altered:
        out.print(Text("bar: ", style="bold red") + Text(words), soft_wrap=True)
    out.print(proof.words, soft_wrap=True)


def _table(proof: "DayProof") -> Table:
    """Give four lines a difference: side by side they would not fit a terminal."""
    table = grid(None, "New York", "", "what differs")
    table.columns[2].overflow = "fold"  # an order's id is for copying: it is never cut
    for each in proof.differences[:SHOWN_MAX]:
        style = "bold red" if each in proof.troubles else "yellow"
        name = Text(each.order_id + " ") + Text(each.cause.value, style=style)
        table.add_row(clock_time(each.minute)[:5], "order", name)
        table.add_row("", "recorded", each.recorded)
        table.add_row("", "retold", each.retold)
        table.add_row("", "because", each.why, end_section=True)
    return table

"""`desk compare`: two kept backtests side by side, what was asked otherwise, and where they part."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from cli.outputs import require_writable
from cli.tables import as_json, console, grid, moment
from tasks.configuration import load_settings

if TYPE_CHECKING:
    from tasks.compare import Compared

SYMBOLS_SHOWN = 10  # the largest changes; --json and --report have more
TONES = {"up": "green", "down": "red", "even": ""}
NAMING = "Id of a kept run, its beginning, last, or last~N."


def compare(
    first: Annotated[str, typer.Argument(metavar="RUN", help=NAMING)],
    second: Annotated[str, typer.Argument(metavar="RUN", help="What it is held against, named alike.")],
    report: Annotated[Path | None, typer.Option(help="Write the page, one HTML file.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write all of it as JSON.")] = None,
) -> None:
    """Hold two kept backtests against each other; changes are from the first to the second."""
    from tasks.compare import compared, write_comparison

    require_writable(report=report, json=json)
    found = compared(load_settings(warns=False), first, second)
    _show(found)
    if json is not None:
        json.write_text(as_json(found.facts), encoding="utf-8")
        console().print(f"numbers: {json}")
    if report is not None:
        write_comparison(found, report)
        console().print(f"report: {report}")


def _show(found: "Compared") -> None:
    out, comparison = console(), found.comparison
    for name, run in (("first", comparison.first), ("second", comparison.second)):
        span = f"{run.first} to {run.last}, {run.bars:,} bars"
        out.print(f"{name}: {run.run_id}, {run.strategy}, {span}")
    for words in comparison.remarks:
        out.print(Text(words, style="" if comparison.same_data else "bold red"), soft_wrap=True)
    if comparison.asked:
        asked = grid("Asked otherwise", "", "first", "second")
        for each in comparison.asked:
            asked.add_row(each.name, each.first, each.second)
        out.print(asked)
    out.print(_numbers(found))
    out.print(_parting(found))
    if found.symbols:
        out.print(_symbols(found))


def _numbers(found: "Compared") -> Table:
    table = grid("Numbers", "", ">first", ">second", ">change")
    for row in found.rows:
        style = TONES[row["tone"]] if found.comparison.same_data else ""
        table.add_row(row["name"], row["first"], row["second"], Text(row["change"], style=style))
    return table


def _parting(found: "Compared") -> Table:
    comparison = found.comparison
    counts = (
        f"fills: {comparison.fills_equal:,} in both, {comparison.fills_first:,} in the first only, "
        f"{comparison.fills_second:,} in the second only"
    )
    table = grid(f"Where they part: {counts}", "the first that differs", "", "")
    table.columns[2].overflow = "fold"  # an order's id is for copying: it is never cut
    for name, parting in (("fill and its order", comparison.fill), ("trade", comparison.trade)):
        if parting is None:
            table.add_row(name, "", "none")
            continue
        table.add_row(name, "at", moment(parting.at)[:-3] + " New York")
        table.add_row("", "first", parting.first)
        table.add_row("", "second", parting.second, end_section=True)
    return table


def _symbols(found: "Compared") -> Table:
    more = len(found.symbols) - SYMBOLS_SHOWN
    title = "By symbol, USD after fees, the largest change first"
    table = grid(title, "", ">first", ">second", ">change", ">trades", ">trades")
    for line in found.symbols[:SYMBOLS_SHOWN]:
        table.add_row(
            line["symbol"],
            *(f"{line[name]:+z,.2f}" for name in ("pnl_first", "pnl_second", "change")),
            *(f"{line[name]:,}" for name in ("trades_first", "trades_second")),
        )
    if more > 0:
        table.add_row(f"and {more} more")
    return table

"""`desk check`: whether a strategy looks ahead, or depends on what it must not; exit code 1 when it does."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from cli.tables import as_json, console, grid, moment

if TYPE_CHECKING:
    from tasks.strategy_check import Report

FAILED = 1
_STYLES = {"holds": "green", "fails": "bold red", "untried": "yellow"}
CUTS_MAX = 2_000  # each costs half a dozen answers


def check(
    strategy: Annotated[
        str, typer.Argument(help="A name, path/to/mine.py:MyIdea, or package.module:MyIdea.")
    ],
    bars: Annotated[
        Path | None,
        typer.Option(help="Minute bars, Parquet: the newest 5 sessions. Default: a generated market."),
    ] = None,
    symbols: Annotated[str | None, typer.Option(help="Symbols, with commas.")] = None,
    param: Annotated[
        list[str] | None, typer.Option("--param", help="A parameter, name=value; may be repeated.")
    ] = None,
    cuts: Annotated[
        int | None, typer.Option(min=1, max=CUTS_MAX, help="About how many minutes the bars are cut at.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check a strategy for look-ahead, unfinished bars, warm-up, symbol order and more, by name."""
    from tasks.strategy_check import CheckPlan, check_strategy

    named = tuple(word.strip().upper() for word in (symbols or "").split(",") if word.strip())
    plan = CheckPlan(strategy, bars, named, tuple(param or ()))
    report = check_strategy(plan if cuts is None else replace(plan, cuts=cuts))
    if json:
        typer.echo(as_json(report))
    else:
        _show(report)
    if report.failed:
        raise typer.Exit(FAILED)


def _show(report: "Report") -> None:
    out = console()
    chosen = ", ".join(f"{key} {value}" for key, value in report.params.items())
    out.print(Text(report.name, style="bold") + Text(f"  {chosen}" if chosen else ""), soft_wrap=True)
    days = f"{report.first} to {report.last}"
    out.print(f"{report.bars:,} bars of {', '.join(report.symbols)}, {days}: {report.source}", soft_wrap=True)
    table = grid(None, "check", "verdict", "found")
    for each in report.findings:
        table.add_row(
            each.check.value, Text(each.verdict.value, style=_STYLES[each.verdict.value]), each.words
        )
    out.print(table)
    for each in report.failed:
        if each.difference is not None:
            bar = each.difference
            out.print(
                Text(f"{each.check.value}: ", style="bold red")
                + Text(f"{bar.symbol} {moment(bar.ts)} New York: {bar.expected}; then {bar.found}"),
                soft_wrap=True,
            )
    out.print(report.needs, soft_wrap=True)
    hold, fail, untried = (
        sum(each.verdict.value == verdict for each in report.findings) for verdict in _STYLES
    )
    out.print(f"{hold} hold, {fail} fail, {untried} untried")

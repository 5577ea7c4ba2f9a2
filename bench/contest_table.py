"""The speed contest's figures as tables."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.table import Table

Row = dict[str, Any]


def tables(rows: Sequence[Row]) -> Iterator[Table]:
    """Give a table for each field, and of each profile."""
    played = [row["contest"] for row in rows if "contest" in row]
    for name in dict.fromkeys(facts["field"] for facts in played):
        yield _field(name, [facts for facts in played if facts["field"] == name])
    lines = [row["profile"] for row in rows if "profile" in row]
    for by in dict.fromkeys(line["by"] for line in lines):
        yield _profile(by, [line for line in lines if line["by"] == by])


def _field(name: str, played: Sequence[Row]) -> Table:
    """Show a field: medians, their spread in brackets, and how many times longer than our exact engine."""
    one = played[0]
    title = f"{name}: {one['bars']:,} bars of one minute, load average {one['load_average']:.2f}"
    shown = Table("contestant", "fills", title=title, title_justify="left")
    for column in ("import", "load", "alone, s", "bars/s", "x exact", "whole, s", "bars/s", "x exact", "MB"):
        shown.add_column(column, justify="right", no_wrap=True)
    kind = one["kind"]
    for facts in played:
        if facts["kind"] != kind:
            shown.add_section()
            kind = facts["kind"]
        if "whole_s" not in facts:
            shown.add_row(facts["contestant"], facts["why_not"])
            continue
        shown.add_row(
            facts["contestant"],
            facts["fills"] if not facts["why_not"] else f"{facts['fills']}; then {facts['why_not']}",
            f"{facts['import_s']:.2f}",
            f"{facts['load_s']:.2f}",
            _seconds(facts["alone_s"], facts["alone_spread"]),
            f"{facts['bars'] / facts['alone_s']:,.0f}",
            f"{facts['times_exact_alone']:,.2f}",
            _seconds(facts["whole_s"], facts["whole_spread"]),
            f"{facts['bars'] / facts['whole_s']:,.0f}",
            f"{facts['times_exact_whole']:,.2f}",
            f"{facts['peak_mb']:,.0f}",
        )
    return shown


def _seconds(middle: float, spread: Sequence[float]) -> str:
    """Give a median and the shortest and the longest."""
    digits = 3 if middle < 10 else 1
    return f"{middle:.{digits}f} ({spread[0]:.{digits}f}-{spread[-1]:.{digits}f})"


def _profile(by: str, lines: Sequence[Row]) -> Table:
    """Show where time goes."""
    shown = Table("function", title=f"our exact engine on a year, by {by}", title_justify="left")
    for column in ("calls", "cumulative, s", "own, s"):
        shown.add_column(column, justify="right")
    for line in lines:
        cumulative, own = f"{line['cumulative_s']:.3f}", f"{line['own_s']:.3f}"
        shown.add_row(line["function"], f"{line['calls']:,}", cumulative, own)
    return shown

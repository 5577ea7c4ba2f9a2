"""Run every measurement: `make bench`, or `python -m bench gate ledger --json`.

A measurement is a module of this package with `run() -> list[dict]`, one row per figure: name, value,
unit, and goal (an upper bound, or None where a figure only informs). It may have `tables(rows)` for what it
shows in a way of its own, and take options of the command line that bear the names of `run`'s arguments.
Exit code 1 if a goal is missed.
"""

import argparse
import importlib
import inspect
import json
import math
import pkgutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

import bench

Row = dict[str, Any]

WIDTH = 180  # of tables that nobody looks at in a terminal
OWN_TABLES = {"contest", "profile"}  # rows with one of these are shown by their measurement


def measurements() -> tuple[str, ...]:
    """Give the names of the modules that measure something, sorted."""
    names = sorted(module.name for module in pkgutil.iter_modules(bench.__path__))
    return tuple(name for name in names if not name.startswith("_") and _runs(name))


def _runs(name: str) -> bool:
    return hasattr(importlib.import_module(f"bench.{name}"), "run")


def is_met(row: Row) -> bool | None:
    """Tell whether a row keeps its goal; None where there is none."""
    return None if row.get("goal") is None else bool(row["value"] <= row["goal"])


def measure(names: Sequence[str], options: Mapping[str, bool]) -> list[Row]:
    """Run the named measurements, one after another: the machine has few cores."""
    rows: list[Row] = []
    for name in names:
        print(f"measuring {name}", file=sys.stderr, flush=True)
        work = importlib.import_module(f"bench.{name}").run
        known = inspect.signature(work).parameters
        chosen = {option: value for option, value in options.items() if option in known}
        rows += [{"bench": name, **row} for row in work(**chosen)]
    return rows


def shown(rows: Sequence[Row]) -> Iterator[Table]:
    """Give the tables that measurements show themselves, then one of all other figures."""
    for name in dict.fromkeys(row["bench"] for row in rows):
        module = importlib.import_module(f"bench.{name}")
        if hasattr(module, "tables"):
            yield from module.tables([row for row in rows if row["bench"] == name])
    yield table([row for row in rows if not row.keys() & OWN_TABLES])


def table(rows: Sequence[Row]) -> Table:
    """Show the figures with their goals."""
    shown = Table("bench", "figure", title="Measured on this machine", title_justify="left")
    for column in ("value", "unit", "goal", ""):
        shown.add_column(column, justify="right" if column in ("value", "goal") else "left")
    for row in rows:
        goal = "" if row.get("goal") is None else f"< {row['goal']:,g}"
        met = {None: "", True: "met", False: "MISSED"}[is_met(row)]
        shown.add_row(row["bench"], row["name"], f"{row['value']:,.3f}", row["unit"], goal, met)
    return shown


def _plain(row: Row) -> Row:
    """Give a row as JSON can say it: what was not measured has no number."""
    return {**row, "value": None if math.isnan(row["value"]) else row["value"]}


def main() -> int:
    """Measure what the command line names, all by default; give the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="a measurement; default: all")
    parser.add_argument(
        "--json", nargs="?", const="-", metavar="FILE", help="write the rows as JSON, or print them"
    )
    parser.add_argument("--full", action="store_true", help="backtest: 100 symbols x 252 days too")
    parser.add_argument("--profile", action="store_true", help="backtest: where our time goes")
    asked = parser.parse_args()
    known = measurements()
    strange = [name for name in asked.names if name not in known]
    if strange:
        parser.error(f"no measurement {strange[0]!r}; there are: {', '.join(known)}")
    rows = measure(asked.names or known, {"full": asked.full, "profile": asked.profile})
    if asked.json:
        words = json.dumps([_plain({**row, "met": is_met(row)}) for row in rows], indent=2)
        print(words) if asked.json == "-" else Path(asked.json).write_text(words + "\n", encoding="utf-8")
    if asked.json != "-":
        for each in shown(rows):
            Console(width=None if sys.stdout.isatty() else WIDTH).print(each)
    return 1 if any(is_met(row) is False for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())

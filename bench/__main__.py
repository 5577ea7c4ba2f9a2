"""Run every measurement: `make bench`, or `python -m bench gate ledger --json`.

A measurement is a module of this package with `run() -> list[dict]`, one row per figure: name, value,
unit, and goal (an upper bound, or None where a figure only informs). Exit code 1 if a goal is missed.
"""

import argparse
import importlib
import json
import pkgutil
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

import bench

Row = dict[str, Any]


def measurements() -> tuple[str, ...]:
    """Give the names of the modules that measure something, sorted."""
    names = sorted(module.name for module in pkgutil.iter_modules(bench.__path__))
    return tuple(name for name in names if not name.startswith("_") and _runs(name))


def _runs(name: str) -> bool:
    return hasattr(importlib.import_module(f"bench.{name}"), "run")


def is_met(row: Row) -> bool | None:
    """Tell whether a row keeps its goal; None where there is none."""
    return None if row.get("goal") is None else bool(row["value"] <= row["goal"])


def measure(names: Sequence[str]) -> list[Row]:
    """Run the named measurements, one after another: the machine has few cores."""
    rows: list[Row] = []
    for name in names:
        print(f"measuring {name}", file=sys.stderr, flush=True)
        rows += [{"bench": name, **row} for row in importlib.import_module(f"bench.{name}").run()]
    return rows


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


def main() -> int:
    """Measure what the command line names, all by default; give the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="a measurement; default: all")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    asked = parser.parse_args()
    known = measurements()
    strange = [name for name in asked.names if name not in known]
    if strange:
        parser.error(f"no measurement {strange[0]!r}; there are: {', '.join(known)}")
    rows = measure(asked.names or known)
    if asked.json:
        print(json.dumps([{**row, "met": is_met(row)} for row in rows], indent=2))
    else:
        Console(width=None if sys.stdout.isatty() else 140).print(table(rows))
    return 1 if any(is_met(row) is False for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())

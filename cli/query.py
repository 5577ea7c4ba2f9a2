"""`desk sql`, `desk report`: the warehouse and the day's page, read-only, in mid-session too."""

import csv
import json as jsonlib
import sys
import webbrowser
from datetime import datetime
from typing import Annotated

import typer

from cli.tables import cell, console, grid, plain
from tasks.configuration import load_settings
from tasks.errors import ConfigError

ROWS_SHOWN_MAX = 1_000  # in the terminal; --csv and --json have no limit


def sql(
    statement: Annotated[str, typer.Argument(help='One statement, e.g. "SELECT * FROM fills LIMIT 10".')],
    csv_out: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON: a list of objects.")] = False,
) -> None:
    """Ask the warehouse (docs/data.md names its tables); changes nothing, works while a session runs."""
    from tasks.query import rows_of

    if csv_out and json:
        raise ConfigError("--csv and --json: choose one")
    result = rows_of(load_settings(), statement)
    if json:
        objects = [dict(zip(result.columns, map(plain, row), strict=True)) for row in result.rows]
        typer.echo(jsonlib.dumps(objects, indent=2, ensure_ascii=False))
    elif csv_out:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(result.columns)
        writer.writerows(["" if value is None else plain(value) for value in row] for row in result.rows)
    else:
        numeric = result.numeric
        table = grid(
            None,
            *(
                f">{name}" if is_number else name
                for name, is_number in zip(result.columns, numeric, strict=True)
            ),
        )
        for row in result.rows[:ROWS_SHOWN_MAX]:
            table.add_row(*(cell(value) for value in row))
        out = console()
        out.print(table)
        more = f", the first {ROWS_SHOWN_MAX:,} shown" if len(result.rows) > ROWS_SHOWN_MAX else ""
        zone = "; instants are UTC" if result.has_instants else ""
        out.print(f"{_counted(len(result.rows))}{more}{zone}")


def _counted(rows: int) -> str:
    return "1 row" if rows == 1 else f"{rows:,} rows"


def report(
    day: Annotated[
        datetime | None, typer.Option("--date", formats=["%Y-%m-%d"], help="Default: the newest session.")
    ] = None,
    open_it: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Make a date's HTML report from ledger and warehouse, and say where it is."""
    from tasks.query import write_page

    path = write_page(load_settings(), None if day is None else day.date())
    typer.echo(str(path))
    if open_it and not webbrowser.open(path.as_uri()):
        raise ConfigError(f"no browser could be started; open {path} yourself")

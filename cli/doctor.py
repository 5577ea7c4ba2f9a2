"""`desk doctor`: preflight. Looks at everything a session needs and says what to do about the rest."""

import os
from typing import Annotated

import typer

from cli.tables import as_json, console, grid

PREFECT_URL = "http://127.0.0.1:4200/api"  # where `desk up` serves it


def doctor(json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False) -> None:
    """Check installation, settings, store, ledger, warehouse, broker and Prefect; exit 1 on any fail."""
    from tasks.preflight import Level, preflight, worst

    out = console()
    url = os.environ.get("PREFECT_API_URL", PREFECT_URL)
    if json:
        checks = list(preflight(prefect_url=url))
        typer.echo(as_json(checks))
    else:
        table = grid("Preflight", "check", "", "found", "what to do")
        checks = []
        with out.status("looking") as status:
            for check in preflight(prefect_url=url):
                status.update(f"looked at: {check.name}")
                checks.append(check)
                table.add_row(check.name, _mark(check.level.value), check.found, check.remedy)
        out.print(table)
    if worst(checks) is Level.FAIL:
        raise typer.Exit(1)


def _mark(level: str) -> str:
    return {"ok": "ok", "warn": "WARN", "fail": "FAIL"}[level]

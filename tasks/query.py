"""Read the warehouse for a person, and make a date's page by hand."""

from contextlib import closing
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from data.duckfile import query_readonly
from desk.errors import NoBars
from schemas.events import SessionStarted
from schemas.settings import Settings
from tasks.page.build import build_report
from tasks.resources import open_ledger
from tasks.store import warehouse_path


@dataclass(frozen=True, slots=True)
class Rows:
    """An answer: column names, which of them hold numbers, whether any holds instants (UTC), and the rows."""

    columns: tuple[str, ...]
    numeric: tuple[bool, ...]
    has_instants: bool
    rows: tuple[tuple[Any, ...], ...]


def rows_of(settings: Settings, statement: str) -> Rows:
    """Answer one statement, read-only.

    Raises:
        BadQuery: the SQL is wrong, or would change something.
        WarehouseBusy: another process held the file all the time.
        WarehouseUnavailable: there is no warehouse yet, or it is damaged.
    """
    frame = query_readonly(warehouse_path(settings), statement)
    return Rows(
        columns=tuple(frame.columns),
        numeric=tuple(kind.is_numeric() for kind in frame.dtypes),
        has_instants=any(
            isinstance(kind, pl.Datetime) and kind.time_zone is not None for kind in frame.dtypes
        ),
        rows=tuple(frame.iter_rows()),
    )


def write_page(settings: Settings, asked: date | None) -> Path:
    """Make a date's HTML page from ledger and warehouse; give its path.

    Args:
        settings: whose.
        asked: the session date; None for the newest session's.

    Raises:
        NoBars: the ledger has no such session.
        LedgerUnavailable: the ledger cannot be read.
        WarehouseBusy: another process held the warehouse all the time.
    """
    with closing(open_ledger(settings, create=False)) as ledger:
        events = [event for _, event in ledger.read()]
    sessions = [event.session_date for event in events if isinstance(event, SessionStarted)]
    if not sessions:
        raise NoBars(f"{settings.store}: no session is in this ledger yet")
    session_date = asked if asked is not None else sessions[-1]
    if session_date not in sessions:
        known = sorted(set(sessions))
        raise NoBars(f"{session_date}: no session in this ledger; it has {known[0]} to {known[-1]}")
    return build_report(
        events, store=settings.store, session_date=session_date, account=settings.account
    ).path

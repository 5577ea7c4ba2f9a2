"""Make the day's report: the ledger's events and the warehouse's bars into one HTML file.

Made again from the same ledger and warehouse, the file has the same bytes, and is then not even
written. A report is never half there: it is written beside its place and moved.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from data.day_bars import read_day_bars
from desk.hours import session_hours
from desk.quality import data_quality
from desk.reporter import day_report
from schemas.events import AnyEvent, SessionStarted
from schemas.report import DayReport, Link
from schemas.settings import AccountSettings
from tasks.page.render import render_page
from tasks.page.template import put_page

log = logging.getLogger(__name__)

WAREHOUSE_FILE = "warehouse.duckdb"
REPORTS_FOLDER = "reports"


@dataclass(frozen=True, kw_only=True)
class BuiltReport:
    """A report and where its page lies."""

    report: DayReport
    path: Path
    changed: bool  # False: the page was there with the same bytes


def report_path(store: Path, session_date: date) -> Path:
    """Give where a date's page lies, whether or not it is there."""
    return store / REPORTS_FOLDER / f"{session_date.isoformat()}.html"


def build_report(
    events: Iterable[AnyEvent],
    *,
    store: Path,
    session_date: date,
    account: AccountSettings,
    links: Sequence[Link] = (),
    warehouse: Path | None = None,
) -> BuiltReport:
    """Fold, render and write one date's report; idempotent.

    Args:
        events: the whole ledger, in order.
        store: the desk's store; the page goes to `reports/<yyyy-mm-dd>.html` in it.
        session_date: the date reported; any date, also one without a session.
        account: whose day it was.
        links: where to look further. A link that differs from run to run makes the page differ.
        warehouse: the DuckDB file; default `warehouse.duckdb` in the store.

    Raises:
        WarehouseBusy: another process holds the warehouse; nothing was written.
        IllegalTransition: the events are not a ledger this desk wrote.
        OSError: the page could not be written; an earlier one is untouched.
    """
    ledger = list(events)
    day = read_day_bars(warehouse if warehouse is not None else store / WAREHOUSE_FILE, session_date)
    hours = session_hours(session_date)
    quality = data_quality(
        day.bars,
        symbols=_asked_for(ledger, session_date),
        hours=hours,
        revisions=day.revisions,
        quarantined=day.quarantined,
    )
    report = day_report(
        ledger,
        session_date=session_date,
        account=account.name,
        mode=account.mode,
        data=quality,
        links=links,
    )
    page = render_page(report, day.bars, hours=hours).encode()
    path = report_path(store, session_date)
    changed = not (path.exists() and path.read_bytes() == page)
    if changed:
        put_page(path, page)
    facts = {"session_date": session_date.isoformat(), "path": str(path), "bytes": len(page)}
    log.info("report written" if changed else "report unchanged", extra=facts)
    return BuiltReport(report=report, path=path, changed=changed)


def _asked_for(ledger: Sequence[AnyEvent], session_date: date) -> tuple[str, ...]:
    """Give the symbols the date's sessions watched, so that one without any bar shows as missing."""
    names: set[str] = set()
    for event in ledger:
        if isinstance(event, SessionStarted) and event.session_date == session_date:
            names.update(event.symbols)
    return tuple(sorted(names))

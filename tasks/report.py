"""The day's report as a task: the page on disk, and the record the artifacts are made of."""

import logging
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from prefect import task
from prefect.cache_policies import NO_CACHE

from desk.errors import WarehouseBusy
from desk.quality import data_quality
from desk.reporter import day_report
from schemas.bars import RAW_SCHEMA
from schemas.report import DayReport
from tasks.occasion import Day
from tasks.page.build import build_report

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Written:
    """The report, and where its page is; None while the warehouse is held by somebody."""

    report: DayReport
    path: Path | None


@task(name="write report", retries=0, cache_policy=NO_CACHE, persist_result=False)
def write_report(day: Day) -> Written:
    """Write the date's HTML page; without the warehouse, give the report the ledger alone makes."""
    settings = day.desk.settings
    events = [event for _, event in day.account.ledger.read()]
    try:
        built = build_report(
            events, store=settings.store, session_date=day.session_date, account=settings.account
        )
    except WarehouseBusy as error:
        log.warning("report waits for the warehouse: run close-day again", extra={"cause": str(error)})
        nothing = data_quality(
            pl.DataFrame(schema=RAW_SCHEMA), symbols=(), hours=day.hours, revisions=0, quarantined={}
        )
        report = day_report(
            events,
            session_date=day.session_date,
            account=settings.account.name,
            mode=settings.account.mode,
            data=nothing,
        )
        return Written(report=report, path=None)
    return Written(report=built.report, path=built.path)


@task(name="export ledger", retries=0, cache_policy=NO_CACHE, persist_result=False)
def export_ledger(day: Day) -> Path:
    """Write the whole ledger as NDJSON beside the reports; a later export replaces it.

    Raises:
        LedgerUnavailable: the file cannot be written, or the ledger cannot be read.
    """
    path = day.desk.settings.store / "exports" / f"{day.session_date.isoformat()}.ndjson"
    count = day.account.ledger.export_ndjson(path)
    log.info("ledger exported", extra={"path": str(path), "events": count})
    return path

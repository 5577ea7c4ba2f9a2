"""The warehouse as the flows need it: the news brought in, and the day's rows counted."""

import logging
from dataclasses import dataclass
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed

from data.duckfile import reading
from schemas.account import SessionHours
from schemas.settings import Settings
from tasks.occasion import Day
from tasks.resources import make_warehouse
from tasks.store import warehouse_path

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RowCounts:
    """A session's rows in the warehouse."""

    bars: int  # the latest print of each minute of the session
    quarantined: int  # rows kept out, of any verdict
    signals: int


@task(name="publish", retries=0, cache_policy=NO_CACHE, persist_result=False)
def publish(day: Day) -> State[Any]:
    """Bring the spool and the ledger's news into the warehouse; while it is held, they wait.

    Idempotent: published twice, the warehouse is the same. It never fails the phase (I11).
    """
    warehouse = make_warehouse(day.account.settings, day.account.ledger)
    warehouse.flush()
    waiting = warehouse.waiting()
    if warehouse.trouble is not None:
        return Completed(message=f"rows wait in the spool ({waiting} files): {warehouse.trouble}")
    return Completed(message=f"the warehouse has everything up to seq {day.account.ledger.last_seq()}")


def count_rows(settings: Settings, hours: SessionHours) -> RowCounts:
    """Count a session's rows; none where there is no warehouse yet.

    Raises:
        WarehouseBusy: another process held the file all the time.
        WarehouseUnavailable: there is no warehouse, or it is damaged.
    """
    if not warehouse_path(settings).is_file():
        return RowCounts(bars=0, quarantined=0, signals=0)
    start, end = hours.opens_at.isoformat(), hours.closes_at.isoformat()
    within = f"BETWEEN TIMESTAMPTZ '{start}' AND TIMESTAMPTZ '{end}' - INTERVAL 1 MICROSECOND"
    with reading(warehouse_path(settings)) as connection:
        row = connection.execute(
            "SELECT"
            f" (SELECT count(*) FROM bars WHERE ts {within}),"
            f" (SELECT count(*) FROM quarantine WHERE coalesce(ts, known_at) {within}),"
            f" (SELECT count(*) FROM signals WHERE account = ? AND ts {within})",
            [settings.account.name],
        ).fetchone()
    bars, quarantined, signals = row if row is not None else (0, 0, 0)
    return RowCounts(bars=bars, quarantined=quarantined, signals=signals)

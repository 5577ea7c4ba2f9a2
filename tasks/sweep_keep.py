"""Keep a sweep in the warehouse."""

from data.backtest_rows import SPOOL_FOLDER, keep_backtest
from data.sweep_rows import sweep_rows
from data.warehouse import Warehouse
from desk.adapters.system_clock import SystemClock
from schemas.settings import Settings
from tasks.code_version import code_version
from tasks.store import warehouse_path
from tasks.sweep import Sweep


def keep_sweep(sweep: Sweep, settings: Settings) -> str | None:
    """Keep a sweep in the warehouse; give None, or why its rows wait.

    Raises:
        OSError: the disk is full.
    """
    facts = {
        **sweep.prepared.facts,
        "tried": len({trial.place for trial in sweep.trials}),
        "refused": sweep.refused,
        "code_version": code_version(),
        "started_at": sweep.started_at,
        "seconds": sweep.seconds,
    }
    warehouse = Warehouse(
        warehouse_path(settings),
        settings.store / SPOOL_FOLDER,
        account=settings.account.name,
        wall_clock=SystemClock().now,
    )
    rows = sweep_rows(sweep.prepared.job, facts, trials=sweep.trials, verdict=sweep.verdict)
    return keep_backtest(warehouse, rows)

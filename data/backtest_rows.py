"""A backtest on its way into the warehouse: a run's record, numbers, fills, trades and equity as rows.

Theory of operation. The rows go the way of all rows, through a spool on disk, so that a person who holds the
file costs nothing but time: what cannot be written now waits and comes with the next run. A run written
twice is there once. Give backtests a spool of their own (`SPOOL_FOLDER`): a session that flushes every minute
must not stop to take in a year of equity.
"""

import json
import time
from collections.abc import Callable

import polars as pl

from data.columns import BACKTEST
from data.warehouse import Warehouse
from desk.research.performance import Performance
from schemas.research import Run

SPOOL_FOLDER = "spool-backtests"  # in the store, beside the sessions' own
FLUSH_ATTEMPTS = 8  # with the waits below about 6 s: many times what a session holds the file
FIRST_WAIT_S = 0.05  # doubles each time


def backtest_rows(
    run: Run, *, performance: Performance, trades: pl.DataFrame, curve: pl.DataFrame, fills: pl.DataFrame
) -> dict[str, pl.DataFrame]:
    """Give a run's rows by table, the run's own row last: where it is, the others are.

    Args:
        run: the run's record.
        performance: its numbers.
        trades: TRADE_SCHEMA.
        curve: EQUITY_SCHEMA.
        fills: FILL_SCHEMA, in order of time.
    """
    frames = {
        "backtest_fills": _numbered(fills),
        "backtest_trades": _numbered(trades),
        "backtest_equity": curve,
        "backtests": _run_row(run, performance),
    }
    return {
        table: frames[table].with_columns(run_id=pl.lit(run.run_id)).select(*schema)
        for table, schema in BACKTEST.items()
    }


def keep_backtest(
    warehouse: Warehouse, rows: dict[str, pl.DataFrame], *, sleep: Callable[[float], None] = time.sleep
) -> str | None:
    """Write a run's rows; give None, or in one line why they wait in the spool.

    Args:
        warehouse: with a spool of its own, and no ledger.
        rows: as `backtest_rows` gives them.
        sleep: waits between tries, seconds.

    Raises:
        BadBatch: a frame is not of its table.
        OSError: the disk is full or the spool cannot be written: the rows are kept nowhere.
    """
    warehouse.backtest(rows)
    wait_s = FIRST_WAIT_S
    for attempt in range(FLUSH_ATTEMPTS):
        warehouse.flush()
        if warehouse.trouble is None:
            return None
        if attempt + 1 < FLUSH_ATTEMPTS:
            sleep(wait_s)
            wait_s *= 2
    return (
        f"{warehouse.trouble}; the run's rows wait ({warehouse.waiting()} files) and come with the next run"
    )


def _numbered(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_row_index("seq", offset=1)


def _run_row(run: Run, performance: Performance) -> pl.DataFrame:
    """Give the one row of `backtests`."""
    account, trades, costs = performance.account, performance.trades, performance.costs
    record = run.model_dump(exclude={"first", "last", "params", "costs", "engine", "symbols"})
    row = record | {
        "engine": run.engine.value,
        "params": json.dumps({name: json.loads(value) for name, value in run.params}),
        "symbols": list(run.symbols),
        "first_date": run.first,
        "last_date": run.last,
        "costs": run.costs.model_dump_json(),
        "total_return_frac": account.total_return_frac,
        "annual_return_frac": account.annual_return_frac,
        "volatility_frac": account.volatility_frac,
        "sharpe": account.sharpe,
        "sortino": account.sortino,
        "calmar": account.calmar,
        "max_drawdown_frac": account.max_drawdown_frac,
        "exposed_frac": account.exposed_frac,
        "trades": trades.trades,
        "win_rate_frac": trades.win_rate_frac,
        "profit_factor": trades.profit_factor,
        "traded_usd": costs.traded_usd,
        "slippage_usd": costs.slippage_usd,
        "spread_usd": costs.spread_usd,
        "fees_usd": costs.fees_usd,
        "borrow_usd": costs.borrow_usd,
    }
    return pl.DataFrame([row], schema=BACKTEST["backtests"], orient="row")

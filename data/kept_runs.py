"""Kept backtests out of the warehouse: which there are, and one with all that came of it."""

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from data.columns import BACKTESTS
from data.duckfile import reading, to_frame
from desk.errors import NoBars
from desk.research.comparison import METRICS, KeptRun
from schemas.research import EQUITY_SCHEMA, FILL_SCHEMA, TRADE_SCHEMA, Costs, Engine, Run

_THERE = "SELECT count(*) FROM information_schema.tables WHERE table_name = 'backtests'"
_RUNS = "SELECT run_id, strategy, started_at FROM backtests ORDER BY started_at DESC, run_id"
_RUN = "SELECT * FROM backtests WHERE run_id = $run_id"
_FILLS = "SELECT * FROM backtest_fills WHERE run_id = $run_id ORDER BY seq"
_TRADES = "SELECT * FROM backtest_trades WHERE run_id = $run_id ORDER BY seq"
_CURVE = "SELECT * FROM backtest_equity WHERE run_id = $run_id ORDER BY ts"


@dataclass(frozen=True, slots=True)
class RunName:
    """A kept run, to choose by."""

    run_id: str
    strategy: str
    started_at: datetime


def read_run_names(path: Path) -> tuple[RunName, ...]:
    """Give every kept run, the newest first.

    Raises:
        WarehouseBusy: somebody held the file during every attempt.
        WarehouseUnavailable: the file is missing or corrupt.
    """
    with reading(path) as connection:
        if not _has_runs(connection):
            return ()
        return tuple(RunName(*row) for row in connection.execute(_RUNS).fetchall())


def read_run(path: Path, run_id: str) -> KeptRun:
    """Give a kept run.

    Raises:
        NoBars: there is no run of that id.
        WarehouseBusy: somebody held the file during every attempt.
        WarehouseUnavailable: the file is missing or corrupt.
    """
    with reading(path) as connection:
        named = {"run_id": run_id}
        rows = to_frame(connection.sql(_RUN, params=named)).rows(named=True)
        if not rows:
            raise NoBars(f"{path}: no backtest {run_id} in it")
        fills, trades, curve = (
            to_frame(connection.sql(statement, params=named)) for statement in (_FILLS, _TRADES, _CURVE)
        )
    return KeptRun(
        run=_run(rows[0]),
        numbers=_numbers(rows[0]),
        fills=_of(fills, FILL_SCHEMA),
        trades=_of(trades, TRADE_SCHEMA),
        curve=_of(curve, EQUITY_SCHEMA),
    )


def _has_runs(connection: duckdb.DuckDBPyConnection) -> bool:
    found = connection.execute(_THERE).fetchone()
    return found is not None and found[0] > 0


def _run(row: dict[str, Any]) -> Run:
    """Give the record a row was made of."""
    renamed = {"first": row["first_date"], "last": row["last_date"], "symbols": tuple(row["symbols"])}
    params = json.loads(row["params"])
    shared = {name: row[name] for name in Run.model_fields if name in BACKTESTS}
    return Run(
        **shared
        | renamed
        | {
            "engine": Engine(row["engine"]),
            "params": tuple((name, json.dumps(params[name])) for name in sorted(params)),
            "costs": Costs.model_validate_json(row["costs"]),
        }
    )


def _numbers(row: dict[str, Any]) -> dict[str, float | None]:
    row = row | {"profit_usd": row["final_equity"] - row["cash"]}
    found = {metric.column: row[metric.column] for metric in METRICS}
    return {name: None if value is None else float(value) for name, value in found.items()}


def _of(frame: pl.DataFrame, schema: dict[str, pl.DataType]) -> pl.DataFrame:
    return frame.select(pl.col(name).cast(kind) for name, kind in schema.items())

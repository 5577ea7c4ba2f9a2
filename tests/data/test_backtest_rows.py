"""Backtests in the warehouse: all of a run, once, and nothing lost while somebody holds the file."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from data.backtest_rows import FLUSH_ATTEMPTS, backtest_rows, keep_backtest
from data.columns import BACKTEST
from data.duckfile import opened, query_readonly
from data.warehouse import Warehouse
from desk.errors import BadBatch
from desk.research.curve import equity_curve
from desk.research.performance import measure
from desk.research.trades import round_trips
from schemas.research import ALPACA_COSTS, Costs
from tests.data.makers import HandClock
from tests.desk.research import market


def make_warehouse(folder: Path) -> Warehouse:
    """Give a warehouse of backtests."""
    return Warehouse(folder / "w.duckdb", folder / "spool", account="paper", wall_clock=HandClock())


def make_rows(run_id: str = "one", *, every: int = 60, seconds: float = 1.5) -> dict[str, pl.DataFrame]:
    """Give the rows of a generated run."""
    bars = market.make_bars(symbols=2, last=date(2025, 11, 26))
    fills = market.make_fills(bars, every=every)
    play = market.Play(bars, fills)
    curve, trades = equity_curve(fills, bars, cash=market.CASH), round_trips(fills, bars)
    performance = measure(cash=market.CASH, curve=curve, trades=trades, fills=fills, bars=bars)
    run = market.make_run(play, costs=ALPACA_COSTS, final_equity=Decimal("100012.34")).model_copy(
        update={"run_id": run_id, "seconds": seconds}
    )
    return backtest_rows(run, performance=performance, trades=trades, curve=curve, fills=fills)


def stored(warehouse: Warehouse, table: str, run_id: str = "one") -> pl.DataFrame:
    """Give a run's rows in order."""
    order = "ts" if table == "backtest_equity" else "run_id" if table == "backtests" else "seq"
    return query_readonly(warehouse.path, f"FROM {table} WHERE run_id = '{run_id}' ORDER BY {order}")


def test_quantity_times_price_is_a_query_of_everyday(tmp_path: Path) -> None:
    """DuckDB keeps a product of two short decimals short, which overflows: the quantity is a longer one."""
    warehouse, rows = make_warehouse(tmp_path), make_rows()
    many = pl.lit(Decimal("250000.000000001")).cast(rows["backtest_fills"].schema["qty"]).alias("qty")
    rows["backtest_fills"] = rows["backtest_fills"].with_columns(many)
    assert keep_backtest(warehouse, rows) is None

    traded = query_readonly(warehouse.path, "SELECT sum(qty * price) FROM backtest_fills").item()

    assert traded == sum(
        qty * price for qty, price in rows["backtest_fills"].select("qty", "price").iter_rows()
    )


def test_every_table_has_the_run_exactly(tmp_path: Path) -> None:
    """What went in comes out, decimals and nulls included."""
    warehouse, rows = make_warehouse(tmp_path), make_rows()

    trouble = keep_backtest(warehouse, rows)

    assert trouble is None
    assert warehouse.waiting() == 0
    assert rows["backtest_trades"]["left_at"].null_count() > 0
    for table, schema in BACKTEST.items():
        assert rows[table].height > 0
        assert stored(warehouse, table).cast(dict(schema)).equals(rows[table])


def test_the_same_run_twice_is_one(tmp_path: Path) -> None:
    """In two flushes or within one, the later writing of a run takes the place of the earlier."""
    warehouse = make_warehouse(tmp_path)
    keep_backtest(warehouse, make_rows(seconds=1.0))
    keep_backtest(warehouse, make_rows("other"))
    warehouse.backtest(make_rows(seconds=2.0))
    rows = make_rows(seconds=3.0, every=90)

    keep_backtest(warehouse, rows)

    assert stored(warehouse, "backtests")["seconds"].to_list() == [3.0]
    for table in BACKTEST:
        assert stored(warehouse, table).height == rows[table].height
        assert stored(warehouse, table, "other").height == make_rows("other")[table].height


def test_a_run_without_a_trade_is_kept(tmp_path: Path) -> None:
    """Its ratios are null; its trades and fills have no row."""
    warehouse = make_warehouse(tmp_path)

    assert keep_backtest(warehouse, make_rows(every=10**9)) is None

    row = stored(warehouse, "backtests").row(0, named=True)
    assert (row["trades"], row["sharpe"], row["win_rate_frac"]) == (0, None, None)
    assert row["params"] == '{"fast": 20, "slow": 50}'
    assert Costs.model_validate_json(row["costs"]) == ALPACA_COSTS
    assert stored(warehouse, "backtest_fills").is_empty()


def test_rows_wait_while_somebody_holds_the_file(tmp_path: Path) -> None:
    """A reader in the way gives one clear line; the next run brings both."""
    warehouse = make_warehouse(tmp_path)
    keep_backtest(warehouse, make_rows("zero"))
    waits: list[float] = []

    with opened(warehouse.path, read_only=True):
        trouble = keep_backtest(warehouse, make_rows(), sleep=waits.append)

    assert trouble is not None
    assert "is held by" in trouble
    assert "4 files" in trouble
    assert "\n" not in trouble
    assert len(waits) == FLUSH_ATTEMPTS - 1
    assert stored(warehouse, "backtests").is_empty()
    assert keep_backtest(warehouse, make_rows("two")) is None
    assert [stored(warehouse, "backtests", name).height for name in ("zero", "one", "two")] == [1, 1, 1]


def test_a_frame_of_another_shape_is_refused(tmp_path: Path) -> None:
    """A lost column is an error, not a hole in the table."""
    rows = make_rows()

    with pytest.raises(BadBatch):
        make_warehouse(tmp_path).backtest({"backtest_fills": rows["backtest_fills"].drop("price")})

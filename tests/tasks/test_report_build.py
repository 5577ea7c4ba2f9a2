"""Building a report from a store: written once, whole or not at all, and clear when it cannot be."""

from datetime import timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest

from data.day_bars import read_day_bars
from data.warehouse import Warehouse
from desk.errors import WarehouseBusy
from schemas.bars import PRINT_SCHEMA, QUARANTINE_SCHEMA
from schemas.settings import AccountSettings
from tasks.page.build import build_report, report_path
from tests.tasks import sample_day as sample

ACCOUNT = AccountSettings()


def make_warehouse(store: Path, bars: pl.DataFrame) -> Path:
    """Make a warehouse with a day's bars, one revised print and one row kept out."""
    path = store / "warehouse.duckdb"
    warehouse = Warehouse(path, store / "spool", account="paper", wall_clock=lambda: sample.OPEN)
    prints = bars.with_columns(
        timeframe=pl.lit("1Min"),
        provider=pl.lit("replay"),
        feed=pl.lit("iex"),
        known_at=pl.col("ts") + timedelta(minutes=1),
        revision=pl.lit(0, pl.Int32),
    ).select(PRINT_SCHEMA.keys())
    earlier = prints.head(1).with_columns(close=pl.col("open"))
    later = prints.head(1).with_columns(
        known_at=pl.col("known_at") + timedelta(seconds=30), revision=pl.lit(1, pl.Int32)
    )
    warehouse.bars(pl.concat([earlier, prints.tail(-1)]))
    warehouse.bars(later)
    refused = {name: "x" for name, kind in QUARANTINE_SCHEMA.items() if kind == pl.String()}
    row = {**refused, "symbol": None, "reason": "unreadable_ts", "ts": None, "known_at": sample.OPEN}
    warehouse.quarantine(pl.DataFrame([row], schema=QUARANTINE_SCHEMA))
    warehouse.flush()
    return path


def test_a_report_built_again_is_the_same_file(tmp_path: Path) -> None:
    """The second build finds the same bytes and does not touch the page."""
    make_warehouse(tmp_path, sample.bars())

    first = build_report(sample.busy_day(), store=tmp_path, session_date=sample.DAY, account=ACCOUNT)
    stamp = first.path.stat().st_mtime_ns
    second = build_report(sample.busy_day(), store=tmp_path, session_date=sample.DAY, account=ACCOUNT)

    assert (first.changed, second.changed) == (True, False)
    assert second.path.stat().st_mtime_ns == stamp
    assert second.report == first.report
    assert first.path == tmp_path / "reports" / "2024-08-27.html"
    assert [path.name for path in first.path.parent.iterdir()] == ["2024-08-27.html"]


def test_the_report_counts_what_the_warehouse_has(tmp_path: Path) -> None:
    """Bars, gaps, revisions and quarantined rows of the day are in the record."""
    make_warehouse(tmp_path, sample.bars())

    data = build_report(
        sample.busy_day(), store=tmp_path, session_date=sample.DAY, account=ACCOUNT
    ).report.data

    assert (data.bars, data.symbols, data.missing) == (sample.bars().height, 5, 7)
    assert data.revisions == 1
    assert [(line.name, line.count) for line in data.quarantined] == [("unreadable_ts", 1)]


def test_a_store_without_a_warehouse_has_a_report_without_bars(tmp_path: Path) -> None:
    """A desk whose first day never got a bar still gets its page."""
    built = build_report(sample.busy_day(), store=tmp_path, session_date=sample.DAY, account=ACCOUNT)

    assert built.report.data.bars == 0
    assert built.report.headline.fills > 0
    assert built.path.exists()


def test_a_held_warehouse_is_a_clear_error_after_bounded_tries(tmp_path: Path) -> None:
    """It names the file, writes nothing, and waits a known time between tries."""
    path = make_warehouse(tmp_path, sample.bars())
    waits: list[float] = []

    with duckdb.connect(str(path)), pytest.raises(WarehouseBusy, match=r"warehouse\.duckdb"):
        read_day_bars(path, sample.DAY, sleep=waits.append)

    assert len(waits) == 7
    assert sum(waits) < 10
    assert not report_path(tmp_path, sample.DAY).exists()


def test_a_warehouse_that_is_given_back_in_time_is_read(tmp_path: Path) -> None:
    """The writer that closes the file meanwhile costs nothing but the wait; the latest prints are read."""
    path = make_warehouse(tmp_path, sample.bars())
    writer = duckdb.connect(str(path))

    day = read_day_bars(path, sample.DAY, sleep=lambda _: writer.close())

    assert day.bars.sort("symbol", "ts").equals(sample.bars().select(day.bars.columns).sort("symbol", "ts"))

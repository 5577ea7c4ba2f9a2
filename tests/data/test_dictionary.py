"""docs/data.md says what the databases have: same tables, columns, types and null rules; its queries run."""

import re
from pathlib import Path

import duckdb
import polars as pl
import pytest

from data import columns
from data.database import METADATA
from data.duckfile import query_readonly
from data.warehouse import Warehouse
from tests.data.makers import HandClock

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
FRAMES = {
    "bar_prints": columns.SPOOLED["bars"],
    "quarantine": columns.SPOOLED["quarantine"],
    "signals": columns.SPOOLED["signals"],
    "decisions": columns.DECISIONS,
    "orders": columns.ORDERS,
    "fills": columns.FILLS,
    "adjustments": columns.ADJUSTMENTS,
    "positions": columns.POSITIONS,
    "equity": columns.EQUITY,
    "sessions": columns.SESSIONS,
    "breaks": columns.BREAKS,
    **columns.BACKTEST,
    **columns.SWEEP,
}

Described = list[tuple[str, str, bool]]  # column, type, may be null


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dictionary")
    made = Warehouse(folder / "w.duckdb", folder / "spool", account="paper", wall_clock=HandClock())
    made.flush()
    return made.path


def _described(part: str) -> dict[str, Described]:
    """Read the tables of a part of the page."""
    text = PAGE.split(f"\n## {part}\n")[1].split("\n## ")[0]
    found: dict[str, Described] = {}
    for section in text.split("\n### ")[1:]:
        name = re.match(r"`(\w+)`\n", section)
        if name is not None:
            rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| (null|never) \| \S.* \|$", section, re.MULTILINE)
            found[name[1]] = [(column, dtype, null == "null") for column, dtype, null in rows]
    return found


def test_the_warehouse_is_as_described(warehouse: Path) -> None:
    """Every table and column of the DDL is in the dictionary with its type and null rule, in order."""
    actual: dict[str, Described] = {}
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        for table, *column in connection.execute(
            "SELECT table_name, column_name, data_type, is_nullable FROM duckdb_columns() "
            "WHERE NOT internal AND table_name <> 'bars' ORDER BY table_name, column_index"
        ).fetchall():
            actual.setdefault(table, []).append((column[0], column[1], column[2]))

    assert _described("Warehouse") == actual


def test_the_ledger_is_as_described() -> None:
    """Every table and column of the ledger is in the dictionary with its type and null rule, in order."""
    actual = {
        name: [(column.name, str(column.type), bool(column.nullable)) for column in table.columns]
        for name, table in METADATA.tables.items()
    }

    assert _described("Ledger") == actual


@pytest.mark.parametrize("table", FRAMES)
def test_frames_have_the_columns_and_types_of_their_tables(warehouse: Path, table: str) -> None:
    """A frame made for a table has exactly its columns, in its order, with its types."""
    actual = dict(query_readonly(warehouse, f"FROM {table}").schema)

    assert actual == dict(pl.Schema(FRAMES[table]))


@pytest.mark.parametrize("view", ["bars", "bars_as_of('2025-11-26 10:31:05-05')"])
def test_views_have_the_columns_of_prints(warehouse: Path, view: str) -> None:
    """`bars` and `bars_as_of` promise the columns of `bar_prints`."""
    assert query_readonly(warehouse, f"FROM {view}").columns == list(columns.SPOOLED["bars"])


@pytest.mark.parametrize("query", PAGE.split("```sql\n")[1].split("```")[0].split(";\n")[:-1])
def test_the_examples_run(warehouse: Path, query: str) -> None:
    """Every example query of the dictionary is one the warehouse can answer."""
    assert query_readonly(warehouse, query).width > 0

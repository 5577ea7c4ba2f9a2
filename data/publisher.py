"""The ledger's news into the warehouse, by seq, in one transaction a batch.

Theory of operation. A batch of events is folded into rows (data/projection.py), starting from the
rows the warehouse has, and written together with the seq it reached: either all of it is there or
none. Publishing the same events again finds every row as it is and changes nothing; publishing
from 0 into a damaged or empty warehouse makes it whole, because the ledger has everything.
"""

import decimal
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from data import columns
from data.columns import Schema
from data.duckfile import to_frame, transaction
from data.holdings import positions_since
from data.projection import fold, order_ids
from data.rows import Row, Rows
from schemas import events as ev

BATCH = 5_000  # events a transaction; about ten sessions of a small desk, a few hundred milliseconds

_WIDE = decimal.Context(prec=60)  # rounding to a column's scale must not fail on many digits


def published_seq(connection: duckdb.DuckDBPyConnection, account: str) -> int:
    """Give the last seq the warehouse has taken in, 0 if none."""
    found = connection.execute("SELECT max(last_seq) FROM published WHERE account = ?", [account]).fetchone()
    return 0 if found is None or found[0] is None else int(found[0])


def publish_events(
    connection: duckdb.DuckDBPyConnection,
    events: Iterable[tuple[int, ev.AnyEvent]],
    *,
    account: str,
    scratch: Path,
) -> int:
    """Take events into the tables, idempotently, and give the last seq taken in; 0 if there were none.

    Args:
        connection: an open warehouse with its tables.
        events: (seq, event) in order.
        account: whose events they are.
        scratch: a folder for the rows' files on their way in.

    Raises:
        duckdb.Error: a batch could not be written; those before it are.
        OSError: `scratch` cannot be written.
    """
    last_seq = 0
    source = iter(events)
    while batch := list(islice(source, BATCH)):
        with transaction(connection):
            _publish_batch(connection, batch, account=account, scratch=scratch)
        last_seq = batch[-1][0]
    return last_seq


def _publish_batch(
    connection: duckdb.DuckDBPyConnection,
    batch: Sequence[tuple[int, ev.AnyEvent]],
    *,
    account: str,
    scratch: Path,
) -> None:
    writer = _Writer(connection, account, scratch)
    rows = _known_rows(connection, batch, account)
    known_sessions = {day: row["first_seq"] for day, row in rows.sessions.items()}
    fold(rows, batch)
    writer.add("decisions", columns.DECISIONS, rows.decisions, key="seq")
    writer.add("adjustments", columns.ADJUSTMENTS, rows.adjustments, key="seq")
    writer.add("fills", columns.FILLS, rows.fills, key="seq")
    for table, schema, changed, key in (
        ("orders", columns.ORDERS, rows.orders, ("client_order_id",)),
        ("sessions", columns.SESSIONS, rows.sessions, ("session_date",)),
        ("breaks", columns.BREAKS, rows.breaks, ("break_id",)),
        ("equity", columns.EQUITY, rows.equity, ("session_date", "bar_ts")),
    ):
        writer.replace(table, schema, list(changed.values()), key=key, version="last_seq")
    dates: list[date] = [row["session_date"] for row in rows.fills]
    dates += [row["session_date"] for row in rows.adjustments if row["kind"] == "position"]
    dates += [day for day in rows.sessions if day not in known_sessions]
    if dates:
        since = min(dates)
        connection.execute("DELETE FROM positions WHERE account = ? AND session_date >= ?", [account, since])
        writer.insert(
            "positions", columns.POSITIONS, positions_since(connection, account=account, since=since)
        )
    _remember(connection, account, batch[-1][0])


def _known_rows(
    connection: duckdb.DuckDBPyConnection, batch: Sequence[tuple[int, ev.AnyEvent]], account: str
) -> Rows:
    """Give what the warehouse has of everything the batch speaks of."""
    events = [event for _, event in batch]
    rows = Rows(account=account)
    ids = list(order_ids(events))
    rows.orders = {
        row["client_order_id"]: row for row in _select(connection, "orders", account, "client_order_id", ids)
    }
    for row in _select(connection, "fills", account, "client_order_id", ids):
        rows.know_fill(row)
    days = list(
        {e.session_date for e in events if isinstance(e, ev.SessionStarted | ev.SessionEnded | ev.DayClosed)}
    )
    rows.sessions = {
        row["session_date"]: row for row in _select(connection, "sessions", account, "session_date", days)
    }
    breaks = [e.break_id for e in events if isinstance(e, ev.BreakResolved)]
    breaks += [e.found.break_id for e in events if isinstance(e, ev.BreakFound)]
    rows.breaks = {row["break_id"]: row for row in _select(connection, "breaks", account, "break_id", breaks)}
    before = connection.execute(
        "SELECT session_date FROM sessions WHERE account = ? AND first_seq < ? "
        "ORDER BY first_seq DESC LIMIT 1",
        [account, batch[0][0]],
    ).fetchone()
    rows.session_date = None if before is None else before[0]
    return rows


def _select(
    connection: duckdb.DuckDBPyConnection, table: str, account: str, key: str, values: Sequence[Any]
) -> list[Row]:
    if not values:
        return []
    query = f"SELECT * FROM {table} WHERE account = $account AND {key} IN (SELECT unnest($values))"
    relation = connection.sql(query, params={"account": account, "values": list(values)})
    return to_frame(relation).to_dicts()


def _remember(connection: duckdb.DuckDBPyConnection, account: str, seq: int) -> None:
    reached = max(seq, published_seq(connection, account))
    connection.execute("DELETE FROM published WHERE account = ?", [account])
    connection.execute("INSERT INTO published VALUES (?, ?)", [account, reached])


class _Writer:
    """Rows into tables, by way of one small Parquet file each."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, account: str, scratch: Path) -> None:
        self._connection = connection
        self._account = account
        self._file = scratch / ".publish.parquet"

    def insert(self, table: str, schema: Schema, rows: list[Row], condition: str = "") -> None:
        """Insert the rows for which `condition` (over `n`, the new row) holds."""
        if not rows:
            return
        with self._staged(rows, schema) as file:
            self._connection.execute(
                f"INSERT INTO {table} BY NAME SELECT n.* FROM read_parquet(?) n {condition}", [file]
            )

    def add(self, table: str, schema: Schema, rows: list[Row], *, key: str) -> None:
        """Insert the rows whose (account, key) is not there yet."""
        self.insert(
            table,
            schema,
            rows,
            f"WHERE NOT EXISTS (SELECT 1 FROM {table} t WHERE t.account = n.account AND t.{key} = n.{key})",
        )

    def replace(
        self, table: str, schema: Schema, rows: list[Row], *, key: tuple[str, ...], version: str
    ) -> None:
        """Put rows in place of those with the same (account, *key), unless theirs has a higher version."""
        if not rows:
            return
        same = " AND ".join(f"t.{name} = n.{name}" for name in ("account", *key))
        with self._staged(rows, schema) as file:
            self._connection.execute(
                f"DELETE FROM {table} t WHERE EXISTS "
                f"(SELECT 1 FROM read_parquet(?) n WHERE {same} AND n.{version} >= t.{version})",
                [file],
            )
            self._connection.execute(
                f"INSERT INTO {table} BY NAME SELECT n.* FROM read_parquet(?) n "
                f"WHERE NOT EXISTS (SELECT 1 FROM {table} t WHERE {same})",
                [file],
            )

    @contextmanager
    def _staged(self, rows: list[Row], schema: Schema) -> Iterator[str]:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        _frame(rows, schema).write_parquet(self._file)
        try:
            yield str(self._file)
        finally:
            self._file.unlink()


def _frame(rows: list[Row], schema: Schema) -> pl.DataFrame:
    """Make a frame, every Decimal rounded to its column's scale."""
    scales = {name: dtype.scale for name, dtype in schema.items() if isinstance(dtype, pl.Decimal)}
    exact = [{**row, **{name: _scaled(row[name], scale) for name, scale in scales.items()}} for row in rows]
    return pl.DataFrame(exact, schema=schema, orient="row")


def _scaled(value: Decimal | None, scale: int) -> Decimal | None:
    if value is None or not value.is_finite():
        return None
    return value.quantize(Decimal(1).scaleb(-scale), context=_WIDE)

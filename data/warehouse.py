"""The warehouse: bars, signals and a projection of the ledger in one DuckDB file.

Theory of operation. Bars, quarantined rows and signals go to the spool on disk first, which takes a
few milliseconds; `flush` then opens the DuckDB file for a moment, takes the spool in, follows the
ledger by seq, and closes it. While another process holds the file, or it is corrupt, or the disk is
full, rows wait, a warning says why and who, and nothing raises into the session (I11). Everything
is idempotent: a spool file is deleted only after its rows are in the file itself (checkpointed, not
only in DuckDB's log), and loading one twice adds nothing. Rows that cannot even be spooled are
counted as lost; facts about orders cannot be, the ledger has them.
"""

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from importlib.resources import files as resources
from pathlib import Path

import duckdb
import polars as pl

from data.columns import BACKTEST, SPOOLED, SWEEP
from data.duckfile import one_line, opened, transaction
from data.publisher import publish_events, published_seq
from data.spool import Spool, kind_of
from desk.errors import BadBatch, LedgerError, WarehouseError, WarehouseUnavailable
from desk.ports import Ledger

_log = logging.getLogger(__name__)

FILES_PER_LOAD = 500  # of the spool at once; more would only make one transaction longer
LOADS_PER_FLUSH = 20  # 10,000 files, more than a session of all kinds; the next flush goes on

_SQL = resources("data") / "sql"


class Warehouse:
    """One DuckDB file and the spool before it; a `desk.ports.Recorder`."""

    def __init__(
        self,
        path: Path,
        spool_dir: Path,
        *,
        account: str,
        wall_clock: Callable[[], datetime],
        ledger: Ledger | None = None,
        pid: int | None = None,
    ) -> None:
        """Open nothing yet.

        Args:
            path: the DuckDB file; made by the first flush.
            spool_dir: where rows wait; on the same disk as the warehouse.
            account: whose signals and ledger.
            wall_clock: orders spool files and stamps signals.
            ledger: followed by `flush`; None for a warehouse of bars alone.
            pid: this process, in the names of spool files.
        """
        self.path = path
        self.rows_lost = 0  # could not be spooled; see the log for when
        self.trouble: str | None = None  # why the last flush did not get through; None: it did
        self._spool = Spool(spool_dir, wall_clock=wall_clock, pid=os.getpid() if pid is None else pid)
        self._account = account
        self._wall_clock = wall_clock
        self._ledger = ledger
        self._prepared = False

    # ---- the recorder: nothing here raises --------------------------------------------------

    def bars(self, frame: pl.DataFrame) -> None:
        """Keep prints, columns of `schemas.bars.PRINT_SCHEMA`."""
        self._keep("bars", frame)

    def quarantine(self, frame: pl.DataFrame) -> None:
        """Keep rejected and quarantined rows, columns of `schemas.bars.QUARANTINE_SCHEMA`."""
        self._keep("quarantine", frame)

    def signals(self, frame: pl.DataFrame) -> None:
        """Keep signals, columns of `schemas.signals.SIGNAL_SCHEMA`."""
        stamped = frame.with_columns(
            pl.lit(self._account).alias("account"),
            pl.lit(self._wall_clock()).cast(pl.Datetime("us", "UTC")).alias("recorded_at"),
        )
        self._keep("signals", stamped)

    def flush(self) -> None:
        """Bring the spool and the ledger's news into the file if it is free; otherwise they wait."""
        try:
            self.load(self._ledger)
        except (WarehouseError, LedgerError) as error:
            self._warn(str(error))
        except Exception as error:  # noqa: BLE001  a defect of a projection costs rows here, never an exit (I11)
            _log.exception("warehouse flush failed")
            self._warn(f"{type(error).__name__}: {error}")
        else:
            if self.trouble is not None:
                _log.info("warehouse caught up", extra={"path": str(self.path)})
            self.trouble = None

    def waiting(self) -> int:
        """Count the spool files that wait; 0 if the folder cannot be read."""
        try:
            return len(self._spool.waiting())
        except OSError:
            return 0

    # ---- what a backtest calls; it wants to know ---------------------------------------------

    def backtest(self, rows: Mapping[str, pl.DataFrame]) -> None:
        """Keep a run's rows, by table as `data.backtest_rows` makes them, until the next flush.

        Raises:
            BadBatch: a frame is not of its table; nothing more was kept.
            OSError: the disk is full or the folder cannot be written; nothing more was kept.
        """
        for table, frame in rows.items():
            self._spool.write(table, frame)

    # ---- what end-of-day calls; it wants to know --------------------------------------------

    def load(self, ledger: Ledger | None) -> None:
        """Take in the spool, then the ledger's news.

        Raises:
            WarehouseBusy: another process holds the file.
            WarehouseUnavailable: the file is corrupt or the disk is full.
            LedgerUnavailable: the ledger cannot be read; the spool is taken in.
        """
        with self._open() as connection:
            self._load_spool(connection)
            if ledger is not None:
                after_seq = published_seq(connection, self._account)
                self._publish(connection, ledger, after_seq)

    def publish(self, ledger: Ledger, after_seq: int | None = None) -> int:
        """Take in the ledger's events after a seq; twice or from 0 changes nothing that is right.

        Args:
            ledger: the events of this warehouse's account.
            after_seq: None goes on where the last one ended.

        Returns:
            The last seq the warehouse has.

        Raises:
            WarehouseBusy: another process holds the file.
            WarehouseUnavailable: the file is corrupt or the disk is full.
            LedgerUnavailable: the ledger cannot be read.
        """
        with self._open() as connection:
            start = published_seq(connection, self._account) if after_seq is None else after_seq
            self._publish(connection, ledger, start)
            return published_seq(connection, self._account)

    # ---- inside -----------------------------------------------------------------------------

    def _keep(self, kind: str, frame: pl.DataFrame) -> None:
        if frame.is_empty():
            return
        try:
            self._spool.write(kind, frame)
        except (OSError, BadBatch) as error:
            self.rows_lost += frame.height
            _log.warning(
                "rows lost: the spool cannot keep them",
                extra={"kind": kind, "rows": frame.height, "lost": self.rows_lost, "cause": str(error)},
            )

    def _warn(self, trouble: str) -> None:
        """Warn once per trouble, not once a minute."""
        if trouble != self.trouble:
            _log.warning("warehouse waits", extra={"cause": trouble, "files": self.waiting()})
        self.trouble = trouble

    @contextmanager
    def _open(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the file with its tables, and name its troubles."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with opened(self.path) as connection:
                self._prepare(connection)
                yield connection
        except (duckdb.Error, OSError, pl.exceptions.PolarsError) as error:
            raise WarehouseUnavailable(f"warehouse {self.path}: {one_line(error)}") from error

    def _prepare(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Make tables and views; once per process, and again if the file was removed."""
        found = connection.execute(
            "SELECT count(*) FROM duckdb_tables() WHERE table_name = 'published'"
        ).fetchone()
        if self._prepared and found == (1,):
            return
        connection.execute(_sql("tables"))
        connection.execute(_sql("views"))
        self._prepared = True

    def _load_spool(self, connection: duckdb.DuckDBPyConnection) -> None:
        for _ in range(LOADS_PER_FLUSH):
            waiting = self._spool.waiting(FILES_PER_LOAD)
            if not waiting:
                return
            try:
                _load(connection, waiting)
            except (duckdb.Error, BadBatch):
                bad = self._spool.set_aside(waiting)
                if not bad:
                    raise
                _log.warning(
                    "spool files set aside: unreadable", extra={"files": [str(file) for file in bad]}
                )
                continue
            # Only now are the rows in the file itself: a DuckDB log that a crash leaves unreadable
            # would take them with it.
            connection.execute("CHECKPOINT")
            for file in waiting:
                file.unlink(missing_ok=True)

    def _publish(self, connection: duckdb.DuckDBPyConnection, ledger: Ledger, after_seq: int) -> None:
        publish_events(connection, ledger.read(after_seq), account=self._account, scratch=self._spool.folder)


def _load(connection: duckdb.DuckDBPyConnection, waiting: list[Path]) -> None:
    """Take spool files into their tables, all or nothing."""
    by_kind: dict[str, list[str]] = {}
    for file in waiting:
        by_kind.setdefault(kind_of(file), []).append(str(file))
    if unknown := sorted(by_kind.keys() - SPOOLED.keys()):
        raise BadBatch(f"the spool has files of an unknown kind: {', '.join(unknown)}")
    with transaction(connection):
        for kind, names in by_kind.items():
            stage, *changes = _load_statements(kind)
            connection.execute(stage, {"files": names})
            for change in changes:
                connection.execute(change)


def _load_statements(kind: str) -> list[str]:
    """Give what takes files of a kind in: the first statement reads them, the others change tables."""
    whole = kind in BACKTEST or kind in SWEEP  # all rows of a run at once
    key = "sweep_id" if kind in SWEEP else "run_id"
    words = _sql("load_backtest" if whole else f"load_{kind}").replace("{table}", kind).replace("{key}", key)
    return [part for part in words.split(";\n") if part.strip()]


def _sql(name: str) -> str:
    return (_SQL / f"{name}.sql").read_text(encoding="utf-8")

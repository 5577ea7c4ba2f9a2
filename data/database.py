"""The ledger's database: its tables, its triggers, its version, and its troubles in one clear line.

Theory of operation. SQLite runs in WAL mode with synchronous=FULL, so a commit that returned is on
disk, and readers never wait for the writer. Every write is a `BEGIN IMMEDIATE` transaction: it has
the write lock before it looks at the lease, so what it looked at cannot change under it. On
Postgres the lease row is locked instead. The database itself refuses UPDATE, DELETE and the
REPLACE that is both, on events (I13); a database whose triggers we cannot write is refused.

Left out: migrations. There is one version; another one is refused, never guessed at.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry, StaticPool

from desk.errors import LedgerUnavailable

SCHEMA_VERSION = 1
BUSY_TIMEOUT_MS = 2_000  # a writer holds the lock for about a millisecond; two seconds means it is stuck
WAL_ATTEMPTS = 40  # SQLite answers "locked" at once, without waiting, while another process switches to WAL
WAL_PAUSE_S = 0.05
WRITE = "desk_write"  # the execution option that makes a transaction take the write lock first

METADATA = sa.MetaData()

EVENTS_TABLE = sa.Table(
    "events",
    METADATA,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("account", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("at", sa.Text, nullable=False),  # the event's instant by the desk's Clock, ISO 8601, UTC
    sa.Column("token", sa.Integer, nullable=False),  # the writer's fencing token; 0 is an operator
    sa.Column("body", sa.Text, nullable=False),  # the event as JSON, Decimals as strings
    sa.Column("recorded_at", sa.Text, nullable=False),  # wall clock, ISO 8601, UTC
    sa.Index("events_account_seq", "account", "seq"),
    sqlite_autoincrement=True,  # a seq is never given twice
)

LEASES_TABLE = sa.Table(
    "leases",
    METADATA,
    sa.Column("account", sa.Text, primary_key=True),
    sa.Column("token", sa.Integer, nullable=False),  # grows with every acquire, never falls
    sa.Column("holder", sa.Text),  # null: released, or never held
    sa.Column("host", sa.Text),
    sa.Column("pid", sa.Integer),
    sa.Column("process_start", sa.Text),  # tells a process from a later one with its pid; null: not known
    sa.Column("expires_at", sa.Text),
)

CLAIMS_TABLE = sa.Table(
    "claims",
    METADATA,
    sa.Column("account", sa.Text, primary_key=True),
    sa.Column("phase", sa.Text, primary_key=True),
    sa.Column("session_date", sa.Text, primary_key=True),
    sa.Column("state", sa.Text, nullable=False),  # running, done, open
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("process_start", sa.Text),
    sa.Column("claimed_at", sa.Text, nullable=False),
    sa.Column("expires_at", sa.Text, nullable=False),
    sa.Column("completed_at", sa.Text),
)

VERSION_TABLE = sa.Table("schema_version", METADATA, sa.Column("version", sa.Integer, nullable=False))

_TRIGGERS: dict[str, tuple[str, ...]] = {
    "sqlite": (
        "CREATE TRIGGER IF NOT EXISTS events_no_update BEFORE UPDATE ON events "
        "BEGIN SELECT RAISE(ABORT, 'ledger events are never updated'); END",
        "CREATE TRIGGER IF NOT EXISTS events_no_delete BEFORE DELETE ON events "
        "BEGIN SELECT RAISE(ABORT, 'ledger events are never deleted'); END",
        # INSERT OR REPLACE deletes without firing the trigger above.
        "CREATE TRIGGER IF NOT EXISTS events_no_replace BEFORE INSERT ON events "
        "WHEN EXISTS (SELECT 1 FROM events WHERE seq = NEW.seq) "
        "BEGIN SELECT RAISE(ABORT, 'ledger events are never replaced'); END",
    ),
    "postgresql": (
        "CREATE OR REPLACE FUNCTION events_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'ledger events are never updated or deleted'; END $$",
        "CREATE OR REPLACE TRIGGER events_no_change BEFORE UPDATE OR DELETE ON events "
        "FOR EACH ROW EXECUTE FUNCTION events_refuse()",
        "CREATE OR REPLACE TRIGGER events_no_truncate BEFORE TRUNCATE ON events "
        "FOR EACH STATEMENT EXECUTE FUNCTION events_refuse()",
    ),
}

_CAUSES = {
    "SQLITE_FULL": "the disk is full",
    "SQLITE_BUSY": "another process keeps it locked",
    "SQLITE_LOCKED": "another process keeps it locked",
    "SQLITE_CORRUPT": "the file is corrupt",
    "SQLITE_NOTADB": "the file is corrupt or not a ledger",
    "SQLITE_READONLY": "it is read-only",
    "SQLITE_CANTOPEN": "the file cannot be opened",
    "SQLITE_IOERR": "the disk failed",
}


class Database:
    """An engine on a ledger's database, and the words for its troubles."""

    def __init__(self, url: str, *, busy_timeout_ms: int = BUSY_TIMEOUT_MS) -> None:
        """Make the engine; nothing is opened yet.

        Raises:
            LedgerUnavailable: the URL is not one of SQLite or Postgres.
        """
        try:
            parsed = make_url(url)
        except ArgumentError as error:
            raise LedgerUnavailable(f"ledger {url!r}: not an SQLAlchemy URL") from error
        self.name = _name(parsed)
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        if parsed.get_backend_name() not in _TRIGGERS:
            raise LedgerUnavailable(
                f"ledger {self.name}: only sqlite and postgresql can refuse changes to events"
            )
        try:
            self.engine = (
                _sqlite_engine(parsed, busy_timeout_ms) if self.is_sqlite else sa.create_engine(parsed)
            )
        except (NoSuchModuleError, ModuleNotFoundError) as error:
            raise LedgerUnavailable(f"ledger {self.name}: the driver is not installed ({error})") from error

    @property
    def path(self) -> str | None:
        """Give the SQLite file's path; None in memory and elsewhere."""
        database = self.engine.url.database
        return database if self.is_sqlite and database not in (None, "", ":memory:") else None

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a transaction that only reads.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        with self._clear_errors(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a transaction that has the write lock from its first moment; it is all or nothing.

        Raises:
            LedgerUnavailable: nothing was written.
        """
        with self._clear_errors(), self.engine.connect() as plain:
            connection = plain.execution_options(**{WRITE: True})
            with connection.begin():
                yield connection

    def prepare(self, *, create: bool) -> None:
        """Check the schema's version, making the schema in an empty database if `create`.

        Raises:
            LedgerUnavailable: another version, no ledger there, or no answer.
        """
        with self.read() as connection:
            version = self._version(connection)
        if version is None:
            if not create:
                raise LedgerUnavailable(f"ledger {self.name}: there is no ledger in it yet")
            with self.write() as connection:
                version = self._version(connection)  # another process may have been faster
                if version is None:
                    version = self._create(connection)
        if version != SCHEMA_VERSION:
            raise LedgerUnavailable(
                f"ledger {self.name}: schema version {version}, this desk knows only version {SCHEMA_VERSION}"
            )

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    def _version(self, connection: Connection) -> int | None:
        """Give the schema's version; None in a database without tables of ours."""
        tables = set(sa.inspect(connection).get_table_names())
        if VERSION_TABLE.name in tables:
            version: int | None = connection.execute(sa.select(sa.func.max(VERSION_TABLE.c.version))).scalar()
            if version is not None:
                return version
        if tables & set(METADATA.tables):
            raise LedgerUnavailable(f"ledger {self.name}: it has tables of a ledger and no schema version")
        return None

    def _create(self, connection: Connection) -> int:
        METADATA.create_all(connection)
        for statement in _TRIGGERS[connection.dialect.name]:
            connection.exec_driver_sql(statement)
        connection.execute(sa.insert(VERSION_TABLE).values(version=SCHEMA_VERSION))
        return SCHEMA_VERSION

    @contextmanager
    def _clear_errors(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            raise LedgerUnavailable(f"ledger {self.name}: {_cause(error)}") from error


def _name(url: URL) -> str:
    """Give the SQLite path, or the URL without its password."""
    if url.get_backend_name() == "sqlite":
        return url.database or "in memory"
    return url.render_as_string(hide_password=True)


def _cause(error: SQLAlchemyError) -> str:
    """Give the cause in one line."""
    if not isinstance(error, DBAPIError):
        return " ".join(str(error).split())
    words = " ".join(str(error.orig).split())
    code = getattr(error.orig, "sqlite_errorname", "")
    for name, cause in _CAUSES.items():
        if code == name or code.startswith(f"{name}_"):
            return f"{cause} ({words})"
    return words


def _sqlite_engine(url: URL, busy_timeout_ms: int) -> Engine:
    in_memory = url.database in (None, "", ":memory:")
    # One connection is the whole of a database in memory, so every thread must share it.
    engine = (
        sa.create_engine(url, poolclass=StaticPool, connect_args={"check_same_thread": False})
        if in_memory
        else sa.create_engine(url, connect_args={"timeout": busy_timeout_ms / 1000})
    )

    @sa.event.listens_for(engine, "connect")
    def on_connect(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, see on_begin
        connection.execute(f"PRAGMA busy_timeout = {busy_timeout_ms:d}")
        _switch_to_wal(connection)
        connection.execute("PRAGMA synchronous = FULL")

    @sa.event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        options: Any = connection.get_execution_options()
        connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get(WRITE) else "BEGIN")

    return engine


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """Ask for WAL, which the file remembers; a file that is read-only stays as it is."""
    for attempt in range(WAL_ATTEMPTS):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname == "SQLITE_READONLY":
                return
            busy = error.sqlite_errorname in ("SQLITE_BUSY", "SQLITE_LOCKED")
            if not busy or attempt == WAL_ATTEMPTS - 1:
                raise
            time.sleep(WAL_PAUSE_S)
        else:
            return

"""The DuckDB file: opened for a moment, with its troubles in one clear line.

Theory of operation. DuckDB lets one process write or many read. The writer opens the file for
milliseconds a minute, so a reader that comes in between tries again for a few seconds, and a writer
that finds a reader waits for its next turn and says who it is.
"""

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import duckdb
import polars as pl

from data.arrow import ArrowStream
from desk.errors import BadQuery, WarehouseBusy, WarehouseUnavailable

READ_ATTEMPTS = 100  # with the pause, 5 s: a write takes milliseconds, the longest catch-up seconds
READ_PAUSE_S = 0.05

_HOLDER = re.compile(r"lock is held in (?P<program>\S.*?)? ?\(PID (?P<pid>\d+)\)")
_NO_POLARS_TYPE = ("INTERVAL", "UNION", "BIGNUM", "BIT")  # reading one as it is panics or gives bytes

# Nothing is fetched from the network because of somebody's SQL, least of all in mid-session.
_CONFIG: dict[str, str | bool | int | float | list[str]] = {"autoinstall_known_extensions": "false"}


@contextmanager
def opened(path: Path, *, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the file, and close it whatever happens.

    Raises:
        WarehouseBusy: another process holds it; names the process.
        WarehouseUnavailable: it is missing, corrupt, or cannot be opened.
    """
    try:
        connection = duckdb.connect(str(path), read_only=read_only, config=_CONFIG)
    except duckdb.IOException as error:
        held = _HOLDER.search(str(error))
        if held is not None:
            raise WarehouseBusy(f"warehouse {path} is held by {_who(held)}") from error
        if read_only and not path.exists():
            raise WarehouseUnavailable(
                f"warehouse {path}: there is no such file yet; the first session makes it"
            ) from error
        raise WarehouseUnavailable(f"warehouse {path}: {one_line(error)}") from error
    except duckdb.ConnectionException as error:
        # The same process has it open the other way (reading while writing).
        raise WarehouseBusy(f"warehouse {path} is held by this process") from error
    except duckdb.Error as error:
        raise WarehouseUnavailable(f"warehouse {path}: {one_line(error)}") from error
    try:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection
    finally:
        connection.close()


@contextmanager
def reading(
    path: Path, *, attempts: int = READ_ATTEMPTS, pause_s: float = READ_PAUSE_S
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the file to read, between two writes of a session if need be.

    Raises:
        WarehouseBusy: somebody held the file during every attempt.
        WarehouseUnavailable: the file is missing or corrupt.
    """
    with ExitStack() as stack:
        for attempt in range(1, attempts + 1):
            try:
                connection = stack.enter_context(opened(path, read_only=True))
                break
            except WarehouseBusy:
                if attempt == attempts:
                    raise
                time.sleep(pause_s)
        yield connection


@contextmanager
def transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Make what is done inside all or nothing."""
    connection.begin()
    done = False
    try:
        yield
        connection.commit()
        done = True
    finally:
        if not done:
            connection.rollback()


def query_readonly(
    path: Path, sql: str, *, attempts: int = READ_ATTEMPTS, pause_s: float = READ_PAUSE_S
) -> pl.DataFrame:
    """Answer one statement without changing anything, also while a session writes now and then.

    Raises:
        BadQuery: the SQL is wrong, changes something, or gives no rows to show.
        WarehouseBusy: somebody held the file during every attempt.
        WarehouseUnavailable: the file is missing or corrupt.
    """
    with reading(path, attempts=attempts, pause_s=pause_s) as connection:
        return _frame(connection, sql)


def _frame(connection: duckdb.DuckDBPyConnection, sql: str) -> pl.DataFrame:
    try:
        count = len(connection.extract_statements(sql))
        if count > 1:
            raise BadQuery(f"{count} statements, allowed: one at a time")
        relation = connection.sql(sql)
        if relation is None:
            raise BadQuery("the statement gives no rows to show")
        return to_frame(relation)
    except (duckdb.Error, pl.exceptions.PolarsError) as error:
        raise BadQuery(one_line(error)) from error


def to_frame(relation: duckdb.DuckDBPyRelation) -> pl.DataFrame:
    """Read a result into a frame; what polars has no type for comes as text."""
    types = [str(dtype) for dtype in relation.types]
    if any(word in dtype for dtype in types for word in _NO_POLARS_TYPE):
        names = ['"' + name.replace('"', '""') + '"' for name in relation.columns]
        relation = relation.project(
            ", ".join(
                f"CAST({name} AS VARCHAR) AS {name}"
                if any(word in dtype for word in _NO_POLARS_TYPE)
                else name
                for name, dtype in zip(names, types, strict=True)
            )
        )
    return pl.DataFrame(ArrowStream(relation))


def one_line(error: Exception) -> str:
    """Give the first paragraph of a message in one line."""
    return " ".join(str(error).strip().partition("\n\n")[0].split())


def _who(held: re.Match[str]) -> str:
    """Name the holder: what it was started as where /proc tells, else DuckDB's word for it."""
    pid = held["pid"]
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        words = []
    command = " ".join(" ".join(word.decode(errors="replace") for word in words).split())
    return f"process {pid} ({command[:120] or held['program'] or 'unknown'})"

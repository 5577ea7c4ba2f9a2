"""The warehouse: rows wait when they must, come once when they can, and never hurt the session."""

import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest

from data.duckfile import query_readonly
from data.ledger import Ledger
from data.warehouse import Warehouse
from desk.errors import BadQuery, WarehouseBusy, WarehouseUnavailable
from schemas.bars import PRINT_SCHEMA, QUARANTINE_SCHEMA
from schemas.events import AnyEvent
from schemas.signals import SIGNAL_SCHEMA
from tests.data.makers import START, HandClock


def _warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(tmp_path / "w.duckdb", tmp_path / "spool", account="paper", wall_clock=HandClock())


def _bar(
    symbol: str = "AAPL", *, minute: int = 0, close: float = 100.5, delay_s: int = 1, **extra: object
) -> pl.DataFrame:
    ts = START + timedelta(minutes=minute)
    row: dict[str, object] = {
        "symbol": symbol,
        "ts": ts,
        "timeframe": "1Min",
        "open": 100.0,
        "high": 101.0,
        "low": 99.0,
        "close": close,
        "volume": 1_000,
        "vwap": 100.2,
        "trade_count": None,
        "provider": "alpaca",
        "feed": "iex",
        "known_at": ts + timedelta(seconds=60 + delay_s),
        "revision": 0,
    }
    return pl.DataFrame([row | extra], schema=PRINT_SCHEMA)


def _signal(target: float) -> pl.DataFrame:
    row = {"strategy": "sma", "symbol": "AAPL", "ts": START, "target": target, "price": 100.0, "reason": "up"}
    return pl.DataFrame([row], schema=SIGNAL_SCHEMA)


def _reject(reason: str, symbol: str | None = "AAPL") -> pl.DataFrame:
    row = {
        "symbol": symbol,
        "ts": None,
        "verdict": "reject_row",
        "reason": reason,
        "detail": "high 1 below low 2",
        "row": '{"h": 1}',
        "provider": "alpaca",
        "feed": "iex",
        "known_at": START,
    }
    return pl.DataFrame([row], schema=QUARANTINE_SCHEMA)


def _count(warehouse: Warehouse, table: str) -> int:
    count: int = query_readonly(warehouse.path, f"SELECT count(*) FROM {table}").item()
    return count


@contextmanager
def _held_elsewhere(path: Path, *, read_only: bool) -> Iterator[int]:
    """Let another process hold the file open."""
    program = (
        f"import duckdb, sys; c = duckdb.connect({str(path)!r}, read_only={read_only}); "
        "print('open', flush=True); sys.stdin.read(); c.close()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        yield other.pid


def test_rows_come_through_the_spool_exactly(tmp_path: Path) -> None:
    """Bars, quarantined rows and signals are in their tables after a flush; the spool is empty."""
    warehouse = _warehouse(tmp_path)
    bars = pl.concat([_bar("AAPL"), _bar("MSFT", vwap=None)])

    warehouse.bars(bars)
    warehouse.quarantine(_reject("ohlc_order", symbol=None))
    warehouse.signals(_signal(1.0))
    assert warehouse.waiting() == 3
    warehouse.flush()

    assert warehouse.waiting() == 0
    assert query_readonly(warehouse.path, "FROM bar_prints ORDER BY symbol").cast(PRINT_SCHEMA).equals(bars)
    assert query_readonly(warehouse.path, "SELECT symbol, reason FROM quarantine").rows() == [
        (None, "ohlc_order")
    ]
    assert query_readonly(warehouse.path, "SELECT account, strategy, target FROM signals").rows() == [
        ("paper", "sma", 1.0)
    ]


def test_the_same_rows_again_add_nothing(tmp_path: Path) -> None:
    """A delivery repeated by a restart, in one flush or in two, keeps the first time it was known."""
    warehouse = _warehouse(tmp_path)
    for _ in range(2):
        for delay_s in (1, 30):
            warehouse.bars(_bar(delay_s=delay_s))
            warehouse.quarantine(_reject("ohlc_order"))
            warehouse.signals(_signal(1.0))
        warehouse.flush()

    assert (
        _count(warehouse, "bar_prints")
        == _count(warehouse, "quarantine")
        == _count(warehouse, "signals")
        == 1
    )
    known_at = query_readonly(warehouse.path, "SELECT known_at FROM bar_prints").item()
    assert known_at == START + timedelta(seconds=61)


def test_a_crash_between_commit_and_delete_doubles_nothing(tmp_path: Path) -> None:
    """A spool file that is still there after its rows were taken in is taken in again without effect."""
    warehouse = _warehouse(tmp_path)
    warehouse.bars(_bar())
    (file,) = (tmp_path / "spool").iterdir()
    content = file.read_bytes()
    warehouse.flush()

    file.write_bytes(content)
    warehouse.flush()

    assert _count(warehouse, "bar_prints") == 1
    assert warehouse.waiting() == 0


def test_i11_a_spool_file_goes_only_when_its_rows_outlive_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the moment a spool file is deleted, DuckDB's file alone has its rows: a log may be unreadable."""
    warehouse = _warehouse(tmp_path)
    warehouse.flush()
    warehouse.bars(_bar())
    without_log = tmp_path / "without-log.duckdb"
    unlink = Path.unlink

    def kept_first(path: Path, missing_ok: bool = False) -> None:
        if path.parent == tmp_path / "spool":
            shutil.copyfile(warehouse.path, without_log)
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", kept_first)
    warehouse.flush()

    assert query_readonly(without_log, "SELECT count(*) FROM bar_prints").item() == 1


def test_every_print_is_kept_and_bars_shows_the_latest(tmp_path: Path) -> None:
    """A revised minute has two prints; `bars` shows the later one, `bars_as_of` what was known then (D2)."""
    warehouse = _warehouse(tmp_path)
    warehouse.bars(_bar(close=100.5, delay_s=1))
    warehouse.bars(_bar(close=100.7, delay_s=30, revision=1))
    warehouse.bars(_bar(close=100.9, delay_s=90, revision=1, feed="sip"))
    warehouse.flush()

    def closes(source: str) -> list[float]:
        return query_readonly(warehouse.path, f"SELECT close FROM {source}")["close"].to_list()

    assert _count(warehouse, "bar_prints") == 3
    assert closes("bars") == [100.9]
    assert closes("bars_as_of('2025-11-26 14:31:00Z')") == []
    assert closes("bars_as_of('2025-11-26 14:31:01Z')") == [100.5]
    assert closes("bars_as_of(TIMESTAMPTZ '2025-11-26 14:31:45Z')") == [100.7]


def test_another_opinion_on_the_same_bar_is_kept(tmp_path: Path) -> None:
    """A signal that changed after a restart is a second row."""
    warehouse = _warehouse(tmp_path)

    warehouse.signals(_signal(1.0))
    warehouse.signals(_signal(0.0))
    warehouse.flush()

    assert _count(warehouse, "signals") == 2


@pytest.mark.parametrize("read_only", [True, False])
def test_i11_while_another_process_holds_the_file_rows_wait(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, read_only: bool
) -> None:
    """With a second process on the file, flush raises nothing and says who it is; the next catches up."""
    warehouse = _warehouse(tmp_path)
    warehouse.flush()

    with _held_elsewhere(warehouse.path, read_only=read_only) as pid:
        for minute in range(3):
            warehouse.bars(_bar(minute=minute))
            warehouse.flush()
        assert warehouse.waiting() == 3
        assert warehouse.trouble is not None
        assert f"process {pid} (" in warehouse.trouble
        assert "\n" not in warehouse.trouble
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        with pytest.raises(WarehouseBusy, match=str(pid)):
            warehouse.load(None)

    warehouse.flush()
    assert warehouse.waiting() == 0
    assert warehouse.trouble is None
    assert _count(warehouse, "bars") == 3


@pytest.mark.parametrize("damage", ["file", "log", "folder", "empty"])
def test_i11_a_warehouse_that_cannot_be_used_stops_nothing(tmp_path: Path, damage: str) -> None:
    """With a corrupt file, an unreadable log or no folder, rows wait and come through once it is mended."""
    warehouse = _warehouse(tmp_path)
    warehouse.flush()
    kept = warehouse.path.read_bytes()
    log = Path(f"{warehouse.path}.wal")
    match damage:
        case "file":
            warehouse.path.write_bytes(b"not a warehouse" * 1_000)
        case "log":
            log.mkdir()
        case "folder":
            warehouse.path.unlink()
            warehouse.path.mkdir()
        case _:
            warehouse.path.write_bytes(b"")

    warehouse.bars(_bar())
    warehouse.flush()

    assert warehouse.waiting() == 1
    assert warehouse.trouble is not None
    assert str(warehouse.path) in warehouse.trouble
    for path in (log, warehouse.path):
        if path.is_dir():
            path.rmdir()
    warehouse.path.write_bytes(kept)
    warehouse.flush()
    assert _count(warehouse, "bars") == 1


def test_a_warehouse_that_was_deleted_is_made_again(tmp_path: Path) -> None:
    """Removing the file in mid-session gives a new one with its tables at the next flush."""
    warehouse = _warehouse(tmp_path)
    warehouse.flush()
    warehouse.path.unlink()

    warehouse.bars(_bar())
    warehouse.flush()

    assert _count(warehouse, "bars") == 1


@pytest.mark.parametrize("content", [b"", b"PAR1 torn"])
def test_an_unreadable_spool_file_is_set_aside(tmp_path: Path, content: bytes) -> None:
    """A torn file does not hold up the others; it is kept in `bad`."""
    warehouse = _warehouse(tmp_path)
    warehouse.bars(_bar(minute=0))
    torn = tmp_path / "spool" / "00000000000000001-0000001-0000000-bars.parquet"
    torn.write_bytes(content)
    (tmp_path / "spool" / "00000000000000002-0000001-0000000-novelties.parquet").write_bytes(b"?")

    warehouse.flush()

    assert _count(warehouse, "bars") == 1
    assert warehouse.waiting() == 0
    assert len(list((tmp_path / "spool" / "bad").iterdir())) == 2


@contextmanager
def _no_room_on_disk() -> Iterator[None]:
    """Refuse every write of a file, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_i11_a_defect_of_a_projection_never_reaches_the_session(tmp_path: Path) -> None:
    """Whatever goes wrong on the way into DuckDB, flush says so and returns."""

    class Impossible(Ledger):
        def read(self, after_seq: int = 0) -> Iterator[tuple[int, AnyEvent]]:
            raise KeyError("an event nobody thought of")

    warehouse = _warehouse(tmp_path)
    warehouse._ledger = Impossible.__new__(Impossible)

    warehouse.flush()

    assert warehouse.trouble is not None
    assert "KeyError" in warehouse.trouble


def test_i11_a_full_disk_loses_bars_and_says_how_many(tmp_path: Path) -> None:
    """Rows that cannot be spooled are counted, nothing raises, and later rows come through."""
    warehouse = _warehouse(tmp_path)
    warehouse.flush()

    with _no_room_on_disk():
        warehouse.bars(pl.concat([_bar("AAPL"), _bar("MSFT")]))
        warehouse.flush()
    warehouse.bars(_bar("XOM"))
    warehouse.flush()

    assert warehouse.rows_lost == 2
    assert query_readonly(warehouse.path, "SELECT symbol FROM bars").rows() == [("XOM",)]
    assert [path.name for path in (tmp_path / "spool").iterdir()] == []


def test_a_frame_of_another_shape_is_counted_as_lost(tmp_path: Path) -> None:
    """A frame without a promised column raises nothing into the session."""
    warehouse = _warehouse(tmp_path)

    warehouse.bars(_bar().drop("vwap"))
    warehouse.flush()

    assert warehouse.rows_lost == 1
    assert warehouse.waiting() == 0


# ---- queries of people -----------------------------------------------------------------------


def test_a_query_waits_for_the_writer(tmp_path: Path) -> None:
    """A reader that finds the file held tries again, and says who holds it when it gives up."""
    warehouse = _warehouse(tmp_path)
    warehouse.flush()

    with (
        _held_elsewhere(warehouse.path, read_only=False) as pid,
        pytest.raises(WarehouseBusy, match=str(pid)),
    ):
        query_readonly(warehouse.path, "SELECT 1", attempts=2, pause_s=0.01)

    assert query_readonly(warehouse.path, "SELECT 1 AS one").to_dicts() == [{"one": 1}]


def test_two_readers_at_once(tmp_path: Path) -> None:
    """A reader does not keep another reader out."""
    warehouse = _warehouse(tmp_path)
    warehouse.flush()

    with _held_elsewhere(warehouse.path, read_only=True):
        assert _count(warehouse, "bars") == 0


@pytest.mark.parametrize(
    "sql",
    ["selec 1", "SELECT nothing FROM bars", "DELETE FROM bar_prints", "CREATE TABLE t (a INT)", "", ";"],
)
def test_sql_that_cannot_be_answered_is_one_clear_line(tmp_path: Path, sql: str) -> None:
    """Wrong SQL and SQL that writes are refused in one line."""
    warehouse = _warehouse(tmp_path)
    warehouse.flush()

    with pytest.raises(BadQuery) as caught:
        query_readonly(warehouse.path, sql)

    assert "\n" not in str(caught.value)


def test_types_without_a_polars_type_come_as_text(tmp_path: Path) -> None:
    """An interval is shown as text; instants are in UTC wherever the machine is."""
    warehouse = _warehouse(tmp_path)
    warehouse.bars(_bar())
    warehouse.flush()

    frame = query_readonly(warehouse.path, 'SELECT known_at - ts AS "how late", ts, volume FROM bars')

    assert frame.rows() == [("00:01:01", START, 1_000)]
    assert frame.schema["ts"] == pl.Datetime("us", "UTC")


def test_a_query_leaves_nothing_on_the_terminal(tmp_path: Path) -> None:
    """A process that queried says nothing on stderr when it ends."""
    warehouse = _warehouse(tmp_path)
    warehouse.flush()
    program = (
        "import sys; from pathlib import Path; from data.duckfile import query_readonly; "
        "print(query_readonly(Path(sys.argv[1]), 'SELECT count(*) AS n FROM bars').item())"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, str(warehouse.path)], capture_output=True, text=True, check=True
    )

    assert (done.stdout, done.stderr) == ("0\n", "")


def test_a_missing_or_corrupt_warehouse_is_one_clear_line(tmp_path: Path) -> None:
    """The path is named, and asking makes no file."""
    with pytest.raises(WarehouseUnavailable, match="no such file"):
        query_readonly(tmp_path / "w.duckdb", "SELECT 1")
    assert not (tmp_path / "w.duckdb").exists()

    (tmp_path / "w.duckdb").write_bytes(b"not a warehouse" * 1_000)
    with pytest.raises(WarehouseUnavailable, match="not a valid"):
        query_readonly(tmp_path / "w.duckdb", "SELECT 1")


def test_there_is_no_index_to_slow_a_billion_bars(tmp_path: Path) -> None:
    """No table has an index or a key, whatever DDL comes later."""
    warehouse = _warehouse(tmp_path)
    warehouse.flush()

    with duckdb.connect(str(warehouse.path)) as connection:
        (indexes,) = connection.execute("SELECT count(*) FROM duckdb_indexes()").fetchall()[0]
        kinds = connection.execute("SELECT DISTINCT constraint_type FROM duckdb_constraints()").fetchall()

    assert indexes == 0
    assert kinds == [("NOT NULL",)]

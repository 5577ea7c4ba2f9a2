"""The ledger: append, read, refuse, and say clearly why it cannot."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from data.ledger import READ_PAGE, Ledger
from desk.errors import LeaseLost, LedgerUnavailable
from desk.portfolio import replay
from tests.data.makers import HandClock, cash, open_ledger, probed, stored
from tests.makers import filled, intent, planned


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = open_ledger(tmp_path / "ledger.db", log_path=tmp_path / "ledger.ndjson")
    opened.acquire("session a")
    yield opened
    opened.close()


def test_events_come_back_as_they_were_written(ledger: Ledger) -> None:
    """Decimals, instants and nested records survive the way through the database exactly."""
    order = intent(qty="12.345678901", limit_price="0.1000")
    events = [planned(order), filled(order, "e1", "12.345678901", price="0.0999", fee="0.01")]

    last = ledger.append(events)

    assert last == ledger.last_seq() == 2
    assert stored(ledger) == events
    assert [seq for seq, _ in ledger.read(1)] == [2]


def test_replay_of_what_was_read_equals_the_fold_of_what_was_appended(ledger: Ledger) -> None:
    """Replaying the ledger gives the hash of the state folded from the events themselves (I8)."""
    order = intent()
    events = [planned(order), filled(order, "e1", "40"), filled(order, "e2", "60", fee="0.03")]

    ledger.append(events)

    assert replay(stored(ledger)).state_hash() == replay(events).state_hash()


def test_reading_goes_over_page_borders(ledger: Ledger) -> None:
    """A ledger longer than a page is read whole and in order."""
    count = 2 * READ_PAGE + 1
    ledger.append([cash(str(number)) for number in range(count)])

    assert [seq for seq, _ in ledger.read()] == list(range(1, count + 1))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET body = '{}'",
        "UPDATE events SET account = 'other' WHERE seq = 1",
        "DELETE FROM events",
        "DELETE FROM events WHERE seq = 1",
        "INSERT OR REPLACE INTO events SELECT 1, account, kind, at, token, '{}', recorded_at FROM events",
    ],
)
def test_i13_the_database_refuses_change(ledger: Ledger, tmp_path: Path, statement: str) -> None:
    """No connection, ours or another, can update, delete or replace an event (I13)."""
    ledger.append([cash("1")])
    before = stored(ledger)

    with sqlite3.connect(tmp_path / "ledger.db") as other, pytest.raises(sqlite3.IntegrityError):
        other.execute(statement)
    other.close()

    assert stored(ledger) == before


def test_a_batch_with_one_bad_row_writes_nothing(ledger: Ledger, tmp_path: Path) -> None:
    """When a row of a batch is refused, no row of it is there."""
    with sqlite3.connect(tmp_path / "ledger.db") as other:
        other.execute(
            "CREATE TRIGGER trap BEFORE INSERT ON events WHEN NEW.body LIKE '%\"13\"%' "
            "BEGIN SELECT RAISE(ABORT, 'thirteen'); END"
        )
    other.close()

    with pytest.raises(LedgerUnavailable, match="thirteen"):
        ledger.append([cash("12"), cash("13")])

    assert stored(ledger) == []
    assert ledger.append([cash("14")]) == 1


def test_appending_without_the_lease_is_refused(tmp_path: Path) -> None:
    """A process that never acquired the account can append nothing but an operator's events."""
    other = open_ledger(tmp_path / "ledger.db")

    with pytest.raises(LeaseLost):
        other.append([cash("1")])
    with pytest.raises(ValueError, match="order_probed"):
        other.append_as_operator([cash("1"), probed("a")])

    assert other.append_as_operator([cash("1")]) == 1
    other.close()


def test_a_session_sees_what_an_operator_appended(ledger: Ledger, tmp_path: Path) -> None:
    """An operator's append shows as a gap in the session's seqs, and reading from there gives it."""
    first = ledger.append([probed("a")])
    operator = open_ledger(tmp_path / "ledger.db", pid=2)

    operator.append_as_operator([cash("5")])
    second = ledger.append([probed("b")])

    assert second - first == 2
    assert [event for _, event in ledger.read(first)] == [cash("5"), probed("b")]
    operator.close()


def test_accounts_in_one_database_are_apart(tmp_path: Path) -> None:
    """Each account has its own lease, events and last seq."""
    one, two = (open_ledger(tmp_path / "ledger.db", account=name) for name in ("one", "two"))
    one.acquire("a")
    two.acquire("b")

    one.append([cash("1")])
    two.append([cash("2")])

    assert stored(one) == [cash("1")]
    assert stored(two) == [cash("2")]
    one.close()
    two.close()


def test_a_ledger_in_memory_works_alike() -> None:
    """A backtest's ledger has the same port and needs no file."""
    ledger = Ledger.open("sqlite://", "backtest", HandClock(), "here", 1)
    ledger.acquire("backtest")

    ledger.append([cash("1"), cash("2")])

    assert [seq for seq, _ in ledger.read()] == [1, 2]
    ledger.close()


# ---- the running log and the export -----------------------------------------------------------


def _log_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_log_has_every_event_in_order(ledger: Ledger, tmp_path: Path) -> None:
    """The running log equals the export, an operator's append by another process included."""
    ledger.append([probed("a"), probed("b")])
    operator = open_ledger(tmp_path / "ledger.db", pid=2)
    operator.append_as_operator([cash("5")])
    operator.close()
    ledger.append([probed("c")])

    count = ledger.export_ndjson(tmp_path / "out" / "export.ndjson")

    assert count == 4
    assert _log_lines(tmp_path / "ledger.ndjson") == _log_lines(tmp_path / "out" / "export.ndjson")
    assert [line["seq"] for line in _log_lines(tmp_path / "ledger.ndjson")] == [1, 2, 3, 4]


@pytest.mark.parametrize("damage", ["missing", "torn", "garbage", "lagging"])
def test_opening_mends_the_log(ledger: Ledger, tmp_path: Path, damage: str) -> None:
    """A log that is missing, torn, foreign or behind is made equal to the database on open."""
    log = tmp_path / "ledger.ndjson"
    ledger.append([probed("a"), probed("b"), probed("c")])
    whole = log.read_bytes()
    match damage:
        case "missing":
            log.unlink()
        case "torn":
            log.write_bytes(whole[:-20])
        case "garbage":
            log.write_bytes(b"not json\n")
        case _:
            log.write_bytes(whole[: whole.index(b"\n") + 1])

    open_ledger(tmp_path / "ledger.db", pid=2, log_path=log).close()

    assert log.read_bytes() == whole


def test_a_log_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    """Appends succeed while the log's disk is full or its path is a folder, and it catches up later."""
    (tmp_path / "log").mkdir()
    ledger = open_ledger(tmp_path / "ledger.db", log_path=tmp_path / "log")
    ledger.acquire("a")

    assert ledger.append([probed("a")]) == 1
    (tmp_path / "log").rmdir()
    assert ledger.append([probed("b")]) == 2

    assert [line["seq"] for line in _log_lines(tmp_path / "log")] == [1, 2]
    ledger.close()


# ---- a database that cannot be used ----------------------------------------------------------


def test_full_disk_is_one_clear_line_and_nothing_is_written(tmp_path: Path) -> None:
    """When the database may not grow, the append raises, writes nothing, and later ones work again."""
    ledger = open_ledger(tmp_path / "ledger.db")
    ledger.acquire("a")
    ledger.append([probed("first")])
    engine = ledger._database.engine
    with engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    engine.dispose()
    limit = [pages + 1]

    @sa.event.listens_for(engine, "connect")
    def shrink(connection: sqlite3.Connection, _: object) -> None:
        connection.execute(f"PRAGMA max_page_count = {limit[0]}")

    with pytest.raises(LedgerUnavailable, match=r"ledger\.db: the disk is full") as caught:
        ledger.append([probed("x" * 3_000) for _ in range(20)])

    assert "\n" not in str(caught.value)
    assert stored(ledger) == [probed("first")]
    limit[0] = 1_000_000
    engine.dispose()
    assert ledger.append([probed("after")]) == 2
    ledger.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_full_file_system_is_one_clear_line(tmp_path: Path) -> None:
    """On a file system with no room left the append raises one line and events stay whole."""
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine does not let us mount a small file system")
    try:
        ledger = open_ledger(small / "ledger.db", log_path=small / "ledger.ndjson")
        ledger.acquire("a")
        with pytest.raises(LedgerUnavailable, match="disk is full") as caught:
            _append_pairs(ledger, 10_000)
        assert "\n" not in str(caught.value)
        events = stored(ledger)
        assert events == [probed("a"), probed("x" * 1_000)] * (len(events) // 2)
        ledger.close()
    finally:
        subprocess.run(["umount", str(small)], check=True)


def _append_pairs(ledger: Ledger, count: int) -> None:
    for _ in range(count):
        ledger.append([probed("a"), probed("x" * 1_000)])


def test_corrupt_file_is_one_clear_line(tmp_path: Path) -> None:
    """A file that is not a database is named, with the cause."""
    (tmp_path / "ledger.db").write_bytes(b"this is not a database" * 500)

    with pytest.raises(LedgerUnavailable, match=r"ledger\.db: the file is corrupt"):
        open_ledger(tmp_path / "ledger.db")


def test_damage_in_the_middle_is_found_when_it_is_read(tmp_path: Path) -> None:
    """Pages overwritten with noise raise LedgerUnavailable, never wrong events."""
    path = tmp_path / "ledger.db"
    ledger = open_ledger(path)
    ledger.acquire("a")
    ledger.append([probed(str(number) * 100) for number in range(1_000)])
    ledger.close()
    damaged = bytearray(path.read_bytes())
    damaged[4096 * 8 :] = b"\xa5" * (len(damaged) - 4096 * 8)
    path.write_bytes(damaged)

    with pytest.raises(LedgerUnavailable):
        stored(open_ledger(path))


def test_a_locked_file_is_one_clear_line(ledger: Ledger, tmp_path: Path) -> None:
    """While another connection holds the file exclusively, an append says so after its wait."""
    impatient = open_ledger(tmp_path / "ledger.db", pid=2, busy_timeout_ms=50)
    other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")

    with pytest.raises(LedgerUnavailable, match="another process keeps it locked"):
        impatient.append_as_operator([cash("1")])

    other.execute("ROLLBACK")
    other.close()
    assert impatient.append_as_operator([cash("1")]) == 1
    impatient.close()


def test_an_unknown_schema_version_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    """A ledger of a newer desk is refused with both versions, and nothing is changed in it."""
    with sqlite3.connect(tmp_path / "ledger.db") as other:
        other.execute("UPDATE schema_version SET version = 99")
    other.close()

    with pytest.raises(LedgerUnavailable, match=r"version 99.*version 1"):
        open_ledger(tmp_path / "ledger.db", pid=2)


def test_a_foreign_or_missing_database_is_refused_by_readers(tmp_path: Path) -> None:
    """Opened to read, a path without a ledger is an error and no file is made."""
    with pytest.raises(LedgerUnavailable, match="no such file"):
        open_ledger(tmp_path / "none.db", create=False)
    assert not (tmp_path / "none.db").exists()

    sqlite3.connect(tmp_path / "empty.db").execute("CREATE TABLE t (a)").connection.close()
    with pytest.raises(LedgerUnavailable, match="no ledger in it"):
        open_ledger(tmp_path / "empty.db", create=False)


@pytest.mark.parametrize("url", ["mysql://u:secret@h/d", "nonsense", "postgresql+nothere://u:secret@h/d"])
def test_a_url_we_cannot_use_is_one_clear_line(url: str) -> None:
    """An unusable URL is refused in one line that keeps the password."""
    with pytest.raises(LedgerUnavailable) as caught:
        Ledger.open(url, "paper", HandClock(), "here", 1)

    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


# ---- F10: kills and concurrent writers ---------------------------------------------------------

_WRITER = """
import sys
from pathlib import Path
from tests.data.makers import open_ledger, probed
ledger = open_ledger(Path(sys.argv[1]), pid=__import__("os").getpid(), log_path=Path(sys.argv[2]))
ledger.acquire("writer")
while True:
    last = ledger.append([probed("a"), probed("b"), probed("c")])
    print(last, flush=True)
"""


@pytest.mark.parametrize("acks", [1, 7, 40])
def test_f10_kill_in_the_middle_of_appends(tmp_path: Path, acks: int) -> None:
    """After kill -9 every acknowledged event is there, no batch is half there, and the log agrees."""
    path, log = tmp_path / "ledger.db", tmp_path / "ledger.ndjson"
    command = [sys.executable, "-c", _WRITER, str(path), str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        acked = [int(writer.stdout.readline()) for _ in range(acks)][-1]
        writer.kill()
        acked = max([acked, *(int(line) for line in writer.stdout if line.endswith("\n"))])

    ledger = open_ledger(path, log_path=log)

    events = stored(ledger)
    assert len(events) >= acked
    assert len(events) % 3 == 0
    assert [event.client_order_id for event in events] == ["a", "b", "c"] * (len(events) // 3)
    assert len(_log_lines(log)) == len(events)
    with sqlite3.connect(path) as other:
        assert other.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    other.close()
    assert ledger.acquire("next") == 2  # the dead writer's lease is taken over at once
    ledger.close()


_OPERATOR = """
import sys
from pathlib import Path
from tests.data.makers import cash, open_ledger
ledger = open_ledger(Path(sys.argv[1]), pid=__import__("os").getpid(), busy_timeout_ms=30_000)
for number in range(30):
    ledger.append_as_operator([cash(f"{sys.argv[2]}.{number:02d}"), cash(f"{sys.argv[2]}.{number:02d}")])
"""


def test_f10_concurrent_writers(tmp_path: Path) -> None:
    """Processes that append at once, also to a database that is not made yet, lose and tear nothing."""
    path = tmp_path / "ledger.db"
    command = [sys.executable, "-c", _OPERATOR, str(path)]
    writers = [subprocess.Popen([*command, str(number)]) for number in range(1, 4)]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0, 0]

    ledger = open_ledger(path)

    amounts = [event.amount for event in stored(ledger)]  # type: ignore[union-attr]
    assert amounts[0::2] == amounts[1::2]
    assert sorted(amounts[0::2]) == [
        Decimal(f"{writer}.{number:02d}") for writer in range(1, 4) for number in range(30)
    ]
    assert [seq for seq, _ in ledger.read()] == list(range(1, 181))
    ledger.close()

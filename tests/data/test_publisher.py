"""The projection of the ledger: right, once, from any point, after any failure."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from data.duckfile import query_readonly
from data.ledger import Ledger
from data.publisher import publish_events
from data.warehouse import Warehouse
from desk.errors import LedgerUnavailable, WarehouseUnavailable
from desk.portfolio import EXTERNAL, replay
from tests.data.days import BREAK, CANCELED, first_day, next_day
from tests.data.makers import HandClock, open_ledger, stored
from tests.makers import DAY, filled

TABLES = (
    "decisions",
    "orders",
    "fills",
    "adjustments",
    "positions",
    "equity",
    "sessions",
    "breaks",
    "published",
)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = open_ledger(tmp_path / "ledger.db")
    opened.acquire("session")
    opened.append([*first_day(), *next_day()])
    yield opened
    opened.close()


def _warehouse(tmp_path: Path, name: str = "w", account: str = "paper") -> Warehouse:
    return Warehouse(
        tmp_path / f"{name}.duckdb", tmp_path / f"{name}-spool", account=account, wall_clock=HandClock()
    )


def _rows(warehouse: Warehouse, sql: str) -> list[Any]:
    return query_readonly(warehouse.path, sql).rows()


def _everything(warehouse: Warehouse) -> dict[str, list[Any]]:
    return {table: sorted(_rows(warehouse, f"FROM {table}"), key=repr) for table in TABLES}


def test_decisions_have_every_intent_with_its_answer(ledger: Ledger, tmp_path: Path) -> None:
    """A denial has code, number and limit; an approval has the numbers it was judged by."""
    warehouse = _warehouse(tmp_path)

    warehouse.publish(ledger)

    assert _rows(
        warehouse, 'SELECT client_order_id, code, number, "limit" FROM decisions WHERE NOT approved'
    ) == [("mqd-denied", "gross_exposure", Decimal("17066.666666667"), Decimal(15000))]
    assert _rows(
        warehouse,
        "SELECT checks->0->>'reason', checks->0->>'number' FROM decisions WHERE client_order_id = 'mqd-buy'",
    ) == [("gross_exposure", "10000")]
    assert _rows(warehouse, "SELECT count(*) FROM decisions WHERE approved") == [(6,)]


def test_orders_equal_the_fold(ledger: Ledger, tmp_path: Path) -> None:
    """State, quantity, average price and fees of every order are those of the desk's own fold."""
    warehouse = _warehouse(tmp_path)
    portfolio = replay(stored(ledger))

    warehouse.publish(ledger)

    rows = _rows(warehouse, "SELECT client_order_id, state, filled_qty, broker_order_id FROM orders")
    assert {row[0]: row[1:] for row in rows} == {
        name: (order.state.value, order.filled_qty, order.broker_order_id)
        for name, order in portfolio.orders.items()
    }
    assert _rows(
        warehouse, "SELECT filled_avg_price, fees FROM orders WHERE client_order_id = 'mqd-buy'"
    ) == [(Decimal("100.068"), Decimal("0.03"))]
    assert _rows(warehouse, "SELECT message FROM orders WHERE client_order_id = 'mqd-refused'") == [
        ("40310000 no",)
    ]


def test_an_execution_counts_once_under_both_its_names(ledger: Ledger, tmp_path: Path) -> None:
    """Fills recorded twice, or under another name with the same cumulative quantity, are one row (I3)."""
    warehouse = _warehouse(tmp_path)

    warehouse.publish(ledger)

    assert _rows(warehouse, "SELECT execution_id, qty FROM fills ORDER BY seq") == [
        ("e1", 40),
        ("e2", 60),
        ("e3", 4),
        ("e4", 60),
        ("e9", 40),
    ]


def test_positions_are_each_dates_end(ledger: Ledger, tmp_path: Path) -> None:
    """What is held at a date's end, with that date's realized P&L and fees, equals the desk's fold."""
    warehouse = _warehouse(tmp_path)
    books = replay(first_day())

    warehouse.publish(ledger)

    def of(day: object) -> dict[Any, Any]:
        columns = "strategy, symbol, qty, avg_price, realized_pnl, fees"
        rows = _rows(warehouse, f"SELECT {columns} FROM positions WHERE session_date = '{day}'")
        return {row[:2]: row[2:] for row in rows}

    assert of(DAY) == {
        key: (p.qty, p.avg_price, p.realized_pnl, p.fees) for key, p in books.positions.items()
    }
    assert of(DAY + timedelta(days=2)) == {
        ("sma_crossover", "AAPL"): (0, 0, Decimal("77.28"), Decimal("0.02")),
        ("sma_crossover", "MSFT"): (4, 50, 0, 0),  # held over the day without a trade
        (EXTERNAL, "XOM"): (10, 110, 0, 0),
    }


def test_a_late_fill_of_yesterday_changes_what_follows(ledger: Ledger, tmp_path: Path) -> None:
    """A fill of an earlier session told later is in that session's end and in every later one."""
    warehouse = _warehouse(tmp_path)
    warehouse.publish(ledger)

    ledger.append([filled(CANCELED, "e10", "5", price="50", cum_qty="9")])
    warehouse.publish(ledger)

    assert _rows(warehouse, "SELECT qty FROM positions WHERE symbol = 'MSFT' ORDER BY session_date") == [
        (9,),
        (9,),
    ]
    assert _rows(warehouse, "SELECT state FROM orders WHERE client_order_id = 'mqd-canceled'") == [
        ("filled",)
    ]


def test_sessions_equity_breaks_and_adjustments(ledger: Ledger, tmp_path: Path) -> None:
    """One row per session date however often it was started; one per minute; a break with its end."""
    warehouse = _warehouse(tmp_path)

    warehouse.publish(ledger)

    assert _rows(
        warehouse, "SELECT session_date, runs, run_id, cause, equity_end, symbols FROM sessions ORDER BY 1"
    ) == [
        (DAY, 2, "run-2", "close", Decimal("100055.5"), ["AAPL", "MSFT"]),
        (DAY + timedelta(days=2), 1, "run-3", None, None, ["AAPL", "MSFT"]),
    ]
    assert _rows(warehouse, "SELECT equity FROM equity ORDER BY bar_ts") == [(100011,), (100100,)]
    assert _rows(warehouse, "SELECT break_id, theirs, how, resolved_by FROM breaks") == [
        (BREAK.break_id, 10, "accepted", "ann")
    ]
    assert _rows(warehouse, "SELECT kind, amount, session_date FROM adjustments ORDER BY seq") == [
        ("opening", 100000, DAY),
        ("position", None, DAY),
        ("cash", -1100, DAY),
    ]


@pytest.mark.parametrize("after_seq", [0, 7, 20, None])
def test_publishing_again_changes_nothing(ledger: Ledger, tmp_path: Path, after_seq: int | None) -> None:
    """From 0, from the middle or from where it ended: the tables stay as they are."""
    warehouse = _warehouse(tmp_path)
    last_seq = warehouse.publish(ledger)
    before = _everything(warehouse)

    assert warehouse.publish(ledger, after_seq) == last_seq == ledger.last_seq()

    assert _everything(warehouse) == before


@pytest.mark.parametrize("step", [1, 2, 3, 5])
def test_news_by_news_equals_all_at_once(ledger: Ledger, tmp_path: Path, step: int) -> None:
    """Published in small pieces, as a session does, the tables are those of one publish."""
    whole, pieces = _warehouse(tmp_path, "whole"), _warehouse(tmp_path, "pieces")
    whole.publish(ledger)
    events = list(ledger.read())

    pieces.flush()
    with duckdb.connect(str(pieces.path)) as connection:
        for start in range(0, len(events), step):
            publish_events(
                connection, events[start : start + step], account="paper", scratch=tmp_path / "scratch"
            )

    assert _everything(pieces) == _everything(whole)


@pytest.mark.parametrize(
    "damaged", [*((table,) for table in TABLES if table not in ("positions", "published")), TABLES]
)
def test_a_damaged_warehouse_is_made_whole_from_the_ledger(
    ledger: Ledger, tmp_path: Path, damaged: tuple[str, ...]
) -> None:
    """Rows that were deleted, of one table or of all, come back with a publish from 0."""
    warehouse = _warehouse(tmp_path)
    warehouse.publish(ledger)
    before = _everything(warehouse)
    with duckdb.connect(str(warehouse.path)) as connection:
        for table in damaged:
            connection.execute(f"DELETE FROM {table}")

    warehouse.publish(ledger, 0)

    assert _everything(warehouse) == before


def test_a_publish_that_fails_half_way_leaves_nothing_behind(ledger: Ledger, tmp_path: Path) -> None:
    """Rows and the seq they reach are written together or not at all."""
    warehouse = _warehouse(tmp_path)
    warehouse.flush()
    with duckdb.connect(str(warehouse.path)) as connection:
        connection.execute("ALTER TABLE equity RENAME TO elsewhere")

    with pytest.raises(WarehouseUnavailable, match="equity"):
        warehouse.publish(ledger)

    with duckdb.connect(str(warehouse.path)) as connection:
        assert connection.execute("SELECT count(*) FROM decisions").fetchall() == [(0,)]
        connection.execute("ALTER TABLE elsewhere RENAME TO equity")
    assert warehouse.publish(ledger) == ledger.last_seq()


def test_flush_follows_the_ledger(ledger: Ledger, tmp_path: Path) -> None:
    """A session's flush brings the ledger's news without being asked for them by seq."""
    warehouse = Warehouse(
        tmp_path / "w.duckdb", tmp_path / "spool", account="paper", wall_clock=HandClock(), ledger=ledger
    )

    warehouse.flush()

    assert _rows(warehouse, "SELECT last_seq FROM published") == [(ledger.last_seq(),)]
    assert list((tmp_path / "spool").iterdir()) == []


def test_a_ledger_that_cannot_be_read_keeps_bars_coming(tmp_path: Path) -> None:
    """Flush reports the ledger's trouble and raises nothing (I11)."""

    class Broken:
        def append(self, events: object) -> int:
            raise LedgerUnavailable("ledger: gone")

        def read(self, after_seq: int = 0) -> Any:
            raise LedgerUnavailable("ledger: gone")

        def renew(self) -> None:
            raise LedgerUnavailable("ledger: gone")

    warehouse = Warehouse(
        tmp_path / "w.duckdb", tmp_path / "spool", account="paper", wall_clock=HandClock(), ledger=Broken()
    )

    warehouse.flush()

    assert warehouse.trouble == "ledger: gone"


def test_accounts_share_a_warehouse(ledger: Ledger, tmp_path: Path) -> None:
    """Two accounts' facts lie side by side, each with its own last seq."""
    one = _warehouse(tmp_path)
    one.publish(ledger)
    before = _everything(one)
    other_ledger = open_ledger(tmp_path / "other.db", account="live")
    other_ledger.acquire("x")
    other_ledger.append(first_day())

    other = _warehouse(tmp_path, account="live")
    other.publish(other_ledger)

    assert _rows(one, "SELECT account, count(*) FROM orders GROUP BY 1 ORDER BY 1") == [
        ("live", 5),
        ("paper", 6),
    ]
    mine = {table: [row for row in rows if "live" not in row] for table, rows in _everything(one).items()}
    assert mine == before
    other_ledger.close()

"""`desk verify-day`: a day rehearsed over HTTP follows from its inputs, and a bar changed by hand is found.

The day was traded through alpaca-py on the simulated exchange on a socket; ledger and warehouse are the files
it left. Not covered here: a real account's prints, which come late and are revised.
"""

import logging
import shutil
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from desk.hours import new_york
from schemas.events import OrderPlanned
from tasks.configuration import load_settings
from tasks.resources import open_ledger
from tasks.store import warehouse_path
from tests.cli.conftest import DAY, Answer, Desk, Place

ARGUMENTS = ("verify-day", "--date", DAY.isoformat())
Verify = Callable[..., Answer]


@pytest.fixture
def copy(traded_place: Place, tmp_path: Path) -> Place:
    """Give a copy of the day that a test may change."""
    folder = tmp_path / "copy"
    shutil.copytree(traded_place.folder, folder)
    return Place(folder, traded_place.server)


@pytest.fixture
def verify(copy: Place, capsys: pytest.CaptureFixture[str]) -> Verify:
    """Run verify-day on the copy."""
    return lambda *more: Desk(copy, capsys)(*ARGUMENTS, *more)


def orders(place: Place) -> list[OrderPlanned]:
    """Give the day's orders, the first of a symbol left out, whose bars begin with it."""
    with closing(open_ledger(load_settings(place.config), create=False)) as ledger:
        found = [event for _, event in ledger.read() if isinstance(event, OrderPlanned)]
    return [event for event in found if event.intent.attempt == 0][2:]


def change(place: Place, statement: str, **named: Any) -> list[tuple[Any, ...]]:
    """Do something to the warehouse by hand."""
    with duckdb.connect(str(warehouse_path(load_settings(place.config)))) as warehouse:
        warehouse.execute("SET TimeZone = 'UTC'")
        return warehouse.execute(statement, named).fetchall()


def test_a_rehearsed_day_follows_from_its_inputs(traded: Desk) -> None:
    """The decisions are the same to the last byte, and a backtest of the day gives the same fills."""
    answer = traded(*ARGUMENTS)

    assert answer.code == 0, answer.out
    assert "decisions of 210 minutes retold: the same to the last byte" in answer.out
    assert answer.out.strip().endswith("fills: the same fills")
    found = traded(*ARGUMENTS, "--json").json
    assert found["retelling"]["decisions"] > 50
    assert found["fills"] > 10
    assert (found["retelling"]["differences"], found["played"]) == ([], [])


def test_a_day_played_again_logs_no_orders(traded: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """The log is of what the desk did; a day that is only played is not in it."""
    caplog.set_level(logging.DEBUG, logger="desk")

    traded(*ARGUMENTS)

    assert [record.name for record in caplog.records if record.name.startswith("desk")] == []
    assert logging.getLogger("desk").level == logging.DEBUG


def test_the_newest_session_is_verified_by_default(traded: Desk) -> None:
    """Without a date it is the ledger's newest session."""
    assert traded("verify-day").out == traded(*ARGUMENTS).out


def test_a_day_the_desk_did_not_trade(traded: Desk) -> None:
    """A date without a session is refused with those there are."""
    words = traded.fails("verify-day", "--date", "2025-11-26", code=1)

    assert words == f"2025-11-26: no session in this ledger; it has {DAY} to {DAY}"


def test_a_bar_changed_by_hand_is_named(copy: Place, verify: Verify) -> None:
    """The decision that hangs on it, the close that was seen, and the one in the warehouse now."""
    order = orders(copy)[0].intent
    ((seen,),) = change(
        copy, "SELECT close FROM bar_prints WHERE symbol = $symbol AND ts = $ts",
        symbol=order.symbol, ts=order.bar_ts,
    )  # fmt: skip
    change(
        copy,
        "UPDATE bar_prints SET close = $now, high = greatest(high, $now), low = least(low, $now)"
        " WHERE symbol = $symbol AND ts = $ts",
        symbol=order.symbol, ts=order.bar_ts, now=seen + 2.5,
    )  # fmt: skip

    answer = verify("--json")

    first = answer.json["retelling"]["differences"][0]
    assert answer.code == 1
    assert (first["order_id"], first["cause"]) == (order.client_order_id, "altered bar")
    assert f"{order.symbol} {order.bar_ts:%H:%M} UTC: close {seen} when" in first["why"]
    assert f"is {seen + 2.5} in the warehouse" in first["why"]
    shown = verify()
    assert order.client_order_id in shown.out.replace("\n", "")
    assert f"{new_york(order.bar_ts):%H:%M}" in shown.out
    assert "altered bar" in shown.out


def test_a_bar_that_is_gone_is_named(copy: Place, verify: Verify) -> None:
    """A bar deleted from the warehouse is missing to the decision made on it."""
    order = orders(copy)[0].intent
    change(
        copy, "DELETE FROM bar_prints WHERE symbol = $symbol AND ts = $ts",
        symbol=order.symbol, ts=order.bar_ts,
    )  # fmt: skip

    answer = verify("--json")

    first = answer.json["retelling"]["differences"][0]
    assert (answer.code, first["order_id"], first["cause"]) == (1, order.client_order_id, "missing bar")


def test_a_revision_that_came_later_changes_nothing(copy: Place, verify: Verify) -> None:
    """What was known the next morning was not known then."""
    order = orders(copy)[0].intent
    change(
        copy,
        "INSERT INTO bar_prints SELECT * REPLACE (close + 2.5 AS close, high + 2.5 AS high, 1 AS revision,"
        " known_at + $later AS known_at) FROM bar_prints WHERE symbol = $symbol AND ts = $ts",
        symbol=order.symbol, ts=order.bar_ts, later=timedelta(hours=18),
    )  # fmt: skip

    answer = verify()

    assert answer.code == 0, answer.out
    assert "the same to the last byte" in answer.out
    assert "the same fills" in answer.out


def test_a_bar_known_too_late_is_revised_data_and_no_trouble(copy: Place, verify: Verify) -> None:
    """A print stamped later than its decision: today's prints give the decision, and nobody is called."""
    order = orders(copy)[0].intent
    change(
        copy, "UPDATE bar_prints SET known_at = known_at + $later WHERE symbol = $symbol AND ts = $ts",
        symbol=order.symbol, ts=order.bar_ts, later=timedelta(minutes=1),
    )  # fmt: skip

    answer = verify("--json")

    found = {each["order_id"]: each["cause"] for each in answer.json["retelling"]["differences"]}
    assert found[order.client_order_id] == "revised data"
    assert answer.code == 0


def test_other_settings_are_named(copy: Place, verify: Verify) -> None:
    """A desk.yaml changed since the session is the cause of what differs, by both fingerprints."""
    text = copy.config.read_text(encoding="utf-8")
    copy.config.write_text(text.replace("band_bps: 2.0", "band_bps: 9.0"), encoding="utf-8")

    answer = verify("--json")

    causes = {each["cause"] for each in answer.json["retelling"]["differences"]}
    assert causes == {"settings"}
    assert "the session ran by settings" in answer.json["retelling"]["differences"][0]["why"]

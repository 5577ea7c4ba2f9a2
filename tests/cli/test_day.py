"""A day by the command line, without Prefect: session, close, and every question about it."""

from decimal import Decimal

import pytest
import requests

from tests.cli.conftest import DAY, HTTP_TIMEOUT_S, Desk

pytestmark = pytest.mark.xdist_group("traded day")  # one worker makes the day once


def books(desk: Desk) -> dict[str, object]:
    """Give the exchange's own books."""
    answer = requests.get(f"{desk.place.server.control_url}/books", timeout=HTTP_TIMEOUT_S)
    answer.raise_for_status()
    return dict(answer.json())


def test_status_tells_how_the_day_ended(traded: Desk) -> None:
    """After the close the desk is active, flat, held by nobody, with the exchange's cash."""
    found = traded("status", "--json").json

    theirs = books(traded)
    standing = found["standing"]
    assert (standing["trading_state"], standing["session_open"], found["lease_holder"]) == (
        "active",
        False,
        None,
    )
    assert standing["positions"] == []
    owed = Decimal(str(theirs["cash"])) - Decimal(str(theirs["accrued_fees"]))
    assert abs(Decimal(standing["cash"]) - owed) < Decimal("0.01")


def test_status_and_positions_for_people(traded: Desk) -> None:
    """The tables name state, session, equity and what waits."""
    status, positions = traded("status"), traded("positions")

    assert (status.code, positions.code) == (0, 0)
    for words in ("ACTIVE", str(DAY), "equity", "warehouse", "notices waiting"):
        assert words in status.out
    assert "no positions" in positions.out


def test_orders_are_the_exchanges_orders(traded: Desk) -> None:
    """Every filled order of the list has the executions the exchange has, and the filters filter."""
    rows = traded("orders", "--json").json

    executed: dict[str, Decimal] = {}
    for fill in books(traded)["fills"]:  # type: ignore[attr-defined]
        executed[fill["client_order_id"]] = executed.get(fill["client_order_id"], Decimal(0)) + Decimal(
            fill["qty"]
        )
    ours = {
        row["client_order_id"]: Decimal(row["filled_qty"]) for row in rows if Decimal(row["filled_qty"]) > 0
    }
    assert len(ours) > 1
    assert ours == executed
    only = traded("orders", "--symbol", "aapl", "--state", "filled", "--date", str(DAY), "--json").json
    assert only == [row for row in rows if row["symbol"] == "AAPL" and row["state"] == "filled"]
    assert "no such orders" in traded("orders", "--date", "2025-11-26").out


def test_explain_tells_the_whole_story(traded: Desk) -> None:
    """Bar, reason, checks with limits, write-ahead, acknowledgement and fills stand in one answer."""
    order = next(
        row for row in traded("orders", "--state", "filled", "--json").json if row["purpose"] == "entry"
    )

    told = traded("explain", order["client_order_id"], "--json").json
    words = traded("explain", order["client_order_id"]).out

    steps = [step["what"] for step in told["steps"]]
    assert steps[0] == "written ahead"
    assert "fill" in steps
    assert all({"reason", "number", "limit"} <= check.keys() for check in told["verdict"]["checks"])
    assert sum(Decimal(fill["fill"]["qty"]) for fill in told["fills"]) == Decimal(order["filled_qty"])
    for piece in ("sma", "gross_exposure", "written ahead", "acknowledged", "slippage", "FILLED", "volume"):
        assert piece in words


def test_explain_tells_why_an_intent_was_denied(traded: Desk) -> None:
    """A denied intent is explained by its rule, its number and its limit."""
    denied = traded("sql", "SELECT client_order_id FROM decisions WHERE NOT approved LIMIT 1", "--json").json

    told = traded("explain", denied[0]["client_order_id"])

    assert "DENIED" in told.out
    assert "nothing was sent" in told.out


def test_explain_refuses_what_is_not_there(traded: Desk) -> None:
    """An unknown id is one line that says where ids are listed."""
    assert "desk orders" in traded.fails("explain", "never-sent", code=2)
    assert "allowed: one of them" in traded.fails("explain", "mqd-", code=2)


def test_log_lists_and_filters(traded: Desk) -> None:
    """The log gives events by seq, the newest by default, and only the kinds asked for."""
    all_of_them = traded("log", "--after", "0", "--json").out.splitlines()
    newest = traded("log", "--last", "3").out.splitlines()
    ends = traded("log", "--after", "0", "--kind", "session_ended").out.splitlines()

    assert len(all_of_them) > 210
    assert len(newest) == 3
    assert len(ends) == 1
    minutes = traded("log", "--after", "0", "--kind", "minute_closed").out.splitlines()
    assert minutes[0].split()[4] == "09:30"  # New York, as the time before it
    assert "allowed:" in traded.fails("log", "--kind", "gossip", code=2)


def test_replay_reaches_the_recorded_state(traded: Desk) -> None:
    """A replay from empty gives the hash the session recorded at its end (I8)."""
    answer = traded("replay", "--verify", "--json")

    assert answer.code == 0
    endings = answer.json["proof"]["endings"]
    assert [ending["recorded"] == ending["replayed"] for ending in endings] == [True]


def test_sql_reads_the_warehouse(traded: Desk) -> None:
    """The fills in the warehouse are the exchange's, as a table, as CSV and as JSON."""
    theirs = len(books(traded)["fills"])  # type: ignore[arg-type]

    assert traded("sql", "SELECT count(*) AS n FROM fills", "--json").json == [{"n": theirs}]
    assert traded("sql", "SELECT count(*) AS n FROM fills", "--csv").out == f"n\n{theirs}\n"
    assert str(theirs) in traded("sql", "SELECT count(*) AS n FROM fills").out
    assert "instants are UTC" in traded("sql", "SELECT filled_at FROM fills").out
    assert ":x: [red]no colour[/red]" in traded("sql", "SELECT ':x: [red]no colour[/red]' AS data").out


@pytest.mark.parametrize(
    "statement",
    ["SELEKT 1", "SELECT 1; SELECT 2", "SELECT * FROM nowhere", "DELETE FROM bar_prints", "DROP TABLE fills"],
)
def test_sql_refuses_in_one_line(traded: Desk, statement: str) -> None:
    """Wrong SQL, and SQL that would change something, is one line and exit code 1."""
    assert len(traded.fails("sql", statement, code=1)) > 10


def test_report_is_made_again(traded: Desk) -> None:
    """The page is where the command says, and a date without a session is refused."""
    page = traded("report").out.strip()

    assert page.endswith(f"{DAY}.html")
    assert "no session" in traded.fails("report", "--date", "2025-11-26", code=1)


def test_a_finished_session_is_not_done_again(traded: Desk) -> None:
    """A second `desk session` of the date says that it was done, and records nothing."""
    before = traded("status", "--json").json["standing"]["last_seq"]

    again = traded("session", "--date", str(DAY))

    assert again.code == 0
    assert "nothing to do" in again.out
    assert traded("status", "--json").json["standing"]["last_seq"] == before


def test_doctor_finds_a_traded_desk_in_order(traded: Desk) -> None:
    """No check fails on a desk that works; the ledger's replay is one of them."""
    answer = traded("doctor", "--json")

    assert answer.code == 0, answer.out
    levels = {check["name"]: check["level"] for check in answer.json}
    assert {levels[name] for name in ("ledger", "broker", "clock", "calendar", "symbols", "strategies")} == {
        "ok"
    }
    assert "opening_range" in answer.out

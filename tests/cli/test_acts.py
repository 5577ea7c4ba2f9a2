"""What a person does: kill, resume, accept a break."""

from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from importlib import metadata

import pytest
import requests

from cli.main import run
from desk.state_hash import STATE_VERSION
from schemas.events import AccountOpened, ProtectionSet, SessionEnded
from schemas.risk import ProtectionScope
from tasks.configuration import load_settings
from tasks.resources import open_ledger
from tests.cli.conftest import DAY, HTTP_TIMEOUT_S, Desk

NOON = "2025-11-28T17:00:00Z"
TEN_TO_CLOSE = "2025-11-28T17:50:00Z"


def theirs(desk: Desk) -> dict[str, object]:
    """Give the exchange's own books."""
    return dict(requests.get(f"{desk.place.server.control_url}/books", timeout=HTTP_TIMEOUT_S).json())


def test_kill_makes_the_account_flat_and_stays_latched(desk: Desk) -> None:
    """Also what a person bought by hand is closed, the broker says so, and the latch holds."""
    desk.place.sim("advance", to=NOON)
    desk.place.sim("trade", symbol="AAPL", side="buy", qty="10")

    killed = desk("kill", "--reason", "drill", "--by", "ann")

    assert killed.code == 0, killed.err
    assert "AAPL 10" in killed.out
    assert "verified at the broker" in killed.out
    assert (theirs(desk)["positions"], theirs(desk)["open_orders"]) == ({}, [])
    found = desk("status", "--json").json["standing"]
    assert (found["trading_state"], [latch["name"] for latch in found["latches"]]) == ("halted", ["kill"])


@pytest.mark.parametrize("calls", [[], ["cancel_all"], ["submit"], ["positions", "orders"]], ids=str)
def test_i14_a_kill_whose_first_three_requests_are_refused_ends_flat(desk: Desk, calls: list[str]) -> None:
    """503 to whatever is asked first, or to the first of a kind: flat at the exchange, and latched (I14)."""
    desk.place.sim("advance", to=NOON)
    desk.place.sim("trade", symbol="AAPL", side="buy", qty="10")
    order = {"symbol": "MSFT", "side": "buy", "qty": "5", "type": "limit", "limit_price": "1"}
    requests.post(
        f"{desk.place.server.url}/v2/orders",
        json={**order, "time_in_force": "day"},
        headers={"APCA-API-KEY-ID": "k", "APCA-API-SECRET-KEY": "s"},
        timeout=HTTP_TIMEOUT_S,
    ).raise_for_status()
    rule = {"kind": "unavailable_503", "every": 1, "times": 3, "lands": False, "calls": calls}
    desk.place.sim("faults", rules=[rule])

    killed = desk("kill", "--reason", "drill", "--by", "ann")

    struck = requests.get(f"{desk.place.server.control_url}/faults", timeout=HTTP_TIMEOUT_S).json()["counts"]
    assert killed.code == 0, killed.err
    assert struck == {"unavailable_503": 3}
    assert (theirs(desk)["positions"], theirs(desk)["open_orders"]) == ({}, [])
    assert desk("status", "--json").json["standing"]["trading_state"] == "halted"


def test_kill_latches_while_the_broker_is_away(desk: Desk) -> None:
    """Without the broker the command fails, and the latch is in the ledger all the same."""
    desk("kill")
    desk("resume", "--by", "ann", "--reason", "looked at it")
    desk.place.server.stop()

    killed = desk("kill", "--reason", "no answer")

    assert (killed.code, killed.out.splitlines()[0].partition(":")[0]) == (1, "latched"), killed.err
    assert desk("status", "--json").json["standing"]["trading_state"] == "halted"


def test_resume_releases_by_name(desk: Desk) -> None:
    """A person releases the latch and the desk is active; a second time there is nothing to release."""
    desk("kill")

    released = desk("resume", "--by", "ann", "--reason", "drill over")

    assert (released.code, "kill" in released.out, "ACTIVE" in released.out) == (0, True, True)
    assert "nothing to resume" in desk.fails("resume", "--by", "ann", "--reason", "looked at it", code=2)
    assert "is not set" in _latched_again(desk)


def _latched_again(desk: Desk) -> str:
    desk("kill")
    return desk.fails("resume", "--by", "ann", "--reason", "looked at it", "--latch", "daily_loss", code=2)


def test_a_hand_made_break_is_named_accepted_and_closed(desk: Desk) -> None:
    """A foreign trade fails close-day by name; accepted by a person, the same close completes."""
    day = DAY.isoformat()
    desk.place.sim("advance", to=TEN_TO_CLOSE)
    assert desk("session", "--date", day).code == 0
    desk.place.sim("trade", symbol="MSFT", side="buy", qty="7", price="400")

    complaint = desk.fails("close-day", "--date", day, code=1)
    listed = desk("breaks", "--json").json

    assert "MSFT" in complaint
    assert len(listed) >= 1
    assert "MSFT" in desk("breaks").out
    assert "open breaks" in desk.fails("resume", "--by", "ann", "--reason", "looked at it", code=1)
    assert "--by NAME" in desk.fails("breaks", "--accept", "all", code=2)
    assert "no open break" in desk.fails(
        "breaks", "--accept", "nonsense", "--by", "ann", "--reason", "typo", code=2
    )
    accepted = desk("breaks", "--accept", "all", "--by", "ann", "--reason", "bought by hand")
    assert accepted.code == 0
    assert desk("close-day", "--date", day).code == 0
    assert "no open breaks" in desk("breaks").out
    assert [(p["symbol"], p["qty"]) for p in desk("positions", "--json").json] == [("MSFT", "7")]


def test_a_pause_is_shown_and_lifted_by_name(desk: Desk) -> None:
    """Status shows the pause until a person lifts it; a protection that pauses nothing is named."""
    noon = datetime(2025, 11, 28, 17, 0, tzinfo=UTC)
    paused = ProtectionSet(
        at=noon,
        protection="low_profit",
        scope=ProtectionScope.SYMBOL,
        key="AAPL",
        until=noon.replace(year=2027),
        number=Decimal(-3),
        limit=Decimal(0),
        cause="3 trades earned -3 USD",
    )
    with closing(open_ledger(load_settings(desk.place.config))) as ledger:
        ledger.acquire("test")
        ledger.append([AccountOpened(at=noon, cash=Decimal(1000)), paused])
        ledger.release()

    shown = desk("status", "--json").json["standing"]["pauses"]
    assert [(p["protection"], p["key"]) for p in shown] == [("low_profit", "AAPL")]
    assert "Entries paused" in desk("status").out
    assert "pausing now: low_profit" in desk.fails(
        "resume", "--by", "ann", "--reason", "looked at it", "--pause", "cool_down", code=2
    )
    assert "of its own" in desk.fails(
        "resume", "--by", "ann", "--reason", "looked at it", "--pause", "low_profit", "--all", code=2
    )
    assert (
        "lifted: low_profit over symbol AAPL"
        in desk("resume", "--by", "ann", "--reason", "looked at it", "--pause", "low_profit").out
    )
    assert desk("status", "--json").json["standing"]["pauses"] == []


def test_config_given_twice_is_the_last_one(desk: Desk) -> None:
    """`--config` decides for the command, whatever DESK_CONFIG said before."""
    assert run(["--config", str(desk.place.config), "breaks"]) == 0


def test_a_ledger_that_does_not_replay_is_refused_by_verify(desk: Desk) -> None:
    """A session end whose hash the replay does not reach fails `replay --verify`, naming the session."""
    settings = load_settings(desk.place.config)
    now = datetime(2025, 11, 28, 18, 0, tzinfo=UTC)
    wrong = SessionEnded(
        at=now,
        session_date=DAY,
        run_id="run one",
        cause="session closed",
        state_seq=1,
        state_hash="0" * 64,
        state_version=STATE_VERSION,
    )
    with closing(open_ledger(settings)) as ledger:
        ledger.acquire("test")
        ledger.append([AccountOpened(at=now, cash=Decimal(1000)), wrong])
        ledger.release()

    assert desk("replay").code == 0
    assert "run one" in desk.fails("replay", "--verify", code=1)
    assert desk("doctor", "--json").code == 1


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """A report of a defect can name the version, without a configuration or a ledger."""
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"desk {metadata.version('miniquantdesk')}"

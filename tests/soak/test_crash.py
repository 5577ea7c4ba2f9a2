"""The kill -9 soak takes a session's end for the day's only where the ledger says so."""

import os
import sys
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from cli.processes import Child
from schemas.events import AnyEvent, SessionEnded, SessionStarted
from soak.crash import reached_close
from soak.stage import kill, until

DAY = date(2025, 11, 20)
CLOSE = datetime(2025, 11, 20, 21, 0, tzinfo=UTC)


def started(minutes: int) -> SessionStarted:
    """Begin a session so many minutes after the close."""
    return SessionStarted(
        at=CLOSE + timedelta(minutes=minutes),
        session_date=DAY,
        run_id="run",
        strategies=(),
        symbols=(),
        settings_hash="",
        equity=Decimal(1),
    )


def ended(minutes: int) -> SessionEnded:
    """End a session so many minutes after the close."""
    return SessionEnded(
        at=CLOSE + timedelta(minutes=minutes),
        session_date=DAY,
        run_id="run",
        cause="session closed",
        state_seq=1,
        state_hash="",
    )


@pytest.mark.parametrize(
    ("events", "is_so"),
    [
        ([started(-9), ended(0)], True),
        ([started(-9), started(1), ended(1)], True),  # began after the bell, to look at the books
        ([started(-9), ended(-5)], False),  # by itself, minutes before the bell
        ([started(-60), started(-9)], False),  # killed, and the next one never began
        ([], False),
    ],
)
def test_only_a_session_that_ended_at_the_close_reached_it(events: list[AnyEvent], is_so: bool) -> None:
    """What ended earlier, or did nothing and went, is reported however late it is looked at."""
    assert reached_close(events, CLOSE) is is_so


def test_a_session_that_is_gone_can_be_killed(tmp_path: Path) -> None:
    """The soak reports one that ended by itself, and goes on."""
    child = Child(
        "gone", [sys.executable, "-S", "-c", ""], env=dict(os.environ), cwd=tmp_path, log=tmp_path / "log"
    )
    assert until(lambda: not child.is_running(), patience_s=60.0)

    kill(child)

    assert child.exit_code == 0

"""Phase claims: done once, retaken from the dead, reopened by a person."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from data.claims import CLAIM_TTL, ClaimState
from data.holders import Process
from data.ledger import Ledger
from tests.data.makers import HandClock, open_ledger
from tests.makers import DAY

DEAD: set[int] = set()


def _alive(process: Process) -> bool:
    return process.pid not in DEAD


@pytest.fixture
def clock() -> HandClock:
    DEAD.clear()
    return HandClock()


@pytest.fixture
def first(tmp_path: Path, clock: HandClock) -> Iterator[Ledger]:
    ledger = open_ledger(tmp_path / "l.db", pid=1, alive=_alive, clock=clock)
    yield ledger
    ledger.close()


@pytest.fixture
def second(tmp_path: Path, clock: HandClock) -> Iterator[Ledger]:
    ledger = open_ledger(tmp_path / "l.db", pid=2, alive=_alive, clock=clock)
    yield ledger
    ledger.close()


@pytest.fixture
def elsewhere(tmp_path: Path, clock: HandClock) -> Iterator[Ledger]:
    ledger = open_ledger(tmp_path / "l.db", pid=3, host="there", alive=_alive, clock=clock)
    yield ledger
    ledger.close()


def test_a_completed_phase_is_a_no_op_that_says_so(first: Ledger, second: Ledger) -> None:
    """A second or late run of a completed phase has nothing to do, and is told by whom it was done."""
    assert first.claim("close-day", DAY, "run-1").granted
    assert first.complete("close-day", DAY, "run-1")

    again = second.claim("close-day", DAY, "run-2")

    assert again.state is ClaimState.DONE
    assert "run-1" in again.message
    assert first.claim("close-day", DAY, "run-1").state is ClaimState.DONE


def test_a_live_run_keeps_others_out(first: Ledger, second: Ledger) -> None:
    """While a run is at a phase, another run is told who is."""
    first.claim("close-day", DAY, "run-1")

    held = second.claim("close-day", DAY, "run-2")

    assert held.state is ClaimState.HELD
    assert "run-1 (process 1 on here)" in held.message
    assert not second.complete("close-day", DAY, "run-2")


def test_the_same_run_in_the_same_process_goes_on(first: Ledger) -> None:
    """A phase retried inside its own process is granted again."""
    first.claim("close-day", DAY, "run-1")

    assert first.claim("close-day", DAY, "run-1").granted
    assert first.claim("close-day", DAY, "run-9").state is ClaimState.HELD


def test_a_dead_runs_claim_is_retaken(first: Ledger, second: Ledger) -> None:
    """A claim of a dead process is taken at once, and the dead run can no longer complete it."""
    first.claim("trade-session", DAY, "run-1")
    DEAD.add(1)

    retaken = second.claim("trade-session", DAY, "run-2")

    assert retaken.granted
    assert "run-1 is dead" in retaken.message
    assert not first.complete("trade-session", DAY, "run-1")
    assert second.complete("trade-session", DAY, "run-2")


def test_another_hosts_claim_lasts_while_it_is_renewed(
    first: Ledger, elsewhere: Ledger, clock: HandClock
) -> None:
    """Another host's claim is held while its process renews, and retaken when it stopped."""
    elsewhere.acquire("session")
    elsewhere.claim("trade-session", DAY, "run-1")
    clock.pass_time(CLAIM_TTL.total_seconds() - 1)
    elsewhere.renew()
    clock.pass_time(CLAIM_TTL.total_seconds() - 1)

    assert first.claim("trade-session", DAY, "run-2").state is ClaimState.HELD
    clock.pass_time(1)
    assert first.claim("trade-session", DAY, "run-2").granted


def test_a_run_that_no_longer_renews_loses_its_claim(first: Ledger, second: Ledger, clock: HandClock) -> None:
    """A process that hangs or is stopped here, and lives, does not keep the phase from everybody for ever."""
    first.acquire("session")
    first.claim("trade-session", DAY, "run-1")
    clock.pass_time(CLAIM_TTL.total_seconds() - 1)
    first.renew()
    clock.pass_time(CLAIM_TTL.total_seconds() - 1)

    assert second.claim("trade-session", DAY, "run-2").state is ClaimState.HELD
    clock.pass_time(1)
    assert second.claim("trade-session", DAY, "run-2").granted
    assert not first.complete("trade-session", DAY, "run-1")


def test_an_abandoned_phase_is_free_at_once(first: Ledger, second: Ledger) -> None:
    """A run that failed gives its phase back, so that a rerun need not wait for its process to end."""
    first.claim("close-day", DAY, "run-1")

    assert first.abandon("close-day", DAY, "run-1")
    assert not first.abandon("close-day", DAY, "run-1")

    assert second.claim("close-day", DAY, "run-2").granted


def test_only_a_completed_phase_is_reopened(first: Ledger, second: Ledger) -> None:
    """Reopening lets a completed phase be done once more, and takes nothing from a live run."""
    first.claim("close-day", DAY, "run-1")
    assert not second.reopen("close-day", DAY)
    first.complete("close-day", DAY, "run-1")

    assert second.reopen("close-day", DAY)

    assert second.claim("close-day", DAY, "run-2").granted


def test_phases_and_dates_are_apart(first: Ledger, second: Ledger) -> None:
    """A claim is for one phase of one date of one account."""
    first.claim("close-day", DAY, "run-1")

    assert second.claim("reconcile", DAY, "run-2").granted
    assert second.claim("close-day", DAY.replace(day=25), "run-3").granted

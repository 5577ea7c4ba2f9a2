"""The lease: one writer per account, whoever crashes, sleeps or comes late."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from data.holders import Process, is_alive, process_start
from data.lease import LEASE_TTL
from desk.errors import LeaseHeld, LeaseLost
from tests.data.makers import HandClock, open_ledger, probed, stored


def _all_alive(_: Process) -> bool:
    return True


def _all_dead(_: Process) -> bool:
    return False


def test_a_second_session_is_told_who_holds_the_account(tmp_path: Path) -> None:
    """While a live process holds the lease, another gets one line with holder and expiry (I12)."""
    first = open_ledger(tmp_path / "l.db", alive=_all_alive)
    second = open_ledger(tmp_path / "l.db", pid=2, alive=_all_alive)
    first.acquire("session 10:31")

    with pytest.raises(
        LeaseHeld, match=r"session 10:31 \(process 1 on here\) until 2025-11-26T14:30:30"
    ) as caught:
        second.acquire("session 10:32")

    assert "\n" not in str(caught.value)
    assert first.lease_holder() == "session 10:31 (process 1 on here)"
    first.close()
    second.close()


def test_the_same_process_cannot_hold_it_twice(tmp_path: Path) -> None:
    """Two sessions in one process are two sessions (I12)."""
    first = open_ledger(tmp_path / "l.db", alive=_all_alive)
    second = open_ledger(tmp_path / "l.db", alive=_all_alive)
    first.acquire("a")

    with pytest.raises(LeaseHeld):
        second.acquire("b")
    first.close()
    second.close()


def test_a_dead_process_of_this_host_is_replaced_at_once(tmp_path: Path) -> None:
    """No waiting for the expiry when the holder is known to be dead."""
    first = open_ledger(tmp_path / "l.db")
    second = open_ledger(tmp_path / "l.db", pid=2, alive=_all_dead)

    assert first.acquire("a") == 1
    assert second.acquire("b") == 2
    first.close()
    second.close()


def test_another_hosts_lease_is_taken_only_after_it_expired(tmp_path: Path) -> None:
    """A process of another host cannot be asked, so only time ends its lease."""
    clock = HandClock()
    first = open_ledger(tmp_path / "l.db", host="there", clock=clock)
    second = open_ledger(tmp_path / "l.db", clock=clock, alive=_all_dead)
    first.acquire("a")

    clock.pass_time(LEASE_TTL.total_seconds() - 1)
    with pytest.raises(LeaseHeld):
        second.acquire("b")
    clock.pass_time(1)

    assert second.acquire("b") == 2
    first.close()
    second.close()


def test_renewing_keeps_the_lease(tmp_path: Path) -> None:
    """A lease renewed in time never runs out."""
    clock = HandClock()
    first = open_ledger(tmp_path / "l.db", host="there", clock=clock)
    second = open_ledger(tmp_path / "l.db", clock=clock)
    first.acquire("a")

    for _ in range(5):
        clock.pass_time(LEASE_TTL.total_seconds() - 1)
        first.renew()
        with pytest.raises(LeaseHeld):
            second.acquire("b")
    first.close()
    second.close()


def test_i12_a_late_writer_with_an_old_token_can_do_nothing(tmp_path: Path) -> None:
    """A holder that slept past its expiry and was replaced can neither append nor renew nor release."""
    clock = HandClock()
    late = open_ledger(tmp_path / "l.db", host="there", clock=clock)
    new = open_ledger(tmp_path / "l.db", clock=clock)
    late.acquire("late")
    late.append([probed("before")])
    clock.pass_time(LEASE_TTL.total_seconds())
    new.acquire("new")

    with pytest.raises(LeaseLost, match="token 1 is not the newest; new with token 2"):
        late.append([probed("after")])
    with pytest.raises(LeaseLost):
        late.renew()
    late.release()

    assert new.append([probed("new")]) == 2
    assert stored(new) == [probed("before"), probed("new")]
    late.close()
    new.close()


def test_i12_a_lease_renewed_a_moment_ago_is_asked_about_again(tmp_path: Path) -> None:
    """Between two written renewals each look still notices that the account was taken (I12)."""
    clock = HandClock()
    first = open_ledger(tmp_path / "l.db", clock=clock)
    second = open_ledger(tmp_path / "l.db", pid=2, clock=clock, alive=_all_dead)
    first.acquire("a")
    first.renew()
    clock.pass_time(1)
    first.renew()
    second.acquire("b")

    with pytest.raises(LeaseLost, match="token 1 is not the newest; b with token 2"):
        first.renew()
    first.close()
    second.close()


def test_a_lease_that_ran_out_and_nobody_took_is_still_ours(tmp_path: Path) -> None:
    """Expiry alone stops nobody: only a newer token does."""
    clock = HandClock()
    ledger = open_ledger(tmp_path / "l.db", clock=clock)
    ledger.acquire("a")

    clock.pass_time(10 * LEASE_TTL.total_seconds())
    ledger.append([probed("a")])
    ledger.renew()

    assert ledger.token == 1
    ledger.close()


def test_release_frees_the_account_and_tokens_still_grow(tmp_path: Path) -> None:
    """After a release anybody may acquire, with a higher token, and the releaser may not append."""
    first = open_ledger(tmp_path / "l.db", alive=_all_alive)
    second = open_ledger(tmp_path / "l.db", pid=2, alive=_all_alive)
    first.acquire("a")

    first.release()

    assert first.lease_holder() is None
    with pytest.raises(LeaseLost):
        first.append([probed("a")])
    assert second.acquire("b") == 2
    first.close()
    second.close()


_CONTENDER = """
import os, sys
from pathlib import Path
from desk.errors import LeaseHeld
from tests.data.makers import open_ledger
ledger = open_ledger(Path(sys.argv[1]), pid=os.getpid(), busy_timeout_ms=30_000)
sys.stdin.readline()
try:
    print("won", ledger.acquire("contender"), flush=True)
except LeaseHeld:
    print("held", flush=True)
sys.stdin.readline()
"""


def test_i12_processes_contending_for_the_lease(tmp_path: Path) -> None:
    """Of processes that ask at the same moment, exactly one gets the account; a killed one is replaced."""
    command = [sys.executable, "-c", _CONTENDER, str(tmp_path / "l.db")]
    pipe = subprocess.PIPE
    contenders = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(4)]
    for contender in contenders:
        assert contender.stdin is not None
        contender.stdin.write("go\n")
        contender.stdin.flush()
    answers = [contender.stdout.readline().strip() for contender in contenders if contender.stdout]

    assert sorted(answers) == ["held", "held", "held", "won 1"]

    winner = contenders[answers.index("won 1")]
    winner.kill()
    ledger = open_ledger(tmp_path / "l.db", pid=os.getpid())
    # Not waited for: it is a zombie until then, and a zombie is dead.
    os.waitid(os.P_PID, winner.pid, os.WEXITED | os.WNOWAIT)
    assert ledger.acquire("next") == 2
    ledger.close()
    for contender in contenders:
        contender.communicate()


def test_a_reused_pid_is_not_mistaken_for_the_holder() -> None:
    """A live process with the pid but another start is not the one that held the lease."""
    pid = os.getpid()
    start = process_start(pid)
    if start is None:
        pytest.skip("no /proc here")

    assert is_alive(Process(host="here", pid=pid, start=start))
    assert is_alive(Process(host="here", pid=pid, start=None))
    assert not is_alive(Process(host="here", pid=pid, start=start + "0"))

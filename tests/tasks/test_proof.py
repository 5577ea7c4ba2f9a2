"""The proof of a ledger: a replay reaches what was recorded, and a change is noticed."""

from decimal import Decimal
from pathlib import Path

from desk.portfolio import replay
from desk.state_hash import STATE_VERSION
from schemas.events import EVENTS as EVENT_TYPES
from schemas.events import AccountOpened, AnyEvent, SessionEnded
from tasks.proof import prove
from tests.makers import DAY, NOON, filled, intent, planned

# A short day's ledger as commit 4862d86 wrote it, before loss bases were remembered.
OLDER = Path(__file__).parent.parent / "answers" / "ledger_before_issue_3.jsonl"
OLDER_HASH = "64a9e4c3e4c6e8e3670096e6cd21af4eae03d59f13a4d6619fc92e0d6e3ff281"
ORDER = intent()
EVENTS: list[AnyEvent] = [
    AccountOpened(at=NOON, cash=Decimal(1000)),
    planned(ORDER),
    filled(ORDER, "e1", "100", price="2"),
]


def ended(*, state_seq: int, state_hash: str, version: int = STATE_VERSION) -> SessionEnded:
    return SessionEnded(
        at=NOON,
        session_date=DAY,
        run_id="run",
        cause="session closed",
        state_seq=state_seq,
        state_hash=state_hash,
        state_version=version,
    )


def test_the_recorded_state_is_reached_again() -> None:
    """The hash is compared at the seq it was taken at, whatever was written after it by others."""
    right = replay(EVENTS).state_hash()
    rows = [*zip((1, 2, 5), EVENTS, strict=True), (9, ended(state_seq=5, state_hash=right))]

    proof = prove(rows)

    assert proof.holds
    assert (proof.events, proof.last_seq, len(proof.endings)) == (4, 9, 1)


def test_a_change_of_an_event_is_noticed() -> None:
    """One share more in one fill, and the recorded hash is not reached."""
    right = replay(EVENTS).state_hash()
    changed = [*EVENTS[:2], filled(ORDER, "e1", "99", price="2")]
    rows = [*zip((1, 2, 3), changed, strict=True), (4, ended(state_seq=3, state_hash=right))]

    proof = prove(rows)

    assert not proof.holds
    assert proof.endings[0].recorded == right


def test_a_hash_of_a_seq_that_is_not_there_does_not_hold() -> None:
    """An event that disappeared cannot prove anything."""
    rows = [(1, EVENTS[0]), (4, ended(state_seq=3, state_hash="0" * 64))]

    assert not prove(rows).holds


def test_i8_a_ledger_of_before_replays_and_its_old_hash_is_not_called_a_difference() -> None:
    """A session end of an older rule is said to be so; the events replay to the state they stand for."""
    rows = list(enumerate((EVENT_TYPES.validate_json(line) for line in OLDER.read_text().splitlines()), 1))

    proof = prove(rows)

    (ending,) = proof.endings
    assert (ending.is_equal, ending.differs) == (False, False)
    assert ending.words == f"by rule 1, now {STATE_VERSION}: not comparable"
    assert (proof.holds, proof.compared) == (True, 0)


def test_i8_the_rule_of_the_hash_changes_with_its_version_only() -> None:
    """The older ledger's state has one hash by this rule: where it changes, STATE_VERSION must be raised."""
    events = [EVENT_TYPES.validate_json(line) for line in OLDER.read_text().splitlines()]

    assert (STATE_VERSION, replay(events).state_hash()) == (3, OLDER_HASH)


def test_an_event_that_disappeared_is_noticed_whatever_the_rule() -> None:
    """An older rule excuses another hash, not a missing event."""
    rows = [(1, EVENTS[0]), (4, ended(state_seq=3, state_hash="0" * 64, version=1))]

    assert not prove(rows).holds


def test_an_empty_ledger_holds() -> None:
    """Nothing recorded, nothing to contradict."""
    proof = prove([])

    assert (proof.holds, proof.events, proof.last_seq) == (True, 0, 0)

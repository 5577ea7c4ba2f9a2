"""The proof of a ledger: a replay reaches what was recorded, and a change is noticed."""

from decimal import Decimal

from desk.portfolio import replay
from schemas.events import AccountOpened, AnyEvent, SessionEnded
from tasks.proof import prove
from tests.makers import DAY, NOON, filled, intent, planned

ORDER = intent()
EVENTS: list[AnyEvent] = [
    AccountOpened(at=NOON, cash=Decimal(1000)),
    planned(ORDER),
    filled(ORDER, "e1", "100", price="2"),
]


def ended(*, state_seq: int, state_hash: str) -> SessionEnded:
    return SessionEnded(
        at=NOON,
        session_date=DAY,
        run_id="run",
        cause="session closed",
        state_seq=state_seq,
        state_hash=state_hash,
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


def test_an_empty_ledger_holds() -> None:
    """Nothing recorded, nothing to contradict."""
    proof = prove([])

    assert (proof.holds, proof.events, proof.last_seq) == (True, 0, 0)

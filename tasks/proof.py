"""Replay the ledger from empty and hold the result to what the running processes had (I8).

Every session's end recorded the hash of its state and the seq it stood at. Folding the ledger up to
that seq must give that hash again, byte for byte; if it does not, either the ledger was changed or the
fold is not a function of its events, and neither may trade.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from desk.portfolio import Portfolio
from schemas.events import AnyEvent, SessionEnded


@dataclass(frozen=True, slots=True)
class Ending:
    """A session's recorded hash, and the one the replay has at the same place."""

    session_date: date
    run_id: str
    state_seq: int
    recorded: str
    replayed: str

    @property
    def is_equal(self) -> bool:
        """Tell whether the replay reached the state of the running process."""
        return self.recorded == self.replayed


@dataclass(frozen=True, slots=True)
class Proof:
    """A replay of the whole ledger."""

    events: int
    last_seq: int  # zero: an empty ledger
    state_hash: str
    endings: tuple[Ending, ...]  # every session end, oldest first

    @property
    def holds(self) -> bool:
        """Tell whether every recorded state was reached again."""
        return all(ending.is_equal for ending in self.endings)


def prove(events: Iterable[tuple[int, AnyEvent]]) -> Proof:
    """Fold all events and compare at every session's end.

    Raises:
        IllegalTransition: the events are not a ledger this desk wrote.
    """
    kept = list(events)
    ends = [event for _, event in kept if isinstance(event, SessionEnded)]
    asked = {event.state_seq for event in ends}
    portfolio = Portfolio()
    hashes: dict[int, str] = {0: portfolio.state_hash()}
    last_seq = 0
    for last_seq, event in kept:
        portfolio.apply(event)
        if last_seq in asked:
            hashes[last_seq] = portfolio.state_hash()
    return Proof(
        events=len(kept),
        last_seq=last_seq,
        state_hash=portfolio.state_hash(),
        endings=tuple(
            Ending(
                session_date=event.session_date,
                run_id=event.run_id,
                state_seq=event.state_seq,
                recorded=event.state_hash,
                replayed=hashes.get(event.state_seq, "no event has this seq"),
            )
            for event in ends
        ),
    )

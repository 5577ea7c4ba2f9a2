"""Replay the ledger from empty and hold the result to what the running processes had (I8).

Every session's end recorded the hash of its state and the seq it stood at. Folding the ledger up to
that seq must give that hash again, byte for byte; if it does not, either the ledger was changed or the
fold is not a function of its events, and neither may trade.

A hash made by another version's rule (desk/state_hash.py) cannot be compared and proves nothing either way:
the events it stands on are replayed all the same, and the next session's end is compared again.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from desk.portfolio import Portfolio
from desk.state_hash import STATE_VERSION
from schemas.events import AnyEvent, SessionEnded

_NO_EVENT = "no event has this seq"


@dataclass(frozen=True, slots=True)
class Ending:
    """A session's recorded hash, and the one the replay has at the same place."""

    session_date: date
    run_id: str
    state_seq: int
    recorded: str
    replayed: str
    state_version: int  # of the rule the recorded hash was made by

    @property
    def is_equal(self) -> bool:
        """Tell whether the replay reached the state of the running process."""
        return self.recorded == self.replayed

    @property
    def is_of_another_rule(self) -> bool:
        """Tell whether the hashes were made by different rules, so that they say nothing of each other."""
        return self.state_version != STATE_VERSION and self.replayed != _NO_EVENT

    @property
    def differs(self) -> bool:
        """Tell whether the replay is proven to have reached another state, or none."""
        return not self.is_equal and not self.is_of_another_rule

    @property
    def words(self) -> str:
        """Say it in a few words."""
        if self.is_equal:
            return "equal"
        if self.is_of_another_rule:
            return f"by rule {self.state_version}, now {STATE_VERSION}: not comparable"
        return "DIFFERS"


@dataclass(frozen=True, slots=True)
class Proof:
    """A replay of the whole ledger."""

    events: int
    last_seq: int  # zero: an empty ledger
    state_hash: str
    endings: tuple[Ending, ...]  # every session end, oldest first

    @property
    def holds(self) -> bool:
        """Tell whether every recorded state that can be compared was reached again."""
        return not any(ending.differs for ending in self.endings)

    @property
    def compared(self) -> int:
        """Count the session ends whose state was compared."""
        return sum(not ending.is_of_another_rule for ending in self.endings)


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
                replayed=hashes.get(event.state_seq, _NO_EVENT),
                state_version=event.state_version,
            )
            for event in ends
        ),
    )

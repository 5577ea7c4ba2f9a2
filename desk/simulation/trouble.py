"""What goes wrong between the desk and the venue, drawn from the seed.

The venue itself is honest and everything it did is known to the auditor; here answers get lost before and
after the venue acted, reads fail, lists repeat themselves, and the user stream loses, doubles and reorders.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from desk.simulation.chance import Chance


@dataclass(frozen=True, slots=True)
class Rates:
    """How often each kind strikes, a call or a message."""

    lost_before: float = 0.0  # of a write: the venue never saw it
    lost_after: float = 0.0  # of a write: the venue acted, the answer is gone
    arrives_late: float = 0.0  # of an order: taken by the venue seconds after the answer was given up
    read_fails: float = 0.0
    fills_doubled: float = 0.0  # of a list of executions: some stand in it twice
    message_lost: float = 0.0
    message_doubled: float = 0.0
    message_reordered: float = 0.0
    outage: float = 0.0  # a minute: every call fails for a while
    bar_late: float = 0.0  # a bar is delivered minutes late
    bar_revised: float = 0.0  # a bar is first delivered with other numbers
    feed_down: float = 0.0  # a delivery fails
    feed_frozen: float = 0.0  # a minute: the feed delivers nothing new for a while


KINDS = tuple(Rates.__dataclass_fields__)
OUTAGE_S = (5, 100)


def rates(chance: Chance) -> Rates:
    """Draw which kinds of trouble a seed has and how much of each."""
    if chance.strikes(0.1):
        return Rates()
    share = chance.among((0.2, 0.5, 0.8))
    strongest = {
        "lost_before": 0.15, "lost_after": 0.2, "arrives_late": 0.1, "read_fails": 0.15, "fills_doubled": 0.3,
        "message_lost": 0.4, "message_doubled": 0.3, "message_reordered": 0.5, "outage": 0.1,
        "bar_late": 0.1, "bar_revised": 0.1, "feed_down": 0.1, "feed_frozen": 0.05,
    }  # fmt: skip
    return Rates(
        **{
            kind: round(chance.number(0.1, 1.0) * most, 4) if chance.strikes(share) else 0.0
            for kind, most in strongest.items()
        }
    )


class Outage:
    """A stretch of time in which something does not answer."""

    def __init__(self, chance: Chance, likelihood: float) -> None:
        """Begin with everything up; `likelihood` is that of an outage beginning in a minute."""
        self._chance = chance
        self._likelihood = likelihood
        self._until: datetime | None = None
        self._asked: datetime | None = None

    def is_on(self, now: datetime) -> bool:
        """Tell whether it is out now; whether one begins is decided once a minute."""
        if self._until is not None and now < self._until:
            return True
        minute = now.replace(second=0, microsecond=0)
        if minute != self._asked:
            self._asked = minute
            if self._chance.strikes(self._likelihood):
                self._until = now + timedelta(seconds=self._chance.whole(*OUTAGE_S))
                return True
        return False

"""The venue's time: now, the session it belongs to, stamps that never tie, and what is due when.

Everything that happens by itself is an entry of the agenda: the session's edges, a cancel that takes a
while, a fault somebody planned. Entries of one instant act in the order they were made.
"""

import heapq
from collections.abc import Callable
from datetime import datetime, timedelta

from schemas.account import SessionHours

MICROSECOND = timedelta(microseconds=1)
Act = Callable[[], None]


class Timeline:
    """One venue's time."""

    def __init__(self, now: datetime, hours: SessionHours) -> None:
        """Begin at an instant of a session."""
        self.now = now
        self.hours = hours
        self._last_stamp = now - MICROSECOND
        self._agenda: list[tuple[datetime, int, Act]] = []
        self._made = 0

    @property
    def is_open(self) -> bool:
        """Tell whether the regular session is on."""
        return self.hours.opens_at <= self.now < self.hours.closes_at

    def stamp(self) -> datetime:
        """Give now, later than every stamp before."""
        self._last_stamp = max(self.now, self._last_stamp + MICROSECOND)
        return self._last_stamp

    def at(self, instant: datetime, act: Act) -> None:
        """Plan an act; one planned for the past happens when time next moves."""
        self._made += 1
        heapq.heappush(self._agenda, (instant, self._made, act))

    def next_due(self, to: datetime) -> datetime | None:
        """Give the instant of the next act at or before `to`, or None."""
        return self._agenda[0][0] if self._agenda and self._agenda[0][0] <= to else None

    def pop(self) -> Act:
        """Take the next act off the agenda."""
        return heapq.heappop(self._agenda)[2]

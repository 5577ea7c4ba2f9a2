"""Which minutes of a backtest's session must be visited: those in which something can happen.

Theory of operation. Between two minutes nothing changes the desk's books unless an order works, a level asks
for a change of a position, or the value of what is held reaches a limit. All three can be seen coming:

- while an order may execute, every minute is visited (and the desk looks every few seconds, as live);
- a level acts where it contradicts the position: a zero or opposite level on a position, a level that is not
  zero on none. Its next minute is found in the array of signs;
- while positions are held and limits or protections apply, the account's value at each coming minute is one
  product of arrays. The first minute is visited at which it falls to a limit, or has moved so far from the
  value recorded last that the drawdown protection should know it (`MOVE_FRAC`);
- the minute before the close-out, and every minute of positions with protective exits that the desk watches.

Whether a minute's value is recorded (`is_marked`) is decided by the same numbers and not by whether minutes
were left out, so a backtest that visits every minute writes the same ledger to the last byte.
"""

from collections.abc import Iterator
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from desk.hours import minutes
from desk.journal import Journal
from desk.research.opinions import SILENT, Opinions, Said
from desk.research.reel import Reel
from desk.rhythm import Rhythm
from schemas.account import SessionHours
from schemas.settings import Settings

MINUTE = timedelta(minutes=1)
MOVE_FRAC = 0.0025  # of equity: a sixtieth of the drawdown (15 %) that pauses entries by default
NEAR_USD = 1.0  # values this near a limit are looked at by the desk itself, in Decimals
NEVER = 1 << 30

Floats = NDArray[np.float64]


class Foresight(Rhythm):
    """The rhythm of a backtest."""

    books_every = timedelta(days=1)  # nobody else trades at this venue; each session's end compares

    def __init__(
        self,
        journal: Journal,
        reel: Reel,
        opinions: Opinions,
        settings: Settings,
        *,
        skips: bool,
        proves: bool,
        limited: bool,
    ) -> None:
        """Look ahead in bars and opinions.

        Args:
            journal: the books.
            reel: the bars.
            opinions: of all strategies.
            settings: of the desk.
            skips: False visits every minute all the same.
            proves: whether each session ends with the hash of the state.
            limited: whether loss limits and protections apply.
        """
        self.proves = proves
        self._journal = journal
        self._reel = reel
        self._opinions = opinions
        self._settings = settings
        self._skips = skips
        self._limited = limited
        self._guarded = {each.name for each in settings.strategies if each.exits is not None}
        self._sized = {each.name for each in settings.strategies if each.size is not None}
        self._seen = 0  # the ledger's seq when the last minute was over
        self._hours: SessionHours | None = None
        self._next: list[tuple[int, int]] = []  # by opinion: the position's sign, and the next acting minute
        self._values: tuple[int, Floats, Floats] | None = None  # seq, own and broker's equity by minute

    def minutes(self, hours: SessionHours) -> Iterator[object]:  # type: ignore[override]
        """Give the minutes to visit, in order, each decided when the one before it is over."""
        self._hours = hours
        edges = minutes(hours)
        self._opinions.open(hours)
        self._next = [(NEVER, -1)] * len(self._opinions.all)
        self._values = None
        self._seen = self._journal.seq
        place = 0
        while place < len(edges):
            place = self._due(place) if self._skips else place
            if place >= len(edges):
                return
            yield edges[place]
            changed = self._journal.seq != self._seen
            self._seen = self._journal.seq
            place += 1
            if changed and self._skips and place < len(edges):
                # What was learned after this minute was written belongs to the next one.
                yield edges[place]
                self._seen = self._journal.seq
                place += 1

    def is_calm(self) -> bool:
        """Tell whether no order may execute before the next minute to visit."""
        return self._skips and not self._journal.portfolio.orders.has_working

    def is_marked(self, minute: object) -> bool:
        """Tell whether the minute's value is recorded: something happened, or it has moved."""
        raise NotImplementedError

"""How long a minute is waited for: until every symbol that can be expected has printed, and no longer.

A minute with every bar there is decided at once. One that lacks some is decided when the patience with each
missing symbol is used up. Patience is learned from the day's own prints, over the last `WINDOW` minutes:

- fewer than `LEARN_MIN` minutes known, or printed in at least `LIQUID_SHARE` of them: the longest wait;
- printed in fewer than `SPARSE_SHARE`: none. On IEX, and for thin names anywhere, a minute without a trade
  has no bar at all (ALPACA.md section 4.1), and every decision would wait for what does not come;
- between: as long as nine of ten of its bars took, and `SLACK_S`.

A bar within the longest wait counts as printed even when the minute was decided without it; else a symbol
that was once given up would never be waited for again. Minutes in which the feed itself was in doubt teach
nothing. Left out: yesterday's habits; the first minutes of a session are waited for in full.
"""

from collections import deque
from collections.abc import Iterable
from datetime import datetime, timedelta

MINUTE = timedelta(minutes=1)
WINDOW = 30  # minutes: half an hour forgets the rush of the open
LEARN_MIN = 10  # minutes: fewer say nothing about a habit
LIQUID_SHARE = 0.9
SPARSE_SHARE = 0.5
USUAL_SHARE = 0.9
SLACK_S = 0.25  # the jitter of a healthy connection


class Watermark:
    """The habits of each symbol today, and what of the current minute is there."""

    def __init__(self, symbols: Iterable[str], *, longest: timedelta) -> None:
        """Know nothing yet.

        Args:
            symbols: who is expected.
            longest: the longest wait after a minute's end.
        """
        self.symbols = frozenset(symbols)
        self.longest = longest
        self._minutes: deque[datetime] = deque(maxlen=WINDOW)  # those that were closed
        self._late_s: dict[datetime, dict[str, float]] = {}  # by minute and symbol, seconds after its end
        self._patience: dict[str, timedelta] = {}  # since the last close; asked at every wake

    def printed(self, symbol: str, minute: datetime, at: datetime) -> None:
        """Note that a minute's bar came; only the first time counts."""
        self._late_s.setdefault(minute, {}).setdefault(symbol, (at - minute - MINUTE).total_seconds())

    def told(self, symbol: str, minute: datetime) -> None:
        """Note that the history has a minute's bar: what the stream loses is no habit."""
        self._late_s.setdefault(minute, {}).setdefault(symbol, self.longest.total_seconds())

    def missing(self, minute: datetime) -> frozenset[str]:
        """Give the symbols whose bar of the minute has not come."""
        return self.symbols.difference(self._late_s.get(minute, {}))

    def due(self, minute: datetime, *, excused: frozenset[str] = frozenset()) -> datetime:
        """Give the instant at which the minute is decided if nothing more comes.

        Args:
            minute: its left edge.
            excused: symbols nobody waits for, whatever their habits.
        """
        waits = [self.patience(symbol) for symbol in self.missing(minute) - excused]
        return minute + MINUTE + max(waits, default=timedelta(0))

    def overdue(self, minute: datetime, *, excused: frozenset[str] = frozenset()) -> frozenset[str]:
        """Give the missing symbols that are waited for at all."""
        missing = self.missing(minute) - excused
        return frozenset(symbol for symbol in missing if self.patience(symbol) > timedelta(0))

    def close(self, minute: datetime) -> None:
        """Count a minute that was decided towards the habits, and forget the oldest."""
        self._patience.clear()
        if minute not in self._minutes:
            self._minutes.append(minute)
        oldest = self._minutes[0]
        for known in [known for known in self._late_s if known < oldest]:
            del self._late_s[known]

    def patience(self, symbol: str) -> timedelta:
        """Give how long after a minute's end a symbol's bar is waited for, as of the last close."""
        known = self._patience.get(symbol)
        if known is None:
            known = self._patience[symbol] = self._learned(symbol)
        return known

    def _learned(self, symbol: str) -> timedelta:
        if len(self._minutes) < LEARN_MIN:
            return self.longest
        seen = [self._late_s.get(minute, {}).get(symbol) for minute in self._minutes]
        limit = self.longest.total_seconds()
        came = sorted(late for late in seen if late is not None and late <= limit)
        share = len(came) / len(seen)
        if share >= LIQUID_SHARE:
            return self.longest
        if share < SPARSE_SHARE:
            return timedelta(0)
        usual = came[min(int(len(came) * USUAL_SHARE), len(came) - 1)]
        return min(self.longest, timedelta(seconds=max(usual, 0.0) + SLACK_S))

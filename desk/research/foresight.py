"""Which minutes of a backtest's session must be visited: those in which something can happen.

Theory of operation. Between two minutes nothing changes the desk's books unless an order works, a level asks
for a change of a position, or the value of what is held reaches a limit. All three can be seen coming:

- while an order may execute, every minute is visited (and the desk looks every few seconds, as live);
- a level acts where it contradicts the position: a zero or opposite level on a position, a level that is not
  zero on none. Its next minute is found in the array of signs;
- while positions are held and limits or protections apply, the account's value at each coming minute is one
  product of arrays. The first minute is visited at which it falls to a limit, or has moved so far from the
  value recorded last that the drawdown protection should know it (`MOVE_FRAC`), whose peak is a recorded
  value. If what is recorded begins a pause, it begins at the look after it;
- a pause for low profit begins without an execution when a good trade is too old to count any more. The
  minute of that instant is visited, and the one before it, so that the desk looks at the same seconds;
- the minute before the close-out, every minute of positions with protective exits that the desk watches, and
  the session's last.

Whether a minute's value is recorded (`is_marked`) is decided by the same numbers and not by whether minutes
were left out, so a backtest that visits every minute writes the same ledger to the last byte.
"""

from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from desk.exchange.floor import STARTS_BEFORE_OPEN
from desk.hours import minutes
from desk.journal import Journal
from desk.protections import due, highest
from desk.reentry import stopped_out
from desk.research.opinions import SILENT, Opinions
from desk.research.reel import Reel
from desk.rhythm import Rhythm
from desk.sizer import Key
from desk.tape import microseconds
from schemas.account import SessionHours
from schemas.protections import LowProfit, MaxDrawdown
from schemas.settings import Settings

MINUTE = timedelta(minutes=1)
MOVE_FRAC = 0.0025  # of equity: a sixtieth of the drawdown (15 %) that pauses entries by default
NEAR_USD = 1.0  # values this near a limit are looked at by the desk itself, in Decimals
HALF_TICK_USD = 0.005  # by so much a price may be rounded in between, of each share
NEVER = 1 << 30
STOPPED = 8  # stands for the position of what a protective exit closed: every opinion must be seen

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Signs = NDArray[np.int8]
Places = NDArray[np.int64]


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
        self._edges: tuple[datetime, ...] = ()
        protections = settings.protections if limited else ()
        self._drawdowns = [each for each in protections if isinstance(each, MaxDrawdown)]
        self._within = [
            timedelta(minutes=each.within_minutes) for each in protections if isinstance(each, LowProfit)
        ]
        self._delay = timedelta(seconds=settings.session.bar_delay_s)
        self._place = self._before = -1  # the place at hand, and the one visited before it
        self._looked = (-1, -1)  # the seq and the place that the two below are of
        self._held: Signs = np.empty(0, dtype=np.int8)  # by opinion: the sign of the position
        self._next: Places = np.empty(0, dtype=np.int64)  # by opinion: the next minute that contradicts it
        self._by_minute: dict[str, tuple[Floats, Floats]] = {}  # by symbol, of the session
        self._values: tuple[int, Flags] | None = None  # as of a seq: the minutes that are disturbed

    def minutes(self, hours: SessionHours) -> Iterator[datetime]:
        """Give the minutes to visit, in order, each decided when the one before it is over."""
        edges = minutes(hours)
        self._hours, self._edges = hours, edges
        self._opinions.open(hours)
        self._looked = (-1, -1)
        self._held = np.full(len(self._opinions.all), SILENT, dtype=np.int8)
        self._next = np.full(len(self._opinions.all), NEVER, dtype=np.int64)
        self._values = None
        self._by_minute = {}
        self._seen = self._journal.seq
        place = 0
        self._place = -1
        while place < len(edges):
            if self._skips:  # the last minute always: the session ends when it is over
                place = min(self._due(place), len(edges) - 1)
            self._before, self._place = self._place, place
            yield edges[place]
            self._seen = self._journal.seq
            place += 1

    def is_calm(self) -> bool:
        """Tell whether nothing can happen before the next minute to visit."""
        if not self._skips or self._is_busy() or self._is_guarded():
            return False
        return not self._is_falling(self._before) and self._ageing(self._before) > self._place

    def is_marked(self, minute: datetime) -> bool:
        """Tell whether the minute's value is recorded: something happened, it has moved, exits watch it."""
        if self._journal.seq != self._seen:
            return True
        if not self._journal.portfolio.holdings():
            return False
        return self._is_guarded() or bool(self._disturbed()[bisect_right(self._edges, minute) - 1])

    def _due(self, place: int) -> int:
        """Give the first place at or after `place` in which something can happen."""
        if self._is_busy() or self._is_falling(place - 1):
            return place
        self._look_ahead(place)
        found = min(int(self._next.min(initial=NEVER)), max(place, self._ageing(place - 1) - 1))
        if self._journal.portfolio.positions.held:
            if self._is_guarded():
                return place
            found = min(found, self._leaving(place))
            if self._limited:
                found = min(found, _first(self._disturbed(), place))
        return found

    def _is_busy(self) -> bool:
        """Tell whether an order may execute, or positions must go."""
        portfolio = self._journal.portfolio
        return portfolio.orders.has_working or bool(portfolio.latches and portfolio.holdings())

    def _is_guarded(self) -> bool:
        """Tell whether a position is held whose protective exits the desk watches."""
        return any(strategy in self._guarded for strategy, _ in self._journal.portfolio.holdings())

    def _is_falling(self, place: int) -> bool:
        """Tell whether the value recorded when a place was over begins a pause, at the next look.

        Args:
            place: -1 for what was recorded, or paid, before the session: its first look is when it starts.
        """
        now = self._decided(place) if place >= 0 else self._edges[0] - STARTS_BEFORE_OPEN
        return bool(due(self._drawdowns, self._journal.portfolio.risk, now=now))

    def _decided(self, place: int) -> datetime:
        """Give the instant at which a place is decided."""
        return self._edges[0] + (place + 1) * MINUTE + self._delay

    def _ageing(self, place: int) -> int:
        """Give the first place decided after a trade grew too old to count, but not before `place` was.

        Args:
            place: -1 for the time before the session's first minute was decided.
        """
        found = NEVER
        trades, first = self._journal.portfolio.risk.trades, self._decided(0)
        for within in self._within:
            counted = self._decided(place) - within
            oldest = 0 if place < 0 else bisect_right(trades, counted, key=lambda trade: trade.closed_at)
            if oldest < len(trades):
                late = trades[oldest].closed_at + within - first
                found = min(found, max(place + 1, -(-late // MINUTE)))
        return found

    def _leaving(self, place: int) -> int:
        """Give the minute from whose end on positions are closed out; NEVER where they are held overnight."""
        rhythm = self._settings.session
        if not rhythm.close_out:
            return NEVER
        return max(place, len(self._edges) - rhythm.close_out_minutes - 1)

    def _stopped(self) -> Collection[Key]:
        """Give what a protective exit closed: whether its level was left since must be seen (reentry.py)."""
        if not self._guarded or self._hours is None:
            return ()
        return stopped_out(self._journal.portfolio, self._hours.session_date).keys()

    def acting(self, place: int) -> Sequence[int]:
        """Give the opinions that a minute must be asked for: of any other, nothing would come.

        Those that contradict the position, and all of what has a working order, which may be one to cancel.
        """
        self._look_ahead(place)
        working = self._journal.portfolio.orders.working()
        keys = {(order.intent.strategy, order.intent.symbol) for order in working}
        busy = (number for key in keys if (number := self._opinions.number.get(key)) is not None)
        return sorted({*np.flatnonzero(self._next == place).tolist(), *busy})

    def _look_ahead(self, place: int) -> None:
        """Find of each opinion the first minute at or after `place` that contradicts the position."""
        looked, self._looked = self._looked, (self._journal.seq, place)
        if looked == self._looked:
            return
        held = np.zeros(len(self._held), dtype=np.int8)
        for key, position in self._journal.portfolio.positions.held.items():
            number = self._opinions.number.get(key)
            if number is not None:
                held[number] = 1 if position.qty > 0 else -1
        for key in self._stopped():
            if key in self._opinions.number:
                held[self._opinions.number[key]] = STOPPED
        for number in np.flatnonzero((held != self._held) | (self._next < place)).tolist():
            signs = self._opinions.all[number].signs[place:]
            self._next[number] = place + _first(self._contradicts(signs, int(held[number])), 0)
        self._held = held

    def _contradicts(self, signs: Signs, held: int) -> Flags:
        """Tell of minutes whether their opinions ask for another position than is held."""
        if held == 0 and not self._settings.risk.allow_short:
            entries: Flags = signs == 1
            return entries
        others: Flags = (signs != SILENT) & (signs != held)
        return others

    def _disturbed(self) -> Flags:
        """Tell of every minute whether the value of what is held is near a limit or has moved."""
        journal = self._journal
        if self._values is None or self._values[0] != journal.seq:
            self._values = journal.seq, self._find_disturbed()
        return self._values[1]

    def _find_disturbed(self) -> Flags:
        portfolio, memory, limits = self._journal.portfolio, self._journal.portfolio.risk, self._settings.risk
        newest = memory.newest
        if not self._limited or newest is None or memory.day is None:
            return np.zeros(len(self._edges), dtype=np.bool_)
        own = np.full(len(self._edges), float(portfolio.cash))
        broker, near = own.copy(), NEAR_USD
        for (_, symbol), position in portfolio.holdings().items():
            closes, marks = self._prices(symbol)
            own += float(position.qty) * closes
            broker += float(position.qty) * marks
            near += float(abs(position.qty)) * HALF_TICK_USD
        worse = np.minimum(own, broker)
        floor = float(memory.day.own) - float(limits.daily_loss_usd)
        if memory.week is not None:
            floor = max(floor, float(memory.week.own) - float(limits.weekly_loss_usd))
        if memory.peak is not None:
            floor = max(floor, float(memory.peak.own) * (1.0 - float(limits.drawdown_max_frac)))
        for each in self._drawdowns:
            high = highest(each, memory, now=self._edges[0])
            floor = max(floor, float(high) * (1.0 - float(each.max_frac)))
        last = float(newest.own)
        has_moved = np.abs(own - last) >= MOVE_FRAC * abs(last)
        found: Flags = np.logical_or(worse <= floor + near, has_moved)
        return found

    def _prices(self, symbol: str) -> tuple[Floats, Floats]:
        """Give, by minute, the newest close, and the print the venue values by when the minute is decided."""
        found = self._by_minute.get(symbol)
        if found is None:
            found = self._by_minute[symbol] = self._find_prices(symbol)
        return found

    def _find_prices(self, symbol: str) -> tuple[Floats, Floats]:
        assert self._hours is not None, "minutes comes first"
        track, rows = self._reel.tracks[symbol], self._reel.grid(self._hours, symbol)
        closes = np.where(rows >= 0, track.close[rows], 0.0)
        if self._reel.splits:
            old = track.ts[rows] < microseconds(self._hours.opens_at)
            closes[old] *= self._reel.carry(self._hours, symbol)
        marks = closes.copy()
        fresh = np.flatnonzero(rows[1:] != rows[:-1])  # a bar begins in the minute after these
        marks[fresh] = track.open[rows[fresh + 1]]
        return closes, marks


def _first(flags: Flags, place: int) -> int:
    """Give the first place at or after `place` whose flag is set."""
    if place >= len(flags):
        return NEVER
    found = place + int(flags[place:].argmax())
    return found if flags[found] else NEVER

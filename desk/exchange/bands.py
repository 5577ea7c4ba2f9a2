"""Price bands (LULD): how far a share may trade from its mean of the last five minutes.

The band stands `Rules.band` above and below the reference price, the mean of the prints of the last five
minutes; the first reference is the opening print. The reference moves, at a full minute, when the mean is 1 %
or more away from it (Limit Up - Limit Down plan, section V). The bands of a day are a function of its
tape, so they are worked out once a symbol and then looked up. Left out: the doubled bands of the last 25
minutes, tiers, straddle states and the pauses that follow a limit state.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from desk.exchange.matching import Rules
from desk.exchange.tape import Tape
from desk.exchange.ticks import tape_letter
from schemas.market_stream import StreamLuld

MOVES_BY = 0.01
WINDOW = timedelta(minutes=5)
MINUTE = timedelta(minutes=1)
INDICATOR = "B"  # what Alpaca's example carries

Change = tuple[datetime, float, float]  # from when, limit down, limit up


class Bands:
    """The bands of a floor's symbols, worked out when first asked for."""

    def __init__(self, rules: Rules) -> None:
        """Keep the rules."""
        self._band = float(rules.band)
        self._tape: Tape | None = None
        self._changes: dict[str, list[Change]] = {}

    def between(
        self,
        tape: Tape,
        symbols: Iterable[str],
        after: datetime,
        through: datetime,
        listed_on: Callable[[str], str],
    ) -> list[tuple[datetime, list[StreamLuld]]]:
        """Give the bands that begin in (after, through], by instant."""
        if tape is not self._tape:
            self._tape, self._changes = tape, {}
        found: dict[datetime, list[StreamLuld]] = {}
        for symbol in sorted(symbols):
            if symbol not in self._changes:
                self._changes[symbol] = self._day(tape, symbol)
            changes = self._changes[symbol]
            letter = tape_letter(listed_on(symbol))
            first = bisect_right(changes, after, key=lambda change: change[0])
            last = bisect_right(changes, through, key=lambda change: change[0])
            for at, down, up in changes[first:last]:
                found.setdefault(at, []).append(StreamLuld(symbol, at, up, down, INDICATOR, letter))
        return sorted(found.items())

    def _day(self, tape: Tape, symbol: str) -> list[Change]:
        """Work out a symbol's day."""
        hours = tape.hours
        before = hours.opens_at - timedelta(microseconds=1)
        prints = [
            (seen.at, float(seen.price))
            for minute, _ in tape.minutes_between(symbol, before, hours.closes_at)
            for seen in minute
            if seen.regular
        ]
        if not prints:
            return []
        reference = prints[0][1]
        changes = [self._change(prints[0][0], reference)]
        at = hours.opens_at + MINUTE
        stamps = [stamp for stamp, _ in prints]
        while at < hours.closes_at:
            window = prints[bisect_right(stamps, at - WINDOW) : bisect_right(stamps, at)]
            mean = sum(price for _, price in window) / len(window) if window else reference
            if abs(mean - reference) >= MOVES_BY * reference:
                reference = mean
                changes.append(self._change(at, reference))
            at += MINUTE
        return changes

    def _change(self, at: datetime, reference: float) -> Change:
        """Give the band around a reference, to the cent."""
        return at, round(reference * (1 - self._band), 2), round(reference * (1 + self._band), 2)

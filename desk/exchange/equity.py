"""The account's equity in the past: what the portfolio history answers are made of.

Nothing is sampled while the market plays. The floor keeps its books as each session found them, and every
execution since; the market says the same for ever. So the equity of any instant is worked out when it is
asked for, with the arithmetic the account itself uses: the same instant gives the same equity, whatever
timeframe it is asked in, and the last value of a session is the `last_equity` of the next.

A day belongs to its session from 04:00 New York until 04:00 of the next session.
"""

from collections.abc import Iterable, Iterator
from datetime import date, datetime
from decimal import Decimal
from heapq import merge
from operator import attrgetter

from desk.exchange.books import Books, FeeCharge, Opening
from desk.exchange.floor import Floor
from desk.exchange.orders import Execution, SplitDone
from desk.exchange.tape import EXTENDED_BEFORE, Tape
from desk.hours import session_hours
from desk.money import ZERO
from schemas.account import SessionHours

TAPES_KEPT = 8  # past sessions whose bars stay at hand: a week of minutes asked for again and again


class EquityHistory:
    """Values the account at instants that have passed."""

    def __init__(self, floor: Floor) -> None:
        """Keep the floor; tapes of past sessions are made when asked for."""
        self._floor = floor
        self._tapes: dict[date, Tape] = {}

    def sessions(self) -> tuple[SessionHours, ...]:
        """Give the account's sessions, oldest first; the last is the current one."""
        return tuple(self._hours(opening) for opening in self._floor.openings)

    def base(self, place: int) -> Decimal:
        """Give the equity a session of the account started from: the last of the one before."""
        return self._floor.openings[place].last_equity

    def closing(self, place: int) -> Decimal:
        """Give the equity a session ended with, or has now."""
        openings = self._floor.openings
        if place + 1 < len(openings):
            return openings[place + 1].last_equity
        return self._floor.totals().equity

    def values(self, place: int, instants: Iterable[datetime]) -> Iterator[Decimal]:
        """Give the equity at instants of one session of the account.

        Args:
            place: which session, in the order of `sessions`.
            instants: ascending, none later than now.
        """
        floor, opening = self._floor, self._floor.openings[place]
        ends = Opening.of(floor.hours.session_date, floor.books)
        if place + 1 < len(floor.openings):
            ends = floor.openings[place + 1]
        begins = self._hours(opening).opens_at - EXTENDED_BEFORE
        events: Iterator[Execution | FeeCharge | SplitDone] = merge(
            floor.books.executions[opening.executions : ends.executions],
            floor.books.charges[opening.charges : ends.charges],
            [split for split in floor.splits if split.at >= begins],
            key=attrgetter("at"),
        )
        books = Books(opening.cash)
        books.holdings = dict(opening.holdings)
        following = next(events, None)
        for at in instants:
            while following is not None and following.at <= at:
                _apply(books, following)
                following = next(events, None)
            yield books.totals(self._marks(books, opening, at), reserved=ZERO).equity

    def _marks(self, books: Books, opening: Opening, at: datetime) -> dict[str, Decimal]:
        """Give the price of every held symbol that had one."""
        if not books.holdings:
            return {}
        tape = self._tape(opening)
        found = {symbol: tape.mark(symbol, at) for symbol in books.holdings}
        return {symbol: price for symbol, price in found.items() if price is not None}

    def _tape(self, opening: Opening) -> Tape:
        """Give a session's bars: the floor's own, or made again."""
        day = opening.session_date
        if day == self._floor.hours.session_date:
            return self._floor.tape
        if day not in self._tapes:
            if len(self._tapes) == TAPES_KEPT:
                del self._tapes[next(iter(self._tapes))]
            self._tapes[day] = Tape(self._floor.market, self._hours(opening), self._floor.rules)
        return self._tapes[day]

    @staticmethod
    def _hours(opening: Opening) -> SessionHours:
        """Give an opening's session."""
        hours = session_hours(opening.session_date)
        assert hours is not None  # the floor opened on it
        return hours


def _apply(books: Books, event: Execution | FeeCharge | SplitDone) -> None:
    """Let the books go through what happened once more."""
    match event:
        case Execution():
            books.book(event)
        case FeeCharge():
            books.cash -= event.amount
        case SplitDone():
            books.split(event.symbol, old=event.old, new=event.new)

"""How often a session looks: every minute and every few seconds, unless nothing can happen meanwhile.

A live desk must look, because anything may happen. A backtest knows the rest of its day and hands in a
rhythm that leaves out the minutes in which nothing can (desk/research/foresight.py).
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from desk.hours import minutes
from schemas.account import SessionHours

# Five reads of the broker; without the stream a trade by hand is unknown this long.
BOOKS_EVERY = timedelta(minutes=5)


class Rhythm:
    """The rhythm of a desk that must look."""

    books_every = BOOKS_EVERY  # how often the books are compared with the broker's
    proves = True  # whether the state's hash is recorded at the session's end

    def minutes(self, hours: SessionHours) -> Iterable[datetime]:
        """Give the left edges of the minutes to visit, in order; it may be read while the session runs."""
        return minutes(hours)

    def is_calm(self) -> bool:
        """Tell whether nothing can happen before the next minute to visit."""
        return False

    def is_marked(self, minute: datetime) -> bool:
        """Tell whether a visited minute's value is recorded; asked once a minute."""
        return True

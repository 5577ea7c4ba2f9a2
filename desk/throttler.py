"""One budget of requests per account, shared out by what a request is for (E4).

Theory of operation. Alpaca takes 200 requests a minute per account and refuses the rest (429). A desk that
spends them on look-ups and entries has none left to leave a position. So requests of the last minute are
counted, and each purpose may use the budget up to its own share: exits and cancels all of it, reads that
keep the books right most of it, entries what is left below that. What is over its share waits a little, and
what would wait too long is not sent: for a read that is an answer not had, for an entry a definite no. Exits
and cancels are never held back by our own count, which is an estimate; only the broker's own "wait" holds
them, and that for seconds.

The broker's words go before our count: `X-RateLimit-Remaining` when it is smaller, `Retry-After` after a 429.
A 429 says that the request was not taken, so nothing is unknown after it, and nothing is sent again blindly.

The gate asks `room_for_entries` before it approves one (REQUEST_BUDGET), so a plan is denied with its number
rather than refused on the way. Time comes from outside, in seconds that only run forward.
"""

import logging
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

log = logging.getLogger(__name__)

WINDOW_S = 60.0
BACK_OFF_S = 2.0  # after a 429 without Retry-After, doubled each time it is met again
BACK_OFF_MAX_S = 30.0  # half a window: by then half of it is free again
EXIT_WAIT_MAX_S = 3.0  # an exit is sent after this wait whatever was said; a refusal costs one request


class Errand(StrEnum):
    """What a request is for, the most important first."""

    EXIT = "exit"  # exits, cancels, the kill switch
    BOOKS = "books"  # reads that keep the books right
    ENTRY = "entry"
    DATA = "data"  # what can be asked later


SHARES: Mapping[Errand, float] = {
    Errand.EXIT: 1.0,
    Errand.BOOKS: 0.9,  # 20 of 200 are left for exits whatever the books ask
    Errand.ENTRY: 0.7,  # 40 more for following what was entered
    Errand.DATA: 0.6,
}
WAIT_MAX_S: Mapping[Errand, float] = {
    Errand.EXIT: EXIT_WAIT_MAX_S,
    Errand.BOOKS: 5.0,  # the loop settles every ten seconds and asks again
    Errand.ENTRY: 1.0,  # an entry is decided on prices that are seconds old
    Errand.DATA: 5.0,
}


@dataclass(frozen=True, slots=True)
class Traffic:
    """What was asked of the broker."""

    used: int  # requests of the last minute
    limit: int | None  # a minute's budget; None: not counted
    sent: Mapping[Errand, int]  # since the start
    withheld: int  # not sent, because they would have waited too long
    refused: int  # answered 429
    waited_s: float

    @property
    def words(self) -> str:
        """Say it in one line."""
        budget = "" if self.limit is None else f" of {self.limit}"
        by_purpose = ", ".join(f"{count} {errand.value}" for errand, count in self.sent.items())
        return (
            f"{self.used}{budget} requests in the last minute; since the start {by_purpose or 'none'}; "
            f"{self.withheld} withheld, {self.refused} refused (429), waited {self.waited_s:.1f} s"
        )


class Throttler:
    """The account's budget in this process.

    Args:
        limit: requests a minute; None counts and holds nothing back but after a 429.
        clock: seconds that only run forward.
        sleep: waits so many seconds.
    """

    def __init__(
        self, limit: int | None, *, clock: Callable[[], float], sleep: Callable[[float], None]
    ) -> None:
        self.limit = limit
        self._clock = clock
        self._sleep = sleep
        self._sent: deque[float] = deque()  # instants of the last minute
        self._blocked_until = 0.0  # by the broker's own word
        self._back_off_s = BACK_OFF_S
        self._stated: tuple[float, int] | None = None  # when, and how many were left
        self._counts: Counter[Errand] = Counter()
        self._withheld = 0
        self._refused = 0
        self._waited_s = 0.0

    def admit(self, errand: Errand, *, has_waited: bool = False) -> bool:
        """Count a request that may be sent now, after a short wait if need be; False: do not send it.

        Args:
            errand: what it is for.
            has_waited: whether the caller has already paused, as before a read's second try.
        """
        wait = 0.0 if has_waited else self._wait_s(errand)
        if wait > WAIT_MAX_S[errand] and errand is not Errand.EXIT:
            self._withheld += 1
            log.warning(
                "request withheld", extra={"errand": errand.value, "wait_s": wait, "used": self.used()}
            )
            return False
        if wait > 0:
            wait = min(wait, WAIT_MAX_S[errand])
            self._waited_s += wait
            self._sleep(wait)
        self._sent.append(self._clock())
        self._counts[errand] += 1
        return True

    def answered(self, status: int, headers: Mapping[str, str]) -> None:
        """Learn from an answer's status and rate-limit headers; names in any case."""
        found = {name.lower(): value for name, value in headers.items()}
        now = self._clock()
        left = _whole(found.get("x-ratelimit-remaining"))
        if left is not None:
            self._stated = (now, left)
        if status != 429:
            if status < 500:
                self._back_off_s = BACK_OFF_S
            return
        self._refused += 1
        asked = _whole(found.get("retry-after"))
        pause = float(asked) if asked is not None else self._back_off_s
        self._back_off_s = min(self._back_off_s * 2, BACK_OFF_MAX_S)
        self._blocked_until = max(self._blocked_until, now + min(pause, WINDOW_S))
        log.warning("broker refused a request (429)", extra={"pause_s": pause, "used": self.used()})

    def used(self) -> int:
        """Count the requests of the last minute."""
        since = self._clock() - WINDOW_S
        while self._sent and self._sent[0] <= since:
            self._sent.popleft()
        return len(self._sent)

    def share(self, errand: Errand) -> int:
        """Give how many requests a minute a purpose may use, those of all others counted."""
        assert self.limit is not None, "a share is of a limit"
        return int(self.limit * SHARES[errand])

    def entry_budget(self) -> tuple[int, int] | None:
        """Give the requests of the last minute and what entries may use of it; None when nobody counts.

        What the broker says is left goes before our own count.
        """
        if self.limit is None:
            return None
        share, room = self.share(Errand.ENTRY), self.room(Errand.ENTRY)
        return (share if room is None else share - room), share

    def room(self, errand: Errand) -> int | None:
        """Give how many requests of a purpose may be sent now; None: no limit is known."""
        if self._clock() < self._blocked_until and errand is not Errand.EXIT:
            return 0
        rooms = []
        if self.limit is not None:
            share = self.share(errand)
            rooms.append(share - self.used())
            stated = self._remaining()
            if stated is not None:
                rooms.append(stated - (self.limit - share))
        return max(0, min(rooms)) if rooms else None

    def traffic(self) -> Traffic:
        """Give the statistics."""
        return Traffic(
            used=self.used(),
            limit=self.limit,
            sent=dict(self._counts),
            withheld=self._withheld,
            refused=self._refused,
            waited_s=self._waited_s,
        )

    def _remaining(self) -> int | None:
        """Give what the broker said was left, less what was sent since; None when that is too old."""
        if self._stated is None:
            return None
        at, left = self._stated
        if self._clock() >= at + WINDOW_S:
            return None
        return left - sum(1 for instant in self._sent if instant > at)

    def _wait_s(self, errand: Errand) -> float:
        """Give how long until a request of the purpose may be sent."""
        now = self._clock()
        blocked = max(0.0, self._blocked_until - now)
        if errand is Errand.EXIT:
            return blocked
        room = self.room(errand)
        if room is None or room > 0:
            return blocked
        if self.limit is None:
            return blocked
        over = self.used() - self.share(errand)
        if 0 <= over < len(self._sent):
            return max(blocked, self._sent[over] + WINDOW_S - now)
        return max(blocked, WINDOW_S)  # by the broker's own count, whose window we do not see


def _whole(text: str | None) -> int | None:
    """Read a header that is a whole number of seconds or requests; None for any other."""
    return int(text) if text is not None and text.strip().isdigit() else None

"""One judged rule, before it becomes a `Check` of an approval or the `Denial`.

A rule that counts something holds its number against a limit. A rule that is simply kept or broken
writes 0 or 1 over 0. A number that is missing is written -1 and the rule is broken: no answer is a no.
"""

from dataclasses import dataclass
from decimal import Decimal
from functools import cache

from desk.money import ZERO, plain, usd
from schemas.orders import Check, Reason

MISSING = Decimal(-1)
BROKEN = Decimal(1)


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule, what was found, what it was held against, and the words for a denial.

    `words` may hold `{number}` and `{limit}`; they are only filled in when somebody reads them.
    """

    reason: Reason
    number: Decimal
    limit: Decimal
    ok: bool
    words: str
    in_usd: bool = False

    def check(self) -> Check:
        """Give the record an approval carries; of a rule that is simply kept, always the same one."""
        return (
            _check_kept(self.reason)
            if self is _kept(self.reason)
            else Check(reason=self.reason, number=self.number, limit=self.limit)
        )

    def message(self) -> str:
        """Give the words with number and limit, as a person reads them."""
        write = usd if self.in_usd else plain
        return self.words.replace("{number}", write(self.number)).replace("{limit}", write(self.limit))


def at_most(
    reason: Reason, *, number: Decimal | int, limit: Decimal | int, words: str, in_usd: bool = False
) -> Finding:
    """Judge number <= limit."""
    found, bound = Decimal(number), Decimal(limit)
    return Finding(reason, found, bound, found <= bound, words, in_usd)


def kept(reason: Reason, ok: bool, words: str) -> Finding:
    """Judge a rule that is kept or broken; the words are for one that is broken."""
    return _kept(reason) if ok else Finding(reason, number=BROKEN, limit=ZERO, ok=False, words=words)


def missing(reason: Reason, words: str, *, limit: Decimal | int = ZERO) -> Finding:
    """Judge a rule whose number nobody has: broken."""
    return Finding(reason=reason, number=MISSING, limit=Decimal(limit), ok=False, words=words)


@cache
def _kept(reason: Reason) -> Finding:
    return Finding(reason, number=ZERO, limit=ZERO, ok=True, words="kept")


@cache
def _check_kept(reason: Reason) -> Check:
    return Check(reason=reason, number=ZERO, limit=ZERO)

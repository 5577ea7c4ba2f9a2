"""One judged rule, before it becomes a `Check` of an approval or the `Denial`.

A rule that counts something holds its number against a limit. A rule that is simply kept or broken
writes 0 or 1 over 0. A number that is missing is written -1 and the rule is broken: no answer is a no.
"""

from dataclasses import dataclass
from decimal import Decimal

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
        """Give the record an approval carries."""
        return Check(reason=self.reason, number=self.number, limit=self.limit)

    def message(self) -> str:
        """Give the words with number and limit, as a person reads them."""
        write = usd if self.in_usd else plain
        return self.words.replace("{number}", write(self.number)).replace("{limit}", write(self.limit))


def at_most(
    reason: Reason, *, number: Decimal | int, limit: Decimal | int, words: str, in_usd: bool = False
) -> Finding:
    """Judge number <= limit."""
    found, bound = Decimal(number), Decimal(limit)
    return Finding(reason=reason, number=found, limit=bound, ok=found <= bound, words=words, in_usd=in_usd)


def kept(reason: Reason, ok: bool, words: str) -> Finding:
    """Judge a rule that is kept or broken."""
    return Finding(reason=reason, number=ZERO if ok else BROKEN, limit=ZERO, ok=ok, words=words)


def missing(reason: Reason, words: str, *, limit: Decimal | int = ZERO) -> Finding:
    """Judge a rule whose number nobody has: broken."""
    return Finding(reason=reason, number=MISSING, limit=Decimal(limit), ok=False, words=words)

"""The engine of mischief: a plan and a seed decide; counts tell what was done.

Each rule counts its own occasions and draws for the n-th of them from (seed, rule's place, n), so a rule's
decisions do not depend on what other rules did, nor on who asks: the same calls and events, in process or
over HTTP, meet the same faults. Of the rules that strike a call the first in the plan is taken; the others
have had their occasion all the same.

The engine knows no floor and no socket. `faults_floor` does what befalls market and orders, `faults_calls`
says what a struck call is answered, `faults_stream` what becomes of the user stream's events, `faults_bars`
how bars are published.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from hashlib import blake2b

from desk.hours import from_new_york, new_york
from schemas.account import SessionHours
from schemas.faults import UNDECIDED, Call, Family, FaultKind, FaultPlan, FaultRule, StreamName

MINUTE = timedelta(minutes=1)
MOMENTS_MAX = 5_000  # of one rule in one session: every_s far below a second is a mistake
_DRAWN = 2**64
_LANDING = frozenset({FaultKind.ANSWER_LOST, FaultKind.BAD_JSON})  # what was asked is done


@dataclass(frozen=True, slots=True)
class Strike:
    """A rule that struck, and whether what was asked is done all the same."""

    rule: FaultRule
    lands: bool
    luck: float  # in [0, 1), for whatever else the fault leaves open

    @property
    def kind(self) -> FaultKind:
        """Give the fault."""
        return self.rule.kind


@dataclass(slots=True)
class _Watch:
    """A rule and what it has seen."""

    rule: FaultRule
    place: int
    occasions: int = 0
    strikes: int = 0
    last_period: tuple[int, int] | None = None  # of a rule that strikes once a window


@dataclass(slots=True)
class _Tally:
    """What happened, by kind, in the order first seen."""

    counts: dict[FaultKind, int] = field(default_factory=dict)

    def add(self, kind: FaultKind, many: int = 1) -> None:
        """Count."""
        self.counts[kind] = self.counts.get(kind, 0) + many


class Mischief:
    """A fault plan in force."""

    def __init__(self, plan: FaultPlan | None = None, *, seed: int | None = None) -> None:
        """Put a plan in force.

        Args:
            plan: the rules; none: no faults.
            seed: decides in place of the plan's own.
        """
        self._tally = _Tally()
        self.take(plan if plan is not None else FaultPlan(), seed=seed)

    def take(self, plan: FaultPlan, *, seed: int | None = None) -> None:
        """Put another plan in force; its rules begin anew, the counts go on."""
        self.plan = plan
        self.seed = plan.seed if seed is None else seed
        watches = [_Watch(rule, place) for place, rule in enumerate(plan.rules)]
        self._of: dict[Family, list[_Watch]] = {
            family: [watch for watch in watches if watch.rule.kind.family is family] for family in Family
        }

    @property
    def counts(self) -> dict[str, int]:
        """Give how often each fault was done so far, by its word, sorted."""
        return {str(kind): many for kind, many in sorted(self._tally.counts.items())}

    def note(self, kind: FaultKind) -> None:
        """Count a fault that was decided before and is done now."""
        self._tally.add(kind)

    def has(self, family: Family) -> bool:
        """Tell whether any rule is of a family: what has none costs nothing."""
        return len(self._of[family]) > 0

    def call(self, call: Call, symbols: Sequence[str], now: datetime) -> Strike | None:
        """Decide about one request.

        Args:
            call: what is asked.
            symbols: what it is about, as far as it says.
            now: the venue's time.
        """
        found: Strike | None = None
        for watch in self._of[Family.CALL]:
            if watch.rule.befalls(call) and watch.rule.concerns(symbols):
                strike = self._judge(watch, now, wanted=found is None)
                found = found if found is not None else strike
        return self._counted(found)

    def strike(self, kinds: Collection[FaultKind], symbols: Sequence[str], now: datetime) -> Strike | None:
        """Decide about one occasion of some kinds of one family; the first rule that strikes is taken."""
        return self._counted(self.foresee(kinds, symbols, now))

    def foresee(self, kinds: Collection[FaultKind], symbols: Sequence[str], now: datetime) -> Strike | None:
        """Decide as `strike` does; whoever does it counts it (`note`)."""
        found: Strike | None = None
        for watch in self._of[next(iter(kinds)).family] if kinds else ():
            if watch.rule.kind in kinds and watch.rule.concerns(symbols):
                strike = self._judge(watch, now, wanted=found is None)
                found = found if found is not None else strike
        return found

    def connection(self, name: StreamName, now: datetime) -> Strike | None:
        """Decide about one client that connects to a stream."""
        found: Strike | None = None
        for watch in self._of[Family.CONNECTION]:
            if watch.rule.befalls_stream(name):
                strike = self._judge(watch, now, wanted=found is None)
                found = found if found is not None else strike
        return self._counted(found)

    def moments(self, hours: SessionHours) -> list[tuple[datetime, Strike]]:
        """Give what begins or is done by itself in a session, by time; counted when it happens (`note`)."""
        due: list[tuple[datetime, Strike]] = []
        for watch in self._of[Family.MOMENT]:
            for at in _instants(watch.rule, hours):
                strike = self._judge(watch, at, wanted=True)
                if strike is not None:
                    due.append((at, strike))
        return sorted(due, key=lambda one: one[0])

    def bar(self, symbol: str, ts: datetime) -> Strike | None:
        """Decide about one bar; asked once for each, in order of time, and counted when published."""
        found: Strike | None = None
        for watch in self._of[Family.BAR]:
            if watch.rule.concerns((symbol,)):
                strike = self._judge(watch, ts, wanted=found is None)
                found = found if found is not None else strike
        return found

    def _counted(self, strike: Strike | None) -> Strike | None:
        """Count a strike."""
        if strike is not None:
            self._tally.add(strike.kind)
        return strike

    def _judge(self, watch: _Watch, now: datetime, *, wanted: bool) -> Strike | None:
        """Let a rule have an occasion; one that is not wanted is drawn for and spent in vain."""
        rule = watch.rule
        period = _period(rule, now)
        if period is None:
            return None
        n = watch.occasions
        watch.occasions += 1
        if rule.chance is not None:
            hit = self._draw(watch.place, n, "strike") < rule.chance
        elif rule.every is not None:
            hit = n % rule.every == 0
        else:
            once = rule.for_s is None or rule.kind.family is Family.MOMENT
            hit = not once or period != watch.last_period
        if not hit or not wanted or (rule.times is not None and watch.strikes >= rule.times):
            return None
        watch.strikes += 1
        watch.last_period = period
        luck = self._draw(watch.place, n, "luck")
        lands = rule.kind in _LANDING
        if rule.kind in UNDECIDED:
            lands = rule.lands if rule.lands is not None else luck < 0.5
        return Strike(rule, lands, luck)

    def _draw(self, place: int, n: int, what: str) -> float:
        """Give the number in [0, 1) of a rule's n-th occasion."""
        name = f"{self.seed}:{place}:{n}:{what}".encode()
        return int.from_bytes(blake2b(name, digest_size=8).digest()) / _DRAWN


def _start(rule: FaultRule, now: datetime) -> datetime:
    """Give the instant a rule's window first opens, on the day of `now` where it is a time of day."""
    assert rule.at is not None
    if isinstance(rule.at, time):
        return from_new_york(new_york(now).date(), rule.at)
    return rule.at


def _period(rule: FaultRule, now: datetime) -> tuple[int, int] | None:
    """Name the window of the rule that `now` is in, or None outside of all."""
    if rule.at is None:
        return (0, 0)
    start = _start(rule, now)
    passed_s = (now - start).total_seconds()
    if passed_s < 0:
        return None
    number = 0
    if rule.every_s is not None:
        number = int(passed_s // rule.every_s)
        passed_s -= number * rule.every_s
    fenced = rule.for_s is not None and rule.kind.family is not Family.MOMENT
    if fenced and rule.for_s is not None and passed_s >= rule.for_s:
        return None
    return (start.toordinal(), number)


def _instants(rule: FaultRule, hours: SessionHours) -> Iterator[datetime]:
    """Give the instants of a session at which a moment's rule has an occasion.

    With `at` alone that is `at` and each `every_s` after it; with chance or every, the minutes of the
    regular session.
    """
    if rule.at is not None and rule.chance is None and rule.every is None:
        at = _start(rule, hours.opens_at)
        for _ in range(MOMENTS_MAX):
            if at.date() > hours.closes_at.date() + timedelta(days=1):
                return
            if at >= hours.opens_at - timedelta(hours=12):
                yield at
            if rule.every_s is None:
                return
            at += timedelta(seconds=rule.every_s)
        return
    at = hours.opens_at
    while at < hours.closes_at:
        yield at
        at += MINUTE

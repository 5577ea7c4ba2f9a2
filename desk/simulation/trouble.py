"""What goes wrong between the desk and the venue: a fault plan of the exchange's, drawn from the seed.

The exchange's own catalogue (schemas/faults.py) does nearly all of it. Four kinds are the wire's and not
the exchange's, and are done here: an order that arrives after the desk gave its answer up, a list of
executions that repeats some, a stretch of time in which nothing answers, a lost message of the market's
stream.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from desk.simulation.chance import Chance
from desk.simulation.scenario import Window, instant
from schemas.faults import Call, Family, FaultKind, FaultPlan, FaultRule
from schemas.orders import Side

OUTAGE_S = (5, 100)
# Not drawn: no time passes in process while a call hangs, so it is `arrives_late` and `outage` here.
UNDRAWN = frozenset({FaultKind.HANG, FaultKind.SPLIT_OVER_OPEN_ORDERS})
KINDS = tuple(kind for kind in FaultKind if kind not in UNDRAWN)
# How often a kind strikes at most, of its occasions; what is not named: of a call 0.1, of the rest 0.2.
MOST = {
    FaultKind.UNAUTHORIZED_401: 0.02,
    FaultKind.CLOCK_SKEW: 0.1,
    FaultKind.FILLS_REORDERED: 0.5,
    FaultKind.POSITIONS_LAG: 0.3,
    FaultKind.BAR_LATE: 0.1,
    FaultKind.BAR_MISSING: 0.1,
    FaultKind.BAR_NAN: 0.05,
    FaultKind.BAR_CROSSED: 0.05,
    FaultKind.FRAME_LOST: 0.4,
    FaultKind.FRAMES_REORDERED: 0.4,
    FaultKind.PARTIAL_FILLS: 0.6,
}
MOST_OF_CALLS, MOST_OF_OTHERS = 0.1, 0.2


@dataclass(frozen=True, slots=True)
class Rates:
    """How often the wire's own kinds strike."""

    arrives_late: float = 0.0  # of an order: taken by the venue seconds after the answer was given up
    fills_doubled: float = 0.0  # of a list of executions: some stand in it twice
    outage: float = 0.0  # a minute: every call fails for a while
    market_frame_lost: float = 0.0  # of a message of the market's stream


@dataclass(frozen=True, slots=True)
class Trouble:
    """Everything that goes wrong in a seed but deaths and people."""

    rates: Rates
    plan: FaultPlan


NO_TROUBLE = Trouble(Rates(), FaultPlan())


def draw_trouble(chance: Chance, windows: Sequence[Window]) -> Trouble:
    """Draw which kinds of trouble a seed has, and how much of each; one seed in twelve has none."""
    if chance.strikes(1 / 12):
        return NO_TROUBLE
    share = chance.among((0.05, 0.15, 0.4))
    rates = Rates(
        arrives_late=_rate(chance, 0.1) if chance.strikes(share) else 0.0,
        fills_doubled=_rate(chance, 0.3) if chance.strikes(share) else 0.0,
        outage=_rate(chance, 0.1) if chance.strikes(share) else 0.0,
        market_frame_lost=_rate(chance, 0.3) if chance.strikes(share) else 0.0,
    )
    rules = [_RULES[kind.family](chance, kind, windows) for kind in KINDS if chance.strikes(share)]
    return Trouble(rates, FaultPlan(seed=chance.seed, rules=tuple(rules)))


def _rate(chance: Chance, most: float) -> float:
    return round(chance.number(0.1, 1.0) * most, 4)


def _call(chance: Chance, kind: FaultKind, _: Sequence[Window]) -> FaultRule:
    words: dict[str, object] = {
        "kind": kind,
        "chance": _rate(chance, MOST.get(kind, MOST_OF_CALLS)),
        "times": chance.among((1, 3, 20)),
    }
    if kind is FaultKind.CLOCK_SKEW:
        words["skew_s"] = chance.among((-30, -3, 3, 30))
    elif kind is FaultKind.POSITIONS_LAG:
        words["delay_s"] = chance.among((2, 10, 60))
    elif kind not in _FIXED and chance.strikes(0.5):  # on orders alone it strikes where it hurts
        words["calls"] = (Call.SUBMIT, Call.CANCEL, Call.REPLACE)
    return FaultRule.model_validate(words)


def _order(chance: Chance, kind: FaultKind, _: Sequence[Window]) -> FaultRule:
    words: dict[str, object] = {"kind": kind, "chance": _rate(chance, MOST.get(kind, MOST_OF_OTHERS))}
    if kind is FaultKind.PENDING_CANCEL:
        words["delay_s"] = chance.among((5, 60, 7200))
    elif kind is FaultKind.ASYNC_REJECT:
        words["delay_s"] = chance.among((0.2, 1, 15))
    elif kind is FaultKind.FILL_BEFORE_CANCEL_ACK:
        words["delay_s"] = chance.among((1, 20))
    elif kind is FaultKind.PARTIAL_FILLS:
        words["share"] = chance.among((Decimal("0.1"), Decimal("0.5"), Decimal("0.9")))
    return FaultRule.model_validate(words)


def _often(chance: Chance, kind: FaultKind, _: Sequence[Window]) -> FaultRule:
    return FaultRule(kind=kind, chance=_rate(chance, MOST.get(kind, MOST_OF_OTHERS)))


def _moment(chance: Chance, kind: FaultKind, windows: Sequence[Window]) -> FaultRule:
    words: dict[str, object] = {"kind": kind, "at": instant(chance, chance.among(windows))}
    if kind in (FaultKind.STREAM_SILENT, FaultKind.FEED_FROZEN, FaultKind.SYMBOL_HALTED):
        words["for_s"] = chance.among((30, 120, 600))
    elif kind is FaultKind.MANUAL_TRADE:
        words |= {"side": chance.among((Side.BUY, Side.SELL)), "qty": chance.among((1, 5, 40))}
    return FaultRule.model_validate(words)


_FIXED = frozenset(
    {
        FaultKind.DUPLICATE_CLIENT_ID,
        FaultKind.WASH_TRADE,
        FaultKind.INSUFFICIENT_QTY,
        FaultKind.BUYING_POWER,
        FaultKind.MARGIN,
        FaultKind.FILLS_REORDERED,
    }
)
_RULES: dict[Family, Callable[[Chance, FaultKind, Sequence[Window]], FaultRule]] = {
    Family.CALL: _call,
    Family.ORDER: _order,
    Family.FRAME: _often,
    Family.CONNECTION: _often,
    Family.BAR: _often,
    Family.MOMENT: _moment,
}


class Outage:
    """A stretch of time in which something does not answer."""

    def __init__(self, chance: Chance, likelihood: float) -> None:
        """Begin with everything up; `likelihood` is that of an outage beginning in a minute."""
        self._chance = chance
        self._likelihood = likelihood
        self._until: datetime | None = None
        self._asked: datetime | None = None

    def is_on(self, now: datetime) -> bool:
        """Tell whether it is out now; whether one begins is decided once a minute."""
        if self._until is not None and now < self._until:
            return True
        minute = now.replace(second=0, microsecond=0)
        if minute != self._asked:
            self._asked = minute
            if self._chance.strikes(self._likelihood):
                self._until = now + timedelta(seconds=self._chance.whole(*OUTAGE_S))
                return True
        return False

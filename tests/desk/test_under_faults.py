"""A session under each fault of the catalogue: what the desk makes of it, and right books in the end."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from desk.closing import close_day
from desk.desk import Desk
from desk.errors import NotReady, OpenBreaks
from desk.exchange.faults_venue import FaultyVenue
from schemas import events as ev
from schemas.faults import FaultKind, FaultPlan, FaultRule
from schemas.orders import Purpose
from schemas.risk import BreakKind
from tests import rehearsal as r
from tests.desk.short_day import CLOSE, SHORT_DAY, kinds, run_short, short_venue
from tests.memory_ledger import MemoryLedger


@dataclass
class Lived:
    """What is left of a short day on which one fault struck."""

    place: FaultyVenue
    desk: Desk
    ledger: MemoryLedger
    recorder: r.Frames

    def count(self, kind: type) -> int:
        """Count the ledger's events of a kind."""
        return len(kinds(self.ledger, kind))

    @property
    def quarantined(self) -> set[str]:
        """Give the reasons for which rows were refused."""
        return {reason for frame in self.recorder.refused for reason in frame["reason"].to_list()}

    def entered(self, first: str, end: str, *symbols: str) -> bool:
        """Tell whether an entry was planned in [first, end), UTC, in one of some symbols, or in any."""
        return any(
            event.intent.purpose is Purpose.ENTRY
            and first <= f"{event.at:%H:%M}" < end
            and (not symbols or event.intent.symbol in symbols)
            for event in kinds(self.ledger, ev.OrderPlanned)
        )


Seen = Callable[[Lived], bool]
CASES: dict[FaultKind, tuple[dict[str, Any], Seen]] = {}
# Not one day's: the session replaces nothing by itself (tests/desk/test_replacing.py), and splits, trades by
# hand and a clock that is wrong end otherwise (below).
APART = {
    FaultKind.REPLACE_LOSES_PARTIAL,
    FaultKind.SPLIT_OVER_OPEN_ORDERS,
    FaultKind.MANUAL_TRADE,
    FaultKind.CLOCK_SKEW,
}
ONCE_IN_3, WRITES = {"every": 3}, ["submit", "cancel"]


def struck(kind: FaultKind, seen: Seen, **rule: Any) -> None:
    """Enter what shows in the ledger, or in what the desk recorded, that it met the fault."""
    CASES[kind] = (rule, seen)


def lost(day: Lived) -> bool:
    return day.count(ev.OrderOutcomeLost) > 0


def rejected(day: Lived) -> bool:
    return day.count(ev.OrderRejected) > 0


def traded(day: Lived) -> bool:
    return day.count(ev.FillRecorded) > 0


struck(FaultKind.ANSWER_LOST, lost, calls=["submit"], **ONCE_IN_3)
struck(FaultKind.REFUSED_504, lost, calls=["submit"], **ONCE_IN_3)
struck(FaultKind.HANG, lost, calls=["submit"], lands=True, **ONCE_IN_3)
struck(FaultKind.RESET, lost, calls=["submit"], **ONCE_IN_3)
struck(FaultKind.BAD_JSON, lost, calls=["submit"], **ONCE_IN_3)
struck(FaultKind.HTML_500, lost, calls=["submit"], **ONCE_IN_3)
struck(FaultKind.UNAVAILABLE_503, traded, at="12:20:00", for_s=120)
struck(FaultKind.UNAUTHORIZED_401, traded, at="12:20:00", for_s=180)
struck(FaultKind.RATE_LIMITED, rejected, calls=["submit"], **ONCE_IN_3)
struck(FaultKind.RATE_LIMITED_BARE, rejected, calls=["submit"], **ONCE_IN_3)
struck(FaultKind.DUPLICATE_CLIENT_ID, lost, **ONCE_IN_3)
for refusal in (
    FaultKind.WASH_TRADE,
    FaultKind.INSUFFICIENT_QTY,
    FaultKind.BUYING_POWER,
    FaultKind.MARGIN,
):
    struck(refusal, rejected, **ONCE_IN_3)
struck(FaultKind.POSITIONS_LAG, traded, every=1, delay_s=60)
struck(FaultKind.FILLS_REORDERED, traded, every=1)
struck(FaultKind.CANCEL_OF_FILLED, lambda day: day.count(ev.CancelRequested) > 0, every=1)
struck(FaultKind.FILL_BEFORE_CANCEL_ACK, lambda day: day.count(ev.CancelRequested) > 0, every=1)
struck(FaultKind.PENDING_CANCEL, lambda day: day.count(ev.CancelRequested) > 0, every=1)
struck(FaultKind.ASYNC_REJECT, rejected, **ONCE_IN_3)
struck(FaultKind.PARTIAL_FILLS, traded, every=1, share="0.3")
for frame in (
    FaultKind.FRAME_LOST,
    FaultKind.FRAMES_DUPLICATED,
    FaultKind.FRAMES_REORDERED,
    FaultKind.FRAME_EMPTY,
    FaultKind.UNKNOWN_EVENT,
    FaultKind.UNKNOWN_STATUS,
):
    struck(frame, traded, every=2)
struck(FaultKind.STREAM_SILENT, traded, at="12:20:00", for_s=900)
struck(FaultKind.STREAM_DISCONNECT, traded, at="12:20:00", every_s=300)
struck(FaultKind.SLOW_CLIENT_DISCONNECT, traded, at="12:20:00", every_s=300)
struck(FaultKind.CONNECTION_406, lambda day: day.count(ev.StreamChanged) > 0, every=1, times=8)
struck(FaultKind.UPGRADE_429, lambda day: day.count(ev.StreamChanged) > 0, every=1, times=8)
struck(FaultKind.BAR_LATE, traded, **ONCE_IN_3)
struck(FaultKind.BAR_MISSING, traded, **ONCE_IN_3)
struck(FaultKind.BAR_REVISED, traded, **ONCE_IN_3)
struck(FaultKind.BAR_ZERO_VOLUME, traded, **ONCE_IN_3)
struck(FaultKind.BAR_CROSSED, lambda day: day.quarantined != set(), **ONCE_IN_3)
struck(FaultKind.BAR_NAN, lambda day: day.quarantined != set(), **ONCE_IN_3)
struck(FaultKind.BAR_DUPLICATE, traded, **ONCE_IN_3)
struck(FaultKind.FEED_FROZEN, lambda day: not day.entered("17:21", "17:30"), at="12:20:00", for_s=600)
struck(FaultKind.SYMBOL_HALTED, traded, at="12:20:00", for_s=600)
struck(FaultKind.MANUAL_CANCEL, lambda day: day.count(ev.OrderCanceled) > 0, at="12:15:01", times=1)


def lived(kind: FaultKind, **rule: Any) -> Lived:
    """Prepare a short day on which one rule is in force."""
    plan = FaultPlan(seed=1, rules=(FaultRule.model_validate({"kind": kind, **rule}),))
    place, ledger, recorder = FaultyVenue(short_venue(), plan), r.new_ledger(), r.Frames()
    return Lived(place, r.desk_on(place, ledger, recorder=recorder), ledger, recorder)  # type: ignore[arg-type]


def calm(day: Lived) -> None:
    """End the fault and let the minutes after the bell pass in which a lost order may still arrive."""
    day.place.take(FaultPlan())
    day.place.sleep_until(CLOSE + timedelta(minutes=10))


def test_every_fault_of_a_day_has_a_case() -> None:
    """A fault is met by a whole session here, or stands apart with its own test."""
    assert set(CASES) | APART == set(FaultKind)
    assert set(CASES) & APART == set()


@pytest.mark.parametrize("kind", sorted(CASES))
def test_a_session_under_a_fault_ends_flat_with_right_books(kind: FaultKind) -> None:
    """Whatever one fault does all day: no order twice, none forgotten, flat, books equal, replay equal."""
    rule, seen = CASES[kind]
    day = lived(kind, **rule)

    run_short(day.desk)
    calm(day)
    close_day(day.desk, SHORT_DAY)

    assert day.place.counts.get(kind, 0) > 0, "the fault never struck"
    assert seen(day)
    assert traded(day)
    assert day.place.positions() == ()
    assert day.desk.portfolio.holdings() == {}
    assert day.desk.portfolio.working_orders() == ()
    assert day.desk.portfolio.breaks == {}
    assert r.audited(day.place, day.desk) == []  # type: ignore[arg-type]
    planned = [event.intent.client_order_id for event in kinds(day.ledger, ev.OrderPlanned)]
    sent = [order.client_order_id for order in day.place.venue.orders_since(CLOSE - timedelta(hours=2))]
    assert len(sent) == len(set(sent))
    assert set(sent) <= set(planned)


def test_a_session_under_a_wrong_clock_does_not_start() -> None:
    """Clocks 30 s apart: start-up refuses, and nothing is sent."""
    day = lived(FaultKind.CLOCK_SKEW, every=1, skew_s=30)

    with pytest.raises(NotReady, match="clock"):
        run_short(day.desk)

    assert day.count(ev.OrderPlanned) == 0


def test_a_session_with_a_trade_by_hand_leaves_it_to_a_person() -> None:
    """The person's shares are a break: untouched by the desk, and the day closes only once it is accepted."""
    day = lived(FaultKind.MANUAL_TRADE, at="12:21:00", side="buy", qty=7, symbols=["XOM"], times=1)

    run_short(day.desk)
    calm(day)
    with pytest.raises(OpenBreaks):
        close_day(day.desk, SHORT_DAY)

    mine = {symbol: p.qty for (_, symbol), p in day.desk.portfolio.holdings().items()}
    theirs = {p.symbol: p.qty for p in day.place.positions()}
    assert theirs.get("XOM", Decimal(0)) - mine.get("XOM", Decimal(0)) == 7
    assert day.count(ev.BreakFound) > 0
    assert set(mine) <= {"XOM"}  # everything else was closed before the bell


def test_a_session_with_a_split_in_its_middle_locks_the_symbol() -> None:
    """Shares doubled in mid-session have no explanation the desk may use: a break, a lock, no repair."""
    day = lived(FaultKind.SPLIT_OVER_OPEN_ORDERS, at="12:15:01", times=1)

    run_short(day.desk)

    (left,) = day.place.positions()
    assert day.place.counts == {"split_over_open_orders": 1}
    assert [(item.kind, item.key) for item in day.desk.portfolio.breaks.values()] == [
        (BreakKind.POSITION, left.symbol)
    ]
    assert not day.entered("17:16", "18:00", left.symbol)
    assert day.count(ev.PositionAdjusted) == 0

"""What should have happened and has not: a stream that fell silent, a cancel without effect, a stuck exit."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise

from desk.dispatcher import CANCEL_AGAIN, CANCEL_AGAIN_LATER, CANCEL_ALARM, cancel
from desk.flattener import STUCK_AFTER, STUCK_AFTER_IN_EMERGENCY, flatten
from desk.hours import session_hours
from desk.settler import settle
from desk.upkeep import Upkeep
from desk.views import working
from desk.watch import ALARM_AGAIN, STREAM_GRACE, Watch
from schemas import events as ev
from schemas.orders import OrderState, Purpose, Side
from schemas.risk import TradingState
from tests.desk.scripted import Played, scripted
from tests.makers import DAY, NOON, intent

ENTRY = intent("mqd-entry", qty="100", limit_price="50.00", reference_price="50")
EXIT = intent("mqd-exit", side=Side.SELL, qty="60", purpose=Purpose.EXIT)


def holding(qty: str = "100") -> Played:
    """Give a desk that holds AAPL."""
    played = scripted()
    played.send(intent("mqd-held", qty=qty))
    played.script.fill("b1", qty)
    settle(played.desk)
    return played


def sold(played: Played) -> list[Decimal]:
    """Give the quantities of the sell orders sent so far."""
    return [order.qty for order in played.script.orders.values() if order.side is Side.SELL and order.qty]


# ---- cancels without effect ------------------------------------------------------------------------


def test_a_cancel_without_effect_is_asked_for_again_then_rarely() -> None:
    """Every half minute at first; once a person was told, every five minutes."""
    played = scripted()
    played.send(ENTRY)
    watch = Watch(played.desk)
    cancel(played.desk, played.of(ENTRY), cause="test")

    for _ in range(6 * 30):  # half an hour in steps of ten seconds
        played.clock.later(seconds=10)
        watch.cancels()

    asked = [event.at for event in played.kinds(ev.CancelRequested)]
    gaps = [later - earlier for earlier, later in pairwise(asked)]
    assert set(gaps) == {CANCEL_AGAIN, CANCEL_AGAIN_LATER}
    assert gaps == sorted(gaps)


def test_a_cancel_without_effect_rings_once_and_again_after_half_an_hour() -> None:
    """The notice names the order, what may still execute, and what to do; a restart does not repeat it."""
    played = scripted()
    played.send(ENTRY)
    watch = Watch(played.desk)
    cancel(played.desk, played.of(ENTRY), cause="test")
    watch.cancels()
    assert played.kinds(ev.NoticeQueued) == []

    played.clock.later(seconds=CANCEL_ALARM.total_seconds())
    watch.cancels()
    Watch(played.desk).cancels()
    (first, repeated) = played.kinds(ev.NoticeQueued)
    assert first.notice_id == repeated.notice_id
    assert "AAPL buy 100" in first.text
    assert "b1" in first.text

    played.clock.later(seconds=ALARM_AGAIN.total_seconds())
    watch.cancels()
    assert len({notice.notice_id for notice in played.kinds(ev.NoticeQueued)}) == 2


def test_i6_a_cancel_without_effect_keeps_its_exposure_reserved() -> None:
    """What may still execute is counted, however long ago its cancel was asked for (I6)."""
    played = scripted()
    played.send(ENTRY)
    cancel(played.desk, played.of(ENTRY), cause="test")
    played.script.state("b1", "pending_cancel")
    played.clock.later(hours=2)
    settle(played.desk)

    (order,) = working(played.desk.portfolio)
    assert order.remaining == 100


def test_what_is_held_beyond_a_stuck_exit_is_closed_and_no_more() -> None:
    """60 of 100 are in an exit that does not cancel: 40 are sold, and if the 60 fill late nobody is short."""
    played = holding()
    played.send(EXIT)
    cancel(played.desk, played.of(EXIT), cause="test")
    played.script.state("b2", "pending_cancel")
    flatten(played.desk, reason="close-out")
    assert sold(played) == [60]

    played.clock.later(seconds=STUCK_AFTER.total_seconds())
    flatten(played.desk, reason="close-out")
    flatten(played.desk, reason="close-out")
    assert sold(played) == [60, 40]

    played.script.fill("b3", "40")
    settle(played.desk)
    flatten(played.desk, reason="close-out")
    played.script.fill("b2", "60")
    settle(played.desk)
    flatten(played.desk, reason="close-out")
    assert sold(played) == [60, 40]
    assert played.desk.portfolio.position("AAPL") == 0


def test_what_is_held_beyond_an_unanswered_exit_is_closed_and_no_more() -> None:
    """An exit nobody answers for holds its own shares and not the others."""
    played = holding()
    played.script.lose = [False]
    played.send(EXIT)
    assert played.of(EXIT).state is OrderState.UNKNOWN

    flatten(played.desk, reason="close-out")
    assert sold(played) == []
    played.clock.later(seconds=STUCK_AFTER.total_seconds())
    flatten(played.desk, reason="close-out")
    flatten(played.desk, reason="close-out")

    assert sold(played) == [40]


def test_a_stuck_entry_does_not_keep_the_position() -> None:
    """Beside an entry that does not cancel the exit is tried; before, it waits for the cancel."""
    played = holding()
    played.send(ENTRY)
    flatten(played.desk, reason="close-out", emergency=True)
    assert sold(played) == []

    played.clock.later(seconds=STUCK_AFTER_IN_EMERGENCY.total_seconds())
    flatten(played.desk, reason="close-out", emergency=True)

    assert sold(played) == [100]


# ---- the stream ------------------------------------------------------------------------------------


def test_e5_a_stream_lost_for_long_and_its_return_are_in_the_ledger() -> None:
    """A blink is no news; what lasts is, once, and so is its end (E5)."""
    played = scripted()
    watch = Watch(played.desk)
    played.stream.up = False
    watch.stream()
    played.clock.later(seconds=STREAM_GRACE.total_seconds() - 1)
    watch.stream()
    assert played.kinds(ev.StreamChanged) == []

    for _ in range(3):
        played.clock.later(seconds=10)
        watch.stream()
    played.stream.up = True
    watch.stream()
    watch.stream()

    assert [event.is_up for event in played.kinds(ev.StreamChanged)] == [False, True]


def test_e5_after_every_connection_the_books_are_compared_by_rest() -> None:
    """A position made while nobody listened is a break at the next look, not five minutes later (E5, T3)."""
    played = scripted()
    upkeep = Upkeep(played.desk)
    upkeep.begin()
    hours = session_hours(DAY)
    assert hours is not None
    upkeep.tend(hours)
    played.script.held["MSFT"] = Decimal(7)
    upkeep.tend(hours)
    assert played.kinds(ev.BreakFound) == []

    played.stream.count += 1
    upkeep.tend(hours)

    assert {event.found.key for event in played.kinds(ev.BreakFound)} >= {"MSFT"}


def test_a_desk_without_a_stream_misses_none() -> None:
    """Reconcile and close-day have no stream."""
    played = scripted()
    watch = Watch(replace(played.desk, updates=None))

    assert not watch.stream()


# ---- HALTED and the bell ---------------------------------------------------------------------------


def _at_close_out(played: Played) -> Upkeep:
    """Give the upkeep of a session three minutes before its bell."""
    upkeep = Upkeep(played.desk)
    upkeep.begin()
    hours = session_hours(DAY)
    assert hours is not None
    played.clock.at = hours.closes_at - timedelta(minutes=3)
    return upkeep


def test_f5_a_halted_desk_closes_out_before_the_bell() -> None:
    """HALTED forbids entries; positions whose books are right do not stay overnight (R5, F5)."""
    played = holding()
    played.desk.journal.record(
        ev.TradingStateChanged(at=NOON, state=TradingState.HALTED, cause="test", by="test")
    )
    upkeep = _at_close_out(played)
    hours = session_hours(DAY)
    assert hours is not None

    upkeep.tend(hours)

    assert sold(played) == [100]


def test_f4_a_symbol_in_doubt_is_not_closed_and_a_person_is_told() -> None:
    """Its quantity is not known, so selling it might open a short: the alarm rings before the bell (F4)."""
    played = holding()
    played.script.held["AAPL"] = Decimal(0)
    upkeep = _at_close_out(played)
    hours = session_hours(DAY)
    assert hours is not None

    played.stream.count += 1  # the books are compared at once
    upkeep.tend(hours)
    upkeep.tend(hours)

    assert sold(played) == []
    (notice,) = played.kinds(ev.NoticeQueued)
    assert "AAPL 100" in notice.text
    assert len(played.kinds(ev.IntentDenied)) == 1

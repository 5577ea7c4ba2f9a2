"""The loop on the in-process venue: whole days, crashes, lost answers, breaks, kills."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import polars as pl
import pytest

from desk.closing import close_day
from desk.errors import BrokerUnavailable, LedgerUnavailable, OutcomeUnknown
from desk.exchange.venue import Venue
from desk.portfolio import replay
from schemas import events as ev
from schemas.account import BrokerAccount, BrokerClock
from schemas.orders import BrokerOrder, OrderIntent, OrderState, Purpose
from schemas.settings import SessionSettings
from tests import rehearsal as r
from tests.desk.short_day import (
    CLOSE,
    LATE,
    SHORT_DAY,
    Liar,
    accepted_and_lost,
    below,
    every_third,
    kinds,
    lying,
    never_taken,
    run_short,
    short_venue,
)
from tests.memory_ledger import MemoryLedger


def test_a_whole_day_ends_flat_with_books_the_auditor_agrees_with() -> None:
    """A regular day trades, closes out before the bell, and equals the venue's own executions."""
    place, ledger = r.venue(), r.new_ledger()
    desk = r.desk_on(place, ledger)

    result = r.session_of(desk).run()
    closed = close_day(desk, r.DAY)

    assert result.minutes == 390
    assert len(desk.portfolio.executions) > 20
    assert r.audited(place, desk) == []
    assert desk.portfolio.holdings() == {}
    assert all(order.state.is_terminal for order in desk.portfolio.orders.values())
    assert closed.cash == desk.portfolio.cash
    assert kinds(ledger, ev.BreakFound) == []


class Slow(r.Frames):
    """A recorder that notes, whenever it is called, how many orders of strategies were planned by then."""

    def __init__(self, place: Venue, ledger: MemoryLedger) -> None:
        super().__init__()
        self.place = place
        self.ledger = ledger
        self.calls: list[tuple[str, datetime, int]] = []  # what, the minute that was decided, orders

    def bars(self, frame: pl.DataFrame) -> None:
        super().bars(frame)
        self._note("bars")

    def signals(self, frame: pl.DataFrame) -> None:
        super().signals(frame)
        self._note("signals")

    def flush(self) -> None:
        self._note("flush")

    def _note(self, what: str) -> None:
        due = self.place.now() - timedelta(seconds=SessionSettings().bar_delay_s)
        decided = due.replace(second=0, microsecond=0) - timedelta(minutes=1)
        self.calls.append((what, decided, len(minutes_planned(self.ledger))))


def minutes_planned(ledger: MemoryLedger) -> list[datetime]:
    """Give the minute of every order a strategy asked for."""
    return [order.intent.bar_ts for order in kinds(ledger, ev.OrderPlanned) if order.intent.attempt == 0]


def test_i11_no_order_waits_for_a_minute_s_rows_to_be_written() -> None:
    """When the recorder is called, for rows or to flush, every order of the minute was planned (I11)."""
    place, ledger = short_venue(), r.new_ledger()
    recorder = Slow(place, ledger)

    run_short(r.desk_on(place, ledger, recorder=recorder))

    asked = minutes_planned(ledger)
    for what in ("bars", "signals", "flush"):
        calls = [(minute, planned) for each, minute, planned in recorder.calls if each == what]
        assert len({minute for minute, _ in calls} & set(asked)) > 5
        for minute, planned in calls:
            assert planned == sum(of <= minute for of in asked), what


def test_i11_rows_of_a_minute_that_fails_are_written() -> None:
    """An order that cannot be written ends the session, and the minute's bars and signals are kept (I11)."""
    ledger = Full()
    recorder = r.Frames()

    with pytest.raises(LedgerUnavailable):
        run_short(r.desk_on(short_venue(), ledger, recorder=recorder))

    assert recorder.said[-1].height > 0
    assert recorder.printed[-1]["ts"].max() == recorder.said[-1]["ts"].max()


class Full(MemoryLedger):
    """A ledger whose disk is full as soon as an order is to be planned."""

    def append(self, events: Sequence[ev.AnyEvent]) -> int:
        if any(isinstance(event, ev.OrderPlanned) for event in events):
            raise LedgerUnavailable("disk full")
        return super().append(events)


def test_i8_the_recorded_hash_is_what_a_replay_gives() -> None:
    """The running process's hash at its last seq is the hash of replaying up to it (I8)."""
    place, ledger = short_venue(), r.new_ledger()
    desk = r.desk_on(place, ledger)

    run_short(desk)

    (ended,) = kinds(ledger, ev.SessionEnded)
    up_to = [event for seq, event in ledger.read() if seq <= ended.state_seq]
    assert replay(up_to).state_hash() == ended.state_hash
    assert replay(event for _, event in ledger.read()).state_hash() == desk.portfolio.state_hash()


def test_i10_f13_a_strategy_sees_no_bar_before_it_was_known() -> None:
    """Every frame a strategy is shown ends with the last complete minute, regular session only (I10, F13)."""
    place = short_venue()
    strategy = r.Churner()
    shown_at: list[datetime] = []
    inner = strategy.signals

    def watched(bars):
        shown_at.append(place.now())
        return inner(bars)

    strategy.signals = watched  # type: ignore[method-assign]
    run_short(r.desk_on(place, r.new_ledger(), strategy=strategy))

    assert len(shown_at) > 30
    for now, frame in zip(shown_at, strategy.seen, strict=True):
        assert frame["ts"].max() + timedelta(minutes=1) <= now
        assert frame["ts"].is_in([CLOSE]).sum() == 0


def test_i5_i1_every_order_at_the_venue_was_planned_with_an_approval_first() -> None:
    """Each order the venue has is in the ledger under its id, with the limits it was judged by (I1, I5)."""
    place, ledger = short_venue(), r.new_ledger()

    run_short(r.desk_on(place, ledger))

    plans = {event.intent.client_order_id: event for event in kinds(ledger, ev.OrderPlanned)}
    at_venue = {order.client_order_id for order in place.orders_since(LATE)}
    assert at_venue
    assert at_venue <= set(plans)
    assert all(plans[each].approval.checks for each in at_venue)


# ---- crashes -----------------------------------------------------------------------------------


class Killed(BaseException):
    """The process ended here; nothing of it may catch this."""


@dataclass
class DyingLedger(MemoryLedger):
    """A ledger whose process is killed at the n-th append, before or after it is on disk."""

    at: int = 0
    after: bool = False
    rows: list[str] = field(default_factory=list)
    count: int = 0

    def append(self, events: Sequence[ev.AnyEvent]) -> int:
        self.count += 1
        if self.count == self.at and not self.after:
            raise Killed
        last = super().append(events)
        if self.count == self.at:
            raise Killed
        return last


@pytest.mark.parametrize("after", [False, True], ids=["before-disk", "after-disk"])
@pytest.mark.parametrize("at", [1, 2, 3, 7, 12, 20, 33, 47])
def test_i2_f1_f10_killed_at_a_durable_write_the_next_process_doubles_and_forgets_nothing(
    at: int, after: bool
) -> None:
    """Whatever write the process dies at, the restarted day ends with equal books (I2, I9, F1, F10)."""
    place = short_venue()
    ledger = DyingLedger(at=at, after=after)
    with pytest.raises(Killed):
        run_short(r.desk_on(place, ledger))

    desk = r.desk_on(place, ledger)
    run_short(desk, "run-2")
    place.sleep_until(CLOSE + timedelta(minutes=15))
    close_day(desk, SHORT_DAY)

    assert r.audited(place, desk) == []
    sent = [order.client_order_id for order in place.orders_since(LATE)]
    assert len(sent) == len(set(sent))
    assert set(sent) <= set(desk.portfolio.orders)


# ---- a broker that lies ------------------------------------------------------------------------


def test_i4_f9_an_accepted_order_whose_answer_was_lost_is_found_and_not_sent_again() -> None:
    """A 504 after acceptance leads to one order, found by its client id, and equal books (I4, F9)."""
    place, ledger = short_venue(), r.new_ledger()
    desk = r.desk_on(place, ledger, wrap=lying(every_third(accepted_and_lost)))

    run_short(desk)

    lost = {event.client_order_id for event in kinds(ledger, ev.OrderOutcomeLost)}
    assert lost
    assert r.audited(place, desk) == []
    assert all(desk.portfolio.orders[each].state.is_terminal for each in lost)
    assert all(desk.portfolio.orders[each].broker_order_id is not None for each in lost)


def test_i4_an_order_nobody_has_stays_unknown_until_the_session_is_over() -> None:
    """Not found is no answer: the order blocks its symbol until the day's complete list lacks it (I4)."""
    place, ledger = short_venue(), r.new_ledger()
    desk = r.desk_on(place, ledger, wrap=lying(every_third(never_taken)))

    run_short(desk)
    before = {
        o.intent.client_order_id for o in desk.portfolio.orders.values() if o.state is OrderState.UNKNOWN
    }
    place.sleep_until(CLOSE + timedelta(minutes=15))
    close_day(desk, SHORT_DAY)

    entries = {each for each in before if desk.portfolio.orders[each].intent.purpose is Purpose.ENTRY}
    assert entries
    ended = {event.client_order_id: event.at for event in kinds(ledger, ev.OrderNeverArrived)}
    assert entries <= set(ended)
    assert all(at >= CLOSE for at in ended.values())
    assert r.audited(place, desk) == []
    for event in kinds(ledger, ev.OrderPlanned):
        blocking = [
            desk.portfolio.orders[each]
            for each in entries
            if desk.portfolio.orders[each].planned_at < event.at
            and desk.portfolio.orders[each].intent.symbol == event.intent.symbol
        ]
        assert not (blocking and event.intent.purpose is Purpose.ENTRY)


def test_i2_an_unanswered_exit_is_sent_again_under_its_own_id_and_exits_once() -> None:
    """An exit the broker does not know is repeated with the same client order id, never with another."""
    place, ledger = short_venue(), r.new_ledger()
    refused: set[str] = set()

    def lose_first_exit(venue: Venue, intent: OrderIntent) -> BrokerOrder:
        if intent.purpose is Purpose.EXIT and not refused:
            refused.add(intent.client_order_id)
            raise OutcomeUnknown("connection reset")
        return venue.submit(intent)

    desk = r.desk_on(place, ledger, wrap=lying(lose_first_exit))
    run_short(desk)

    (lost,) = refused
    assert desk.portfolio.orders[lost].state is OrderState.FILLED
    assert r.audited(place, desk) == []
    assert desk.portfolio.holdings() == {}


def test_a_cancel_that_was_lost_is_asked_again() -> None:
    """A cancel without an answer changes nothing, and the order does not live on for it (E1)."""
    place, ledger = short_venue(), r.new_ledger()
    lost: list[str] = []

    class LosesCancels(Liar):
        def cancel(self, broker_order_id: str) -> None:
            if broker_order_id not in lost:
                lost.append(broker_order_id)
                raise OutcomeUnknown("504")
            self.place.cancel(broker_order_id)

    never_filling = r.settings().model_copy(
        update={"session": SessionSettings(slots=3, entry_offset_bps=0, entry_ttl_minutes=1)}
    )
    liar = lambda venue: LosesCancels(venue, lambda at, intent: at.submit(below(intent)))  # noqa: E731
    desk = r.desk_on(place, ledger, configured=never_filling, wrap=liar)
    run_short(desk)

    asked = [event.client_order_id for event in kinds(ledger, ev.CancelRequested)]
    assert lost
    assert len(asked) > len(set(asked))
    assert not place.open_orders()


def test_a_word_that_cannot_be_does_not_end_the_session() -> None:
    """A rejection of a partly filled order is no row of the table: it changes nothing, the day goes on."""
    place, ledger = short_venue(), r.new_ledger()

    class SaysRejected(Liar):
        def orders_since(self, after: datetime) -> tuple[BrokerOrder, ...]:
            return tuple(
                order.model_copy(update={"status": "rejected"}) if 0 < order.filled_qty < order.qty else order
                for order in self.place.orders_since(after)
            )

    desk = r.desk_on(place, ledger, wrap=lambda venue: SaysRejected(venue, lambda at, i: at.submit(i)))
    run_short(desk)

    assert kinds(ledger, ev.SessionEnded)
    assert r.audited(place, desk) == []


def test_a_full_disk_means_no_order() -> None:
    """When the ledger cannot be written nothing reaches the venue after it (I1)."""
    place = short_venue()

    class FullLedger(MemoryLedger):
        def append(self, events: Sequence[ev.AnyEvent]) -> int:
            if any(isinstance(event, ev.OrderPlanned) for event in events):
                raise LedgerUnavailable("ledger: disk full")
            return super().append(events)

    with pytest.raises(LedgerUnavailable, match="disk full"):
        run_short(r.desk_on(place, FullLedger()))

    assert place.orders_since(LATE) == ()


@pytest.mark.parametrize("silent", [1, 4])
def test_a_broker_that_does_not_answer_at_first_is_asked_again_at_start(silent: int) -> None:
    """Start-up reads that fail are repeated a bounded number of times, and then the session trades."""
    place, ledger = short_venue(), r.new_ledger()

    class Silent(Liar):
        left = silent

        def account(self) -> BrokerAccount:
            self.left -= 1
            if self.left >= 0:
                raise BrokerUnavailable("account: 503")
            return self.place.account()

    desk = r.desk_on(place, ledger, wrap=lambda venue: Silent(venue, lambda at, order: at.submit(order)))

    run_short(desk)

    assert len(kinds(ledger, ev.SessionStarted)) == 1
    assert kinds(ledger, ev.OrderPlanned)


def test_a_broker_that_never_answers_at_start_ends_the_session_with_its_words() -> None:
    """Nothing was traded, and the lease was kept all the time the broker was asked."""
    place, ledger = short_venue(), r.new_ledger()

    class Gone(Liar):
        def clock(self) -> BrokerClock:
            raise BrokerUnavailable("clock: 503")

    desk = r.desk_on(place, ledger, wrap=lambda venue: Gone(venue, lambda at, order: at.submit(order)))
    before = place.now()

    with pytest.raises(BrokerUnavailable, match="clock: 503"):
        run_short(desk)

    assert place.now() - before > timedelta(minutes=2)
    assert kinds(ledger, ev.SessionStarted) == []

"""The loop on the in-process venue: whole days, crashes, lost answers, breaks, kills."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from desk.closing import close_day
from desk.desk import Desk
from desk.errors import BrokerUnavailable, LedgerUnavailable, NotReady, OpenBreaks, OutcomeUnknown
from desk.exchange.generated import GeneratedMarket
from desk.exchange.venue import Venue
from desk.kill import kill, latch_events
from desk.portfolio import replay
from desk.recovery import recover
from desk.session import Steps
from schemas import events as ev
from schemas.orders import BrokerOrder, OrderIntent, OrderState, Purpose, Side
from schemas.risk import LatchName, TradingState
from schemas.settings import SessionSettings
from tests import rehearsal as r
from tests.memory_ledger import MemoryLedger

SHORT_DAY = date(2025, 11, 28)  # closes at 13:00 New York
LATE = datetime(2025, 11, 28, 17, 15, tzinfo=UTC)  # 12:15: 45 minutes of trading are left
CLOSE = datetime(2025, 11, 28, 18, 0, tzinfo=UTC)


def short_venue(seed: int = 1) -> Venue:
    """Open a venue on the last 45 minutes of an early close."""
    return Venue(GeneratedMarket(seed, r.SYMBOLS), session_date=SHORT_DAY, starts_at=LATE)


def run_short(desk: Desk, run_id: str = "run-1") -> None:
    """Run what is left of the short day."""
    r.session_of(desk, SHORT_DAY, run_id).run()


def kinds(ledger: MemoryLedger, kind: type) -> list:
    """Give the ledger's events of a kind."""
    return [event for _, event in ledger.read() if isinstance(event, kind)]


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


@dataclass
class Liar:
    """A broker between desk and venue; everything passes but what a test replaces."""

    place: Venue
    on_submit: Callable[[Venue, OrderIntent], BrokerOrder]

    def submit(self, intent: OrderIntent) -> BrokerOrder:
        return self.on_submit(self.place, intent)

    def __getattr__(self, name: str):
        return getattr(self.place, name)


def lying(on_submit: Callable[[Venue, OrderIntent], BrokerOrder]) -> Callable[[Venue], Liar]:
    """Put a submit of the test's own between desk and venue."""
    return lambda place: Liar(place, on_submit)


def every_third(
    lie: Callable[[Venue, OrderIntent], BrokerOrder],
) -> Callable[[Venue, OrderIntent], BrokerOrder]:
    """Lie on every third order, counting from the first."""
    count = 0

    def submit(place: Venue, intent: OrderIntent) -> BrokerOrder:
        nonlocal count
        count += 1
        return lie(place, intent) if count % 3 == 1 else place.submit(intent)

    return submit


def accepted_and_lost(place: Venue, intent: OrderIntent) -> BrokerOrder:
    """Take the order and lose the answer, as a 504 may."""
    place.submit(intent)
    raise OutcomeUnknown("504 Gateway Time-out")


def never_taken(place: Venue, intent: OrderIntent) -> BrokerOrder:
    """Lose the request."""
    raise OutcomeUnknown("connection reset")


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


def below(intent: OrderIntent) -> OrderIntent:
    """Give a buy a limit nobody sells at."""
    return (
        intent if intent.limit_price is None else intent.model_copy(update={"limit_price": Decimal("1.00")})
    )


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


# ---- breaks ------------------------------------------------------------------------------------


def closed_short_day() -> tuple[Venue, MemoryLedger, Desk]:
    """Run the short day to its end, not yet closed."""
    place, ledger = short_venue(), r.new_ledger()
    desk = r.desk_on(place, ledger)
    run_short(desk)
    return place, ledger, desk


def by_hand(place: Venue, symbol: str, side: Side, qty: Decimal, price: Decimal | None) -> None:
    """Trade at the venue on the same account, as a person would."""
    place.trade_by_hand(symbol=symbol, side=side, qty=qty, price=price)


def test_t2_a_trade_by_hand_breaks_the_close_until_a_person_accepts_it() -> None:
    """close-day names the break and fails; accepted, a rerun books it once; once more is a no-op."""
    place, ledger, desk = closed_short_day()
    by_hand(place, "AAPL", Side.BUY, Decimal(7), Decimal("150"))

    with pytest.raises(OpenBreaks, match=r"AAPL.*buy 7") as failed:
        close_day(desk, SHORT_DAY)
    (break_id,) = failed.value.break_ids
    ledger.append([ev.BreakResolved(at=CLOSE, break_id=break_id, how="accepted", by="me", cause="it was me")])
    booked = close_day(desk, SHORT_DAY)
    rows = len(ledger.rows)
    again = close_day(desk, SHORT_DAY)

    assert desk.portfolio.position("AAPL") == 7
    assert r.audited(place, desk) == []
    assert booked.booked == 1
    assert (again.already_closed, again.booked) == (True, 0)
    assert len(ledger.rows) == rows
    assert len(kinds(ledger, ev.DayClosed)) == 1


def test_t3_a_small_trade_by_hand_in_mid_session_waits_for_a_person() -> None:
    """Whatever its size, a running session books no foreign trade by itself: the close names it."""
    place, ledger = short_venue(), r.new_ledger()
    desk = r.desk_on(place, ledger)
    session = r.session_of(desk, SHORT_DAY)
    steps = session.steps()
    bought: list[datetime] = []

    def ingest(minute: datetime):
        if not bought and minute >= LATE + timedelta(minutes=10):
            bought.append(minute)
            by_hand(place, "XOM", Side.BUY, Decimal(1), Decimal("100"))
        return steps.ingest(minute)

    session.run(Steps(ingest=ingest, evaluate=steps.evaluate, trade=steps.trade))

    (found,) = kinds(ledger, ev.BreakFound)
    with pytest.raises(OpenBreaks, match="XOM"):
        close_day(desk, SHORT_DAY)
    assert found.found.key == "XOM"
    assert place.positions()[0].qty == 1


def test_t2_a_trade_by_hand_that_is_undone_clears_by_itself() -> None:
    """Sold again by hand, the symbol is flat at both, and the round trip's cash is booked as external."""
    place, ledger, desk = closed_short_day()
    by_hand(place, "AAPL", Side.BUY, Decimal(7), Decimal("150"))
    with pytest.raises(OpenBreaks):
        close_day(desk, SHORT_DAY)

    by_hand(place, "AAPL", Side.SELL, Decimal(7), Decimal("149"))
    close_day(desk, SHORT_DAY)

    assert desk.portfolio.breaks == {}
    assert [event.how for event in kinds(ledger, ev.BreakResolved)] == ["cleared"]
    assert r.audited(place, desk) == []


def test_i9_f4_a_large_break_at_start_halts_and_a_small_one_is_adjusted() -> None:
    """A manual trade found at start-up is booked when small; when large nothing is sent (I9, F4)."""
    for qty, price, state in ((1, "100", TradingState.ACTIVE), (50, "100", TradingState.HALTED)):
        place, ledger = short_venue(), r.new_ledger()
        desk = r.desk_on(place, ledger)
        recover(desk, SHORT_DAY)
        by_hand(place, "XOM", Side.BUY, Decimal(qty), Decimal(price))

        found = recover(desk, SHORT_DAY)

        assert found.trading_state is state
        assert (desk.portfolio.position("XOM") == qty) is (state is TradingState.ACTIVE)
        if state is TradingState.HALTED:
            sent = len(place.orders_since(LATE))
            run_short(desk)
            assert len(place.orders_since(LATE)) == sent
        else:
            assert r.audited(place, desk) == []


# ---- kill, losses, readiness -------------------------------------------------------------------


def test_i14_f11_a_kill_in_mid_session_leaves_the_broker_flat_and_verified() -> None:
    """A latch appended by another process: cancel, flatten, verify; no entry follows (I14, F11)."""
    place, ledger = short_venue(), r.new_ledger()
    desk = r.desk_on(place, ledger)
    session = r.session_of(desk, SHORT_DAY)
    steps = session.steps()
    killed_at: list[datetime] = []

    def trade(minute: datetime, signals):
        outcome = steps.trade(minute, signals)
        if desk.portfolio.holdings() and not killed_at:
            killed_at.append(desk.now())
            ledger.append(latch_events(desk, cause="test", by="me"))
        return outcome

    session.run(Steps(ingest=steps.ingest, evaluate=steps.evaluate, trade=trade))

    assert killed_at
    assert place.positions() == ()
    assert place.open_orders() == ()
    assert len(kinds(ledger, ev.KillVerified)) == 1
    later = [e for e in kinds(ledger, ev.OrderPlanned) if e.at > killed_at[0]]
    assert all(event.intent.purpose is Purpose.EXIT for event in later)
    assert LatchName.KILL in desk.portfolio.latches
    assert r.audited(place, desk) == []


def test_i14_a_second_kill_in_one_session_flattens_again() -> None:
    """Killed, released and killed again, the same process executes both (I14)."""
    place, ledger = short_venue(), r.new_ledger()
    desk = r.desk_on(place, ledger)
    session = r.session_of(desk, SHORT_DAY)
    steps = session.steps()
    kills = 0

    def trade(minute: datetime, signals):
        nonlocal kills
        outcome = steps.trade(minute, signals)
        if LatchName.KILL in desk.portfolio.latches and kills == 1:
            released = ev.LatchReleased(at=desk.now(), name=LatchName.KILL, by="me", cause="go on")
            active = ev.TradingStateChanged(at=desk.now(), state=TradingState.ACTIVE, cause="go on", by="me")
            ledger.append([released, active])
        elif desk.portfolio.holdings() and kills < 2:
            kills += 1
            ledger.append(latch_events(desk, cause=f"kill {kills}", by="me"))
        return outcome

    session.run(Steps(ingest=steps.ingest, evaluate=steps.evaluate, trade=trade))

    assert kills == 2
    assert len(kinds(ledger, ev.KillVerified)) == 2
    assert place.positions() == ()


def test_kill_adopts_what_a_person_holds_and_closes_it() -> None:
    """Flat as the broker says includes positions that were made by hand."""
    place, ledger = short_venue(), r.new_ledger()
    desk = r.desk_on(place, ledger)
    by_hand(place, "MSFT", Side.BUY, Decimal(20), None)

    verified = kill(desk, cause="test", by="me")

    assert verified.positions_closed == 1
    assert place.positions() == ()


def test_r3_a_daily_loss_latches_flattens_and_survives_a_restart() -> None:
    """At the loss limit everything is closed, and the next process still refuses entries (R3, F6, I7)."""
    place, ledger = short_venue(), r.new_ledger()
    limits = r.settings(daily_loss_usd=Decimal("1"))
    desk = r.desk_on(place, ledger, configured=limits)
    run_short(desk)

    latches = kinds(ledger, ev.LatchSet)
    after = [e for e in kinds(ledger, ev.OrderPlanned) if e.at > latches[0].at]
    restarted = r.desk_on(place, ledger, configured=limits)

    assert len(latches) == 1
    assert latches[0].number >= 1
    assert all(event.intent.purpose is Purpose.EXIT for event in after)
    assert place.positions() == ()
    assert LatchName.DAILY_LOSS in restarted.portfolio.latches


def test_f8_minutes_without_bars_give_no_entries_and_the_day_goes_on() -> None:
    """When the provider does not answer, the minute is skipped and nothing is decided on old bars (F8)."""
    place, ledger = short_venue(), r.new_ledger()
    desk = r.desk_on(place, ledger)
    session = r.session_of(desk, SHORT_DAY)
    steps = session.steps()
    down_from, down_to = LATE + timedelta(minutes=10), LATE + timedelta(minutes=20)

    def ingest(minute: datetime):
        if down_from <= minute < down_to:
            raise BrokerUnavailable("market data: 503 three times")
        return steps.ingest(minute)

    session.run(Steps(ingest=ingest, evaluate=steps.evaluate, trade=steps.trade))

    planned = kinds(ledger, ev.OrderPlanned)
    assert planned
    assert not [e for e in planned if down_from <= e.intent.bar_ts < down_to]
    assert r.audited(place, desk) == []


def test_a_strategy_that_raises_is_stopped_and_the_others_go_on() -> None:
    """One idea's bug costs neither the session nor another idea (S3)."""
    place, ledger = short_venue(), r.new_ledger()

    class Broken(r.Churner):
        def signals(self, bars):
            raise ZeroDivisionError("no volume")

    good, bad = r.Churner(), Broken(name="broken")
    base = r.desk_on(place, ledger)
    run_short(replace(base, strategies=(bad, good)))

    assert [event.strategy for event in kinds(ledger, ev.StrategyStopped)] == ["broken"]
    assert {event.intent.strategy for event in kinds(ledger, ev.OrderPlanned)} == {"churner"}


def test_an_exception_in_the_loop_halts_flattens_and_is_raised() -> None:
    """A bug in a step leaves the account flat, the state HALTED, and the traceback to the caller."""
    place, ledger = short_venue(), r.new_ledger()
    desk = r.desk_on(place, ledger)
    session = r.session_of(desk, SHORT_DAY)
    steps = session.steps()

    def trade(minute: datetime, signals):
        outcome = steps.trade(minute, signals)
        if desk.portfolio.holdings():
            raise ValueError("a bug")
        return outcome

    with pytest.raises(ValueError, match="a bug"):
        session.run(Steps(ingest=steps.ingest, evaluate=steps.evaluate, trade=trade))

    place.sleep_until(place.now() + timedelta(minutes=2))
    assert desk.portfolio.trading_state is TradingState.HALTED
    assert place.positions() == ()


def test_d6_start_up_refuses_a_calendar_that_differs_from_the_brokers() -> None:
    """Library and broker must agree on the session's hours before anything is traded."""

    class OtherHours(Liar):
        def calendar(self, start: date, end: date):
            (hours,) = self.place.calendar(start, end)
            return (hours.model_copy(update={"closes_at": hours.closes_at + timedelta(hours=3)}),)

    place = short_venue()
    desk = r.desk_on(place, r.new_ledger(), wrap=lambda venue: OtherHours(venue, lambda v, i: v.submit(i)))

    with pytest.raises(NotReady, match="calendars disagree on 2025-11-28"):
        run_short(desk)


def test_close_day_before_the_close_says_so() -> None:
    """The end of day cannot come before the end."""
    desk = r.desk_on(short_venue(), r.new_ledger())

    with pytest.raises(NotReady, match="still open"):
        close_day(desk, SHORT_DAY)

"""The loop on the in-process venue: breaks by hand, kills, losses, and what start-up refuses."""

from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest

from desk.closing import close_day
from desk.errors import BrokerUnavailable, KillIncomplete, NotReady, OpenBreaks
from desk.exchange.generated import GeneratedMarket
from desk.exchange.venue import Venue
from desk.kill import kill, latch_events
from desk.recovery import recover
from desk.session import Steps
from schemas import events as ev
from schemas.orders import OrderIntent, Purpose, Side
from schemas.risk import BreakKind, LatchName, TradingState
from tests import rehearsal as r
from tests.desk.short_day import (
    CLOSE,
    LATE,
    SHORT_DAY,
    Liar,
    by_hand,
    closed_short_day,
    kinds,
    run_short,
    short_venue,
)
from tests.makers import intent

# ---- breaks ------------------------------------------------------------------------------------


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


def test_a_date_on_which_no_session_ran_is_not_closed() -> None:
    """Books that are equal do not make a day that never was."""
    _, ledger, desk = closed_short_day()

    with pytest.raises(NotReady, match="no session ran"):
        close_day(desk, date(2025, 11, 26))

    assert kinds(ledger, ev.DayClosed) == []


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


def test_i9_a_break_accepted_while_start_up_looks_again_is_booked_before_trading() -> None:
    """A person's word between two looks counts for the next one: nothing starts on wrong books."""
    place, ledger = short_venue(), r.new_ledger()
    desk = r.desk_on(place, ledger)
    recover(desk, SHORT_DAY)
    by_hand(place, "XOM", Side.BUY, Decimal(50), Decimal("100"))
    (found,) = recover(desk, SHORT_DAY).breaks

    class Accepting(Liar):
        """A clock whose first sleep is when the person decides."""

        def sleep_until(self, instant: datetime, wake: object = None) -> None:
            if not kinds(ledger, ev.BreakResolved):
                ledger.append(
                    [
                        ev.BreakResolved(
                            at=CLOSE, break_id=found.break_id, how="accepted", by="me", cause="mine"
                        )
                    ]
                )
            self.place.sleep_until(instant)

    clock = Accepting(place, lambda venue, order: venue.submit(order))
    recover(replace(desk, clock=clock), SHORT_DAY)  # type: ignore[arg-type]

    assert desk.portfolio.breaks == {}
    assert desk.portfolio.position("XOM") == 50


def test_a_holding_the_desk_does_not_watch_stops_no_entry() -> None:
    """Shares of another symbol in the account count at their cost and do not make every entry a no."""
    place = Venue(GeneratedMarket(1, (*r.SYMBOLS, "KO")), session_date=SHORT_DAY, starts_at=LATE)
    ledger = r.new_ledger()
    place.trade_by_hand(symbol="KO", side=Side.BUY, qty=Decimal(5), price=None)
    desk = r.desk_on(place, ledger)

    run_short(desk)

    assert kinds(ledger, ev.OrderPlanned)
    assert [(p.symbol, p.qty) for p in place.positions()] == [("KO", Decimal(5))]


def test_a_hand_made_order_that_rests_is_named_and_never_adjusted() -> None:
    """An open order that is not ours stays a break until a person says so; a small one does not halt."""
    place, ledger = short_venue(), r.new_ledger()
    desk = r.desk_on(place, ledger)
    recover(desk, SHORT_DAY)
    place.submit(foreign_buy())

    found = recover(desk, SHORT_DAY)

    assert [item.kind for item in found.breaks] == [BreakKind.FOREIGN_ORDER]
    assert found.trading_state is TradingState.ACTIVE
    assert kinds(ledger, ev.BreakResolved) == []


def foreign_buy() -> OrderIntent:
    """Give an order this desk never planned."""
    return intent("by-hand-1", symbol="XOM", qty="3", limit_price="1.00")


def test_t2_a_break_left_open_overnight_is_the_same_break_the_next_day() -> None:
    """A new session does not make another break of it: what caused it is still looked at."""
    place, ledger, desk = closed_short_day()
    by_hand(place, "AAPL", Side.BUY, Decimal(7), Decimal("150"))
    with pytest.raises(OpenBreaks) as first:
        close_day(desk, SHORT_DAY)
    ledger.append([session_started(date(2025, 12, 1))])
    desk.journal.catch_up()

    with pytest.raises(OpenBreaks) as second:
        close_day(desk, SHORT_DAY)

    assert second.value.break_ids == first.value.break_ids


def session_started(day: date) -> ev.SessionStarted:
    """Make the start of a later session."""
    return ev.SessionStarted(
        at=CLOSE + timedelta(days=3),
        session_date=day,
        run_id="later",
        strategies=(),
        symbols=(),
        settings_hash="",
        equity=Decimal(100_000),
    )


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

    (stopped,) = kinds(ledger, ev.StrategyStopped)
    assert stopped.strategy == "broken"
    assert stopped.cause.startswith("ZeroDivisionError: no volume (test_session_breaks.py, line ")
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


@pytest.mark.parametrize(("seconds", "ready"), [(4.9, True), (-4.9, True), (5.1, False), (-5.1, False)])
def test_start_up_refuses_a_clock_that_differs_from_the_brokers(seconds: float, ready: bool) -> None:
    """A machine whose time is off acts on the wrong bars, so nothing is traded by it."""

    class OtherTime(Liar):
        def clock(self):
            stated = self.place.clock()
            return stated.model_copy(update={"now": stated.now + timedelta(seconds=seconds)})

    place = short_venue()
    desk = r.desk_on(place, r.new_ledger(), wrap=lambda venue: OtherTime(venue, lambda v, i: v.submit(i)))

    if ready:
        assert recover(desk, SHORT_DAY).trading_state is TradingState.ACTIVE
    else:
        with pytest.raises(NotReady, match=r"clock differs from the broker's by 5\.1 s, limit 5 s"):
            recover(desk, SHORT_DAY)


def test_i14_a_kill_cancels_also_while_nothing_can_be_read() -> None:
    """A 429 or an outage of reads holds back what we ask, not the cancel of everything (I14)."""
    place, ledger = short_venue(), r.new_ledger()
    is_silent = False

    class Mute(Liar):
        def open_orders(self):
            if is_silent:
                raise BrokerUnavailable("GET /v2/orders: withheld after 429")
            return self.place.open_orders()

    desk = r.desk_on(place, ledger, wrap=lambda venue: Mute(venue, lambda v, i: v.submit(i)))
    recover(desk, SHORT_DAY)
    resting = intent("mqd-resting", qty="1", limit_price="1.00")
    place.submit(resting.model_copy(update={"session_date": SHORT_DAY}))
    assert len(place.open_orders()) == 1
    is_silent = True

    with pytest.raises(KillIncomplete, match="does not answer"):
        kill(desk, cause="test", by="me")

    assert place.open_orders() == ()

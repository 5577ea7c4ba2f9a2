"""The kill switch against a broker that is silent, refuses, loses or does not cancel (I14, F11)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from desk.errors import BrokerUnavailable, KillIncomplete, OutcomeUnknown, Rejected
from desk.exchange.venue import Venue
from desk.flattener import FAILED_MAX, flatten
from desk.kill import kill, latch_events
from desk.recovery import recover
from schemas import events as ev
from schemas.orders import BrokerOrder, OrderIntent, OrderState, Purpose, Side
from schemas.risk import LatchName
from tests import rehearsal as r
from tests.desk.short_day import (
    CLOSE,
    SHORT_DAY,
    Liar,
    by_hand,
    kinds,
    lying,
    run_short,
    run_with,
    short_venue,
    until_held,
)
from tests.makers import intent, planned
from tests.memory_ledger import MemoryLedger


@pytest.mark.parametrize("sold_frac", ["0.5", "1", "1.5"])
def test_i14_f4_a_kill_after_a_sale_by_hand_ends_flat_in_both_books(sold_frac: str) -> None:
    """What a person sold of a strategy's shares leaves that strategy, and the kill ends flat (F4)."""
    place, ledger = short_venue(), r.new_ledger()
    desk = r.desk_on(place, ledger)
    _, symbol, qty = until_held(desk)
    by_hand(place, symbol, Side.SELL, Decimal(int(qty * Decimal(sold_frac))), None)
    place.sleep_until(place.now() + timedelta(seconds=1))

    kill(desk, cause="test", by="me")
    recover(desk, SHORT_DAY)

    assert place.positions() == ()
    assert desk.portfolio.holdings() == {}
    assert r.audited(place, desk) == []


@dataclass
class Mute(Liar):
    """A broker that does not answer the next questions about open orders."""

    silent: int = 0

    def open_orders(self) -> tuple[BrokerOrder, ...]:
        if self.silent > 0:
            self.silent -= 1
            raise BrokerUnavailable("orders: 503")
        return self.place.open_orders()


def test_i14_a_kill_goes_on_when_the_broker_is_silent_at_first() -> None:
    """One read without an answer does not end the kill switch (I14)."""
    place, ledger = short_venue(), r.new_ledger()
    desk = r.desk_on(place, ledger, wrap=lambda venue: Mute(venue, lambda at, order: at.submit(order)))
    until_held(desk)
    assert isinstance(desk.broker, Mute)
    desk.broker.silent = 3
    held = len(place.positions())

    verified = kill(desk, cause="test", by="me")

    assert verified.positions_closed == held
    assert place.positions() == ()


def test_i14_an_account_is_not_verified_flat_while_a_lost_order_may_arrive() -> None:
    """A lost entry reaches the broker after it was seen flat; only its closing verifies the kill (I14)."""
    place, ledger = short_venue(), r.new_ledger()
    on_the_way: list[OrderIntent] = []
    done: list[str] = []

    def lie(venue: Venue, order: OrderIntent) -> BrokerOrder:
        if order.purpose is Purpose.ENTRY and not on_the_way:
            on_the_way.append(order)
            raise OutcomeUnknown("read timeout")
        return venue.submit(order)

    desk = r.desk_on(place, ledger, wrap=lying(lie))

    def after_trade(_: datetime) -> None:
        if on_the_way and not done:
            done.append("killed")
            ledger.append(latch_events(desk, cause="test", by="me"))
        elif done == ["killed"] and desk.portfolio.orders[on_the_way[0].client_order_id].probes > 5:
            assert place.positions() == ()
            assert kinds(ledger, ev.KillVerified) == []
            done.append("arrived")
            place.submit(on_the_way[0])

    run_with(desk, after_trade)

    assert done == ["killed", "arrived"]
    assert desk.portfolio.orders[on_the_way[0].client_order_id].state is OrderState.FILLED
    assert kinds(ledger, ev.KillVerified)
    assert place.positions() == ()
    assert r.audited(place, desk) == []


def test_i14_a_kill_without_a_session_says_which_order_may_still_arrive() -> None:
    """Flat, but an entry has no answer: not verified, and the order is named (I14)."""
    place, ledger = short_venue(), r.new_ledger()
    desk = r.desk_on(place, ledger)
    order = intent("mqd-lost", qty="5", limit_price="1.00").model_copy(update={"session_date": SHORT_DAY})
    desk.journal.record(planned(order))  # and the process died

    with pytest.raises(KillIncomplete, match="mqd-lost") as caught:
        kill(desk, cause="test", by="me")

    assert "13:05 New York" in str(caught.value)
    assert kinds(ledger, ev.KillVerified) == []
    assert LatchName.KILL in desk.portfolio.latches


@dataclass
class Refusing(Liar):
    """A broker whose next requests fail: reads without an answer, writes lost."""

    failing: int = 0

    def _fail(self) -> bool:
        self.failing -= 1
        return self.failing >= 0

    def open_orders(self) -> tuple[BrokerOrder, ...]:
        if self._fail():
            raise BrokerUnavailable("orders: 500")
        return self.place.open_orders()

    def cancel_all(self) -> int:
        if self._fail():
            raise OutcomeUnknown("504 Gateway Time-out")
        return self.place.cancel_all()

    def submit(self, intent: OrderIntent) -> BrokerOrder:
        if self._fail():
            raise OutcomeUnknown("read timeout")
        return self.place.submit(intent)


@pytest.mark.parametrize("failing", [1, 3, 6])
def test_i14_a_kill_whose_first_requests_fail_ends_flat_and_verified(failing: int) -> None:
    """Whatever the first requests meet, exits included, the account ends flat as the broker says (I14)."""
    place, ledger = short_venue(), r.new_ledger()
    desk = r.desk_on(place, ledger, wrap=lambda venue: Refusing(venue, lambda at, order: at.submit(order)))
    until_held(desk)
    assert isinstance(desk.broker, Refusing)
    desk.broker.failing = failing

    kill(desk, cause="test", by="me")

    assert place.positions() == ()
    assert place.open_orders() == ()
    assert r.audited(place, desk) == []


@dataclass
class NeverCanceling(Liar):
    """A broker that takes cancels and does not carry them out: pending_cancel for hours."""

    def cancel(self, broker_order_id: str) -> None:
        return None

    def cancel_all(self) -> int:
        return len(self.place.open_orders())


@pytest.mark.parametrize("same", [True, False], ids=["same symbol", "another symbol"])
def test_i14_a_kill_closes_positions_beside_an_order_that_does_not_cancel(*, same: bool) -> None:
    """A resting order in pending_cancel for hours does not keep the positions, nor its own symbol's (I14)."""
    place, ledger = short_venue(), r.new_ledger()
    desk = r.desk_on(place, ledger, wrap=lambda venue: NeverCanceling(venue, lambda at, o: at.submit(o)))
    until_held(desk)
    held = {position.symbol for position in place.positions()}
    symbol = next(each for each in r.SYMBOLS if (each in held) is same)
    resting = intent("mqd-resting", symbol=symbol, qty="5", limit_price="1.00")
    resting = resting.model_copy(update={"session_date": SHORT_DAY})
    desk.journal.record(planned(resting))
    place.submit(resting)

    with pytest.raises(KillIncomplete, match="1 open orders and positions: none"):
        kill(desk, cause="test", by="me")

    assert place.positions() == ()


def test_i14_a_kill_between_approval_and_sending_withholds_the_entries() -> None:
    """Entries the kill overtook are ended unsent; none reaches the broker after the latch (I14)."""
    place = short_venue()

    class Overtaken(MemoryLedger):
        latched = False

        def append(self, events: Sequence[ev.AnyEvent]) -> int:
            if not self.latched and any(isinstance(event, ev.OrderPlanned) for event in events):
                self.latched = True
                super().append(latch_events(desk, cause="test", by="me"))
            return super().append(events)

    ledger = Overtaken()
    desk = r.desk_on(place, ledger)
    run_short(desk)

    planned_ids = {event.intent.client_order_id for event in kinds(ledger, ev.OrderPlanned)}
    assert planned_ids
    assert place.orders_since(CLOSE - timedelta(hours=1)) == ()
    assert {desk.portfolio.orders[each].state for each in planned_ids} == {OrderState.REJECTED}


def test_i14_a_kill_closes_what_was_refused_many_times_before() -> None:
    """Exits the broker refused all day are tried again, once a minute, and by the kill switch (I14)."""
    place, ledger = short_venue(), r.new_ledger()
    refusing = [True]

    def lie(venue: Venue, order: OrderIntent) -> BrokerOrder:
        if order.purpose is Purpose.EXIT and refusing:
            raise Rejected("insufficient qty available", code="40310000", status=403)
        return venue.submit(order)

    desk = r.desk_on(place, ledger, wrap=lying(lie))
    until_held(desk)
    for _ in range(FAILED_MAX + 5):
        flatten(desk, reason="test", emergency=True)
    refused = len(kinds(ledger, ev.OrderRejected))
    refusing.clear()
    place.sleep_until(place.now() + timedelta(minutes=1))

    kill(desk, cause="test", by="me")

    assert refused >= FAILED_MAX
    assert place.positions() == ()

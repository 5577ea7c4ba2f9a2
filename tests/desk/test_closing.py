"""close-day while it waits: the account stays its own."""

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from data.lease import LEASE_TTL
from desk.closing import close_day
from desk.errors import NotReady, Rejected
from desk.exchange.venue import Venue
from desk.scribe import follow
from schemas.events import DayClosed
from tests import rehearsal as r
from tests.desk.short_day import (
    SHORT_DAY,
    closed_short_day,
    every_third,
    kinds,
    lying,
    never_taken,
    run_short,
    short_venue,
)
from tests.makers import intent, planned
from tests.memory_ledger import MemoryLedger


class Renewed(MemoryLedger):
    """A ledger that notes the venue's time of each renewal."""

    def __init__(self, place: Venue) -> None:
        super().__init__()
        self.place = place
        self.at: list[datetime] = []

    def renew(self) -> None:
        self.at.append(self.place.now())


def test_i12_a_close_that_waits_for_minutes_keeps_the_account() -> None:
    """While it waits for an unanswered order neither its lease nor its claim of the day runs out (I12)."""
    place = short_venue()
    ledger = Renewed(place)
    desk = r.desk_on(place, ledger, wrap=lying(every_third(never_taken)))
    run_short(desk)
    began = place.now()

    close_day(desk, SHORT_DAY)

    renewals = [began, *(at for at in ledger.at if at > began), place.now()]
    assert place.now() - began > timedelta(minutes=3)
    assert max(after - before for before, after in pairwise(renewals)) < LEASE_TTL


class Refusing:
    """A broker that refuses the first cancels, as a used-up request budget does."""

    def __init__(self, place: Venue, refusals: int) -> None:
        self.place = place
        self.refusals = refusals

    def cancel(self, broker_order_id: str) -> None:
        if self.refusals > 0:
            self.refusals -= 1
            raise Rejected("rate limit exceeded", code="429", status=429)
        self.place.cancel(broker_order_id)

    def __getattr__(self, name: str):
        return getattr(self.place, name)


def test_f5_a_day_is_not_closed_while_an_order_would_trade_at_the_next_open() -> None:
    """What was sent after the bell waits at the broker; the day is closed once its cancel went through."""
    place, ledger, desk = closed_short_day()
    late = intent("mqd-late", symbol=r.SYMBOLS[0], qty="1")
    place.submit(late)
    desk.journal.record(planned(late))
    follow(desk, place.order_by_client_id(late.client_order_id))
    refusing = replace(desk, broker=Refusing(place, refusals=2))

    with pytest.raises(NotReady, match=late.client_order_id):
        close_day(refusing, SHORT_DAY)
    assert not kinds(ledger, DayClosed)
    place.sleep_until(place.now() + timedelta(minutes=1))
    close_day(refusing, SHORT_DAY)

    assert [event.session_date for event in kinds(ledger, DayClosed)] == [SHORT_DAY]
    assert place.open_orders() == ()
    written = len(ledger.rows)
    close_day(refusing, SHORT_DAY)
    assert len(ledger.rows) == written

"""close-day while it waits: the account stays its own."""

from datetime import datetime, timedelta
from itertools import pairwise

from data.lease import LEASE_TTL
from desk.closing import close_day
from desk.exchange.venue import Venue
from tests import rehearsal as r
from tests.desk.short_day import SHORT_DAY, every_third, lying, never_taken, run_short, short_venue
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

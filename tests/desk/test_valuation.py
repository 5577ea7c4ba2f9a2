"""What is held and not watched is worth what the broker says, not what it cost (R3)."""

from decimal import Decimal

import pytest

from desk.errors import BrokerUnavailable
from desk.exchange.generated import GeneratedMarket
from desk.exchange.venue import Venue
from schemas import events as ev
from schemas.orders import Purpose, Side
from tests import rehearsal as r
from tests.desk.short_day import LATE, SHORT_DAY, Liar, by_hand, kinds, run_short, short_venue

UNWATCHED = "TSLA"


def _place(price: str) -> Venue:
    """Open a venue on which a person holds 100 shares the desk does not watch, bought at a price."""
    place = Venue(GeneratedMarket(1, (*r.SYMBOLS, UNWATCHED)), session_date=SHORT_DAY, starts_at=LATE)
    by_hand(place, UNWATCHED, Side.BUY, Decimal(100), Decimal(price))
    return place


def test_r3_what_a_person_gained_before_is_no_loss_of_the_day() -> None:
    """Shares bought at 250 that stand over 340 latch nothing: base and minute value them alike."""
    place, ledger = _place("250"), r.new_ledger()
    desk = r.desk_on(place, ledger)

    run_short(desk)

    assert kinds(ledger, ev.LatchSet) == []
    assert [e for e in kinds(ledger, ev.OrderPlanned) if e.intent.purpose is Purpose.ENTRY]
    first = kinds(ledger, ev.MinuteClosed)[0]
    assert first.broker_equity is not None
    assert abs(first.equity - first.broker_equity) < 100
    assert abs(first.unrealized_pnl) < 100


def test_r3_a_restart_while_positions_cannot_be_read_invents_no_loss() -> None:
    """The last price known stays; a broker that does not say positions later costs no accuracy at once."""
    place, ledger = _place("250"), r.new_ledger()

    class Silent(Liar):
        reads = 0

        def positions(self):
            self.reads += 1
            if self.reads > 8:
                raise BrokerUnavailable("positions: 503")
            return self.place.positions()

    desk = r.desk_on(place, ledger, wrap=lambda venue: Silent(venue, lambda v, i: v.submit(i)))
    run_short(desk)

    assert kinds(ledger, ev.LatchSet) == []
    assert len(kinds(ledger, ev.MinuteClosed)) > 20


def test_r3_a_fall_of_what_is_not_watched_is_seen_by_both_witnesses() -> None:
    """The broker's price is asked for again each minute, so our own books follow it."""
    place, ledger = _place("250"), r.new_ledger()
    desk = r.desk_on(place, ledger)

    run_short(desk)

    own = {e.equity - e.cash for e in kinds(ledger, ev.MinuteClosed) if not e.marks}
    assert len(own) > 5


def test_r3_a_minute_is_valued_at_its_own_closes() -> None:
    """What is held stands in each minute at the close the market printed then, not at an older one."""
    market = GeneratedMarket(1, r.SYMBOLS)
    printed = {
        (symbol, ts): close
        for symbol, ts, close in market.frame(SHORT_DAY).select("symbol", "ts", "close").iter_rows()
    }
    ledger = r.new_ledger()

    run_short(r.desk_on(short_venue(), ledger))

    marks = [(e.bar_ts, each) for e in kinds(ledger, ev.MinuteClosed) for each in e.marks]
    assert len(marks) > 20
    for minute, mark in marks:
        assert float(mark.price) == pytest.approx(printed[mark.symbol, minute], abs=0.0051)

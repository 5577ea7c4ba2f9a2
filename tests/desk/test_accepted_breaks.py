"""A break that a person accepted, and that the books do not have yet: the symbol stays locked (F4, I9)."""

from datetime import datetime, timedelta
from decimal import Decimal

from desk.bookkeeper import level_books
from desk.errors import BrokerUnavailable
from desk.exchange.venue import Venue
from desk.recovery import recover
from desk.session import Steps
from schemas import events as ev
from schemas.orders import BrokerOrder, OrderIntent, Side
from tests import rehearsal as r
from tests.desk.short_day import SHORT_DAY, Liar, by_hand, kinds, short_venue


class Forgetful(Liar):
    """A broker whose positions cannot be read while it is told so."""

    is_silent = False

    def positions(self):
        if self.is_silent:
            raise BrokerUnavailable("positions: 503 three times")
        return self.place.positions()


def _submit(place: Venue, intent: OrderIntent) -> BrokerOrder:
    return place.submit(intent)


def test_f4_an_accepted_break_locks_its_symbol_until_it_is_booked() -> None:
    """A sale by hand is accepted while positions cannot be read: no exit of the old size is sent (F4, I9)."""
    place, ledger = short_venue(), r.new_ledger()
    broker = Forgetful(place, _submit)
    desk = r.desk_on(place, ledger, wrap=lambda _: broker)
    session = r.session_of(desk, SHORT_DAY)
    steps = session.steps()
    sold: list[str] = []
    accepted_at: list[datetime] = []

    def ingest(minute: datetime):
        held = {symbol: p.qty for (name, symbol), p in desk.portfolio.holdings().items() if name == "churner"}
        working = {order.intent.symbol for order in desk.portfolio.working_orders()}
        free = [symbol for symbol, qty in held.items() if qty >= 4 and symbol not in working]
        if not sold and free:
            sold.append(free[0])
            by_hand(place, free[0], Side.SELL, held[free[0]] - 1, None)
        elif not accepted_at and desk.portfolio.breaks:
            (found,) = desk.portfolio.breaks.values()
            accepted_at.append(desk.now())
            broker.is_silent = True
            ledger.append(
                [
                    ev.BreakResolved(
                        at=desk.now(), break_id=found.break_id, how="accepted", by="me", cause="me"
                    )
                ]
            )
        elif accepted_at and desk.now() >= accepted_at[0] + timedelta(minutes=15):
            broker.is_silent = False
        return steps.ingest(minute)

    session.run(Steps(ingest=ingest, evaluate=steps.evaluate, trade=steps.trade))

    (at,) = accepted_at
    exits = [
        e
        for e in kinds(ledger, ev.OrderPlanned)
        if e.at > at and e.intent.symbol == sold[0] and e.intent.qty > 1
    ]
    silent = [e for e in exits if e.at < at + timedelta(minutes=15)]
    assert silent == []
    assert [e.how for e in kinds(ledger, ev.BreakResolved)][:1] == ["accepted"]
    assert place.positions() == ()
    assert r.audited(place, desk) == []


def test_f4_a_lock_that_is_booked_ends_and_replays_the_same() -> None:
    """Booked, the accepted break locks nothing any more, in the running process and in a replay (I8)."""
    place, ledger = short_venue(), r.new_ledger()
    desk = r.desk_on(place, ledger)
    recover(desk, SHORT_DAY)
    by_hand(place, "XOM", Side.BUY, Decimal(3), None)
    (found,) = level_books(desk, adjust_max_usd=None)
    accepted = ev.BreakResolved(at=desk.now(), break_id=found.break_id, how="accepted", by="me", cause="me")
    ledger.append([accepted])
    desk.journal.catch_up()

    assert desk.portfolio.breaks == {}
    assert desk.portfolio.broken_symbols() == {"XOM"} == desk.portfolio.locked_symbols()

    assert level_books(desk, adjust_max_usd=None) == ()

    assert desk.portfolio.position("XOM") == 3
    assert desk.portfolio.broken_symbols() == frozenset() == desk.portfolio.locked_symbols()
    assert r.desk_on(place, ledger).portfolio.broken_symbols() == frozenset()

"""Days with trouble, each from one seed: I1 to I9 hold whatever happens in whatever order.

Per seed a short day is traded on the in-process venue while answers get lost (before and after the
order was taken), the stream loses, repeats and reorders its messages, reads fail, and the process is
killed at random durable writes and started again. At the end the auditor, the recorded hash and the
order book are compared. `DESK_SEED=n pytest tests/simulation` runs one seed again.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from random import Random

import pytest

from desk.closing import close_day
from desk.desk import Desk
from desk.errors import BrokerUnavailable, OutcomeUnknown
from desk.exchange.generated import GeneratedMarket
from desk.exchange.venue import Venue
from desk.portfolio import replay
from schemas import events as ev
from schemas.orders import BrokerFill, BrokerOrder, OrderIntent, TradeUpdate
from schemas.settings import SessionSettings
from tests import rehearsal as r
from tests.memory_ledger import MemoryLedger

DAY = date(2025, 11, 28)
LATE = datetime(2025, 11, 28, 17, 32, tzinfo=UTC)
CLOSE = datetime(2025, 11, 28, 18, 0, tzinfo=UTC)
SEEDS = range(24)
BUSY = r.settings().model_copy(
    update={"session": SessionSettings(slots=3, no_entry_minutes=4, close_out_minutes=2, entry_ttl_minutes=1)}
)
RESTARTS_MAX = 12  # a day that is killed more often than this is not about the desk any more


class Killed(BaseException):
    """The process ended here."""


class Fate:
    """What goes wrong, drawn from the seed."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.kills_left = self.random.randint(0, 4)

    def strikes(self, chance: float) -> bool:
        return self.random.random() < chance

    def kill(self) -> None:
        if self.kills_left > 0 and self.strikes(0.03):
            self.kills_left -= 1
            raise Killed


class MortalLedger(MemoryLedger):
    """The process may die before or after any write."""

    def __init__(self, fate: Fate) -> None:
        super().__init__()
        self.fate = fate

    def append(self, events: Sequence[ev.AnyEvent]) -> int:
        self.fate.kill()
        last = super().append(events)
        self.fate.kill()
        return last


class Liar:
    """A broker that takes orders and loses answers, and whose reads fail now and then."""

    def __init__(self, place: Venue, fate: Fate) -> None:
        self.place = place
        self.fate = fate

    def submit(self, intent: OrderIntent) -> BrokerOrder:
        if self.fate.strikes(0.08):
            raise OutcomeUnknown("connection reset")
        order = self.place.submit(intent)
        self.fate.kill()
        if self.fate.strikes(0.12):
            raise OutcomeUnknown("504")
        return order

    def fills_since(self, after: datetime) -> tuple[BrokerFill, ...]:
        if self.fate.strikes(0.1):
            raise BrokerUnavailable("activities: 503")
        fills = list(self.place.fills_since(after))
        return tuple(fills + fills[:3])

    def __getattr__(self, name: str):
        return getattr(self.place, name)


class Gossip:
    """A stream that loses, repeats and reorders what it says."""

    def __init__(self, place: Venue, fate: Fate) -> None:
        self.inner = place.updates()
        self.fate = fate

    def start(self) -> None:
        self.inner.start()

    def stop(self) -> None:
        self.inner.stop()

    def connections(self) -> int:
        return self.inner.connections()

    def drain(self) -> tuple[TradeUpdate, ...]:
        heard = [u for u in self.inner.drain() if not self.fate.strikes(0.2)]
        heard += [u for u in heard if self.fate.strikes(0.2)]
        self.fate.random.shuffle(heard)
        return tuple(heard)


def desks(place: Venue, ledger: MemoryLedger, fate: Fate) -> Iterator[Desk]:
    """Give a new process's desk again and again, on the same ledger and venue."""
    for number in range(RESTARTS_MAX):
        strategy = r.Churner(seed=fate.random.randint(0, 9))
        base = r.desk_on(
            place, ledger, strategy=strategy, configured=BUSY, wrap=lambda venue: Liar(venue, fate)
        )
        yield replace(base, updates=Gossip(place, fate) if number % 2 == 0 else None)


def live_through(place: Venue, ledger: MemoryLedger, fate: Fate) -> Desk:
    """Trade and close the day, restarting after every death."""
    for number, desk in enumerate(desks(place, ledger, fate)):
        try:
            if place.now() < CLOSE:
                r.session_of(desk, DAY, f"run-{number}").run()
            place.sleep_until(CLOSE + timedelta(minutes=10))
            close_day(desk, DAY)
            return desk
        except (Killed, BrokerUnavailable):
            place.sleep_until(place.now() + timedelta(seconds=20))
    raise AssertionError(f"not through the day in {RESTARTS_MAX} processes")


def seeds() -> Sequence[int]:
    """Give the seeds to run: DESK_SEED alone, or all."""
    chosen = os.environ.get("DESK_SEED")
    return SEEDS if chosen is None else [int(chosen)]


@pytest.mark.parametrize("seed", seeds())
def test_i1_to_i9_hold_through_lost_answers_gossip_and_kills(seed: int) -> None:
    """Whatever the seed brings, nothing is doubled, forgotten or unapproved, and books are equal."""
    fate = Fate(seed)
    place = Venue(GeneratedMarket(seed, r.SYMBOLS), session_date=DAY, starts_at=LATE)
    ledger = MortalLedger(fate)

    desk = live_through(place, ledger, fate)

    events = [event for _, event in ledger.read()]
    planned = [event for event in events if isinstance(event, ev.OrderPlanned)]
    at_venue = [order.client_order_id for order in place.orders_since(LATE)]
    ids = [event.intent.client_order_id for event in planned]
    assert len(ids) == len(set(ids)), "I2: an id was planned twice"
    assert len(at_venue) == len(set(at_venue)), "I2: the venue has an id twice"
    assert set(at_venue) <= set(ids), "I1: the venue has an order the ledger does not"
    assert all(event.approval.checks for event in planned), "I5: an order without the limits it was judged by"
    assert r.audited(place, desk) == [], "I3: the books differ from the executions"
    assert replay(events).state_hash() == desk.portfolio.state_hash(), "I8: replay differs"
    assert not desk.portfolio.working_orders(), "I4: an order has no definite end"
    assert {p.symbol: p.qty for p in place.positions()} == {
        symbol: desk.portfolio.position(symbol) for symbol in desk.portfolio.held_symbols()
    }, "I9: positions differ"

"""The last 45 minutes of an early close, and ways to make its broker lie, for tests of the loop."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal

import polars as pl
import pytest

from desk.cycle import TradeOutcome
from desk.desk import Desk
from desk.errors import OutcomeUnknown
from desk.exchange.generated import GeneratedMarket
from desk.exchange.venue import Venue
from desk.session import Steps
from schemas.orders import BrokerOrder, OrderIntent, OrderState, Purpose, Side
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


def below(intent: OrderIntent) -> OrderIntent:
    """Give a buy a limit nobody sells at."""
    return (
        intent if intent.limit_price is None else intent.model_copy(update={"limit_price": Decimal("1.00")})
    )


def closed_short_day() -> tuple[Venue, MemoryLedger, Desk]:
    """Run the short day to its end, not yet closed."""
    place, ledger = short_venue(), r.new_ledger()
    desk = r.desk_on(place, ledger)
    run_short(desk)
    return place, ledger, desk


def by_hand(place: Venue, symbol: str, side: Side, qty: Decimal, price: Decimal | None) -> None:
    """Trade at the venue on the same account, as a person would."""
    place.trade_by_hand(symbol=symbol, side=side, qty=qty, price=price)


class Holding(BaseException):
    """The test has the position it wants; the process stops here."""


def until_held(desk: Desk) -> tuple[str, str, Decimal]:
    """Trade until one position stands and nothing works; give its strategy, symbol and quantity."""
    session = r.session_of(desk, SHORT_DAY)
    steps = session.steps()

    def trade(minute: datetime, signals: pl.DataFrame) -> TradeOutcome:
        outcome = steps.trade(minute, signals)
        if desk.portfolio.holdings() and all(
            order.state is OrderState.UNKNOWN for order in desk.portfolio.working_orders()
        ):
            raise Holding
        return outcome

    with pytest.raises(Holding):
        session.run(Steps(ingest=steps.ingest, evaluate=steps.evaluate, trade=trade))
    (strategy, symbol), position = next(iter(desk.portfolio.holdings().items()))
    return strategy, symbol, position.qty


def run_with(desk: Desk, after_trade: Callable[[datetime], None]) -> None:
    """Run the short day and call back after every minute's trade step."""
    session = r.session_of(desk, SHORT_DAY)
    steps = session.steps()

    def trade(minute: datetime, signals: pl.DataFrame) -> TradeOutcome:
        outcome = steps.trade(minute, signals)
        after_trade(minute)
        return outcome

    session.run(Steps(ingest=steps.ingest, evaluate=steps.evaluate, trade=trade))


def exits_lost(place: Venue, intent: OrderIntent) -> BrokerOrder:
    """Lose every exit before it arrives."""
    if intent.purpose is Purpose.EXIT:
        raise OutcomeUnknown("connection reset")
    return place.submit(intent)

"""Protective exits through a whole session: at the venue where it can hold them, by the desk where not."""

from dataclasses import dataclass
from decimal import Decimal

import polars as pl
import pytest

from desk.errors import Rejected
from desk.exchange.market import FrameMarket
from desk.exchange.venue import Venue
from schemas import events as ev
from schemas.bars import RAW_SCHEMA
from schemas.orders import BrokerOrder, OrderClass, OrderIntent, OrderType, Purpose, Side
from schemas.risk import LatchName, TradingState
from schemas.settings import ExitsAt, ExitSettings, SessionSettings, Settings, StrategySettings
from schemas.signals import SIGNAL_SCHEMA
from tests import rehearsal as r
from tests.contracts.venue import DAY, MINUTE, OPEN
from tests.desk.short_day import kinds, lying

SYMBOL = "AAPL"
D = Decimal


@dataclass
class LongFrom:
    """Long from `since` until `until` minutes after the open, flat before and after."""

    until: int = 60
    since: int = 0
    name: str = "holder"
    symbols: tuple[str, ...] = (SYMBOL,)
    warm_up: int = 0

    def signals(self, bars: pl.DataFrame) -> pl.DataFrame:
        return bars.select(
            pl.lit(self.name).alias("strategy"),
            "symbol",
            "ts",
            pl.col("ts")
            .is_between(OPEN + self.since * MINUTE, OPEN + self.until * MINUTE, closed="left")
            .cast(pl.Float64)
            .alias("target"),
            pl.col("close").alias("price"),
            pl.lit("hold").alias("reason"),
        ).select(list(SIGNAL_SCHEMA))


def market(prices: list[float]) -> FrameMarket:
    """Give one bar a minute at these prices; the last one stays for the rest of an hour."""
    series = prices + [prices[-1]] * (60 - len(prices))
    rows = [
        (SYMBOL, OPEN + place * MINUTE, price, price, price, price, 400_000, price, 100)
        for place, price in enumerate(series)
    ]
    return FrameMarket({DAY: pl.DataFrame(rows, schema=RAW_SCHEMA, orient="row")})


def settings(exits: ExitSettings) -> Settings:
    """Give a desk of one symbol whose strategy has exit rules."""
    return Settings(
        symbols=(SYMBOL,),
        strategies=(StrategySettings(name="holder", allocation_frac=D("0.2"), exits=exits),),
        session=SessionSettings(slots=1),
    )


@dataclass
class Played:
    """A session's end: the venue, the ledger's events and the desk."""

    place: Venue
    ledger: r.MemoryLedger

    @property
    def planned(self) -> list[OrderIntent]:
        return [event.intent for event in kinds(self.ledger, ev.OrderPlanned)]

    @property
    def protective(self) -> list[OrderIntent]:
        return [intent for intent in self.planned if intent.protects]

    @property
    def exits(self) -> list[OrderIntent]:
        return [i for i in self.planned if i.purpose is Purpose.EXIT and not i.protects]


def play(
    exits: ExitSettings,
    prices: list[float],
    *,
    since: int = 0,
    until: int = 60,
    wrap: object = None,
    minutes: int = 30,
) -> Played:
    """Trade the first half hour and give what came of it; never are two exits of one position working."""
    place = Venue(market(prices), session_date=DAY)
    ledger = r.new_ledger()
    desk = r.desk_on(
        place,
        ledger,
        strategy=LongFrom(until, since),
        configured=settings(exits),
        wrap=wrap,  # type: ignore[arg-type]
    )
    session = r.session_of(desk, DAY)
    steps = session.steps()

    class Stop(BaseException):
        pass

    def trade(minute, signals):  # type: ignore[no-untyped-def]
        if minute >= OPEN + minutes * MINUTE:
            raise Stop
        outcome = steps.trade(minute, signals)
        working = [o for o in desk.portfolio.working_orders() if o.intent.purpose is Purpose.EXIT]
        held = abs(desk.portfolio.position(SYMBOL))
        assert sum((o.remaining_qty for o in working), D(0)) <= held, "exits beyond the position"
        assert len({o.intent.protects for o in working}) <= 1, "a protective order beside another exit"
        return outcome

    with pytest.raises(Stop):
        session.run(type(steps)(ingest=steps.ingest, evaluate=steps.evaluate, trade=trade))
    return Played(place, ledger)


FLAT = [100.0] * 10
BOTH = ExitSettings(stop_frac=D("0.01"), target_frac=D("0.02"))


def test_an_oco_rests_at_the_venue_and_its_stop_closes_the_position() -> None:
    """The venue itself sells when the price falls through the stop; the desk sends no exit of its own."""
    day = play(BOTH, [*FLAT, 98.5, 98.0])

    first = day.protective[0]
    assert (first.order_class, first.order_type) == (OrderClass.OCO, OrderType.LIMIT)
    assert day.exits == []
    sells = [done for done in day.place.fills_since(OPEN) if done.side.value == "sell"]
    assert sum(done.qty for done in sells) == first.qty
    assert all(done.price < 99 for done in sells)


def test_an_oco_takes_the_profit() -> None:
    """The other leg: the price rises through the target and the stop goes with it."""
    day = play(BOTH, [*FLAT, 102.5, 103.0])

    assert day.exits == []
    sells = [done for done in day.place.fills_since(OPEN) if done.side.value == "sell"]
    assert sells[0].price >= 102
    assert day.place.open_orders() == ()


@pytest.mark.parametrize(
    ("exits", "kind"),
    [
        (ExitSettings(stop_frac=D("0.01")), OrderType.STOP),
        (ExitSettings(trail_frac=D("0.01")), OrderType.TRAILING_STOP),
    ],
)
def test_a_stop_or_a_trail_alone(exits: ExitSettings, kind: OrderType) -> None:
    """A simple order rests and closes the position when the price falls."""
    day = play(exits, [*FLAT, 98.0, 97.0])

    assert day.protective[0].order_type is kind
    assert any(done.side.value == "sell" for done in day.place.fills_since(OPEN))
    assert day.exits == []


def test_the_strategys_own_exit_waits_for_the_protective_order_to_end() -> None:
    """The level goes flat: the OCO is canceled first, then a market order sells; nothing is refused."""
    day = play(BOTH, FLAT, until=12)

    assert len(day.exits) == 1
    assert kinds(day.ledger, ev.OrderRejected) == []
    assert day.place.positions() == ()
    assert day.place.open_orders() == ()


def test_a_stopped_position_is_not_opened_again_until_its_level_was_left() -> None:
    """The strategy goes on saying long; it is not heard until it has said flat once."""
    day = play(BOTH, [*FLAT, 98.5, 98.0])

    assert sum(1 for intent in day.planned if intent.purpose is Purpose.ENTRY) == 1
    assert day.place.positions() == ()


def test_a_level_of_before_the_stop_does_not_open_the_position_again() -> None:
    """Flat at first, long since, stopped: the old flat minutes are shown again and count for nothing."""
    day = play(BOTH, [*FLAT, 98.5, 98.0], since=4)

    assert sum(1 for intent in day.planned if intent.purpose is Purpose.ENTRY) == 1
    assert day.place.positions() == ()


def test_the_desk_watches_where_it_is_told_to() -> None:
    """With `at: desk` nothing rests, and a minute at the stop sells at market."""
    day = play(BOTH.model_copy(update={"at": ExitsAt.DESK}), [*FLAT, 98.5, 98.5], minutes=14)

    assert day.protective == []
    assert "stop-loss" in day.exits[0].reason
    assert day.place.positions() == ()


@pytest.mark.parametrize("why", ["the level is left", "a loss latched", "HALTED"])
def test_f4_protection_is_not_given_up_for_an_exit_that_may_not_be_sent(why: str) -> None:
    """In a symbol in doubt, or HALTED, the resting order is not canceled for an exit that is denied (F4)."""
    place, ledger = Venue(market(FLAT), session_date=DAY), r.new_ledger()
    until = 60 if why == "a loss latched" else 6
    desk = r.desk_on(place, ledger, strategy=LongFrom(until), configured=settings(BOTH))
    session = r.session_of(desk, DAY)
    steps = session.steps()
    resting: list[tuple[str, ...]] = []

    class Stop(BaseException):
        pass

    def trade(bar, signals):  # type: ignore[no-untyped-def]
        now = desk.now()
        if bar == OPEN + 3 * MINUTE and why == "HALTED":
            desk.journal.record(
                ev.TradingStateChanged(at=now, state=TradingState.HALTED, cause="test", by="me")
            )
        elif bar == OPEN + 3 * MINUTE:
            place.trade_by_hand(symbol=SYMBOL, side=Side.BUY, qty=D(7), price=None)
        elif bar == OPEN + 6 * MINUTE and why == "a loss latched":
            latched = ev.LatchSet(at=now, name=LatchName.DAILY_LOSS, number=D(2), limit=D(1), cause="test")
            desk.journal.record(latched)
        outcome = steps.trade(bar, signals)
        if bar > OPEN + 6 * MINUTE:
            resting.append(tuple(order.client_order_id for order in place.open_orders()))
        if bar >= OPEN + 12 * MINUTE:
            raise Stop
        return outcome

    with pytest.raises(Stop):
        session.run(type(steps)(ingest=steps.ingest, evaluate=steps.evaluate, trade=trade))

    assert desk.portfolio.broken_symbols() == (frozenset() if why == "HALTED" else {SYMBOL})
    assert resting[0] != ()
    assert set(resting) == {resting[0]}
    assert [e for e in kinds(ledger, ev.CancelRequested)] == []


def test_a_venue_that_takes_and_drops_leaves_it_to_the_desk() -> None:
    """Whoever cancels the resting order, the venue or a person: after the second the desk watches itself."""

    def dropped(place: Venue, order: OrderIntent) -> BrokerOrder:
        stated = place.submit(order)
        if order.protects:
            place.cancel(stated.broker_order_id)
        return stated

    for rules in (ExitSettings(stop_frac=D("0.01")), BOTH):
        day = play(rules, [*FLAT, 98.5, 98.0], wrap=lying(dropped))

        assert len(day.protective) == 2
        assert [order.reason.split(":")[0] for order in day.exits] == ["stop-loss"]
        assert day.place.positions() == ()


@pytest.mark.parametrize("at", ExitsAt)
@pytest.mark.parametrize("minute", [0, 5], ids=["before it is protected", "while it is held"])
def test_r5_a_halted_desk_still_protects_what_it_holds(at: ExitsAt, minute: int) -> None:
    """HALTED by whatever, a falling position is left at its stop, at the venue or by the desk (R5)."""
    place, ledger = Venue(market([*FLAT, 98.5, 98.0]), session_date=DAY), r.new_ledger()
    rules = ExitSettings(stop_frac=D("0.01"), at=at)
    desk = r.desk_on(place, ledger, strategy=LongFrom(), configured=settings(rules))
    session = r.session_of(desk, DAY)
    steps = session.steps()

    class Stop(BaseException):
        pass

    def trade(bar, signals):  # type: ignore[no-untyped-def]
        outcome = steps.trade(bar, signals)
        if bar == OPEN + minute * MINUTE:
            halted = ev.TradingStateChanged(at=desk.now(), state=TradingState.HALTED, cause="test", by="me")
            desk.journal.record(halted)
        if bar >= OPEN + 14 * MINUTE:
            raise Stop
        return outcome

    with pytest.raises(Stop):
        session.run(type(steps)(ingest=steps.ingest, evaluate=steps.evaluate, trade=trade))

    sides = [done.side.value for done in place.fills_since(OPEN)]
    assert sides.count("buy") > 0
    assert "sell" in sides
    assert place.positions() == ()


def test_a_venue_that_refuses_leaves_it_to_the_desk() -> None:
    """After two refusals no third order is tried, and the desk itself leaves at the stop."""

    def refuse(place: Venue, intent: OrderIntent) -> BrokerOrder:
        if intent.protects:
            raise Rejected("no such orders here", code="42210000", status=422)
        return place.submit(intent)

    day = play(BOTH, [*FLAT, 98.5, 98.5], wrap=lying(refuse), minutes=14)

    assert len(day.protective) == 2
    assert "stop-loss" in day.exits[0].reason

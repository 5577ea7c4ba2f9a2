"""desk/protections.py: each pauses for what it watches, as long as it says, and never twice for it."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from pydantic import ValidationError

from desk.portfolio import EXTERNAL, Portfolio, replay
from desk.protections import due
from schemas import events as ev
from schemas.orders import OrderIntent, OrderType, Purpose, Side
from schemas.protections import CoolDown, LowProfit, MaxDrawdown, Protection, StopGuard
from schemas.risk import ProtectionScope
from schemas.settings import Settings
from tests.desk.test_risk_memory import MONDAY, minute, start
from tests.makers import NOON, filled, intent, planned

D = Decimal
NAMES = iter(f"mqd-{number}" for number in range(1_000_000))


def at(minutes: float) -> datetime:
    """Give an instant after noon."""
    return NOON + timedelta(minutes=minutes)


def trade(
    minutes: float,
    pnl: str,
    *,
    symbol: str = "AAPL",
    strategy: str = "demo",
    stop: bool = True,
    reason: str = "",
) -> list[ev.AnyEvent]:
    """Buy 100 shares at 100 and leave them so many minutes after noon, by a resting stop or not."""
    bought = intent(next(NAMES), symbol=symbol, strategy=strategy)
    sold = intent(next(NAMES), symbol=symbol, strategy=strategy, side=Side.SELL, purpose=Purpose.EXIT)
    update: dict[str, object] = {"reason": reason}
    if stop:
        update |= {"protects": True, "order_type": OrderType.STOP, "stop_price": D(99)}
    sold = sold.model_copy(update=update)
    return [
        planned(bought),
        executed(bought, "100", minutes - 1),
        planned(sold),
        executed(sold, str(100 + D(pnl) / 100), minutes),
    ]


def executed(order: OrderIntent, price: str, minutes: float) -> ev.FillRecorded:
    """Fill an order completely, so many minutes after noon."""
    event = filled(order, f"x-{order.client_order_id}", "100", price=price)
    fill = event.fill.model_copy(update={"filled_at": at(minutes)})
    return event.model_copy(update={"fill": fill, "at": at(minutes)})


def found(protection: Protection, events: list[ev.AnyEvent], minutes: float) -> list[ev.ProtectionSet]:
    """Give the pauses that begin so many minutes after noon."""
    return list(due((protection,), replay(events).risk, now=at(minutes)))


GUARD = StopGuard(pause_minutes=45)
THREE = [*trade(0, "-50"), *trade(20, "-60", symbol="MSFT"), *trade(40, "-70", symbol="XOM")]


def test_three_losing_stops_within_an_hour_pause_everything() -> None:
    """The pause runs from the newest of them and names number, limit and money."""
    (pause,) = found(GUARD, THREE, 41)

    assert (pause.protection, pause.scope, pause.key) == ("stop_guard", ProtectionScope.GLOBAL, "")
    assert (pause.number, pause.limit, pause.until) == (D(3), D(3), at(85))
    assert pause.cause == "3 losing stop exits within 60 minutes reached 3, together -180 USD"


@pytest.mark.parametrize(
    "events",
    [
        THREE[:8],
        [*trade(0, "-50"), *trade(20, "-60"), *trade(60, "-70")],
        [*THREE[:8], *trade(40, "-70", stop=False)],
        [*THREE[:8], *trade(40, "10")],
        [*THREE[:8], *trade(40, "0")],
        [*THREE[:8], *trade(40, "-70", strategy=EXTERNAL, stop=False)],
    ],
    ids=["two", "the first an hour ago", "left by the strategy", "a gain", "nothing lost", "by hand"],
)
def test_fewer_losing_stops_do_not(events: list[ev.AnyEvent]) -> None:
    """Only a stop that lost counts, and only for its time."""
    assert found(GUARD, events, 60) == []


def test_a_stop_the_desk_sent_itself_counts() -> None:
    """Where the broker cannot hold a stop the desk watches it, and its market exit is a stop exit too."""
    last = trade(40, "-70", stop=False, reason="stop-loss: last 99.30 at or past 99.40")

    assert len(found(GUARD, [*THREE[:8], *last], 41)) == 1


def test_a_stop_that_fills_in_parts_is_one_stop() -> None:
    """Three executions of one stop close one trade."""
    bought, sold = intent(next(NAMES), strategy="demo"), intent(next(NAMES), strategy="demo", side=Side.SELL)
    sold = sold.model_copy(update={"purpose": Purpose.EXIT, "protects": True})
    parts = [filled(sold, f"p{n}", qty, price="99", fee="0.5") for n, qty in enumerate(["30", "30", "40"])]

    memory = replay([planned(bought), filled(bought, "b", "100"), planned(sold), *parts]).risk

    assert [(t.pnl, t.stopped) for t in memory.trades] == [(D("-101.5"), True)]


@pytest.mark.parametrize(
    ("scope", "keys"), [(ProtectionScope.STRATEGY, ["b"]), (ProtectionScope.SYMBOL, ["XOM"])]
)
def test_counted_and_paused_in_its_scope(scope: ProtectionScope, keys: list[str]) -> None:
    """Three stops of one strategy, or in one symbol, pause that one and no other."""
    events = [
        *trade(0, "-50", strategy="a"),
        *trade(10, "-50", strategy="a", symbol="XOM"),
        *trade(20, "-50", strategy="b", symbol="XOM"),
        *trade(30, "-50", strategy="b", symbol="XOM"),
        *trade(40, "-50", strategy="b", symbol="MSFT"),
    ]

    assert [pause.key for pause in found(StopGuard(scope=scope), events, 41)] == keys


def test_what_led_to_a_pause_leads_to_no_other() -> None:
    """Neither the next minute nor the end of the pause sets it again; three new stops do, and lengthen it."""
    (pause,) = found(GUARD, THREE, 41)
    more = [*trade(42, "-50"), *trade(43, "-50")]

    assert found(GUARD, [*THREE, pause], 42) == []
    assert found(GUARD, [*THREE, pause, *more], 44) == []
    (again,) = found(GUARD, [*THREE, pause, *more, *trade(44, "-50")], 45)
    assert replay([*THREE, pause, *more, again]).risk.pauses[("stop_guard", "")].until == at(89)


def test_a_lifted_pause_is_over_and_stays_over() -> None:
    """A person ends it; the trades that led to it do not set it again."""
    (pause,) = found(GUARD, THREE, 41)
    lifted = ev.ProtectionLifted(at=at(42), protection="stop_guard", key="", by="ann", cause="seen")

    assert replay([*THREE, pause, lifted]).risk.pauses == {}
    assert found(GUARD, [*THREE, pause, lifted], 43) == []


def test_a_pause_that_would_be_over_is_not_set() -> None:
    """A process that comes back after the pause's end does not begin it."""
    assert found(StopGuard(pause_minutes=10), THREE, 51) == []
    assert len(found(StopGuard(pause_minutes=10), THREE, 49)) == 1


def test_i8_a_pause_survives_a_restart() -> None:
    """Replayed from the ledger the pause holds, with the same end and the same state."""
    (pause,) = found(GUARD, THREE, 41)
    running = Portfolio()
    for event in [*THREE, pause]:
        running.apply(event)

    restarted = replay([*THREE, pause])

    assert restarted.risk.pauses[("stop_guard", "")].until == at(85)
    assert restarted.state_hash() == running.state_hash() != replay(THREE).state_hash()


@pytest.mark.parametrize(("pnl", "pauses"), [("-499.99", 0), ("-500", 1), ("-800", 1), ("800", 0)])
def test_one_large_loss_cools_down(pnl: str, pauses: int) -> None:
    """A closed trade that lost 500 pauses for half an hour from its close."""
    set_now = found(CoolDown(), trade(0, pnl, stop=False), 1)

    assert len(set_now) == pauses
    assert all(each.until == at(30) and each.number == -D(pnl) for each in set_now)


def test_the_fee_is_part_of_the_loss() -> None:
    """490 lost and 10 paid are 500."""
    events = trade(0, "-490", stop=False)
    last = events[-1]
    assert isinstance(last, ev.FillRecorded)
    paid = last.model_copy(update={"fill": last.fill.model_copy(update={"fee": D(10)})})

    assert len(found(CoolDown(), [*events[:-1], paid], 1)) == 1


def test_low_profit_locks_a_symbol() -> None:
    """Trades of AAPL that together earned under the required amount pause AAPL; MSFT earned enough."""
    rule = LowProfit(trades=2, within_minutes=60, required_usd=D(10), pause_minutes=90)
    events = [
        *trade(0, "100", stop=False),
        *trade(10, "-91", stop=False),
        *trade(20, "5", symbol="MSFT", stop=False),
        *trade(30, "5", symbol="MSFT", stop=False),
        *trade(35, "-500", symbol="XOM", stop=False),
    ]

    (pause,) = found(rule, events, 40)

    assert (pause.key, pause.number, pause.limit, pause.until) == ("AAPL", D(9), D(10), at(100))
    assert found(rule, events, 61) == []  # the gain is out of the window, and one trade is not two


def later(event: ev.MinuteClosed, minutes: float) -> ev.MinuteClosed:
    """Move a minute."""
    return event.model_copy(update={"at": at(minutes)})


def test_a_drawdown_within_the_time_pauses() -> None:
    """15 % under the highest equity of the last day pauses for a day; the peak before that does not count."""
    rule = MaxDrawdown(within_minutes=60)
    events: list[ev.AnyEvent] = [
        start(MONDAY, "100000"),
        later(minute("120000"), 0),
        later(minute("100000"), 30),
        later(minute("85000"), 61),
    ]

    (pause,) = found(rule, events, 61)

    assert (pause.number, pause.limit, pause.until) == (D("0.15"), D("0.15"), at(61 + 1440))
    assert found(rule, [*events, later(minute("85100"), 62)], 91) == []
    assert found(rule, [*events, pause, later(minute("80000"), 62)], 62) == []
    assert len(found(rule, [*events, pause, later(minute("85000"), 62), later(minute("72000"), 63)], 63)) == 1


def test_a_withdrawal_is_no_drawdown() -> None:
    """Cash that a person took moves the highs with it."""
    taken = ev.CashAdjusted(at=NOON, amount=D(-30_000), cause="withdrawal")
    events = [start(MONDAY, "100000"), minute("100000"), taken, later(minute("70000"), 1)]

    assert found(MaxDrawdown(), events, 1) == []


def test_two_of_a_kind_need_names() -> None:
    """Settings tell protections apart by name, and each remembers its own."""
    with pytest.raises(ValidationError, match="cool_down is there twice"):
        Settings(protections=(CoolDown(), CoolDown(loss_usd=D(100))))
    both = (CoolDown(), CoolDown(name="small", loss_usd=D(100), pause_minutes=5))

    names = [each.protection for each in due(both, replay(trade(0, "-600")).risk, now=at(1))]

    assert names == ["cool_down", "small"]
    assert Settings(protections=both).protections == both

"""Every fault, in process and over HTTP through the live adapters: what the desk's ports make of it."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

from desk.errors import BrokerUnavailable, NotFound, OutcomeUnknown, Rejected
from schemas.faults import FaultKind
from schemas.orders import Side
from tests.desk.exchange.fault_rigs import RIGS, Rig, plan_of, wish
from tests.desk.exchange.makers import CLOSE, OPEN

D = Decimal
Scenario = Callable[[Rig], None]
CASES: dict[FaultKind, tuple[dict[str, Any], Scenario]] = {}


def case(kind: FaultKind, **rule: Any) -> Callable[[Scenario], Scenario]:
    """Enter a scenario for a fault, with its rule's keys."""

    def enter(scenario: Scenario) -> Scenario:
        assert kind not in CASES
        CASES[kind] = (rule, scenario)
        return scenario

    return enter


# --- answers to calls ---


def exists(rig: Rig, name: str) -> bool:
    try:
        return rig.broker.order_by_client_id(name).client_order_id == name
    except NotFound:
        return False


@case(FaultKind.ANSWER_LOST, calls=["submit"], every=1, times=1)
def _(rig: Rig) -> None:
    with pytest.raises(OutcomeUnknown):
        rig.broker.submit(wish())
    assert rig.broker.order_by_client_id("a").status == "filled"


@case(FaultKind.REFUSED_504, calls=["submit"], every=1, times=1)
def _(rig: Rig) -> None:
    with pytest.raises(OutcomeUnknown):
        rig.broker.submit(wish())
    assert not exists(rig, "a")


@case(FaultKind.HANG, calls=["submit", "cancel"], lands=True, every=1, times=2, delay_s=10)
def _(rig: Rig) -> None:
    with pytest.raises(OutcomeUnknown):
        rig.broker.submit(wish(limit="90"))
    order = rig.broker.order_by_client_id("a")
    with pytest.raises(OutcomeUnknown):
        rig.broker.cancel(order.broker_order_id)
    assert rig.broker.order(order.broker_order_id).status == "canceled"


@case(FaultKind.RESET, calls=["submit"], lands=False, every=1, times=1)
def _(rig: Rig) -> None:
    with pytest.raises(OutcomeUnknown):
        rig.broker.submit(wish())
    assert not exists(rig, "a")
    assert rig.broker.submit(wish()).client_order_id == "a"


@case(FaultKind.RATE_LIMITED, calls=["submit", "positions"], every=1, times=2)
def _(rig: Rig) -> None:
    with pytest.raises(Rejected) as caught:
        rig.broker.submit(wish())
    assert (caught.value.status, caught.value.code) == (429, "42910000")
    assert not exists(rig, "a")
    assert rig.broker.positions() == ()


@case(FaultKind.RATE_LIMITED_BARE, calls=["cancel_all"], every=1)
def _(rig: Rig) -> None:
    with pytest.raises(Rejected) as caught:
        rig.broker.cancel_all()
    assert (caught.value.status, caught.value.code) == (429, "429")


@case(FaultKind.HTML_500, calls=["positions", "orders"], lands=False, every=1, times=5)
def _(rig: Rig) -> None:
    with pytest.raises(BrokerUnavailable):
        rig.broker.positions()
    assert rig.broker.open_orders() == ()
    assert rig.counts() == {"html_500": 5}


@case(FaultKind.UNAVAILABLE_503, calls=["account", "fills", "bars"], every=1)
def _(rig: Rig) -> None:
    for read in (
        rig.broker.account,
        lambda: rig.broker.fills_since(OPEN),
        lambda: rig.market.bars(["SPY"], OPEN, CLOSE),
    ):
        with pytest.raises(BrokerUnavailable):
            read()
    assert rig.counts() == {"unavailable_503": 9}


@case(FaultKind.UNAUTHORIZED_401, calls=["account", "cancel_all"], every=1)
def _(rig: Rig) -> None:
    with pytest.raises(BrokerUnavailable):
        rig.broker.account()
    with pytest.raises(Rejected):
        rig.broker.cancel_all()
    assert rig.counts() == {"unauthorized_401": 2}


@case(FaultKind.BAD_JSON, calls=["submit", "clock"], every=1, times=4)
def _(rig: Rig) -> None:
    with pytest.raises(OutcomeUnknown):
        rig.broker.submit(wish())
    with pytest.raises(BrokerUnavailable):
        rig.broker.clock()
    assert exists(rig, "a")


@case(FaultKind.DUPLICATE_CLIENT_ID, every=1)
def _(rig: Rig) -> None:
    with pytest.raises(OutcomeUnknown):
        rig.broker.submit(wish())
    assert not exists(rig, "a")


def refused(rig: Rig, words: str) -> None:
    with pytest.raises(Rejected) as caught:
        rig.broker.submit(wish())
    assert (caught.value.status, caught.value.code) == (403, "40310000")
    assert words in str(caught.value)
    assert not exists(rig, "a")


case(FaultKind.WASH_TRADE, every=1)(lambda rig: refused(rig, "potential wash trade"))
case(FaultKind.INSUFFICIENT_QTY, every=1)(lambda rig: refused(rig, "insufficient qty available"))
case(FaultKind.BUYING_POWER, every=1)(lambda rig: refused(rig, "insufficient buying power"))
case(FaultKind.MARGIN, every=1, symbols=["SPY"])(lambda rig: refused(rig, "margin"))


@case(FaultKind.CLOCK_SKEW, every=1, skew_s=-30)
def _(rig: Rig) -> None:
    assert (rig.broker.clock().now - rig.clock.now()).total_seconds() == -30


@case(FaultKind.POSITIONS_LAG, every=1, delay_s=60)
def _(rig: Rig) -> None:
    rig.broker.submit(wish())
    assert rig.broker.positions() == ()
    rig.to(81)
    assert [(p.symbol, p.qty) for p in rig.broker.positions()] == [("SPY", D(10))]


@case(FaultKind.FILLS_REORDERED, every=1)
def _(rig: Rig) -> None:
    for name in ("a", "b", "c"):
        rig.broker.submit(wish(name, qty="1"))
    by_id = {rig.broker.order_by_client_id(n).broker_order_id: n for n in ("a", "b", "c")}
    assert [by_id[fill.broker_order_id] for fill in rig.broker.fills_since(OPEN)] == ["a", "b", "c"]


# --- what becomes of orders ---


def resting(rig: Rig, limit: str = "90") -> str:
    return rig.broker.submit(wish(limit=limit)).broker_order_id


@case(FaultKind.CANCEL_OF_FILLED, every=1)
def _(rig: Rig) -> None:
    order_id = resting(rig)
    with pytest.raises(Rejected) as caught:
        rig.broker.cancel(order_id)
    assert (caught.value.status, str(caught.value)) == (422, 'order is already in "filled" state')
    assert rig.broker.order(order_id).filled_qty == 10


@case(FaultKind.FILL_BEFORE_CANCEL_ACK, every=1, delay_s=20)
def _(rig: Rig) -> None:
    order_id = resting(rig)
    rig.broker.cancel(order_id)
    asked = rig.broker.order(order_id)
    rig.to(41)
    done = rig.broker.order(order_id)
    assert (asked.status, asked.filled_qty) == ("pending_cancel", 0)
    assert (done.status, done.filled_qty) in (("filled", D(10)), ("canceled", D(5)))


@case(FaultKind.PENDING_CANCEL, every=1, times=1, delay_s=7200)
def _(rig: Rig) -> None:
    first = resting(rig)
    rig.broker.cancel(first)
    second = rig.broker.submit(wish("b", limit="90")).broker_order_id
    rig.broker.cancel(second)
    rig.to(7000)
    assert (rig.broker.order(first).status, rig.broker.order(second).status) == ("pending_cancel", "canceled")
    rig.to(7221)
    assert rig.broker.order(first).status == "canceled"


@case(FaultKind.REPLACE_LOSES_PARTIAL, every=1)
def _(rig: Rig) -> None:
    old_id = resting(rig)
    change = wish("b", limit="90.50").model_copy(update={"replaces": "a"})
    new = rig.broker.replace(old_id, change)
    old, new = rig.broker.order(old_id), rig.broker.order(new.broker_order_id)
    assert (old.status, old.filled_qty, old.replaced_by) == ("replaced", 5, new.broker_order_id)
    assert (new.qty, new.filled_qty, new.replaces) == (10, 0, old_id)


@case(FaultKind.ASYNC_REJECT, every=1, delay_s=2)
def _(rig: Rig) -> None:
    order = rig.broker.submit(wish())
    assert (order.status, order.filled_qty) == ("pending_new", 0)
    rig.to(23)
    assert rig.broker.order(order.broker_order_id).status == "rejected"


@case(FaultKind.PARTIAL_FILLS, every=1, share=0.3)
def _(rig: Rig) -> None:
    order_id = rig.broker.submit(wish()).broker_order_id
    part = rig.broker.order(order_id)
    rig.to(31)
    whole = rig.broker.order(order_id)
    assert (part.status, part.filled_qty) == ("partially_filled", 3)
    assert (whole.status, whole.filled_qty) == ("filled", 10)


# --- the user stream ---


def events(rig: Rig) -> list[tuple[str, str]]:
    rig.listen()
    for name in ("a", "b"):
        rig.broker.submit(wish(name))
    return [(update.order.client_order_id, update.event) for update in rig.heard("b")]


A = [("a", "pending_new"), ("a", "new"), ("a", "fill")]
B = [("b", "pending_new"), ("b", "new"), ("b", "fill")]


@case(FaultKind.FRAME_LOST, every=1, times=3)
def _(rig: Rig) -> None:
    assert events(rig) == B
    assert len(rig.broker.fills_since(OPEN)) == 2


@case(FaultKind.FRAMES_DUPLICATED, every=3)
def _(rig: Rig) -> None:
    assert events(rig) == [A[0], *A, B[0], *B]


@case(FaultKind.FRAMES_REORDERED, every=2, times=2)
def _(rig: Rig) -> None:
    assert events(rig) == [A[1], A[0], B[0], A[2], B[1], B[2]]


@case(FaultKind.FRAME_EMPTY, every=1, times=1)
def _(rig: Rig) -> None:
    assert events(rig) == [*A, *B]
    assert rig.updates.connections() == 2


@case(FaultKind.UNKNOWN_EVENT, every=3, times=1)
def _(rig: Rig) -> None:
    assert events(rig) == [("a", "surprised"), *A, *B]


@case(FaultKind.UNKNOWN_STATUS, every=2, times=1)
def _(rig: Rig) -> None:
    rig.listen()
    rig.broker.submit(wish())
    assert [update.order.status for update in rig.heard("a")] == ["undetermined", "new", "filled"]


@case(FaultKind.STREAM_SILENT, at="09:30:30", for_s=60)
def _(rig: Rig) -> None:
    rig.listen()
    rig.to(31)
    rig.broker.submit(wish())
    rig.to(91)
    rig.broker.submit(wish("b"))
    assert [(u.order.client_order_id, u.event) for u in rig.heard("b")] == B
    assert rig.updates.connections() == 1


def reconnected(rig: Rig) -> None:
    rig.listen()
    rig.to(31)
    rig.until(lambda: rig.updates.connections() == 2)
    rig.broker.submit(wish())
    assert [(u.order.client_order_id, u.event) for u in rig.heard("a")] == A


case(FaultKind.STREAM_DISCONNECT, at="09:30:30")(reconnected)
case(FaultKind.SLOW_CLIENT_DISCONNECT, at="09:30:30")(reconnected)


def let_in_late(rig: Rig) -> None:
    rig.updates.start()
    assert rig.updates.connections() == 0
    rig.until(lambda: rig.updates.connections() == 1)
    rig.broker.submit(wish())
    assert [(u.order.client_order_id, u.event) for u in rig.heard("a")] == A


case(FaultKind.CONNECTION_406, every=1, times=1)(let_in_late)
case(FaultKind.UPGRADE_429, every=1, times=1)(let_in_late)


# --- bars ---


def spy(rig: Rig, seconds: float) -> list[tuple[float, ...]]:
    rig.to(seconds)
    rows = rig.market.bars(["SPY"], OPEN, CLOSE)
    return rows.select("high", "low", "close", "volume").rows()


WHOLE = (100.0, 100.0, 100.0, 40_000)
FIRST_SPY = {"symbols": ["SPY"], "every": 1, "times": 1}


@case(FaultKind.BAR_LATE, **FIRST_SPY, delay_s=90)
def _(rig: Rig) -> None:
    assert [spy(rig, 61), spy(rig, 150), spy(rig, 151)] == [[], [WHOLE], [WHOLE, WHOLE]]
    assert rig.market.bars(["QQQ"], OPEN, CLOSE).height == 2


@case(FaultKind.BAR_MISSING, **FIRST_SPY)
def _(rig: Rig) -> None:
    assert [spy(rig, 61), spy(rig, 121)] == [[], [WHOLE]]


@case(FaultKind.BAR_REVISED, **FIRST_SPY, delay_s=30)
def _(rig: Rig) -> None:
    assert [spy(rig, 90), spy(rig, 91)] == [[(100.0, 100.0, 100.0, 36_000)], [WHOLE]]


@case(FaultKind.BAR_ZERO_VOLUME, **FIRST_SPY)
def _(rig: Rig) -> None:
    assert spy(rig, 61) == [(100.0, 100.0, 100.0, 0)]


@case(FaultKind.BAR_CROSSED, **FIRST_SPY)
def _(rig: Rig) -> None:
    ((high, low, _, _),) = spy(rig, 61)
    assert high < low


@case(FaultKind.BAR_NAN, **FIRST_SPY)
def _(rig: Rig) -> None:
    ((_, _, close, _),) = spy(rig, 61)
    assert close is None or close != close  # NaN in process, null on the wire


@case(FaultKind.BAR_DUPLICATE, **FIRST_SPY)
def _(rig: Rig) -> None:
    assert spy(rig, 61) == [WHOLE, WHOLE]


@case(FaultKind.FEED_FROZEN, at="09:31:00", for_s=120)
def _(rig: Rig) -> None:
    assert [len(spy(rig, 179)), len(spy(rig, 180)), len(spy(rig, 181))] == [0, 2, 3]


# --- the market and the account ---


@case(FaultKind.SYMBOL_HALTED, at="09:30:30", for_s=60, symbols=["SPY"])
def _(rig: Rig) -> None:
    rig.to(40)
    order_id = rig.broker.submit(wish()).broker_order_id
    other = rig.broker.submit(wish("b", symbol="QQQ")).broker_order_id
    rig.to(89)
    assert (rig.broker.order(order_id).status, rig.broker.order(other).status) == ("accepted", "filled")
    rig.to(120)
    assert rig.broker.order(order_id).status == "filled"


@case(FaultKind.SPLIT_OVER_OPEN_ORDERS, at="09:30:40", new_shares=2, old_shares=1)
def _(rig: Rig) -> None:
    rig.broker.submit(wish())
    order_id = rig.broker.submit(wish("b", limit="90")).broker_order_id
    rig.to(41)
    order, (position,) = rig.broker.order(order_id), rig.broker.positions()
    assert (order.qty, order.limit_price, position.qty) == (20, 45, 20)


@case(FaultKind.MANUAL_TRADE, at="09:30:40", side="sell", qty=3, symbols=["SPY"])
def _(rig: Rig) -> None:
    rig.broker.submit(wish())
    rig.to(41)
    assert [position.qty for position in rig.broker.positions()] == [7]
    assert [fill.side for fill in rig.broker.fills_since(OPEN)] == [Side.BUY, Side.SELL]


@case(FaultKind.MANUAL_CANCEL, at="09:30:40")
def _(rig: Rig) -> None:
    order_id = resting(rig)
    rig.to(41)
    assert rig.broker.order(order_id).status == "canceled"


# --- the table, tried ---


def test_every_fault_has_a_case() -> None:
    """A fault nobody tried is no fault of this exchange's."""
    assert set(CASES) == set(FaultKind)


@pytest.mark.parametrize("kind", sorted(CASES))
@pytest.mark.parametrize("where", sorted(RIGS))
def test_a_fault_is_what_the_catalogue_says(where: str, kind: FaultKind) -> None:
    """The same rule has the same effect at the desk's ports, in process and over HTTP, and is counted."""
    rule, scenario = CASES[kind]

    with RIGS[where](plan_of({"kind": kind, **rule})) as rig:
        rig.to(20)
        scenario(rig)

        assert set(rig.counts()) == {str(kind)}


# --- one seed, one day ---


def day(rig: Rig) -> Iterator[str]:
    """Trade a scripted quarter of an hour and say what came of each act."""
    for minute in range(15):
        rig.to(20 + 60 * minute)
        for symbol, limit in (("SPY", None), ("QQQ", "45")):
            name = f"{symbol}{minute}"
            yield said(lambda: rig.broker.submit(wish(name, symbol=symbol, limit=limit)).client_order_id)  # noqa: B023
            yield said(lambda: rig.broker.order_by_client_id(name).status)  # noqa: B023
        yield said(lambda: str(len(rig.broker.open_orders())))
        yield said(lambda: ",".join(f"{p.qty.normalize():f}" for p in rig.broker.positions()))
        yield said(lambda: str(rig.market.bars(["SPY", "QQQ"], OPEN, CLOSE).height))
        yield said(lambda: str(rig.broker.cancel_all()))
        yield said(lambda: str(len(rig.broker.fills_since(OPEN))))


def said(act: Callable[[], str]) -> str:
    """Name an outcome: what was given, or the error's kind."""
    try:
        return act()
    except (Rejected, NotFound, OutcomeUnknown, BrokerUnavailable) as error:
        kinds = (Rejected, NotFound, OutcomeUnknown, BrokerUnavailable)
        return next(kind.__name__ for kind in kinds if isinstance(error, kind))


# A hang takes a real second over HTTP; after a 429 the live adapter keeps still of its own accord.
NOT_ON_THAT_DAY = (FaultKind.HANG, FaultKind.RATE_LIMITED, FaultKind.RATE_LIMITED_BARE)
MANY = [
    {"kind": kind, "chance": 0.08}
    for kind in FaultKind
    if kind.family in ("call", "order", "bar", "moment") and kind not in NOT_ON_THAT_DAY
]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_seed_decides_the_same_in_process_and_over_http(seed: int) -> None:
    """Every outcome of a day full of faults, and every count, is equal at both doors."""
    told = {}
    for where, rig_of in RIGS.items():
        with rig_of(plan_of(*MANY, seed=seed)) as rig:
            told[where] = (list(day(rig)), rig.counts())

    assert told["in process"] == told["over http"]
    assert len(told["in process"][1]) > 10


def test_another_seed_decides_otherwise() -> None:
    """The plan's chances hang on the seed alone."""
    days = []
    for seed in (1, 1, 2):
        with RIGS["in process"](plan_of(*MANY, seed=seed)) as rig:
            days.append((list(day(rig)), rig.counts()))

    assert days[0] == days[1]
    assert days[0] != days[2]

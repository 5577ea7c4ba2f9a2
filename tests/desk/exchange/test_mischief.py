"""The engine of faults: windows, turns, caps, and decisions that hang on nothing but seed, rule and turn."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from desk.exchange.faults import Mischief
from desk.exchange.faults_floor import FloorFaults
from desk.exchange.faults_http import call_of
from desk.exchange.server import ServerOptions, build_app
from desk.hours import session_hours
from schemas.faults import Call, FaultKind
from tests.desk.exchange.fault_rigs import plan_of
from tests.desk.exchange.makers import CLOSE, DAY, NEXT_DAY, OPEN, ask_for, at, floor_of

HOURS = session_hours(DAY)


def turns(mischief: Mischief, many: int, *, call: Call = Call.SUBMIT, when: datetime = OPEN) -> list[int]:
    """Give the turns, counted from 0, at which a call of SPY is struck."""
    return [n for n in range(many) if mischief.call(call, ("SPY",), when) is not None]


def test_every_strikes_the_first_and_each_nth() -> None:
    """every: 3 strikes turns 0, 3, 6; times: 2 ends it there."""
    assert turns(Mischief(plan_of({"kind": "reset", "every": 3})), 8) == [0, 3, 6]
    assert turns(Mischief(plan_of({"kind": "reset", "every": 3, "times": 2})), 8) == [0, 3]


def test_a_chance_is_drawn_for_each_turn_from_the_seed() -> None:
    """Half a chance strikes about half of a thousand turns, the same ones for the same seed."""
    plan = plan_of({"kind": "reset", "chance": 0.5}, seed=4)

    first, again = turns(Mischief(plan), 1000), turns(Mischief(plan), 1000)

    assert first == again
    assert 440 < len(first) < 560
    assert turns(Mischief(plan, seed=5), 1000) != first


def test_rules_do_not_disturb_each_other() -> None:
    """A rule strikes at the same turns whatever rules stand before it."""
    alone = Mischief(plan_of({"kind": "reset", "every": 50}, {"kind": "hang", "chance": 0.2}))
    crowded = Mischief(plan_of({"kind": "reset", "every": 2}, {"kind": "hang", "chance": 0.2}))

    def hangs(mischief: Mischief) -> set[int]:
        struck = [mischief.call(Call.SUBMIT, (), OPEN) for _ in range(200)]
        return {n for n, strike in enumerate(struck) if strike is not None and strike.kind is FaultKind.HANG}

    seen = hangs(crowded)
    assert 0 < len(seen) < 40
    assert seen == {n for n in hangs(alone) if n % 2 == 1}


def test_a_rule_befalls_its_calls_and_symbols_only() -> None:
    """Other calls and other symbols are no turns of it."""
    mischief = Mischief(plan_of({"kind": "reset", "every": 1, "calls": ["cancel"], "symbols": ["SPY"]}))

    assert mischief.call(Call.SUBMIT, ("SPY",), OPEN) is None
    assert mischief.call(Call.CANCEL, ("QQQ",), OPEN) is None
    assert mischief.call(Call.CANCEL, (), OPEN) is None
    assert mischief.call(Call.CANCEL, ("QQQ", "SPY"), OPEN) is not None
    assert mischief.counts == {"reset": 1}


@pytest.mark.parametrize(
    ("rule", "struck"),
    [
        ({"at": "09:31:00"}, [60]),  # once, at the first turn from then on
        ({"at": "09:31:00", "for_s": 60}, [60, 90]),  # every turn in [60, 120)
        ({"at": "09:31:00", "every_s": 120}, [60, 180]),  # once in each stretch
        ({"at": "09:31:00", "every_s": 120, "for_s": 31}, [60, 90, 180, 210]),
        ({"at": "2024-08-27T13:33:00Z", "for_s": 30}, [180]),
        ({"at": "09:31:00", "for_s": 90, "every": 2}, [60, 120]),
        ({"at": "09:31:00", "for_s": 90, "times": 1}, [60]),
    ],
)
def test_a_window_fences_a_rule(rule: dict[str, Any], struck: list[int]) -> None:
    """A call each half minute is struck within the windows only."""
    mischief = Mischief(plan_of({"kind": "reset", **rule}))

    assert [s for s in range(0, 240, 30) if mischief.call(Call.SUBMIT, (), at(s)) is not None] == struck


def test_a_time_of_day_comes_again_the_next_day() -> None:
    """A rule at 09:31 strikes once on each day."""
    mischief = Mischief(plan_of({"kind": "reset", "at": "09:31:00"}))
    instants = [at(60), at(61), at(60) + timedelta(days=1), at(61) + timedelta(days=1)]

    struck = [mischief.call(Call.SUBMIT, (), instant) is not None for instant in instants]

    assert struck == [True, False, True, False]


def test_moments_are_planned_for_the_session() -> None:
    """A scripted moment comes at its second and each every_s; a chance is drawn for each regular minute."""
    assert HOURS is not None
    scripted = Mischief(plan_of({"kind": "manual_cancel", "at": "15:59:30", "every_s": 20, "times": 2}))
    drawn = Mischief(plan_of({"kind": "stream_disconnect", "chance": 0.5}))

    instants = [instant for instant, _ in drawn.moments(HOURS)]

    assert [i for i, _ in scripted.moments(HOURS)] == [CLOSE - timedelta(seconds=s) for s in (30, 10)]
    assert 150 < len(instants) < 240
    assert all(OPEN <= i < CLOSE and i.second == 0 for i in instants)
    assert (scripted.counts, drawn.counts) == ({}, {})  # counted when they happen


def test_moments_come_again_in_the_next_session() -> None:
    """What a plan does at 09:31 it does on the second day too."""
    floor = floor_of()
    faults = FloorFaults(
        floor, Mischief(plan_of({"kind": "manual_trade", "at": "09:31:00", "symbols": ["SPY"]}))
    )

    floor.advance(at(61))
    first = faults.counts()
    floor.advance(at(61) + timedelta(days=1))

    assert (first, faults.counts()) == ({"manual_trade": 1}, {"manual_trade": 2})
    assert floor.hours.session_date == NEXT_DAY
    assert floor.books.qty("SPY") == 2


def test_a_new_plan_ends_the_old_ones_moments_and_bars() -> None:
    """What is published stays as it was; what is to come is the new plan's."""
    floor = floor_of()
    faults = FloorFaults(
        floor,
        Mischief(
            plan_of(
                {"kind": "bar_zero_volume", "every": 1, "symbols": ["SPY"]},
                {"kind": "manual_trade", "at": "09:33:00"},
            )
        ),
    )

    floor.advance(at(121))
    faults.take(plan_of({"kind": "bar_missing", "every": 2, "symbols": ["SPY"]}))
    floor.advance(at(301))

    bars = floor.bars(OPEN, CLOSE)
    spy = [(row[1], row[6]) for row in bars.iter_rows() if row[0] == "SPY"]
    assert spy == [(at(0), 0), (at(60), 0), (at(180), 40_000)]
    assert floor.books.holdings == {}
    assert faults.counts() == {"bar_missing": 2, "bar_zero_volume": 2}


def test_cancels_take_the_floors_own_time_again_after_a_long_one() -> None:
    """One cancel drawn out by the plan leaves the next ones as they were set."""
    floor = floor_of()
    FloorFaults(floor, Mischief(plan_of({"kind": "pending_cancel", "every": 1, "times": 1, "delay_s": 600})))
    floor.cancel_takes = timedelta(seconds=2)
    floor.advance(at(20))
    orders = [floor.submit(ask_for(kind="limit", limit="90")).order_id for _ in range(2)]

    for order_id in orders:
        floor.cancel(order_id)
    floor.advance(at(23))

    assert [str(floor.blotter.orders[o].status) for o in orders] == ["pending_cancel", "canceled"]
    assert floor.cancel_takes == timedelta(seconds=2)


def test_a_plan_without_rules_changes_nothing() -> None:
    """A floor with an empty plan gives every id, event and bar a bare one gives."""
    bare, planned = floor_of(), floor_of()
    FloorFaults(planned, Mischief())
    heard: list[list[Any]] = [[], []]
    for floor, events in zip((bare, planned), heard, strict=True):
        floor.listeners.append(events.append)
        floor.advance(at(20))
        first = floor.submit(ask_for(kind="limit", limit="90"))
        floor.submit(ask_for(qty="2500"))
        floor.cancel(first.order_id)
        floor.advance(at(300))

    assert heard[0] == heard[1]
    assert len(heard[0]) > 6
    assert bare.bars(OPEN, CLOSE).equals(planned.bars(OPEN, CLOSE))


UNSTRUCK = ("/v2/watchlists", "/sim", "/v2/calendar", "/stream")  # nobody's day hangs on a watchlist


def test_every_served_path_of_a_desk_is_a_call() -> None:
    """No route of trading or market data is out of a plan's reach, watchlists aside."""
    app = build_app(floor_of(), ServerOptions())
    missed = []
    for route in app.routes:
        path = getattr(route, "path", "")
        for method in sorted(getattr(route, "methods", None) or ()):
            stated = path.replace(":path}", "}").replace("{", "").replace("}", "")
            if method == "HEAD" or stated.startswith(UNSTRUCK):
                continue
            if call_of(method, stated) is None:
                missed.append((method, path))

    assert missed == []
    assert call_of("DELETE", "/v2/orders/abc") is Call.CANCEL
    assert call_of("GET", "/v2/orders:by_client_order_id") is Call.ORDER_BY_CLIENT_ID
    assert call_of("GET", "/v2/stocks/bars") is Call.BARS
    assert call_of("GET", "/v2/stocks/SPY/bars/latest") is Call.BARS
    assert call_of("GET", "/v2/stocks/quotes/latest") is Call.MARKET
    assert call_of("GET", "/sim/state") is None

"""Properties over generated days: nothing is made from nothing, nothing trades outside the tape."""

from collections import defaultdict
from datetime import timedelta
from decimal import Decimal

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from desk.exchange.floor import Floor
from desk.exchange.matching import Rules
from desk.exchange.orders import Status
from desk.exchange.refusals import Refusal
from tests.desk.exchange.makers import CLOSE, OPEN, Minute, ask_for, at, floor_of

D = Decimal
RULES = Rules(spread_bps=D(4), participation=D("0.1"), band=D("0.05"))
MINUTES = 12


@st.composite
def bars(draw: st.DrawFn) -> list[Minute | None]:
    """Minutes around 100 in cents, with wicks, empty and missing ones."""
    found: list[Minute | None] = []
    for _ in range(MINUTES):
        if draw(st.integers(0, 9)) == 0:
            found.append(None)
            continue
        opened, closed = (draw(st.integers(9600, 10400)) / 100 for _ in range(2))
        up, down = (draw(st.sampled_from([0, 5, 60, 900])) / 100 for _ in range(2))
        volume = draw(st.sampled_from([0, 7, 400, 3000]))
        found.append((opened, max(opened, closed) + up, min(opened, closed) - down, closed, volume))
    return found


@st.composite
def calls(draw: st.DrawFn) -> list[tuple[int, str, str, str, str | None, str | None, str]]:
    """Orders at moments of the first minutes: (seconds, side, qty, type, limit, stop, time in force)."""
    found = []
    for second in sorted(draw(st.lists(st.integers(0, 60 * MINUTES), min_size=1, max_size=14))):
        kind = draw(st.sampled_from(["market", "limit", "stop", "stop_limit"]))
        price = str(D(draw(st.integers(9500, 10500))) / 100)
        other = str(D(draw(st.integers(9500, 10500))) / 100)
        found.append(
            (
                second,
                draw(st.sampled_from(["buy", "sell"])),
                str(draw(st.integers(1, 400))),
                kind,
                price if "limit" in kind else None,
                other if "stop" in kind else None,
                draw(st.sampled_from(["day", "gtc", "ioc", "fok"])),
            )
        )
    return found


def day(
    minutes: list[Minute | None], orders: list[tuple[int, str, str, str, str | None, str | None, str]]
) -> Floor:
    """Play a day with orders at their moments, refusals left out, and some canceled."""
    floor = floor_of(minutes, rules=RULES)
    for place, (second, side, qty, kind, limit, stop, force) in enumerate(orders):
        floor.advance(at(second))
        try:
            floor.submit(ask_for(side, qty, kind, limit=limit, stop=stop, force=force))
        except Refusal:
            continue
        if place % 5 == 4:
            floor.cancel_all()
    floor.advance(CLOSE + timedelta(hours=1))
    return floor


@settings(max_examples=150, deadline=None)
@given(bars(), calls())
def test_cash_and_positions_are_the_fills(minutes: list[Minute | None], orders: list[object]) -> None:
    """Recomputed from the executions alone, cash, position and every order's filled quantity agree."""
    floor = day(minutes, orders)  # type: ignore[arg-type]

    cash, held, filled = D(100_000), D(0), defaultdict(Decimal)
    for done in floor.books.executions:
        cash -= done.side.sign * done.qty * done.price
        held += done.side.sign * done.qty
        filled[done.order_id] += done.qty
        assert done.cum_qty == filled[done.order_id]
        assert done.position_qty == held
    assert floor.books.cash == cash - floor.books.fees_charged
    assert floor.books.qty("SPY") == held
    for order in floor.blotter.orders.values():
        assert order.filled_qty == filled[order.order_id] <= order.qty
        assert (order.status is Status.FILLED) == (order.filled_qty == order.qty)
    assert floor.blotter.reserved == sum((o.reserved for o in floor.blotter.open.values()), D(0))


@settings(max_examples=150, deadline=None)
@given(bars(), calls())
def test_fills_stay_inside_tape_limit_and_participation(
    minutes: list[Minute | None], orders: list[object]
) -> None:
    """Every fill lies in its minute's range and band plus spread, within its limit and its share."""
    floor = day(minutes, orders)  # type: ignore[arg-type]

    taken: dict[object, Decimal] = defaultdict(Decimal)
    for done in floor.books.executions:
        into = int((done.at - OPEN).total_seconds())
        bar = minutes[into // 60]
        assert bar is not None
        opened, high, low, closed, volume = bar
        slack = D("0.04")  # half of 4 bps of 104, and a tick of rounding
        assert D(str(low)) - slack <= done.price <= D(str(high)) + slack
        assert done.price >= D(str(min(opened, closed))) * D("0.95") - slack
        assert done.price <= D(str(max(opened, closed))) * D("1.05") + slack
        limit = floor.blotter.orders[done.order_id].limit_price
        if limit is not None:
            assert (limit - done.price) * done.side.sign >= 0
        taken[into // 15] += done.qty
        assert taken[into // 15] <= D(volume) / 4 * D("0.1")


@settings(max_examples=60, deadline=None)
@given(bars(), calls())
def test_the_same_calls_give_the_same_day(minutes: list[Minute | None], orders: list[object]) -> None:
    """Ids, instants, prices and statuses repeat exactly, whether or not anybody listens."""
    first = day(minutes, orders)  # type: ignore[arg-type]
    second = day(minutes, orders)  # type: ignore[arg-type]

    assert first.books.executions == second.books.executions
    assert first.blotter.orders == second.blotter.orders


def test_listening_changes_nothing() -> None:
    """A listener's events have ids of their own, so orders and executions keep theirs."""
    silent, heard = floor_of(), floor_of()
    heard.listeners.append(lambda event: None)

    for floor in (silent, heard):
        floor.advance(at(1))
        floor.submit(ask_for())
        floor.submit(ask_for("sell"))

    assert silent.books.executions == heard.books.executions


def test_published_bars_are_those_of_the_market() -> None:
    """What was published by the close is the market's frame of the day, row for row."""
    floor = floor_of()
    floor.advance(CLOSE + timedelta(minutes=2))

    public = floor.bars(OPEN, CLOSE)

    assert public.sort("symbol", "ts").equals(floor.market.frame(OPEN.date()).sort("symbol", "ts"))
    assert public["ts"].is_sorted()
    assert public.select(pl.len()).item() == 780

"""The matching rules, each against an answer worked out by hand from their text."""

import math
from decimal import Decimal

import pytest

from desk.exchange.matching import Bar, Match, Print, Rules, Terms, match, prints, quote, stop_collar
from schemas.orders import OrderType, Side
from tests.desk.exchange.makers import CLOSE, OPEN, PLAIN, at

D = Decimal


def played(bar: Bar, rules: Rules = PLAIN) -> tuple[Print, ...]:
    return prints(bar, OPEN, opens_at=OPEN, closes_at=CLOSE, rules=rules)


def terms(
    side: str = "buy",
    kind: str = "market",
    *,
    qty: str = "100",
    limit: str | None = None,
    stop: str | None = None,
    triggered: bool = False,
) -> Terms:
    remaining = D(qty)
    return Terms(
        side=Side(side),
        order_type=OrderType(kind),
        remaining=remaining,
        limit_price=None if limit is None else D(limit),
        stop_price=None if stop is None else D(stop),
        triggered=triggered,
        whole=remaining == remaining.to_integral_value(),
    )


def seen(price: str, *, first: bool = False, second: int = 15) -> Print:
    bid, ask = quote(D(price), D(0))
    return Print(at(second), D(price), bid, ask, D(1000), True, first)


def test_a_rising_minute_is_played_open_low_high_close() -> None:
    """A minute that closes up visits its low first, in quarters of its volume, 15 s apart."""
    found = played(Bar(100.0, 101.0, 99.5, 100.5, 8000))

    assert [p.price for p in found] == [D("100.0000"), D("99.5000"), D("101.0000"), D("100.5000")]
    assert [p.at for p in found] == [at(0), at(15), at(30), at(45)]
    assert {p.liquidity for p in found} == {D(200)}
    assert [p.first for p in found] == [True, False, False, False]


def test_a_falling_minute_is_played_open_high_low_close() -> None:
    """A minute that closes down visits its high first."""
    found = played(Bar(100.0, 101.0, 99.0, 99.5, 8000))

    assert [p.price for p in found] == [D(100), D(101), D(99), D("99.5")]


def test_a_bad_wick_is_never_printed() -> None:
    """A low 9 % under open and close is outside the 5 % band; the other three prints stand."""
    found = played(Bar(100.0, 100.2, 91.0, 100.1, 8000))

    assert [p.price for p in found] == [D(100), D("100.2"), D("100.1")]


@pytest.mark.parametrize(
    "bar",
    [
        Bar(100.0, 101.0, 99.0, 100.0, 0),
        Bar(100.0, 99.0, 101.0, 100.0, 500),
        Bar(100.0, math.nan, 99.0, 100.0, 500),
        Bar(-1.0, 101.0, -2.0, 100.0, 500),
        Bar(0.0, 101.0, 0.0, 100.0, 500),
        Bar(math.inf, math.inf, 99.0, 100.0, 500),
    ],
)
def test_an_empty_or_unsound_minute_prints_nothing(bar: Bar) -> None:
    """No volume, crossed, negative or non-numeric prices fill nobody."""
    assert played(bar) == ()


def test_prints_outside_the_session_are_marked() -> None:
    """The minute before the open is not regular, nor is the one that starts at the close."""
    bar = Bar(100.0, 100.0, 100.0, 100.0, 100)

    early = prints(bar, at(-60), opens_at=OPEN, closes_at=CLOSE, rules=PLAIN)
    late = prints(bar, CLOSE, opens_at=OPEN, closes_at=CLOSE, rules=PLAIN)

    assert not any(p.regular for p in (*early, *late))


@pytest.mark.parametrize(
    ("price", "bps", "bid", "ask"),
    [
        ("100.00", "0", "99.99", "100.01"),  # one tick, rounded outward to the cent
        ("100.00", "2", "99.99", "100.01"),  # two cents wide
        ("100.00", "10", "99.95", "100.05"),
        ("100.005", "2", "99.99", "100.02"),  # 99.995 and 100.015 rounded outward
        ("0.5000", "0", "0.4999", "0.5001"),  # sub-dollar tick: a hundredth of a cent
    ],
)
def test_quote_stands_half_a_spread_each_way(price: str, bps: str, bid: str, ask: str) -> None:
    """Bid and ask never lie inside half the spread, nor off the tick."""
    assert quote(D(price), D(bps)) == (D(bid), D(ask))


@pytest.mark.parametrize(
    ("order", "price", "before", "expected"),
    [
        (terms(), "100.00", None, Match(False, D(100), D("100.01"))),
        (terms("sell"), "100.00", None, Match(False, D(100), D("99.99"))),
        (terms(kind="limit", limit="100.01"), "100.00", None, Match(False, D(100), D("100.01"))),
        (terms(kind="limit", limit="100.00"), "100.00", None, None),
        # marketable on arrival: the far side, which is better than the limit
        (terms(kind="limit", limit="101.00"), "100.00", None, Match(False, D(100), D("100.01"))),
        # crossed between two prints: the limit and no better
        (terms(kind="limit", limit="99.50"), "99.00", "100.00", Match(False, D(100), D("99.50"))),
        (terms("sell", "limit", limit="100.50"), "101.00", "100.00", Match(False, D(100), D("100.50"))),
        # marketable before and after: it waits for shares, and pays what they cost now
        (terms(kind="limit", limit="101.00"), "100.50", "100.00", Match(False, D(100), D("100.51"))),
        # a stop is reached by the print and fills at the far side, which is worse than the stop
        (terms(kind="stop", stop="100.50"), "100.49", "100.00", None),
        (terms(kind="stop", stop="100.50"), "100.50", "100.00", Match(True, D(100), D("100.51"))),
        (terms(kind="stop", stop="100.50"), "101.00", "100.00", Match(True, D(100), D("101.01"))),
        (terms("sell", "stop", stop="99.50"), "99.00", "100.00", Match(True, D(100), D("98.99"))),
        # a buy stop 2.5 % behind the market only triggers: it is a limit at 102.50 now
        (terms(kind="stop", stop="100.00"), "103.00", None, Match(True, D(0), D("103.00"))),
        (terms(kind="stop", stop="100.00", triggered=True), "102.00", None, Match(True, D(100), D("102.01"))),
        # a stop-limit arrives as a limit at the print that triggered it
        (
            terms(kind="stop_limit", stop="100.50", limit="101.00"),
            "100.60",
            "100.00",
            Match(True, D(100), D("100.61")),
        ),
        (
            terms(kind="stop_limit", stop="100.50", limit="100.55"),
            "100.90",
            "100.00",
            Match(True, D(0), D("100.90")),
        ),
        (
            terms("sell", "stop_limit", stop="99.50", limit="99.40", triggered=True),
            "99.60",
            "99.00",
            Match(True, D(100), D("99.40")),
        ),
    ],
)
def test_f12_one_print_meets_one_order(
    order: Terms, price: str, before: str | None, expected: Match | None
) -> None:
    """Each order type fills, rests or triggers as the rules say."""
    earlier = None if before is None else seen(before, second=0)

    assert match(order, seen(price), before=earlier, available=D(1000)) == expected


def test_a_resting_limit_gapped_over_at_a_minutes_first_print_fills_at_the_far_side() -> None:
    """The first print of a minute is an arrival: the gap is given to nobody, neither better nor worse."""
    found = match(
        terms(kind="limit", limit="99.50"), seen("98.00", first=True), before=None, available=D(1000)
    )

    assert found == Match(False, D(100), D("98.01"))


@pytest.mark.parametrize(
    ("qty", "available", "filled"),
    [("100", "30.7", "30"), ("100", "0.9", None), ("1.5", "0.9", "0.9"), ("0.25", "1000", "0.25")],
)
def test_f12_fills_are_bounded_by_what_the_print_gives(qty: str, available: str, filled: str | None) -> None:
    """Whole-share orders take whole shares; fractional ones take what there is."""
    found = match(terms(qty=qty), seen("100.00"), before=None, available=D(available))

    assert (None if found is None else found.qty) == (None if filled is None else D(filled))


@pytest.mark.parametrize(("stop", "collar"), [("49.99", "51.98"), ("50.00", "51.25"), ("200.00", "205.00")])
def test_a_buy_stop_is_collared_as_alpaca_does(stop: str, collar: str) -> None:
    """4 % above a stop under 50 USD, 2.5 % from 50 USD on."""
    assert stop_collar(D(stop)) == D(collar)

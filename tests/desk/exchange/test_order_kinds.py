"""Trailing stops, auctions, orders in USD: what each does with the day's prints."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from desk.exchange.floor import Floor
from desk.exchange.orders import ReplaceRequest, Status, VenueEvent
from desk.exchange.refusals import Refusal
from tests.desk.exchange.makers import CLOSE, OPEN, Minute, ask_for, at, flat, floor_of

D = Decimal


def opened(minutes: list[Minute | None] | None = None, **changes: object) -> Floor:
    floor = floor_of(minutes, **changes)  # type: ignore[arg-type]
    floor.advance(at(20))
    return floor


# --- trailing stops ---


@pytest.mark.parametrize("trail", [{"trail_price": D(2)}, {"trail_percent": D(2)}], ids=["price", "percent"])
def test_a_trailing_sale_follows_the_best_price_and_sells_behind_it(trail: dict[str, Decimal]) -> None:
    """From 100 to 104 its stop rises to 102 (or 101.92), stays there at 103, and sells when 101 is seen."""
    floor = opened([flat(100.0), flat(104.0), flat(103.0), flat(101.0)])
    floor.submit(ask_for())
    order = floor.submit(ask_for("sell", kind="trailing_stop", **trail))
    begun = floor.blotter.order(order.order_id)
    floor.advance(at(121))
    risen = floor.blotter.order(order.order_id)

    floor.advance(at(181))

    sold = floor.blotter.order(order.order_id)
    stop = D(102) if "trail_price" in trail else D("101.92")
    assert (begun.hwm, begun.stop_price) == (D(100), D(98))
    assert (risen.hwm, risen.stop_price, risen.status) == (D(104), stop, Status.NEW)
    assert (sold.status, sold.filled_avg_price) == (Status.FILLED, D("100.99"))


def test_a_trailing_buy_follows_the_lowest_price_down() -> None:
    """From 100 to 96 its stop falls to 97.50; at 98 it buys."""
    floor = opened([flat(100.0), flat(96.0), flat(98.0)])
    order = floor.submit(ask_for("buy", kind="trailing_stop", trail_price=D("1.5")))

    floor.advance(at(121))

    bought = floor.blotter.order(order.order_id)
    assert (bought.hwm, bought.stop_price) == (D(96), D("97.50"))
    assert (bought.status, bought.filled_avg_price) == (Status.FILLED, D("98.01"))


def test_a_print_is_held_against_the_stop_before_it_moves_it() -> None:
    """A minute that rises to 103 and falls to 100 sells behind 103, not behind the 100 it began with."""
    floor = opened([flat(100.0), (100.0, 103.0, 100.0, 100.0, 40_000)])
    floor.submit(ask_for())
    order = floor.submit(ask_for("sell", kind="trailing_stop", trail_price=D(2)))

    floor.advance(at(106))

    sold = floor.blotter.order(order.order_id)
    assert (sold.hwm, sold.stop_price, sold.filled_avg_price) == (D(103), D(101), D("99.99"))


def test_a_trail_sent_before_the_open_starts_at_its_first_print() -> None:
    """Yesterday's price is no best price of today."""
    floor = floor_of([flat(90.0), flat(100.0)])
    order = floor.submit(ask_for(kind="trailing_stop", trail_price=D(5)))

    floor.advance(OPEN)

    now = floor.blotter.order(order.order_id)
    assert (now.hwm, now.stop_price) == (D(90), D(95))


@pytest.mark.parametrize(("changes", "code", "message"), [
    ({}, 40010001, "trailing stop orders must specify one of trail_price or trail_percent"),
    (
        {"trail_price": D(1), "trail_percent": D(1)},
        40010001,
        "trailing stop orders must specify one of trail_price or trail_percent",
    ),
    ({"trail_percent": D("0.05")}, 40010001, "trail_percent must be >= 0.1 and < 100"),
    ({"trail_price": D(0)}, 40010001, "trail_price must be > 0"),
    ({"trail_price": D(1), "force": "ioc"}, 42210000, "trailing stop orders must be DAY or GTC orders"),
    ({"trail_price": D(1), "stop": "95"}, 40010001, "trailing stop orders require no stop or limit price"),
    (
        {"trail_price": D(1), "qty": "1.5"},
        42210000,
        "fractional orders must be market, limit, stop, or stop_limit orders",
    ),
    (
        {"trail_price": D(1), "extended_hours": True},
        42210000,
        "extended hours order must be DAY or GTC limit orders",
    ),
])  # fmt: skip
def test_a_wrong_trail_is_refused(changes: dict[str, object], code: int, message: str) -> None:
    """Each rule in words, status 422."""
    with pytest.raises(Refusal) as caught:
        opened().submit(ask_for(kind="trailing_stop", **changes))  # type: ignore[arg-type]

    assert (caught.value.status, caught.value.code, caught.value.message) == (422, code, message)


# --- auctions ---


def test_an_opening_order_trades_at_the_first_print_only() -> None:
    """Everybody pays 100, no spread; what the print's 1,000 do not cover is canceled."""
    floor = floor_of([flat(100.0), flat(99.0)])
    market = floor.submit(ask_for(qty="700", force="opg"))
    limit = floor.submit(ask_for(qty="700", kind="limit", limit="101", force="opg"))
    low = floor.submit(ask_for(kind="limit", limit="99.99", force="opg"))

    floor.advance(OPEN)

    done = [floor.blotter.order(one.order_id) for one in (market, limit, low)]
    assert [(one.status, one.filled_qty) for one in done] == [
        (Status.FILLED, D(700)),
        (Status.CANCELED, D(300)),
        (Status.CANCELED, D(0)),
    ]
    assert {one.filled_avg_price for one in done[:2]} == {D(100)}


def test_an_opening_order_waits_for_a_late_open() -> None:
    """Without a print at 09:30 the auction is the first one after, at 09:32."""
    floor = floor_of([None, None, flat(97.0)])
    order = floor.submit(ask_for(force="opg"))

    floor.advance(at(119))
    waiting = floor.blotter.order(order.order_id).status
    floor.advance(at(120))

    assert waiting is Status.NEW
    assert floor.blotter.order(order.order_id).filled_avg_price == D(97)


def test_an_opening_order_that_never_meets_a_print_ends_at_the_close() -> None:
    """A symbol that does not open leaves it canceled."""
    floor = floor_of([flat(100.0)] * 3)
    floor.halt("SPY")
    order = floor.submit(ask_for(force="opg"))

    floor.advance(CLOSE)

    assert floor.blotter.order(order.order_id).status is Status.CANCELED


def test_a_closing_order_trades_at_the_last_print_at_the_bell() -> None:
    """Sent at noon it rests through every print and pays the close's last, 103, at 16:00."""
    floor = floor_of([*[flat(100.0)] * 389, (103.0, 103.0, 103.0, 103.0, 40_000)])
    floor.advance(at(9000))
    market = floor.submit(ask_for(force="cls"))
    low = floor.submit(ask_for(kind="limit", limit="102.99", force="cls"))
    floor.advance(CLOSE - timedelta(seconds=1))
    rests = floor.blotter.order(market.order_id).status

    floor.advance(CLOSE)

    assert rests is Status.NEW
    done = floor.blotter.order(market.order_id)
    assert (done.status, done.filled_avg_price, done.filled_at) == (Status.FILLED, D(103), CLOSE)
    assert floor.blotter.order(low.order_id).status is Status.CANCELED


def test_a_closing_order_of_a_halted_symbol_is_canceled() -> None:
    """No trading, no closing auction."""
    floor = floor_of()
    floor.advance(at(9000))
    order = floor.submit(ask_for(force="cls"))
    floor.halt("SPY")

    floor.advance(CLOSE)

    assert floor.blotter.order(order.order_id).status is Status.CANCELED


@pytest.mark.parametrize(("force", "when", "message"), [
    ("opg", OPEN - timedelta(minutes=2), "opg orders must be submitted after 7:00pm and before 9:28am"),
    ("opg", OPEN + timedelta(hours=1), "opg orders must be submitted after 7:00pm and before 9:28am"),
    ("cls", CLOSE - timedelta(minutes=10), "cls orders must be submitted after 7:00pm and before 3:50pm"),
    ("cls", CLOSE + timedelta(hours=2), "cls orders must be submitted after 7:00pm and before 3:50pm"),
])  # fmt: skip
def test_auction_orders_have_their_windows(force: str, when: datetime, message: str) -> None:
    """Between the deadline and 19:00 New York they are refused."""
    floor = floor_of()
    floor.advance(when)

    with pytest.raises(Refusal) as caught:
        floor.submit(ask_for(force=force))

    assert (caught.value.status, caught.value.code, caught.value.message) == (403, 40310000, message)


@pytest.mark.parametrize("force", ["opg", "cls"])
def test_an_auction_order_sent_in_the_evening_is_for_the_next_session(force: str) -> None:
    """At 19:00 New York the next day's auction is open for orders: it trades at 110."""
    floor = floor_of()
    floor.advance(CLOSE + timedelta(hours=3))
    order = floor.submit(ask_for(force=force))

    floor.advance(CLOSE + timedelta(days=1))

    done = floor.blotter.order(order.order_id)
    assert (done.status, done.filled_avg_price) == (Status.FILLED, D(110))


def test_auctions_take_market_and_limit_orders() -> None:
    """A stop is refused."""
    with pytest.raises(Refusal, match="opg orders must be market or limit orders"):
        floor_of().submit(ask_for(kind="stop", stop="99", force="opg"))


# --- orders in USD, and parts of shares ---


def test_an_order_in_usd_buys_what_it_can() -> None:
    """1,000 USD at 100.01 are 9.999000099 shares; quantity is unknown and the order is filled."""
    floor = opened()

    order = floor.submit(ask_for(qty=None, notional=D(1000)))

    done = floor.blotter.order(order.order_id)
    assert (done.qty, done.notional, done.status) == (None, D(1000), Status.FILLED)
    assert done.filled_qty == D("9.999000099")
    assert floor.books.cash == D(100_000) - done.filled_qty * D("100.01")
    assert floor.blotter.reserved == 0


def test_an_order_in_usd_fills_in_parts_and_holds_the_rest() -> None:
    """250,000 USD take 1,000 shares of a print; the rest of the money stays reserved."""
    floor = opened()

    order = floor.submit(ask_for(qty=None, notional=D(250_000)))
    now = floor.blotter.order(order.order_id)
    reserved = floor.blotter.reserved
    floor.advance(at(46))

    assert (now.status, now.filled_qty) == (Status.PARTIALLY_FILLED, D(1000))
    assert reserved == D(250_000) - D(1000) * D("100.01")
    done = floor.blotter.order(order.order_id)
    assert done.status is Status.FILLED
    assert 0 <= D(250_000) - done.filled_notional < D("0.000001")


def test_a_sale_in_usd_never_sells_more_than_is_held() -> None:
    """990 USD of a share that falls to 90 by the next print are eleven, and ten are held: ten are sold."""
    floor = floor_of([flat(100.0), flat(90.0)])
    floor.advance(at(1))
    floor.submit(ask_for())
    floor.advance(at(60) - timedelta(milliseconds=1))
    order = floor.submit(ask_for("sell", None, "stop", stop="95", notional=D(990)))

    floor.advance(at(61))

    now = floor.blotter.order(order.order_id)
    assert (now.status, now.filled_qty) == (Status.PARTIALLY_FILLED, D(10))
    assert floor.books.qty("SPY") == 0


@pytest.mark.parametrize(("changes", "code", "message"), [
    ({"notional": D("0.99")}, 40010001, "notional must be >= 1.00"),
    ({"notional": D("1.005")}, 42210000, "notional value must be limited to 2 decimal places"),
    ({"notional": D(5), "force": "gtc"}, 42210000, "fractional orders must be DAY orders"),
    ({"notional": D(5), "side": "sell"}, 42210000, "fractional orders cannot be sold short"),
])  # fmt: skip
def test_a_wrong_order_in_usd_is_refused(changes: dict[str, object], code: int, message: str) -> None:
    """Each rule in Alpaca's words, status 422."""
    with pytest.raises(Refusal) as caught:
        opened().submit(ask_for(qty=None, **changes))  # type: ignore[arg-type]

    assert (caught.value.status, caught.value.code, caught.value.message) == (422, code, message)


def test_an_order_in_usd_is_charged_what_it_asks_for() -> None:
    """More than the buying power is refused with what it costs."""
    with pytest.raises(Refusal) as caught:
        opened().submit(ask_for(qty=None, notional=D(400_001)))

    assert caught.value.message == "insufficient buying power"
    assert caught.value.extra == {"buying_power": "400000", "cost_basis": "400001"}


# --- lives ---


def test_a_good_till_canceled_order_lives_ninety_days() -> None:
    """At the first close after 90 days it is canceled."""
    floor = opened()
    order = floor.submit(ask_for(kind="limit", limit="50", force="gtc"))

    floor.advance(order.expires_at - timedelta(days=2))
    before = floor.blotter.order(order.order_id).status
    floor.advance(order.expires_at + timedelta(days=4))

    assert order.expires_at - order.submitted_at == timedelta(days=90)
    assert before is Status.NEW
    assert floor.blotter.order(order.order_id).status is Status.CANCELED


def test_an_order_taken_over_night_is_new_from_four_o_clock() -> None:
    """From then on it can be replaced; it trades at the open (ALPACA.md section 2.3, measured)."""
    floor = opened([flat(100.0)] * 390)
    floor.advance(CLOSE + timedelta(minutes=1))
    order = floor.submit(ask_for(kind="limit", limit="105"))
    four = OPEN + timedelta(days=1) - timedelta(hours=5, minutes=30)

    floor.advance(four - timedelta(seconds=1))
    before = floor.blotter.order(order.order_id).status
    floor.advance(four)
    after = floor.blotter.order(order.order_id).status
    floor.replace(order.order_id, ReplaceRequest(limit_price=D(111)))
    floor.advance(OPEN + timedelta(days=1))

    assert (before, after) == (Status.ACCEPTED, Status.NEW)
    assert floor.books.executions[-1].at >= OPEN + timedelta(days=1)
    assert floor.books.qty("SPY") == D(10)


def test_an_extended_hours_order_may_be_good_till_canceled() -> None:
    """Since 2026 limit orders good till canceled trade before the open too."""
    floor = floor_of([flat(100.0)] * 30, start=OPEN - timedelta(minutes=20))
    floor.advance(OPEN - timedelta(minutes=4))

    order = floor.submit(ask_for(kind="limit", limit="101", force="gtc", extended_hours=True))

    assert floor.blotter.order(order.order_id).status is Status.FILLED


def test_a_symbol_without_working_orders_costs_nothing() -> None:
    """When the last order has ended, no symbol is played any more."""
    floor = opened()
    order = floor.submit(ask_for(kind="limit", limit="90"))
    assert floor.blotter.working_symbols() == ("SPY",)

    floor.cancel(order.order_id)

    assert floor.blotter.working_symbols() == ()


def test_a_new_order_may_take_a_while_to_arrive() -> None:
    """It is pending_new for 600 ms, and fills at the price it then finds."""
    floor = floor_of([flat(100.0), flat(105.0)])
    floor.advance(at(59.8))
    floor.arrival_takes = timedelta(milliseconds=600)
    events: list[VenueEvent] = []
    floor.listeners.append(events.append)

    order = floor.submit(ask_for())
    waiting = floor.blotter.order(order.order_id).status
    floor.advance(at(61))

    done = floor.blotter.order(order.order_id)
    assert waiting is Status.PENDING_NEW
    assert (done.filled_avg_price, done.filled_at) == (D("105.01"), at(60.4) + timedelta(microseconds=1))
    assert [event.event for event in events] == ["pending_new", "new", "fill"]

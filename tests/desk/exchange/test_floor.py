"""Time on the floor: what the market and the clock do to orders, positions and cash."""

from datetime import timedelta
from decimal import Decimal

import pytest

from desk.errors import NoBars
from desk.exchange.floor import Floor
from desk.exchange.orders import Status, VenueEvent
from schemas.orders import Side
from tests.desk.exchange.makers import CLOSE, DAY, OPEN, ask_for, at, flat, floor_of

D = Decimal


def heard(floor: Floor) -> list[VenueEvent]:
    events: list[VenueEvent] = []
    floor.listeners.append(events.append)
    return events


def test_a_market_order_fills_at_once_against_the_live_print() -> None:
    """At 13:30:20 the print of 13:30:15 is live: 10 shares at the ask, answered pending_new."""
    floor = floor_of()
    floor.advance(at(20))

    taken = floor.submit(ask_for())

    now = floor.blotter.order(taken.order_id)
    assert taken.status is Status.PENDING_NEW
    assert (now.status, now.filled_qty, now.filled_avg_price) == (Status.FILLED, D(10), D("100.01"))
    assert floor.books.cash == D(100_000) - D("1000.10")
    assert floor.books.qty("SPY") == D(10)


def test_a_print_gives_its_liquidity_once() -> None:
    """1,000 shares a print for the whole account: 700, then 300, and the rest from the next print."""
    floor = floor_of()
    floor.advance(at(20))

    first = floor.submit(ask_for(qty="700"))
    second = floor.submit(ask_for(qty="700"))
    partly = floor.blotter.order(second.order_id)
    floor.advance(at(30))

    assert floor.blotter.order(first.order_id).status is Status.FILLED
    assert (partly.status, partly.filled_qty) == (Status.PARTIALLY_FILLED, D(300))
    assert floor.blotter.order(second.order_id).status is Status.FILLED
    assert [done.at for done in floor.books.executions][-1] == at(30)


def test_an_order_in_a_missing_minute_waits_for_the_next_print() -> None:
    """A halt is minutes without prints: nothing fills until trading goes on, at the price it goes on at."""
    floor = floor_of([flat(100.0), None, None, flat(97.0)])
    floor.advance(at(75))
    taken = floor.submit(ask_for())

    floor.advance(at(179))
    waiting = floor.blotter.order(taken.order_id)
    floor.advance(at(180))

    assert waiting.status is Status.NEW
    assert floor.blotter.order(taken.order_id).filled_avg_price == D("97.01")


@pytest.mark.parametrize(("force", "qty", "filled", "status"), [
    ("ioc", "1500", "1000", Status.CANCELED),
    ("ioc", "500", "500", Status.FILLED),
    ("fok", "1500", "0", Status.CANCELED),
    ("fok", "500", "500", Status.FILLED),
])  # fmt: skip
def test_immediate_orders_never_rest(force: str, qty: str, filled: str, status: Status) -> None:
    """IOC keeps what it got and fill-or-kill takes all or nothing; neither is open afterwards."""
    floor = floor_of()
    floor.advance(at(20))

    taken = floor.submit(ask_for(qty=qty, force=force))

    now = floor.blotter.order(taken.order_id)
    assert (now.filled_qty, now.status) == (D(filled), status)
    assert floor.blotter.open == {}


def test_an_order_before_the_open_waits_as_accepted_and_trades_at_the_open() -> None:
    """Queued at 09:25, working from the bell, filled by the first print, and told in that order."""
    floor = floor_of()
    events = heard(floor)

    taken = floor.submit(ask_for())
    floor.advance(OPEN)

    assert taken.status is Status.ACCEPTED
    assert [event.event for event in events] == ["accepted", "new", "fill"]
    assert floor.books.executions[0].at >= OPEN


def test_a_day_order_expires_at_the_close() -> None:
    """What did not fill by 16:00 is expired at 16:00, and its shares are free again."""
    floor = floor_of()
    floor.advance(at(1))
    events = heard(floor)
    taken = floor.submit(ask_for(kind="limit", limit="90"))

    floor.advance(CLOSE)

    ended = floor.blotter.order(taken.order_id)
    assert (ended.status, ended.expired_at, ended.expires_at) == (Status.EXPIRED, CLOSE, CLOSE)
    assert [event.event for event in events] == ["pending_new", "new", "expired"]


def test_an_order_after_the_close_is_for_the_next_session() -> None:
    """It rests accepted over night and fills at the next open's price."""
    floor = floor_of()
    floor.advance(CLOSE + timedelta(minutes=1))

    taken = floor.submit(ask_for())
    floor.advance(OPEN + timedelta(days=1))

    now = floor.blotter.order(taken.order_id)
    assert taken.expires_at == CLOSE + timedelta(days=1)
    assert (now.status, now.filled_avg_price) == (Status.FILLED, D("110.01"))


def test_extended_hours_prints_fill_only_orders_that_ask_for_them() -> None:
    """Before the open a limit with extended_hours trades; one without it waits."""
    floor = floor_of([flat(100.0)] * 30, start=OPEN - timedelta(minutes=20))
    floor.advance(OPEN - timedelta(minutes=4))

    regular = floor.submit(ask_for(kind="limit", limit="101"))
    extended = floor.submit(ask_for(kind="limit", limit="101", extended_hours=True))
    floor.advance(OPEN - timedelta(minutes=2))

    assert floor.blotter.order(regular.order_id).status is Status.ACCEPTED
    assert floor.blotter.order(extended.order_id).status is Status.FILLED


def test_a_resting_order_is_not_filled_after_the_bell() -> None:
    """A sell at 109 good till canceled rests through a print of 110 at 16:03 and fills at the next open."""
    floor = floor_of([*[flat(100.0)] * 390, *[flat(110.0)] * 5])
    floor.advance(at(1))
    floor.submit(ask_for())
    taken = floor.submit(ask_for("sell", "10", "limit", limit="109", force="gtc"))

    floor.advance(CLOSE + timedelta(minutes=5))
    after_the_bell = floor.blotter.order(taken.order_id)
    floor.advance(OPEN + timedelta(days=1))

    assert (after_the_bell.status, after_the_bell.filled_qty) == (Status.NEW, D(0))
    assert floor.blotter.order(taken.order_id).status is Status.FILLED


def test_a_good_till_canceled_order_lives_on_and_fills_next_day() -> None:
    """A sell at 109 is untouched at 100 and fills at the next day's open, 110."""
    floor = floor_of()
    floor.advance(at(1))
    floor.submit(ask_for())
    taken = floor.submit(ask_for("sell", "10", "limit", limit="109", force="gtc"))

    floor.advance(CLOSE)
    overnight = floor.blotter.order(taken.order_id).status
    floor.advance(OPEN + timedelta(days=1))

    assert overnight is Status.NEW
    assert floor.blotter.order(taken.order_id).filled_avg_price == D("109.99")


def test_fees_accrue_and_leave_cash_at_the_close() -> None:
    """Selling 10 at 99.99 costs 27.80 per million and 0.000166 a share: 3 cents, at the close."""
    floor = floor_of()
    floor.advance(at(1))
    floor.submit(ask_for())
    floor.submit(ask_for("sell"))
    accrued, before = floor.books.accrued_fees, floor.books.cash

    floor.advance(CLOSE)

    assert accrued == D("0.029458")  # 999.90 x 27.80e-6 + 10 x 0.000166, rounded up to a millionth
    assert before - floor.books.cash == D("0.03")
    assert floor.books.accrued_fees == 0
    assert [charge.amount for charge in floor.books.charges] == [D("0.03")]


def test_a_new_session_starts_from_yesterdays_equity() -> None:
    """10 shares bought at 100.01 and closed at 100 make 99,999.90 the equity of the day before."""
    floor = floor_of()
    floor.advance(at(1))
    floor.submit(ask_for())

    floor.advance(OPEN + timedelta(days=1))

    totals = floor.totals()
    assert totals.last_equity == D("99999.90")
    assert totals.equity == D("100099.90")
    assert floor.books.holdings["SPY"].day_cost == D(1000)


def test_positions_keep_their_average_when_reduced_and_start_anew_when_flipped() -> None:
    """10 at 100 and 10 at 110 average 105; selling 5 keeps it; 20 more sold at 90 is short 5 at 90."""
    floor = floor_of()
    for side, qty, price in (("buy", 10, 100), ("buy", 10, 110), ("sell", 5, 120)):
        floor.trade_by_hand("SPY", Side(side), D(qty), D(price))
    reduced = floor.books.holdings["SPY"]
    floor.trade_by_hand("SPY", Side.SELL, D(20), D(90))
    flipped = floor.books.holdings["SPY"]

    assert (reduced.qty, reduced.avg_entry_price) == (D(15), D(105))
    assert (flipped.qty, flipped.avg_entry_price) == (D(-5), D(90))
    assert floor.books.cash == D(100_000) - 1000 - 1100 + 600 + 1800


def test_a_trade_by_hand_is_told_and_booked_as_manual() -> None:
    """It fills in full at the ask, whatever the print gives, and its order says whose hand it was."""
    floor = floor_of()
    floor.advance(at(20))
    events = heard(floor)

    done = floor.trade_by_hand("SPY", Side.BUY, D(5000), None)

    assert (done.source, done.status, done.filled_avg_price) == ("manual", Status.FILLED, D("100.01"))
    assert [event.event for event in events] == ["new", "fill"]
    assert floor.books.qty("SPY") == D(5000)


def test_instants_of_records_never_tie() -> None:
    """Orders taken at one venue instant are told apart by microseconds, in order."""
    floor = floor_of()
    floor.advance(at(1))

    taken = [floor.submit(ask_for(qty="1")) for _ in range(5)]

    stamps = [order.submitted_at for order in taken]
    assert stamps == sorted(set(stamps))


def test_advancing_in_any_steps_gives_the_same_day() -> None:
    """One leap to the close and steps of 7 seconds fill the same orders at the same prices and times."""
    minutes = [(100 + i % 7, 101 + i % 7, 99 + i % 7, 100.5 + i % 7, 4000) for i in range(120)]

    def played(step_s: float | None) -> list[object]:
        floor = floor_of(minutes)
        floor.advance(at(1))
        for limit in (99.5, 101.0, 103.5):
            floor.submit(ask_for(qty="450", kind="limit", limit=str(limit)))
        now = at(1)
        while step_s is not None and now < CLOSE:
            now += timedelta(seconds=step_s)
            floor.advance(now)
        floor.advance(CLOSE)
        return list(floor.books.executions)

    assert played(None) == played(7)
    assert len(played(None)) > 3


def test_the_past_is_never_played_again() -> None:
    """Advancing to an earlier instant leaves the clock where it was."""
    floor = floor_of()
    floor.advance(at(100))

    floor.advance(at(50))

    assert floor.now == at(100)


def test_a_day_without_session_or_bars_is_refused_in_one_line() -> None:
    """A holiday and a date without bars are told apart."""
    market = floor_of().market

    with pytest.raises(NoBars, match="2024-09-02 is no trading day"):
        Floor(market, session_date=DAY.replace(month=9, day=2))
    with pytest.raises(NoBars, match="no bars of QQQ, SPY on 2024-08-30"):
        Floor(market, session_date=DAY.replace(day=30))

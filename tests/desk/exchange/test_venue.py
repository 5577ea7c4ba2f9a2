"""The venue behind the desk's ports: the same floor in the desk's words."""

from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest

from desk.errors import NotFound, OutcomeUnknown, Rejected
from desk.exchange.market import FrameMarket
from desk.exchange.venue import Venue
from schemas.bars import RAW_SCHEMA
from schemas.orders import OrderIntent, OrderType, Purpose, Side, TimeInForce
from tests.desk.exchange.makers import CLOSE, DAY, NEXT_DAY, OPEN, PLAIN, at, flat, minutes_frame

D = Decimal


def venue() -> Venue:
    frames = {
        DAY: minutes_frame([flat(100.0)] * 390),
        NEXT_DAY: minutes_frame([flat(110.0)] * 390, start=OPEN + timedelta(days=1)),
    }
    return Venue(FrameMarket(frames), session_date=DAY, rules=PLAIN)


def intent(client_order_id: str = "mqd-1", *, side: Side = Side.BUY, limit: str | None = None) -> OrderIntent:
    return OrderIntent(
        client_order_id=client_order_id,
        correlation_id="x/SPY/1",
        strategy="x",
        symbol="SPY",
        side=side,
        qty=D(10),
        order_type=OrderType.MARKET if limit is None else OrderType.LIMIT,
        time_in_force=TimeInForce.DAY,
        limit_price=None if limit is None else D(limit),
        purpose=Purpose.ENTRY,
        reference_price=D(100),
        bar_ts=OPEN,
        session_date=DAY,
    )


def test_a_bar_is_public_one_second_after_its_minute() -> None:
    """The 13:30 minute is not there at 13:31:00.999999 and is there at 13:31:01."""
    place = venue()

    place.sleep_until(at(61) - timedelta(microseconds=1))
    before = place.bars(["SPY"], OPEN, CLOSE)
    place.sleep_until(at(61))
    after = place.bars(["SPY"], OPEN, CLOSE)

    assert (before.height, after["ts"].to_list()) == (0, [OPEN])
    assert list(after.schema) == list(RAW_SCHEMA)


def test_bars_of_an_earlier_session_stay_public() -> None:
    """The next morning the whole day before can be asked for, and none of today's future."""
    place = venue()

    place.sleep_until(OPEN + timedelta(days=1, minutes=3))

    assert place.bars(["SPY"], OPEN, CLOSE).height == 390
    assert place.bars(["SPY"], OPEN, CLOSE + timedelta(days=1)).height == 392
    assert place.bars(["QQQ"], OPEN, CLOSE).height == 0


def test_the_clock_knows_the_next_edges() -> None:
    """Before, in and after the session it names the next open and the next close."""
    place = venue()
    seen: list[tuple[bool, datetime, datetime]] = []

    for instant in (OPEN - timedelta(minutes=1), OPEN, CLOSE):
        place.sleep_until(instant)
        clock = place.clock()
        seen.append((clock.is_open, clock.next_open, clock.next_close))

    tomorrow = timedelta(days=1)
    assert seen == [
        (False, OPEN, CLOSE),
        (True, OPEN + tomorrow, CLOSE),
        (False, OPEN + tomorrow, CLOSE + tomorrow),
    ]


def test_the_calendar_includes_its_end() -> None:
    """Both ends are in, weekends are not: Friday to Monday is two sessions."""
    found = venue().calendar(date(2024, 8, 23), date(2024, 8, 26))

    assert [hours.session_date for hours in found] == [date(2024, 8, 23), date(2024, 8, 26)]


def test_an_order_and_its_fill_agree_in_every_view() -> None:
    """Order, open orders, fills, positions, account and stream tell one story."""
    place = venue()
    place.sleep_until(at(20))
    updates = place.updates()
    updates.start()

    sent = place.submit(intent())

    (fill,) = place.fills_since(OPEN)
    (position,) = place.positions()
    story = updates.drain()
    assert sent.status == "pending_new"
    assert place.order(sent.broker_order_id) == place.order_by_client_id("mqd-1")
    assert place.order(sent.broker_order_id).status == "filled"
    assert place.open_orders() == ()
    assert (fill.qty, fill.price, fill.cum_qty, fill.client_order_id) == (D(10), D("100.01"), D(10), None)
    assert (position.qty, position.avg_entry_price, position.current_price) == (D(10), D("100.01"), D(100))
    assert position.unrealized_pnl == D("-0.10")
    assert place.account().cash == D(100_000) - D("1000.10")
    assert [update.event for update in story] == ["pending_new", "new", "fill"]
    assert story[-1].fill == fill.model_copy(update={"client_order_id": "mqd-1"})
    assert updates.drain() == ()


def test_refusals_become_the_desks_errors() -> None:
    """A definite no keeps status, code and message; the unknown is not found."""
    place = venue()
    place.sleep_until(at(20))
    place.submit(intent())

    with pytest.raises(Rejected, match="sub-penny increment") as caught:
        place.submit(intent("mqd-2", limit="90.001"))
    with pytest.raises(NotFound):
        place.order("nobody")
    with pytest.raises(NotFound):
        place.order_by_client_id("nobody")
    with pytest.raises(NotFound):
        place.asset("NOPE")
    with pytest.raises(Rejected, match='already in "filled" state'):
        place.cancel(place.orders_since(OPEN)[0].broker_order_id)

    assert (caught.value.status, caught.value.code) == (422, "42210000")


def test_a_client_order_id_sent_twice_is_one_order() -> None:
    """The same intent again gives the order that exists; another intent under its id is unknown."""
    place = venue()
    place.sleep_until(at(20))
    first = place.submit(intent())

    again = place.submit(intent())
    with pytest.raises(
        OutcomeUnknown, match=r"has SPY buy 10 under this id \(filled\), we asked for SPY sell 10"
    ):
        place.submit(intent(side=Side.SELL))

    assert again.broker_order_id == first.broker_order_id
    assert len(place.fills_since(OPEN)) == 1


def test_cancel_all_says_how_many_and_leaves_none() -> None:
    """Two resting orders are asked, and orders_since still tells of them."""
    place = venue()
    place.sleep_until(at(20))
    place.submit(intent("a", limit="90"))
    place.submit(intent("b", limit="91"))

    assert place.cancel_all() == 2
    assert place.open_orders() == ()
    assert [order.status for order in place.orders_since(at(20))] == ["canceled", "canceled"]


def test_a_stream_stopped_hears_no_more() -> None:
    """Starting twice is one connection; after a stop nothing is kept; a new start is a new connection."""
    place = venue()
    place.sleep_until(at(20))
    updates = place.updates()
    updates.start()
    updates.start()
    updates.stop()
    place.submit(intent())

    assert (updates.connections(), updates.drain()) == (1, ())
    updates.start()
    assert updates.connections() == 2


def test_a_hand_at_the_broker_is_seen_in_the_positions() -> None:
    """A manual sale of 3 at 101 leaves a short the desk knows nothing of."""
    place = venue()

    done = place.trade_by_hand(symbol="SPY", side=Side.SELL, qty=D(3), price=D(101))

    assert (done.status, place.positions()[0].qty) == ("filled", D(-3))
    with pytest.raises(Rejected, match="qty must be > 0"):
        place.trade_by_hand(symbol="SPY", side=Side.SELL, qty=D(0))

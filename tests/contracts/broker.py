"""What every Broker, MarketData, Clock and TradeUpdates must do, said once.

A test module makes a subclass of `BrokerContract` with a fixture `venue` that gives a fresh venue on
`flat_market()` with 100,000 USD, five minutes before the open of `DAY`. Nothing here knows
whether it talks to an object or to a server.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from desk.errors import NotFound, Rejected
from desk.exchange.floor import Floor
from desk.exchange.market import FrameMarket
from desk.ports import Broker, Clock, MarketData, TradeUpdates
from schemas.bars import RAW_SCHEMA
from schemas.orders import (
    BrokerOrder,
    OrderClass,
    OrderIntent,
    OrderType,
    Purpose,
    Side,
    TimeInForce,
    TradeUpdate,
)

DAY = date(2025, 11, 26)
OPEN = datetime(2025, 11, 26, 14, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
MINUTES = 60
PRICES = {"AAPL": 100.0, "MSFT": 50.0}
VOLUME = 4000  # a print has a quarter, and one account may take a tenth of that: 100 shares
PER_PRINT = Decimal(100)
PATIENCE_S = 10.0


@dataclass(frozen=True)
class UnderTest:
    """One venue through the desk's ports, and a person's hand at the broker."""

    broker: Broker
    market: MarketData
    clock: Clock
    updates: TradeUpdates
    by_hand: Callable[[str, Side, Decimal], None]
    floor: Floor  # over HTTP it belongs to the server's thread: plain settings, and acts planned with `at`


def flat_market() -> FrameMarket:
    """Give an hour of one price and one volume per symbol; the minute at 5 is missing."""
    rows = [
        (symbol, OPEN + minute * MINUTE, price, price, price, price, VOLUME, price, 40)
        for symbol, price in PRICES.items()
        for minute in range(MINUTES)
        if minute != 5
    ]
    return FrameMarket({DAY: pl.DataFrame(rows, schema=RAW_SCHEMA, orient="row").sort("ts", "symbol")})


def order_of(number: int = 0, **changes: Any) -> OrderIntent:
    """Give an intent: a market buy of one AAPL unless told otherwise."""
    fields: dict[str, Any] = {
        "client_order_id": f"mqd-test-20251126-AAPL-1430-n{number}",
        "correlation_id": "test",
        "strategy": "test",
        "symbol": "AAPL",
        "side": Side.BUY,
        "qty": Decimal(1),
        "order_type": OrderType.MARKET,
        "time_in_force": TimeInForce.DAY,
        "purpose": Purpose.ENTRY,
        "reference_price": Decimal(100),
        "bar_ts": OPEN,
        "session_date": DAY,
    }
    return OrderIntent(**(fields | changes))


def resting(number: int = 0, **changes: Any) -> OrderIntent:
    """Give a buy far below the market."""
    return order_of(number, **({"order_type": OrderType.LIMIT, "limit_price": Decimal("90.01")} | changes))


def bracket(number: int = 0, **changes: Any) -> OrderIntent:
    """Give a buy with a take-profit at 110 and a stop at 90."""
    legs: dict[str, Any] = {
        "order_class": OrderClass.BRACKET,
        "take_profit_price": Decimal(110),
        "stop_loss_price": Decimal(90),
    }
    return order_of(number, **(legs | changes))


class BrokerContract:
    """The suite; subclasses give the fixture `venue`."""

    # --- clock ---

    def test_time_moves_only_by_sleeping(self, venue: UnderTest) -> None:
        """Time stands still until somebody sleeps, and then it is exactly the instant asked for."""
        started = venue.clock.now()
        venue.broker.account()
        assert venue.clock.now() == started

        venue.clock.sleep_until(OPEN)
        assert venue.clock.now() == OPEN == venue.broker.clock().now

    def test_sleeping_until_the_past_returns_at_once(self, venue: UnderTest) -> None:
        """A past instant moves nothing."""
        venue.clock.sleep_until(OPEN)
        venue.clock.sleep_until(OPEN - MINUTE)

        assert venue.clock.now() == OPEN

    def test_the_brokers_clock_knows_the_session(self, venue: UnderTest) -> None:
        """Open from the opening instant on; before it the next open is today's."""
        before = venue.broker.clock()
        assert (before.is_open, before.next_open) == (False, OPEN)

        venue.clock.sleep_until(OPEN)
        opened = venue.broker.clock()
        assert (opened.is_open, opened.next_close) == (True, OPEN + timedelta(hours=6, minutes=30))

    def test_the_calendar_knows_holidays_and_early_closes(self, venue: UnderTest) -> None:
        """Both ends are included, Thanksgiving is not a session, and the day after closes at 13:00."""
        days = venue.broker.calendar(DAY, date(2025, 11, 28))

        assert [(d.session_date.day, d.opens_at.hour, d.closes_at.hour, d.early_close) for d in days] == [
            (26, 14, 21, False),
            (28, 14, 18, True),
        ]

    # --- account and assets ---

    def test_a_fresh_account_is_cash(self, venue: UnderTest) -> None:
        """Equity equals cash, and nothing is held, ordered or filled."""
        account = venue.broker.account()

        assert account.cash == account.equity == Decimal(100_000)
        assert venue.broker.positions() == ()
        assert venue.broker.open_orders() == ()
        assert venue.broker.orders_since(OPEN - timedelta(days=1)) == ()
        assert venue.broker.fills_since(OPEN - timedelta(days=1)) == ()

    def test_assets_are_known_or_not_found(self, venue: UnderTest) -> None:
        """A listed symbol has its properties; another is NotFound."""
        assert venue.broker.asset("AAPL").tradable

        with pytest.raises(NotFound):
            venue.broker.asset("NOPE")

    @pytest.mark.parametrize("more", [(), tuple(f"NOPE{number}" for number in range(6))], ids=["few", "many"])
    def test_many_assets_are_known_or_absent(self, venue: UnderTest, more: tuple[str, ...]) -> None:
        """Asked together, listed symbols are there and others are left out."""
        found = venue.broker.assets(["AAPL", "MSFT", "NOPE", *more])

        assert sorted(found) == ["AAPL", "MSFT"]
        assert found["AAPL"] == venue.broker.asset("AAPL")

    # --- submit ---

    def test_a_submitted_order_is_acknowledged_and_found(self, venue: UnderTest) -> None:
        """The answer is about our order, exactly as sent, and both ids find it again."""
        venue.clock.sleep_until(OPEN + MINUTE)
        intent = resting(qty=Decimal("7"), limit_price=Decimal("90.10"))

        order = venue.broker.submit(intent)

        assert (order.client_order_id, order.symbol, order.side) == (intent.client_order_id, "AAPL", Side.BUY)
        assert (order.qty, order.limit_price, order.filled_qty) == (Decimal(7), Decimal("90.1"), Decimal(0))
        assert (order.order_type, order.time_in_force) == ("limit", "day")
        assert order.submitted_at >= OPEN + MINUTE
        assert venue.broker.order(order.broker_order_id).client_order_id == intent.client_order_id
        assert (
            venue.broker.order_by_client_id(intent.client_order_id).broker_order_id == order.broker_order_id
        )

    def test_a_fraction_of_a_share_is_exact(self, venue: UnderTest) -> None:
        """Nine decimals survive the way there and back."""
        venue.clock.sleep_until(OPEN + MINUTE)
        order = venue.broker.submit(order_of(qty=Decimal("0.123456789")))
        venue.clock.sleep_until(OPEN + 3 * MINUTE)

        assert order.qty == Decimal("0.123456789")
        assert [fill.qty for fill in venue.broker.fills_since(OPEN)] == [Decimal("0.123456789")]

    def test_the_same_client_id_twice_is_one_order(self, venue: UnderTest) -> None:
        """Submitting again gives the order that exists, working or filled, and makes no second (I2)."""
        venue.clock.sleep_until(OPEN + MINUTE)
        first = venue.broker.submit(order_of())
        again = venue.broker.submit(order_of())
        venue.clock.sleep_until(OPEN + 3 * MINUTE)
        later = venue.broker.submit(order_of())

        assert first.broker_order_id == again.broker_order_id == later.broker_order_id
        assert later.status == "filled"
        assert len(venue.broker.orders_since(OPEN)) == 1
        assert [position.qty for position in venue.broker.positions()] == [Decimal(1)]

    @pytest.mark.parametrize(
        "changes",
        [
            {"symbol": "NOPE"},
            {"qty": Decimal(100_000)},
            {"order_type": OrderType.LIMIT, "limit_price": Decimal("90.001")},
        ],
        ids=["symbol", "buying power", "tick"],
    )
    def test_a_refused_order_leaves_nothing(self, venue: UnderTest, changes: dict[str, Any]) -> None:
        """A refusal has code and status, and the client order id is neither used up nor found."""
        venue.clock.sleep_until(OPEN + MINUTE)
        with pytest.raises(Rejected) as caught:
            venue.broker.submit(order_of(**changes))

        assert caught.value.status in (403, 422)
        assert caught.value.code != ""
        with pytest.raises(NotFound):
            venue.broker.order_by_client_id(order_of().client_order_id)
        assert venue.broker.orders_since(OPEN) == ()
        assert venue.broker.submit(order_of()).client_order_id == order_of().client_order_id

    def test_unknown_orders_are_not_found(self, venue: UnderTest) -> None:
        """Both look-ups say NotFound."""
        with pytest.raises(NotFound):
            venue.broker.order("61e69015-8549-4bfd-b9c3-01e75843f47d")
        with pytest.raises(NotFound):
            venue.broker.order_by_client_id("mqd-never-sent")

    # --- cancel ---

    def test_a_canceled_order_is_no_longer_open(self, venue: UnderTest) -> None:
        """After a cancel the order ends as canceled; canceling it again is harmless."""
        venue.clock.sleep_until(OPEN + MINUTE)
        order = venue.broker.submit(resting())

        venue.broker.cancel(order.broker_order_id)
        venue.broker.cancel(order.broker_order_id)

        assert venue.broker.order(order.broker_order_id).status == "canceled"
        assert venue.broker.open_orders() == ()

    def test_what_cannot_be_canceled_is_rejected(self, venue: UnderTest) -> None:
        """A filled order and an unknown one are definite refusals."""
        venue.clock.sleep_until(OPEN + MINUTE)
        order = venue.broker.submit(order_of())
        venue.clock.sleep_until(OPEN + 3 * MINUTE)

        with pytest.raises(Rejected):
            venue.broker.cancel(order.broker_order_id)
        with pytest.raises(Rejected):
            venue.broker.cancel("61e69015-8549-4bfd-b9c3-01e75843f47d")

    def test_cancel_all_asks_for_every_open_order(self, venue: UnderTest) -> None:
        """It gives how many were asked, zero when none is open."""
        venue.clock.sleep_until(OPEN + MINUTE)
        for number in range(3):
            venue.broker.submit(resting(number))

        assert venue.broker.cancel_all() == 3
        assert venue.broker.open_orders() == ()
        assert venue.broker.cancel_all() == 0

    def test_a_cancel_may_be_under_way(self, venue: UnderTest) -> None:
        """While the venue takes five minutes the order is pending_cancel and open; then it is canceled."""
        venue.clock.sleep_until(OPEN + MINUTE)
        order = venue.broker.submit(resting())
        venue.floor.cancel_takes = 5 * MINUTE

        venue.broker.cancel(order.broker_order_id)
        venue.broker.cancel(order.broker_order_id)
        (pending,) = venue.broker.open_orders()
        venue.clock.sleep_until(OPEN + 6 * MINUTE)

        assert pending.status == "pending_cancel"
        assert venue.broker.order(order.broker_order_id).status == "canceled"
        assert venue.broker.open_orders() == ()

    def test_a_fill_may_win_over_a_cancel(self, venue: UnderTest) -> None:
        """Asked to cancel in time and filled first, the order is filled, and a cancel is refused then."""
        venue.floor.cancel_takes = 5 * MINUTE
        venue.clock.sleep_until(OPEN + 5 * MINUTE)
        order = venue.broker.submit(order_of())
        venue.broker.cancel(order.broker_order_id)
        venue.clock.sleep_until(OPEN + 7 * MINUTE)

        assert venue.broker.order(order.broker_order_id).status == "filled"
        with pytest.raises(Rejected):
            venue.broker.cancel(order.broker_order_id)

    # --- replace ---

    def test_a_replacement_takes_the_place_of_the_old_order(self, venue: UnderTest) -> None:
        """It has the intent's id and terms and an id of its own; each names the other, and one is open."""
        venue.clock.sleep_until(OPEN + MINUTE)
        old = venue.broker.submit(resting())

        new = venue.broker.replace(old.broker_order_id, resting(1, limit_price=Decimal("90.50")))

        was, now = (venue.broker.order(o.broker_order_id) for o in (old, new))
        assert (was.status, was.replaced_by) == ("replaced", new.broker_order_id)
        assert (now.status, now.replaces, now.limit_price) == ("new", old.broker_order_id, Decimal("90.50"))
        assert now.client_order_id == new.client_order_id == resting(1).client_order_id
        assert _ids(venue.broker.open_orders()) == [new.client_order_id]
        assert venue.broker.order_by_client_id(old.client_order_id).status == "replaced"

    def test_a_replacements_quantity_is_its_own(self, venue: UnderTest) -> None:
        """An order filled 100 of 150 and replaced by one of 120 buys 220 in all."""
        venue.clock.sleep_until(OPEN + MINUTE)
        changes: dict[str, Any] = {"order_type": OrderType.LIMIT, "limit_price": Decimal("100.02")}
        old = venue.broker.submit(order_of(qty=Decimal(150), **changes))
        assert venue.broker.order(old.broker_order_id).filled_qty == PER_PRINT

        new = venue.broker.replace(old.broker_order_id, order_of(1, qty=Decimal(120), **changes))
        venue.clock.sleep_until(OPEN + 2 * MINUTE)

        assert venue.broker.order(new.broker_order_id).filled_qty == Decimal(120)
        assert venue.broker.order(old.broker_order_id).filled_qty == PER_PRINT
        (position,) = venue.broker.positions()
        assert position.qty == PER_PRINT + Decimal(120)

    def test_what_cannot_be_replaced_is_rejected(self, venue: UnderTest) -> None:
        """Filled, unknown, unchanged and below what was executed: definite refusals that change nothing."""
        venue.clock.sleep_until(OPEN + MINUTE)
        filled = venue.broker.submit(order_of())
        rests = venue.broker.submit(resting(1))
        venue.clock.sleep_until(OPEN + 2 * MINUTE)

        for broker_id, intent in (
            (filled.broker_order_id, resting(2)),
            ("61e69015-8549-4bfd-b9c3-01e75843f47d", resting(2)),
            (rests.broker_order_id, resting(2)),
        ):
            with pytest.raises(Rejected):
                venue.broker.replace(broker_id, intent)
        assert venue.broker.order(rests.broker_order_id).status == "new"
        with pytest.raises(NotFound):
            venue.broker.order_by_client_id(resting(2).client_order_id)

    def test_a_replacement_may_be_under_way_and_lose(self, venue: UnderTest) -> None:
        """The old order fills before its replacement arrives: one is filled, the other rejected."""
        venue.floor.replace_takes = 2 * MINUTE
        venue.clock.sleep_until(OPEN + 5 * MINUTE)
        changes: dict[str, Any] = {"order_type": OrderType.LIMIT, "limit_price": Decimal("100.02")}
        old = venue.broker.submit(order_of(**changes))
        assert venue.broker.order(old.broker_order_id).status == "new"

        new = venue.broker.replace(old.broker_order_id, order_of(1, qty=Decimal(2), **changes))
        pending = venue.broker.order(old.broker_order_id).status
        with pytest.raises(Rejected):
            venue.broker.cancel(old.broker_order_id)
        venue.clock.sleep_until(OPEN + 8 * MINUTE)

        assert pending == "pending_replace"
        assert venue.broker.order(old.broker_order_id).status == "filled"
        assert venue.broker.order(new.broker_order_id).status == "rejected"
        assert [position.qty for position in venue.broker.positions()] == [Decimal(1)]

    # --- classes of orders ---

    def test_a_bracket_answers_with_its_legs(self, venue: UnderTest) -> None:
        """Both legs have ids of their own, close the position, and open when the entry is filled."""
        venue.clock.sleep_until(OPEN + MINUTE)
        entry = venue.broker.submit(bracket())
        profit, stop = entry.legs
        venue.clock.sleep_until(OPEN + 2 * MINUTE)

        assert (entry.order_class, profit.side, stop.side) == ("bracket", Side.SELL, Side.SELL)
        assert (profit.limit_price, stop.stop_price) == (Decimal(110), Decimal(90))
        assert len({o.broker_order_id for o in (entry, profit, stop)}) == 3
        assert len({o.client_order_id for o in (entry, profit, stop)}) == 3
        assert venue.broker.order(entry.broker_order_id).status == "filled"
        assert venue.broker.order(profit.broker_order_id).status == "new"
        assert venue.broker.order(stop.broker_order_id).status == "held"
        legs = {leg.broker_order_id for leg in (profit, stop)}
        assert {order.broker_order_id for order in venue.broker.open_orders()} == legs

    def test_canceling_an_entry_cancels_its_legs(self, venue: UnderTest) -> None:
        """Nothing of the bracket is open afterwards."""
        venue.clock.sleep_until(OPEN + MINUTE)
        entry = venue.broker.submit(bracket(order_type=OrderType.LIMIT, limit_price=Decimal(95)))

        venue.broker.cancel(entry.broker_order_id)

        assert venue.broker.open_orders() == ()
        assert {venue.broker.order(leg.broker_order_id).status for leg in entry.legs} == {"canceled"}

    def test_an_oco_is_a_take_profit_with_a_stop(self, venue: UnderTest) -> None:
        """One leg, the stop; the shares are held once, and canceling one ends both."""
        venue.clock.sleep_until(OPEN + MINUTE)
        venue.broker.submit(order_of())
        exits = venue.broker.submit(
            order_of(
                1,
                side=Side.SELL,
                order_type=OrderType.LIMIT,
                purpose=Purpose.EXIT,
                order_class=OrderClass.OCO,
                take_profit_price=Decimal(110),
                stop_loss_price=Decimal(90),
                stop_loss_limit_price=Decimal(89),
            )
        )
        (stop,) = exits.legs

        venue.broker.cancel(stop.broker_order_id)

        assert (exits.limit_price, stop.stop_price, stop.limit_price) == (
            Decimal(110),
            Decimal(90),
            Decimal(89),
        )
        assert stop.order_type == "stop_limit"
        assert venue.broker.order(exits.broker_order_id).status == "canceled"
        assert venue.broker.open_orders() == ()

    @pytest.mark.parametrize("trail", [{"trail_price": Decimal(2)}, {"trail_percent": Decimal("1.5")}])
    def test_a_trailing_stop_keeps_its_trail(self, venue: UnderTest, trail: dict[str, Any]) -> None:
        """Its stop stands the trail behind the best price, and the trail can be replaced."""
        venue.clock.sleep_until(OPEN + MINUTE)
        venue.broker.submit(order_of())
        exits: dict[str, Any] = {
            "side": Side.SELL,
            "order_type": OrderType.TRAILING_STOP,
            "purpose": Purpose.EXIT,
        }
        order = venue.broker.submit(order_of(1, **exits, **trail))
        now = venue.broker.order(order.broker_order_id)
        wider = {name: amount + 1 for name, amount in trail.items()}

        new = venue.broker.replace(order.broker_order_id, order_of(2, **exits, **wider))

        after = venue.broker.order(new.broker_order_id)
        away = next(iter(trail.values()))
        assert (now.trail_price, now.trail_percent) == (trail.get("trail_price"), trail.get("trail_percent"))
        assert (now.stop_price, after.stop_price) == (Decimal(100) - away, Decimal(99) - away)

    def test_nothing_fills_while_a_symbol_is_halted(self, venue: UnderTest) -> None:
        """A new order stays accepted until trading goes on, and then fills at the next print."""
        venue.floor.at(OPEN + MINUTE, lambda: venue.floor.halt("AAPL"))
        venue.floor.at(OPEN + 3 * MINUTE, lambda: venue.floor.unhalt("AAPL"))
        venue.clock.sleep_until(OPEN + MINUTE)
        order = venue.broker.submit(order_of())
        venue.clock.sleep_until(OPEN + 2 * MINUTE)
        halted = venue.broker.order(order.broker_order_id)
        venue.clock.sleep_until(OPEN + 4 * MINUTE)

        assert (halted.status, halted.filled_qty) == ("accepted", Decimal(0))
        assert venue.broker.order(order.broker_order_id).status == "filled"

    # --- fills and positions ---

    def test_partial_fills_add_up(self, venue: UnderTest) -> None:
        """An order larger than a print fills in parts; quantities, position and cash agree at each step."""
        venue.clock.sleep_until(OPEN + MINUTE)
        order = venue.broker.submit(order_of(qty=Decimal(250)))
        seen = venue.broker.order(order.broker_order_id)
        assert (seen.status, seen.filled_qty) == ("partially_filled", PER_PRINT)

        venue.clock.sleep_until(OPEN + 2 * MINUTE)
        done = venue.broker.order(order.broker_order_id)
        fills = venue.broker.fills_since(OPEN)

        assert (done.status, done.filled_qty) == ("filled", Decimal(250))
        assert [(fill.qty, fill.cum_qty) for fill in fills] == [
            (Decimal(100), Decimal(100)),
            (Decimal(100), Decimal(200)),
            (Decimal(50), Decimal(250)),
        ]
        assert {fill.broker_order_id for fill in fills} == {order.broker_order_id}
        assert len({fill.execution_id for fill in fills}) == 3
        (position,) = venue.broker.positions()
        assert (position.symbol, position.qty) == ("AAPL", Decimal(250))
        paid = sum(fill.qty * fill.price for fill in fills)
        assert venue.broker.account().cash == Decimal(100_000) - paid

    def test_a_short_position_is_negative(self, venue: UnderTest) -> None:
        """Orders and fills have a side and a positive qty, positions a sign."""
        venue.clock.sleep_until(OPEN + MINUTE)
        venue.broker.submit(order_of(side=Side.SELL, qty=Decimal(3)))
        venue.clock.sleep_until(OPEN + 2 * MINUTE)

        (fill,) = venue.broker.fills_since(OPEN)
        (position,) = venue.broker.positions()
        assert (fill.side, fill.qty) == (Side.SELL, Decimal(3))
        assert position.qty == Decimal(-3)
        assert position.avg_entry_price == fill.price

    def test_a_hand_at_the_broker_is_seen(self, venue: UnderTest) -> None:
        """What a person trades there is in positions, fills and orders, under a client id not ours (F4)."""
        venue.clock.sleep_until(OPEN + MINUTE)
        venue.by_hand("MSFT", Side.BUY, Decimal(5))

        (position,) = venue.broker.positions()
        (fill,) = venue.broker.fills_since(OPEN)
        (order,) = venue.broker.orders_since(OPEN)
        assert (position.symbol, position.qty) == ("MSFT", Decimal(5))
        assert fill.broker_order_id == order.broker_order_id
        assert not order.client_order_id.startswith("mqd-")

    # --- lists are complete ---

    def test_fills_come_complete_oldest_first(self, venue: UnderTest) -> None:
        """More fills than a page come once each, in order; the instant given is included."""
        venue.clock.sleep_until(OPEN + MINUTE)
        for number in range(90):
            venue.broker.submit(order_of(number))
        venue.clock.sleep_until(OPEN + 2 * MINUTE)
        for number in range(90, 180):
            venue.broker.submit(order_of(number))

        fills = venue.broker.fills_since(OPEN)
        assert len({fill.execution_id for fill in fills}) == len(fills) == 180
        assert [fill.filled_at for fill in fills] == sorted(fill.filled_at for fill in fills)
        middle = fills[120]
        assert venue.broker.fills_since(middle.filled_at)[0].execution_id == middle.execution_id
        assert len(venue.broker.fills_since(middle.filled_at)) == 60

    def test_orders_come_complete_beyond_a_page(self, venue: UnderTest) -> None:
        """620 orders, some canceled, come once each, oldest first; the instant given is included."""
        venue.clock.sleep_until(OPEN + MINUTE)
        sent = [venue.broker.submit(resting(number)) for number in range(620)]
        for order in sent[:10]:
            venue.broker.cancel(order.broker_order_id)

        assert _ids(venue.broker.orders_since(OPEN)) == _ids(sent)
        assert _ids(venue.broker.open_orders()) == _ids(sent[10:])
        assert _ids(venue.broker.orders_since(sent[300].submitted_at)) == _ids(sent[300:])

    # --- bars ---

    def test_bars_are_half_open(self, venue: UnderTest) -> None:
        """The start is included, the end is not, and a missing minute has no row."""
        venue.clock.sleep_until(OPEN + 30 * MINUTE)

        frame = venue.market.bars(["AAPL"], OPEN + 3 * MINUTE, OPEN + 7 * MINUTE)

        assert frame.schema == pl.Schema(RAW_SCHEMA)
        assert [(ts - OPEN) // MINUTE for ts in sorted(frame["ts"].to_list())] == [3, 4, 6]

    def test_bars_of_several_symbols_come_together(self, venue: UnderTest) -> None:
        """Every symbol asked for and no other; a symbol without bars has no row."""
        venue.clock.sleep_until(OPEN + 3 * MINUTE)

        both = venue.market.bars(["AAPL", "MSFT", "NOPE"], OPEN, OPEN + 2 * MINUTE)
        one = venue.market.bars(["MSFT"], OPEN, OPEN + 2 * MINUTE)

        assert sorted(both["symbol"].to_list()) == ["AAPL", "AAPL", "MSFT", "MSFT"]
        assert one["close"].to_list() == [50.0, 50.0]

    def test_a_bar_is_not_seen_before_its_minute_is_over(self, venue: UnderTest) -> None:
        """In the middle of a minute its bar does not exist; two seconds after its end it does (I10)."""
        venue.clock.sleep_until(OPEN + MINUTE + timedelta(seconds=30))
        assert venue.market.bars(["AAPL"], OPEN, OPEN + 10 * MINUTE)["ts"].to_list() == [OPEN]

        venue.clock.sleep_until(OPEN + 2 * MINUTE + timedelta(seconds=2))
        seen = venue.market.bars(["AAPL"], OPEN, OPEN + 10 * MINUTE)["ts"].to_list()
        assert sorted(seen) == [OPEN, OPEN + MINUTE]

    def test_bars_of_nothing_are_an_empty_frame(self, venue: UnderTest) -> None:
        """An interval without bars gives the columns and no rows."""
        frame = venue.market.bars(["AAPL"], OPEN, OPEN + MINUTE)

        assert (frame.height, frame.schema) == (0, pl.Schema(RAW_SCHEMA))
        assert venue.market.provider != ""
        assert venue.market.feed in ("iex", "sip")

    # --- the user stream ---

    def test_updates_tell_the_same_executions_as_the_list(self, venue: UnderTest) -> None:
        """Stream and list name one execution alike, so that a fold by execution id counts it once (I3)."""
        venue.updates.start()
        wait_until(lambda: venue.updates.connections() > 0)
        venue.clock.sleep_until(OPEN + MINUTE)
        venue.broker.submit(order_of(qty=Decimal(250)))
        venue.clock.sleep_until(OPEN + 2 * MINUTE)

        told = _drained(venue.updates, lambda got: got[-1].event == "fill")

        listed = venue.broker.fills_since(OPEN)
        heard = [update.fill for update in told if update.fill is not None]
        assert [fill.execution_id for fill in heard] == [fill.execution_id for fill in listed]
        assert [(f.qty, f.price, f.cum_qty) for f in heard] == [(f.qty, f.price, f.cum_qty) for f in listed]
        assert [f.filled_at for f in heard] == [f.filled_at for f in listed]
        assert [update.event for update in told][-3:] == ["partial_fill", "partial_fill", "fill"]
        assert {update.order.client_order_id for update in told} == {order_of().client_order_id}

    def test_updates_tell_of_a_cancel(self, venue: UnderTest) -> None:
        """A cancel arrives as an event of the order without a fill, and stop ends the stream."""
        venue.updates.start()
        wait_until(lambda: venue.updates.connections() > 0)
        venue.clock.sleep_until(OPEN + MINUTE)
        venue.broker.cancel(venue.broker.submit(resting()).broker_order_id)

        told = _drained(venue.updates, lambda got: got[-1].event == "canceled")
        venue.updates.stop()

        assert told[-1].fill is None
        assert told[-1].order.status == "canceled"


def wait_until(true: Callable[[], bool]) -> None:
    """Wait, with patience, for what another thread brings about; in process it is true at once."""
    deadline = time.monotonic() + PATIENCE_S
    pause = threading.Event()
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        pause.wait(0.005)


def _drained(updates: TradeUpdates, enough: Callable[[list[TradeUpdate]], bool]) -> list[TradeUpdate]:
    got: list[TradeUpdate] = []

    def arrived() -> bool:
        got.extend(updates.drain())
        return len(got) > 0 and enough(got)

    wait_until(arrived)
    return got


def _ids(orders: "tuple[BrokerOrder, ...] | list[BrokerOrder]") -> list[str]:
    return [order.client_order_id for order in orders]

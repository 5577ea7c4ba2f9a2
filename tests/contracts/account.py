"""What every broker says of its clock, its account, what was executed and what is held."""

from datetime import date, timedelta
from decimal import Decimal

import pytest

from desk.errors import NotFound
from schemas.orders import Side
from tests.contracts.venue import DAY, MINUTE, OPEN, PER_PRINT, UnderTest, ids_of, order_of, resting


class AccountContract:
    """Clock, account, executions and positions; a part of `BrokerContract`."""

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

        assert ids_of(venue.broker.orders_since(OPEN)) == ids_of(sent)
        assert ids_of(venue.broker.open_orders()) == ids_of(sent[10:])
        assert ids_of(venue.broker.orders_since(sent[300].submitted_at)) == ids_of(sent[300:])

"""What every source of bars and every user stream tells."""

from datetime import timedelta
from decimal import Decimal

import polars as pl

from schemas.bars import RAW_SCHEMA
from tests.contracts.venue import MINUTE, OPEN, UnderTest, drained, order_of, resting, wait_until


class FeedContract:
    """Bars and trade updates; a part of `BrokerContract`."""

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

        told = drained(venue.updates, lambda got: got[-1].event == "fill")

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

        told = drained(venue.updates, lambda got: got[-1].event == "canceled")
        venue.updates.stop()

        assert told[-1].fill is None
        assert told[-1].order.status == "canceled"

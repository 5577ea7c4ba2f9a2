"""Bars from trades by the tape's rules: who sets the range, who the close, who only the volume."""

from datetime import UTC, datetime, timedelta

import pytest

from desk.bar_builder import BarBuilder
from schemas.market_stream import StreamBar, StreamCancel, StreamCorrection, StreamTrade

TEN = datetime(2025, 11, 26, 15, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def trade(second: float, price: float, size: int = 100, *codes: str, number: int = 0) -> StreamTrade:
    at = TEN + timedelta(seconds=second)
    return StreamTrade("AAPL", at, number or int(second * 1000) + 1, "Q", price, size, ("@", *codes), "C")


def hearing(*trades: StreamTrade, since: datetime = TEN) -> BarBuilder:
    builder = BarBuilder()
    builder.began(since)
    for one in trades:
        builder.take(one)
    return builder


def bar_of(builder: BarBuilder) -> StreamBar:
    bar = builder.bar("AAPL", TEN)
    assert bar is not None
    return bar


def test_a_bar_has_the_trades_first_highest_lowest_and_last() -> None:
    """Open, high, low, close, volume, vwap and count follow from the trades, in order of their time."""
    builder = hearing(trade(50, 12.0, 100), trade(1, 10.0, 300), trade(20, 14.0, 100), trade(30, 9.0, 500))

    bar = bar_of(builder)

    assert (bar.open, bar.high, bar.low, bar.close) == (10.0, 14.0, 9.0, 12.0)
    assert (bar.volume, bar.trade_count) == (1000, 4)
    assert bar.vwap == pytest.approx((3000 + 1400 + 4500 + 1200) / 1000)
    assert bar.ts == TEN


@pytest.mark.parametrize("code", ["I", "C", "H", "N", "R", "V", "W", "7", "U"])
def test_volume_only_conditions_move_no_price(code: str) -> None:
    """An odd lot, a cash sale, an average price and their like add shares and nothing else."""
    bar = bar_of(hearing(trade(1, 10.0), trade(2, 99.0, 50, code)))

    assert (bar.high, bar.close, bar.volume, bar.vwap) == (10.0, 10.0, 150, 10.0)


@pytest.mark.parametrize("code", ["G", "P", "Z", "4"])
def test_out_of_sequence_prices_set_the_range_and_not_the_close(code: str) -> None:
    """A sold or derived price may be the high and is not the last."""
    bar = bar_of(hearing(trade(1, 10.0), trade(2, 11.0, 100, code)))

    assert (bar.high, bar.close) == (11.0, 10.0)


@pytest.mark.parametrize("code", ["M", "Q"])
def test_official_prices_count_for_nothing(code: str) -> None:
    """The market center's official open and close repeat what was printed."""
    bar = bar_of(hearing(trade(1, 10.0), trade(2, 99.0, 5_000, code)))

    assert (bar.high, bar.close, bar.volume, bar.trade_count) == (10.0, 10.0, 100, 1)


def test_a_minute_of_odd_lots_has_no_bar() -> None:
    """Where no trade may set a price there is no bar, as at Alpaca."""
    assert hearing(trade(1, 10.0, 5, "I"), trade(2, 11.0, 7, "I")).bar("AAPL", TEN) is None
    assert hearing().bar("AAPL", TEN) is None


def test_a_minute_not_heard_from_its_start_is_not_built() -> None:
    """After a reconnection within the minute, its earlier trades may be missing."""
    builder = hearing(trade(40, 10.0), since=TEN + timedelta(seconds=30))

    assert builder.bar("AAPL", TEN) is None


def test_a_trade_heard_twice_counts_once() -> None:
    """Trades are known by their id."""
    assert bar_of(hearing(trade(1, 10.0, number=7), trade(1, 10.0, number=7))).volume == 100


def test_cancelled_and_corrected_trades_are_heeded() -> None:
    """A void trade is gone; a corrected one has its right price and size at its own time."""
    builder = hearing(trade(1, 10.0, number=1), trade(2, 50.0, number=2), trade(3, 11.0, number=3))

    builder.take(StreamCancel("AAPL", TEN + timedelta(seconds=9), 2, "Q", 50.0, 100, "C", "C"))
    builder.take(
        StreamCorrection(
            "AAPL", TEN + timedelta(seconds=9), "Q", 1, 10.0, 100, ("@",), 4, 10.5, 200, ("@",), "C"
        )
    )
    builder.take(StreamCancel("AAPL", TEN, 99, "Q", 1.0, 1, "E", "C"))

    bar = bar_of(builder)
    assert (bar.open, bar.high, bar.low, bar.close, bar.volume) == (10.5, 11.0, 10.5, 11.0, 300)


def test_old_minutes_are_forgotten() -> None:
    """A day of trades keeps the last minutes."""
    builder = hearing()
    for number in range(60):
        builder.take(trade(60.0 * number, 10.0, number=number + 1))

    assert builder.bar("AAPL", TEN) is None
    assert builder.bar("AAPL", TEN + 59 * MINUTE) is not None

"""Known answers of the report's numbers, worked out by hand."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desk import metrics
from desk.metrics import Trade
from desk.positions import Position
from schemas.orders import Side

D = Decimal


def trade(side: Side, qty: str, price: str, *, fee: str = "0", symbol: str = "AAPL") -> Trade:
    """Make an execution of the strategy "sma"."""
    return Trade(strategy="sma", symbol=symbol, side=side, qty=D(qty), price=D(price), fee=D(fee))


def test_drawdowns_are_measured_from_the_highest_equity_so_far() -> None:
    """A new high ends a drawdown; what follows falls from it."""
    assert metrics.drawdowns([D(100), D(110), D(99), D(120), D(114)]) == (D(0), D(0), D(-11), D(0), D(-6))


def test_max_drawdown_in_usd_and_as_a_fraction_may_be_at_different_points() -> None:
    """20 of 100 is the deeper share, 30 of 200 the deeper amount."""
    equity = [D(100), D(80), D(200), D(170)]

    assert metrics.max_drawdown_usd(equity) == D(30)
    assert metrics.max_drawdown_frac(equity) == D("0.2")


def test_an_empty_curve_has_no_drawdown_and_a_rising_one_has_zero() -> None:
    """Nothing known is None, nothing lost is zero."""
    assert metrics.max_drawdown_usd([]) is None
    assert metrics.max_drawdown_frac([]) is None
    assert metrics.max_drawdown_usd([D(1), D(2)]) == 0
    assert metrics.max_drawdown_frac([D(1), D(2)]) == 0


@pytest.mark.parametrize(
    ("side", "price", "bps"),
    [
        (Side.BUY, "100.10", "10"),
        (Side.BUY, "99.90", "-10"),
        (Side.SELL, "99.90", "10"),
        (Side.SELL, "100.10", "-10"),
    ],
)
def test_slippage_is_positive_when_it_costs(side: Side, price: str, bps: str) -> None:
    """Paying more or getting less than the reference is positive, whichever side."""
    reference = D(100)

    assert metrics.slippage_bps(side=side, price=D(price), reference_price=reference) == D(bps)
    cost = metrics.slippage_usd(side=side, qty=D(50), price=D(price), reference_price=reference)
    assert cost == D(bps) / 2


def test_slippage_against_a_reference_that_is_not_positive_is_refused() -> None:
    """A price of zero is a defect upstream, not an infinite cost."""
    with pytest.raises(ValueError, match="reference price 0"):
        metrics.slippage_bps(side=Side.BUY, price=D(1), reference_price=D(0))


def test_slippage_of_many_fills_is_weighted_by_notional() -> None:
    """9 USD on 9,000 and 0 on 1,000 are 9 bps, not the mean of 10 and 0."""
    assert metrics.weighted_slippage_bps([(D(9), D(9_000)), (D(0), D(1_000))]) == D(9)
    assert metrics.weighted_slippage_bps([]) is None


def test_win_rate_and_profit_factor_are_unknown_without_trades() -> None:
    """No round trip has no rate; no loss has no finite factor."""
    assert metrics.win_rate_frac(wins=0, round_trips=0) is None
    assert metrics.win_rate_frac(wins=1, round_trips=4) == D("0.25")
    assert metrics.profit_factor([D(5)]) is None
    assert metrics.profit_factor([D(6), D(-2), D(-1)]) == D(2)


def test_a_round_trip_ends_when_flat_and_pays_all_its_fees() -> None:
    """Bought twice, sold in two parts: one trip, 10*(13-11) + 10*(12-11) - fees."""
    (line,) = metrics.attribute_pnl(
        [
            trade(Side.BUY, "10", "10", fee="0.10"),
            trade(Side.BUY, "10", "12", fee="0.10"),
            trade(Side.SELL, "10", "13", fee="0.10"),
            trade(Side.SELL, "10", "12", fee="0.10"),
        ]
    )

    assert line.position == Position(qty=D(0), avg_price=D(0), realized_pnl=D(30), fees=D("0.40"))
    assert line.results == (D("29.60"),)
    assert line.wins == 1
    assert (line.qty_bought, line.qty_sold, line.notional) == (D(20), D(20), D(470))


def test_going_through_zero_ends_one_round_trip_and_begins_another() -> None:
    """Long 10 at 10, sell 15 at 9: the long lost 10; the short of 5 covered at 8 wins 5."""
    (line,) = metrics.attribute_pnl(
        [trade(Side.BUY, "10", "10"), trade(Side.SELL, "15", "9"), trade(Side.BUY, "5", "8")]
    )

    assert line.results == (D(-10), D(5))
    assert line.position.realized_pnl == D(-5)


def test_a_trip_that_only_earns_its_fees_does_not_win() -> None:
    """Gross 1.00 with 1.00 of fees is no win."""
    (line,) = metrics.attribute_pnl(
        [trade(Side.BUY, "1", "10", fee="0.50"), trade(Side.SELL, "1", "11", fee="0.50")]
    )

    assert line.results == (D(0),)
    assert line.wins == 0


def test_a_carried_position_keeps_its_price_and_loses_its_history() -> None:
    """Yesterday's realized P&L and fees are not today's; yesterday's average price is."""
    closed = [trade(Side.BUY, "1", "5", symbol="X"), trade(Side.SELL, "1", "6", symbol="X")]
    held = [trade(Side.BUY, "10", "10", fee="1"), trade(Side.SELL, "4", "12")]
    yesterday = metrics.attribute_pnl([*closed, *held])

    (line,) = metrics.attribute_pnl([trade(Side.SELL, "6", "11")], yesterday)

    assert line.symbol == "AAPL"
    assert line.position.realized_pnl == D(6)
    assert line.position.fees == 0
    assert line.results == (D(6),)


_trades = st.builds(
    Trade,
    strategy=st.just("sma"),
    symbol=st.just("AAPL"),
    side=st.sampled_from(Side),
    qty=st.integers(1, 50).map(Decimal),
    price=st.integers(100, 20_000).map(lambda cents: Decimal(cents) / 100),
    fee=st.integers(0, 99).map(lambda cents: Decimal(cents) / 100),
)


@given(st.lists(_trades, min_size=1, max_size=30), st.integers(100, 20_000))
def test_attributed_pnl_equals_the_cash_that_moved(trades: list[Trade], cents: int) -> None:
    """Realized + open - fees is the cash received less paid, plus the position at its mark."""
    mark = Decimal(cents) / 100
    cash = sum((-each.side.sign * each.qty * each.price - each.fee for each in trades), Decimal(0))
    shares = sum((each.side.sign * each.qty for each in trades), Decimal(0))

    (line,) = metrics.attribute_pnl(trades)

    position = line.position
    net = position.realized_pnl + position.unrealized_pnl(mark) - position.fees
    assert abs(net - (cash + shares * mark)) < Decimal("1e-12")
    assert abs(sum(line.results, Decimal(0)) - line.trip_began) < Decimal("1e-12")

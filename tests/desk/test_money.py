"""desk/money.py: floats become Decimals here, and only ever in the user's favour (I15)."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desk import money
from schemas.orders import Side

prices = st.floats(min_value=0.001, max_value=1_000_000, allow_nan=False)
quantities = st.floats(min_value=0, max_value=10_000_000, allow_nan=False)


@pytest.mark.parametrize(
    ("price", "tick"),
    [("0.9999", "0.0001"), ("1", "0.01"), ("0.0001", "0.0001"), ("612.34", "0.01")],
)
def test_tick_is_a_cent_from_one_dollar(price: str, tick: str) -> None:
    """Rule 612: a cent from $1, a hundredth of a cent below."""
    assert money.tick_size(Decimal(price)) == Decimal(tick)


@pytest.mark.parametrize(
    ("price", "side", "expected"),
    [
        (290.123, Side.BUY, "290.12"),
        (290.123, Side.SELL, "290.13"),
        (0.1 + 0.2, Side.BUY, "0.3"),
        (0.50005, Side.BUY, "0.5000"),
        (0.50005, Side.SELL, "0.5001"),
        (0.99996, Side.SELL, "1.00"),
        (1.0049, Side.BUY, "1.00"),
        (0.00004, Side.BUY, "0"),
        (100.0, Side.SELL, "100.00"),
    ],
)
def test_limit_price_cases(price: float, side: Side, expected: str) -> None:
    """A buy limit goes down and a sell limit up, each to the next legal tick."""
    assert money.limit_price(price, side=side) == Decimal(expected)


@given(price=prices, side=st.sampled_from(Side))
def test_i15_limit_price_is_legal_and_never_worse_than_asked(price: float, side: Side) -> None:
    """I15: a rounded limit is legal, never worse than asked, and within one tick of it."""
    exact = Decimal(repr(price))

    rounded = money.limit_price(price, side=side)

    assert side.sign * (exact - rounded) >= 0
    assert abs(exact - rounded) < money.tick_size(exact)
    assert rounded == 0 or money.is_legal_price(rounded)


@given(price=prices, side=st.sampled_from(Side))
def test_rounding_a_legal_price_changes_nothing(price: float, side: Side) -> None:
    """Rounding twice equals rounding once, for limits and stops."""
    once = money.limit_price(price, side=side)

    assert money.limit_price(once, side=side) == once
    assert money.stop_price(once, side=side) == once
    assert money.nearest_tick(once) == once


@given(price=prices)
def test_nearest_tick_is_within_half_a_tick(price: float) -> None:
    """A reference price differs from the float by at most half a tick."""
    exact = Decimal(repr(price))

    assert abs(money.nearest_tick(price) - exact) <= money.tick_size(exact) / 2


@given(shares=quantities, fractional=st.booleans())
def test_i15_qty_down_never_gives_more_and_loses_less_than_a_lot(shares: float, fractional: bool) -> None:
    """I15: a quantity is floored, by less than one lot."""
    lot = money.FRACTIONAL_LOT if fractional else money.WHOLE_LOT
    exact = Decimal(repr(shares))

    qty = money.qty_down(shares, fractional=fractional)

    assert 0 <= exact - qty < lot
    assert qty == 0 or money.is_legal_qty(qty)


@given(
    cash=st.decimals(min_value=0, max_value=10_000_000, places=2),
    price=st.decimals(min_value="0.0001", max_value=100_000, places=4),
    fractional=st.booleans(),
)
def test_affordable_qty_never_costs_more_than_the_cash(
    cash: Decimal, price: Decimal, fractional: bool
) -> None:
    """What the quantity costs fits the cash, and one more lot would not."""
    lot = money.FRACTIONAL_LOT if fractional else money.WHOLE_LOT

    qty = money.affordable_qty(cash, price=price, fractional=fractional)

    assert money.notional(qty=qty, price=price) <= cash
    assert money.notional(qty=qty + lot, price=price) > cash - Decimal("1e-12")


def test_two_hundred_dollars_buy_no_whole_six_hundred_dollar_share() -> None:
    """R2: $200 buys zero whole shares at $600, and a third of one when fractions are allowed."""
    assert money.affordable_qty(Decimal(200), price=Decimal(600), fractional=False) == 0
    assert money.affordable_qty(Decimal(200), price=Decimal(600), fractional=True) == Decimal("0.333333333")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), Decimal("NaN")])
def test_a_number_that_is_not_finite_is_refused(value: float | Decimal) -> None:
    """NaN and infinity never become an amount."""
    with pytest.raises(ValueError, match="finite"):
        money.limit_price(value, side=Side.BUY)


def test_a_negative_quantity_is_refused() -> None:
    """Quantities of orders are positive; a negative one is a mistake of the caller."""
    with pytest.raises(ValueError, match="never negative"):
        money.qty_down(-1.0, fractional=False)


def test_a_price_that_is_not_positive_buys_nothing() -> None:
    """Sizing by a zero price is a mistake, not an infinite quantity."""
    with pytest.raises(ValueError, match="positive"):
        money.affordable_qty(Decimal(100), price=Decimal(0), fractional=False)


def test_float_noise_does_not_reach_a_decimal() -> None:
    """0.1 becomes 0.1, not its 55-digit binary neighbour."""
    assert money.fraction(0.1) == Decimal("0.1")
    assert money.through(Decimal(100), side=Side.BUY, offset_bps=money.fraction(5.0)) == Decimal("100.05")
    assert money.through(Decimal(100), side=Side.SELL, offset_bps=money.fraction(5.0)) == Decimal("99.95")


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("51200", "51,200"),
        ("51200.00", "51,200"),
        ("-1000.5", "-1,000.50"),
        ("0.005", "0"),
        ("0.015", "0.02"),
    ],
)
def test_usd_text(amount: str, text: str) -> None:
    """Amounts read as people write them: thousands separated, cents only where there are any."""
    assert money.usd(Decimal(amount)) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [("500", "500"), ("0.333333333", "0.333333333"), ("1E+3", "1,000"), ("2.50", "2.5"), ("0E-9", "0")],
)
def test_plain_text(number: str, text: str) -> None:
    """Quantities read without exponents or trailing zeros."""
    assert money.plain(Decimal(number)) == text


def test_fees_are_rounded_up_to_the_cent() -> None:
    """A broker's cent goes up; an exact cent stays."""
    assert money.cents_up(Decimal("0.00083")) == Decimal("0.01")
    assert money.cents_up(Decimal("0.50")) == Decimal("0.50")

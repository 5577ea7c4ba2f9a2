"""desk/fees.py: what a sale owes the SEC and FINRA, by its date."""

from datetime import date
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desk import fees
from schemas.orders import Side

D = Decimal


@pytest.mark.parametrize(
    ("day", "rate"),
    [
        (date(2010, 3, 31), "12.70"),  # FINRA Information Notice 3/10/10
        (date(2010, 4, 1), "16.90"),
        (date(2011, 1, 20), "16.90"),  # SEC press release 2010-255
        (date(2011, 1, 21), "19.20"),
        (date(2012, 11, 15), "22.40"),  # SEC press release 2012-232
        (date(2014, 3, 17), "17.40"),  # FINRA Information Notice 3/3/14
        (date(2014, 3, 18), "22.10"),
        (date(2018, 11, 7), "13.00"),  # FINRA Information Notice 5/7/18
        (date(2019, 4, 16), "20.70"),
        (date(2021, 2, 24), "22.10"),
        (date(2021, 2, 25), "5.10"),
        (date(2024, 8, 27), "27.80"),
        (date(2025, 5, 13), "27.80"),  # FINRA Information Notice 4/24/25
        (date(2025, 5, 14), "0"),
        (date(2026, 4, 3), "0"),
        (date(2026, 4, 4), "20.60"),
    ],
)
def test_the_sec_rate_of_a_day(day: date, rate: str) -> None:
    """A million dollars sold owe the advisory's rate of that day."""
    assert fees.sec_fee(qty=D(10_000), price=D(100), day=day) == D(rate)


@pytest.mark.parametrize(
    ("day", "qty", "expected"),
    [
        (date(2011, 6, 30), 1000, "0.075"),  # Regulatory Notice 11-27
        (date(2011, 7, 1), 1000, "0.090"),
        (date(2012, 3, 1), 1000, "0.095"),  # Regulatory Notice 12-06
        (date(2018, 11, 7), 1000, "0.119"),
        (date(2024, 8, 27), 1000, "0.166"),
        (date(2024, 8, 27), 60_000, "8.30"),
        (date(2026, 9, 30), 50_205, "9.789975"),  # capped from 50,206 shares on
        (date(2026, 9, 30), 50_206, "9.79"),
        (date(2026, 11, 20), 60_000, "0"),  # SR-FINRA-2026-021
    ],
)
def test_the_taf_of_a_day(day: date, qty: int, expected: str) -> None:
    """Shares sold owe the day's rate, up to the day's cap."""
    assert fees.taf_fee(qty=D(qty), day=day) == D(expected)


def test_a_sale_owes_both_fees() -> None:
    """100 shares at $250 on 2026-09-08 owe 0.515 to the SEC and 0.0195 to FINRA."""
    assert fees.fees_for(Side.SELL, D(100), D(250), date(2026, 9, 8)) == D("0.5345")


@given(qty=st.integers(1, 100_000), price=st.decimals("0.01", "1000", places=2))
def test_a_buy_costs_nothing(qty: int, price: Decimal) -> None:
    """Both fees are owed on sells only."""
    assert fees.fees_for(Side.BUY, D(qty), price, date(2024, 8, 27)) == 0


@given(
    day=st.dates(date(2010, 1, 1), date(2028, 12, 31)),
    parts=st.lists(st.integers(1, 400), min_size=1, max_size=20),
    price=st.decimals("0.01", "1000", places=2),
)
def test_many_partial_fills_cost_what_one_fill_costs(day: date, parts: list[int], price: Decimal) -> None:
    """I15: splitting a sale costs at most a millionth of a dollar per part, and never less than exact."""
    exact = fees.sec_fee(qty=D(sum(parts)), price=price, day=day) + fees.taf_fee(qty=D(sum(parts)), day=day)

    accrued = sum(fees.fees_for(Side.SELL, D(part), price, day) for part in parts)

    assert exact <= accrued <= exact + len(parts) * fees.ACCRUAL_STEP


def test_the_day_is_charged_rounded_up_to_the_cent() -> None:
    """Alpaca's own example: a day's total of 0.00083 is charged as one cent; no sale, no charge."""
    assert fees.charged([D("0.0005"), D("0.00033")]) == D("0.01")
    assert fees.charged([]) == 0


def test_both_tables_are_in_order() -> None:
    """Rows ascend by date from 2010-01-01, so the last row on or before a day is the one in force."""
    for table in (fees.SEC_PER_MILLION, fees.TAF_PER_SHARE):
        starts = [row[0] for row in table]
        assert starts[0] == fees.FIRST_DAY
        assert all(earlier < later for earlier, later in pairwise(starts))


def test_a_sale_before_the_tables_raises() -> None:
    """A rate that is not known is an error and never zero."""
    with pytest.raises(ValueError, match="tables begin 2010-01-01"):
        fees.fees_for(Side.SELL, D(1), D(1), date(2009, 12, 31))

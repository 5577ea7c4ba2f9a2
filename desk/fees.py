"""Regulatory fees of a sale: the SEC's Section 31 fee and FINRA's trading activity fee (TAF).

Both are owed on sells only, by trade date, at rates that change a few times in a decade; they are two
dated tables here, used by the desk's books and by the simulated exchange alike, so the two can only
differ by a mistake. A row holds from its date until the next one.

Rounding. Alpaca accrues fees during the day and charges the day's total at its end, rounded up to the
cent (docs.alpaca.markets/docs/regulatory-fees, read January to September 2026). An execution's fee is
therefore its accrual, rounded up only to a millionth of a dollar, which the warehouse keeps exactly; a
day's many partial fills then cost what one fill costs. `charged` rounds a day's total as the broker
does; Alpaca rounds each of the two fees, so a day may differ by one cent, which is within
`cash_tolerance_usd`.

Left out: the consolidated audit trail fee ($0.000003 a share since 2026-09, both sides; a cent buys
3,333 shares), for which no complete dated table is published; and the TAF exemption of shares cheaper
than the rate itself.

Sources. SEC fee rate advisories and the FINRA information notices that repeat them (named per row by
the advisory's fiscal year); TAF: FINRA By-Laws, Schedule A, Section 1, Regulatory Notices 11-27, 12-06
and 12-31, SR-FINRA-2020-032, SR-FINRA-2024-019 (rates to 2029) and SR-FINRA-2026-021 (no TAF in the
last quarter of 2026). A new advisory is a new row.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_CEILING, Decimal

from desk.money import ZERO, cents_up
from schemas.orders import Side

FIRST_DAY = date(2010, 1, 1)
ACCRUAL_STEP = Decimal("0.000001")
MILLION = Decimal(1_000_000)

# USD per million USD sold, in force from the date.
SEC_PER_MILLION: tuple[tuple[date, Decimal], ...] = (
    (FIRST_DAY, Decimal("25.70")),  # in force since 2009-04-10 (FY2009 mid-year)
    (date(2010, 1, 15), Decimal("12.70")),  # FY2010
    (date(2010, 4, 1), Decimal("16.90")),  # FY2010 mid-year, FINRA notice 3/10/10
    (date(2011, 1, 21), Decimal("19.20")),  # FY2011 #5, SEC 2010-255
    (date(2012, 2, 21), Decimal("18.00")),  # FY2012 #5
    (date(2012, 4, 1), Decimal("22.40")),  # FY2012 mid-year; SEC 2012-232 states it
    (date(2013, 5, 25), Decimal("17.40")),  # FY2013
    (date(2014, 3, 18), Decimal("22.10")),  # FY2014, FINRA notice 3/3/14
    (date(2015, 2, 14), Decimal("18.40")),  # FY2015
    (date(2016, 2, 16), Decimal("21.80")),  # FY2016, FINRA notice 3/15/16 states it
    (date(2017, 7, 4), Decimal("23.10")),  # FY2017
    (date(2018, 5, 22), Decimal("13.00")),  # FY2018, FINRA notice 5/7/18
    (date(2019, 4, 16), Decimal("20.70")),  # FY2019 #2
    (date(2020, 2, 18), Decimal("22.10")),  # FY2020 #2
    (date(2021, 2, 25), Decimal("5.10")),  # FY2021 #2
    (date(2022, 5, 14), Decimal("22.90")),  # FY2022 #2
    (date(2023, 2, 27), Decimal("8.00")),  # FY2023 #2
    (date(2024, 5, 22), Decimal("27.80")),  # FY2024 #2, Release 34-99973
    (date(2025, 5, 14), Decimal("0.00")),  # FY2025 #2, FINRA notice 4/24/25
    (date(2026, 4, 4), Decimal("20.60")),  # FY2026 #2, Release 34-104909
)

# USD per share sold and the most one trade pays, in force from the date.
TAF_PER_SHARE: tuple[tuple[date, Decimal, Decimal], ...] = (
    (FIRST_DAY, Decimal("0.000075"), Decimal("3.75")),  # in force since 2004, Notice 11-27
    (date(2011, 7, 1), Decimal("0.000090"), Decimal("4.50")),  # Notice 11-27
    (date(2012, 3, 1), Decimal("0.000095"), Decimal("4.75")),  # Notice 12-06
    (date(2012, 7, 1), Decimal("0.000119"), Decimal("5.95")),  # Notice 12-31
    (date(2022, 1, 1), Decimal("0.000130"), Decimal("6.49")),  # SR-FINRA-2020-032
    (date(2023, 1, 1), Decimal("0.000145"), Decimal("7.27")),  # SR-FINRA-2020-032
    (date(2024, 1, 1), Decimal("0.000166"), Decimal("8.30")),  # SR-FINRA-2020-032
    (date(2026, 1, 1), Decimal("0.000195"), Decimal("9.79")),  # SR-FINRA-2024-019
    (date(2026, 10, 1), Decimal("0"), Decimal("0")),  # SR-FINRA-2026-021, a quarter without
    (date(2027, 1, 1), Decimal("0.000232"), Decimal("11.61")),  # SR-FINRA-2024-019
    (date(2028, 1, 1), Decimal("0.000240"), Decimal("12.05")),  # SR-FINRA-2024-019
    (date(2029, 1, 1), Decimal("0.000249"), Decimal("12.50")),  # SR-FINRA-2024-019
)

_SEC_DATES = tuple(row[0] for row in SEC_PER_MILLION)
_TAF_DATES = tuple(row[0] for row in TAF_PER_SHARE)


@dataclass(frozen=True, slots=True)
class FeeSchedule:
    """What an execution costs: Alpaca's by default, which is the regulatory fees and no commission.

    The desk's books and the venue it trades at are handed the same one.
    """

    regulatory: bool = True  # SEC and TAF, on sells
    commission_per_share: Decimal = ZERO  # USD, both sides
    commission_min: Decimal = ZERO  # USD an execution, where there is a commission

    def of(self, *, side: Side, qty: Decimal, price: Decimal, day: date) -> Decimal:
        """Give the fees of one execution, USD, positive.

        Formula: regulatory fees (`fees_for`) + max(qty * commission_per_share, commission_min).
        """
        fee = fees_for(side, qty, price, day) if self.regulatory else ZERO
        if self.commission_per_share > 0:
            commission = max(qty * self.commission_per_share, self.commission_min)
            fee += commission.quantize(ACCRUAL_STEP, ROUND_CEILING)
        return fee


ALPACA_FEES = FeeSchedule()


def fees_for(side: Side, qty: Decimal, price: Decimal, day: date) -> Decimal:
    """Give the regulatory fees of one execution in USD, accrued to a millionth; a buy costs nothing.

    Formula: qty * price * SEC rate / 1,000,000 + min(qty * TAF rate, TAF cap), rounded up.

    Args:
        side: The execution's side.
        qty: Shares executed, positive.
        price: USD a share.
        day: The session date.

    Raises:
        ValueError: A sale's day lies before the tables begin (2010-01-01).
    """
    if side is Side.BUY:
        return ZERO
    exact = sec_fee(qty=qty, price=price, day=day) + taf_fee(qty=qty, day=day)
    return exact.quantize(ACCRUAL_STEP, ROUND_CEILING)


def sec_fee(*, qty: Decimal, price: Decimal, day: date) -> Decimal:
    """Give the Section 31 fee of a sale in USD, unrounded."""
    return qty * price * SEC_PER_MILLION[_row(_SEC_DATES, day)][1] / MILLION


def taf_fee(*, qty: Decimal, day: date) -> Decimal:
    """Give the trading activity fee of a sale in USD, unrounded, capped per execution."""
    _, rate, cap = TAF_PER_SHARE[_row(_TAF_DATES, day)]
    return min(qty * rate, cap)


def charged(fees: Iterable[Decimal]) -> Decimal:
    """Give what the broker takes for a day's accrued fees: their sum, rounded up to the cent."""
    return cents_up(sum(fees, ZERO))


def _row(dates: tuple[date, ...], day: date) -> int:
    index = bisect_right(dates, day) - 1
    if index < 0:
        raise ValueError(f"no fee rate is known for {day}: the tables begin {FIRST_DAY}")
    return index

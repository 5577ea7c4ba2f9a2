"""Indicators against numbers from elsewhere: a published table and sums done by hand in fractions."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from math import isclose, sqrt

import polars as pl
import pytest

from schemas.bars import RAW_SCHEMA
from strategies.indicators import bars_so_far, rsi, session_vwap, session_vwap_sigma, sma, with_session

OPEN = datetime(2024, 3, 7, 14, 30, tzinfo=UTC)

# StockCharts ChartSchool, "Relative Strength Index (RSI)", the worksheet with QQQQ closes and RSI(14);
# closes carry four decimals there, RSI two.
SCHOOL_CLOSES = (
    *(44.3389, 44.0902, 44.1497, 43.6124, 44.3278, 44.8264, 45.0955, 45.4245, 45.8433, 46.0826),
    *(45.8931, 46.0328, 45.6140, 46.2820, 46.2820, 46.0028, 46.0328, 46.4116, 46.2222, 45.6439),
)
SCHOOL_RSI = (70.53, 66.32, 66.55, 69.41, 66.36, 57.97)


def bars(
    rows: list[tuple[float, float, float, int]], *, opens: datetime = OPEN, symbol: str = "AAA"
) -> pl.DataFrame:
    """Make bars of (high, low, close, volume), one a minute; the open is the low."""
    data = [
        (symbol, opens + timedelta(minutes=index), low, high, low, close, volume, None, None)
        for index, (high, low, close, volume) in enumerate(rows)
    ]
    return pl.DataFrame(data, schema=RAW_SCHEMA, orient="row")


def closes(values: tuple[float, ...]) -> pl.DataFrame:
    return bars([(value, value, value, 100) for value in values])


def test_rsi_equals_the_published_table() -> None:
    """RSI(14) is null for fourteen bars and then the published numbers."""
    values = closes(SCHOOL_CLOSES).select(rsi(length=14).alias("rsi"))["rsi"].to_list()

    assert values[:14] == [None] * 14
    assert [round(value, 2) for value in values[14:]] == pytest.approx(SCHOOL_RSI, abs=0.011)


def test_rsi_by_hand() -> None:
    """RSI(2) of 10, 11, 10.5, 10.5, 12: averages 1/2 and 1/4, then 1/4 and 1/8, then 7/8 and 1/16."""
    values = closes((10.0, 11.0, 10.5, 10.5, 12.0)).select(rsi(length=2).alias("rsi"))["rsi"].to_list()

    by_hand = [
        Fraction(100) * gain / (gain + loss)
        for gain, loss in (
            (Fraction(1, 2), Fraction(1, 4)),
            (Fraction(1, 4), Fraction(1, 8)),
            (Fraction(7, 8), Fraction(1, 16)),
        )
    ]
    assert values[:2] == [None, None]
    assert values[2:] == pytest.approx([float(value) for value in by_hand], rel=1e-12)


@pytest.mark.parametrize(
    ("values", "answer"),
    [((1.0, 2.0, 3.0, 4.0), 100.0), ((4.0, 3.0, 2.0, 1.0), 0.0), ((5.0, 5.0, 5.0, 5.0), 50.0)],
)
def test_rsi_at_its_ends(values: tuple[float, ...], answer: float) -> None:
    """Only gains give 100, only losses 0, no change 50."""
    assert closes(values).select(rsi(length=2).alias("rsi"))["rsi"][-1] == pytest.approx(answer)


def test_rsi_by_session_forgets_the_night() -> None:
    """Anchored to the session, the overnight gap is no gain and the warm-up begins again."""
    first = closes((10.0, 11.0, 12.0))
    second = closes((20.0, 19.0, 18.0)).with_columns(pl.col("ts") + timedelta(days=1))

    values = (
        with_session(pl.concat([first, second]))
        .select(rsi(length=2, by_session=True).alias("rsi"))["rsi"]
        .to_list()
    )

    assert values == [None, None, 100.0, None, None, 0.0]


def test_session_vwap_by_hand() -> None:
    """(10 * 100 + 12 * 300) / 400 = 11.5; a minute without volume weighs nothing; a day starts anew."""
    day = bars([(11.0, 9.0, 10.0, 100), (13.0, 11.0, 12.0, 300), (99.0, 99.0, 99.0, 0)])
    next_day = bars([(21.0, 19.0, 20.0, 50)], opens=OPEN + timedelta(days=1))

    values = with_session(pl.concat([day, next_day])).select(session_vwap().alias("vwap"))["vwap"].to_list()

    assert values == pytest.approx([10.0, 11.5, 11.5, 20.0], rel=1e-12)


def test_session_vwap_is_null_until_something_traded() -> None:
    """No volume is no average, not zero."""
    frame = bars([(10.0, 10.0, 10.0, 0), (10.0, 10.0, 10.0, 5)])

    values = with_session(frame).select(session_vwap().alias("vwap"), session_vwap_sigma().alias("sigma"))

    assert values["vwap"].to_list() == [None, 10.0]
    assert values["sigma"].to_list() == [None, 0.0]


def test_sigma_by_hand() -> None:
    """Weights 1 and 3 at 10 and 12: variance (1 * 1.5^2 + 3 * 0.5^2) / 4 = 3/4."""
    frame = bars([(11.0, 9.0, 10.0, 100), (13.0, 11.0, 12.0, 300)])

    sigma = with_session(frame).select(session_vwap_sigma().alias("sigma"))["sigma"].to_list()

    assert sigma == pytest.approx([0.0, sqrt(0.75)], rel=1e-12)


def test_sigma_survives_a_dear_quiet_share() -> None:
    """At 600,000 USD with cents of movement the band is not lost to rounding."""
    prices = [600_000.0 + cents / 100 for cents in (0, 1, 2, 1, 0, 3, 1, 2)]
    frame = bars([(price, price, price, 1_000) for price in prices])
    exact = [Fraction(round(price * 100), 100) for price in prices]
    mean = sum(exact) / len(exact)
    variance = sum((price - mean) ** 2 for price in exact) / len(exact)

    sigma = with_session(frame).select(session_vwap_sigma().alias("sigma"))["sigma"][-1]

    assert isclose(sigma, sqrt(variance), rel_tol=1e-6)


def test_sma_by_hand() -> None:
    """SMA(3) of 1, 2, 3, 7 is 2 and then 4, and null before."""
    assert closes((1.0, 2.0, 3.0, 7.0)).select(sma("close", length=3).alias("sma"))["sma"].to_list() == [
        None,
        None,
        2.0,
        4.0,
    ]


def test_symbols_do_not_mix() -> None:
    """Two symbols in one frame have their own averages and counts."""
    frame = pl.concat([closes((1.0, 3.0)), bars([(9.0, 9.0, 9.0, 1), (5.0, 5.0, 5.0, 1)], symbol="BBB")])

    out = with_session(frame).select(sma("close", length=2).alias("sma"), bars_so_far().alias("count"))

    assert out["sma"].to_list() == [None, 2.0, None, 7.0]
    assert out["count"].to_list() == [1, 2, 1, 2]

"""Ratios of daily returns: empyrical's answers where both have one, None where there is none."""

import math
import warnings
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from desk.research import returns as own

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of its imports: pandas and pytz speak of their own futures
    import empyrical

Ratio = Callable[[np.ndarray], float | None]

DAYS = st.lists(st.floats(-0.2, 0.2, allow_nan=False).map(lambda r: round(r, 6)), min_size=2, max_size=300)

PAIRS: dict[str, tuple[Ratio, Callable[[np.ndarray], float]]] = {
    "total": (own.total_return_frac, empyrical.cum_returns_final),
    "annual": (own.annual_return_frac, empyrical.annual_return),
    "volatility": (own.annual_volatility_frac, empyrical.annual_volatility),
    "sharpe": (own.sharpe_ratio, empyrical.sharpe_ratio),
    "sortino": (own.sortino_ratio, empyrical.sortino_ratio),
    "calmar": (own.calmar_ratio, empyrical.calmar_ratio),
    "drawdown": (
        lambda r: own.max_drawdown_frac(np.cumprod(1 + r), opening=1.0),
        lambda r: -empyrical.max_drawdown(r),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
@given(days=DAYS)
def test_the_formulas_are_empyricals(name: str, days: list[float]) -> None:
    """Over generated series each ratio is empyrical's to 1e-9, of the number where it is large."""
    series = np.array(days)
    # Where all days are alike, empyrical divides rounding noise by rounding noise.
    assume(np.ptp(series) > 0)
    mine, theirs = PAIRS[name]

    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        answer = float(theirs(series))

    found = mine(series)
    if math.isfinite(answer):
        assert found == pytest.approx(answer, rel=1e-9, abs=1e-9)
    else:
        assert found is None


@given(days=DAYS, free=st.floats(-0.001, 0.001))
def test_a_risk_free_return_is_taken_off_each_day(days: list[float], free: float) -> None:
    """Sharpe and Sortino above a daily rate are empyrical's."""
    series = np.array(days)
    assume(np.ptp(series) > 1e-4)
    assume(bool((series - free < -1e-6).any()))

    assert own.sharpe_ratio(series, risk_free=free) == pytest.approx(
        empyrical.sharpe_ratio(series, risk_free=free), rel=1e-9, abs=1e-9
    )
    assert own.sortino_ratio(series, required=free) == pytest.approx(
        empyrical.sortino_ratio(series, required_return=free), rel=1e-9, abs=1e-9
    )


@pytest.mark.parametrize("ratio", [mine for mine, _ in PAIRS.values()], ids=list(PAIRS))
@pytest.mark.parametrize("days", [[], [0.01], [0.0] * 5, [-1.0], [-1.0, 0.0], [0.5, math.nan], [9.9, 9.9]])
def test_odd_series_give_a_number_or_none(ratio: Ratio, days: list[float]) -> None:
    """No day, one day, flat days, everything lost, a hole, one splendid day: never NaN, never a traceback."""
    found = ratio(np.array(days))

    assert found is None or math.isfinite(found)


def test_flat_days_have_no_ratio() -> None:
    """Nothing moved: volatility and drawdown are zero, and nothing is divided by them."""
    flat = np.zeros(20)

    assert own.annual_volatility_frac(flat) == 0.0
    assert own.annual_return_frac(flat) == 0.0
    assert (own.sharpe_ratio(flat), own.sortino_ratio(flat), own.calmar_ratio(flat)) == (None, None, None)


def test_losing_everything_is_minus_one() -> None:
    """A record that ends at nothing returned -100 % a year with a drawdown of one."""
    lost = np.array([0.01, -1.0])

    assert own.annual_return_frac(lost) == -1.0
    assert own.calmar_ratio(lost) == pytest.approx(-1.0)


def test_a_days_return_is_of_what_it_began_with() -> None:
    """100 to 110 to 99: up a tenth, down a tenth; a day that begins with nothing has no return."""
    assert own.daily_returns(np.array([110.0, 99.0]), opening=100.0) == pytest.approx([0.1, -0.1])
    assert own.daily_returns(np.array([0.0, 5.0]), opening=100.0) is None


def test_the_longest_time_below_a_peak_is_counted_in_days() -> None:
    """Below 100 for one day, then below 120 for three, the last still below."""
    assert own.longest_drawdown_days(np.array([99.0, 120.0, 110.0, 119.0, 90.0]), opening=100.0) == 3
    assert own.longest_drawdown_days(np.array([101.0, 101.0]), opening=100.0) == 0

"""Deviation of the last closes of a session against sums done by hand."""

from datetime import timedelta
from math import isclose, sqrt

import polars as pl
import pytest

from strategies.indicators import session_sigma, session_sma, with_session
from tests.answers.test_indicators import closes


def test_session_sigma_by_hand() -> None:
    """Of 1, 2, 3, 7 in threes: variances 2/3 and ((4-2)^2 + (4-3)^2 + (4-7)^2) / 3 = 14/3."""
    frame = with_session(closes((1.0, 2.0, 3.0, 7.0)))

    sigma = frame.select(session_sigma("close", length=3).alias("sigma"))["sigma"].to_list()

    assert sigma[:2] == [None, None]
    assert sigma[2:] == pytest.approx([sqrt(2 / 3), sqrt(14 / 3)], rel=1e-12)


def test_a_session_starts_its_averages_anew() -> None:
    """No bar of the day before enters the averages of today."""
    second = closes((20.0, 22.0)).with_columns(pl.col("ts") + timedelta(days=1))
    frame = with_session(pl.concat([closes((10.0, 12.0)), second]))

    made = frame.select(
        session_sma("close", length=2).alias("mean"), session_sigma("close", length=2).alias("sigma")
    )

    assert made["mean"].to_list() == [None, 11.0, None, 21.0]
    assert made["sigma"].to_list() == pytest.approx([None, 1.0, None, 1.0])


def test_session_sigma_survives_a_dear_quiet_share() -> None:
    """At 600,000 USD with cents of movement, after a large one, the deviation is not lost to rounding."""
    frame = with_session(closes((600_500.0, *(600_000.0 + n / 100 for n in (0, 1, 2, 1)))))

    sigma = frame.select(session_sigma("close", length=4).alias("sigma"))["sigma"][-1]

    assert isclose(sigma, sqrt(0.5) / 100, rel_tol=1e-2)

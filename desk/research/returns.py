"""Ratios of a series of daily returns.

Theory of operation. A year is 252 days and the risk-free rate 0 unless said; deviations are sample ones
(n - 1) but for the downside's, which is a mean over all days. Every function takes one float a day and gives
None where its formula has no answer: no day, one day where two are needed, no spread, a divisor of zero, or a
hole (NaN) in the series. The formulas are those of empyrical-reloaded, and a test holds them together to
1e-9; they differ in three places, on purpose: empyrical gives NaN or infinity where None is given here, takes
any rounding noise above zero for spread, and leaves holes out.

Left out: benchmarks (alpha, beta). A desk that is flat at night has none.
"""

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

DAYS_A_YEAR = 252
# Returns that are all one number differ in their last bits; what is less than this is no spread.
SPREAD_MIN = 1e-14


def has_spread(returns: Floats) -> bool:
    """Tell whether a deviation of these returns means anything: two days, no hole, not all alike."""
    if len(returns) < 2 or not np.isfinite(returns).all():
        return False
    return float(returns.std(ddof=1)) > SPREAD_MIN * max(1.0, float(np.abs(returns).max()))


def daily_returns(closes: Floats, *, opening: float) -> Floats | None:
    """Give each day's return; None where a day began with nothing, for it has none.

    Formula: r_t = e_t / e_(t-1) - 1, with e_0 the opening cash.
    """
    before = np.concatenate(([opening], closes[:-1])) if len(closes) else closes
    if not (before > 0).all():
        return None
    returns: Floats = closes / before - 1.0
    return returns


def total_return_frac(returns: Floats) -> float | None:
    """Give what became of one dollar, less the dollar: prod(1 + r) - 1."""
    if not _whole(returns):
        return None
    return float(np.prod(1.0 + returns) - 1.0)


def annual_return_frac(returns: Floats) -> float | None:
    """Give the compound yearly return: prod(1 + r)^(252 / n) - 1; -1 where everything was lost."""
    total = total_return_frac(returns)
    if total is None:
        return None
    if total <= -1.0:
        return -1.0
    # In logarithms: one splendid day, compounded over a year, may be more than a float holds.
    power = math.log1p(total) * DAYS_A_YEAR / len(returns)
    return math.expm1(power) if power < math.log(np.finfo(np.float64).max) else None


def annual_volatility_frac(returns: Floats) -> float | None:
    """Give sd(r) sqrt(252), sample deviation; 0 where nothing moves, None under two days."""
    if len(returns) < 2 or not _whole(returns):
        return None
    return float(returns.std(ddof=1)) * math.sqrt(DAYS_A_YEAR) if has_spread(returns) else 0.0


def sharpe_ratio(returns: Floats, *, risk_free: float = 0.0) -> float | None:
    """Give mean(r - f) / sd(r - f) sqrt(252), f the risk-free return of a day."""
    excess = returns - risk_free
    if not has_spread(excess):
        return None
    return float(excess.mean() / excess.std(ddof=1)) * math.sqrt(DAYS_A_YEAR)


def sortino_ratio(returns: Floats, *, required: float = 0.0) -> float | None:
    """Give mean(x) / sqrt(mean(min(x, 0)^2)) sqrt(252), x = r - required; None without a day below."""
    excess = returns - required
    if len(excess) < 2 or not _whole(excess):
        return None
    downside = math.sqrt(float(np.mean(np.minimum(excess, 0.0) ** 2)))
    return float(excess.mean()) / downside * math.sqrt(DAYS_A_YEAR) if downside > SPREAD_MIN else None


def max_drawdown_frac(values: Floats, *, opening: float) -> float | None:
    """Give the deepest fall as a share of the peak it fell from, zero or positive; None for no value.

    Formula: max over t of (p_t - v_t) / p_t with p_t = max(opening, v_1 .. v_t). It is that of
    `desk.metrics.max_drawdown_frac` over an array.
    """
    if not _whole(values) or opening <= 0:
        return None
    peaks = np.maximum(np.maximum.accumulate(values), opening)
    return float(np.max((peaks - values) / peaks))


def calmar_ratio(returns: Floats) -> float | None:
    """Give the annual return over the deepest fall of daily closes; None without a fall."""
    annual = annual_return_frac(returns)
    if annual is None:
        return None
    worth = np.asarray(np.cumprod(1.0 + returns), dtype=np.float64)
    deepest = max_drawdown_frac(worth, opening=1.0)
    return annual / deepest if deepest is not None and deepest > SPREAD_MIN else None


def longest_drawdown_days(closes: Floats, *, opening: float) -> int:
    """Give the longest run of days that closed below an earlier close (or the opening)."""
    longest = running = 0
    peak = opening
    for close in closes.tolist():
        running = running + 1 if close < peak else 0
        peak = max(peak, close)
        longest = max(longest, running)
    return longest


def _whole(returns: Floats) -> bool:
    return len(returns) > 0 and bool(np.isfinite(returns).all())

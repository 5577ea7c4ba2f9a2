"""How much of a good backtest is luck: probabilistic and deflated Sharpe ratio, and CSCV.

Theory of operation. Whoever tries many parameters reports the best, and the best of many is high by luck
alone. Three answers, none of which needs more than the returns:

- PSR (Bailey and Lopez de Prado 2012, "The Sharpe Ratio Efficient Frontier", Journal of Risk 15(2)): the
  probability that the true Sharpe ratio is above a bar, given how long, how skewed and how fat-tailed the
  record is.
- DSR (Bailey and Lopez de Prado 2014, "The Deflated Sharpe Ratio", Journal of Portfolio Management 40(5)):
  the PSR against the bar that the best of so many tries would clear without any skill.
- PBO by CSCV (Bailey, Borwein, Lopez de Prado and Zhu 2017, "The Probability of Backtest Overfitting",
  Journal of Computational Finance 20(4)): how often the winner of one half of the record is below the middle
  in the other half.

Sharpe ratios here are per observation (a day), never annual; `plain_words` alone multiplies by sqrt(252).
All take tries for independent of one another; neighbours in a grid are not, so the answers are stern.
"""

import math
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from desk.research.returns import DAYS_A_YEAR, has_spread

Floats = npt.NDArray[np.float64]

EULER_MASCHERONI = 0.5772156649015329
BLOCKS = 16  # of the record; the paper's choice: 12,870 ways to halve it
BLOCKS_MAX = 20  # 184,756 ways; beyond that hours
COMBINATIONS_AT_ONCE = 2_000  # ways times tries in memory: 2,000 x 1,000 x 8 bytes is 16 MB an array
LUCK_SMALL_FRAC = 0.05  # below it people commonly speak of evidence
DEFLATED_MIN_FRAC = 0.95  # from it on: the same of the deflated Sharpe ratio

_NORMAL = NormalDist()


@dataclass(frozen=True, kw_only=True)
class Moments:
    """A record of returns as the formulas see it."""

    sharpe: float  # per observation: mean over sample deviation
    observations: int
    skew: float  # third standardized moment
    kurtosis: float  # fourth; 3 for the normal distribution


@dataclass(frozen=True, kw_only=True)
class Tries:
    """What the winner was chosen from."""

    count: int
    variance: float  # of the tries' Sharpe ratios, per observation


def sharpe_moments(returns: Floats) -> Moments | None:
    """Give the moments of daily returns; None without two of them, without spread, or with a hole.

    Formula: sharpe = mean / sd with n - 1; skew = m3 / m2^1.5 and kurtosis = m4 / m2^2 with
    mk = mean((r - mean)^k).
    """
    if not has_spread(returns):
        return None
    centred = returns - returns.mean()
    second = float(np.mean(centred**2))
    return Moments(
        sharpe=float(returns.mean() / returns.std(ddof=1)),
        observations=len(returns),
        skew=float(np.mean(centred**3) / second**1.5),
        kurtosis=float(np.mean(centred**4) / second**2),
    )


def probabilistic_sharpe_frac(
    sharpe: float, *, observations: int, skew: float, kurtosis: float, bar: float = 0.0
) -> float | None:
    """Give the probability that the true Sharpe ratio is above the bar; None where it is not defined.

    Formula: Phi((sharpe - bar) sqrt(n - 1) / sqrt(1 - skew sharpe + (kurtosis - 1) / 4 sharpe^2)).
    """
    spread = 1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe**2
    if observations < 2 or not spread > 0:
        return None
    return _NORMAL.cdf((sharpe - bar) * math.sqrt(observations - 1) / math.sqrt(spread))


def expected_best_sharpe(tries: int, *, variance: float) -> float:
    """Give the Sharpe ratio that the best of `tries` without skill is expected to have.

    Formula: sqrt(variance) ((1 - g) Phi^-1(1 - 1/N) + g Phi^-1(1 - 1/(N e))), g = 0.5772; 0 for one try.
    """
    if tries < 2 or variance <= 0:
        return 0.0
    near = _NORMAL.inv_cdf(1 - 1 / tries)
    far = _NORMAL.inv_cdf(1 - 1 / (tries * math.e))
    return math.sqrt(variance) * ((1 - EULER_MASCHERONI) * near + EULER_MASCHERONI * far)


def deflated_sharpe_frac(
    sharpe: float, *, observations: int, skew: float, kurtosis: float, tries: int, variance: float
) -> float | None:
    """Give the probability that the winner is better than the luckiest of so many tries; None as PSR.

    Formula: PSR with bar = `expected_best_sharpe`.

    Args:
        sharpe: the winner's, per observation.
        observations: of the winner's record.
        skew: of the winner's returns.
        kurtosis: of the winner's returns, 3 for normal ones.
        tries: all that were looked at, independent of one another.
        variance: of the tries' Sharpe ratios, per observation.
    """
    bar = expected_best_sharpe(tries, variance=variance)
    return probabilistic_sharpe_frac(sharpe, observations=observations, skew=skew, kurtosis=kurtosis, bar=bar)


def luck_frac(probability: float, *, tries: int) -> float:
    """Give how often the best of so many tries without skill does as well.

    Formula: 1 - probability^tries, with the PSR against zero (Sidak's correction of its p-value).
    """
    return 1.0 - probability**tries


def backtest_overfitting_frac(returns: Floats, *, blocks: int = BLOCKS) -> float | None:
    """Give the probability of backtest overfitting; None for less than two tries or two rows a block.

    Formula: cut the record into S blocks; for each of the C(S, S/2) halves, take the try with the best Sharpe
    ratio in it, and w = its rank in the other half / (N + 1); the share of halves with ln(w / (1 - w)) <= 0.
    Tries that never moved are passed over. Blocks differ by at most one row in length.

    Args:
        returns: one row per day, one column per try.
        blocks: S, even.

    Raises:
        ValueError: `blocks` is odd or outside 2 to BLOCKS_MAX.
    """
    if blocks % 2 or not 2 <= blocks <= BLOCKS_MAX:
        raise ValueError(f"{blocks} blocks, allowed: an even number from 2 to {BLOCKS_MAX}")
    if returns.ndim != 2 or len(returns) < 2 * blocks:
        return None
    tries = returns[:, [has_spread(column) for column in returns.T]]
    if tries.shape[1] < 2:
        return None
    shift = tries.mean(axis=0)
    tries = tries - shift  # sums of squares about the mean keep their digits
    parts = np.array_split(tries, blocks)
    sums = np.array([part.sum(axis=0) for part in parts])
    squares = np.array([(part**2).sum(axis=0) for part in parts])
    counts = np.array([float(len(part)) for part in parts])
    halves = np.array(list(combinations(range(blocks), blocks // 2)))
    low = 0
    for start in range(0, len(halves), COMBINATIONS_AT_ONCE):
        chosen = np.zeros((len(halves[start : start + COMBINATIONS_AT_ONCE]), blocks))
        np.put_along_axis(chosen, halves[start : start + COMBINATIONS_AT_ONCE], 1.0, axis=1)
        inside = _sharpes(chosen, sums=sums, squares=squares, counts=counts, shift=shift)
        outside = _sharpes(1.0 - chosen, sums=sums, squares=squares, counts=counts, shift=shift)
        best = np.argmax(inside, axis=1)
        winners = np.take_along_axis(outside, best[:, None], axis=1)
        ranks = 1 + (outside < winners).sum(axis=1)
        # The logit is not above zero where the rank is not above the middle.
        low += int((2 * ranks <= tries.shape[1] + 1).sum())
    return low / len(halves)


def _sharpes(chosen: Floats, *, sums: Floats, squares: Floats, counts: Floats, shift: Floats) -> Floats:
    """Give each half's Sharpe ratio of each try from its blocks' sums; minus infinity where nothing moved."""
    number = (chosen @ counts)[:, None]
    mean = chosen @ sums / number
    variance = (chosen @ squares / number - mean**2) * number / (number - 1)
    moved = variance > 0
    sharpes: Floats = np.where(moved, (mean + shift) / np.sqrt(np.where(moved, variance, 1.0)), float("-inf"))
    return sharpes


def plain_words(moments: Moments, tries: Tries | None) -> str:
    """Say in a sentence or two, for people, how much luck there may be in it."""
    annual = moments.sharpe * math.sqrt(DAYS_A_YEAR)
    psr = probabilistic_sharpe_frac(
        moments.sharpe, observations=moments.observations, skew=moments.skew, kurtosis=moments.kurtosis
    )
    if psr is None:
        return f"The Sharpe ratio is {annual:z.2f}, on too odd a record to say how much of it is luck."
    if tries is None or tries.count < 2:
        return (
            f"This is one try: were there no skill, {moments.observations} days would give a Sharpe ratio of "
            f"{annual:z.2f} or more {times(luck_frac(psr, tries=1))} in 100. Every further set of "
            "parameters looked at makes luck likelier."
        )
    luck = luck_frac(psr, tries=tries.count)
    dsr = deflated_sharpe_frac(
        moments.sharpe,
        observations=moments.observations,
        skew=moments.skew,
        kurtosis=moments.kurtosis,
        tries=tries.count,
        variance=tries.variance,
    )
    assert dsr is not None, "it is known where the PSR is"
    small, high = luck < LUCK_SMALL_FRAC, dsr >= DEFLATED_MIN_FRAC
    verdict = "That is evidence of skill." if small and high else "That is no evidence of skill."
    if small is not high:
        verdict = f"The stricter of the two decides: t{verdict[1:]}"
    return (
        f"Of {tries.count} tries the best Sharpe ratio is {annual:z.2f}; luck alone, were the tries "
        f"independent, would give one as high {times(luck)} in 100. Deflated Sharpe ratio {floored(dsr)}, "
        f"where {DEFLATED_MIN_FRAC:.2f} and more is asked for. {verdict}"
    )


def times(share: float) -> str:
    """Give a share as times in a hundred, never as a round 0 that it is not."""
    if 0 < share < 0.005:
        return "less than once"
    hundredths = f"{share * 100:.0f}"
    return "once" if hundredths == "1" else f"{hundredths} times"


def floored(share: float) -> str:
    """Give a share to a hundredth, never rounded up to a limit that it does not reach."""
    return f"{math.floor(round(share * 100, 6)) / 100:.2f}"

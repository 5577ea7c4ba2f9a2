"""Over-fitting: the papers' own worked examples, and markets where the answer is known."""

import math
from itertools import combinations

import numpy as np
import pytest

from desk.research.overfitting import (
    BLOCKS,
    Tries,
    backtest_overfitting_frac,
    deflated_sharpe_frac,
    expected_best_sharpe,
    floored,
    luck_frac,
    plain_words,
    probabilistic_sharpe_frac,
    sharpe_moments,
    times,
)

DAYS = 250  # a year, in both papers


def test_the_deflated_sharpe_ratios_worked_example() -> None:
    """Annual Sharpe 2.5 over 1250 days, best of 100 with variance 1/2: bar 0.1132 a day, DSR 0.9004.

    Source: Bailey and Lopez de Prado (2014), "The Deflated Sharpe Ratio", numerical example (pages 9 and 10).
    """
    variance = 0.5 / DAYS
    sharpe = 2.5 / math.sqrt(DAYS)

    assert expected_best_sharpe(100, variance=variance) == pytest.approx(0.1132, abs=5e-5)
    for tries, skew, kurtosis, answer in ((100, -3, 10, 0.9004), (46, -3, 10, 0.9505), (88, 0, 3, 0.9505)):
        found = deflated_sharpe_frac(
            sharpe, observations=1250, skew=skew, kurtosis=kurtosis, tries=tries, variance=variance
        )
        assert found == pytest.approx(answer, abs=5e-5)


@pytest.mark.parametrize(("skew", "kurtosis", "answer"), [(0, 3, 0.982), (-2.448, 10.164, 0.913)])
def test_the_probabilistic_sharpe_ratios_worked_example(skew: float, kurtosis: float, answer: float) -> None:
    """Two years of months at an annual Sharpe of 1.59: 0.982 if they were normal, 0.913 as they were.

    Source: Bailey and Lopez de Prado (2012), "The Sharpe Ratio Efficient Frontier", section 4, the
    hedge fund of figure 2.
    """
    found = probabilistic_sharpe_frac(0.458, observations=24, skew=skew, kurtosis=kurtosis)

    assert found == pytest.approx(answer, abs=1e-3)


def test_moments_are_of_the_returns_themselves() -> None:
    """1, 2, 3, 10: mean 4, sample deviation sqrt(50/3); central moments over their powers."""
    moments = sharpe_moments(np.array([1.0, 2.0, 3.0, 10.0]))

    assert moments is not None
    assert moments.sharpe == pytest.approx(4 / math.sqrt(50 / 3))
    assert moments.skew == pytest.approx((180 / 4) / 12.5**1.5)
    assert moments.kurtosis == pytest.approx((1394 / 4) / 12.5**2)


@pytest.mark.parametrize("returns", [[], [0.01], [0.0, 0.0, 0.0], [0.1, float("nan")]])
def test_no_spread_has_no_moments(returns: list[float]) -> None:
    """Without two days, or where nothing moves, or with a hole, there is no Sharpe ratio to judge."""
    assert sharpe_moments(np.array(returns)) is None


def test_an_impossible_spread_is_no_answer() -> None:
    """Moments under which the estimate's variance is not positive give None, not an exception."""
    assert probabilistic_sharpe_frac(2.0, observations=50, skew=3.0, kurtosis=3.0) is None
    assert probabilistic_sharpe_frac(0.1, observations=1, skew=0.0, kurtosis=3.0) is None


def test_luck_of_one_try_is_the_tests_own_level() -> None:
    """One try with a probability of 0.95 is luck 5 times in 100; the best of 20 such 64 times."""
    assert luck_frac(0.95, tries=1) == pytest.approx(0.05)
    assert luck_frac(0.95, tries=20) == pytest.approx(1 - 0.95**20)


def naive_pbo(returns: np.ndarray, blocks: int) -> float:
    """Follow the paper's steps one by one, on whole sub-matrices."""
    parts = np.array_split(returns, blocks)
    below = []
    for chosen in combinations(range(blocks), blocks // 2):
        inside = np.concatenate([parts[each] for each in chosen])
        outside = np.concatenate([parts[each] for each in range(blocks) if each not in chosen])
        best = int(np.argmax(inside.mean(axis=0) / inside.std(axis=0, ddof=1)))
        scores = outside.mean(axis=0) / outside.std(axis=0, ddof=1)
        rank = 1 + int((scores < scores[best]).sum())
        share = rank / (returns.shape[1] + 1)
        below.append(math.log(share / (1 - share)) <= 0)
    return sum(below) / len(below)


@pytest.mark.parametrize("seed", range(4))
def test_cscv_is_the_papers_procedure(seed: int) -> None:
    """Block sums give what sub-matrices give, step by step (Bailey et al. 2017, section 3)."""
    returns = np.random.default_rng(seed).normal(0.0002, 0.01, size=(203, 7))

    assert backtest_overfitting_frac(returns, blocks=8) == pytest.approx(naive_pbo(returns, 8))


def test_pure_luck_overfits_and_real_skill_does_not() -> None:
    """The best of forty coins is below the middle about half the time; one that earns never is."""
    coins = [
        backtest_overfitting_frac(np.random.default_rng(seed).normal(0, 0.01, size=(252, 40)), blocks=8)
        for seed in range(12)
    ]
    skilled = np.random.default_rng(1).normal(0, 0.01, size=(252, 40))
    skilled[:, 17] += 0.01

    assert 0.3 < float(np.mean([each for each in coins if each is not None])) < 0.7
    assert backtest_overfitting_frac(skilled) == 0.0


@pytest.mark.parametrize("shape", [(100, 1), (BLOCKS * 2 - 1, 5), (0, 0)])
def test_too_little_to_divide_is_no_answer(shape: tuple[int, int]) -> None:
    """One column, or fewer than two rows a block, say nothing about choosing."""
    assert backtest_overfitting_frac(np.zeros(shape)) is None


def test_columns_that_never_trade_are_passed_over() -> None:
    """A parameter set without a trade has no spread: it neither wins nor breaks the ranking."""
    returns = np.random.default_rng(3).normal(0, 0.01, size=(252, 6))
    idle = np.column_stack([returns, np.zeros(252)])

    assert backtest_overfitting_frac(idle) == backtest_overfitting_frac(returns)


def test_the_words_say_numbers_and_what_they_mean() -> None:
    """A year at an annual Sharpe of 1.9 is the best of 500: luck alone does as well nearly every time."""
    moments = sharpe_moments(yearly(1.9))
    assert moments is not None

    words = plain_words(moments, Tries(count=500, variance=0.004))

    assert words.startswith("Of 500 tries the best Sharpe ratio is 1.90; luck alone")
    assert "independent, would give one as high 100 times in 100" in words
    assert plain_words(moments, None).startswith("This is one try")


@pytest.mark.parametrize(
    ("annual", "variance", "conclusion"),
    [
        (1.9, 0.004, "That is no evidence of skill."),
        (13.0, 0.0001, "That is evidence of skill."),
        (13.0, 0.2, "The stricter of the two decides: that is no evidence of skill."),
        (2.4, 0.0, "The stricter of the two decides: that is no evidence of skill."),
    ],
)
def test_the_words_come_to_one_conclusion(annual: float, variance: float, conclusion: str) -> None:
    """Only where both numbers are good is it evidence: the stricter one decides."""
    moments = sharpe_moments(yearly(annual))
    assert moments is not None

    words = plain_words(moments, Tries(count=24, variance=variance))

    assert words.endswith(f" where 0.95 and more is asked for. {conclusion}")
    assert words.count("evidence") == 1


def test_a_deflated_ratio_is_not_rounded_up_to_what_is_asked_for() -> None:
    """A hair less than 0.95 is told as 0.94: the number and the conclusion agree."""
    assert [floored(each) for each in (0.9499, 0.95, 0.29)] == ["0.94", "0.95", "0.29"]


@pytest.mark.parametrize(
    ("share", "words"),
    [(0.0, "0 times"), (0.004, "less than once"), (0.01, "once"), (0.05, "5 times"), (1.0, "100 times")],
)
def test_a_share_is_told_as_times(share: float, words: str) -> None:
    """In a hundred; once is once."""
    assert times(share) == words


def yearly(annual: float) -> np.ndarray:
    """Give a year of daily returns with just that annual Sharpe ratio."""
    noise = np.random.default_rng(5).normal(size=252)
    noise = (noise - noise.mean()) / noise.std(ddof=1)
    return 0.01 * (noise + annual / math.sqrt(252))

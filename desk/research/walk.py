"""What a search found: each fold's best set by its training days, and what it then did on its test days.

Theory of operation. A set's days are its P&L by session, after costs, played from the fold's first session
with the cash a backtest starts with and nothing held; training and test are played apart, so no position is
carried from one into the other. The best is chosen by training days alone. The tests of the best, one after
the other, are what a person would have had; each begins with the same cash, so their P&L is added and not
compounded.

The screen found the best; the exact engine plays its tests again, and a fill that differs is a defect.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import assert_never

import numpy as np
import numpy.typing as npt
import polars as pl

from desk.research.overfitting import (
    BLOCKS,
    Moments,
    Tries,
    backtest_overfitting_frac,
    deflated_sharpe_frac,
    plain_words,
    probabilistic_sharpe_frac,
    sharpe_moments,
    times,
)
from desk.research.returns import calmar_ratio, daily_returns, max_drawdown_frac, sharpe_ratio
from schemas.sweep import Fold, Objective

Floats = npt.NDArray[np.float64]

WORST, BEST = float("-inf"), float("inf")  # the scores of what has no number
COMPARED = ("ts", "symbol", "side", "qty", "price", "fee")  # of two engines' fills
# One row a set and fold: what pieces give.
DAYS_SCHEMA: dict[str, pl.DataType] = {
    "place": pl.Int64(),  # of the set
    "fold": pl.Int64(),
    "train_trades": pl.Int64(),
    "train_pnl": pl.List(pl.Float64()),  # USD by session
    "test_trades": pl.Int64(),
    "test_pnl": pl.List(pl.Float64()),
}


class FillsDiffer(AssertionError):
    """The screen and the exact engine played a winner differently: a defect of this program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """What some days were worth; None where there is no answer."""

    pnl: float  # USD
    sharpe: float | None  # of daily returns, a year
    calmar: float | None
    max_drawdown_frac: float | None  # of daily closes

    def of(self, objective: Objective) -> float | None:
        """Give the number an objective means."""
        match objective:
            case Objective.SHARPE:
                return self.sharpe
            case Objective.PNL:
                return self.pnl
            case Objective.CALMAR:
                return self.calmar
            case _:
                assert_never(objective)

    def score(self, objective: Objective) -> float:
        """Give what is compared; higher is better. A gain that never fell has no Calmar ratio and is best."""
        found = self.of(objective)
        if found is None and objective is Objective.CALMAR and self.pnl > 0:
            return BEST
        return WORST if found is None else found


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One set in one fold."""

    place: int
    fold: Fold
    train: Marks
    train_trades: int
    train_days: Floats  # P&L of the sessions that count
    test: Marks
    test_trades: int
    test_days: Floats

    def __eq__(self, other: object) -> bool:
        """Tell whether the other is the same set in the same fold."""
        return isinstance(other, Trial) and (self.place, self.fold) == (other.place, other.fold)

    def __hash__(self) -> int:
        """Give a hash that agrees with equality."""
        return hash((self.place, self.fold.number))


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A fold's best."""

    best: Trial
    tried: int
    deflated_sharpe_frac: float | None  # of its training days, against all sets of the fold


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the search is worth."""

    choices: tuple[Choice, ...]  # by fold
    dates: tuple[date, ...]  # of the chained tests; of the training where there is no test
    days: Floats  # their P&L
    marks: Marks
    overfitting_frac: float | None  # how often the best of half the days is below the middle in the rest
    luck: str  # of the training, in plain words
    truth: str  # of the tests, in plain words


def marks(days: Floats, *, cash: float) -> Marks:
    """Give the numbers of daily P&L on a starting cash."""
    closes = cash + np.cumsum(days)
    returns = daily_returns(closes, opening=cash)
    return Marks(
        pnl=float(days.sum()),
        sharpe=None if returns is None else sharpe_ratio(returns),
        calmar=None if returns is None else calmar_ratio(returns),
        max_drawdown_frac=max_drawdown_frac(closes, opening=cash),
    )


def trials_of(days: pl.DataFrame, folds: Sequence[Fold], *, cash: float) -> list[Trial]:
    """Give what pieces gave (`DAYS_SCHEMA`), judged, in order of fold and place."""
    by_number = {fold.number: fold for fold in folds}
    counted = {
        fold.number: np.array(
            [place not in fold.embargoed for place in range(fold.train_start, fold.train_end)], dtype=bool
        )
        for fold in folds
    }
    found = []
    for row in days.sort("fold", "place").iter_rows(named=True):
        number = row["fold"]
        train = np.array(row["train_pnl"], dtype=np.float64)[counted[number]]
        test = np.array(row["test_pnl"], dtype=np.float64)
        found.append(
            Trial(
                place=row["place"],
                fold=by_number[number],
                train=marks(train, cash=cash),
                train_trades=row["train_trades"],
                train_days=train,
                test=marks(test, cash=cash),
                test_trades=row["test_trades"],
                test_days=test,
            )
        )
    return found


def choices_of(trials: Sequence[Trial], objective: Objective, *, cash: float) -> tuple[Choice, ...]:
    """Choose each fold's best by its training days; of equals the larger gain, then the first place."""
    by_fold: dict[int, list[Trial]] = {}
    for trial in trials:
        by_fold.setdefault(trial.fold.number, []).append(trial)
    return tuple(_choice(by_fold[number], objective, cash=cash) for number in sorted(by_fold))


def _choice(tried: Sequence[Trial], objective: Objective, *, cash: float) -> Choice:
    best = max(tried, key=lambda trial: (trial.train.score(objective), trial.train.pnl, -trial.place))
    moments, tries = _moments(best.train_days, cash=cash), _tries(tried, cash=cash)
    deflated = None
    if moments is not None and tries is not None:
        deflated = deflated_sharpe_frac(
            moments.sharpe,
            observations=moments.observations,
            skew=moments.skew,
            kurtosis=moments.kurtosis,
            tries=tries.count,
            variance=tries.variance,
        )
    return Choice(best=best, tried=len(tried), deflated_sharpe_frac=deflated)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rank:
    """A set over all folds: means of those where there is a number."""

    place: int
    folds: int  # in which it was tried
    train: float | None  # the objective
    test: float | None
    train_usd: float
    test_usd: float
    test_trades: int  # of all folds


def ranked(trials: Sequence[Trial], objective: Objective) -> list[Rank]:
    """Give the sets, the best of the training first; of equals the first place.

    Sets tried in more folds come before others: one that only the best fold tried has the best mean.
    """
    by_place: dict[int, list[Trial]] = {}
    for trial in trials:
        by_place.setdefault(trial.place, []).append(trial)
    ranks = [
        Rank(
            place=place,
            folds=len(same),
            train=_mean([trial.train.of(objective) for trial in same]),
            test=_mean([trial.test.of(objective) for trial in same]),
            train_usd=sum(trial.train.pnl for trial in same) / len(same),
            test_usd=sum(trial.test.pnl for trial in same) / len(same),
            test_trades=sum(trial.test_trades for trial in same),
        )
        for place, same in by_place.items()
    ]
    return sorted(
        ranks, key=lambda rank: (-rank.folds, -(WORST if rank.train is None else rank.train), rank.place)
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def verdict(
    trials: Sequence[Trial], objective: Objective, *, cash: float, sessions: Sequence[date]
) -> Verdict:
    """Say what the search found and how far it is to be believed."""
    choices = choices_of(trials, objective, cash=cash)
    tested = choices[0].best.fold.test_end > choices[0].best.fold.test_start
    if tested:
        folds = [choice.best.fold for choice in choices]
        dates = tuple(day for fold in folds for day in sessions[fold.test_start : fold.test_end])
        days = np.concatenate([choice.best.test_days for choice in choices])
    else:
        fold = choices[0].best.fold
        dates, days = tuple(sessions[fold.train_start : fold.train_end]), choices[0].best.train_days
    last = [trial for trial in trials if trial.fold == choices[-1].best.fold]
    moments = _moments(choices[-1].best.train_days, cash=cash)
    luck = "The best set's training days say nothing: too few, or none like another."
    if moments is not None:
        tries = _tries(last, cash=cash)
        words = plain_words(moments, tries) + _why_fewer(trials, last, tries)
        luck = f"The last fold's training: {words}" if tested else words
    return Verdict(
        choices=choices,
        dates=dates,
        days=days,
        marks=marks(days, cash=cash),
        overfitting_frac=_overfitting(last),
        luck=luck,
        truth=_truth(choices, days, objective, cash=cash) if tested else NO_TEST,
    )


def _why_fewer(trials: Sequence[Trial], last: Sequence[Trial], tries: Tries | None) -> str:
    """Say why there are fewer tries than sets; nothing where there are as many."""
    every = len({trial.place for trial in trials})
    idle = len(last) - (1 if tries is None else tries.count)
    words = f" Of {every} sets the last fold tried {len(last)}." if every > len(last) else ""
    if idle:
        ends = "and is no try" if idle == 1 else "and are no tries"
        words += (
            f" {idle} of {len(last)} sets made the same on every training day, as without a trade, {ends}."
        )
    return words


NO_TEST = (
    "Nothing here was tested: the best was chosen and judged on the same sessions. "
    "Give --train and --test for an answer to believe."
)


def _truth(choices: Sequence[Choice], days: Floats, objective: Objective, *, cash: float) -> str:
    """Hold the tests against the training, in plain words."""
    found = marks(days, cash=cash)
    bests = [choice.best for choice in choices]
    gained = sum(best.test.pnl > 0 for best in bests)
    trained = [best.train.sharpe for best in bests if best.train.sharpe is not None]
    plural = "" if len(days) == 1 else "s"
    words = f"On the {len(days)} session{plural} nobody chose on, the chosen sets made {found.pnl:z,.2f} USD"
    if found.sharpe is not None and trained:
        words += f", Sharpe ratio {found.sharpe:z.2f}, after {sum(trained) / len(trained):z.2f} in training"
    words += f"; {gained} of {len(bests)} test{'' if len(bests) == 1 else 's'} gained."
    if found.pnl <= 0:
        return words + " What the training found did not hold: the search fitted the past."
    moments = _moments(days, cash=cash)
    psr = None
    if moments is not None:
        psr = probabilistic_sharpe_frac(
            moments.sharpe, observations=moments.observations, skew=moments.skew, kurtosis=moments.kurtosis
        )
    if psr is None:
        return words
    return f"{words} Without any skill so many sessions would give as much {times(1 - psr)} in 100."


def _moments(days: Floats, *, cash: float) -> Moments | None:
    returns = daily_returns(cash + np.cumsum(days), opening=cash)
    return None if returns is None else sharpe_moments(returns)


def _tries(tried: Sequence[Trial], *, cash: float) -> Tries | None:
    """Give what the best was chosen from: the sets whose days moved."""
    found = [_moments(trial.train_days, cash=cash) for trial in tried]
    sharpes = [each.sharpe for each in found if each is not None]
    if len(sharpes) < 2:
        return None
    return Tries(count=len(sharpes), variance=float(np.var(sharpes, ddof=1)))


def _overfitting(tried: Sequence[Trial]) -> float | None:
    """Give CSCV's answer on training days, in as many blocks as the days allow."""
    blocks = min(BLOCKS, len(tried[0].train_days) // 4 * 2)
    if blocks < 2:
        return None
    return backtest_overfitting_frac(np.column_stack([trial.train_days for trial in tried]), blocks=blocks)


def first_difference(screened: pl.DataFrame, exact: pl.DataFrame) -> str | None:
    """Name the first fill in which two engines differ; None where there is none."""
    order = ["ts", "symbol", "side"]
    ours, theirs = (frame.select(COMPARED).sort(order) for frame in (screened, exact))
    for place in range(max(ours.height, theirs.height)):
        one = ours.row(place, named=True) if place < ours.height else None
        other = theirs.row(place, named=True) if place < theirs.height else None
        if one != other:
            return f"fill {place + 1}: the screen has {_fill(one)}, the exact engine {_fill(other)}"
    return None


def _fill(row: Mapping[str, object] | None) -> str:
    if row is None:
        return "none"
    return f"{row['ts']} {row['symbol']} {row['side']} {row['qty']} at {row['price']}, fee {row['fee']}"

"""Choose sets by what earlier ones gave: optuna's tree-structured Parzen estimator, one study a fold.

Theory of operation. Asked and told round by round. Each round's sampler is made anew from the sweep's seed,
the fold and the round, so a search is a function of the scores it was told: a sweep that goes on after a kill
asks the same questions again and finds the answers in its files. Those files are the storage; optuna's own
would keep the answers but not the sampler's place in its random numbers.
"""

from collections.abc import Callable, Sequence

import numpy as np
import optuna
from optuna.samplers import TPESampler
from optuna.trial import Trial, TrialState

from desk.research.search import Space
from desk.research.walk import WORST

ATTEMPTS_A_SET = 20  # at a set not tried and not refused, before one is drawn by lot
STARTUP_SETS = 16  # by lot before the estimator has something to estimate from
SCORE_MAX = 1e9  # stands for a score without end, which no estimator can weigh

optuna.logging.set_verbosity(optuna.logging.WARNING)


class Bayes:
    """One fold's search."""

    def __init__(self, space: Space, *, seed: int, fold: int, accepts: Callable[[int], bool]) -> None:
        """Begin.

        Args:
            space: what may be tried.
            seed: of the sweep.
            fold: its number.
            accepts: whether the strategy takes a set.
        """
        self._space = space
        self._seed = (seed, fold)
        self._accepts = accepts
        self._study = optuna.create_study(direction="maximize")
        self._drawn = space.drawn(seed=seed)
        self._asked: dict[int, Trial] = {}
        self._seen: set[int] = set()
        self._round = 0
        self.refused: set[int] = set()

    def ask(self, count: int) -> list[int]:
        """Give so many new places; fewer where there are no more."""
        self._round += 1
        drawn = np.random.SeedSequence((*self._seed, self._round)).generate_state(1)
        self._study.sampler = TPESampler(seed=int(drawn[0]), n_startup_trials=STARTUP_SETS)
        found: list[int] = []
        for _ in range(count * ATTEMPTS_A_SET):
            if len(found) == count:
                return found
            trial = self._study.ask()
            place = self._place(trial)
            if self._is_new(place):
                self._asked[place] = trial
                found.append(place)
            else:
                self._study.tell(trial, state=TrialState.FAIL)
        for place in self._drawn:
            if len(found) == count:
                break
            if self._is_new(place):
                found.append(place)
        return found

    def tell(self, places: Sequence[int], scores: Sequence[float]) -> None:
        """Take what places gave."""
        for place, score in zip(places, scores, strict=True):
            trial = self._asked.pop(place, None)
            if trial is None:
                continue  # drawn by lot: the study knows nothing of it
            if score == WORST:
                self._study.tell(trial, state=TrialState.FAIL)
            else:
                self._study.tell(trial, min(score, SCORE_MAX))

    def _place(self, trial: Trial) -> int:
        return self._space.place_of(
            [
                trial.suggest_int(each.name, 0, len(each.values) - 1)
                if all(isinstance(value, int | float) for value in each.values)
                else trial.suggest_categorical(each.name, range(len(each.values)))
                for each in self._space.ranges
            ]
        )

    def _is_new(self, place: int) -> bool:
        if place in self._seen or place in self.refused:
            return False
        if not self._accepts(place):
            self.refused.add(place)
            return False
        self._seen.add(place)
        return True

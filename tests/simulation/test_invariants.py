"""Days with trouble, each from one seed: I1 to I15 hold whatever happens in whatever order.

`DESK_SEED=n pytest tests/simulation` plays one seed again; `desk simulate --seed n --trace` tells its story.
"""

import os
import subprocess
import sys
from collections import Counter

import pytest

from tasks.simulate import Choice, Outcome, replay_seed
from tests.simulation.kept_seeds import KEPT

SEEDS = range(40)
CHUNK = 10


def chunks() -> list[range]:
    """Give the seeds to play: DESK_SEED alone, or all, some a test."""
    chosen = os.environ.get("DESK_SEED")
    if chosen is not None:
        return [range(int(chosen), int(chosen) + 1)]
    return [SEEDS[start : start + CHUNK] for start in range(0, len(SEEDS), CHUNK)]


def held(outcome: Outcome) -> str:
    """Give what failed, in words; nothing when every invariant held."""
    if outcome.failure is None:
        return ""
    failure = outcome.failure
    return (
        f"seed {outcome.seed} breaks {failure.invariant}: {failure.words}\n{failure.trace}"
        f"again: desk simulate --seed {outcome.seed} --trace"
    )


@pytest.mark.parametrize("seeds", chunks(), ids=lambda seeds: f"{seeds[0]}-{seeds[-1]}")
def test_i1_to_i15_hold_through_whatever_a_seed_brings(seeds: range) -> None:
    """Nothing is doubled, forgotten, unapproved or out of limits, and the books are equal in the end."""
    failures = [held(replay_seed(seed, Choice())[1]) for seed in seeds]

    assert [words for words in failures if words] == []


@pytest.mark.parametrize(("seed", "minutes", "why"), KEPT, ids=lambda value: str(value))
def test_a_seed_that_once_failed_holds(seed: int, minutes: int, why: str) -> None:
    """What a seed had found stays found."""
    assert held(replay_seed(seed, Choice(minutes=minutes))[1]) == "", why


def test_a_quiet_day_trades_and_has_no_trouble() -> None:
    """Without faults and people a seed is a day of orders and fills in which nothing is killed."""
    totals: Counter[str] = Counter()
    for seed in range(6):
        outcome = replay_seed(seed, Choice(trouble=False))[1]
        assert held(outcome) == ""
        totals.update(outcome.counts)

    assert totals["executions"] > 0
    assert totals["kills"] == 0
    assert not [kind for kind in totals if kind.startswith(("fault", "act"))]


def test_the_seeds_together_try_every_kind_of_trouble() -> None:
    """A slice of seeds has kills, second sessions, hands at the broker, lost answers and bad bars."""
    totals: Counter[str] = Counter()
    checked: Counter[str] = Counter()
    for seed in range(40):
        outcome = replay_seed(seed, Choice())[1]
        totals.update(outcome.counts)
        checked.update(outcome.checked)

    assert totals["kills"] > 20
    assert totals["executions"] > 100
    assert {f"I{number}" for number in (*range(1, 11), 12, 13, 14, 15)} <= set(checked)
    assert len([kind for kind in totals if kind.startswith("fault")]) > 12
    assert len([kind for kind in totals if kind.startswith("act")]) > 7


def test_a_seed_is_the_same_in_every_process() -> None:
    """The ledger's bytes are a function of the seed: neither hash seeds nor earlier runs move them."""
    words = (
        "from tasks.simulate import Choice, replay_seed;"
        "print(*(replay_seed(seed, Choice())[1].digest for seed in (3, 7, 11)))"
    )

    runs = [
        subprocess.run(
            [sys.executable, "-c", words],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
        ).stdout
        for hash_seed in ("1", "2")
    ]

    assert len(runs[0].split()) == 3
    assert runs[0] == runs[1]

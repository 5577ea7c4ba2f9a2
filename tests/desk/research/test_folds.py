"""Folds: no session on both sides, purge and embargo kept, each session from the first test on tested."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desk.errors import ConfigError
from desk.research.folds import in_sample, sessions_of, walk_forward
from schemas.sweep import Fold

NUMBERS = st.fixed_dictionaries(
    {
        "sessions": st.integers(1, 120),
        "train": st.integers(2, 40),
        "test": st.integers(1, 20),
        "purge": st.integers(0, 5),
        "embargo": st.integers(0, 19),
        "anchored": st.booleans(),
    }
)


def trained(fold: Fold) -> set[int]:
    """Give the sessions whose results a fold's choice may look at."""
    return set(range(fold.train_start, fold.train_end)) - set(fold.embargoed)


@given(NUMBERS)
def test_folds_hold_what_they_promise(numbers: dict[str, int]) -> None:
    """Whatever is asked, either it is refused or every promise holds."""
    sessions, train, test = numbers["sessions"], numbers["train"], numbers["test"]
    purge, embargo, anchored = numbers["purge"], numbers["embargo"], numbers["anchored"]
    possible = embargo < test and sessions > train + purge
    if not possible:
        with pytest.raises(ConfigError):
            walk_forward(
                sessions, train=train, test=test, purge=purge, embargo=embargo, anchored=bool(anchored)
            )
        return

    folds = walk_forward(
        sessions, train=train, test=test, purge=purge, embargo=embargo, anchored=bool(anchored)
    )

    tests = [place for fold in folds for place in range(fold.test_start, fold.test_end)]
    assert tests == list(range(train + purge, sessions))
    assert [fold.number for fold in folds] == list(range(1, len(folds) + 1))
    for fold in folds:
        assert 0 <= fold.train_start < fold.train_end <= fold.test_start < fold.test_end <= sessions
        assert fold.test_start - fold.train_end == purge
        assert fold.train_start == 0 if anchored else fold.train_end - fold.train_start == train
        assert fold.test_end - fold.test_start == test or fold == folds[-1]
        earlier = [each.test_end for each in folds if each.number < fold.number]
        echoes = {place for end in earlier for place in range(end, end + embargo)}
        assert trained(fold) & echoes == set()
        assert set(fold.embargoed) == echoes & set(range(fold.train_start, fold.train_end))


def test_a_walk_by_hand() -> None:
    """Twelve sessions, five to train, one purged, three to test, one embargoed after each."""
    first, second = walk_forward(12, train=5, test=3, purge=1, embargo=1)

    assert first == Fold(number=1, train_start=0, train_end=5, test_start=6, test_end=9)
    assert second == Fold(number=2, train_start=3, train_end=8, test_start=9, test_end=12)
    third = walk_forward(15, train=5, test=3, purge=1, embargo=1)[2]
    assert third == Fold(number=3, train_start=6, train_end=11, test_start=12, test_end=15, embargoed=(9,))


def test_without_a_test_everything_is_trained_on() -> None:
    """One fold whose test is empty; one session is no search."""
    assert in_sample(9) == (Fold(number=1, train_start=0, train_end=9, test_start=9, test_end=9),)
    with pytest.raises(ConfigError, match="1 sessions"):
        in_sample(1)


@pytest.mark.parametrize(("bars", "sessions"), [(0, 0), (1, 1), (390, 1), (391, 2), (1_000, 3)])
def test_a_warm_up_is_counted_in_whole_sessions(bars: int, sessions: int) -> None:
    """A bar of the session before counts as all of it."""
    assert sessions_of(bars) == sessions

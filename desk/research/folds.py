"""Walk-forward: which sessions parameters are chosen on, and which later ones they are judged on.

Theory of operation. Tests follow one another without a gap, so that every session from the first test's first
on is tested exactly once, by parameters chosen before it; chained, the tests are what a person would have
had who chose anew each time. All spans are half-open places in the list of sessions.

    rolling    train [a, a + train)   purged   test [.., .. + test), then all moves on by `test`
    anchored   train [0, grows)       purged   test

- purge: sessions between training and test that are in neither. A signal of the test's first bar looks back
  over the warm-up; without a purge that long it looks at bars the parameters were chosen on.
- embargo: that many sessions from each test's end on do not count in later training. They are played,
  because a position cannot jump over a day, and left out of what is scored. In a walk-forward training
  never comes after its own test, so this guards only against results that echo from one fold into the next.

Left out: training on both sides of a test (combinatorial purged cross-validation).
"""

from desk.errors import ConfigError
from schemas.sweep import Fold

TRAIN_MIN = 2  # sessions: a Sharpe ratio needs two returns
MINUTES_A_SESSION = 390  # a bar each, at most; an early close has fewer and is counted as whole


def walk_forward(
    sessions: int, *, train: int, test: int, purge: int = 0, embargo: int = 0, anchored: bool = False
) -> tuple[Fold, ...]:
    """Cut sessions into folds, the oldest first; the last test may be shorter.

    Args:
        sessions: how many there are.
        train: of a fold; where anchored, of the first one.
        test: of a fold.
        purge: between the two.
        embargo: after each test.
        anchored: training always begins with the first session.

    Raises:
        ConfigError: a number makes no sense, or there are too few sessions for one fold.
    """
    if train < TRAIN_MIN or test < 1 or purge < 0 or not 0 <= embargo < test:
        raise ConfigError(
            f"train {train}, test {test}, purge {purge}, embargo {embargo} sessions; "
            f"allowed: train {TRAIN_MIN} or more, test 1 or more, embargo less than test"
        )
    needed = train + purge + 1
    if sessions < needed:
        raise ConfigError(
            f"{sessions} sessions; train {train}, purge {purge} and a test need {needed} at least"
        )
    folds: list[Fold] = []
    for number, start in enumerate(range(train + purge, sessions, test), start=1):
        train_end = start - purge
        train_start = 0 if anchored else train_end - train
        echoes = (place for fold in folds for place in range(fold.test_end, fold.test_end + embargo))
        folds.append(
            Fold(
                number=number,
                train_start=train_start,
                train_end=train_end,
                test_start=start,
                test_end=min(start + test, sessions),
                embargoed=tuple(place for place in echoes if train_start <= place < train_end),
            )
        )
    return tuple(folds)


def in_sample(sessions: int) -> tuple[Fold, ...]:
    """Give the one fold of a search without a test: everything is trained on.

    Raises:
        ConfigError: there are too few sessions.
    """
    if sessions < TRAIN_MIN:
        raise ConfigError(f"{sessions} sessions; a search needs {TRAIN_MIN} at least")
    return (Fold(number=1, train_start=0, train_end=sessions, test_start=sessions, test_end=sessions),)


def sessions_of(warm_up: int) -> int:
    """Give how many sessions a warm-up of so many bars reaches back, rounded up."""
    return -(-warm_up // MINUTES_A_SESSION)

"""What a search found: the best by training alone, its tests chained, and two engines held together."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import polars as pl
import pytest

from desk.research.folds import in_sample, walk_forward
from desk.research.walk import (
    DAYS_SCHEMA,
    NO_TEST,
    choices_of,
    first_difference,
    marks,
    ranked,
    trials_of,
    verdict,
)
from schemas.research import FILL_SCHEMA
from schemas.sweep import Objective

CASH = 10_000.0
SESSIONS = [date(2025, 1, 1) + timedelta(days=place) for place in range(8)]
FOLDS = walk_forward(8, train=4, test=2)


def rows(*sets: tuple[int, int, list[float], list[float]]) -> pl.DataFrame:
    """Give days of (place, fold, training, test)."""
    return pl.DataFrame(
        [(place, fold, 3, train, 2, test) for place, fold, train, test in sets],
        schema=DAYS_SCHEMA,
        orient="row",
    )


DAYS = rows(
    (0, 1, [10.0, 20.0, 10.0, 20.0], [-50.0, -60.0]),
    (1, 1, [100.0, -90.0, 100.0, -90.0], [500.0, 400.0]),
    (0, 2, [-10.0, -20.0, -10.0, -20.0], [900.0, 900.0]),
    (1, 2, [30.0, 40.0, 30.0, 45.0], [5.0, 7.0]),
)


def test_the_best_is_chosen_by_its_training_alone() -> None:
    """A set whose test is splendid and whose training is not is not chosen; the tests are chained."""
    found = verdict(trials_of(DAYS, FOLDS, cash=CASH), Objective.SHARPE, cash=CASH, sessions=SESSIONS)

    assert [choice.best.place for choice in found.choices] == [0, 1]
    assert [choice.tried for choice in found.choices] == [2, 2]
    assert found.days.tolist() == [-50.0, -60.0, 5.0, 7.0]
    assert found.dates == tuple(SESSIONS[4:8])
    assert found.marks.pnl == -98.0
    assert "did not hold" in found.truth
    assert "1 of 2 tests gained" in found.truth


@pytest.mark.parametrize(
    ("objective", "places"), [(Objective.SHARPE, [0, 1]), (Objective.PNL, [0, 1]), (Objective.CALMAR, [0, 1])]
)
def test_each_objective_chooses_by_its_own_number(objective: Objective, places: list[int]) -> None:
    """Calmar has no number where nothing ever fell; a gain without a fall is the best there is."""
    trials = trials_of(DAYS, FOLDS, cash=CASH)

    assert [choice.best.place for choice in choices_of(trials, objective, cash=CASH)] == places


def test_of_equals_the_first_is_chosen() -> None:
    """Whoever played them, and in whatever order they came."""
    same = [(place, 1, [1.0, 2.0, 3.0, 4.0], [place * 1.0, 0.0]) for place in (7, 2, 5)]

    trials = trials_of(rows(*same), FOLDS, cash=CASH)

    assert choices_of(trials, Objective.SHARPE, cash=CASH)[0].best.place == 2
    assert [rank.place for rank in ranked(trials, Objective.SHARPE)] == [2, 5, 7]


def test_embargoed_sessions_do_not_count_in_training() -> None:
    """The day after an earlier test was splendid; the choice does not see it."""
    folds = walk_forward(8, train=3, test=2, embargo=1)
    assert folds[2].embargoed == (5,)
    train = {4: 1.0, 5: 9_999.0, 6: 2.0}

    trial = trials_of(rows((0, 3, list(train.values()), [1.0])), folds, cash=CASH)[0]

    assert trial.train.pnl == 3.0
    assert trial.train_days.tolist() == [1.0, 2.0]


def test_a_search_without_a_test_says_so() -> None:
    """The best is shown on the days it was chosen on, and the words say that."""
    days = rows((0, 1, [1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0, 2.0], []), (1, 1, [-1.0, 1.0] * 4, []))

    found = verdict(trials_of(days, in_sample(8), cash=CASH), Objective.PNL, cash=CASH, sessions=SESSIONS)

    assert found.truth == NO_TEST
    assert found.dates == tuple(SESSIONS)
    assert found.marks.pnl == 12.0
    assert "Of 2 tries" in found.luck


def test_sets_that_are_no_tries_are_counted() -> None:
    """A set without a trade has no ratio, and one only another fold tried is none of the last one's."""
    days = rows(
        *((place, 2, [place * 10.0, 20.0, 10.0, 25.0], [5.0, 7.0]) for place in range(3)),
        (3, 2, [0.0] * 4, [0.0] * 2),
        *((place, 1, [1.0, 2.0, 1.0, 2.0], [5.0, 7.0]) for place in (0, 1, 2, 3, 4)),
    )

    def luck(frame: pl.DataFrame) -> str:
        trials = trials_of(frame, FOLDS, cash=CASH)
        return verdict(trials, Objective.PNL, cash=CASH, sessions=SESSIONS).luck

    assert "Of 3 tries" in luck(days)
    assert luck(days).endswith(
        "Of 5 sets the last fold tried 4. 1 of 4 sets made the same on every training day, "
        "as without a trade, and is no try."
    )
    traded = luck(days.filter(pl.col("place") < 3))
    assert "sets" not in traded


def test_one_session_is_one() -> None:
    """Not one sessions."""
    folds = walk_forward(8, train=4, test=1)[:1]

    found = verdict(
        trials_of(rows((0, 1, [10.0, 20.0, 10.0, 20.0], [5.0])), folds, cash=CASH),
        Objective.PNL,
        cash=CASH,
        sessions=SESSIONS,
    )

    assert found.truth.startswith("On the 1 session nobody chose on")
    assert "; 1 of 1 test gained." in found.truth


def test_a_search_that_never_traded_has_no_ratios() -> None:
    """All zeros: no Sharpe ratio, a score below every number, and words."""
    days = rows((0, 1, [0.0] * 4, [0.0] * 2), (1, 1, [0.0] * 4, [0.0] * 2))

    found = verdict(trials_of(days, FOLDS[:1], cash=CASH), Objective.SHARPE, cash=CASH, sessions=SESSIONS)

    assert found.choices[0].best.place == 0
    assert found.choices[0].best.train.sharpe is None
    assert found.choices[0].deflated_sharpe_frac is None
    assert found.overfitting_frac is None
    assert "say nothing" in found.luck


def test_marks_by_hand() -> None:
    """A fall of 200 from 10,100 is 200 / 10,100."""
    found = marks(pl.Series([100.0, -200.0, 50.0]).to_numpy(), cash=CASH)

    assert found.pnl == -50.0
    assert found.max_drawdown_frac == pytest.approx(200 / 10_100, abs=1e-12)


def fills(*prices: str) -> pl.DataFrame:
    """Give fills a minute apart."""
    start = datetime(2025, 11, 26, 15, tzinfo=UTC)
    made = [
        {
            "ts": start + timedelta(minutes=place),
            "filled_at": start,
            "strategy": "idea",
            "symbol": "AAPL",
            "side": "buy",
            "qty": Decimal(10),
            "price": Decimal(price),
            "fee": Decimal(0),
            "reference_price": Decimal(1),
            "client_order_id": str(place),
        }
        for place, price in enumerate(prices)
    ]
    return pl.DataFrame(made, schema=FILL_SCHEMA)


def test_the_first_difference_of_two_engines_is_named() -> None:
    """A price off by a cent, a fill too many and one too few; the order of rows does not matter."""
    assert first_difference(fills("1", "2"), fills("1", "2").reverse()) is None
    cent = first_difference(fills("1", "2.00", "3"), fills("1", "2.01", "3"))
    assert cent is not None
    assert cent.startswith("fill 2: ")
    assert "2.010000" in cent
    assert "the exact engine none" in str(first_difference(fills("1", "2"), fills("1")))
    assert "the screen has none" in str(first_difference(fills("1"), fills("1", "2")))


def test_a_set_of_one_lucky_fold_does_not_stand_first() -> None:
    """Sets tried in more folds come before those that fewer tried, whatever their means."""
    lucky = (2, 2, [100.0, 120.0, 100.0, 120.0], [1.0, 1.0])
    steady = [(1, fold, [10.0, 12.0, 10.0, 12.0], [1.0, 1.0]) for fold in (1, 2)]

    found = ranked(trials_of(rows(lucky, *steady), FOLDS, cash=CASH), Objective.PNL)

    assert [(rank.place, rank.folds) for rank in found] == [(1, 2), (2, 1)]

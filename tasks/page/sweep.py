"""A sweep's page (tasks/page/template.py): what was chosen, whether it held, and how much is luck."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

import polars as pl

from desk.research.walk import Choice, Rank, Trial, Verdict, ranked
from schemas.sweep import Job, Range, Value
from tasks.page import sweep_plots as plots
from tasks.page.template import figures_of, fill_template, money

ROWS_MAX = 50  # sets in the table; the warehouse has all

Sets = Mapping[int, Mapping[str, Value]]  # parameters by place


@dataclass(frozen=True, kw_only=True)
class FoldRow:
    """A fold of the table."""

    number: int
    train: str  # its sessions
    test: str
    chosen: str
    choice: Choice
    fills: int | None  # that both engines gave


def render_sweep(
    job: Job,
    *,
    name: str,
    facts: Mapping[str, object],
    trials: Sequence[Trial],
    verdict: Verdict,
    sets: Sets,
    proven: Mapping[int, int],
    refused: int,
    shown: tuple[Range, Range] | None,
) -> str:
    """Give the page's HTML.

    Args:
        job: what was asked.
        name: the strategy, as it was asked for.
        facts: of the sweep's record.
        trials: every set in every fold.
        verdict: what they are worth.
        sets: parameters by place.
        proven: fills that both engines gave, by fold.
        refused: sets the strategy does not take.
        shown: the two parameters of the heat maps; None draws none.
    """
    tested = job.folds[0].test_end > job.folds[0].test_start
    best = [choice.best for choice in verdict.choices]
    ranks = ranked(trials, job.objective)
    agreement = agreement_of(ranks) if tested else None
    figures = {
        "curve": figures_of(
            ("curve", "P&L of the chosen sets, test after test" if tested else "P&L of the best set",
             plots.curve_figure(verdict), f"{money(verdict.marks.pnl)} USD in the end.")
        ),
        "heat": _heat(job, trials, sets, shown, tested=tested),
        "scatter": figures_of(
            ("agreement", "Every set in every fold: training against test",
             plots.agreement_figure(trials, best, job.objective), "See the table of sets.")
        ),
        "stability": figures_of(
            ("stability", "Where in its range each choice stood",
             plots.stability_figure(verdict, job.ranges, sets), "See the table of folds.")
        ),
    }  # fmt: skip
    return fill_template(
        "sweep.html.j2",
        has_plots=any(figures.values()),
        job=job,
        name=name,
        facts=facts,
        tested=tested,
        verdict=verdict,
        folds=[_fold(job, choice, sets, proven) for choice in verdict.choices],
        ranks=[(rank, set_words(sets[rank.place])) for rank in ranks[:ROWS_MAX]],
        tried=len(ranks),
        refused=refused,
        agreement=agreement,
        **figures,
    )


def set_words(params: Mapping[str, Value]) -> str:
    """Give a set as people write it."""
    return ", ".join(f"{name} {value}" for name, value in params.items())


def _heat(
    job: Job, trials: Sequence[Trial], sets: Sets, shown: tuple[Range, Range] | None, *, tested: bool
) -> object:
    if shown is None:
        return ()
    across, down = shown
    words = f"Mean {job.objective} over the folds and all other parameters."
    train, test = (
        plots.heat_figure(trials, sets, across, down, objective=job.objective, of_test=of_test)
        for of_test in (False, True)
    )
    return figures_of(
        ("heat-train", f"Training: {job.objective} by {across.name} and {down.name}", train, words),
        ("heat-test", "Test: the same sets on sessions nobody chose on", test if tested else None, words),
    )


def _fold(job: Job, choice: Choice, sets: Sets, proven: Mapping[int, int]) -> FoldRow:
    fold, days = choice.best.fold, job.sessions
    tested = fold.test_end > fold.test_start
    return FoldRow(
        number=fold.number,
        train=f"{days[fold.train_start]} to {days[fold.train_end - 1]}",
        test=f"{days[fold.test_start]} to {days[fold.test_end - 1]}" if tested else "none",
        chosen=set_words(sets[choice.best.place]),
        choice=choice,
        fills=proven.get(fold.number),
    )


def agreement_of(ranks: Sequence[Rank]) -> float | None:
    """Give the rank correlation (Spearman, equals sharing a rank) of the sets' mean training and test.

    None for less than three sets, and where all are equal.
    """
    known = [(rank.train, rank.test) for rank in ranks if rank.train is not None and rank.test is not None]
    if len(known) < 3:
        return None
    frame = pl.DataFrame(known, schema=["train", "test"], orient="row")
    found = frame.select(pl.corr("train", "test", method="spearman")).item()
    return float(found) if isfinite(found) else None

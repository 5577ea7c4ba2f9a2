"""A sweep's page (tasks/page/template.py): what was chosen, whether it held, and how much is luck."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from math import isfinite

import polars as pl

from desk.research.walk import Choice, Trial, Verdict, ranked
from schemas.research import Costs
from schemas.sweep import Job, Objective, Range
from tasks.page import sweep_plots as plots
from tasks.page.conventions import cost_words
from tasks.page.sweep_plots import OBJECTIVE_WORDS, Sets, set_words
from tasks.page.template import Figure, figures_of, fill_template, money

ROWS_MAX = 50  # sets in the table; the warehouse has all
VALUES_SHOWN = 20  # of a range without a step
STEP_SLACK = 1e-9  # of a step: decimal steps are not exact in binary
AGREEING_MIN = 3  # sets: two always agree or disagree wholly


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
    doubts: Sequence[str] = (),
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
        doubts: what is doubtful about the data, and what was done otherwise than asked, in words.
    """
    tested = _is_tested(job)
    ranks = ranked(trials, job.objective)
    agreement = agreement_of(trials, job.objective) if tested else None
    figures = _figures(job, trials, verdict, sets, shown)
    return fill_template(
        "sweep.html.j2",
        has_plots=any(figures.values()),
        job=job,
        name=name,
        facts=facts,
        tested=tested,
        verdict=verdict,
        cautions=(verdict.truth, verdict.luck, *(_sentence(words) for words in doubts)),
        folds=[_fold(job, choice, sets, proven) for choice in verdict.choices],
        ranks=[(rank, set_words(sets[rank.place])) for rank in ranks[:ROWS_MAX]],
        tried=len(ranks),
        refused=refused,
        proven=bool(proven),
        agreement=agreement,
        objective=OBJECTIVE_WORDS[job.objective],
        ranges=[(each.name, range_words(each)) for each in job.ranges],
        costs=cost_words(Costs.model_validate_json(str(facts["costs"]))),
        params=set_words(json.loads(str(facts["params"]))) or "none",
        **figures,
    )


def _figures(
    job: Job, trials: Sequence[Trial], verdict: Verdict, sets: Sets, shown: tuple[Range, Range] | None
) -> dict[str, tuple[Figure, ...]]:
    best = [choice.best for choice in verdict.choices]
    tested = trials if _is_tested(job) else ()
    return {
        "curve": figures_of(
            ("curve", "P&L of the chosen sets, test after test" if _is_tested(job) else "P&L of the best set",
             plots.curve_figure(verdict), f"{money(verdict.marks.pnl)} USD in the end.")
        ),
        "heat": _heat(job, trials, verdict, sets, shown),
        "scatter": figures_of(
            ("agreement", "Every set in every fold: training against test",
             plots.agreement_figure(tested, best, sets, job.objective), "See the table of sets.")
        ),
        "stability": figures_of(
            ("stability", "Where in its range each choice stood",
             plots.stability_figure(verdict, job.ranges, sets), "See the table of folds.")
        ),
    }  # fmt: skip


def _heat(
    job: Job,
    trials: Sequence[Trial],
    verdict: Verdict,
    sets: Sets,
    shown: tuple[Range, Range] | None,
) -> tuple[Figure, ...]:
    if shown is None:
        return ()
    across, down = shown
    words = OBJECTIVE_WORDS[job.objective]
    train, test = (
        plots.cell_means(trials, sets, across, down, objective=job.objective, of_test=of_test)
        for of_test in (False, True)
    )
    chosen = [(sets[choice.best.place], choice.best.fold.number) for choice in verdict.choices]
    maps = [
        plots.heat_figure(cells, across, down, reach=plots.reach_of(train, test), words=words, chosen=chosen)
        for cells in (train, test if _is_tested(job) else {})
    ]
    summary = f"Mean {words} over the folds and all other parameters; see the table of sets."
    return figures_of(
        ("heat-train", f"Training: {words} by {across.name} and {down.name}", maps[0], summary),
        ("heat-test", "Test: the same sets on sessions nobody chose on", maps[1], summary),
    )


def _is_tested(job: Job) -> bool:
    return job.folds[0].test_end > job.folds[0].test_start


def _fold(job: Job, choice: Choice, sets: Sets, proven: Mapping[int, int]) -> FoldRow:
    fold, days = choice.best.fold, job.sessions
    return FoldRow(
        number=fold.number,
        train=_span(days[fold.train_start], days[fold.train_end - 1]),
        test=_span(days[fold.test_start], days[fold.test_end - 1]) if _is_tested(job) else "none",
        chosen=set_words(sets[choice.best.place]),
        choice=choice,
        fills=proven.get(fold.number),
    )


def _span(first: date, last: date) -> str:
    """Give two days, the second without its year where it is the same."""
    if first == last:
        return f"{first}"
    return f"{first} to {last:%m-%d}" if first.year == last.year else f"{first} to {last}"


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:].removesuffix(".") + "."


def range_words(each: Range) -> str:
    """Give a range as a person would write it: its step where it has one."""
    values = each.values
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(values) > 2 and len(numbers) == len(values):
        step = numbers[1] - numbers[0]
        even = all(abs(after - before - step) < STEP_SLACK * abs(step) for before, after in pairwise(numbers))
        if even:
            return f"{values[0]} to {values[-1]} in steps of {step:.6g}, {len(values)} values"
    words = ", ".join(str(value) for value in values[:VALUES_SHOWN])
    return words if len(values) <= VALUES_SHOWN else f"{words} … {values[-1]}, {len(values)} values"


def agreement_of(trials: Sequence[Trial], objective: Objective) -> float | None:
    """Give the rank correlation (Spearman, equals sharing a rank) of training and test, mean of the folds.

    Within a fold, because a later training contains an earlier test. A fold counts that has three sets with
    both numbers, not all equal; None where there is none.
    """
    by_fold: dict[int, list[tuple[float, float]]] = {}
    for trial in trials:
        train, test = trial.train.of(objective), trial.test.of(objective)
        if train is not None and test is not None:
            by_fold.setdefault(trial.fold.number, []).append((train, test))
    found = []
    for pairs in by_fold.values():
        frame = pl.DataFrame(pairs, schema=["train", "test"], orient="row")
        value = frame.select(pl.corr("train", "test", method="spearman")).item()
        if len(pairs) >= AGREEING_MIN and isfinite(value):
            found.append(value)
    return sum(found) / len(found) if found else None

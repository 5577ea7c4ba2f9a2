"""A sweep on its way into the warehouse: its record, and every set it tried in every fold, as rows.

The rows go as a backtest's do (data/backtest_rows.py); a sweep written twice is there once.
"""

import json
from collections.abc import Mapping, Sequence

import polars as pl

from data.columns import SWEEP
from desk.research.search import Space
from desk.research.walk import Marks, Trial, Verdict
from schemas.sweep import Fold, Job


def sweep_rows(
    job: Job, facts: Mapping[str, object], *, trials: Sequence[Trial], verdict: Verdict
) -> dict[str, pl.DataFrame]:
    """Give a sweep's rows by table, its own row last: where it is, the others are.

    Args:
        job: what was asked.
        facts: the columns of `sweeps` that neither the job nor the verdict has.
        trials: every set in every fold.
        verdict: what they are worth.
    """
    frames = {
        "sweep_trials": _trial_rows(job, trials, verdict),
        "sweeps": pl.DataFrame([_sweep_row(job, facts, verdict)], schema=SWEEP["sweeps"], orient="row"),
    }
    return {table: frames[table].select(*schema) for table, schema in SWEEP.items()}


def _sweep_row(job: Job, facts: Mapping[str, object], verdict: Verdict) -> dict[str, object]:
    return {
        "sweep_id": job.sweep_id,
        "ranges": json.dumps({each.name: list(each.values) for each in job.ranges}),
        "method": job.method.value,
        "objective": job.objective.value,
        "trials": job.trials,
        "symbols": list(job.symbols),
        "first_date": job.sessions[0],
        "last_date": job.sessions[-1],
        "sessions": len(job.sessions),
        "folds": len(job.folds),
        "engine": "screen" if job.screens else "exact",
        "seed": job.seed,
        "is_tested": _is_tested(job.folds[0]),
        **_marks("", verdict.marks),
        "overfitting_frac": verdict.overfitting_frac,
        "truth": verdict.truth,
        "luck": verdict.luck,
        **facts,
    }


def _trial_rows(job: Job, trials: Sequence[Trial], verdict: Verdict) -> pl.DataFrame:
    space = Space(job.ranges)
    best = {choice.best: choice.deflated_sharpe_frac for choice in verdict.choices}
    rows = [
        {
            "sweep_id": job.sweep_id,
            "fold": trial.fold.number,
            "place": trial.place,
            "params": json.dumps(dict(space.at(trial.place))),
            "train_first": job.sessions[trial.fold.train_start],
            "train_last": job.sessions[trial.fold.train_end - 1],
            "test_first": job.sessions[trial.fold.test_start] if _is_tested(trial.fold) else None,
            "test_last": job.sessions[trial.fold.test_end - 1] if _is_tested(trial.fold) else None,
            "is_best": trial in best,
            "deflated_sharpe_frac": best.get(trial),
            "train_trades": trial.train_trades,
            **_marks("train_", trial.train),
            "test_trades": trial.test_trades,
            **_marks("test_", trial.test),
        }
        for trial in trials
    ]
    return pl.DataFrame(rows, schema=SWEEP["sweep_trials"], orient="row")


def _marks(before: str, marks: Marks) -> dict[str, float | None]:
    return {
        f"{before}pnl": marks.pnl,
        f"{before}sharpe": marks.sharpe,
        f"{before}calmar": marks.calmar,
        f"{before}max_drawdown_frac": marks.max_drawdown_frac,
    }


def _is_tested(fold: Fold) -> bool:
    return fold.test_end > fold.test_start

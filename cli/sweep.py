"""`desk sweep`: search a strategy's parameters, walk forward, and say how far to believe the best."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cli.backtest import number, percent, read_cash, read_costs, read_size, usd
from cli.outputs import require_writable
from cli.tables import as_json, console, grid
from schemas.sweep import Method, Objective, Runner
from tasks.configuration import load_settings
from tasks.errors import ConfigError

if TYPE_CHECKING:
    from tasks.sweep import Sweep, Told
    from tasks.sweep_plan import Prepared, SweepPlan

BEST_SHOWN = 10


Strategy = Annotated[str, typer.Argument(help="A name, path/to/mine.py:MyIdea, or package.module:MyIdea.")]
Ranges = Annotated[
    list[str] | None,
    typer.Option("--range", help="fast=5..50:5 or slow=20,50,100; one a parameter, repeated."),
]
Bars = Annotated[
    Path | None, typer.Option(help="Parquet file or folder of minute bars. Default: the warehouse.")
]
Symbols = Annotated[str | None, typer.Option(help="Symbols, with commas. Default: all there are.")]
Start = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="First day.")]
End = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Last day, included.")]
Param = Annotated[
    list[str] | None, typer.Option("--param", help="A fixed parameter, name=value; may be repeated.")
]
MethodOption = Annotated[
    Method, typer.Option(help="grid tries all; random, and bayes (optuna's TPE), so many as --trials.")
]
Trials = Annotated[int | None, typer.Option(min=1, help="Sets to try; of bayes, in each fold.")]
ObjectiveOption = Annotated[
    Objective, typer.Option(help="What the best is best in, on its training sessions.")
]
Train = Annotated[int | None, typer.Option(min=2, help="Sessions of a fold's training.")]
Test = Annotated[int | None, typer.Option(min=1, help="Sessions of a fold's test.")]
Purge = Annotated[
    int | None, typer.Option(min=0, help="Sessions between them in neither; the warm-up at least.")
]
Embargo = Annotated[
    int, typer.Option(min=0, help="Sessions after each test's end that no later training counts.")
]
Anchored = Annotated[
    bool,
    typer.Option("--anchored/--rolling", help="Training begins with the first session, or moves on."),
]
SizeWords = Annotated[
    str | None, typer.Option(help="shares:100, notional:1000 or equity:0.1; default equity:0.1.")
]
CostsWords = Annotated[str, typer.Option(help="none, or alpaca: spread, participation and fees.")]
Gate = Annotated[
    bool, typer.Option("--gate/--no-gate", help="With gate the exact engine plays everything: slow.")
]
CloseOut = Annotated[
    bool | None, typer.Option("--close-out/--overnight", help="Close positions before the bell, or hold.")
]
Cash = Annotated[str, typer.Option(help="USD at the start of each training and test.")]
Seed = Annotated[int, typer.Option(min=0, help="Of random and bayes.")]
RunnerOption = Annotated[
    Runner, typer.Option(help="processes of this machine, or dask or ray (Prefect's server must run).")
]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes. Default: one a core.")]
Report = Annotated[
    Path | None, typer.Option(help="Write heat maps, folds and the tests' curve, one HTML file.")
]
Heat = Annotated[
    str | None,
    typer.Option(help="The two parameters of the heat maps, with a comma. Default: the first two."),
]
NoKeep = Annotated[bool, typer.Option("--no-keep", help="Leave the sweep out of the warehouse.")]
JsonFile = Annotated[Path | None, typer.Option(help="Write what was found as JSON.")]


def sweep(
    strategy: Strategy,
    ranges: Ranges = None,
    bars: Bars = None,
    symbols: Symbols = None,
    start: Start = None,
    end: End = None,
    param: Param = None,
    method: MethodOption = Method.GRID,
    trials: Trials = None,
    objective: ObjectiveOption = Objective.SHARPE,
    train: Train = None,
    test: Test = None,
    purge: Purge = None,
    embargo: Embargo = 0,
    anchored: Anchored = False,
    size: SizeWords = None,
    costs: CostsWords = "none",
    gate: Gate = False,
    close_out: CloseOut = None,
    cash: Cash = "100000",
    seed: Seed = 0,
    runner: RunnerOption = Runner.PROCESSES,
    workers: Workers = None,
    json: JsonFile = None,
    report: Report = None,
    heat: Heat = None,
    no_keep: NoKeep = False,
) -> None:
    """Search parameters, walk forward: chosen on past sessions, judged on later ones. Resumes by itself."""
    from tasks.backtest_plan import BacktestPlan
    from tasks.sweep_plan import SweepPlan

    plan = SweepPlan(
        backtest=BacktestPlan(
            strategy=strategy,
            bars=bars,
            symbols=_names(symbols),
            start=None if start is None else start.date(),
            end=None if end is None else end.date(),
            params=tuple(param or ()),
            size=read_size(size),
            costs=read_costs(costs),
            gate=gate,
            close_out=close_out,
            cash=read_cash(cash),
        ),
        ranges=tuple(ranges or ()),
        method=method,
        objective=objective,
        trials=trials,
        train=train,
        test=test,
        purge=purge,
        embargo=embargo,
        anchored=anchored,
        seed=seed,
    )
    _run(plan, runner=runner, workers=workers, json=json, report=report, heat=heat, keeps=not no_keep)


def _names(words: str | None) -> tuple[str, ...]:
    return tuple(sorted({word.strip().upper() for word in (words or "").split(",") if word.strip()}))


def _run(
    plan: "SweepPlan",
    *,
    runner: Runner,
    workers: int | None,
    json: Path | None,
    report: Path | None,
    heat: str | None,
    keeps: bool,
) -> None:
    from tasks.sweep_plan import prepare

    if heat is not None and report is None:
        raise ConfigError(f"--heat {heat}: the heat maps are in the page; give --report FILE too")
    require_writable(report=report, json=json)
    settings = load_settings(warns=False)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("bars", total=None)
        prepared = prepare(plan, settings)
        if report is not None:
            from tasks.sweep_page import shown_ranges

            shown_ranges(prepared.job, heat)  # a mistake in it is told before hours of work
        done, by_prefect = _searched(
            prepared,
            runner=runner,
            workers=workers,
            told=lambda what, count, total: progress.update(
                bar, description=what, completed=count, total=total
            ),
        )
    _show(done, by_prefect=by_prefect)
    if keeps:
        from tasks.sweep_keep import keep_sweep

        waits = keep_sweep(done, settings)
        kept = f'kept as sweep {prepared.job.sweep_id} in {settings.store}: desk sql "FROM sweep_trials"'
        console().print(waits or kept)
    if report is not None:
        from tasks.sweep_page import write_sweep_page

        write_sweep_page(done, report, shown=heat)
        console().print(f"report: {report}")
    if json is not None:
        json.write_text(as_json(_facts(done)), encoding="utf-8")
        console().print(f"numbers: {json}")


def _searched(
    prepared: "Prepared", *, runner: Runner, workers: int | None, told: "Told"
) -> "tuple[Sweep, bool]":
    """Search as task runs where Prefect's server answers, else on a plain pool; say which it was."""
    if server_answers():
        from flows.sweep import sweep_in_prefect

        return sweep_in_prefect(prepared, runner=runner, workers=workers, told=told), True
    if runner is not Runner.PROCESSES:
        raise ConfigError(
            f"--runner {runner} needs Prefect's server, and none answers at PREFECT_API_URL; "
            "start one (`desk up` does), or leave --runner out"
        )
    from tasks.sweep import search
    from tasks.sweep_pool import Pool

    with Pool(workers) as pool:
        return search(prepared, pool, told), False


def _show(done: "Sweep", *, by_prefect: bool) -> None:
    from tasks.sweep import day_span

    out, job, verdict = console(), done.prepared.job, done.verdict
    tried = len({trial.place for trial in done.trials})
    counts = f"{_counted(tried, 'set')}, {_counted(len(job.folds), 'fold')}"
    span = f"{job.sessions[0]} to {job.sessions[-1]}, {_counted(len(job.sessions), 'session')}"
    title = f"{done.prepared.name}: {counts}, {span}, {done.prepared.bars:,} bars"
    tested = job.folds[0].test_end > job.folds[0].test_start
    shown = usd if job.objective is Objective.PNL else number
    folds = grid(
        title, "train", "test", "best set", f">train {job.objective}", f">test {job.objective}",
        ">train USD", ">test USD", ">deflated", *([">fills, both engines"] if done.proven else ()),
    )  # fmt: skip
    for choice in verdict.choices:
        best, fold = choice.best, choice.best.fold
        folds.add_row(
            day_span(job.sessions, fold.train_start, fold.train_end),
            day_span(job.sessions, fold.test_start, fold.test_end),
            set_words(done.params(best.place)),
            shown(best.train.of(job.objective)),
            shown(best.test.of(job.objective) if tested else None),
            usd(best.train.pnl),
            usd(best.test.pnl if tested else None),
            number(choice.deflated_sharpe_frac),
            *([f"{done.proven[fold.number]:,}"] if fold.number in done.proven else ()),
        )
    out.print(folds)
    over_all = grid(
        f"best of all folds, means of {job.objective} and USD", "set", ">folds", ">train", ">test",
        ">train USD", ">test USD", ">trades in tests",
    )  # fmt: skip
    for row in done.ranked()[:BEST_SHOWN]:
        over_all.add_row(
            set_words(done.params(row.place)),
            f"{row.folds}",
            shown(row.train),
            shown(row.test if tested else None),
            usd(row.train_usd),
            usd(row.test_usd if tested else None),
            f"{row.test_trades:,}" if tested else "-",
        )
    out.print(over_all)
    for words in _words(done, by_prefect=by_prefect):
        out.print(words, soft_wrap=True)


def _words(done: "Sweep", *, by_prefect: bool) -> list[str]:
    """Give what the tables do not say."""
    job, verdict, plan = done.prepared.job, done.verdict, done.prepared.plan.backtest
    words = [verdict.truth, verdict.luck]
    if verdict.overfitting_frac is not None:
        words.append(
            f"Probability of overfitting {percent(verdict.overfitting_frac)}: so often the best set of one "
            "half of the last training was below the middle in the other half."
        )
    if done.refused:
        words.append(f"Left out, as the strategy does not take them: {_counted(done.refused, 'set')}.")
    words.extend(done.prepared.notes)
    if found := found_words(done):
        words.append(found)
    engine = "screen" if job.screens else f"exact engine, as the screen does not cover {job.why_exact}"
    gate = "gate on" if plan.gate else "no gate"
    where = "as Prefect's task runs" if by_prefect else "on a plain pool (no Prefect server answers)"
    words.append(f"{engine}; {gate}; {done.seconds:.1f} s {where}; sweep {job.sweep_id}")
    return words


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def found_words(done: "Sweep") -> str:
    """Say how much an earlier search had finished; nothing where it had not begun."""
    if done.found == 0:
        return ""
    if done.found == done.pieces:
        return f"All {done.pieces:,} pieces were found finished; the time is that of the first search."
    return f"{done.found:,} of {done.pieces:,} pieces were found finished."


def set_words(params: dict[str, object]) -> str:
    """Give a set as people write it."""
    return ", ".join(f"{name} {value}" for name, value in params.items())


def _facts(done: "Sweep") -> dict[str, object]:
    """Give what was found, for programs."""
    job, verdict = done.prepared.job, done.verdict
    return {
        "sweep_id": job.sweep_id,
        "seconds": done.seconds,
        "sets": len({trial.place for trial in done.trials}),
        "refused": done.refused,
        "folds": [
            {
                "fold": choice.best.fold,
                "params": done.params(choice.best.place),
                "train": choice.best.train,
                "test": choice.best.test,
                "deflated_sharpe_frac": choice.deflated_sharpe_frac,
                "fills": done.proven.get(choice.best.fold.number),
            }
            for choice in verdict.choices
        ],
        "tests": verdict.marks,
        "overfitting_frac": verdict.overfitting_frac,
        "words": [verdict.truth, verdict.luck],
    }


def server_answers() -> bool:
    """Tell whether a Prefect server is configured and answers."""
    from tasks.sweep_server import answers

    return answers()

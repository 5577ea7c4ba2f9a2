"""What a person asks of a sweep, checked, and made into a folder that every process reads.

The folder is named by the sweep's identity, a function of everything that decides its result. Whatever a
person can get wrong is told before the bars are read, but for what needs them: the number of sessions.
"""

import hashlib
import inspect
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from itertools import islice, product
from pathlib import Path

import polars as pl
from pydantic import ValidationError

from desk.errors import ConfigError
from desk.research.folds import in_sample, sessions_of, walk_forward
from desk.research.screen import uncovered
from desk.research.search import Space, read_range
from schemas.settings import Settings
from schemas.sweep import Fold, Job, Method, Objective, Range
from strategies.base import Strategy, StrategyError
from tasks.backtest_plan import BacktestPlan, settings_of, terms_of
from tasks.strategy_source import anchored, make_strategy, read_params, strategy_class, strategy_of
from tasks.sweep_bench import BARS_FILE, JOB_FILE, PLANS

FOLDER = "sweeps"  # in the store
TRIALS_DEFAULT = 100  # of a search that does not try all
LOOKED_AT_MAX = 10_000  # sets whose warm-up is looked at where none is chosen yet
CORNERED_MAX = 10  # parameters of which both ends are looked at together: 1,024 corners
# What decides how a set is played, and which sets are in a piece of a name.
CODE = ("desk/**/*.py", "schemas/**/*.py", "strategies/**/*.py", "tasks/sweep*.py", "tasks/backtest_plan.py")
LIBRARIES = ("numba", "numpy", "optuna", "polars")  # another version may round a last bit otherwise


@dataclass(frozen=True, kw_only=True)
class SweepPlan:
    """What a person asked for."""

    backtest: BacktestPlan  # how each set is played
    ranges: tuple[str, ...]
    method: Method = Method.GRID
    objective: Objective = Objective.SHARPE
    trials: int | None = None  # None: all of a grid, else TRIALS_DEFAULT
    train: int | None = None  # sessions; without them nothing is tested
    test: int | None = None
    purge: int | None = None  # None: the warm-up
    embargo: int = 0
    anchored: bool = False
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A sweep on disk, ready to be played."""

    folder: Path
    job: Job
    plan: SweepPlan
    name: str  # the strategy as it was asked for
    bars: int
    sets: tuple[int, ...]  # to be tried; of a Bayesian search none yet
    refused: int  # sets the strategy does not take
    notes: tuple[str, ...] = ()
    facts: Mapping[str, object] = field(default_factory=dict)  # of the sweep's record


def prepare(plan: SweepPlan, settings: Settings) -> Prepared:
    """Check what was asked and write what every process reads.

    Raises:
        ConfigError: a range, a parameter, a number of sessions or a combination is wrong.
        NoBars: there is nothing to play.
        BadBatch: a file is not of bars.
        OSError: the store cannot be written.
    """
    # Here and not above: the processes of a pool come by this module and need neither database nor Prefect.
    from tasks.backtest import bars_of, data_hash
    from tasks.backtest_bars import for_screen

    here = anchored(plan.backtest.strategy, Path.cwd())
    backtest = replace(plan.backtest, strategy=here, bars=None, start=None, end=None)
    space = Space(_checked(backtest, plan.ranges))
    accepts = acceptance(backtest, space)
    sets, refused = _sets(plan, space, accepts)
    known = sets or [place for place in _some(space) if accepts(place)]
    if not known:
        raise ConfigError(f"{backtest.strategy} takes none of the {len(space):,} sets of these ranges")
    bars, notes = bars_of(plan.backtest, settings)
    symbols = tuple(bars["symbol"].unique().sort().to_list())
    strategy = _strategy(backtest, symbols, space, known[0])
    chosen = settings_of(backtest, settings, strategy)
    sessions = tuple(bars["ts"].dt.date().unique().sort().to_list())
    folds, purge = _folds(plan, len(sessions), _reach(backtest, symbols, space, known, strategy))
    missing = uncovered(terms_of(backtest, chosen))
    bars, rounded = (bars, ()) if missing else for_screen(bars)
    job = Job(
        sweep_id="",
        plan=PLANS.dump_json(backtest).decode(),
        settings=settings.model_dump_json(exclude={"secrets"}),
        symbols=symbols,
        ranges=space.ranges,
        method=plan.method,
        objective=plan.objective,
        trials=len(sets) if plan.method is not Method.BAYES else min(_trials(plan), len(space)),
        seed=plan.seed,
        folds=folds,
        sessions=sessions,
        screens=not missing,
        why_exact="; ".join(missing),
    )
    asked = _identity(job, chosen, backtest, strategy, data=data_hash(bars))
    job = job.model_copy(update={"sweep_id": _hash(asked)})
    folder = settings.store / FOLDER / job.sweep_id
    _write(folder, job, bars)
    return Prepared(
        folder=folder,
        job=job,
        plan=plan,
        name=plan.backtest.strategy,
        bars=bars.height,
        sets=tuple(sets),
        refused=refused,
        notes=(*notes, *rounded, *_remarks(plan, sets, purge, bars)),
        facts=_facts(plan, chosen, asked) | {"purge": purge, "bars": bars.height},
    )


def _remarks(plan: SweepPlan, sets: Sequence[int], purge: int, bars: pl.DataFrame) -> Iterator[str]:
    """Give what was done otherwise than asked, and what looks wrong with the bars."""
    from tasks.backtest_bars import jump_words  # as in `prepare`

    yield from jump_words(bars, remedy="adjust them: a sweep does not")
    if plan.purge is not None and purge > plan.purge:
        yield f"purge {purge} sessions, not {plan.purge}: the warm-up reaches that far back"
    if plan.method is Method.RANDOM and len(sets) < _trials(plan):
        yield f"{len(sets):,} sets, not {_trials(plan):,}: there are no more that the strategy takes"


def _facts(plan: SweepPlan, chosen: Settings, asked: Mapping[str, object]) -> dict[str, object]:
    """Give what the sweep's record has of the wish and of the identity."""
    size = chosen.strategies[0].size
    return {
        "strategy": plan.backtest.strategy,
        "params": json.dumps(read_params(plan.backtest.params)),
        "embargo": plan.embargo,
        "anchored": plan.anchored,
        "cash": plan.backtest.cash,
        "size": "" if size is None else str(size),
        "costs": plan.backtest.costs.model_dump_json(),
        "gate": plan.backtest.gate,
        "close_out": chosen.session.close_out,
        "settings_hash": asked["settings"],
        "data_hash": asked["data"],
    }


def _checked(plan: BacktestPlan, words: Sequence[str]) -> tuple[Range, ...]:
    """Read the ranges and hold every value against the strategy's own model.

    Raises:
        ConfigError: the strategy has no such parameter, or does not take a value of it.
    """
    ranges = tuple(read_range(each) for each in words)
    try:
        model, base = strategy_class(plan.strategy).params_model, read_params(plan.params)
    except StrategyError as error:
        raise ConfigError(str(error)) from error
    for each in ranges:
        if each.name in base:
            raise ConfigError(f"{each.name} has a --range and a --param; allowed: one of them")
        for value in each.values:
            try:
                model.model_validate({**base, each.name: value})
            except ValidationError as error:
                for item in error.errors():
                    if each.name in item["loc"]:
                        known = ", ".join(sorted(model.model_fields)) or "none"
                        raise ConfigError(
                            f"--range {each.name}: {value!r}: {str(item['msg']).lower()}; "
                            f"parameters are {known}"
                        ) from error
    return ranges


def acceptance(plan: BacktestPlan, space: Space) -> Callable[[int], bool]:
    """Give what tells whether the strategy takes a set."""
    model, base = strategy_class(plan.strategy).params_model, read_params(plan.params)

    def accepts(place: int) -> bool:
        try:
            model.model_validate({**base, **dict(space.at(place))})
        except ValidationError:
            return False
        return True

    return accepts


def _sets(plan: SweepPlan, space: Space, accepts: Callable[[int], bool]) -> tuple[list[int], int]:
    """Give the sets to try and how many were refused; none of a Bayesian search."""
    if plan.trials is not None and plan.trials < 1:
        raise ConfigError(f"--trials {plan.trials}: must be 1 or more")
    if plan.method is Method.BAYES:
        return [], 0
    if plan.method is Method.GRID:
        if plan.trials is not None:
            raise ConfigError("--trials is for --method random and bayes; a grid tries all")
        every = list(space.all())
        sets = [place for place in every if accepts(place)]
        return sets, len(every) - len(sets)
    sets, refused = [], 0
    for place in space.drawn(seed=plan.seed):
        if len(sets) == _trials(plan):
            break
        if accepts(place):
            sets.append(place)
        else:
            refused += 1
    return sets, refused


def _trials(plan: SweepPlan) -> int:
    return TRIALS_DEFAULT if plan.trials is None else plan.trials


def _some(space: Space) -> Iterator[int]:
    """Give sets to look at where none is chosen yet: the corners of the space, where warm-ups are longest."""
    corners = product(*((0, len(each.values) - 1) for each in space.ranges[:CORNERED_MAX]))
    rest = (0,) * len(space.ranges[CORNERED_MAX:])
    yield from {space.place_of((*corner, *rest)): None for corner in corners}
    yield from islice(space.drawn(seed=0), LOOKED_AT_MAX)


def _strategy(plan: BacktestPlan, symbols: tuple[str, ...], space: Space, place: int) -> Strategy:
    try:
        return make_strategy(plan.strategy, symbols, {**read_params(plan.params), **dict(space.at(place))})
    except StrategyError as error:
        raise ConfigError(str(error)) from error


def _reach(
    plan: BacktestPlan, symbols: tuple[str, ...], space: Space, known: Sequence[int], strategy: Strategy
) -> int:
    """Give how many sessions the sets' warm-up reaches back at most; none where each session begins anew."""
    if strategy.session_anchored:
        return 0
    kind, base = type(strategy), read_params(plan.params)
    sets = ({**base, **dict(space.at(place))} for place in known)
    try:
        return sessions_of(max(strategy_of(kind, plan.strategy, symbols, each).warm_up for each in sets))
    except StrategyError as error:
        raise ConfigError(str(error)) from error


def _folds(plan: SweepPlan, sessions: int, reach: int) -> tuple[tuple[Fold, ...], int]:
    """Give the folds and the purge they have."""
    if plan.train is None and plan.test is None:
        if plan.purge or plan.embargo or plan.anchored:
            raise ConfigError("--purge, --embargo and --anchored need --train and --test")
        return in_sample(sessions), 0
    if plan.train is None or plan.test is None:
        raise ConfigError("--train and --test belong together, as in --train 40 --test 10")
    purge = max(plan.purge or 0, reach)
    folds = walk_forward(
        sessions, train=plan.train, test=plan.test, purge=purge, embargo=plan.embargo, anchored=plan.anchored
    )
    return folds, purge


def _identity(
    job: Job, chosen: Settings, plan: BacktestPlan, strategy: Strategy, *, data: str
) -> dict[str, object]:
    """Give everything that decides the result."""
    from tasks.settings_hash import settings_hash  # as in `prepare`

    same = {"params": {}, "symbols": (), "name": ""}
    first = chosen.strategies[0].model_copy(update=same)
    return {
        "strategy": strategy.name,
        "params": sorted(plan.params),
        "symbols": job.symbols,
        "ranges": [each.model_dump(mode="json") for each in job.ranges],
        "method": job.method,
        "objective": job.objective,
        "trials": job.trials,
        "seed": job.seed,
        "folds": [fold.model_dump(mode="json") for fold in job.folds],
        "cash": str(plan.cash),
        "costs": plan.costs.model_dump_json(),
        "gate": plan.gate,
        "play": plan.seed,
        "settings": settings_hash(chosen.model_copy(update={"strategies": (first,)})),
        "data": data,
        "code": _code(strategy),
    }


def _code(strategy: Strategy) -> str:
    """Give a fingerprint of what plays: our own files, the strategy's, and the libraries that compute."""
    root = Path(__file__).resolve().parent.parent
    files = [path for pattern in CODE for path in sorted(root.glob(pattern))]
    digest = hashlib.blake2b(digest_size=8)
    for path in files:
        digest.update(path.read_bytes())
    own = getattr(inspect.getmodule(type(strategy)), "__file__", None)
    if own is not None:
        digest.update(Path(own).read_bytes())
    digest.update(" ".join(version(name) for name in LIBRARIES).encode())
    return digest.hexdigest()


def _hash(asked: Mapping[str, object]) -> str:
    words = json.dumps(asked, sort_keys=True, default=str)
    return hashlib.blake2b(words.encode(), digest_size=8).hexdigest()


def _write(folder: Path, job: Job, bars: pl.DataFrame) -> None:
    """Write job and bars, whole or not at all; bars that are there are the same ones."""
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / BARS_FILE
    if not place.exists():
        part = place.with_suffix(f".{os.getpid()}.part")  # the same command may run twice at once
        bars.write_ipc(part)
        part.replace(place)
    part = folder / f"{JOB_FILE}.{os.getpid()}.part"
    part.write_text(job.model_dump_json(), encoding="utf-8")
    part.replace(folder / JOB_FILE)

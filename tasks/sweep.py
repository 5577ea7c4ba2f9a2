"""Search a strategy's parameters, walk forward, and say how far the best is to be believed.

Theory of operation. `prepare` reads the bars, checks the ranges against the strategy, and writes a folder
named by the sweep's identity, a function of everything that decides its result. `search` has pieces of it
played by whoever is handed in (a pool, Prefect's tasks); each piece is a file there. So a sweep that was
killed goes on where it was, and who played it changes nothing. `sweep_of` reads the files and judges.

The screen plays where it covers the terms; where it does not, the exact engine plays everything, and says
so. Each fold's best is played again on its test by the exact engine, which must give the same fills.
"""

import hashlib
import inspect
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from itertools import islice
from pathlib import Path
from time import perf_counter

import polars as pl
from pydantic import ValidationError

from desk.adapters.system_clock import SystemClock
from desk.errors import ConfigError
from desk.research.folds import in_sample, sessions_of, walk_forward
from desk.research.screen import uncovered
from desk.research.search import GRID_MAX, Space, read_range
from desk.research.walk import DAYS_SCHEMA, Rank, Trial, Verdict, choices_of, ranked, trials_of, verdict
from schemas.settings import Settings
from schemas.sweep import Fold, Job, Method, Objective, Piece, Range
from strategies.base import Strategy, StrategyError
from tasks.backtest_plan import BacktestPlan, settings_of, terms_of
from tasks.strategy_source import anchored, make_strategy, read_params, strategy_class
from tasks.sweep_bench import BARS_FILE, JOB_FILE, PLANS, file_of

FOLDER = "sweeps"  # in the store
TRIALS_DEFAULT = 100  # of a search that does not try all
# A piece is some seconds of one core: long beside what handing it over costs, short beside a cup of coffee.
BARS_A_PIECE = 4_000_000
SETS_A_PIECE_MAX = 64
SETS_A_ROUND = 16  # of a Bayesian search; more ask with less known, fewer leave processes idle
LOOKED_AT_MAX = 10_000  # sets whose warm-up is looked at where the space is larger
PACKAGES = ("desk", "schemas", "strategies")  # what decides how a set is played

Fan = Callable[[Path, Sequence[Piece]], Iterator[str]]  # plays pieces, gives their names as they are done
Told = Callable[[str, int, int], None]  # what is under way, pieces done, pieces of it


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
    asked: Mapping[str, object] = field(default_factory=dict)  # the identity


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """What came of it."""

    prepared: Prepared
    started_at: datetime
    seconds: float
    trials: tuple[Trial, ...]
    refused: int
    verdict: Verdict
    proven: Mapping[int, int]  # fills that both engines gave, by fold

    def params(self, place: int) -> dict[str, object]:
        """Give the set of a place."""
        return dict(Space(self.prepared.job.ranges).at(place))

    def ranked(self) -> list[Rank]:
        """Give the sets over all folds, the best of the training first."""
        return ranked(self.trials, self.prepared.job.objective)


# ---- before ---------------------------------------------------------------------------------


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

    bars, notes = bars_of(plan.backtest, settings)
    symbols = tuple(bars["symbol"].unique().sort().to_list())
    here = anchored(plan.backtest.strategy, Path.cwd())
    backtest = replace(plan.backtest, strategy=here, bars=None, start=None, end=None)
    space = Space(_checked(backtest, plan.ranges))
    accepts = acceptance(backtest, space)
    sets, refused = _sets(plan, space, accepts)
    known = sets or [place for place in islice(_some(space), LOOKED_AT_MAX) if accepts(place)]
    if not known:
        raise ConfigError(f"{backtest.strategy} takes none of the {len(space):,} sets of these ranges")
    strategy = _strategy(backtest, symbols, space, known[0])
    chosen = settings_of(backtest, settings, strategy)
    sessions = tuple(bars["ts"].dt.date().unique().sort().to_list())
    folds, purge = _folds(plan, len(sessions), _reach(backtest, symbols, space, known, strategy))
    if plan.purge is not None and purge > plan.purge:
        notes = (*notes, f"purge {purge} sessions, not {plan.purge}: the warm-up reaches that far back")
    missing = uncovered(terms_of(backtest, chosen))
    trials = len(sets) if plan.method is not Method.BAYES else min(_trials(plan), len(space))
    job = Job(
        sweep_id="",
        plan=PLANS.dump_json(backtest).decode(),
        settings=settings.model_dump_json(exclude={"secrets"}),
        symbols=symbols,
        ranges=space.ranges,
        method=plan.method,
        objective=plan.objective,
        trials=trials,
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
        notes=notes,
        asked=asked,
    )


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
    return iter(range(len(space))) if len(space) <= GRID_MAX else space.drawn(seed=0)


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
    return sessions_of(
        max(kind(symbols, {**base, **dict(space.at(place))}).warm_up for place in known[:LOOKED_AT_MAX])
    )


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
    from tasks.trading import settings_hash  # as in `prepare`

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
    """Give a fingerprint of the program's core and of the strategy's own file."""
    root = Path(__file__).resolve().parent.parent
    files = [path for name in PACKAGES for path in sorted((root / name).rglob("*.py"))]
    digest = hashlib.blake2b(digest_size=8)
    for path in files:
        digest.update(path.read_bytes())
    own = getattr(inspect.getmodule(type(strategy)), "__file__", None)
    if own is not None:
        digest.update(Path(own).read_bytes())
    return digest.hexdigest()


def _hash(asked: Mapping[str, object]) -> str:
    words = json.dumps(asked, sort_keys=True, default=str)
    return hashlib.blake2b(words.encode(), digest_size=8).hexdigest()


def _write(folder: Path, job: Job, bars: pl.DataFrame) -> None:
    """Write job and bars, whole or not at all; bars that are there are the same ones."""
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / BARS_FILE
    if not place.exists():
        part = place.with_suffix(".part")
        bars.write_ipc(part)
        part.replace(place)
    part = folder / f"{JOB_FILE}.part"
    part.write_text(job.model_dump_json(), encoding="utf-8")
    part.replace(folder / JOB_FILE)


# ---- under way ------------------------------------------------------------------------------


def search(prepared: Prepared, fan: Fan, told: Told) -> Sweep:
    """Play what is not played yet, and judge.

    Args:
        prepared: the sweep.
        fan: plays pieces.
        told: hears of every piece.

    Raises:
        FillsDiffer: the screen and the exact engine differ, a defect of this program.
        ConfigError: the strategy raised, or said what is no signal.
    """
    started_at, clock = SystemClock().now(), perf_counter()
    if prepared.job.method is Method.BAYES:
        days, refused = _bayes(prepared, fan, told)
    else:
        pieces = pieces_of(prepared)
        days, refused = _played(prepared, pieces, fan, told, "sets"), prepared.refused
    cash = float(prepared.plan.backtest.cash)
    trials = trials_of(days, prepared.job.folds, cash=cash)
    proven: dict[int, int] = {}
    if prepared.job.screens and prepared.job.folds[0].test_end > prepared.job.folds[0].test_start:
        choices = choices_of(trials, prepared.job.objective, cash=cash)
        proofs = [
            Piece(
                name=f"proof-{choice.best.fold.number:03}",
                sets=(choice.best.place,),
                folds=(choice.best.fold.number,),
                is_proof=True,
            )
            for choice in choices
        ]
        found = _played(prepared, proofs, fan, told, "winners, by the exact engine")
        proven = dict(zip(found["fold"].to_list(), found["fills"].to_list(), strict=True))
    return Sweep(
        prepared=prepared,
        started_at=started_at,
        seconds=perf_counter() - clock,
        trials=tuple(trials),
        refused=refused,
        verdict=verdict(trials, prepared.job.objective, cash=cash, sessions=prepared.job.sessions),
        proven=proven,
    )


def pieces_of(prepared: Prepared) -> list[Piece]:
    """Cut the sets into pieces, each in all folds: a set's signals are computed once."""
    numbers = tuple(fold.number for fold in prepared.job.folds)
    size = min(max(BARS_A_PIECE // prepared.bars, 1), SETS_A_PIECE_MAX)
    return [
        Piece(name=f"sets-{start // size:05}", sets=prepared.sets[start : start + size], folds=numbers)
        for start in range(0, len(prepared.sets), size)
    ]


def _played(prepared: Prepared, pieces: Sequence[Piece], fan: Fan, told: Told, what: str) -> pl.DataFrame:
    """Have pieces played that are not, and read all of them."""
    todo = [piece for piece in pieces if not _is_whole(file_of(prepared.folder, piece))]
    done = len(pieces) - len(todo)
    told(what, done, len(pieces))
    if todo:
        for _ in fan(prepared.folder, todo):
            done += 1
            told(what, done, len(pieces))
    return pl.concat([pl.read_parquet(file_of(prepared.folder, piece)) for piece in pieces])


def _is_whole(path: Path) -> bool:
    """Tell whether a piece's file is there; one that a power cut emptied is removed."""
    if not path.exists():
        return False
    try:
        pl.read_parquet_schema(path)
    except (pl.exceptions.PolarsError, OSError):
        path.unlink()
        return False
    return True


def _bayes(prepared: Prepared, fan: Fan, told: Told) -> tuple[pl.DataFrame, int]:
    """Search fold by fold, each round of all folds together; give days and refused sets."""
    from tasks.sweep_bayes import Bayes  # optuna takes a second to import

    job = prepared.job
    space = Space(job.ranges)
    accepts = acceptance(PLANS.validate_json(job.plan), space)
    searches = {
        fold.number: Bayes(space, seed=job.seed, fold=fold.number, accepts=accepts) for fold in job.folds
    }
    cash, frames = float(prepared.plan.backtest.cash), [pl.DataFrame(schema=DAYS_SCHEMA)]
    for start in range(0, job.trials, SETS_A_ROUND):
        count = min(SETS_A_ROUND, job.trials - start)
        asked = {number: each.ask(count) for number, each in searches.items()}
        half = SETS_A_ROUND // 2  # two processes have work even where there is one fold
        pieces = [
            Piece(
                name=f"fold-{number:03}-round-{start // SETS_A_ROUND:04}-{part // half}",
                sets=tuple(places[part : part + half]),
                folds=(number,),
            )
            for number, places in asked.items()
            for part in range(0, len(places), half)
        ]
        if not pieces:
            break
        what = f"sets {start + 1} to {start + count} of each fold"
        days = _played(prepared, pieces, fan, told, what)
        frames.append(days)
        for trial in trials_of(days, job.folds, cash=cash):
            searches[trial.fold.number].tell([trial.place], [trial.train.score(job.objective)])
    return pl.concat(frames), len(set().union(*(each.refused for each in searches.values())))


def day_span(sessions: Sequence[date], start: int, end: int) -> str:
    """Give sessions [start, end) as people write them."""
    return "-" if start == end else f"{sessions[start]} to {sessions[end - 1]}"

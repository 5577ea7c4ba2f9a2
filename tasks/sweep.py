"""Search a strategy's parameters, walk forward, and say how far the best is to be believed.

Theory of operation. `prepare` (tasks/sweep_plan.py) checks what was asked and writes a folder named by it.
`search` has pieces of it played by whoever is handed in (a pool, Prefect's tasks); each piece is a file in
that folder. So a sweep that was killed goes on where it was, and who played it changes nothing.

The screen plays where it covers the terms; where it does not, the exact engine plays everything, and says
so. Each fold's best is played again on its test by the exact engine, which must give the same fills.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from time import perf_counter

import polars as pl
from pydantic import TypeAdapter

from desk.adapters.system_clock import SystemClock
from desk.research.search import Space
from desk.research.walk import DAYS_SCHEMA, Rank, Trial, Verdict, choices_of, ranked, trials_of, verdict
from schemas.sweep import Method, Piece
from tasks.sweep_bench import PLANS, file_of
from tasks.sweep_plan import Prepared, acceptance

# A piece is about two seconds of one core: long beside what handing it over costs, a tenth of a second
# as one of Prefect's task runs, and short beside what a kill may lose.
BARS_A_PIECE = 20_000_000
SETS_A_PIECE_MAX = 64
PIECES_MIN = 16  # of a sweep that has so many sets: work for as many cores
SETS_A_ROUND = 16  # of a Bayesian search; more ask with less known, fewer leave processes idle

TOOK_FILE = "took.json"  # of a sweep that came to an end: when it began, what it took

Fan = Callable[[Path, Sequence[Piece]], Iterator[str]]  # plays pieces, gives their names as they are done
Told = Callable[[str, int, int], None]  # what is under way, pieces done, pieces of it


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """What came of it."""

    prepared: Prepared
    started_at: datetime  # of the first search that came to an end
    seconds: float  # of the same
    trials: tuple[Trial, ...]
    refused: int
    verdict: Verdict
    proven: Mapping[int, int]  # fills that both engines gave, by fold
    pieces: int
    found: int  # pieces that an earlier search had finished

    def params(self, place: int) -> dict[str, object]:
        """Give the set of a place."""
        return dict(Space(self.prepared.job.ranges).at(place))

    def ranked(self) -> list[Rank]:
        """Give the sets over all folds, the best of the training first."""
        return ranked(self.trials, self.prepared.job.objective)


@dataclass
class _Tally:
    """Pieces there are, and those found finished."""

    pieces: int = 0
    found: int = 0


@dataclass(frozen=True)
class _Took:
    """When a search began, and how long it took."""

    started_at: datetime
    seconds: float


_TOOK = TypeAdapter(_Took)


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
    started_at, clock, tally = SystemClock().now(), perf_counter(), _Tally()
    if prepared.job.method is Method.BAYES:
        days, refused = _bayes(prepared, fan, told, tally)
    else:
        pieces = pieces_of(prepared)
        days, refused = _played(prepared, pieces, fan, told, "sets", tally), prepared.refused
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
        found = _played(prepared, proofs, fan, told, "winners, by the exact engine", tally)
        proven = dict(zip(found["fold"].to_list(), found["fills"].to_list(), strict=True))
    first = _first_search(prepared.folder, _Took(started_at, perf_counter() - clock))
    return Sweep(
        prepared=prepared,
        started_at=first.started_at,
        seconds=first.seconds,
        trials=tuple(trials),
        refused=refused,
        verdict=verdict(trials, prepared.job.objective, cash=cash, sessions=prepared.job.sessions),
        proven=proven,
        pieces=tally.pieces,
        found=tally.found,
    )


def _first_search(folder: Path, took: _Took) -> _Took:
    """Give when the first search that came to an end began and what it took; write it down if it is this."""
    path = folder / TOOK_FILE
    if not path.exists():
        part = path.with_suffix(f".{os.getpid()}.part")
        part.write_bytes(_TOOK.dump_json(took))
        part.replace(path)
    return _TOOK.validate_json(path.read_bytes())


def pieces_of(prepared: Prepared) -> list[Piece]:
    """Cut the sets into pieces, each in all folds: a set's signals are computed once."""
    numbers = tuple(fold.number for fold in prepared.job.folds)
    each = -(-len(prepared.sets) // PIECES_MIN)
    size = min(max(BARS_A_PIECE // prepared.bars, 1), SETS_A_PIECE_MAX, max(each, 1))
    return [
        Piece(name=f"sets-{start // size:05}", sets=prepared.sets[start : start + size], folds=numbers)
        for start in range(0, len(prepared.sets), size)
    ]


def _played(
    prepared: Prepared, pieces: Sequence[Piece], fan: Fan, told: Told, what: str, tally: _Tally
) -> pl.DataFrame:
    """Have pieces played that are not, and read all of them."""
    todo = [piece for piece in pieces if not _is_whole(file_of(prepared.folder, piece))]
    done = len(pieces) - len(todo)
    tally.pieces += len(pieces)
    tally.found += done
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


def _bayes(prepared: Prepared, fan: Fan, told: Told, tally: _Tally) -> tuple[pl.DataFrame, int]:
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
        days = _played(prepared, pieces, fan, told, what, tally)
        frames.append(days)
        for trial in trials_of(days, job.folds, cash=cash):
            searches[trial.fold.number].tell([trial.place], [trial.train.score(job.objective)])
    return pl.concat(frames), len(set().union(*(each.refused for each in searches.values())))


def day_span(sessions: Sequence[date], start: int, end: int) -> str:
    """Give sessions [start, end) as people write them."""
    return "-" if start == end else f"{sessions[start]} to {sessions[end - 1]}"

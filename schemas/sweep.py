"""What a search of parameters is asked, and the pieces it is cut into."""

from datetime import date
from enum import StrEnum

from pydantic import ConfigDict, Field

from schemas.record import Record

Value = bool | int | float | str
Chosen = tuple[tuple[str, Value], ...]  # one set of parameters: name and value, in the ranges' order


class Method(StrEnum):
    """Which sets of parameters are tried."""

    GRID = "grid"  # all of them
    RANDOM = "random"  # so many of them, each once
    BAYES = "bayes"  # each where the ones before did well (optuna's TPE), fold by fold


class Objective(StrEnum):
    """What the best set is best in, on its training sessions."""

    SHARPE = "sharpe"
    PNL = "pnl"
    CALMAR = "calmar"


class Runner(StrEnum):
    """Who plays the pieces."""

    PROCESSES = "processes"  # of this machine
    DASK = "dask"
    RAY = "ray"


class Range(Record):
    """The values one parameter takes."""

    name: str
    values: tuple[Value, ...] = Field(min_length=1)


class Fold(Record):
    """Sessions sets are chosen on and sessions they are judged on: half-open places among the sweep's."""

    number: int  # from 1
    train_start: int
    train_end: int
    test_start: int
    test_end: int  # no test where it is `test_start`
    embargoed: tuple[int, ...] = ()  # in training, too soon after an earlier test: played and not counted


class Piece(Record):
    """What one process plays at a time, and the name of the file that has the result."""

    name: str
    sets: tuple[int, ...]  # places in the space of parameters
    folds: tuple[int, ...]  # numbers
    is_proof: bool = False  # the exact engine plays the test and the screen's fills are held against it


class Job(Record):
    """Everything a process must know to play pieces of a sweep; beside it lie the bars."""

    model_config = ConfigDict(strict=False)

    sweep_id: str  # a function of all that decides the result
    plan: str  # of a backtest, as JSON
    settings: str  # desk.yaml's without secrets, as JSON
    symbols: tuple[str, ...]
    ranges: tuple[Range, ...]
    method: Method
    objective: Objective
    trials: int  # asked for; of a grid, all
    seed: int
    folds: tuple[Fold, ...]
    sessions: tuple[date, ...]
    screens: bool  # False: the exact engine plays everything
    why_exact: str = ""  # what the screen does not cover

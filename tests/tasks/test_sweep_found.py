"""A sweep asked for again says what it found finished, and keeps what it says of its first search."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from cli.sweep import found_words
from data.duckfile import query_readonly
from schemas.settings import Settings
from schemas.sweep import Method, Piece
from tasks.store import warehouse_path
from tasks.sweep import search
from tasks.sweep_keep import keep_sweep
from tasks.sweep_plan import prepare
from tests.tasks.sweeps import alone, made, plan_of, quiet, write_bars


class Killed(Exception):
    """What ends a search in the middle."""


def dying(folder: Path, pieces: Sequence[Piece]) -> Iterator[str]:
    """Play two pieces and no more."""
    for count, name in enumerate(alone(folder, pieces), start=1):
        yield name
        if count == 2:
            raise Killed


def test_a_finished_sweep_keeps_its_first_search(tmp_path: Path) -> None:
    """Asked for again nothing is played: its row has the first search's beginning and seconds."""
    bars = write_bars(tmp_path)
    settings = Settings(store=tmp_path)
    first = made(bars, tmp_path)
    keep_sweep(first, settings)

    second = made(bars, tmp_path)
    keep_sweep(second, settings)

    assert (first.found, second.found) == (0, first.pieces)
    assert (second.seconds, second.started_at) == (first.seconds, first.started_at)
    row = query_readonly(warehouse_path(settings), "FROM sweeps").row(0, named=True)
    assert row["seconds"] == first.seconds
    assert found_words(first) == ""
    assert found_words(second) == (
        f"All {first.pieces} pieces were found finished; the time is that of the first search."
    )


@pytest.mark.parametrize("method", [Method.GRID, Method.BAYES])
def test_a_sweep_that_goes_on_says_what_it_found(tmp_path: Path, method: Method) -> None:
    """The pieces of before a kill are counted, and only those."""
    bars = write_bars(tmp_path)
    trials = None if method is Method.GRID else 3
    plan = plan_of(bars, method=method, trials=trials)
    with pytest.raises(Killed):
        search(prepare(plan, Settings(store=tmp_path)), dying, quiet)

    done = search(prepare(plan, Settings(store=tmp_path)), alone, quiet)

    assert done.found == 2
    assert found_words(done) == f"2 of {done.pieces} pieces were found finished."

"""The soak of sweeps asks for what it says, and notices another winner, no real kill, who stayed behind."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from desk.research.search import Space, read_range
from soak.sweeps import PLAIN, Ran, ranges_of, write_bars, wrong
from strategies.sma_crossover import SmaParams

FACTS: dict[str, Any] = {"sweep_id": "one", "seconds": 1.0, "folds": [{"params": {"fast": 5}}]}


def ran(way: str, at: int = 0, left: int = 0, **facts: object) -> Ran:
    return Ran(way, at, 32, 9.0, 0.1, {**FACTS, **facts}, left)


def test_only_the_seconds_may_differ() -> None:
    """Whole and killed, on whatever they ran."""
    assert wrong([ran(PLAIN), ran(PLAIN, at=16), ran("dask", seconds=99.0), ran("ray", at=20)]) == []


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        (ran("dask", folds=[{"params": {"fast": 6}}]), "dask: folds differs"),
        (ran("ray", at=16, sweep_id="two"), "ray, killed: sweep_id differs"),
        (ran("ray", at=32), "ray, killed: all 32 pieces were there already"),
        (ran("ray", at=16, left=3), "ray, killed: 3 processes left behind"),
    ],
)
def test_what_is_wrong_is_named(odd: Ran, words: str) -> None:
    """With the runner and whether it was killed."""
    (complaint,) = wrong([ran(PLAIN), ran("processes"), odd])

    assert words in complaint


@pytest.mark.parametrize("sets", [500, 40, 10])
def test_it_tries_as_many_sets_as_it_was_asked(sets: int) -> None:
    """And the strategy takes each of them."""
    space = Space([read_range(words) for words in ranges_of(sets)[1::2]])

    assert len(space) == sets
    for place in space.all():
        SmaParams.model_validate(dict(space.at(place)))


def test_its_bars_are_of_so_many_symbols_and_sessions(tmp_path: Path) -> None:
    """Generated, in one file, sorted."""
    write_bars(tmp_path / "bars.parquet", symbols=3, sessions=4)

    frame = pl.read_parquet(tmp_path / "bars.parquet")

    assert frame["symbol"].n_unique() == 3
    assert frame["ts"].dt.date().n_unique() == 4
    assert frame.equals(frame.sort("symbol", "ts"))

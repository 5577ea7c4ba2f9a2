"""Ranges as people write them, and the product of them counted through."""

from itertools import islice, product

import pytest

from desk.errors import ConfigError
from desk.research.search import GRID_MAX, Space, read_range
from schemas.sweep import Range


@pytest.mark.parametrize(
    ("words", "values"),
    [
        ("fast=5..20:5", (5, 10, 15, 20)),
        ("fast=5..22:5", (5, 10, 15, 20)),
        ("fast=3..5", (3, 4, 5)),
        ("fast=7..7", (7,)),
        ("band=0.1..0.5:0.1", (0.1, 0.2, 0.3, 0.4, 0.5)),
        ("band=1..2:0.5", (1.0, 1.5, 2.0)),
        ("band=-1..1", (-1, 0, 1)),
        ("slow=20,50,100", (20, 50, 100)),
        ("allow_short=true,false", (True, False)),
        ("kind=sma, ema", ("sma", "ema")),
        ("band=0.5", (0.5,)),
    ],
)
def test_a_range_is_read(words: str, values: tuple[object, ...]) -> None:
    """Both ends are included; tenths are tenths, not sums of floats."""
    found = read_range(words)

    assert found.values == values
    assert [type(value) for value in found.values] == [type(value) for value in values]
    assert found.name == words.split("=")[0]


@pytest.mark.parametrize(
    "words",
    [
        "fast", "=5..9", "fast=", "fast=9..5", "fast=5..9:0", "fast=5..9:-1", "fast=a..b", "fast=1,,2",
        "fast=1,1", "fast=[1,2]", "fast=1..1e9", "fast=nan..5", "fast=1..inf", "fast={", "fast=1..2:x",
    ],
)  # fmt: skip
def test_a_wrong_range_is_refused(words: str) -> None:
    """The message has the words that were written."""
    with pytest.raises(ConfigError) as caught:
        read_range(words)

    assert words in str(caught.value)


def space() -> Space:
    """Give two by three by two sets."""
    return Space([read_range("a=1..2"), read_range("b=10,20,30"), read_range("c=x,y")])


def test_every_set_has_one_place() -> None:
    """The product in its order, the last range turning fastest; a place and its digits lead to each other."""
    found = [space().at(place) for place in space().all()]

    assert found == [(("a", a), ("b", b), ("c", c)) for a, b, c in product((1, 2), (10, 20, 30), ("x", "y"))]
    assert len(space()) == 12
    assert [space().place_of(digits) for digits in product(range(2), range(3), range(2))] == list(range(12))


def test_a_drawing_gives_each_set_once_and_the_same_for_a_seed() -> None:
    """Of a small space all; of one too large to write out, distinct ones."""
    large = Space([Range(name=name, values=tuple(range(1_000))) for name in "abc"])

    assert sorted(space().drawn(seed=3)) == list(range(12))
    assert list(space().drawn(seed=3)) == list(space().drawn(seed=3))
    assert list(space().drawn(seed=3)) != list(space().drawn(seed=4))
    drawn = list(islice(large.drawn(seed=1), 5_000))
    assert len(set(drawn)) == 5_000
    assert drawn == list(islice(large.drawn(seed=1), 5_000))
    assert max(drawn) > GRID_MAX


def test_a_space_without_ranges_or_with_one_twice_or_too_large_is_refused() -> None:
    """Each says what to do."""
    with pytest.raises(ConfigError, match="needs one at least"):
        Space([])
    with pytest.raises(ConfigError, match="a is there twice"):
        Space([read_range("a=1..2"), read_range("a=3..4")])
    with pytest.raises(ConfigError, match="--method random"):
        Space([read_range("a=1..400"), read_range("b=1..400")]).all()

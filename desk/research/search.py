"""The sets of parameters a search may try: ranges, and their product counted through.

A set is known by its place in the product of the ranges, the last range turning fastest, so that a set of
millions need not be written out and every process means the same by a number.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation
from math import prod

import numpy as np
import yaml

from desk.errors import ConfigError
from schemas.sweep import Chosen, Range, Value

VALUES_MAX = 1_000  # of one range; more is a slip of the keyboard
GRID_MAX = 100_000  # sets of a grid: days of work for the screen
DRAWS_A_SET = 50  # attempts at an unseen set before a drawing gives up


def read_range(words: str) -> Range:
    """Read a range as a person writes it: `fast=5..50:5` (both ends included), or `slow=20,50,100`.

    Raises:
        ConfigError: it is neither, or has too many values or one twice.
    """
    name, equals, values = words.partition("=")
    if not equals or not name.strip() or not values.strip():
        raise ConfigError(f"--range {words}: write fast=5..50:5, or slow=20,50,100")
    found = _stepped(words, values) if ".." in values else _listed(words, values)
    if len(found) > VALUES_MAX:
        raise ConfigError(f"--range {words}: {len(found):,} values, allowed: {VALUES_MAX:,}")
    if len({repr(value) for value in found}) < len(found):
        raise ConfigError(f"--range {words}: a value is there twice; allowed: once")
    return Range(name=name.strip(), values=found)


def _stepped(words: str, values: str) -> tuple[Value, ...]:
    span, _, step_words = values.partition(":")
    low_words, _, high_words = span.partition("..")
    try:
        low, high = Decimal(low_words), Decimal(high_words)
        step = Decimal(step_words or "1")
        count = int((high - low) / step) + 1
    except (InvalidOperation, ZeroDivisionError, ValueError, OverflowError):
        raise ConfigError(f"--range {words}: write low..high:step in numbers, as in fast=5..50:5") from None
    if step <= 0 or high < low:
        raise ConfigError(f"--range {words}: the step must be more than 0 and the end not before the start")
    if count > VALUES_MAX:
        raise ConfigError(f"--range {words}: {count:,} values, allowed: {VALUES_MAX:,}")
    numbers = [low + step * place for place in range(count)]
    if all(number == number.to_integral_value() for number in (low, step)):
        return tuple(int(number) for number in numbers)
    return tuple(float(number) for number in numbers)


def _listed(words: str, values: str) -> tuple[Value, ...]:
    try:
        found = [yaml.safe_load(part) for part in values.split(",")]
    except yaml.YAMLError:
        found = [None]
    if any(not isinstance(value, bool | int | float | str) for value in found):
        raise ConfigError(f"--range {words}: write values with commas between, as in slow=20,50,100")
    return tuple(found)


class Space:
    """All sets of some ranges."""

    def __init__(self, ranges: Sequence[Range]) -> None:
        """Take the ranges.

        Raises:
            ConfigError: there is none, or one parameter has two.
        """
        names = [each.name for each in ranges]
        if not names:
            raise ConfigError("no --range: a sweep needs one at least, as in --range fast=5..50:5")
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ConfigError(f"--range {twice[0]} is there twice; allowed: once")
        self.ranges = tuple(ranges)
        self._sizes = tuple(len(each.values) for each in ranges)

    def __len__(self) -> int:
        """Count the sets."""
        return prod(self._sizes)

    def at(self, place: int) -> Chosen:
        """Give the set of a place."""
        digits = np.unravel_index(place, self._sizes)
        return tuple(
            (each.name, each.values[int(digit)]) for each, digit in zip(self.ranges, digits, strict=True)
        )

    def place_of(self, digits: Sequence[int]) -> int:
        """Give the place of the set with these values, each counted in its range."""
        return int(np.ravel_multi_index(tuple(digits), self._sizes))

    def all(self) -> Iterator[int]:
        """Give every place.

        Raises:
            ConfigError: there are too many to try.
        """
        if len(self) > GRID_MAX:
            raise ConfigError(
                f"{len(self):,} sets of parameters, allowed for a grid: {GRID_MAX:,}; "
                "take wider steps, or --method random or bayes with --trials"
            )
        return iter(range(len(self)))

    def drawn(self, *, seed: int) -> Iterator[int]:
        """Give places in an order drawn by lot, each once; a seed gives the same order always."""
        chance = np.random.Generator(np.random.PCG64(seed))
        if len(self) <= GRID_MAX:
            yield from chance.permutation(len(self)).tolist()
            return
        seen: set[int] = set()
        for _ in range(DRAWS_A_SET * GRID_MAX):
            place = int(chance.integers(len(self)))
            if place not in seen:
                seen.add(place)
                yield place

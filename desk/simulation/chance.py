"""What one seed decides, named: two chances of different names never disturb each other.

A scenario, a market and each kind of trouble draw from a chance of their own, so that a desk that asks
the broker once more does not change the market of the seed.
"""

from collections.abc import Sequence
from random import Random
from typing import TypeVar

Thing = TypeVar("Thing")


class Chance:
    """A seeded source of decisions."""

    def __init__(self, seed: int, *names: str) -> None:
        """Keep a stream that is a function of the seed and the names."""
        self.seed = seed
        self.names = names
        self._random = Random("/".join((str(seed), *names)))

    def of(self, name: str) -> "Chance":
        """Give a chance of its own for a part."""
        return Chance(self.seed, *self.names, name)

    def strikes(self, likelihood: float) -> bool:
        """Tell whether it happens this time; nothing is drawn for what never does."""
        return likelihood > 0 and self._random.random() < likelihood

    def whole(self, low: int, high: int) -> int:
        """Give a whole number in [low, high]."""
        return self._random.randint(low, high)

    def number(self, low: float, high: float) -> float:
        """Give a number in [low, high)."""
        return low + (high - low) * self._random.random()

    def bell(self, sigma: float) -> float:
        """Give a normal deviate."""
        return self._random.gauss(0.0, sigma)

    def among(self, things: Sequence[Thing]) -> Thing:
        """Give one of the things."""
        return things[self._random.randrange(len(things))]

    def some(self, things: Sequence[Thing], count: int) -> list[Thing]:
        """Give `count` different things, in their order."""
        chosen = sorted(self._random.sample(range(len(things)), count))
        return [things[place] for place in chosen]

    def shuffled(self, things: Sequence[Thing]) -> list[Thing]:
        """Give the things in another order."""
        result = list(things)
        self._random.shuffle(result)
        return result

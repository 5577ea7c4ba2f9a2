"""A defect to plant: a small change that would lose or double money, and the tests that must notice.

`old` stands exactly once in its module; a test keeps the lists in step with the code. A defect the simulation
is expected to find names no test; the others name the tests that hold what no seed can see.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Planted:
    """One defect."""

    name: str
    why: str  # what it does, in words
    path: str
    old: str
    new: str
    tests: tuple[str, ...] = ()

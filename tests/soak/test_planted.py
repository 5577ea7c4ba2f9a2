"""The planted defects fit the code: each still finds its text, and each names what should notice it."""

from pathlib import Path

import pytest

from soak.mutants import changed
from soak.planted import PLANTED
from soak.planting import Planted

CHECKOUT = Path(__file__).parent.parent.parent
LEAST = 25  # the number of ways to break the desk


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.name)
def test_a_defect_can_be_planted(planted: Planted) -> None:
    """Its text stands once in its module, the change still compiles, and the tests it names exist."""
    source = (CHECKOUT / planted.path).read_text(encoding="utf-8")

    made = changed(planted, source)

    assert made != source
    compile(made, planted.path, "exec")
    assert all((CHECKOUT / test.partition("::")[0]).exists() for test in planted.tests)


def test_there_are_enough_and_no_name_twice() -> None:
    """At least 25 ways to break the desk."""
    names = {planted.name for planted in PLANTED}

    assert len(names) == len(PLANTED) >= LEAST

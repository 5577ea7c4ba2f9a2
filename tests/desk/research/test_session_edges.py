"""A session's edges in the exact engine: the close-out without a gate."""

import pytest

from desk.research.engine import Played
from desk.research.screen import Screen
from desk.research.slate import Slate
from tests.desk.research.cases import case
from tests.desk.research.exact import played
from tests.desk.research.test_screen import terms

COLUMNS = ("ts", "symbol", "side", "qty", "price", "fee")
CLOSED_OUT = [seed for seed in range(60) if case(seed).options.close_out][:20]


def rows(done: Played) -> list[tuple[object, ...]]:
    """Give the executions, by time and symbol."""
    return sorted(done.fills.select(COLUMNS).rows())


@pytest.mark.parametrize("seed", CLOSED_OUT)
def test_without_the_gate_no_entry_comes_after_entries_have_ended(seed: int) -> None:
    """The session's hours are no limit of the gate: the plain loop, the screen and the engine agree."""
    made = case(seed)

    done, visited = (played(made, gate=False, skips=skips, hashes=True) for skips in (True, False))

    wanted = [tuple(getattr(fill, name) for name in COLUMNS) for fill in made.play().fills]
    slate = Slate(made.bars)
    screen = Screen(slate, terms(made.options)).play(slate.targets(made.levels))
    assert rows(done) == wanted == sorted(screen.fills().select(COLUMNS).rows())
    assert done.ledger_hash == visited.ledger_hash

"""docs/failure-modes.md has every failure mode and every fault, and each row names tests that exist."""

import ast
import re
from pathlib import Path

import pytest

from schemas.faults import FaultKind
from tests.desk.test_under_faults import CASES
from tests.house import CHECKOUT

PAGE = (CHECKOUT / "docs" / "failure-modes.md").read_text(encoding="utf-8")
# Each row: what fails, at the broker, what the desk does, what is seen.
ROWS = [
    tuple(cell.strip() for cell in line.strip("|").split("|"))
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith(("| ---", "| fault |", "| failure |"))
]
# Under each table, a row's key and its tests.
PROOFS = [
    (key, re.findall(r"`([^`]+)`", nodes))
    for table in re.findall(r"^Proved by:\n\n((?:- .+\n)+)", PAGE, re.MULTILINE)
    for key, nodes in re.findall(r"^- (.+?): (.+)$", table, re.MULTILINE)
]
# The catalogue the simulated exchange and the machine are held to, in its own words.
CATALOGUE = (
    "order accepted and the answer lost", "refused before acceptance", "TCP hang", "connection reset",
    "429 with headers", "429 without headers", "500 with an HTML body", "duplicate client id",
    "wash-trade refusal", "quantity refusal", "buying-power refusal", "margin refusal",
    "cancel of a filled order", "fill between cancel and its ack",
    "replace that gets a new id and loses the partial quantity", "pending_cancel for hours",
    "stream silent but open", "single frame lost", "frames duplicated", "frames reordered", "frames empty",
    "unknown event", "unknown status", "second connection refused", "slow-client disconnect",
    "positions lagging fills", "paging and ordering of fills within a millisecond", "partial fills",
    "late bars", "missing bars", "revised bars", "zero-volume bars", "crossed bars", "NaN bars",
    "duplicate bars", "whole feed frozen", "halted symbol", "early close", "clock skew", "DST night",
    "split over open orders", "manual trade at the broker", "process killed at every durable write",
    "process killed at every answer", "disk full", "DuckDB file locked", "DuckDB's WAL unreadable",
    "Prefect API down", "Prefect API slow", "Discord down", "Discord rate-limited",
)  # fmt: skip


def failing(words: str) -> list[str]:
    """Give the first cells that begin with some words."""
    return [row[0] for row in ROWS if re.match(rf"{re.escape(words)}(?![\w-])", row[0])]


def key_of(row: tuple[str, ...]) -> str:
    """Give a row's key: its number, its fault's name, or else its words."""
    named = re.match(r"F\d+", row[0]) or re.search(r"(?<=\(`)\w+(?=`\))", row[0])
    return row[0] if named is None else named.group()


def functions_in(path: Path) -> set[str]:
    """Give the names of a file's functions."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_row_is_whole() -> None:
    """A row says four things, and says each."""
    assert len(ROWS) > 60
    assert [row for row in ROWS if len(row) != 4 or not all(row)] == []


@pytest.mark.parametrize("number", range(1, 14))
def test_every_failure_mode_has_a_row(number: int) -> None:
    """F1 to F13 stand on the page, each once."""
    assert len(failing(f"F{number}")) == 1


@pytest.mark.parametrize("words", CATALOGUE)
def test_every_fault_of_the_catalogue_has_a_row(words: str) -> None:
    """No fault the desk was built against is missing, and none stands twice."""
    assert len(failing(words)) == 1


@pytest.mark.parametrize("kind", sorted(FaultKind))
def test_every_fault_the_exchange_commits_has_a_row(kind: FaultKind) -> None:
    """A new fault cannot be added without saying what the desk does about it."""
    assert len([row for row in ROWS if f"(`{kind}`)" in row[0]]) == 1


def test_every_row_names_tests_that_exist() -> None:
    """A proof is a node id: a file under tests/, a function in it, a case of its table."""
    assert [key for key, _ in PROOFS] == [key_of(row) for row in ROWS]
    for _, nodes in PROOFS:
        assert nodes
        for node in nodes:
            path, _, name = node.partition("::")
            function, _, case = name.partition("[")
            file = CHECKOUT / "tests" / path
            assert file.is_file(), node
            assert function.startswith("test_"), node
            assert function in functions_in(file), node
            assert not case or case.removesuffix("]") in CASES, node


def test_every_module_the_page_names_exists() -> None:
    """What is said to be done is done where it is said."""
    named = re.findall(r"`((?:desk|data|tasks)/[a-z_/]+\.py)[:`]", PAGE)

    assert len(named) > 20
    assert [name for name in named if not (CHECKOUT / name).is_file() and "test_" not in name] == []

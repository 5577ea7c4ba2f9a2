"""A path that cannot be written is one line and exit code 2, before anything is played."""

from pathlib import Path

import pytest

from cli.outputs import require_writable
from tasks.errors import ConfigError
from tests.cli.conftest import Desk

ASKED = {
    "backtest": ("backtest", "sma_crossover", "--bars", "nowhere"),
    "sweep": ("sweep", "sma_crossover", "--range", "fast=5,10", "--bars", "nowhere"),
    "compare": ("compare", "last", "last~1"),
}


@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("backtest", "--report"),
        ("backtest", "--json"),
        ("backtest", "--fills"),
        ("sweep", "--report"),
        ("sweep", "--json"),
        ("compare", "--report"),
        ("compare", "--json"),
    ],
)
def test_a_directory_is_no_file(desk: Desk, tmp_path: Path, command: str, option: str) -> None:
    """It is complained of before the bars or runs, which are not there either."""
    for place in ("/", str(tmp_path)):
        said = desk.fails(*ASKED[command], option, place, code=2)

        assert said.strip() == f"{option} {place} is a directory; name a file"


def test_a_path_below_a_file_is_named(tmp_path: Path) -> None:
    """What the system says of it stands there."""
    (tmp_path / "file").write_text("mine", encoding="utf-8")

    with pytest.raises(ConfigError, match=r"--json .*file/x\.json cannot be written: "):
        require_writable(json=tmp_path / "file" / "x.json")


def test_one_file_is_not_asked_for_twice(tmp_path: Path) -> None:
    """The second would overwrite the first."""
    with pytest.raises(ConfigError, match=r"--report .*x is the file of --json too"):
        require_writable(json=tmp_path / "x", report=tmp_path / "x")


def test_looking_changes_nothing(tmp_path: Path) -> None:
    """A file that is there keeps what it has, one that is not is not made; its folder is."""
    there = tmp_path / "there"
    there.write_text("mine", encoding="utf-8")

    require_writable(json=there, report=tmp_path / "new" / "page.html", fills=None)

    assert there.read_text(encoding="utf-8") == "mine"
    assert list((tmp_path / "new").iterdir()) == []

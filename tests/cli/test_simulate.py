"""`desk simulate`: seeds in, verdict and story out."""

from pathlib import Path

import pytest

from cli.main import run


def test_seeds_that_hold_end_with_0_and_a_summary(capsys: pytest.CaptureFixture[str]) -> None:
    """A few seeds are played, counted and found in order."""
    code = run(["simulate", "--seeds", "0..3", "--jobs", "1", "--minutes", "6"])

    told = capsys.readouterr().out
    assert code == 0
    assert "seeds" in told
    assert "checks: I1 " in told


def test_one_seed_tells_its_story(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The story names who did what on the terminal, and stands in a file as Markdown."""
    page = tmp_path / "story.md"

    code = run(["simulate", "--seed", "1", "--minutes", "8", "--trace", "--out", str(page)])

    told = capsys.readouterr().out
    assert code == 0
    assert "begins the session of" in told
    assert page.read_text(encoding="utf-8").startswith("# Seed 1\n\nevery invariant held")


def test_a_fault_plan_is_put_in_force(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every third answer to an order is lost, as the file says, and the seed holds all the same."""
    plan = tmp_path / "plan.yaml"
    plan.write_text("rules: [{kind: answer_lost, every: 3, calls: [submit]}]\n", encoding="utf-8")

    code = run(["simulate", "--seeds", "1..4", "--jobs", "1", "--faults", str(plan)])

    assert code == 0
    assert "answer lost" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--seeds", "9..3"], "--seeds 9..3; allowed: first..last"),
        (["--seeds", "all"], "--seeds all"),
        (["--faults", "nowhere.yaml"], "--faults nowhere.yaml: No such file"),
        (["--trace"], "give --seed N"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be played is named with what can, on stderr, with exit code 2."""
    code = run(["simulate", *arguments])

    told = capsys.readouterr()
    assert code == 2
    assert words in told.err
    assert len(told.err.strip().splitlines()) == 1

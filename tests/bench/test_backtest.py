"""bench/backtest.py: the speed contest counts the same fills, and says what is missed."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bench import backtest, contest_bars, environments
from bench.__main__ import is_met, shown
from bench.contestants import BARE, COMMAND, CONTESTANTS, NUMPY, SCREEN, SCREEN_COLD, YEAR, Kind, Score
from bench.environments import PEERS, CannotInstall, last_line
from bench.turn import Stopped, take

BARS = 1_000_000


def told(*, alone: float, whole: float, fills: str = "ours") -> dict[str, object]:
    """Give what a contestant tells, as `take` gives it."""
    return {
        **dict.fromkeys(("import_s", "load_s"), 0.1),
        **dict.fromkeys(("run_s", "again_s", "kernel_s"), alone),
        "whole_s": whole,
        "peak_mb": 100.0,
        **{"fills": 2, "value": 10.0, "hash": fills, "first": [], "last": []},
        "at_close": {"fills": 2, "value": 11.0, "hash": "at the close"},
    }


def field_of(seconds: Callable[[str], float]) -> list[Score]:
    """Give everybody's scores: one run of so many seconds, whole and alone."""
    return [
        Score(
            who,
            [
                told(
                    alone=seconds(who.name),
                    whole=seconds(who.name),
                    fills="at the close" if who.at_close else "ours",
                )
            ],
        )
        for who in CONTESTANTS
    ]


@pytest.mark.parametrize("who", [who for who in CONTESTANTS if who.peer == environments.OURS])
def test_ours_play_the_same(who: object, tmp_path: Path) -> None:
    """Each script of ours runs on the code of today and fills as the plain numpy loop does."""
    path = tmp_path / "bars.parquet"
    contest_bars.write(2, 2, path)

    def played(name: str) -> dict[str, object]:
        one = next(each for each in CONTESTANTS if each.name == name)
        return take([sys.executable, "-W", "ignore", str(PEERS / one.script), str(path), *one.words], {})

    mine, plain = played(who.name), played(NUMPY)

    assert mine["fills"] > 0
    assert mine["hash"] == plain["hash"]


def test_what_fails_is_told_in_its_last_line(tmp_path: Path) -> None:
    """A contestant that dies is no result and no traceback: its last words are kept."""
    script = tmp_path / "dies.py"
    script.write_text("raise SystemExit('no such thing')")

    with pytest.raises(Stopped, match="failed with 1: no such thing"):
        take([sys.executable, str(script)], {})


def test_what_takes_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A contestant is ended at the limit of time, and the limit is named."""
    monkeypatch.setattr("bench.turn.WATCH_S", 0.01)
    script = tmp_path / "stays.py"
    script.write_text("import threading; threading.Event().wait(60)")

    with pytest.raises(Stopped, match="stopped after 0 s"):
        take([sys.executable, str(script)], {}, stop_s=0.0)


def test_goals_are_ratios_to_the_fastest_peer() -> None:
    """Twice as slow as the fastest peer is missed and says whose time it is."""
    quick = {COMMAND: 2.0, BARE: 2.0, "NautilusTrader 2.0.0rc7": 1.0, NUMPY: 1.0, SCREEN: 2.5}

    rows = {
        row["name"]: row for row in backtest.goals(YEAR, BARS, field_of(lambda name: quick.get(name, 4.0)))
    }

    whole = rows["10 x 252: exact, whole process, in NautilusTrader 2.0.0rc7's"]
    assert (whole["value"], is_met(whole)) == (2.0, False)
    assert is_met(rows["10 x 252: desk screen, whole process, in numpy loops"]) is True
    alone = rows["10 x 252: exact, run alone"]
    assert (alone["value"], alone["unit"], is_met(alone)) == (2000.0, "ns/bar", True)


def test_other_fills_are_marked() -> None:
    """Who fills at the signal's close is held to that; other fills are said to be others, with the sum."""
    scores = field_of(lambda name: 1.0)
    other = next(score for score in scores if score.who.name.startswith("backtrader"))
    other.runs[0] |= {"hash": "others", "fills": 3, "value": 12.5}

    rows = [row["contest"] for row in backtest.results(YEAR, BARS, scores, 0.0)]

    fills = {row["contestant"]: row["fills"] for row in rows}
    assert fills[COMMAND] == "same"
    assert fills["NautilusTrader 1.231.0"] == "same, at the signal's close"
    assert fills[other.who.name] == "OTHERS: 3 beside 2, +2.50 USD"


@pytest.mark.parametrize("name", [BARE, SCREEN, SCREEN_COLD])
def test_our_own_must_agree(name: str) -> None:
    """A contest in which ours fill differently among themselves ends in an error, not in a table."""
    scores = field_of(lambda name: 1.0)
    next(score for score in scores if score.who.name == name).runs[0]["hash"] = "others"

    with pytest.raises(RuntimeError, match=f"{name} has other fills"):
        backtest._agree(scores)


def test_short_runs_are_repeated_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five runs of a second, three of a minute, one of ten; none more after a failure."""
    counts = {}
    for whole in (1.0, 60.0, 600.0):
        score = Score(CONTESTANTS[0])
        while score.is_due():
            score.runs.append(told(alone=whole, whole=whole))
        counts[whole] = len(score.runs)

    assert counts == {1.0: 5, 60.0: 3, 600.0: 1}
    assert not Score(CONTESTANTS[0], why_not="cannot be installed").is_due()


def test_the_table_shows_who_did_not_play() -> None:
    """A peer that cannot be installed has a line with the installer's words, and leaves no goal behind."""
    scores = field_of(lambda name: 1.0)
    for score in scores:
        if score.who.kind is Kind.EVENTS:
            score.runs, score.why_not = [], "cannot be installed: no wheel"

    rows = [
        {"bench": "backtest", **row}
        for row in (*backtest.results(YEAR, BARS, scores, 0.0), *backtest.goals(YEAR, BARS, scores))
    ]

    contestants, figures = list(shown(rows))
    assert len(contestants.rows) == len(CONTESTANTS)
    assert list(contestants.columns[1].cells).count("cannot be installed: no wheel") == 5
    assert not any("exact, whole" in str(cell) for cell in figures.columns[1].cells)


def test_every_peer_is_pinned_and_written() -> None:
    """Each contestant has its script; each peer its pins, exact versions and nothing else."""
    for who in CONTESTANTS:
        assert (PEERS / who.script).is_file()
        if who.peer != environments.OURS:
            first, *lines = (PEERS / f"{who.peer}.txt").read_text().splitlines()
            assert re.fullmatch(r"# python:( 3\.\d+)+", first)
            assert [line for line in lines if not re.fullmatch(r"#.*|[\w.\-\[\]]+==[\w.]+", line)] == []


def test_a_python_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A peer whose wheels are for another Python is left out with the version it needs."""
    monkeypatch.setattr(environments, "_candidates", lambda version: [tmp_path / "none"])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    with pytest.raises(CannotInstall, match=r"needs Python 3\.13 or 3\.12, and there is none here"):
        environments.interpreter("backtrader")


def test_the_last_line_is_no_advice() -> None:
    """pip closes with notices about itself: the error before them is what a person needs."""
    words = "Collecting x\nERROR: No matching distribution found for x\n\n[notice] A new release of pip\n"

    assert last_line(words) == "ERROR: No matching distribution found for x"
    assert last_line("") == ""

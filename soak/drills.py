"""Drills with whole real programs, looked at from outside: `python -m soak drills`.

A Prefect server, the exchange over HTTP at a pace, `trade-session` processes, and `desk` commands in
processes of their own. What is said of them comes from the exchange's own lists and books, the ledger's file,
exit codes and the processes' own words. `two-sessions` is told in soak/paused.py, `kill` in soak/refused.py.
"""

from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cli.platform import Platform, PlatformPlace
from soak.crash import SYMBOLS
from soak.paused import two_sessions
from soak.refused import kill_switch
from soak.stage import SoakDay, open_day
from soak.story import Story

DAY = date(2025, 11, 20)
DRILLS: dict[str, Callable[[SoakDay], Story]] = {"two-sessions": two_sessions, "kill": kill_switch}


def run(*, names: Sequence[str], seed: int, pace: float, folder: Path) -> list[Story]:
    """Play drills, each on an exchange of its own; give their stories."""
    stories = []
    place = PlatformPlace(home=folder / "prefect", logs=folder / "logs", config=folder / "desk.yaml")
    place.config.write_text("{}\n", encoding="utf-8")
    with Platform(place) as platform:
        platform.start_server()
        for name in names:
            day = open_day(
                platform,
                folder / name,
                session_date=DAY,
                symbols=SYMBOLS,
                seed=seed,
                pace=pace,
                faults=None,
            )
            try:
                stories.append(DRILLS[name](day))
            finally:
                day.exchange.stop()
    return stories


def show(stories: Sequence[Story], console: Console) -> None:
    """Print what was seen."""
    for story in stories:
        table = Table("", "", title=story.title, title_justify="left", show_header=False)
        for what, words in story.facts:
            table.add_row(what, words)
        table.add_row("wrong", "\n".join(story.wrong) or "nothing")
        console.print(table)

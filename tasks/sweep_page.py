"""Write a sweep's page: one HTML file that needs nothing but a browser."""

from pathlib import Path

from desk.errors import ConfigError
from desk.research.search import Space
from schemas.sweep import Job, Range
from tasks.page.sweep import render_sweep
from tasks.page.template import put_page
from tasks.sweep import Sweep


def write_sweep_page(sweep: Sweep, path: Path, *, shown: str | None = None) -> None:
    """Write the page, whole or not at all.

    Args:
        sweep: what was found.
        path: the file; its folder is made.
        shown: the two parameters of the heat maps, with a comma; None: the first two that move.

    Raises:
        ConfigError: the heat maps' parameters are not two of the ranges.
        OSError: the file cannot be written.
    """
    job = sweep.prepared.job
    space = Space(job.ranges)
    page = render_sweep(
        job,
        name=sweep.prepared.name,
        facts=sweep.prepared.facts,
        trials=sweep.trials,
        verdict=sweep.verdict,
        sets={trial.place: dict(space.at(trial.place)) for trial in sweep.trials},
        proven=sweep.proven,
        refused=sweep.refused,
        shown=shown_ranges(job, shown),
        doubts=sweep.prepared.notes,
    )
    put_page(path, page.encode())


def shown_ranges(job: Job, words: str | None) -> tuple[Range, Range] | None:
    """Give the two parameters of the heat maps; None where fewer than two move.

    Raises:
        ConfigError: the words are not two of the ranges.
    """
    by_name = {each.name: each for each in job.ranges}
    if words is None:
        moving = [each for each in job.ranges if len(each.values) > 1]
        return (moving[0], moving[1]) if len(moving) > 1 else None
    names = [word.strip() for word in words.split(",")]
    if len(names) != 2 or len(set(names)) != 2 or not set(names) <= set(by_name):
        raise ConfigError(f"--heat {words}: write two of {', '.join(by_name)}, as in fast,slow")
    return by_name[names[0]], by_name[names[1]]

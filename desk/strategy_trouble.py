"""What is said of a strategy that raised: the error, and the line of the strategy's own file it came from.

A strategy is asked through layers of ours and of polars. A person who wrote one looks for the mistake in
their own file, so the place is that of the newest frame there, whatever was called from it.
"""

from pathlib import Path
from traceback import walk_tb

from schemas.signals import UnlawfulSignal


def trouble_of(strategy: object, error: Exception) -> str:
    """Give what a strategy raised, or broke, in one line.

    Args:
        strategy: who was asked.
        error: what came of it, with its traceback.
    """
    words = " ".join(str(error).split())
    if isinstance(error, UnlawfulSignal):
        return words  # nobody's line: the answer as a whole is looked at
    kind = type(error).__name__
    told = f"{kind}: {words}" if words else kind
    place = _place(strategy, error)
    return f"{told} ({place})" if place else told


def _place(strategy: object, error: Exception) -> str:
    """Give file and line of the newest frame in the module that defines the strategy; nothing without one."""
    home = type(strategy).__module__
    lines = [
        (frame.f_code.co_filename, line)
        for frame, line in walk_tb(error.__traceback__)
        if frame.f_globals.get("__name__") == home
    ]
    return f"{Path(lines[-1][0]).name}, line {lines[-1][1]}" if lines else ""

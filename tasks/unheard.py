"""Let a desk that is only played say nothing: its orders are no orders, and the log is of the real ones."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

ROOM = "desk"
NOTHING = logging.CRITICAL + 1


@contextmanager
def unheard() -> Iterator[None]:
    """Keep the desk's log silent within the block, in this process; what it raises is raised."""
    logger = logging.getLogger(ROOM)
    before = logger.level
    logger.setLevel(NOTHING)
    try:
        yield
    finally:
        logger.setLevel(before)

"""The machine's clock: the one file below tasks/ that may look at it.

`sleep_until` sleeps in slices and looks at the wall clock after each, so a clock that is set, or a
laptop that was closed, moves the wake-up by at most a slice. That the machine's time is the broker's
is start-up's to check (desk/recovery.py).
"""

import time
from datetime import UTC, datetime

from desk.ports import Wake

SLICE_S = 0.5  # a jump of the clock is noticed this late at most


class SystemClock:
    """The clock of this machine."""

    def now(self) -> datetime:
        """Give the current instant, aware UTC."""
        return datetime.now(UTC)  # noqa: TID251  this is the Clock

    def sleep_until(self, instant: datetime, wake: Wake | None = None) -> None:
        """Return at or after `instant`, or once `wake` is set; a past instant returns at once."""
        while (left := (instant - self.now()).total_seconds()) > 0:
            if wake is None:
                time.sleep(min(left, SLICE_S))
            elif wake.wait(min(left, SLICE_S)):
                return


def monotonic() -> float:
    """Give seconds that only run forward, for measuring durations in the adapters."""
    return time.monotonic()

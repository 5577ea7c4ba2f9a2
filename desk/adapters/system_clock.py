"""The machine's clock: the one file below tasks/ that may look at it.

`sleep_until` sleeps in slices and looks at the wall clock after each, so a clock that is set, or a
laptop that was closed, moves the wake-up by at most a slice. `check_skew` holds the machine's time
against the broker's: bars, closes and time-outs are all judged by it, so a wrong clock is a reason
not to trade, not a warning.
"""

import time
from datetime import UTC, datetime, timedelta

from desk.errors import ConfigError
from desk.ports import Broker, Clock

SLICE_S = 0.5  # a jump of the clock is noticed this late at most
SKEW_MAX_S = 2.0  # bars are read 2 s after their minute; a larger error would read them before they end


class SystemClock:
    """The clock of this machine."""

    def now(self) -> datetime:
        """Give the current instant, aware UTC."""
        return datetime.now(UTC)  # noqa: TID251  this is the Clock

    def sleep_until(self, instant: datetime) -> None:
        """Return at or after `instant`; a past instant returns at once."""
        while (left := (instant - self.now()).total_seconds()) > 0:
            time.sleep(min(left, SLICE_S))


def monotonic() -> float:
    """Give seconds that only run forward, for measuring durations in the adapters."""
    return time.monotonic()


def check_skew(clock: Clock, broker: Broker, *, limit_s: float = SKEW_MAX_S) -> float:
    """Compare our clock with the broker's and give broker minus ours in seconds.

    The broker's instant is compared with the interval from asking to being answered: only what lies
    outside it is surely wrong, so a slow answer is not mistaken for skew.

    Raises:
        ConfigError: they differ by more than `limit_s`.
        BrokerUnavailable: the broker's clock could not be read.
    """
    asked_at = clock.now()
    theirs = broker.clock().now
    answered_at = clock.now()
    skew = _outside(theirs, asked_at, answered_at).total_seconds()
    if abs(skew) > limit_s:
        raise ConfigError(
            f"this machine's clock says {answered_at.isoformat(timespec='milliseconds')}, the broker's "
            f"{theirs.isoformat(timespec='milliseconds')}: {abs(skew):.1f} s apart, limit {limit_s:.1f} s; "
            "set this machine's clock"
        )
    return skew


def _outside(instant: datetime, start: datetime, end: datetime) -> timedelta:
    """Give how far an instant lies outside [start, end]; zero inside."""
    if instant < start:
        return instant - start
    if instant > end:
        return instant - end
    return timedelta(0)

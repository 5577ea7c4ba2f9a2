"""The desk's patience with a venue whose time runs faster than ours.

A simulated venue at pace 60 plays a minute in a second. A time limit of ten of our seconds is then ten of its
minutes: one hung request would cost the desk what in life it never costs. So towards such a venue time limits
and pauses are taken for the venue's seconds. They are never shorter than `LIMIT_MIN_S` of ours, since the
machine answers no faster than before. In life, and in lock step where the venue waits, nothing changes.
"""

import time
from collections.abc import Callable

from schemas.settings import BAR_DELAY_MAX_S, Settings

LIMIT_MIN_S = 1.0  # an honest answer on a busy machine takes tenths
# What was published arrives within so long. At pace 60 `session.bar_delay_s` is a thirtieth of a second of
# ours: bars under way were called missing, and the stream that brought them mute.
ARRIVES_S = 0.1


def at_pace(settings: Settings, pace: float) -> Settings:
    """Give the settings with the limits towards the venue in seconds of ours, and time for bars to arrive.

    Args:
        settings: limits in the venue's seconds.
        pace: the venue's seconds in one of ours; up to 1 changes nothing.
    """
    if pace <= 1:
        return settings
    broker, data, session = settings.broker, settings.data, settings.session
    limits = {
        "connect_timeout_s": _hastened(broker.connect_timeout_s, pace),
        "read_timeout_s": _hastened(broker.read_timeout_s, pace),
    }
    silence = {"stream_silence_s": _hastened(data.stream_silence_s, pace)}
    wait = {"bar_delay_s": max(session.bar_delay_s, min(ARRIVES_S * pace, BAR_DELAY_MAX_S))}
    return settings.model_copy(
        update={
            "broker": broker.model_copy(update=limits),
            "data": data.model_copy(update=silence),
            "session": session.model_copy(update=wait),
        }
    )


def pauses_at(pace: float) -> Callable[[float], None]:
    """Give a sleep that takes so many of the venue's seconds."""
    return lambda seconds: time.sleep(seconds / max(pace, 1.0))


def seconds_at(pace: float) -> Callable[[], float]:
    """Give the venue's seconds, which only run forward: its budget of requests is of its own minute."""
    return lambda: time.monotonic() * max(pace, 1.0)


def _hastened(limit_s: float, pace: float) -> float:
    """Shorten a limit, but not below what an answer may take; one that is shorter already stays."""
    return min(limit_s, max(limit_s / pace, LIMIT_MIN_S))

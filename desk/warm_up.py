"""Which sessions before a day its strategies are warmed up with: as many as have the minutes they need.

The live desk, a backtest with `--as-live` and the proof of a day all ask here, so they show a strategy the
same past. A symbol that does not trade every minute has fewer bars than minutes: of it a strategy speaks
later, live as in the backtest.
"""

from datetime import date, timedelta

from desk.errors import ConfigError
from desk.hours import FIRST_DAY, minutes, sessions_between
from schemas.account import SessionHours

# A month of 100 symbols is 800,000 bars, which a desk holds in 65 MB and shows its strategies every minute.
SESSIONS_MAX = 21
LOOK_BACK = timedelta(days=40)  # has so many sessions, whatever the holidays


def warm_up_sessions(bars_needed: int, session_date: date) -> tuple[SessionHours, ...]:
    """Give the sessions before a date, oldest first, whose minutes are at least the bars needed.

    Raises:
        ConfigError: more than `SESSIONS_MAX` would be.
    """
    before = sessions_between(max(FIRST_DAY, session_date - LOOK_BACK), session_date)
    found: list[SessionHours] = []
    there = 0
    for hours in reversed(before):
        if there >= bars_needed:
            break
        if len(found) == SESSIONS_MAX:
            raise ConfigError(
                f"a strategy needs {bars_needed:,} bars before it speaks; the {SESSIONS_MAX} sessions a desk "
                f"loads before {session_date} have {there:,}"
            )
        found.append(hours)
        there += len(minutes(hours))
    return tuple(reversed(found))

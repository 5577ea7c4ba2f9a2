"""What an examination of a strategy can find: the checks, and a verdict on each.

schema                the answer keeps `schemas.signals`, and is about bars that were given
determinism           asked again, also after all other questions, it says the same
look_ahead            signals of the bars up to a minute are those of all bars, at many minutes
unfinished_bar        the newest bar's values change nothing that is said of earlier ones
later_bars_of_others  other symbols' later bars change nothing that is said of this one
symbol_order          rows shuffled, and symbols renamed into the opposite order, change nothing
symbol_set            leaving a symbol out changes nothing that is said of the others
window                `warm_up` bars give the newest bar's decision (anchored: the session so far does)
warm_up               nothing is said before `warm_up` bars
nan_and_nulls         frames poor in volume, movement and optional values get a lawful answer
early_close           around a session that closes at 13:00 there is no look-ahead either
daylight_saving       the same prices on days around a change of the clocks give the same decisions
empty_frame           no bars, no signals, in the right columns
"""

from dataclasses import dataclass
from enum import StrEnum

from desk.research.provocation import Difference


class Check(StrEnum):
    """What is examined; the module says what each means."""

    SCHEMA = "schema"
    DETERMINISM = "determinism"
    LOOK_AHEAD = "look_ahead"
    UNFINISHED_BAR = "unfinished_bar"
    LATER_BARS_OF_OTHERS = "later_bars_of_others"
    SYMBOL_ORDER = "symbol_order"
    SYMBOL_SET = "symbol_set"
    WINDOW = "window"
    WARM_UP = "warm_up"
    NAN_AND_NULLS = "nan_and_nulls"
    EARLY_CLOSE = "early_close"
    DAYLIGHT_SAVING = "daylight_saving"
    EMPTY_FRAME = "empty_frame"


class Verdict(StrEnum):
    """What was found."""

    HOLDS = "holds"
    FAILS = "fails"
    UNTRIED = "untried"  # these bars could not show it


@dataclass(frozen=True)
class Finding:
    """One check's result."""

    check: Check
    verdict: Verdict
    words: str
    difference: Difference | None = None  # the first bar that differs, where there is one

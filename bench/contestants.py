"""Who plays in the speed contest (bench/backtest.py), on what, and how each fared."""

from dataclasses import dataclass, field
from enum import StrEnum
from statistics import median

from bench.environments import OURS
from bench.turn import Told

RUNS, RUNS_SHORT = 3, 5
SHORT_S = 3.0  # what is this short is run more often
LONG_S = 300.0  # what is this long is run once


class Kind(StrEnum):
    """What a contestant is."""

    EXACT = "our exact engine"
    SCREEN = "our screen"
    EVENTS = "event-driven"
    ARRAYS = "arrays"
    FLOOR = "floor: this one case only"


@dataclass(frozen=True, slots=True)
class Contestant:
    """Who plays."""

    name: str
    kind: Kind
    script: str
    words: tuple[str, ...] = ()  # to the script
    peer: str = OURS  # whose environment
    at_close: bool = False  # whether it fills at the close of the bar that gave the signal
    cold: bool = False  # whether its compile cache is emptied before each run
    alone: str = "run_s"  # the phase that is its run alone


COMMAND, BARE = "desk backtest", "desk backtest, engine alone"
SCREEN, SCREEN_COLD = "desk screen", "desk screen, compiled anew"
NUMPY = "numpy loop"
CONTESTANTS = (
    Contestant(COMMAND, Kind.EXACT, "our_exact.py"),
    Contestant(BARE, Kind.EXACT, "our_exact.py", ("bare",)),
    Contestant("NautilusTrader 1.231.0", Kind.EVENTS, "with_nautilus.py", (), "nautilus", at_close=True),
    Contestant("NautilusTrader 2.0.0rc7", Kind.EVENTS, "with_nautilus2.py", (), "nautilus2", at_close=True),
    Contestant("backtesting.py 0.6.6", Kind.EVENTS, "with_backtesting.py", (), "backtesting"),
    Contestant("backtrader 1.9.78", Kind.EVENTS, "with_backtrader.py", (), "backtrader"),
    Contestant("zipline-reloaded 3.2.1", Kind.EVENTS, "with_zipline.py", (), "zipline"),
    Contestant(SCREEN, Kind.SCREEN, "our_screen.py", alone="again_s"),
    Contestant(SCREEN_COLD, Kind.SCREEN, "our_screen.py", cold=True),
    Contestant("vectorbt 1.2.0", Kind.ARRAYS, "with_vectorbt.py", (), "vectorbt", alone="again_s"),
    Contestant("vectorbt 1.2.0, cold", Kind.ARRAYS, "with_vectorbt.py", (), "vectorbt", cold=True),
    Contestant(
        "vectorbt 1.2.0 with Rust", Kind.ARRAYS, "with_vectorbt.py", ("rust",), "vectorbt", alone="again_s"
    ),
    Contestant(NUMPY, Kind.FLOOR, "with_numpy.py"),
    Contestant("numba kernel", Kind.FLOOR, "with_numba.py", alone="again_s"),
)


@dataclass(frozen=True, slots=True)
class Field:
    """What is played on."""

    symbols: int
    sessions: int

    @property
    def name(self) -> str:
        """Name it by its size."""
        return f"{self.symbols} x {self.sessions}"


SMALL, YEAR, LARGE = Field(1, 21), Field(10, 252), Field(100, 252)


@dataclass(slots=True)
class Score:
    """A contestant's runs on one field."""

    who: Contestant
    runs: list[Told] = field(default_factory=list)
    why_not: str = ""  # stopped, failed, or not to be had

    def seconds(self, phase: str) -> list[float]:
        """Give a phase of every run, sorted."""
        return sorted(float(told[phase]) for told in self.runs)

    def middle(self, phase: str) -> float:
        """Give a phase's median."""
        return median(self.seconds(phase))

    @property
    def whole(self) -> float:
        """Give the process, start to end."""
        return self.middle("whole_s")

    @property
    def alone(self) -> float:
        """Give the run with the bars loaded."""
        return self.middle(self.who.alone)

    def is_due(self) -> bool:
        """Tell whether another run is wanted."""
        if self.why_not or not self.runs:
            return not self.why_not
        longest = self.seconds("whole_s")[-1]
        wanted = RUNS_SHORT if longest < SHORT_S else RUNS if longest < LONG_S else 1
        return len(self.runs) < wanted

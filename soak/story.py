"""What a drill saw, and how it looks at the world: the exchange's own lists and what processes said."""

from dataclasses import dataclass, field
from datetime import datetime

from cli.processes import Child
from soak.stage import SoakDay, until

ORDERS_PATIENCE_S = 120.0  # the open is five minutes of the venue's away
TAIL_LINES = 200  # behind a flow's last words there may be an interpreter's, and a library's leaks


@dataclass
class Story:
    """What was seen in a drill, in order, and what was wrong."""

    title: str
    facts: list[tuple[str, str]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def saw(self, what: str, words: str) -> None:
        """Keep a fact."""
        self.facts.append((what, words))

    def hold(self, is_so: bool, otherwise: str) -> bool:
        """Keep a complaint unless something is so; give whether it is."""
        if not is_so:
            self.wrong.append(otherwise)
        return is_so


def has_sent(day: SoakDay, orders: int) -> bool:
    """Wait until the exchange has taken so many orders in all; give whether it did."""
    return until(lambda: len(day.venue_orders()) >= orders, patience_s=ORDERS_PATIENCE_S)


def venue_time(day: SoakDay) -> datetime:
    """Give the exchange's time."""
    return datetime.fromisoformat(day.get("/sim/state")["now"])


def ending(child: Child) -> str:
    """Give a process's exit code, and how its flow says it finished, or else its last line."""
    lines = child.last_words(TAIL_LINES).splitlines()
    finished = [line.rpartition("Finished in state ")[2] for line in lines if "Flow run" in line]
    said = finished[-1] if finished else child.last_words(1)
    return f"exit code {child.exit_code}: {said}"

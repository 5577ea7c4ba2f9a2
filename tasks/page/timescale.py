"""Where an instant stands on a plot: long periods by date, short ones by the minutes markets were open.

A date axis shows two thirds of every day, and whole weekends, as nothing. plotly can leave hours and days out
of a date axis, but lets hours and single holidays of one axis fold onto one another, so short periods get a
plain number instead: minutes of the sessions, one after the other, with the days written below.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from desk.hours import NEW_YORK
from desk.research.curve import session_edges

SESSIONS_MAX = 40  # of an axis of minutes; nights narrower than three pixels need not be left out
TICKS_MAX = 6  # days written below an axis, but for years that begin between; more collide on a phone
MARGIN_FRAC = 0.01  # of the axis on each side, so that a mark at its edge is not cut
MINUTE_US = 60_000_000
WALL = "%Y-%m-%dT%H:%M:%S"
LABEL = "%a %-d %b %Y %H:%M"


@dataclass(frozen=True, kw_only=True)
class TimeScale:
    """An axis over some sessions."""

    firsts: tuple[int, ...]  # microseconds; the sessions' first minutes, in order
    lengths: tuple[int, ...]  # their minutes
    days: tuple[date, ...]  # theirs

    @classmethod
    def over(cls, frame: pl.DataFrame) -> "TimeScale":
        """Give the scale over the sessions of a frame with minutes in `ts`, at least one."""
        edges = session_edges(frame)
        first, last = edges["first"].dt.epoch("us"), edges["last"].dt.epoch("us")
        return cls(
            firsts=tuple(first.to_list()),
            lengths=tuple(((last - first) // MINUTE_US + 1).to_list()),
            days=tuple(edges["session_date"].to_list()),
        )

    @property
    def by_minutes(self) -> bool:
        """Tell whether the axis counts open minutes."""
        return len(self.firsts) <= SESSIONS_MAX

    @property
    def hover(self) -> str:
        """Give what a hover template says for the instant."""
        return "%{customdata}" if self.by_minutes else "%{x|" + LABEL + "}"

    def points(self, instants: pl.Series) -> dict[str, Any]:
        """Give a trace's `x`, and where needed its words for hovering; null stays a gap."""
        wall = instants.dt.convert_time_zone(NEW_YORK.key)
        if not self.by_minutes:
            return {"x": wall.dt.strftime(WALL).to_list()}
        return {
            "x": [None if at is None else self._minute(at) for at in instants.dt.epoch("us").to_list()],
            "customdata": wall.dt.strftime(LABEL).to_list(),
        }

    def axis(self) -> dict[str, Any]:
        """Give the axis' layout."""
        if not self.by_minutes:
            return {"type": "date"}
        places = _written(self.days)
        total = sum(self.lengths)
        return {
            "type": "linear",
            "range": [-MARGIN_FRAC * total, (1 + MARGIN_FRAC) * total],
            "tickvals": [sum(self.lengths[:place]) for place in places],
            "ticktext": _named([self.days[place] for place in places]),
            "zeroline": False,
        }

    def _minute(self, at: int) -> int:
        """Give the open minutes before an instant; outside of sessions those until the last close."""
        session = max(bisect_right(self.firsts, at) - 1, 0)
        within = (at - self.firsts[session]) // MINUTE_US
        return sum(self.lengths[:session]) + min(max(within, 0), self.lengths[session] - 1)


def _written(days: Sequence[date]) -> list[int]:
    """Give the places of the days to write: every so many, and the first of each year for its neighbours."""
    step = -(-len(days) // TICKS_MAX)
    begun = [place for place in range(1, len(days)) if days[place].year != days[place - 1].year]
    regular = [
        place
        for place in range(0, len(days), step)
        if place == 0 or all(abs(place - each) >= step for each in begun)
    ]
    return sorted({*regular, *begun})


def _named(days: Sequence[date]) -> list[str]:
    """Name days in order, short; the year stands below the first and below each that begins another."""
    years = [None, *(day.year for day in days[:-1])]
    return [
        f"{day:%-d %b}" + ("" if day.year == before else f"<br>{day.year}")
        for day, before in zip(days, years, strict=True)
    ]

"""Opening range breakout, in the stateful style.

The range is the high and low of the session's first `range_minutes` minutes, counted from 09:30 New York
and not from the first bar delivered. After it:

    long (1)   when a bar closes above the range's high (the first break of the session only)
    flat (0)   when it closes below the middle of the range, and from `flat_after_minutes` on

A close on the range's high or on its middle (`strategies.indicators.TIE`) changes nothing. A symbol that
has no bar in the range has no opinion that day.
"""

from dataclasses import dataclass
from datetime import date

from pydantic import Field

from strategies.base import Level, Params, SeenBar, StatefulStrategy
from strategies.indicators import above
from strategies.registry import register


class OpeningRangeParams(Params):
    """Minutes count from the open."""

    range_minutes: int = Field(15, ge=1, le=120, description="Length of the opening range, minutes.")
    flat_after_minutes: int = Field(
        360, ge=2, le=390, description="From this many minutes after the open on it wants to hold nothing."
    )


@dataclass
class _Day:
    """One symbol's session."""

    day: date
    high: float | None = None
    low: float | None = None
    long: bool = False
    broke: bool = False


@register
class OpeningRange(StatefulStrategy):
    """See the module."""

    name = "opening_range"
    params_model = OpeningRangeParams
    session_anchored = True

    _days: dict[str, _Day]

    @property
    def params(self) -> OpeningRangeParams:
        """Give the checked parameters."""
        assert isinstance(self.checked, OpeningRangeParams)
        return self.checked

    def bars_needed(self) -> int:
        """Give the bars of a full range."""
        return self.params.range_minutes

    def on_start(self) -> None:
        """Forget every day."""
        self._days = {}

    def on_bar(self, bar: SeenBar) -> Level | None:
        """Widen the range, or judge the close against it."""
        held = self._days.get(bar.symbol)
        if held is None or held.day != bar.day:
            held = self._days[bar.symbol] = _Day(bar.day)
        if bar.minute < self.params.range_minutes:
            held.high = bar.high if held.high is None else max(held.high, bar.high)
            held.low = bar.low if held.low is None else min(held.low, bar.low)
            return None
        if held.high is None or held.low is None:
            return None
        return self._after_range(held, bar, high=held.high, low=held.low)

    def _after_range(self, held: _Day, bar: SeenBar, *, high: float, low: float) -> Level | None:
        middle = (high + low) / 2.0
        if bar.minute >= self.params.flat_after_minutes:
            held.long = False
            return Level(
                0.0, f"{bar.minute} minutes after the open, flat from {self.params.flat_after_minutes}"
            )
        if held.long and above(middle, bar.close):
            held.long = False
            return Level(0.0, f"close {bar.close:.4f} under the range's middle {middle:.4f}")
        if not held.broke and above(bar.close, high):
            held.long = held.broke = True
        if held.long:
            return Level(1.0, f"close {bar.close:.4f} after breaking the range's high {high:.4f}")
        if held.broke:
            return Level(0.0, "the session's break is over")
        return None

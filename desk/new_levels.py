"""Prices that jumped and stay away: what the inspector needs to believe them after a while.

A bar further than `data.jump_frac` from the close before it is refused, and is no reference for the next.
A price that really moved (news, a halt's reopening) would so be refused for the rest of the session, with
entries denied and open positions valued at a price nobody pays any more. So the closes refused as jumps
since a symbol's last accepted bar are kept here, and `data.jump_confirm_minutes` refused bars in a row, the
newest among them, whose closes lie within `jump_frac` of it, make it believed: it is accepted with a
warning, and its level is the reference from then on. An accepted bar in between ends the row: an error
print comes back, a move does not. A close off by a power of ten is a wrong unit however long it stays.

The bars before the believed one stay refused, for minutes that were decided without them.
"""

import json
from collections.abc import Mapping
from datetime import datetime

import polars as pl

from desk.inspection import Inspection
from schemas.bars import Flaw

MINUTES_MAX = 240  # of one symbol; more than any setting asks for


class NewLevels:
    """The closes refused as jumps since each symbol's last accepted bar."""

    def __init__(self) -> None:
        """Know of none."""
        self.refused: dict[str, dict[datetime, float]] = {}
        self._accepted: dict[str, datetime] = {}

    def note(self, inspection: Inspection) -> None:
        """Take in what a delivery's judgement accepted and refused."""
        jumps = inspection.quarantine.filter(pl.col("reason") == Flaw.PRICE_JUMP.value)
        if jumps.is_empty() and not self.refused:
            return
        newest = inspection.bars.group_by("symbol").agg(pl.col("ts").max())
        for symbol, ts in newest.iter_rows():
            self._accepted[symbol] = max(ts, self._accepted.get(symbol, ts))
        for symbol, ts, row in jumps.select("symbol", "ts", "row").iter_rows():
            self.refused.setdefault(symbol, {})[ts] = float(json.loads(row)["close"])
        for symbol in list(self.refused):
            self.refused[symbol] = self._since_accepted(symbol)
            if not self.refused[symbol]:
                del self.refused[symbol]

    def _since_accepted(self, symbol: str) -> dict[datetime, float]:
        accepted = self._accepted.get(symbol)
        closes = sorted(self.refused[symbol].items())[-MINUTES_MAX:]
        return {ts: close for ts, close in closes if accepted is None or ts > accepted}


def is_settled(close: float, before: Mapping[datetime, float], *, jump: float, minutes: int) -> bool:
    """Tell whether a close that jumped is the last of so many refused ones that agree with it.

    Args:
        close: of the bar that is judged.
        before: closes refused before it since the last accepted bar, by minute.
        jump: how far they may lie from it, as a fraction of it.
        minutes: how many must agree, the bar among them.
    """
    wanted = minutes - 1
    last = [earlier for _, earlier in sorted(before.items())][-wanted:]
    return len(last) == wanted and all(abs(earlier / close - 1) <= jump for earlier in last)

"""What every strategy says of every bar, computed once, and looked up by minute.

A causal strategy says of a bar the same whether it is shown the bars up to it or all of them; `desk check`
proves it of each (desk/research/honesty.py). So a backtest asks once, and each minute of a session finds its
levels by place. A minute without a row is a minute without an opinion.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from desk.hours import minutes
from desk.money import FRACTION_STEP, fraction
from desk.sizer import Key, Level
from desk.tape import MINUTE_US, microseconds
from schemas.account import SessionHours

SILENT = 9  # the sign of a minute without an opinion
_WHOLE = {1.0: Decimal(1), 0.0: Decimal(0), -1.0: Decimal(-1)}


@dataclass(slots=True)
class Said:
    """One strategy's opinions of one symbol, by time; of the session at hand also by minute."""

    key: Key
    ts: NDArray[np.int64]
    target: NDArray[np.float64]
    first_row: int
    frame: pl.DataFrame
    rows: NDArray[np.int64]  # by minute of the session: row here, -1 for none
    signs: NDArray[np.int8]  # by minute of the session: -1, 0, 1 or SILENT

    def open(self, hours: SessionHours, count: int) -> None:
        """Lay the session's opinions out by minute."""
        opens = microseconds(hours.opens_at)
        low, high = np.searchsorted(self.ts, [opens, opens + count * MINUTE_US]).tolist()
        places = (self.ts[low:high] - opens) // MINUTE_US
        self.rows = np.full(count, -1, dtype=np.int64)
        self.rows[places] = np.arange(low, high)
        self.signs = np.full(count, SILENT, dtype=np.int8)
        steps = np.rint(self.target[low:high] / float(FRACTION_STEP))  # as `fraction` rounds it
        self.signs[places] = np.sign(steps).astype(np.int8)

    def level(self, place: int) -> Level | None:
        """Give the level of a minute of the session; None where there is none."""
        row = int(self.rows[place])
        if row < 0:
            return None
        target = float(self.target[row])
        whole = _WHOLE.get(target)
        strategy, symbol = self.key
        price, reason = self.frame.row(self.first_row + row)
        return Level(
            strategy=strategy,
            symbol=symbol,
            target=fraction(target) if whole is None else whole,
            price=price,
            reason=reason,
        )


class Opinions:
    """All strategies' opinions."""

    def __init__(self, said: Mapping[str, pl.DataFrame]) -> None:
        """Sort them in.

        Args:
            said: by strategy, columns of `schemas.signals.SIGNAL_SCHEMA`, sorted by (symbol, ts).
        """
        self.all: list[Said] = []
        nothing = np.empty(0, dtype=np.int64)
        for strategy in sorted(said):
            frame = said[strategy]
            ts, target = frame["ts"].to_physical().to_numpy(), frame["target"].to_numpy()
            lengths = frame["symbol"].rle().struct.unnest()
            words = frame.select("price", "reason")
            start = 0
            for length, symbol in zip(lengths["len"].to_list(), lengths["value"].to_list(), strict=True):
                cut = slice(start, start + length)
                self.all.append(
                    Said(
                        key=(strategy, symbol),
                        ts=ts[cut],
                        target=target[cut],
                        first_row=start,
                        frame=words,
                        rows=nothing,
                        signs=nothing.astype(np.int8),
                    )
                )
                start += length
        self.number = {said.key: number for number, said in enumerate(self.all)}
        self._edges: tuple[datetime, ...] = ()

    def open(self, hours: SessionHours) -> None:
        """Begin a session."""
        self._edges = minutes(hours)
        for said in self.all:
            said.open(hours, len(self._edges))

    def levels(self, place: int, numbers: Iterable[int]) -> tuple[Level, ...]:
        """Give a minute's levels of some opinions, in the order of `desk.sizer.levels_of`."""
        found = [level for number in numbers if (level := self.all[number].level(place)) is not None]
        return tuple(sorted(found, key=lambda each: (-abs(each.target), each.strategy, each.symbol)))

"""The floor: the numpy loop of bench/numpy_loop.py, which plays this one case and nothing else.

Says beside its fills what they would be worth at the close of the bar that gave the signal: some peers fill
there, and the bench holds their fills against that.
"""

from collections.abc import Iterator
from datetime import UTC

import numpy as np
import polars as pl
from contest import SHARES, Contest, Fill, facts

from bench import numpy_loop


def main() -> None:
    """Play a file."""
    contest = Contest()
    contest.imported()
    bars = pl.read_parquet(contest.path, columns=["symbol", "ts", "open", "close"])
    parts = bars.partition_by("symbol", maintain_order=True)
    contest.loaded()
    said, count = [], 0
    for part in parts:
        opened, close = part["open"].to_numpy(), part["close"].to_numpy()
        said.append(numpy_loop.levels(close))
        count += numpy_loop.play(said[-1], opened, close)[0]
    contest.played()
    contest.also(at_close=facts(_fills(parts, said, later=0, price="close")))
    fills = list(_fills(parts, said, later=1, price="open"))
    assert len(fills) == count, "the floor miscounts"
    contest.tell(fills)


def _fills(parts: list[pl.DataFrame], said: list[np.ndarray], *, later: int, price: str) -> Iterator[Fill]:
    """Give the fills so many bars after the signal's."""
    for part, levels in zip(parts, said, strict=True):
        newest = np.maximum.accumulate(np.where(levels >= 0, np.arange(len(levels)), 0))
        change = np.diff(np.maximum(levels[newest], 0), prepend=0)
        at = np.flatnonzero(change)
        at = at[at + later < len(levels)]
        ts, prices, symbol = part["ts"][at + later], part[price].to_numpy()[at + later], part["symbol"][0]
        for moment, side, paid in zip(ts, change[at], prices, strict=True):
            words = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
            yield words, symbol, "buy" if side > 0 else "sell", SHARES, float(paid)


if __name__ == "__main__":
    main()

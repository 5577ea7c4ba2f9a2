"""Bars as a lying provider publishes them: late, missing, revised, impossible, twice, or not at all.

What is changed is the publication. The market the venue's orders meet is the true one, so a bar that is
missing here was traded in all the same, as it is where a feed loses a message.

Each bar is decided once, in order of time and symbol, when its session begins or the plan changes.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from desk.exchange.faults import Mischief, Strike
from desk.exchange.tape import PUBLICATION_SCHEMA, PUBLISH_AFTER
from schemas.faults import FaultKind

Row = dict[str, Any]
Window = tuple[datetime, datetime]
REVISED_VOLUME_FRAC = 0.9  # what a bar that is revised later knows of its volume
CROSSED_FRAC = 0.001  # how far high is below low, of the price


class Publication:
    """A session's bars as they come out, and which faults are in them."""

    def __init__(self, table: pl.DataFrame, mischief: Mischief, *, frozen: Sequence[Window], now: datetime):
        """Decide about every bar that is not public at `now`.

        Args:
            table: publications as they would be, columns of `tape.PUBLICATION_SCHEMA`.
            mischief: the plan in force.
            frozen: windows in which nothing is published; [start, end).
            now: the venue's time.
        """
        ahead = ahead_of(now)
        self._due: list[tuple[datetime, FaultKind]] = []
        strikes: dict[tuple[str, datetime], Strike] = {}
        bars = table.filter(ahead).select("ts", "symbol").unique().sort("ts", "symbol")
        for ts, symbol in bars.iter_rows():
            strike = mischief.bar(symbol, ts)
            if strike is not None:
                strikes[symbol, ts] = strike
                self._due.append((ts + PUBLISH_AFTER, strike.kind))
        self._due.sort(key=lambda one: one[0])
        self.table = _thawed(_struck(table, strikes), frozen, ahead)

    def settle(self, mischief: Mischief, now: datetime) -> None:
        """Count the faults whose bars' time has come."""
        while self._due and self._due[0][0] <= now:
            mischief.note(self._due.pop(0)[1])


def ahead_of(now: datetime) -> pl.Expr:
    """Tell per row whether its minute is due for publication after `now`."""
    return pl.col("ts") > pl.lit(now - PUBLISH_AFTER, PUBLICATION_SCHEMA["ts"])


def _struck(table: pl.DataFrame, strikes: dict[tuple[str, datetime], Strike]) -> pl.DataFrame:
    """Give the table with the struck bars' rows put in the place of their own."""
    if len(strikes) == 0:
        return table
    keys = pl.DataFrame(
        {"symbol": [symbol for symbol, _ in strikes], "ts": [ts for _, ts in strikes]},
        schema={name: PUBLICATION_SCHEMA[name] for name in ("symbol", "ts")},
    )
    spoilt: list[Row] = []
    for row in table.join(keys, on=["symbol", "ts"], how="semi", maintain_order="left").iter_rows(named=True):
        spoilt.extend(_rows(row, strikes[row["symbol"], row["ts"]]))
    rest = table.join(keys, on=["symbol", "ts"], how="anti", maintain_order="left")
    return pl.concat([rest, pl.DataFrame(spoilt, schema=PUBLICATION_SCHEMA, orient="row")])


def _rows(row: Row, strike: Strike) -> list[Row]:
    """Give what becomes of one row."""
    delay = timedelta(seconds=strike.rule.delay)
    match strike.kind:
        case FaultKind.BAR_MISSING:
            return []
        case FaultKind.BAR_LATE:
            until = None if row["until"] is None else row["until"] + delay
            return [{**row, "public_at": row["public_at"] + delay, "until": until}]
        case FaultKind.BAR_REVISED:
            if row["revision"] or row["until"] is not None:
                return [row]  # it is revised as it is
            first = {**row, "close": row["open"], "until": row["public_at"] + delay}
            if row["volume"] is not None:
                first["volume"] = int(row["volume"] * REVISED_VOLUME_FRAC)
            return [first, {**row, "public_at": row["public_at"] + delay, "revision": True}]
        case FaultKind.BAR_ZERO_VOLUME:
            return [{**row, "volume": 0}]
        case FaultKind.BAR_CROSSED:
            return [{**row, "low": row["high"], "high": row["low"] * (1 - CROSSED_FRAC)}]
        case FaultKind.BAR_NAN:
            return [{**row, "close": float("nan")}]
        case FaultKind.BAR_DUPLICATE:
            return [row, row]
        case _:
            return [row]


def _thawed(table: pl.DataFrame, frozen: Sequence[Window], ahead: pl.Expr) -> pl.DataFrame:
    """Give the table with what falls into a frozen window published at its end."""
    for start, end in frozen:
        kind = PUBLICATION_SCHEMA["ts"]
        held = ahead & pl.col("public_at").is_between(pl.lit(start, kind), pl.lit(end, kind), closed="left")
        table = table.with_columns(
            public_at=pl.when(held).then(pl.lit(end, kind)).otherwise(pl.col("public_at"))
        )
    return table

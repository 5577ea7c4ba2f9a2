"""What the account was worth, minute by minute, from its fills and the bars they were played on.

Theory of operation. Value is cash and positions at the newest closes, as desk/valuation.py has it for a day;
here it is arrays, one session at a time: a table of minutes by symbols holds the closes, filled forward, and
another the positions, so memory is a session's, whatever the period. Positions are counted in billionths of a
share, whole numbers, because a float that should be zero is not. A fill counts at the end of its own minute.
A symbol that was filled and has not printed yet is worth what it was filled at; what a split left of a share
was paid in whole cents, so its price is no mark.

A row is written for each minute in which a held symbol printed, a fill or a flow happened, and for the first
and the last minute of every session, so that each day has a close and idle days are seen.

The book between two stretches of bars is handed from one call to the next: years are valued month by month.

A dividend is a flow. Left out: splits; fills and bars are of one kind of share (desk/research/shares.py).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

import numpy as np
import numpy.typing as npt
import polars as pl

from desk.hours import NEW_YORK
from desk.research.shares import LEFT_OVER
from schemas.research import EQUITY_SCHEMA, FLOW_SCHEMA

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

SHARE_UNITS = 1_000_000_000  # FILL_SCHEMA's quantities have nine decimals
MINUTE_US = 60_000_000
SESSIONS_AT_ONCE = 21  # whose closes are copied out of the bars: a month


@dataclass(frozen=True, kw_only=True)
class Book:
    """The account between two minutes: floats but for the counts, which are exact."""

    cash: float
    units: Mapping[str, int] = field(default_factory=dict)  # billionths of a share, signed, none zero
    marks: Mapping[str, float] = field(default_factory=dict)  # newest close of what is held


def equity_curve(
    fills: pl.DataFrame, bars: pl.DataFrame, *, cash: Decimal, flows: pl.DataFrame | None = None
) -> pl.DataFrame:
    """Give the account's value over the bars' sessions, EQUITY_SCHEMA in order of time.

    Args:
        fills: FILL_SCHEMA.
        bars: RAW_SCHEMA, regular sessions, in any order; of untraded symbols only the session's edges matter.
        cash: before the first bar.
        flows: FLOW_SCHEMA; None for none.
    """
    curve, _ = extend_curve(Book(cash=float(cash)), fills, bars, flows=flows)
    return curve


def extend_curve(
    book: Book, fills: pl.DataFrame, bars: pl.DataFrame, *, flows: pl.DataFrame | None = None
) -> tuple[pl.DataFrame, Book]:
    """Give the value over one stretch of whole sessions, and the book after it.

    Args:
        book: before the stretch.
        fills: FILL_SCHEMA, those of the stretch.
        bars: RAW_SCHEMA, those of the stretch.
        flows: FLOW_SCHEMA, those of the stretch.

    Raises:
        ValueError: there are fills or flows and no bar.
    """
    flows = pl.DataFrame(schema=FLOW_SCHEMA) if flows is None else flows
    sessions = session_edges(bars)
    if sessions.is_empty():
        if fills.height or flows.height:
            raise ValueError(f"{fills.height} fills and {flows.height} flows, and no bar to value them on")
        return pl.DataFrame(schema=EQUITY_SCHEMA), book
    symbols = sorted({*book.units, *fills["symbol"].unique().to_list()})
    codes = pl.DataFrame(
        {"symbol": symbols, "code": range(len(symbols))}, schema={"symbol": pl.String, "code": pl.Int64}
    )
    firsts = sessions["first"].dt.epoch("us").to_numpy()
    lasts = sessions["last"].dt.epoch("us").to_numpy()
    executions = _placed(signed_fills(fills).join(codes, on="symbol", maintain_order="left"), firsts, lasts)
    money = _placed(flows.with_columns(pl.col("amount").cast(pl.Float64)), firsts, lasts)
    state = _State(
        cash=book.cash,
        units=np.array([book.units.get(name, 0) for name in symbols], dtype=np.int64),
        marks=np.array([book.marks.get(name, np.nan) for name in symbols], dtype=np.float64),
    )
    parts = []
    for number, (day, prints) in enumerate(_prints(bars, codes, sessions)):
        part = _session(
            state,
            first=int(firsts[number]),
            minutes=int(lasts[number] - firsts[number]) // MINUTE_US + 1,
            prints=prints,
            executions=executions.get(number),
            money=money.get(number),
        )
        parts.append(part.with_columns(session_date=pl.lit(day, dtype=pl.Date)))
    held = {name: int(units) for name, units in zip(symbols, state.units, strict=True) if units}
    marks = {name: float(mark) for name, mark in zip(symbols, state.marks, strict=True) if name in held}
    return pl.concat(parts).select(*EQUITY_SCHEMA), Book(cash=state.cash, units=held, marks=marks)


def _prints(
    bars: pl.DataFrame, codes: pl.DataFrame, sessions: pl.DataFrame
) -> Iterator[tuple[date, pl.DataFrame]]:
    """Give each session's closes of the coded symbols: `code`, `ts` in microseconds, `close`."""
    for month in sessions.iter_slices(SESSIONS_AT_ONCE):
        closes = (
            bars.lazy()
            .filter(pl.col("ts").is_between(month["first"][0], month["last"][-1]))
            .select("symbol", "ts", "close")
            .join(codes.lazy(), on="symbol")
            .select("code", pl.col("ts").dt.epoch("us"), "close", day=session_date())
            .collect()
        )
        days = closes.partition_by("day", as_dict=True, include_key=False)
        nothing = closes.clear().drop("day")
        yield from ((day, days.get((day,), nothing)) for day in month["session_date"])


def session_date() -> pl.Expr:
    """Give the session of a regular minute's `ts`: its New York date, for no regular session spans two."""
    return pl.col("ts").dt.convert_time_zone(NEW_YORK.key).dt.date()


def session_edges(bars: pl.DataFrame) -> pl.DataFrame:
    """Give `session_date`, `first` and `last` minute of each session that has a bar, in order."""
    minutes = bars.lazy().select("ts").unique().with_columns(session_date=session_date())
    return (
        minutes.group_by("session_date")
        .agg(first=pl.col("ts").min(), last=pl.col("ts").max())
        .sort("session_date")
        .collect()
    )


def signed_fills(fills: pl.DataFrame) -> pl.DataFrame:
    """Give the fills with `units` (signed, exact), and `price` and `fee` as floats; order kept."""
    whole = (pl.col("qty").cast(pl.Decimal(38, 9)) * SHARE_UNITS).cast(pl.Int64)
    return fills.with_columns(
        units=pl.when(pl.col("side") == "buy").then(whole).otherwise(-whole),
        price=pl.col("price").cast(pl.Float64),
        fee=pl.col("fee").cast(pl.Float64),
    )


@dataclass
class _State:
    """The book as arrays; `_session` moves it on."""

    cash: float
    units: Ints
    marks: Floats


def _placed(rows: pl.DataFrame, firsts: Ints, lasts: Ints) -> dict[int, pl.DataFrame]:
    """Give the rows by session, each with its `minute` in it; outside of one they go to the nearest edge."""
    if rows.is_empty():
        return {}
    at = rows["ts"].dt.epoch("us").to_numpy()
    session = np.maximum(np.searchsorted(firsts, at, side="right") - 1, 0)
    within = np.clip(at, firsts[session], lasts[session])
    placed = rows.with_columns(
        session=pl.Series(session), minute=pl.Series((within - firsts[session]) // MINUTE_US)
    )
    return {
        int(key[0]): part
        for key, part in placed.partition_by(
            "session", as_dict=True, include_key=False, maintain_order=True
        ).items()
    }


def _session(
    state: _State,
    *,
    first: int,
    minutes: int,
    prints: pl.DataFrame,
    executions: pl.DataFrame | None,
    money: pl.DataFrame | None,
) -> pl.DataFrame:
    """Value one session and move the state to its end."""
    closes = np.full((minutes + 1, len(state.units)), np.nan)  # row 0 is what was known before
    closes[0] = state.marks
    at = (prints["ts"].to_numpy() - first) // MINUTE_US
    codes = prints["code"].to_numpy()
    closes[at + 1, codes] = prints["close"].to_numpy()
    printed = np.zeros((minutes, len(state.units)), dtype=bool)
    printed[at, codes] = True
    moved = np.zeros((minutes, len(state.units)), dtype=np.int64)
    paid = np.zeros(minutes)
    changed = np.zeros(minutes, dtype=bool)
    changed[[0, -1]] = True
    if executions is not None:
        minute, code = executions["minute"].to_numpy(), executions["code"].to_numpy()
        units, price = executions["units"].to_numpy(), executions["price"].to_numpy()
        np.add.at(moved, (minute, code), units)
        np.add.at(paid, minute, -units / SHARE_UNITS * price - executions["fee"].to_numpy())
        dark = np.isnan(closes[minute + 1, code])  # filled in a minute that has no bar
        dark &= (executions["client_order_id"] != LEFT_OVER).to_numpy()  # its price is of whole cents
        closes[minute[dark] + 1, code[dark]] = price[dark]
        changed[minute] = True
    if money is not None:
        np.add.at(paid, money["minute"].to_numpy(), money["amount"].to_numpy())
        changed[money["minute"].to_numpy()] = True
    known = np.where(np.isnan(closes), 0, np.arange(minutes + 1)[:, None])
    closes = np.take_along_axis(closes, np.maximum.accumulate(known, axis=0), axis=0)
    units_held = state.units + np.cumsum(moved, axis=0)
    values = np.where(units_held == 0, 0.0, units_held / SHARE_UNITS * closes[1:])
    cash = state.cash + np.cumsum(paid)
    changed |= (printed & (units_held != 0)).any(axis=1)
    state.cash, state.units, state.marks = float(cash[-1]), units_held[-1], closes[-1]
    net = values.sum(axis=1)
    frame = pl.DataFrame(
        {
            "ts": first + np.arange(minutes) * MINUTE_US,
            "equity": cash + net,
            "gross": np.abs(values).sum(axis=1),
            "net": net,
        }
    )
    return frame.filter(pl.Series(changed)).with_columns(
        pl.col("ts").cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    )

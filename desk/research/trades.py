"""Round trips from fills: what each made, how long it lasted, and how it stood on the way.

Theory of operation. A trip is a strategy's position in a symbol from flat to flat, or through zero. An
execution that goes through zero is cut in two legs: the first closes a trip and bears the fee, as in
desk/metrics.py, the second opens the next. Between two legs the position does not change, so the worst and
the best of a trip are found from the lows and highs of the bars between them, symbol by symbol and without a
loop over bars. Every (strategy, symbol) stands alone: fills and bars of some symbols give just those symbols'
trips, so that many years may be done a few symbols at a time.

Excursions are of prices, before fees. The bar of the last exit is not looked at: what it did after the exit
was not suffered; the exit itself counts.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import numpy.typing as npt
import polars as pl

from desk.research.curve import SHARE_UNITS, signed_fills
from schemas.bars import RAW_SCHEMA
from schemas.research import FILL_SCHEMA, TRADE_SCHEMA

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

KEYS = ("strategy", "symbol")
SYMBOLS_AT_ONCE = 10  # whose bars are copied: each more costs memory, each less a walk over all bars
# What trips need of bars; a row may stand for `count` of them that lie next to one another.
SEEN_SCHEMA = {name: RAW_SCHEMA[name] for name in ("symbol", "ts", "low", "high", "close")} | {
    "count": pl.Int64()
}


def round_trips(fills: pl.DataFrame, bars: pl.DataFrame) -> pl.DataFrame:
    """Give the trips, TRADE_SCHEMA, by entry, strategy, symbol; one still open is marked at the last close.

    Args:
        fills: FILL_SCHEMA, in order of time.
        bars: RAW_SCHEMA, regular sessions, in any order; those of untraded symbols are not looked at.
    """
    return _round_trips(fills, _seen(bars))


def _round_trips(fills: pl.DataFrame, seen: pl.LazyFrame) -> pl.DataFrame:
    """Give the trips of `round_trips`; `seen` is of SEEN_SCHEMA."""
    if fills.is_empty():
        return pl.DataFrame(schema=TRADE_SCHEMA)
    legs = _legs(fills)
    by_symbol = legs.partition_by("symbol", as_dict=True, maintain_order=True)
    found = _bars_of(seen, [str(name) for (name,) in by_symbol])
    parts = [_with_excursions(by_symbol[(name,)], bars) for name, bars in found]
    return _trips(pl.concat(parts)).sort("entered_at", *KEYS, maintain_order=True)


@dataclass(frozen=True, slots=True)
class OpenTrips:
    """What the next stretch must know of trips that are open: their fills, and how prices went since.

    Between two fills of a symbol its bars are one row, so a position held for years takes no more than one.
    """

    fills: pl.DataFrame  # FILL_SCHEMA; of one that went through zero, what opened the trip
    bars: pl.DataFrame  # SEEN_SCHEMA


NO_TRIPS = OpenTrips(fills=pl.DataFrame(schema=FILL_SCHEMA), bars=pl.DataFrame(schema=SEEN_SCHEMA))


def extend_trips(
    before: OpenTrips, fills: pl.DataFrame, bars: pl.DataFrame
) -> tuple[pl.DataFrame, OpenTrips]:
    """Give the trips that a stretch of bars closed or left open, as `round_trips`, and what is still open.

    After the last stretch all of its trips count; before, those with `left_at`.

    Args:
        before: what was open before the stretch.
        fills: FILL_SCHEMA, those of the stretch, in order of time.
        bars: RAW_SCHEMA, those of the stretch.
    """
    since = pl.concat([before.fills, fills])
    seen = pl.concat([before.bars.lazy(), _seen(bars)])
    return _round_trips(since, seen), _still_open(since, seen)


def _seen(bars: pl.DataFrame) -> pl.LazyFrame:
    return bars.lazy().select(*(name for name in SEEN_SCHEMA if name != "count"), count=pl.lit(1, pl.Int64))


def _still_open(fills: pl.DataFrame, seen: pl.LazyFrame) -> OpenTrips:
    if fills.is_empty():
        return NO_TRIPS
    after = pl.col("units").cum_sum().over(KEYS)
    running = signed_fills(fills).select(*KEYS, "units", row=pl.int_range(pl.len()), after=after)
    held = running.with_columns(before=pl.col("after") - pl.col("units"))
    opens = (pl.col("after") != 0) & ((pl.col("before").sign() * pl.col("after").sign()) <= 0)
    last = held.group_by(*KEYS).agg(pl.col("after").last(), first=pl.col("row").filter(opens).max())
    rows = (
        held.join(last.filter(pl.col("after") != 0).drop("after"), on=KEYS)
        .filter(pl.col("row") >= pl.col("first"))
        .sort("row")
    )
    kept = fills[rows["row"]]
    crossed = rows.select((pl.col("row") == pl.col("first")) & (pl.col("before") != 0)).to_series()
    shares = [Decimal(units) / SHARE_UNITS for units in rows["after"].abs()]
    opened = pl.Series(shares, dtype=FILL_SCHEMA["qty"])
    kept = kept.with_columns(
        qty=pl.when(crossed).then(opened).otherwise(pl.col("qty")),
        fee=pl.when(crossed).then(pl.lit(0, FILL_SCHEMA["fee"])).otherwise(pl.col("fee")),
    )
    return OpenTrips(fills=kept, bars=_folded(seen, kept))


def _folded(seen: pl.LazyFrame, fills: pl.DataFrame) -> pl.DataFrame:
    """Fold each symbol's bars from one fill to the next into one row; those before its first are left out."""
    by_symbol = fills.partition_by("symbol", as_dict=True)
    parts = [pl.DataFrame(schema=SEEN_SCHEMA)]
    for name, bars in _bars_of(seen, [str(name) for (name,) in by_symbol]):
        filled = by_symbol[(name,)]["ts"].unique().sort()
        folded = (
            bars.with_columns(fill=filled.search_sorted(bars["ts"], side="right"))
            .filter(pl.col("fill") > 0)
            .group_by("fill", maintain_order=True)
            .agg(
                pl.col("ts").first(),
                pl.col("low").min(),
                pl.col("high").max(),
                pl.col("close").last(),
                pl.col("count").sum(),
            )
        )
        parts.append(folded.select(pl.lit(name).alias("symbol"), *list(SEEN_SCHEMA)[1:]))
    return pl.concat(parts)


def _bars_of(seen: pl.LazyFrame, names: list[str]) -> Iterator[tuple[str, pl.DataFrame]]:
    """Give each symbol's bars by ts; none for one that has none."""
    nothing = pl.DataFrame(schema=SEEN_SCHEMA).drop("symbol")
    for group in range(0, len(names), SYMBOLS_AT_ONCE):
        some = names[group : group + SYMBOLS_AT_ONCE]
        chosen = seen.filter(pl.col("symbol").is_in(some)).collect()
        found = chosen.partition_by("symbol", as_dict=True, include_key=False)
        yield from ((name, found.get((name,), nothing).sort("ts")) for name in some)


def _legs(fills: pl.DataFrame) -> pl.DataFrame:
    """Cut executions at zero and number the trips; `held` is after the leg, `cash` the trip's so far."""
    running = (
        signed_fills(fills)
        .with_row_index("row")
        .with_columns(after=pl.col("units").cum_sum().over(KEYS))
        .with_columns(before=pl.col("after") - pl.col("units"))
    )
    against = (pl.col("before").sign() * pl.col("units").sign()) < 0
    closing = pl.when(against).then(
        pl.col("units").sign() * pl.min_horizontal(pl.col("units").abs(), pl.col("before").abs())
    )
    cut = running.with_columns(closing=closing.otherwise(0))
    first = cut.filter(pl.col("closing") != 0).with_columns(units=pl.col("closing"), leg=pl.lit(0))
    second = cut.filter(pl.col("closing") != pl.col("units")).with_columns(
        units=pl.col("units") - pl.col("closing"),
        fee=pl.when(pl.col("closing") == 0).then("fee").otherwise(0.0),
        leg=pl.lit(1),
    )
    held = pl.col("units").cum_sum().over(KEYS)
    return (
        pl.concat([first, second])
        .sort("row", "leg")
        .with_columns(held=held)
        .with_columns(
            opens=pl.col("leg") == 1,
            trip=((pl.col("held") - pl.col("units")) == 0).cum_sum().over(KEYS),
            flow=-pl.col("units") / SHARE_UNITS * pl.col("price"),
        )
        .with_columns(cash=pl.col("flow").cum_sum().over(*KEYS, "trip"))
    )


def _with_excursions(legs: pl.DataFrame, bars: pl.DataFrame) -> pl.DataFrame:
    """Add how each leg's position stood at worst and at best until the next leg, and the symbol's last close.

    Args:
        legs: of one symbol.
        bars: of that symbol, by ts, SEEN_SCHEMA.
    """
    legs = legs.with_columns(until=pl.col("ts").shift(-1).over(*KEYS, "trip"))
    at = bars["ts"].dt.epoch("us").to_numpy()
    starts = np.searchsorted(at, legs["ts"].dt.epoch("us").to_numpy())
    ends = np.searchsorted(at, legs["until"].dt.epoch("us").fill_null(np.iinfo(np.int64).max).to_numpy())
    units = legs["held"].to_numpy()
    ends = np.where(units == 0, starts, ends)
    low = _extremes(bars["low"].to_numpy(), starts, ends, np.minimum)
    high = _extremes(bars["high"].to_numpy(), starts, ends, np.maximum)
    cash, shares = legs["cash"].to_numpy(), units / SHARE_UNITS
    seen = ends > starts
    worst = np.where(seen, cash + shares * np.where(shares > 0, low, high), 0.0)
    best = np.where(seen, cash + shares * np.where(shares > 0, high, low), 0.0)
    last = bars["close"][-1] if bars.height else None
    counted = np.append(0, bars["count"].cum_sum().to_numpy())
    return legs.with_columns(
        worst=pl.Series(worst),
        best=pl.Series(best),
        bars=pl.Series(counted[ends] - counted[starts]),
        last_close=pl.lit(last, dtype=pl.Float64),
    )


def _extremes(values: Floats, starts: Ints, ends: Ints, extreme: np.ufunc) -> Floats:
    """Give the extreme of values[start:end] for each pair; 0 where there is none between."""
    if not len(values):
        return np.zeros(len(starts))
    # reduceat wants starts below the length; the value appended is reached only by empty pairs.
    padded = np.append(values, values[-1])
    found: Floats = extreme.reduceat(padded, np.column_stack([starts, ends]).ravel())[::2]
    return np.where(ends > starts, found, 0.0)


def _trips(legs: pl.DataFrame) -> pl.DataFrame:
    """Fold legs into trips."""
    size = pl.col("units").abs()
    opened, closed = pl.col("opens"), ~pl.col("opens")
    mean_of = (size * pl.col("price")).cast(pl.Float64)
    folded = legs.group_by(*KEYS, "trip", maintain_order=True).agg(
        side=pl.when(pl.col("units").first() > 0).then(pl.lit("long")).otherwise(pl.lit("short")),
        entered_at=pl.col("filled_at").first(),
        left_at=pl.when(pl.col("held").last() == 0).then(pl.col("filled_at").last()),
        qty=pl.col("held").abs().max() / SHARE_UNITS,
        entry_price=mean_of.filter(opened).sum() / size.filter(opened).sum(),
        sold_price=mean_of.filter(closed).sum() / size.filter(closed).sum(),
        mark=pl.coalesce(pl.col("last_close").last(), pl.col("price").last()),
        held=pl.col("held").last() / SHARE_UNITS,
        cash=pl.col("cash").last(),
        fees=pl.col("fee").sum(),
        worst=pl.col("worst").min(),
        best=pl.col("best").max(),
        bars=pl.col("bars").sum(),
    )
    return (
        folded.with_columns(gross=pl.col("cash") + pl.col("held") * pl.col("mark"))
        .with_columns(
            exit_price=pl.when(pl.col("held") == 0).then("sold_price").otherwise("mark"),
            pnl=pl.col("gross") - pl.col("fees"),
            mae=pl.min_horizontal("worst", "gross", pl.lit(0.0)),
            mfe=pl.max_horizontal("best", "gross", pl.lit(0.0)),
        )
        .select(pl.col(name).cast(dtype) for name, dtype in TRADE_SCHEMA.items())
    )

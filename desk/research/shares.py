"""Prices and shares across splits: history in the shares of a later day, and jumps nobody explained.

Theory of operation. Raw prices fall by a split's ratio over the night before its ex-date, and nothing was
lost: each share has become several. Two readers must not see that jump.

- A strategy. Its history is put into the shares of the day it decides on, by the splits known on that day
  and no later ones, as a live desk does with its warm-up (desk/intake.py). So a strategy is asked once for
  every era between a symbol's splits (`eras`), and of each answer only that era's rows count. A session's
  own prices are always raw. Symbols do not depend on each other (`desk check`: symbol_set), so only those
  that split are asked again. Dividends stay in the prices: those did fall, and nobody live adds them back.
- Who values a finished run. Executions and bars are put into the shares of the last day (`in_last_shares`);
  the part of a share that a split left over is a sale (for a short, a purchase) at what was paid for it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction

import numpy as np
import polars as pl

from desk.splits import adjusted, starts_at
from schemas.account import Split
from schemas.bars import UTC_US
from schemas.research import FILL_SCHEMA

LONG = pl.Decimal(38, 12)  # a third of a price, exact to a millionth of a millionth
LEFT_OVER = "left over"  # stands for the id of an order where there was none
DAY_US = 86_400_000_000
JUMP_MIN = 1.3  # an overnight ratio up to this is news, not a split
RATIOS = np.array([4 / 3, 3 / 2, 5 / 3, 5 / 2, *range(2, 51)])  # splits there have been, either way round
DENOMINATOR_MAX = 3  # of those ratios
NEAR_FRAC = 0.04  # what a stock may move over the night beside it


@dataclass(frozen=True, slots=True)
class Divided:
    """What a split made of one strategy's position."""

    split: Split
    ts: datetime  # first minute of the session it was applied in
    strategy: str
    qty_after: Decimal  # signed
    price: Decimal  # USD a share, after the split, of the part that was paid in cash


@dataclass(frozen=True, slots=True)
class InShares:
    """A run in the shares of its last day; values are those of the run."""

    fills: pl.DataFrame  # columns of FILL_SCHEMA, prices with more decimals
    all_fills: pl.DataFrame  # and what splits left over, sold: what positions are counted by
    bars: pl.DataFrame


@dataclass(frozen=True, slots=True)
class Jump:
    """An overnight change of price that looks like a split."""

    symbol: str
    day: date
    close: float
    open: float
    ratio: float  # the split it looks like, 1 or more


def eras(bars: pl.DataFrame, splits: Sequence[Split]) -> Iterator[tuple[pl.DataFrame, pl.Expr]]:
    """Give what a strategy is asked of, era after era: bars as known then, and which answers count.

    Args:
        bars: columns of `RAW_SCHEMA`, sorted by (symbol, ts).
        splits: any; those outside of the bars change nothing.
    """
    by_symbol: dict[str, list[Split]] = {}
    for split in sorted(splits, key=lambda each: each.ex_date):
        by_symbol.setdefault(split.symbol, []).append(split)
    symbol, ts = pl.col("symbol"), pl.col("ts")
    for number in range(max(map(len, by_symbol.values()), default=0) + 1):
        shown, counts = pl.lit(value=True), pl.lit(value=True)
        if number > 0:
            shown = symbol.is_in([name for name, found in by_symbol.items() if len(found) >= number])
        for name, found in by_symbol.items():
            if len(found) > number:
                shown &= (symbol != name) | (ts < starts_at(found[number]))
            if len(found) >= number > 0:
                counts &= (symbol != name) | (ts >= starts_at(found[number - 1]))
        known = [split for found in by_symbol.values() for split in found[:number]]
        yield adjusted(bars.filter(shown) if by_symbol else bars, known), counts


def in_last_shares(
    fills: pl.DataFrame, bars: pl.DataFrame, *, splits: Sequence[Split], divided: Sequence[Divided]
) -> InShares:
    """Put a run into the shares of its last day.

    Args:
        fills: FILL_SCHEMA, in order of time.
        bars: columns of `RAW_SCHEMA`.
        splits: those of the run; one after the last bar is of later shares.
        divided: what they made of positions.
    """
    last_ts = bars["ts"].max()
    splits = [each for each in splits if isinstance(last_ts, datetime) and starts_at(each) <= last_ts]
    if not splits:
        return InShares(fills, fills, bars)
    done = fills.with_columns(pl.col("price", "reference_price").cast(LONG))
    for split in sorted(splits, key=lambda each: (each.ex_date, each.symbol)):
        done = _divide(done, split, [each for each in divided if each.split == split])
    done = done.sort("ts", maintain_order=True)
    return InShares(done.filter(pl.col("client_order_id") != LEFT_OVER), done, adjusted(bars, splits))


def overnight_jumps(bars: pl.DataFrame) -> tuple[Jump, ...]:
    """Give the nights over which a price changed as by a split: 30 % and more, near n for m.

    Args:
        bars: columns of `RAW_SCHEMA`, sorted by (symbol, ts).
    """
    if bars.height == 0:
        return ()
    day = bars["ts"].to_physical().to_numpy() // DAY_US  # no regular session spans two dates of UTC
    close, first = bars["close"].to_numpy(), bars["open"].to_numpy()
    ratio = close[:-1] / first[1:]
    size = np.maximum(ratio, 1 / ratio)
    places = np.flatnonzero((size >= JUMP_MIN) & (day[1:] != day[:-1])) + 1
    found = []
    for row in places.tolist():
        nearest = float(RATIOS[np.abs(RATIOS / size[row - 1] - 1).argmin()])
        symbol, ts = bars["symbol"][row], bars["ts"][row]
        if bars["symbol"][row - 1] == symbol and abs(nearest / size[row - 1] - 1) <= NEAR_FRAC:
            found.append(Jump(symbol, ts.date(), float(close[row - 1]), float(first[row]), nearest))
    return tuple(found)


def split_like(jump: Jump) -> Split:
    """Give the split that a jump looks like."""
    ratio = Fraction(jump.ratio).limit_denominator(DENOMINATOR_MAX)
    many, few = Decimal(ratio.numerator), Decimal(ratio.denominator)
    old, new = (few, many) if jump.open < jump.close else (many, few)
    return Split(symbol=jump.symbol, ex_date=jump.day, old=old, new=new)


def _divide(fills: pl.DataFrame, split: Split, divided: Sequence[Divided]) -> pl.DataFrame:
    """Put the executions before a split into the shares after it, and add the sale of what it left over.

    Positions are divided and not quantities: what was flat stays flat, whatever a third of a share is.
    """
    edge, ratio = pl.lit(starts_at(split), UTC_US), float(split.new / split.old)
    of_a_split_before = pl.col("client_order_id") == LEFT_OVER
    before = (pl.col("symbol") == split.symbol) & ((pl.col("ts") < edge) | of_a_split_before)
    mine = fills.filter(before)
    sign = pl.when(pl.col("side") == "buy").then(1.0).otherwise(-1.0)
    held = (sign * pl.col("qty").cast(pl.Float64)).cum_sum().over("strategy") * ratio
    scaled = mine.with_columns(held=held.round(9)).with_columns(
        ((pl.col("held") - pl.col("held").shift(1, fill_value=0.0).over("strategy")).abs())
        .round(9)
        .cast(FILL_SCHEMA["qty"])
        .alias("qty"),
        *((pl.col(name).cast(pl.Float64) / ratio).cast(LONG) for name in ("price", "reference_price")),
    )
    last = dict(scaled.group_by("strategy").agg(pl.col("held").last()).iter_rows())
    left = [(each, Decimal(f"{last[each.strategy]:.9f}") - each.qty_after) for each in divided]
    sales = [_sale(split, each, qty) for each, qty in left if qty != 0]
    return pl.concat(
        [scaled.drop("held"), pl.DataFrame(sales, schema=fills.schema), fills.filter(~before)]
    ).sort("ts", maintain_order=True)


def _sale(split: Split, divided: Divided, left: Decimal) -> dict[str, object]:
    """Give the execution that what is left over of a position stands for; a short's is a purchase."""
    return {
        "ts": divided.ts,
        "filled_at": divided.ts,
        "strategy": divided.strategy,
        "symbol": split.symbol,
        "side": "sell" if left > 0 else "buy",
        "qty": abs(left),
        "price": divided.price,
        "fee": Decimal(0),
        "reference_price": divided.price,
        "client_order_id": LEFT_OVER,
    }

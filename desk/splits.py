"""Splits: what a position becomes when its shares are divided, and what is kept out of a split's way.

Theory of operation. Before the open of an ex-date the broker makes each `old` shares `new` ones, with no
execution to explain it. Four things follow.

- The books. A position that differs from the broker's by just the ratio of a known split is explained:
  `split_repairs` gives the adjustments, for each strategy its whole position out at its average price and
  the new one in at that price by the ratio, so nothing is won or lost by it and no order is sent. A part of
  a share that the broker pays out in cash is less than one share; it comes out of the largest holding,
  and the cash is an ordinary small difference. A split is booked once: its ex-date stays with the symbol.
  A split may leave the number as it was (one share at 3 for 2; half of one is paid in cash). Then the number
  says nothing, so the date must: it is booked once the ex-date's trading has begun, where all that is held
  is from before it, nothing was traded since, and the broker's entry price is ours by the ratio. Positions of
  strategies that cancel out, of which the broker has nothing, are booked by the date alone.
- Entries. A split that is known late, or not quite as it will be, makes every level of that day doubtful:
  entries in the symbol are refused for the session of the ex-date
  (CORPORATE_ACTION), whether or not the books were compared already. An entry that would be held over the
  night into an ex-date (`session.close_out: false`, or a GTC order) is refused the session before.
- Orders. An order that rests over the ex-date is restated or canceled by the broker, in a quantity the
  desk never judged (FINRA Rule 5330). It is canceled at the close before, and if it was known too late,
  when the session starts.

- Bars. They are raw, and a warm-up from before the ex-date is in the old shares. `adjusted` puts it into the
  new ones, as a strategy is shown it; what is recorded stays as it was printed.

This module decides about books and bars; desk/split_watch.py asks for splits.

Left out: dividends, spin-offs and mergers, which move cash or symbols; they show as breaks.
"""

from collections.abc import Sequence
from datetime import date, datetime, time
from decimal import ROUND_DOWN, Decimal

import polars as pl

from desk.hours import from_new_york
from desk.money import FRACTIONAL_LOT, WHOLE_LOT, ZERO, is_whole, plain
from desk.portfolio import Portfolio
from desk.positions import Position
from schemas.account import BrokerPosition, BrokerSnapshot, Split
from schemas.events import PositionAdjusted

PRICES = ("open", "high", "low", "close", "vwap")
APPLIED_BY = time(4)  # New York: trading of the ex-date begins, in new shares
PRICED_WITHIN_FRAC = Decimal("0.01")  # how far the broker's average of the same trades may be from ours
ONE_SHARE = Decimal(1)  # what is left of a share after a split is paid in cash


def words_of(split: Split) -> str:
    """Name a split as people do."""
    return f"split {plain(split.new)} for {plain(split.old)}, ex-date {split.ex_date}"


def split_repairs(
    ours: Portfolio, theirs: BrokerSnapshot, splits: Sequence[Split], *, now: datetime
) -> tuple[PositionAdjusted, ...]:
    """Give the adjustments of positions that a split explains; they belong together, so record all at once.

    Args:
        ours: our books; not changed.
        theirs: the broker's.
        splits: those that may have been since our books were last equal.
        now: the instant of the adjustments.
    """
    stated = {position.symbol: position for position in theirs.positions}
    repairs: list[PositionAdjusted] = []
    for split in sorted(splits, key=lambda each: (each.ex_date, each.symbol)):
        booked = ours.risk.splits.get(split.symbol)
        if booked is not None and split.ex_date <= booked:
            continue
        if any(repair.symbol == split.symbol for repair in repairs):
            continue  # a second split of the symbol is looked at when the first is booked
        mine, position = ours.position(split.symbol), stated.get(split.symbol)
        broker = ZERO if position is None else position.qty
        if (mine == 0 and broker != 0) or not _explains(split, mine=mine, broker=broker):
            continue
        if mine != broker or _is_unseen(ours, position, split, now=now):
            repairs += split_adjustments(ours, split, broker=broker, now=now)
    return tuple(repairs)


def hiding_places(ours: Portfolio, *, today: date) -> tuple[str, ...]:
    """Give the symbols of which a split by `today` might not show in the number of shares, sorted."""
    edge = from_new_york(today, time())
    qtys: dict[str, Decimal] = {}
    for (_, symbol), position in ours.holdings().items():
        qtys[symbol] = qtys.get(symbol, ZERO) + position.qty
    old = {symbol for (_, symbol), at in ours.entered_at.items() if at < edge}
    return tuple(sorted(symbol for symbol in old if is_whole(qtys.get(symbol, ZERO))))


def _explains(split: Split, *, mine: Decimal, broker: Decimal) -> bool:
    """Tell whether a split makes of our quantity the broker's, but for a part of a share."""
    left = (mine * split.new / split.old - broker) * (1 if mine > 0 else -1)
    return broker * mine >= 0 and ZERO <= left < ONE_SHARE


def _is_unseen(ours: Portfolio, stated: BrokerPosition | None, split: Split, *, now: datetime) -> bool:
    """Tell whether a split has been that left the broker's number of shares as it was."""
    held = [position for (_, symbol), position in ours.holdings().items() if symbol == split.symbol]
    if not _is_behind(ours, split, now=now):
        return False
    if stated is None or stated.qty == 0:  # ours cancel out: no number changes, and no price is stated
        return all(is_whole(position.qty) for position in held)
    return split.new > split.old and is_whole(stated.qty) and _is_priced(held, stated, split)


def _is_priced(held: Sequence[Position], stated: BrokerPosition, split: Split) -> bool:
    """Tell whether the broker's entry price is that of new shares, made of what we paid for old ones."""
    cost = sum((position.qty * position.avg_price for position in held), ZERO)
    wanted = cost / stated.qty * split.old / split.new
    return abs(stated.avg_entry_price - wanted) <= wanted * PRICED_WITHIN_FRAC


def _is_behind(ours: Portfolio, split: Split, *, now: datetime) -> bool:
    """Tell whether a split's ex-date has begun, and all that is held is from before it."""
    edge = starts_at(split)
    if now < from_new_york(split.ex_date, APPLIED_BY):
        return False
    entered = [ours.entered_at.get(key) for key in ours.holdings() if key[1] == split.symbol]
    if any(at is None or at >= edge for at in entered):
        return False
    mine = (order for order in ours.orders.values() if order.intent.symbol == split.symbol)
    return not any(order.filled_at is not None and order.filled_at >= edge for order in mine)


def split_adjustments(
    ours: Portfolio, split: Split, *, broker: Decimal, now: datetime
) -> tuple[PositionAdjusted, ...]:
    """Give each holding's move, out of the old shares and into the new; together they are the broker's.

    Args:
        ours: our books; not changed.
        split: which was applied.
        broker: the signed quantity it left.
        now: the instant of the adjustments.
    """
    held = [
        (name, position) for (name, symbol), position in ours.holdings().items() if symbol == split.symbol
    ]
    held.sort(key=lambda each: (-abs(each[1].qty), each[0]))
    lot = WHOLE_LOT if is_whole(broker) else FRACTIONAL_LOT
    after = [(position.qty * split.new / split.old).quantize(lot, ROUND_DOWN) for _, position in held]
    if held:
        after[0] += broker - sum(after, ZERO)
    return tuple(
        PositionAdjusted(
            at=now,
            strategy=name,
            symbol=split.symbol,
            qty_change=change,
            price=price,
            cause=words_of(split),
            split_on=split.ex_date,
        )
        for (name, position), qty in zip(held, after, strict=True)
        for change, price in (
            (-position.qty, position.avg_price),
            (qty, position.avg_price * split.old / split.new),
        )
        if change != 0
    )


def starts_at(split: Split) -> datetime:
    """Give the instant from which prices are of the new shares: midnight in New York."""
    return from_new_york(split.ex_date, time())


def adjusted(bars: pl.DataFrame, splits: Sequence[Split]) -> pl.DataFrame:
    """Put bars into the shares after splits: earlier prices over the ratio, volumes times it.

    Args:
        bars: columns of `RAW_SCHEMA`.
        splits: those that count; one that no bar comes before changes nothing.
    """
    if not splits:
        return bars
    factor = pl.col("__factor")
    return (
        bars.with_columns(__factor=_factor(splits))
        .with_columns(
            *(pl.col(name) / factor for name in PRICES),
            (pl.col("volume") * factor).round().cast(pl.Int64),
        )
        .drop("__factor")
    )


def _factor(splits: Sequence[Split]) -> pl.Expr:
    """Give what a row's number of shares is multiplied by to be of the shares after splits."""
    found = pl.lit(1.0)
    for split in splits:
        before = (pl.col("symbol") == split.symbol) & (pl.col("ts") < starts_at(split))
        found = found * pl.when(before).then(float(split.new / split.old)).otherwise(1.0)
    return found

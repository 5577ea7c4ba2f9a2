"""Bars that are not what a strategy saw: the price it wrote beside its signal is the witness.

A signal's price is the close the strategy saw (schemas/signals.py). Where the warehouse has no print of the
bar with that close, the bar was altered, and where it has no print at all, the bar is missing. A strategy
that writes another price, which its answer to the bars of today shows, is no witness. What only a high, a low
or a volume says is not witnessed: a decision that hangs on one is unexplained.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from desk.ports import StrategyRunner
from desk.research.redecision import taped
from desk.research.witness import Broken, said_of


@dataclass(frozen=True, slots=True)
class Doubt:
    """A bar that is not what was seen."""

    symbol: str
    ts: datetime
    is_missing: bool
    words: str


def doubts_of(
    said: pl.DataFrame, bars: pl.DataFrame, strategies: Iterable[StrategyRunner]
) -> tuple[Doubt, ...]:
    """Give the bars whose recorded close is no print's, by time.

    Args:
        said: recorded signals, columns of `SIGNAL_SCHEMA`.
        bars: every print, as `desk.research.redecision.accepted` gives them.
        strategies: who said it.
    """
    closes: dict[tuple[str, datetime], list[float]] = {}
    for symbol, ts, close in bars.select("symbol", "ts", "close").iter_rows():
        closes.setdefault((symbol, ts), []).append(close)
    newest = taped(bars).frame()
    writers = {strategy.name for strategy in strategies if _writes_closes(strategy, newest)}
    found: dict[tuple[str, datetime], Doubt] = {}
    for strategy, symbol, ts, price in said.select("strategy", "symbol", "ts", "price").iter_rows():
        now = closes.get((symbol, ts))
        if strategy not in writers or (now is not None and price in now):
            continue
        was, is_now = _told_apart(price, None if now is None else now[-1])
        there = "is not in the warehouse" if now is None else f"is {is_now} in the warehouse"
        words = f"{symbol} {ts:%H:%M} UTC: close {was} when {strategy} saw it, {there}"
        found.setdefault((symbol, ts), Doubt(symbol, ts, now is None, words))
    return tuple(sorted(found.values(), key=lambda each: (each.ts, each.symbol)))


def _told_apart(was: float, now: float | None) -> tuple[str, str]:
    """Write two prices to a millionth of a dollar, and in full where that does not tell them apart."""
    short = close_words(was), "" if now is None else close_words(now)
    return (repr(was), repr(now)) if short[0] == short[1] else short


def close_words(price: float) -> str:
    """Write a price to a millionth of a dollar: what single precision adds behind it is no price."""
    return f"{price:.6f}".rstrip("0").rstrip(".")


def _writes_closes(strategy: StrategyRunner, bars: pl.DataFrame) -> bool:
    """Tell whether a strategy's price is the close, as its contract has it."""
    mine = bars.filter(pl.col("symbol").is_in(list(strategy.symbols)))
    try:
        said = said_of(strategy, mine)
    except Broken:
        return False
    same = said.join(mine, on=["symbol", "ts"])
    return bool((same["price"] == same["close"]).all())

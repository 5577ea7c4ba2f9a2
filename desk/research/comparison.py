"""Hold two kept backtests against each other: what was asked otherwise, and what came of it otherwise.

Theory of operation. Two runs compare where they were played on the same bars: then what was asked
otherwise is why the numbers differ. On other bars they do not, and that is said before any number. Fills are
put in order of minute, symbol and side, so that two engines, or two orders of strategies, may write them
differently and still be equal; a fill is equal with quantity, price and fee. Bars are of minutes, so seconds
make no difference. The first that differs is where to look: what comes after may only follow from it. Its
order stands beside it.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import polars as pl

from desk.hours import new_york
from desk.research.breakdown import by_key
from schemas.research import Run

Row = Mapping[str, Any]

HASH_SHOWN = 16  # characters of a fingerprint; a page and --json have all
NAMED_MAX = 6  # symbols named; of more the number is told
FILL_KEYS = ("ts", "symbol", "side", "qty", "price", "fee")
TRADE_KEYS = ("entered_at", "symbol", "side", "left_at", "qty", "entry_price", "exit_price", "pnl")


class Unit(StrEnum):
    """What a number is counted in."""

    USD = "usd"
    FRACTION = "fraction"
    RATIO = "ratio"
    COUNT = "count"


@dataclass(frozen=True, slots=True)
class Metric:
    """A number every run has."""

    name: str
    column: str  # of `KeptRun.numbers`
    unit: Unit
    better: int = 0  # 1: more is better; -1: less is; 0: neither


METRICS = (
    Metric("profit", "profit_usd", Unit.USD, 1),
    Metric("return", "total_return_frac", Unit.FRACTION, 1),
    Metric("annual return", "annual_return_frac", Unit.FRACTION, 1),
    Metric("volatility", "volatility_frac", Unit.FRACTION, -1),
    Metric("Sharpe", "sharpe", Unit.RATIO, 1),
    Metric("Sortino", "sortino", Unit.RATIO, 1),
    Metric("Calmar", "calmar", Unit.RATIO, 1),
    Metric("max drawdown", "max_drawdown_frac", Unit.FRACTION, -1),
    Metric("time in market", "exposed_frac", Unit.FRACTION),
    Metric("trades", "trades", Unit.COUNT),
    Metric("won", "win_rate_frac", Unit.FRACTION, 1),
    Metric("profit factor", "profit_factor", Unit.RATIO, 1),
    Metric("fills", "fills", Unit.COUNT),
    Metric("denied by the gate", "denied", Unit.COUNT),
    Metric("traded", "traded_usd", Unit.USD),
    Metric("spread, slippage", "spread_usd", Unit.USD, -1),
    Metric("fees", "fees_usd", Unit.USD, -1),
    Metric("borrow", "borrow_usd", Unit.USD, -1),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptRun:
    """A run out of the warehouse."""

    run: Run
    numbers: Mapping[str, float | None]  # by the columns of METRICS
    fills: pl.DataFrame  # FILL_SCHEMA, in order of time
    trades: pl.DataFrame  # TRADE_SCHEMA
    curve: pl.DataFrame  # EQUITY_SCHEMA


@dataclass(frozen=True, slots=True)
class Asked:
    """Something that was asked otherwise, in words."""

    name: str
    first: str
    second: str


@dataclass(frozen=True, slots=True)
class Numbers:
    """A number of both runs."""

    metric: Metric
    first: float | None
    second: float | None

    @property
    def change(self) -> float | None:
        """Give second less first; None where one is not known."""
        return None if self.first is None or self.second is None else self.second - self.first

    @property
    def gain(self) -> float | None:
        """Give the change, positive where the second run is the better one; None where neither is."""
        return None if self.change is None or not self.metric.better else self.change * self.metric.better


@dataclass(frozen=True, slots=True)
class Parting:
    """The first row of a kind in which two runs differ; times in its words are New York's."""

    at: datetime
    first: str
    second: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two runs, and how they differ."""

    first: Run
    second: Run
    same_data: bool
    asked: tuple[Asked, ...]
    numbers: tuple[Numbers, ...]
    fills_equal: int  # in both
    fills_first: int  # in the first run only
    fills_second: int
    fill: Parting | None  # the first that differs
    trade: Parting | None
    symbols: pl.DataFrame  # symbol, pnl_first, pnl_second, change, trades_first, trades_second
    remarks: tuple[str, ...]  # what is to be said before the numbers


def compare(first: KeptRun, second: KeptRun) -> Comparison:
    """Compare two runs; what is called a change is from the first to the second."""
    same_data = first.run.data_hash == second.run.data_hash
    asked = tuple(_asked(first.run, second.run))
    fills = _ordered(first.fills, FILL_KEYS), _ordered(second.fills, FILL_KEYS)
    counts = [Counter(each.select(FILL_KEYS).rows()) for each in fills]
    equal = (counts[0] & counts[1]).total()
    fill = _parting(*fills, FILL_KEYS, _fill_words)
    return Comparison(
        first=first.run,
        second=second.run,
        same_data=same_data,
        asked=asked,
        numbers=tuple(
            Numbers(metric, first.numbers.get(metric.column), second.numbers.get(metric.column))
            for metric in METRICS
        ),
        fills_equal=equal,
        fills_first=counts[0].total() - equal,
        fills_second=counts[1].total() - equal,
        fill=fill,
        trade=_parting(_trades(first), _trades(second), TRADE_KEYS, _trade_words),
        symbols=_by_symbol(first.trades, second.trades),
        remarks=tuple(_remarks(first.run, second.run, asked=asked, fill=fill)),
    )


# ---- what was asked --------------------------------------------------------------------------


def _asked(first: Run, second: Run) -> Iterator[Asked]:
    """Give what was asked otherwise; last the fingerprints: of all settings, of bars, of code."""
    pairs = zip(_plain(first).items(), _plain(second).items(), strict=True)
    yield from (Asked(name, one, other) for (name, one), (_, other) in pairs if one != other)
    for group in ("params", "costs"):
        mine, theirs = _group(first, group), _group(second, group)
        for name in dict.fromkeys((*mine, *theirs)):
            one, other = mine.get(name, "not there"), theirs.get(name, "not there")
            if one != other:
                label = name if group == "params" else f"costs: {name}"
                yield Asked(label, one, other)
    for name, column in (("settings", "settings_hash"), ("bars", "data_hash"), ("code", "code_version")):
        one, other = getattr(first, column), getattr(second, column)
        if one != other:
            yield Asked(name, one[:HASH_SHOWN], other[:HASH_SHOWN])


def _plain(run: Run) -> dict[str, str]:
    return {
        "strategy": run.strategy,
        "symbols": _symbols(run.symbols),
        "first day": run.first.isoformat(),
        "last day": run.last.isoformat(),
        "cash": f"{run.cash:,.2f}",
        "size": run.size or "allocation and slots",
        "engine": run.engine.value,
        "gate": "on" if run.gate else "off",
        "positions": "closed before the bell" if run.close_out else "held overnight",
        "seed": str(run.seed),
    }


def _symbols(symbols: tuple[str, ...]) -> str:
    shown = ", ".join(symbols[:NAMED_MAX])
    return shown if len(symbols) <= NAMED_MAX else f"{shown} and {len(symbols) - NAMED_MAX} more"


def _group(run: Run, name: str) -> dict[str, str]:
    if name == "params":
        return dict(run.params)
    return {key: _word(value) for key, value in json.loads(run.costs.model_dump_json()).items()}


def _word(value: object) -> str:
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _remarks(first: Run, second: Run, *, asked: tuple[Asked, ...], fill: Parting | None) -> Iterator[str]:
    """Say what must be known before the numbers are believed."""
    if first.run_id == second.run_id:
        yield "Both are the same run."
        return
    if first.data_hash != second.data_hash:
        spans = [
            f"{run.bars:,} bars of {len(run.symbols)} symbol{'' if len(run.symbols) == 1 else 's'}, "
            f"{run.first} to {run.last}"
            for run in (first, second)
        ]
        how = f"both {spans[0]}, with other prices" if spans[0] == spans[1] else " and ".join(spans)
        yield f"The runs were played on different data ({how}): their numbers do not compare."
    if first.cash != second.cash:
        yield "They began with different cash: of the numbers only fractions and ratios compare."
    if first.engine is not second.engine:
        yield "One was played by the exact engine and one by the screen, which names its orders otherwise."
    others = [each.name for each in asked if each.name not in ("code", "bars")]
    if fill is None and first.data_hash == second.data_hash:
        yield "Every fill is the same."
    elif not others and first.data_hash == second.data_hash:
        whose = "the code's" if first.code_version != second.code_version else "nobody's who was asked"
        yield f"Nothing was asked otherwise: the difference is {whose}."
    if any(run.code_version.endswith("+") for run in (first, second)):
        yield "A code version with + is a checkout with changes: it does not say which code it was."


# ---- where they part -------------------------------------------------------------------------


def _parting(
    first: pl.DataFrame,
    second: pl.DataFrame,
    keys: tuple[str, ...],
    words: Callable[[Mapping[str, Any]], str],
) -> Parting | None:
    """Give the first row that differs in `keys`, the first of which is its instant."""
    shared = min(first.height, second.height)
    one, other = first.select(keys), second.select(keys)
    place = next(
        (n for n, (a, b) in enumerate(zip(one.iter_rows(), other.iter_rows(), strict=False)) if a != b),
        shared,
    )
    rows = [frame.row(place, named=True) if place < frame.height else None for frame in (first, second)]
    instants: list[datetime] = [row[keys[0]] for row in rows if row is not None]
    if not instants:
        return None
    at = min(instants)
    said = ["none" if row is None or row[keys[0]] != at else words(row) for row in rows]
    return Parting(at, *said)


def _fill_words(row: Row) -> str:
    return (
        f"{row['side']} {row['qty'].normalize():f} {row['symbol']} at {row['price'].normalize():f}, "
        f"fee {row['fee'].normalize():f}, order {row['client_order_id']}"
    )


def _trade_words(row: Row) -> str:
    left = "still open" if row["left_at"] is None else f"left {new_york(row['left_at']):%Y-%m-%d %H:%M}"
    return (
        f"{row['side']} {row['qty']:,.10g} {row['symbol']} at {row['entry_price']:.4f}, {left} "
        f"at {row['exit_price']:.4f}: {row['pnl']:+z,.2f} USD"
    )


def _trades(kept: KeptRun) -> pl.DataFrame:
    """Give a run's trades as they are told: prices and quantities to a ten-thousandth, USD to a cent."""
    floats = [pl.col(name).round(4) for name in ("qty", "entry_price", "exit_price")]
    return _ordered(kept.trades.with_columns(*floats, pl.col("pnl").round(2)), TRADE_KEYS)


def _ordered(rows: pl.DataFrame, keys: tuple[str, ...]) -> pl.DataFrame:
    """Give rows in order of their keys, instants as the minutes they lie in."""
    return rows.with_columns(pl.selectors.datetime().dt.truncate("1m")).sort(keys)


def _by_symbol(first: pl.DataFrame, second: pl.DataFrame) -> pl.DataFrame:
    """Give both runs' trades by symbol, the largest change first."""
    one, other = (by_key(trades, "symbol").select("symbol", "pnl", "trades") for trades in (first, second))
    joined = one.join(other, on="symbol", how="full", coalesce=True, suffix="_second")
    return (
        joined.rename({"pnl": "pnl_first", "trades": "trades_first"})
        .with_columns(pl.selectors.numeric().fill_null(0))
        .with_columns(change=pl.col("pnl_second") - pl.col("pnl_first"))
        .select("symbol", "pnl_first", "pnl_second", "change", "trades_first", "trades_second")
        .sort(pl.col("change").abs(), "symbol", descending=[True, False])
    )

"""A seeded market and legal fills on it, for what becomes of a backtest's fills; the same for every run."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np
import polars as pl

from desk.hours import minutes, session_hours, sessions_between
from schemas.bars import RAW_SCHEMA
from schemas.research import FILL_SCHEMA, NO_COSTS, Costs, Engine, Run

CASH = Decimal(100_000)
TICK = Decimal("0.01")
FIRST = date(2025, 11, 24)  # a Monday; Thursday is Thanksgiving, Friday closes at 13:00


@dataclass(frozen=True)
class Play:
    """Bars and the fills that were played on them."""

    bars: pl.DataFrame
    fills: pl.DataFrame


def make_bars(
    *,
    symbols: int = 3,
    first: date = FIRST,
    last: date = date(2025, 12, 3),
    gaps: float = 0.05,
    seed: int = 1,
) -> pl.DataFrame:
    """Give minute bars in whole cents, RAW_SCHEMA by symbol and ts, with a share of minutes missing."""
    chance = np.random.default_rng(seed)
    edges = [ts for hours in sessions_between(first, last) for ts in minutes(hours)]
    parts = []
    for number in range(symbols):
        kept = chance.random(len(edges)) >= gaps
        count = int(kept.sum())
        steps = chance.normal(0.000_01, 0.0006, size=count)
        close = np.round(np.exp(np.log(40.0 + 60 * number) + np.cumsum(steps)), 2)
        open_ = np.round(np.concatenate(([close[0]], close[:-1])) * (1 + chance.normal(0, 0.0002, count)), 2)
        wick = np.round(chance.exponential(0.0004, size=(2, count)) * close, 2)
        parts.append(
            pl.DataFrame(
                {
                    "symbol": f"S{number:02}",
                    "ts": [ts for ts, keep in zip(edges, kept, strict=True) if keep],
                    "open": open_,
                    "high": np.round(np.maximum(open_, close) + wick[0], 2),
                    "low": np.round(np.minimum(open_, close) - wick[1], 2),
                    "close": close,
                    "volume": chance.integers(500, 9_000, count),
                    "vwap": None,
                    "trade_count": None,
                },
                schema=RAW_SCHEMA,
            )
        )
    return pl.concat(parts)


def make_fills(
    bars: pl.DataFrame,
    *,
    every: int = 40,
    strategies: tuple[str, ...] = ("idea",),
    slip: int = 1,
    fee: str = "0.05",
    flat_at_end: bool = False,
    wild: bool = False,
    seed: int = 2,
) -> pl.DataFrame:
    """Give legal fills: each decided on a bar's close and filled at the symbol's next bar's open.

    Args:
        bars: as `make_bars` gives them.
        every: bars between two orders of a strategy in a symbol, on average.
        strategies: each trades every symbol.
        slip: ticks that a buy pays more, and a sell gets less, than the open.
        fee: of each sale.
        flat_at_end: close what is held at each symbol's last bar.
        wild: sizes of a fraction of a share, scaling in and out, and through zero; else one long at a time.
        seed: of the orders.
    """
    chance = np.random.default_rng(seed)
    rows: list[dict[str, object]] = []
    for (symbol,), frame in bars.partition_by("symbol", as_dict=True).items():
        for strategy in strategies:
            held = Decimal(0)
            for decided in range(frame.height - 1):
                last = decided == frame.height - 2
                if not (last and flat_at_end) and chance.random() >= 1 / every:
                    continue
                change = _change(chance, held, wild=wild)
                if last and flat_at_end:
                    change = -held
                if change == 0:
                    continue
                held += change
                bar = frame.row(decided + 1, named=True)
                sign = 1 if change > 0 else -1
                rows.append(
                    {
                        "ts": bar["ts"],
                        "filled_at": bar["ts"],
                        "strategy": strategy,
                        "symbol": symbol,
                        "side": "buy" if change > 0 else "sell",
                        "qty": abs(change),
                        "price": Decimal(f"{bar['open']:.2f}") + sign * slip * TICK,
                        "fee": Decimal(0) if change > 0 else Decimal(fee),
                        "reference_price": Decimal(f"{frame['close'][decided]:.2f}"),
                        "client_order_id": f"{strategy}-{symbol}-{len(rows)}",
                    }
                )
    return pl.DataFrame(rows, schema=FILL_SCHEMA).sort("ts", maintain_order=True)


def _change(chance: np.random.Generator, held: Decimal, *, wild: bool) -> Decimal:
    if not wild:
        return -held if held else Decimal(100)
    if held and chance.random() < 0.6:
        return -held * int(chance.integers(1, 3))  # flat, or the same the other way
    return Decimal(int(chance.integers(-60, 61))) + Decimal(int(chance.integers(0, 4))) / 4


def make_run(play: Play, *, costs: Costs = NO_COSTS, final_equity: Decimal = CASH) -> Run:
    """Give the record of a run that played this."""
    dates = [session for session in (play.bars["ts"].min(), play.bars["ts"].max())]
    first, last = (each.date() if isinstance(each, datetime) else FIRST for each in dates)
    return Run(
        run_id="9f2c1a7be04d",
        engine=Engine.EXACT,
        strategy="sma_crossover",
        params=(("fast", "20"), ("slow", "50")),
        symbols=tuple(sorted(play.bars["symbol"].unique())),
        first=first,
        last=last,
        cash=CASH,
        size="shares:100",
        costs=costs,
        gate=True,
        close_out=False,
        settings_hash="5d1f",
        code_version="0123abc+",
        data_hash="77ab",
        seed=0,
        started_at=datetime(2026, 11, 21, 12, 0, tzinfo=UTC),
        seconds=1.25,
        bars=play.bars.height,
        orders=play.fills.height,
        fills=play.fills.height,
        denied=3,
        orders_hash="aa01",
        ledger_hash="bb02",
        final_equity=final_equity,
    )


def open_of(day: date) -> datetime:
    """Give when a session opens.

    Raises:
        ValueError: there is none on that day.
    """
    hours = session_hours(day)
    if hours is None:
        raise ValueError(f"{day} has no session")
    return hours.opens_at

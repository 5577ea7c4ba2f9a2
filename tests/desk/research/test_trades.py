"""Round trips: a plain loop over executions and bars gives the same, and the cases with known numbers."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from desk.metrics import Trade, attribute_pnl
from desk.research.trades import NO_TRIPS, extend_trips, round_trips
from schemas.orders import Side
from schemas.research import TRADE_SCHEMA
from tests.desk.research import market
from tests.desk.research.test_curve import MINUTE, OPEN, bar, fill, fills_of, frame


def one(trips: pl.DataFrame) -> dict[str, Any]:
    """Give the only trip."""
    assert trips.height == 1
    return trips.row(0, named=True)


def test_a_long_trip_has_its_numbers() -> None:
    """Bought at 10, sold at 12: between a low of 8 and a high of 14; the exit's own bar is not."""
    closes = [10.0, 9.0, 13.0, 12.0, 30.0]
    bars = frame(*(bar("A", minute, close) for minute, close in enumerate(closes)))
    fills = fills_of(fill("A", 0, "buy", "5", "10"), fill("A", 4, "sell", "5", "12", fee="0.5"))

    trip = one(round_trips(fills, bars))

    assert trip == {
        "strategy": "idea",
        "symbol": "A",
        "side": "long",
        "entered_at": OPEN,
        "left_at": OPEN + 4 * MINUTE,
        "qty": 5.0,
        "entry_price": 10.0,
        "exit_price": 12.0,
        "pnl": 9.5,
        "fees": 0.5,
        "mae": -10.0,
        "mfe": 20.0,
        "bars": 4,
    }


def test_a_short_trip_is_the_mirror() -> None:
    """Sold at 10: the high of 14 is the worst, the low of 8 the best."""
    bars = frame(*(bar("A", minute, close) for minute, close in enumerate([10.0, 9.0, 13.0, 12.0])))
    fills = fills_of(fill("A", 0, "sell", "5", "10"), fill("A", 3, "buy", "5", "12"))

    trip = one(round_trips(fills, bars))

    assert (trip["side"], trip["pnl"], trip["mae"], trip["mfe"]) == ("short", -10.0, -20.0, 10.0)


def test_through_zero_ends_one_trip_and_begins_the_next() -> None:
    """Long 2, then sell 5: the first trip bears the fee, the second is short 3 and still open at 7."""
    bars = frame(bar("A", 0, 10.0), bar("A", 1, 11.0), bar("A", 2, 7.0))
    fills = fills_of(fill("A", 0, "buy", "2", "10"), fill("A", 1, "sell", "5", "11", fee="0.5"))

    trips = round_trips(fills, bars)

    assert trips.select("side", "qty", "pnl", "fees", "exit_price").rows() == [
        ("long", 2.0, 1.5, 0.5, 11.0),
        ("short", 3.0, 12.0, 0.0, 7.0),
    ]
    assert trips["left_at"].to_list() == [OPEN + MINUTE, None]


def test_in_and_out_within_a_bar_stood_only_at_its_result() -> None:
    """Entered and left in one minute: no bar between, the loss is the excursion."""
    fills = fills_of(fill("A", 0, "buy", "1", "10"), fill("A", 0, "sell", "1", "9"))

    trip = one(round_trips(fills, frame(bar("A", 0, 10.0))))

    assert (trip["mae"], trip["mfe"], trip["bars"], trip["pnl"]) == (-1.0, 0.0, 0, -1.0)


def test_no_fill_is_no_trip() -> None:
    """An empty run has an empty table of the right shape."""
    assert dict(round_trips(fills_of(), frame()).schema) == TRADE_SCHEMA


def test_a_symbol_without_bars_is_marked_at_its_own_price() -> None:
    """Nothing else is known of it."""
    trip = one(round_trips(fills_of(fill("A", 0, "buy", "1", "10", fee="1")), frame(bar("B", 0, 5.0))))

    assert (trip["exit_price"], trip["pnl"], trip["bars"]) == (10.0, -1.0, 0)


@dataclass
class Open:
    """A trip that runs, for the plain loop."""

    entered_at: datetime
    sign: int
    held: Decimal = Decimal(0)
    most: Decimal = Decimal(0)
    cash: Decimal = Decimal(0)
    fees: Decimal = Decimal(0)
    stood: list[Decimal] = field(default_factory=lambda: [Decimal(0)])
    bars: int = 0


def naive(play: market.Play) -> list[tuple[Any, ...]]:
    """Walk every bar of every (strategy, symbol), executions first."""
    done = []
    for strategy in play.fills["strategy"].unique():
        for (symbol,), bars in play.bars.partition_by("symbol", as_dict=True).items():
            mine = play.fills.filter(pl.col("strategy") == strategy, pl.col("symbol") == symbol)
            trip: Open | None = None
            for each in bars.sort("ts").iter_rows(named=True):
                for hit in mine.filter(pl.col("ts") == each["ts"]).iter_rows(named=True):
                    left = hit["qty"] if hit["side"] == "buy" else -hit["qty"]
                    fee = hit["fee"]
                    if trip is not None and trip.held * left < 0:
                        part = min(abs(left), abs(trip.held)) * (1 if left > 0 else -1)
                        trip.held += part
                        trip.cash -= part * hit["price"]
                        trip.fees, fee = trip.fees + fee, Decimal(0)
                        left -= part
                        if trip.held == 0:
                            done.append(finished(strategy, symbol, trip, hit["filled_at"], Decimal(0)))
                            trip = None
                    if left:
                        trip = trip or Open(hit["filled_at"], 1 if left > 0 else -1)
                        trip.held += left
                        trip.most = max(trip.most, abs(trip.held))
                        trip.cash -= left * hit["price"]
                        trip.fees += fee
                if trip is not None:
                    trip.bars += 1
                    prices = [Decimal(f"{each[name]:.2f}") for name in ("low", "high")]
                    trip.stood += [trip.cash + trip.held * price for price in prices]
            if trip is not None:
                done.append(finished(strategy, symbol, trip, None, Decimal(f"{bars['close'][-1]:.2f}")))
    return sorted(done)


def finished(
    strategy: str, symbol: str, trip: Open, left_at: datetime | None, mark: Decimal
) -> tuple[Any, ...]:
    """Give a trip's row, entry and exit prices aside."""
    gross = trip.cash + trip.held * mark
    stood = [*trip.stood, gross]
    numbers = (trip.most, gross - trip.fees, trip.fees, min(stood), max(stood), trip.bars)
    side = "long" if trip.sign > 0 else "short"
    return (strategy, symbol, trip.entered_at, side, left_at is None, *(float(each) for each in numbers))


@pytest.mark.parametrize("seed", range(4))
def test_a_plain_loop_agrees(seed: int) -> None:
    """Generated wild trading of two strategies, gaps and fractions: every trip is the loop's."""
    bars = market.make_bars(gaps=0.2, seed=seed)
    fills = market.make_fills(bars, every=25, strategies=("a", "b"), wild=True, seed=seed)
    answer = naive(market.Play(bars, fills))

    trips = round_trips(fills, bars)
    found = sorted(
        trips.select(
            "strategy", "symbol", "entered_at", "side", pl.col("left_at").is_null(),
            "qty", "pnl", "fees", "mae", "mfe", "bars",
        ).rows()
    )  # fmt: skip

    assert len(found) == len(answer) > 50
    for mine, theirs in zip(found, answer, strict=True):
        assert mine[:5] == theirs[:5]
        assert mine[5:] == pytest.approx(theirs[5:], abs=1e-6)


def test_results_are_those_of_the_days_own_attribution() -> None:
    """Finished trips of one strategy and symbol sum to what desk/metrics.py says of the same executions."""
    bars = market.make_bars(symbols=1)
    fills = market.make_fills(bars, wild=True, flat_at_end=True)
    trades = [
        Trade(
            strategy=row["strategy"],
            symbol=row["symbol"],
            side=Side(row["side"]),
            qty=row["qty"],
            price=row["price"],
            fee=row["fee"],
        )
        for row in fills.iter_rows(named=True)
    ]
    (line,) = attribute_pnl(trades)

    trips = round_trips(fills, bars)

    assert trips["pnl"].to_list() == pytest.approx([float(each) for each in line.results], abs=1e-6)


def test_symbols_done_apart_are_the_whole() -> None:
    """A few symbols at a time give the same trips."""
    bars = market.make_bars()
    fills = market.make_fills(bars, wild=True)
    whole = round_trips(fills, bars)

    parts = [
        round_trips(fills.filter(pl.col("symbol") == name), bars.filter(pl.col("symbol") == name))
        for name in ("S00", "S01", "S02")
    ]

    assert pl.concat(parts).sort("entered_at", "strategy", "symbol", maintain_order=True).equals(whole)


@pytest.mark.parametrize("seed", range(3))
def test_stretches_are_the_whole(seed: int) -> None:
    """Cut after 100, 101, 350 and 600 minutes, open trips go along: the trips are those of one piece."""
    bars = market.make_bars(gaps=0.2, seed=seed)
    fills = market.make_fills(bars, every=25, strategies=("a", "b"), wild=True, seed=seed)
    whole = round_trips(fills, bars)
    cuts = [OPEN + minutes * MINUTE for minutes in (0, 100, 101, 350, 600)] + [
        datetime.max.replace(tzinfo=UTC)
    ]
    ts, before, parts = pl.col("ts"), NO_TRIPS, []

    for low, high in pairwise(cuts):
        inside = (ts >= low) & (ts < high)
        trips, before = extend_trips(before, fills.filter(inside), bars.filter(inside))
        parts.append(trips.filter(pl.col("left_at").is_not_null()))

    still = trips.filter(pl.col("left_at").is_null())
    found = pl.concat([*parts, still]).sort("entered_at", "strategy", "symbol", maintain_order=True)
    assert still.height > 0
    assert_frame_equal(found, whole, abs_tol=1e-6)


def test_a_trip_held_for_long_keeps_a_row_a_fill() -> None:
    """However long it is held, what goes along is a row for each fill of its symbol, not its bars."""
    bars = market.make_bars()
    at = OPEN + 30 * MINUTE
    entries = [fill("S00", minute, "buy", "1", "10") for minute in (3, 7)]
    begun = bars.filter(pl.col("ts") < at)

    trips, kept = extend_trips(NO_TRIPS, fills_of(*entries), begun)
    trips, kept = extend_trips(kept, fills_of(), bars.filter(pl.col("ts") >= at))

    assert kept.bars.height == 2
    assert_frame_equal(trips, round_trips(fills_of(*entries), bars))

"""Seeded regular-session bars for strategy tests: a walk per symbol with fat tails, gaps and dry minutes."""

import math
import random
from datetime import UTC, datetime, timedelta

import polars as pl

from schemas.bars import RAW_SCHEMA

OPENS = (
    datetime(2024, 3, 7, 14, 30, tzinfo=UTC),
    datetime(2024, 3, 8, 14, 30, tzinfo=UTC),
    datetime(2024, 3, 11, 13, 30, tzinfo=UTC),  # the Monday after the clocks changed
)


def walk(symbols: tuple[str, ...], *, seed: int, minutes: int = 120, sessions: int = 3) -> pl.DataFrame:
    """Give bars sorted by (symbol, ts); about one minute in forty is missing, one in thirty has no volume."""
    chance = random.Random(seed)
    rows = []
    for index, symbol in enumerate(symbols):
        price = 50.0 * (index + 1)
        for opens in OPENS[:sessions]:
            price *= math.exp(chance.gauss(0.0, 0.005))
            for minute in range(minutes):
                start = price
                path = [
                    start * math.exp(chance.gauss(0.0, 0.0008) * chance.choice((1, 1, 1, 3)))
                    for _ in range(4)
                ]
                price = path[-1]
                if chance.random() < 1 / 40:
                    continue
                volume = 0 if chance.random() < 1 / 30 else chance.randrange(100, 100_000)
                ts = opens + timedelta(minutes=minute)
                rows.append(
                    (symbol, ts, start, max(start, *path), min(start, *path), price, volume, None, None)
                )
    return pl.DataFrame(rows, schema=RAW_SCHEMA, orient="row").sort("symbol", "ts")

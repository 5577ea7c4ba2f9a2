"""What judging a minute's bars costs: contract, live checks and the tape, 10 to 500 symbols.

    .venv/bin/python -m bench.inspect

Each figure is the median of `ROUNDS` minutes of one session, bars clean and typed, the day's earlier
minutes on the tape.
"""

import random
from datetime import UTC, datetime, timedelta
from statistics import median
from time import perf_counter

import polars as pl

from desk.hours import session_hours
from desk.inspection import Context, Mode
from desk.inspector import inspect
from desk.tape import Tape
from schemas.bars import RAW_SCHEMA
from schemas.settings import DataSettings
from strategies import registry

OPEN = datetime(2024, 3, 7, 14, 30, tzinfo=UTC)
SIZES = (10, 100, 500)
ROUNDS = 60
# Minutes already on the tape when the clock starts: a late hour, for a tape grows over the day.
BEFORE = 300
INSPECT_GOAL_MS = 15.0
FULL_DAY = 390


def names(count: int) -> list[str]:
    """Give `count` symbols of capital letters."""
    return [
        f"{chr(65 + index // 676)}{chr(65 + index // 26 % 26)}{chr(65 + index % 26)}"
        for index in range(count)
    ]


def minute_bars(symbols: list[str], minute: int, chance: random.Random) -> pl.DataFrame:
    """Make one clean bar a symbol."""
    closes = [50.0 + chance.uniform(-0.1, 0.1) for _ in symbols]
    columns = {
        "symbol": symbols,
        "ts": [OPEN + timedelta(minutes=minute)] * len(symbols),
        "open": closes,
        "high": [close + 0.02 for close in closes],
        "low": [close - 0.02 for close in closes],
        "close": closes,
        "volume": [chance.randrange(1, 10_000) for _ in symbols],
        "vwap": closes,
        "trade_count": [10] * len(symbols),
    }
    return pl.DataFrame(columns, schema=RAW_SCHEMA)


def one_minute(tape: Tape, symbols: list[str], minute: int, chance: random.Random) -> tuple[float, float]:
    """Judge and take in one minute; give the milliseconds of each."""
    delivery = minute_bars(symbols, minute, chance)
    now = OPEN + timedelta(minutes=minute + 1, seconds=2)
    context = Context(
        now=now,
        mode=Mode.LIVE,
        expected=frozenset(symbols),
        session_on=session_hours,
        limits=DataSettings(),
        memory=tape,
    )
    started = perf_counter()
    result = inspect(delivery, context)
    judged = perf_counter()
    tape.add(result.bars, now)
    tape.frame()
    taken = perf_counter()
    assert result.bars.height == len(symbols), result.findings
    return (judged - started) * 1e3, (taken - judged) * 1e3


def figure(name: str, value: float, unit: str, goal: float | None) -> dict[str, object]:
    """Make one line of the table."""
    return {"name": name, "value": round(value, 2), "unit": unit, "goal": goal}


def run() -> list[dict[str, object]]:
    """Give name, value, unit and goal (None where there is none) of each figure."""
    chance = random.Random(1)
    figures = []
    for size in SIZES:
        symbols, tape = names(size), Tape()
        for minute in range(BEFORE):
            one_minute(tape, symbols, minute, chance)
        times = [one_minute(tape, symbols, BEFORE + minute, chance) for minute in range(ROUNDS)]
        figures.append(
            figure(f"inspect {size} symbols", median(judged for judged, _ in times), "ms", INSPECT_GOAL_MS)
        )
        figures.append(figure(f"tape {size} symbols", median(taken for _, taken in times), "ms", None))
    day = pl.concat([minute_bars(names(500), minute, chance) for minute in range(FULL_DAY)]).sort(
        "symbol", "ts"
    )
    for name in registry.names():
        strategy = registry.create(name, names(500))
        started = perf_counter()
        strategy.signals(day)
        figures.append(
            figure(
                f"signals of {name}, 500 symbols at the close", (perf_counter() - started) * 1e3, "ms", None
            )
        )
    return figures


if __name__ == "__main__":
    for line in run():
        print(f"{line['name']:60} {line['value']:>10} {line['unit']} (goal {line['goal']})")

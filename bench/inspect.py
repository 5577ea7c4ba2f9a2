"""What a minute costs the desk itself: its bars, the tape, and a whole minute of a session in process.

    .venv/bin/python -m bench.inspect

The first figures are medians of `ROUNDS` minutes of one session, bars clean and typed, the day's earlier
minutes on the tape. The last ones are means over a session of `DAY_MINUTES` minutes at a venue in process,
orders, fills and ledger events included; nothing in it waits, so it is what a simulation pays.
"""

import random
from datetime import UTC, date, datetime, timedelta
from statistics import median
from time import perf_counter

import polars as pl

from desk.desk import Desk
from desk.exchange.generated import GeneratedMarket
from desk.exchange.venue import Venue
from desk.hours import session_hours
from desk.inspection import Context, Mode
from desk.inspector import inspect
from desk.journal import Journal
from desk.session import Session
from desk.simulation.memory import ProcessLedger, Store
from desk.tape import Tape
from schemas.bars import RAW_SCHEMA
from schemas.settings import DataSettings, Settings, StrategySettings
from strategies import registry

OPEN = datetime(2024, 3, 7, 14, 30, tzinfo=UTC)
SIZES = (10, 100, 500)
ROUNDS = 60
# Minutes already on the tape when the clock starts: a late hour, for a tape grows over the day.
BEFORE = 300
INSPECT_GOAL_MS = 15.0
INGEST_GOAL_MS = 30.0  # 500 symbols, judged and on the tape
MINUTE_GOAL_MS = 8.0  # 3 symbols, everything
FULL_DAY = 390
DAY = date(2025, 11, 28)  # closes at 13:00 New York
DAY_MINUTES = 120
CLOSES = datetime(2025, 11, 28, 18, 0, tzinfo=UTC)


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
        figures.append(
            figure(f"inspect and tape {size} symbols", median(map(sum, times)), "ms", INGEST_GOAL_MS)
        )
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
    for heard in (False, True):
        how = "heard" if heard else "polled"
        figures.append(figure(f"a session's minute in process, 3 symbols, {how}", *whole_minute(heard=heard)))
    return figures


def whole_minute(*, heard: bool) -> tuple[float, str, float]:
    """Run a session on a venue in process; give the mean milliseconds of a minute, the unit and the goal."""
    symbols = names(3)
    place = Venue(
        GeneratedMarket(1, tuple(symbols)),
        session_date=DAY,
        starts_at=CLOSES - timedelta(minutes=DAY_MINUTES),
    )
    store = Store(now=place.now, heard=lambda row, by_hand: None)
    strategy = registry.create("sma_crossover", symbols, {"fast": 2, "slow": 5, "band_bps": 2.0})
    desk = Desk(
        settings=Settings(symbols=tuple(symbols), strategies=(StrategySettings(name=strategy.name),)),
        clock=place,
        broker=place,
        market=place,
        updates=place.updates(),
        journal=Journal(ProcessLedger(store, store.acquire("bench"), step=lambda point: None)),
        recorder=_Nowhere(),
        strategies=(strategy,),
        stream=place.market_stream() if heard else None,
    )
    session = Session(desk, session_date=DAY, run_id="bench")
    started = perf_counter()
    result = session.run()
    return (perf_counter() - started) * 1e3 / result.minutes, "ms", MINUTE_GOAL_MS


class _Nowhere:
    """A recorder that keeps nothing: the warehouse is measured in bench/ingest.py."""

    def bars(self, frame: pl.DataFrame) -> None:
        """Keep none."""

    def quarantine(self, frame: pl.DataFrame) -> None:
        """Keep none."""

    def signals(self, frame: pl.DataFrame) -> None:
        """Keep none."""

    def flush(self) -> None:
        """Bring nothing anywhere."""


if __name__ == "__main__":
    for line in run():
        print(f"{line['name']:60} {line['value']:>10} {line['unit']} (goal {line['goal']})")

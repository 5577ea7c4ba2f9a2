"""The cost of a minute's orchestration: three steps as Prefect task runs, and as plain calls.

A real Prefect server on loopback with a home of its own; one flow run with a loop of minutes in it, as
a session is. The steps do nothing, so what is measured is what Prefect adds to a minute: engine,
logging to the API and task-run events. Goal: less than 25 ms a minute.
"""

import json
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter

import polars as pl

from cli.platform import Platform, PlatformPlace
from desk.cycle import TradeOutcome
from desk.session import Steps
from schemas.bars import RAW_SCHEMA
from schemas.signals import SIGNAL_SCHEMA

MINUTES = 390  # a whole session
WARM_UP = 10  # the first calls import and connect; a session pays that once, before its first minute
GOAL_MS = 25.0
OPENS = datetime(2025, 11, 26, 14, 30, tzinfo=UTC)
TIMEOUT_S = 300.0


def run() -> list[dict[str, object]]:
    """Measure and give one row per figure."""
    plain = sorted(_seconds(_steps()))
    with tempfile.TemporaryDirectory() as folder:
        seen = sorted(_seen_seconds(Path(folder)))
    added = [(a - b) * 1000 for a, b in ((_mean(seen), _mean(plain)), (_at(seen, 99), _at(plain, 99)))]
    return [
        _row("three plain steps, mean", _mean(plain) * 1000, goal=None),
        _row("three steps as Prefect tasks, mean", _mean(seen) * 1000, goal=None),
        _row("orchestration added to a minute, mean", added[0], goal=GOAL_MS),
        _row("orchestration added to a minute, p99", added[1], goal=None),
    ]


def _seen_seconds(folder: Path) -> list[float]:
    """Run the flow in a process of its own, as a worker does, against a server of its own."""
    (folder / "desk.yaml").write_text("{}\n", encoding="utf-8")
    place = PlatformPlace(home=folder / "prefect", logs=folder / "logs", config=folder / "desk.yaml")
    with Platform(place) as platform:
        platform.start_server()
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "bench.minute"],
            env=platform.environment(),
            capture_output=True,
            text=True,
            check=True,
            timeout=TIMEOUT_S,
        )
    found = json.loads(done.stdout.strip().splitlines()[-1])
    return [float(second) for second in found]


def measure_in_a_flow() -> list[float]:
    """Run one flow run with a loop of minutes inside; give each minute's seconds."""
    from prefect import flow

    from tasks.minute import seen_steps

    @flow(name="bench-minute", retries=0, persist_result=False)
    def minutes() -> list[float]:
        return _seconds(seen_steps(_steps()))

    return list(minutes())


def _seconds(steps: Steps[pl.DataFrame, pl.DataFrame]) -> list[float]:
    timed = [_one(steps, OPENS + timedelta(minutes=number)) for number in range(MINUTES + WARM_UP)]
    return timed[WARM_UP:]


def _one(steps: Steps[pl.DataFrame, pl.DataFrame], minute: datetime) -> float:
    start = perf_counter()
    bars = steps.ingest(minute)
    signals = steps.evaluate(minute, bars)
    steps.trade(minute, signals)
    return perf_counter() - start


def _steps() -> Steps[pl.DataFrame, pl.DataFrame]:
    bars, signals = pl.DataFrame(schema=RAW_SCHEMA), pl.DataFrame(schema=SIGNAL_SCHEMA)
    return Steps(
        ingest=lambda minute: bars,
        evaluate=lambda minute, frame: signals,
        trade=lambda minute, frame: TradeOutcome(),
    )


def _mean(seconds: list[float]) -> float:
    return sum(seconds) / len(seconds)


def _at(ordered: list[float], percentile: int) -> float:
    return ordered[len(ordered) * percentile // 100]


def _row(name: str, value_ms: float, *, goal: float | None) -> dict[str, object]:
    return {"name": f"{name}, {MINUTES} minutes", "value": round(value_ms, 3), "unit": "ms", "goal": goal}


if __name__ == "__main__":
    sys.stdout.write(f"{json.dumps(measure_in_a_flow())}\n")

"""The whole desk by the thousand seeds: what is chosen, spread over processes, and told as it comes in.

A seed is a function of its number, the minutes and the faults asked for, so any seed of any run can be
played again alone (`replay_seed`) and tells its story.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path

import yaml
from pydantic import ValidationError

from desk.errors import ConfigError
from desk.ports import StrategyRunner
from desk.simulation.ideas import LOADS, Idea
from desk.simulation.run import Outcome, play
from desk.simulation.scenario import MINUTES_DEFAULT, Scenario
from desk.simulation.story import lines, markdown, setting
from desk.simulation.world import Happening
from schemas.faults import FaultPlan, complaint
from strategies.registry import create

CHUNK = 10  # seeds a process is given at once: a few seconds of work
LAST_SHOWN = 25  # happenings kept of a seed that failed; `--seed N --trace` tells all

__all__ = ["MINUTES_DEFAULT", "Outcome", "lines", "markdown", "setting"]


@dataclass(frozen=True, slots=True)
class Choice:
    """What every seed of a run has in common."""

    minutes: int = MINUTES_DEFAULT
    trouble: bool = True
    plan: FaultPlan | None = None  # None: each seed draws its own


@dataclass(slots=True)
class Totals:
    """The seeds done so far."""

    seeds: int = 0
    failed: list[Outcome] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    checked: Counter[str] = field(default_factory=Counter)

    def take(self, outcome: Outcome) -> None:
        """Add one."""
        self.seeds += 1
        self.counts.update(outcome.counts)
        self.checked.update(outcome.checked)
        if outcome.failure is not None:
            self.failed.append(outcome)


def choice_of(*, minutes: int, faults: str) -> Choice:
    """Read what the user chose: `all` draws faults of every kind, `none` none, else a plan's file.

    Raises:
        ConfigError: the file cannot be read or is no plan.
    """
    if faults in ("all", "none"):
        return Choice(minutes=minutes, trouble=faults == "all")
    try:
        text = Path(faults).read_text(encoding="utf-8")
        return Choice(minutes=minutes, plan=FaultPlan.model_validate(yaml.safe_load(text) or {}))
    except OSError as error:
        raise ConfigError(
            f"--faults {faults}: {error.strerror}; allowed: all, none, or the file of a plan"
        ) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"--faults {faults}: no YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        raise ConfigError(f"--faults {faults}: {complaint(error)}") from error


def replay_seed(seed: int, choice: Choice) -> tuple[Scenario, Outcome]:
    """Play one seed in this process and give all of it; the desk's log of it is nobody's commentary."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        return _played(seed, choice)
    finally:
        logging.disable(before)


def _played(seed: int, choice: Choice) -> tuple[Scenario, Outcome]:
    return play(seed, ideas=ideas(), minutes=choice.minutes, trouble=choice.trouble, plan=choice.plan)


def simulate(seeds: Sequence[int], choice: Choice, *, jobs: int) -> Iterator[Outcome]:
    """Play seeds, `jobs` at a time, and give each outcome when it is there; only failures keep their end."""
    if jobs == 1:
        for seed in seeds:
            yield _short(replay_seed(seed, choice)[1])
        return
    chunks = [seeds[start : start + CHUNK] for start in range(0, len(seeds), CHUNK)]
    # A forked child of a process with polars' threads may hang, so each starts afresh.
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        waiting = [pool.submit(_chunk, chunk, choice) for chunk in chunks]
        try:
            for done in as_completed(waiting):
                yield from done.result()
        finally:
            for each in waiting:
                each.cancel()


def _chunk(seeds: Sequence[int], choice: Choice) -> list[Outcome]:
    return [_short(replay_seed(seed, choice)[1]) for seed in seeds]


def _short(outcome: Outcome) -> Outcome:
    last: tuple[Happening, ...] = () if outcome.failure is None else outcome.happenings[-LAST_SHOWN:]
    return replace(outcome, happenings=last)


def ideas() -> dict[str, Idea]:
    """Give the loads, and shipped strategies with parameters short enough for some minutes of market."""
    return {**LOADS, "sma_crossover": _sma, "vwap_mean_reversion": _vwap, "opening_range": _opening_range}


def _sma(name: str, symbols: Sequence[str], _seed: int, may_short: bool) -> StrategyRunner:
    return create(name, symbols, {"fast": 1, "slow": 2, "band_bps": 0.0, "allow_short": may_short})


def _vwap(name: str, symbols: Sequence[str], _seed: int, may_short: bool) -> StrategyRunner:
    return create(
        name, symbols, {"k": 0.2, "rsi_length": 2, "oversold": 49, "settle_bars": 2, "allow_short": may_short}
    )


def _opening_range(name: str, symbols: Sequence[str], _seed: int, _may_short: bool) -> StrategyRunner:
    return create(name, symbols, {"range_minutes": 1})

"""Our exact engine: as `desk backtest --no-keep` runs it, or with `bare` the engine alone.

The gate judges every order; limits are raised until it denies nothing, for the peers have none. The command's
run alone is signals, engine, curve, trades and metrics; the bare engine's is signals and engine.
`profile` tells the functions with most cumulative and most own time, ten each.
"""

import cProfile
import pstats
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from contest import CASH, FAST, SHARES, SLOW, Contest
from our_fills import told

from desk.research.engine import Plan, Played, play
from desk.research.reel import Reel
from schemas.research import Size, SizeKind
from schemas.risk import RiskLimits
from schemas.settings import Settings
from tasks import backtest as work
from tasks.backtest_plan import BacktestPlan, said_by, settings_of
from tasks.strategy_source import make_strategy

TOP = 10
HIGH = Decimal(10) ** 12  # a limit no account here reaches
MANY = 1_000_000_000
PARAMS = (f"fast={FAST}", f"slow={SLOW}")


def main() -> None:
    """Play a file."""
    contest = Contest()
    contest.imported()
    plan = BacktestPlan(
        strategy="sma_crossover",
        bars=contest.path,
        params=PARAMS,
        size=Size(kind=SizeKind.SHARES, amount=Decimal(SHARES)),
        cash=Decimal(int(CASH)),
    )
    with TemporaryDirectory() as store:
        settings = raised(Settings(store=Path(store)))
        profile = cProfile.Profile() if "profile" in sys.argv[2:] else None
        played = (_bare if "bare" in sys.argv[2:] else _command)(contest, plan, settings, profile)
    denied = played.denied if isinstance(played, Played) else played.run.denied
    assert denied == 0, f"the gate denied {denied} intents"
    if profile is not None:
        contest.also(profile=_functions(profile))
    contest.tell(told(played.fills))


def _command(
    contest: Contest, plan: BacktestPlan, settings: Settings, profile: cProfile.Profile | None
) -> Any:
    spent, read = [], work.bars_there

    def watched(*asked: Any) -> Any:
        start = perf_counter()
        found = read(*asked)
        spent.append(perf_counter() - start)
        return found

    work.bars_there = watched  # the one call inside that is loading
    start = perf_counter()
    done = _watched(
        profile,
        lambda: work.run_backtest(plan, settings, began=lambda _: None, after=lambda _: None),
    )
    whole = perf_counter() - start
    contest.played()
    assert spent, "the backtest reads its bars elsewhere"
    contest.also(load_s=sum(spent), run_s=whole - sum(spent))
    return done


def _bare(contest: Contest, plan: BacktestPlan, settings: Settings, profile: cProfile.Profile | None) -> Any:
    bars, _ = work.bars_of(plan, settings)
    contest.loaded()
    params = {"fast": FAST, "slow": SLOW}
    strategy = make_strategy(plan.strategy, bars["symbol"].unique().sort().to_list(), params)
    chosen = settings_of(plan, settings, strategy)

    def engine() -> Any:
        said = {strategy.name: said_by(strategy, bars)}
        return play(Plan(settings=chosen, reel=Reel(bars), said=said, strategies=(strategy,), cash=plan.cash))

    done = _watched(profile, engine)
    contest.played()
    return done


def _watched(profile: cProfile.Profile | None, work_to_do: Callable[[], Any]) -> Any:
    return work_to_do() if profile is None else profile.runcall(work_to_do)


def _functions(profile: cProfile.Profile) -> dict[str, list[dict[str, object]]]:
    """Give the functions that took most, by two orders."""
    lines = [
        {
            "function": f"{Path(path).name}:{line} {name}" if line else name,
            "calls": calls,
            "own_s": own,
            "cumulative_s": cumulative,
        }
        for (path, line, name), (_, calls, own, cumulative, _) in pstats.Stats(profile).stats.items()
    ]
    return {by: sorted(lines, key=lambda line: -float(line[by]))[:TOP] for by in ("cumulative_s", "own_s")}


def raised(settings: Settings) -> Settings:
    """Raise every limit out of reach and take the protections away: the gate still judges every order."""
    names = (
        "daily_loss_usd",
        "weekly_loss_usd",
        "position_shares_max",
        "position_notional_max_usd",
        "order_notional_max_usd",
        "gross_max_usd",
        "net_max_usd",
    )
    risk = RiskLimits(
        **dict.fromkeys(names, HIGH),
        drawdown_max_frac=Decimal(1),
        orders_per_day=MANY,
        orders_per_minute=MANY,
    )
    return settings.model_copy(update={"risk": risk, "protections": ()})


if __name__ == "__main__":
    main()

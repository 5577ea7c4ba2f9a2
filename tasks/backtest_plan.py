"""What a backtest is asked, and what that means for the desk's settings, the screen's terms and the signals.

Kept apart from what reads and keeps backtests: a process that plays parts of a sweep needs no database.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path

import polars as pl

from desk.errors import ConfigError
from desk.research.screen import Terms
from desk.research.shares import eras
from desk.strategy_trouble import trouble_of
from schemas.account import Split
from schemas.research import NO_COSTS, Costs, Engine, Size, SizeKind
from schemas.settings import EntryOrder, Settings, StrategySettings
from schemas.signals import checked_signals, checked_targets
from strategies.base import Strategy

HUGE = Decimal(10) ** 12  # a limit no account reaches
CASH_DEFAULT = Decimal(100_000)
SIZE_DEFAULT = Size(kind=SizeKind.EQUITY, amount=Decimal("0.1"))


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktestPlan:
    """What a person asked for."""

    strategy: str  # a name, path/to/mine.py:MyIdea, or package.module:MyIdea
    bars: Path | None = None  # None: the warehouse
    actions: Path | None = None  # splits and dividends of raw bars; None: the bars are adjusted
    symbols: tuple[str, ...] = ()  # none: all that have bars
    start: date | None = None
    end: date | None = None  # included
    params: tuple[str, ...] = ()  # name=value
    size: Size | None = None
    costs: Costs = NO_COSTS
    gate: bool = True
    as_live: bool = False
    close_out: bool | None = None  # None: as the mode has it
    cash: Decimal = CASH_DEFAULT
    engine: Engine = Engine.EXACT
    skips: bool = True
    seed: int = 0


def settings_of(plan: BacktestPlan, settings: Settings, strategy: Strategy) -> Settings:
    """Give the settings the desk runs by; symbols of files are not held to Alpaca's alphabet."""
    known = next((each for each in settings.strategies if each.name in (plan.strategy, strategy.name)), None)
    base = known if known is not None else StrategySettings(name=strategy.name)
    size = plan.size if plan.size is not None or plan.as_live else base.size or SIZE_DEFAULT
    mine = base.model_copy(
        update={
            "name": strategy.name,
            "symbols": strategy.symbols,
            "params": dict(strategy.checked.model_dump()),
            "size": size,
        }
    )
    session = settings.session
    if not plan.as_live:
        session = session.model_copy(
            update={"entry_order": EntryOrder.MARKET, "entry_ttl_minutes": None, "close_out": False}
        )
    if plan.close_out is not None:
        session = session.model_copy(update={"close_out": plan.close_out})
    holds = not session.close_out and (session.overnight or not plan.as_live)
    session = session.model_copy(update={"overnight": holds})
    changes: dict[str, object] = {"symbols": strategy.symbols, "strategies": (mine,), "session": session}
    if not plan.gate:
        changes["protections"] = ()
        changes["risk"] = settings.risk.model_copy(
            update={
                "daily_loss_usd": HUGE,
                "weekly_loss_usd": HUGE,
                "drawdown_max_frac": HUGE,
                "allow_short": True,
            }
        )
    return settings.model_copy(update=changes)


def said_by(strategy: Strategy, bars: pl.DataFrame, splits: Sequence[Split] = ()) -> pl.DataFrame:
    """Ask a strategy of all bars, each day in the shares of that day.

    Raises:
        ConfigError: it raised, or said what is no signal.
    """
    try:
        if not splits:
            return checked_signals(strategy.signals(bars))
        said = [
            checked_signals(strategy.signals(shown)).filter(counts) for shown, counts in eras(bars, splits)
        ]
        return pl.concat(said).sort("symbol", "ts")
    except Exception as error:  # a user's strategy may raise anything; whose it is stands in the words
        raise ConfigError(f"strategy {strategy.name}: {trouble_of(strategy, error)}") from error


def targets_by(strategy: Strategy, bars: pl.DataFrame) -> pl.DataFrame:
    """Ask a strategy of all bars for symbol, ts and target alone; they are its own, sorted by (symbol, ts).

    Raises:
        ConfigError: it raised, or said what is no signal.
    """
    try:
        return checked_targets(strategy.targets(bars))
    except Exception as error:  # as in `said_by`
        raise ConfigError(f"strategy {strategy.name}: {trouble_of(strategy, error)}") from error


def terms_of(plan: BacktestPlan, settings: Settings) -> Terms:
    """Give what the screen plays by; the settings are those of `settings_of`."""
    chosen = settings.strategies[0]
    return Terms(
        size=chosen.size,
        session=settings.session,
        costs=plan.costs,
        exits=chosen.exits,
        cash=plan.cash,
        gate=plan.gate,
        allow_short=settings.risk.allow_short,
        allow_fractional=settings.risk.allow_fractional,
        actions=plan.actions is not None,
    )

"""Generated cases played by the exact engine."""

import random
from dataclasses import replace
from decimal import Decimal

import polars as pl

from desk.research.engine import Plan, Played, play
from desk.research.reel import Reel
from schemas.protections import CoolDown, LowProfit, MaxDrawdown, Protection, StopGuard
from schemas.risk import ProtectionScope, RiskLimits
from schemas.settings import EntryOrder, ExitsAt, ExitSettings, SessionSettings, Settings, StrategySettings
from schemas.signals import SIGNAL_SCHEMA
from tests.desk.research.cases import Case

NAME = "generated"
HUGE = Decimal(10) ** 12


class Told:
    """A strategy whose opinions are known already."""

    name = NAME
    warm_up = 0

    def __init__(self, symbols: tuple[str, ...]) -> None:
        self.symbols = symbols

    def signals(self, bars: pl.DataFrame) -> pl.DataFrame:
        raise AssertionError("opinions are computed once, before the backtest")


def settings_of(case: Case, symbols: tuple[str, ...]) -> Settings:
    """Give the settings of a desk without limits that trades a case."""
    options = case.options
    exits = None
    if options.stop_frac is not None or options.target_frac is not None:
        exits = ExitSettings(stop_frac=options.stop_frac, target_frac=options.target_frac, at=ExitsAt.DESK)
    return Settings(
        symbols=symbols,
        strategies=(
            StrategySettings(name=NAME, symbols=symbols, size=options.size, exits=exits, allocation_frac=1),
        ),
        session=SessionSettings(
            entry_order=EntryOrder.MARKET,
            entry_ttl_minutes=None,
            close_out=options.close_out,
            close_out_minutes=options.close_out_minutes,
            no_entry_minutes=options.no_entry_minutes,
            overnight=not options.close_out,
        ),
        protections=(),
        risk=RiskLimits(
            daily_loss_usd=HUGE,
            weekly_loss_usd=HUGE,
            drawdown_max_frac=1,
            position_shares_max=HUGE,
            position_notional_max_usd=HUGE,
            position_equity_frac=4,
            order_notional_max_usd=HUGE,
            gross_max_usd=HUGE,
            net_max_usd=HUGE,
            orders_per_day=1_000_000,
            orders_per_minute=1_000,
            price_collar_frac=1,
            stale_after_s=10**9,
            allow_short=options.allow_short,
        ),
    )


def said_of(case: Case) -> dict[str, pl.DataFrame]:
    """Give a case's levels as its strategy's signals."""
    closes = case.bars.select("symbol", "ts", pl.col("close").alias("price"))
    said = case.levels.join(closes, on=["symbol", "ts"], how="left").with_columns(
        strategy=pl.lit(NAME), reason=pl.lit("")
    )
    return {NAME: said.select(pl.col(n).cast(t) for n, t in SIGNAL_SCHEMA.items()).sort("symbol", "ts")}


def plan_of(case: Case, **how: object) -> Plan:
    """Give a case's plan."""
    reel = Reel(case.bars)
    return Plan(
        settings=settings_of(case, reel.symbols),
        reel=reel,
        said=said_of(case),
        strategies=(Told(reel.symbols),),  # type: ignore[arg-type]
        cash=case.options.cash,
        costs=case.options.costs,
        **how,  # type: ignore[arg-type]
    )


def protected(case: Case) -> Plan:
    """Give a case's plan under protections and a daily limit that its small profits and losses reach."""
    chance = random.Random(case.seed)
    scope = chance.choice(list(ProtectionScope))
    every: list[Protection] = [
        LowProfit(
            trades=chance.randint(1, 3),
            within_minutes=chance.choice((3, 17, 61, 1440)),
            required_usd=Decimal(chance.choice((-5, 0, 1, 20))),
            pause_minutes=chance.choice((2, 30, 90)),
            scope=scope,
        ),
        CoolDown(loss_usd=Decimal(chance.choice((1, 50))), pause_minutes=chance.choice((1, 20)), scope=scope),
        StopGuard(stops=1, within_minutes=30, pause_minutes=chance.choice((5, 60)), scope=scope),
        MaxDrawdown(
            max_frac=Decimal(chance.choice(("0.00003", "0.0004"))),
            within_minutes=chance.choice((45, 1440)),
            pause_minutes=chance.choice((15, 1051)),
        ),
    ]
    plan = plan_of(case)
    risk = plan.settings.risk.model_copy(update={"daily_loss_usd": Decimal(chance.choice((300, 10**6)))})
    kept = {"protections": tuple(each for each in every if chance.random() < 0.6), "risk": risk}
    return replace(plan, settings=plan.settings.model_copy(update=kept))


def played(case: Case, **how: object) -> Played:
    """Play a case."""
    return play(plan_of(case, **how))

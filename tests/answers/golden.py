"""Scenarios whose every order is pinned (LEAN's habit), played by the exact engine.

Renew golden_orders.json, after reading what changed and why, with:

    python -m tests.answers.golden
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from itertools import zip_longest
from pathlib import Path
from typing import Any

import polars as pl

from desk.exchange.generated import GeneratedMarket
from desk.hours import session_hours, sessions_between
from desk.research.engine import Plan, play
from desk.research.reel import Reel
from schemas.events import OrderPlanned
from schemas.orders import OrderIntent
from schemas.protections import CoolDown
from schemas.research import ALPACA_COSTS, NO_COSTS, Costs, Size, SizeKind
from schemas.risk import ProtectionScope, RiskLimits
from schemas.settings import EntryOrder, ExitsAt, ExitSettings, SessionSettings, Settings, StrategySettings
from tasks.strategy_source import make_strategy

PINNED = Path(__file__).parent / "golden_orders.json"
SYMBOLS = ("AAPL", "MSFT")
MONDAY, WEDNESDAY = date(2025, 11, 24), date(2025, 11, 26)
EARLY_CLOSE = date(2025, 11, 28)
HALT_FROM, HALT_MINUTES = (
    92,
    40,
)  # without bars, in minutes after the open: it is held, and to be left
RESEARCH: Mapping[str, object] = {"entry_order": EntryOrder.MARKET, "entry_ttl_minutes": None}


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A day or a few, an idea or two, and the rules they meet."""

    ideas: Mapping[str, Mapping[str, object]]  # by strategy: its parameters
    first: date = WEDNESDAY
    last: date = WEDNESDAY
    seed: int = 3
    costs: Costs = ALPACA_COSTS
    gate: bool = True
    size: Size | None = None
    exits: ExitSettings | None = None
    session: Mapping[str, object] = field(default_factory=dict)
    risk: Mapping[str, object] = field(default_factory=dict)
    more: Mapping[str, object] = field(default_factory=dict)  # of the settings
    halted: str | None = None  # a symbol that does not trade for a while


def shares(count: int) -> Size:
    """Size entries in shares."""
    return Size(kind=SizeKind.SHARES, amount=Decimal(count))


SMA: Mapping[str, Mapping[str, object]] = {"sma_crossover": {"fast": 10, "slow": 30, "band_bps": 2.0}}
SCENARIOS: Mapping[str, Scenario] = {
    "sma crossover as live": Scenario(ideas=SMA),
    "two ideas on an early close": Scenario(
        ideas={"vwap_mean_reversion": {}, "opening_range": {}}, first=EARLY_CLOSE, last=EARLY_CLOSE
    ),
    "opening range over three sessions": Scenario(ideas={"opening_range": {}}, first=MONDAY),
    "rsi short and long": Scenario(
        ideas={"rsi": {"allow_short": True}}, risk={"allow_short": True}, first=MONDAY
    ),
    "bollinger by notional": Scenario(
        ideas={"bollinger": {}}, size=Size(kind=SizeKind.NOTIONAL, amount=Decimal(7_500))
    ),
    "sma crossover held over nights without costs": Scenario(
        ideas=SMA,
        first=MONDAY,
        last=EARLY_CLOSE,
        costs=NO_COSTS,
        size=shares(50),
        session={**RESEARCH, "close_out": False, "overnight": True},
    ),
    "stop and target resting at the broker": Scenario(
        ideas=SMA, exits=ExitSettings(stop_frac=Decimal("0.003"), target_frac=Decimal("0.004"))
    ),
    "trail watched by the desk": Scenario(
        ideas=SMA, exits=ExitSettings(trail_frac=Decimal("0.002"), at=ExitsAt.DESK)
    ),
    "partial fills": Scenario(
        ideas=SMA, costs=ALPACA_COSTS.model_copy(update={"participation": Decimal("0.0005")})
    ),
    "two bars of latency": Scenario(
        ideas=SMA, costs=ALPACA_COSTS.model_copy(update={"latency_bars": 2}), session=RESEARCH
    ),
    "a halt": Scenario(ideas=SMA, halted="AAPL"),
    "a tight gate": Scenario(ideas=SMA, risk={"gross_max_usd": Decimal(30_000)}),
    "two ideas on the same symbols": Scenario(ideas={**SMA, "vwap_mean_reversion": {}}),
    "a daily loss limit": Scenario(ideas=SMA, risk={"daily_loss_usd": Decimal(60)}, first=MONDAY),
    "a cool-down after losses": Scenario(
        ideas=SMA,
        more={
            "protections": (
                CoolDown(name="cool", scope=ProtectionScope.SYMBOL, loss_usd=Decimal(10), pause_minutes=60),
            )
        },
    ),
    "fractions of a share": Scenario(
        ideas={"vwap_mean_reversion": {}},
        first=MONDAY,
        risk={"allow_fractional": True},
        size=Size(kind=SizeKind.EQUITY, amount=Decimal("0.1")),
    ),
    "commission, slippage and no gate": Scenario(
        ideas=SMA,
        gate=False,
        costs=Costs(
            slippage_bps=Decimal(1), commission_per_share=Decimal("0.005"), commission_min=Decimal(1)
        ),
        session={**RESEARCH, "close_out": False},
        size=Size(kind=SizeKind.EQUITY, amount=Decimal("0.2")),
    ),
}


def settings_of(scenario: Scenario) -> Settings:
    """Give the settings of a scenario's desk."""
    share = Decimal("0.5") / len(scenario.ideas)
    return Settings(
        symbols=SYMBOLS,
        strategies=tuple(
            StrategySettings(
                name=name,
                symbols=SYMBOLS,
                params=dict(params),
                allocation_frac=share,
                size=scenario.size,
                exits=scenario.exits,
            )
            for name, params in scenario.ideas.items()
        ),
        session=SessionSettings.model_validate({"slots": 2, **scenario.session}),
        risk=RiskLimits.model_validate(dict(scenario.risk)),
        **scenario.more,  # type: ignore[arg-type]
    )


def bars_of(scenario: Scenario) -> pl.DataFrame:
    """Give a scenario's market."""
    market = GeneratedMarket(scenario.seed, SYMBOLS)
    days = [hours.session_date for hours in sessions_between(scenario.first, scenario.last)]
    if scenario.last not in days:
        days.append(scenario.last)
    bars = pl.concat(market.frame(day) for day in days).sort("symbol", "ts")
    if scenario.halted is None:
        return bars
    hours = session_hours(scenario.first)
    assert hours is not None, "a scenario begins on a session"
    since = (pl.col("ts") - hours.opens_at).dt.total_minutes()
    is_halted = since.is_between(HALT_FROM, HALT_FROM + HALT_MINUTES, closed="left")
    return bars.filter(~((pl.col("symbol") == scenario.halted) & is_halted))


def outcome(scenario: Scenario) -> dict[str, Any]:
    """Play a scenario; give its orders in words and hashed, its fills, denials, and the cash at the end."""
    bars = bars_of(scenario)
    ideas = tuple(make_strategy(name, SYMBOLS, params) for name, params in scenario.ideas.items())
    played = play(
        Plan(
            settings=settings_of(scenario),
            reel=Reel(bars),
            said={idea.name: idea.signals(bars).sort("symbol", "ts") for idea in ideas},
            strategies=ideas,
            costs=scenario.costs,
            gate=scenario.gate,
            keeps=True,
        )
    )
    assert played.journal is not None, "the exact engine has one"
    planned = [event.intent for event in played.journal.events() if isinstance(event, OrderPlanned)]
    return {
        "orders_hash": played.orders_hash,
        "fills": played.fills.height,
        "denials": dict(sorted(played.denials.items())),
        "cash": f"{played.cash:f}",
        "orders": [words_of(intent) for intent in planned],
    }


def words_of(intent: OrderIntent) -> str:
    """Give an order in one short line; its id has strategy, date, symbol and minute."""
    prices = [
        f"{word} {price:f}"
        for word, price in (
            ("limit", intent.limit_price),
            ("stop", intent.stop_price),
            ("stop loss", intent.stop_loss_price),
            ("trail %", intent.trail_percent),
        )
        if price is not None
    ]
    order = f"{intent.client_order_id} {intent.side.value} {intent.qty:f} {intent.order_type.value}"
    return " ".join([order, intent.time_in_force.value, *prices])


def first_difference(pinned: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """Name the first order in which two outcomes differ, else what else does; empty where nothing does."""
    pairs = zip_longest(pinned["orders"], found["orders"], fillvalue="nothing")
    for number, (was, now) in enumerate(pairs, start=1):
        if was != now:
            return f"order {number} was pinned as\n  {was}\nand is now\n  {now}"
    others = [
        f"{name} {pinned[name]} pinned, now {found[name]}" for name in pinned if pinned[name] != found[name]
    ]
    return "; ".join(others)


def pinned() -> dict[str, dict[str, Any]]:
    """Read what is pinned."""
    found: dict[str, dict[str, Any]] = json.loads(PINNED.read_text(encoding="utf-8"))
    return found


def renew() -> None:
    """Pin every scenario as it is played now."""
    found = {name: outcome(scenario) for name, scenario in SCENARIOS.items()}
    PINNED.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    renew()

"""Small makers for the risk tests: a quiet book on 2026-11-20 that allows a plain entry."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl

from desk.eligibility import GateView
from desk.exposure import WorkingOrder
from desk.sizer import SizingView, exit_intent
from schemas.account import Asset, BrokerAccount, SessionHours
from schemas.orders import OrderIntent, OrderState, OrderType, Purpose, Side, TimeInForce
from schemas.risk import RiskLimits, TradingState
from schemas.signals import SIGNAL_SCHEMA

D = Decimal
DAY = date(2026, 11, 20)
OPENS = datetime(2026, 11, 20, 14, 30, tzinfo=UTC)
SESSION = SessionHours(
    session_date=DAY, opens_at=OPENS, closes_at=OPENS + timedelta(minutes=390), early_close=False
)
BAR_TS = OPENS + timedelta(minutes=30)
NOW = BAR_TS + timedelta(minutes=1, seconds=2)
SYMBOLS = ("AAPL", "MSFT", "SPY")
PRICES = {"AAPL": D("200.00"), "MSFT": D("400.00"), "SPY": D("600.00")}
LIMITS = RiskLimits()
# Limits so wide that only the rule under test can refuse.
WIDE = RiskLimits(
    position_shares_max=D("1e9"),
    position_notional_max_usd=D("1e12"),
    position_equity_frac=D(4),
    order_notional_max_usd=D("1e12"),
    gross_max_usd=D("1e12"),
    net_max_usd=D("1e12"),
    allow_short=True,
    allow_fractional=True,
)


def asset(symbol: str, **changes: Any) -> Asset:
    """Give a tradable, shortable and fractionable asset."""
    made = Asset(
        symbol=symbol,
        tradable=True,
        fractionable=True,
        shortable=True,
        marginable=True,
        easy_to_borrow=True,
        status="active",
        exchange="NASDAQ",
    )
    return made.model_copy(update=changes)


def account(**changes: Any) -> BrokerAccount:
    """Give a margin account of 100,000 USD."""
    made = BrokerAccount(
        equity=D(100_000),
        last_equity=D(100_000),
        cash=D(100_000),
        buying_power=D(400_000),
        multiplier=4,
        accrued_fees=D(0),
        trading_blocked=False,
        account_blocked=False,
        trade_suspended_by_user=False,
        shorting_enabled=True,
        status="ACTIVE",
    )
    return made.model_copy(update=changes)


def gate_view(**changes: Any) -> GateView:
    """Give a flat book, half an hour into the session, with fresh bars."""
    made = GateView(
        now=NOW,
        session=SESSION,
        no_entry_at=SESSION.closes_at - timedelta(minutes=15),
        state=TradingState.ACTIVE,
        latches=frozenset(),
        daily_pnl=D(0),
        positions={},
        working=(),
        prices=PRICES,
        newest_bar_ts=dict.fromkeys(SYMBOLS, BAR_TS),
        suspect=frozenset(),
        assets={symbol: asset(symbol) for symbol in SYMBOLS},
        account=account(),
        orders_today=0,
        entries_this_minute=0,
        known_ids=frozenset(),
        broken=frozenset(),
        day_trades=0,
    )
    return replace(made, **changes)


def entry(symbol: str = "AAPL", qty: str = "10", side: Side = Side.BUY, **changes: Any) -> OrderIntent:
    """Give a limit entry at the last price."""
    price = PRICES.get(symbol, D(100))
    made = OrderIntent(
        client_order_id=f"mqd-demo-20261120-{symbol}-1500-n0",
        correlation_id=f"demo/{symbol}/{BAR_TS.isoformat()}",
        strategy="demo",
        symbol=symbol,
        side=side,
        qty=D(qty),
        order_type=OrderType.LIMIT,
        time_in_force=TimeInForce.DAY,
        limit_price=price,
        purpose=Purpose.ENTRY,
        reference_price=price,
        bar_ts=BAR_TS,
        session_date=DAY,
    )
    return made.model_copy(update=changes)


def leave(symbol: str = "AAPL", position: str = "10", attempt: int = 0, **changes: Any) -> OrderIntent:
    """Give the market exit of a signed position."""
    made = exit_intent(
        strategy="demo",
        symbol=symbol,
        position=D(position),
        price=PRICES.get(symbol, D(100)),
        bar_ts=BAR_TS,
        session_date=DAY,
        attempt=attempt,
        reason="test",
    )
    return made.model_copy(update=changes)


def works(
    intent: OrderIntent, *, remaining: str | None = None, state: OrderState = OrderState.SUBMITTED
) -> WorkingOrder:
    """Give an intent as an order at the broker, under an id of its own."""
    placed = intent.model_copy(update={"client_order_id": f"earlier-{intent.client_order_id}"})
    return WorkingOrder(placed, intent.qty if remaining is None else D(remaining), state)


def sizing_view(**changes: Any) -> SizingView:
    """Give a flat book of 100,000 USD for one strategy with a quarter of it in four slots."""
    made = SizingView(
        now=NOW,
        session=SESSION,
        bar_ts=BAR_TS,
        equity=D(100_000),
        own_equity=D(100_000),
        prices=PRICES,
        positions={},
        working={},
        allocations={"demo": D("0.25")},
        slots=4,
        entry_offset_bps=D(5),
        allow_fractional=False,
        allow_short=False,
        assets={symbol: asset(symbol) for symbol in SYMBOLS},
    )
    return replace(made, **changes)


def signals(levels: Mapping[str, float], *, ts: datetime = BAR_TS, strategy: str = "demo") -> pl.DataFrame:
    """Give one signal row per symbol."""
    rows = [
        {
            "strategy": strategy,
            "symbol": symbol,
            "ts": ts,
            "target": target,
            "price": float(PRICES.get(symbol, D(100))),
            "reason": "test",
        }
        for symbol, target in levels.items()
    ]
    return pl.DataFrame(rows, schema=SIGNAL_SCHEMA)


FRESH = entry()
HELD = {"AAPL": D(10)}


def limits(**changes: Any) -> RiskLimits:
    """Give the wide limits with one of them narrowed."""
    return WIDE.model_copy(update=changes)

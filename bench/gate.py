"""How long the gate takes to judge one entry: 100 positions held, 50 orders working, all rules.

Run by `python -m bench`; the goal is issue 2's: under 1 ms at the 99th percentile.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from time import perf_counter

from desk.exposure import WorkingOrder
from desk.gate import GateView, review
from schemas.account import Asset, BrokerAccount, SessionHours
from schemas.orders import Approval, OrderIntent, OrderState, OrderType, Purpose, Side, TimeInForce
from schemas.risk import RiskLimits, TradingState

POSITIONS = 100
WORKING = 50
ROUNDS = 2_000  # the 99th percentile then stands on twenty samples
GOAL_MS = 1.0

DAY = date(2026, 11, 20)
OPENS = datetime(2026, 11, 20, 14, 30, tzinfo=UTC)
BAR_TS = OPENS + timedelta(minutes=30)
PRICE = Decimal("123.45")
SYMBOLS = tuple(f"S{number:03d}" for number in range(POSITIONS + WORKING + 1))
WIDE = Decimal("1e12")


def run() -> list[dict[str, object]]:
    """Measure `review` and give one row per figure: name, value, unit, goal."""
    view, intent, limits = _view(), _entry(SYMBOLS[-1], number=WORKING), _limits()
    assert isinstance(review(intent, view, limits), Approval), "the slowest answer is a yes"
    seconds = sorted(_timed(intent, view, limits) for _ in range(ROUNDS))
    book = f"{POSITIONS} positions, {WORKING} working orders"
    return [
        _row(f"gate review p50, {book}", seconds[len(seconds) // 2], goal=None),
        _row(f"gate review p99, {book}", seconds[len(seconds) * 99 // 100], goal=GOAL_MS),
    ]


def _timed(intent: OrderIntent, view: GateView, limits: RiskLimits) -> float:
    start = perf_counter()
    review(intent, view, limits)
    return perf_counter() - start


def _row(name: str, seconds: float, *, goal: float | None) -> dict[str, object]:
    return {"name": name, "value": round(seconds * 1000, 3), "unit": "ms", "goal": goal}


def _limits() -> RiskLimits:
    return RiskLimits(gross_max_usd=WIDE, net_max_usd=WIDE)


def _view() -> GateView:
    working = tuple(_working(SYMBOLS[POSITIONS : POSITIONS + WORKING]))
    return GateView(
        now=BAR_TS + timedelta(seconds=62),
        session=SessionHours(
            session_date=DAY, opens_at=OPENS, closes_at=OPENS + timedelta(minutes=390), early_close=False
        ),
        no_entry_at=OPENS + timedelta(minutes=375),
        state=TradingState.ACTIVE,
        latches=frozenset(),
        daily_pnl=Decimal(-10),
        positions=dict.fromkeys(SYMBOLS[:POSITIONS], Decimal(100)),
        working=working,
        prices=dict.fromkeys(SYMBOLS, PRICE),
        newest_bar_ts=dict.fromkeys(SYMBOLS, BAR_TS),
        suspect=frozenset(),
        assets={symbol: _asset(symbol) for symbol in SYMBOLS},
        account=_account(),
        orders_today=200,
        entries_this_minute=3,
        known_ids=frozenset(order.intent.client_order_id for order in working),
        broken=frozenset(),
        day_trades=None,
    )


def _working(symbols: Iterable[str]) -> Iterable[WorkingOrder]:
    for number, symbol in enumerate(symbols):
        yield WorkingOrder(_entry(symbol, number=number), Decimal(60), OrderState.PARTIALLY_FILLED)


def _entry(symbol: str, *, number: int) -> OrderIntent:
    return OrderIntent(
        client_order_id=f"mqd-bench-20261120-{symbol}-1500-n{number}",
        correlation_id=f"bench/{symbol}/{BAR_TS.isoformat()}",
        strategy="bench",
        symbol=symbol,
        side=Side.BUY,
        qty=Decimal(100),
        order_type=OrderType.LIMIT,
        time_in_force=TimeInForce.DAY,
        limit_price=PRICE,
        purpose=Purpose.ENTRY,
        reference_price=PRICE,
        bar_ts=BAR_TS,
        session_date=DAY,
    )


def _asset(symbol: str) -> Asset:
    return Asset(
        symbol=symbol,
        tradable=True,
        fractionable=True,
        shortable=True,
        marginable=True,
        easy_to_borrow=True,
        status="active",
        exchange="NASDAQ",
    )


def _account() -> BrokerAccount:
    return BrokerAccount(
        equity=Decimal(10_000_000),
        last_equity=Decimal(10_000_000),
        cash=Decimal(10_000_000),
        buying_power=Decimal(40_000_000),
        multiplier=4,
        accrued_fees=Decimal(0),
        trading_blocked=False,
        account_blocked=False,
        trade_suspended_by_user=False,
        shorting_enabled=True,
        status="ACTIVE",
    )

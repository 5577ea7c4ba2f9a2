"""A venue through the desk's ports, what is traded there, and patience for what another thread brings."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl

from desk.exchange.floor import Floor
from desk.exchange.market import FrameMarket
from desk.ports import Broker, Clock, MarketData, TradeUpdates
from schemas.bars import RAW_SCHEMA
from schemas.orders import (
    BrokerOrder,
    OrderClass,
    OrderIntent,
    OrderType,
    Purpose,
    Side,
    TimeInForce,
    TradeUpdate,
)

DAY = date(2025, 11, 26)
OPEN = datetime(2025, 11, 26, 14, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
MINUTES = 60
PRICES = {"AAPL": 100.0, "MSFT": 50.0}
VOLUME = 4000  # a print has a quarter, and one account may take a tenth of that: 100 shares
PER_PRINT = Decimal(100)
PATIENCE_S = 10.0


@dataclass(frozen=True)
class UnderTest:
    """One venue through the desk's ports, and a person's hand at the broker."""

    broker: Broker
    market: MarketData
    clock: Clock
    updates: TradeUpdates
    by_hand: Callable[[str, Side, Decimal], None]
    floor: Floor  # over HTTP it belongs to the server's thread: plain settings, and acts planned with `at`


def flat_market() -> FrameMarket:
    """Give an hour of one price and one volume per symbol; the minute at 5 is missing."""
    rows = [
        (symbol, OPEN + minute * MINUTE, price, price, price, price, VOLUME, price, 40)
        for symbol, price in PRICES.items()
        for minute in range(MINUTES)
        if minute != 5
    ]
    return FrameMarket({DAY: pl.DataFrame(rows, schema=RAW_SCHEMA, orient="row").sort("ts", "symbol")})


def order_of(number: int = 0, **changes: Any) -> OrderIntent:
    """Give an intent: a market buy of one AAPL unless told otherwise."""
    fields: dict[str, Any] = {
        "client_order_id": f"mqd-test-20251126-AAPL-1430-n{number}",
        "correlation_id": "test",
        "strategy": "test",
        "symbol": "AAPL",
        "side": Side.BUY,
        "qty": Decimal(1),
        "order_type": OrderType.MARKET,
        "time_in_force": TimeInForce.DAY,
        "purpose": Purpose.ENTRY,
        "reference_price": Decimal(100),
        "bar_ts": OPEN,
        "session_date": DAY,
    }
    return OrderIntent(**(fields | changes))


def resting(number: int = 0, **changes: Any) -> OrderIntent:
    """Give a buy far below the market."""
    return order_of(number, **({"order_type": OrderType.LIMIT, "limit_price": Decimal("90.01")} | changes))


def bracket(number: int = 0, **changes: Any) -> OrderIntent:
    """Give a buy with a take-profit at 110 and a stop at 90."""
    legs: dict[str, Any] = {
        "order_class": OrderClass.BRACKET,
        "take_profit_price": Decimal(110),
        "stop_loss_price": Decimal(90),
    }
    return order_of(number, **(legs | changes))


def wait_until(true: Callable[[], bool]) -> None:
    """Wait, with patience, for what another thread brings about; in process it is true at once."""
    deadline = time.monotonic() + PATIENCE_S
    pause = threading.Event()
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        pause.wait(0.005)


def drained(updates: TradeUpdates, enough: Callable[[list[TradeUpdate]], bool]) -> list[TradeUpdate]:
    got: list[TradeUpdate] = []

    def arrived() -> bool:
        got.extend(updates.drain())
        return len(got) > 0 and enough(got)

    wait_until(arrived)
    return got


def ids_of(orders: "tuple[BrokerOrder, ...] | list[BrokerOrder]") -> list[str]:
    return [order.client_order_id for order in orders]

"""Alpaca's JSON as recorded, to be bent by the tests."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from desk.adapters.alpaca_broker import AlpacaBroker
from desk.adapters.alpaca_login import Login
from schemas.orders import OrderIntent, OrderType, Purpose, Side, TimeInForce

NOON = datetime(2026, 11, 20, 17, 0, tzinfo=UTC)
CLIENT_ID = "mqd-vwap-20261120-AAPL-1700-n0"


def account_at(url: str, *, read_timeout_s: float = 5.0, attempts: int = 3) -> Login:
    """Give a login at a local server with short limits."""
    return Login(
        api_key="key",
        secret_key="secret",
        paper=True,
        trading_url=url,
        data_url=url,
        stream_url=url.replace("http", "ws") + "/stream",
        feed="iex",
        connect_timeout_s=1.0,
        read_timeout_s=read_timeout_s,
        read_attempts=attempts,
    )


def broker_at(
    url: str, *, read_timeout_s: float = 5.0, attempts: int = 3, sleep: Callable[[float], None] | None = None
) -> AlpacaBroker:
    """Give the real adapter at a local server; pauses are not waited for unless a sleep is given."""
    account = account_at(url, read_timeout_s=read_timeout_s, attempts=attempts)
    return AlpacaBroker(account, sleep=sleep or (lambda seconds: None))


def intent(**changes: Any) -> OrderIntent:
    """Give an entry of 5 AAPL at 187.13."""
    fields: dict[str, Any] = {
        "client_order_id": CLIENT_ID,
        "correlation_id": "vwap/AAPL/2026-11-20T17:00",
        "strategy": "vwap",
        "symbol": "AAPL",
        "side": Side.BUY,
        "qty": Decimal("5"),
        "order_type": OrderType.LIMIT,
        "time_in_force": TimeInForce.DAY,
        "limit_price": Decimal("187.13"),
        "purpose": Purpose.ENTRY,
        "reference_price": Decimal("187.10"),
        "bar_ts": NOON,
        "session_date": date(2026, 11, 20),
    }
    return OrderIntent(**(fields | changes))


def order_json(**changes: Any) -> dict[str, Any]:
    """Give an order as Alpaca's REST writes it."""
    order: dict[str, Any] = {
        "id": "61e69015-8549-4bfd-b9c3-01e75843f47d",
        "client_order_id": CLIENT_ID,
        "created_at": "2026-11-20T17:00:02.418372123Z",
        "updated_at": "2026-11-20T17:00:02.418372123Z",
        "submitted_at": "2026-11-20T17:00:02.402119123Z",
        "filled_at": None,
        "expired_at": None,
        "canceled_at": None,
        "failed_at": None,
        "replaced_at": None,
        "replaced_by": None,
        "replaces": None,
        "asset_id": "b0b6dd9d-8b9b-48a9-ba46-b9d54906e415",
        "symbol": "AAPL",
        "asset_class": "us_equity",
        "notional": None,
        "qty": "5",
        "filled_qty": "0",
        "filled_avg_price": None,
        "order_class": "",
        "order_type": "limit",
        "type": "limit",
        "side": "buy",
        "position_intent": "buy_to_open",
        "time_in_force": "day",
        "limit_price": "187.13",
        "stop_price": None,
        "status": "pending_new",
        "extended_hours": False,
        "legs": None,
    }
    return order | changes


def fill_json(number: int, at: datetime, **changes: Any) -> dict[str, Any]:
    """Give a FILL activity; ids rise with their number."""
    fill: dict[str, Any] = {
        "activity_type": "FILL",
        "id": f"20261120120000{number:03d}::00000000-0000-4000-8000-{number:012d}",
        "type": "partial_fill",
        "price": "187.13",
        "qty": "1",
        "cum_qty": str(number + 1),
        "leaves_qty": "0",
        "side": "buy",
        "symbol": "AAPL",
        "order_id": "61e69015-8549-4bfd-b9c3-01e75843f47d",
        "order_status": "partially_filled",
        "transaction_time": at.isoformat().replace("+00:00", "Z"),
    }
    return fill | changes


def stamp(offset_us: int) -> str:
    """Give an instant so many microseconds after noon, as text."""
    return (
        (NOON + timedelta(microseconds=offset_us)).isoformat(timespec="microseconds").replace("+00:00", "Z")
    )

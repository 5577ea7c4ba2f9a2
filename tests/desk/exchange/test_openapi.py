"""Every answer of the venue against Alpaca's own OpenAPI documents, where they are at hand."""

import json
import os
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from websockets.sync.client import connect

from desk.exchange.server import ExchangeServer
from schemas.orders import Side
from tests.desk.exchange.makers import CLOSE, OPEN, ask_for, at, floor_of

DOCUMENTS = Path(
    os.environ.get("DESK_ALPACA_OPENAPI", Path(__file__).parents[4] / "shared" / "alpaca-openapi")
)
KEYS = {"APCA-API-KEY-ID": "k", "APCA-API-SECRET-KEY": "s"}
# ALPACA.md section 2.2 says 34 and names these 37; the names count.
ACCOUNT_FIELDS = {
    "id", "account_number", "status", "crypto_status", "currency", "buying_power", "regt_buying_power",
    "effective_buying_power", "non_marginable_buying_power", "options_buying_power", "cash",
    "accrued_fees", "portfolio_value", "multiplier", "equity", "last_equity", "long_market_value",
    "short_market_value", "position_market_value", "initial_margin", "maintenance_margin",
    "last_maintenance_margin", "sma", "intraday_adjustments", "pending_reg_taf_fees", "created_at",
    "balance_asof", "trading_blocked", "transfers_blocked", "account_blocked",
    "trade_suspended_by_user", "shorting_enabled", "options_approved_level", "options_trading_level",
    "crypto_tier", "admin_configurations", "user_configurations",
}  # fmt: skip

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        not DOCUMENTS.is_dir(),
        reason="no OpenAPI documents: neither DESK_ALPACA_OPENAPI nor ../shared/alpaca-openapi is there",
    ),
]


def document(name: str) -> dict[str, Any]:
    """Read a document and repair its one rule that refuses every valid FILL."""
    found: dict[str, Any] = json.loads((DOCUMENTS / name).read_text(encoding="utf-8"))
    activities = found["paths"].get("/v2/account/activities/{activity_type}")
    if activities is not None:
        items = activities["get"]["responses"]["200"]["content"]["application/json"]["schema"]["items"]
        items["anyOf"] = items.pop("oneOf")
    return found


@pytest.fixture(scope="module")
def trading() -> dict[str, Any]:
    return document("trading-api.json")


@pytest.fixture(scope="module")
def market_data() -> dict[str, Any]:
    return document("market-data-api.json")


def check(spec: dict[str, Any], verb: str, path: str, answer: httpx.Response) -> Any:
    """Validate an answer against its operation's schema, formats included, and give its body."""
    content = spec["paths"][path][verb]["responses"][str(answer.status_code)].get("content")
    if content is None:
        assert answer.content == b""
        return None
    schema = {**content["application/json"]["schema"], "components": spec["components"]}
    checker = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
    body = answer.json()
    problems = [f"{list(error.absolute_path)}: {error.message}" for error in checker.iter_errors(body)]
    assert problems == []
    return body


@pytest.fixture
def busy() -> Iterator[httpx.Client]:
    """A venue with filled, resting, partly filled and canceled orders, a long, a short and fees."""
    floor = floor_of()
    floor.advance(at(20))
    floor.submit(ask_for(qty="3000", kind="limit", limit="100.01"))
    floor.submit(ask_for("sell", "20", symbol="QQQ"))
    floor.cancel(floor.submit(ask_for(kind="limit", limit="90")).order_id)
    floor.submit(ask_for(qty="1.5", client_order_id="mine"))
    floor.trade_by_hand("SPY", Side.SELL, Decimal(10), None)
    floor.advance(at(40))
    with (
        ExchangeServer(floor) as server,
        httpx.Client(base_url=server.url, headers=KEYS) as client,
    ):
        yield client


def test_reads_of_the_trading_side(busy: httpx.Client, trading: dict[str, Any]) -> None:
    """Account, settings, clock, calendar, assets, orders, positions and activities are as documented."""
    order = busy.get("/v2/orders", params={"status": "all"}).json()[0]
    asset = busy.get("/v2/assets").json()[0]
    for path, real in (
        ("/v2/account", "/v2/account"),
        ("/v2/account/configurations", "/v2/account/configurations"),
        ("/v2/clock", "/v2/clock"),
        ("/v2/calendar", "/v2/calendar?start=2024-08-01&end=2024-12-31T00:00:00Z"),
        ("/v2/assets", "/v2/assets?status=active"),
        ("/v2/assets/{symbol_or_asset_id}", "/v2/assets/SPY"),
        ("/v2/assets/{symbol_or_asset_id}", f"/v2/assets/{asset['id']}"),
        ("/v2/orders", "/v2/orders?status=all"),
        ("/v2/orders/{order_id}", f"/v2/orders/{order['id']}"),
        ("/v2/orders:by_client_order_id", "/v2/orders:by_client_order_id?client_order_id=mine"),
        ("/v2/positions", "/v2/positions"),
        ("/v2/positions/{symbol_or_asset_id}", "/v2/positions/SPY"),
        ("/v2/account/activities", "/v2/account/activities"),
        ("/v2/account/activities/{activity_type}", "/v2/account/activities/FILL"),
    ):
        body = check(trading, "get", path, busy.get(real))
        assert body != []


def test_writes_of_the_trading_side(busy: httpx.Client, trading: dict[str, Any]) -> None:
    """Submitting, cancelling and closing answer as documented."""
    order = {
        "symbol": "SPY",
        "qty": "1",
        "side": "buy",
        "type": "limit",
        "time_in_force": "day",
        "limit_price": "90",
    }
    sent = check(trading, "post", "/v2/orders", busy.post("/v2/orders", json=order))

    check(trading, "delete", "/v2/orders/{order_id}", busy.delete(f"/v2/orders/{sent['id']}"))
    check(trading, "post", "/v2/orders", busy.post("/v2/orders", json=order))
    check(trading, "delete", "/v2/orders", busy.delete("/v2/orders"))
    check(trading, "delete", "/v2/positions/{symbol_or_asset_id}", busy.delete("/v2/positions/QQQ"))
    check(trading, "delete", "/v2/positions", busy.delete("/v2/positions"))


def test_every_kind_of_order_is_as_documented(busy: httpx.Client, trading: dict[str, Any]) -> None:
    """Bracket, oco, trailing stop and an order in USD are posted, nested, listed, and replaced."""
    market = {"symbol": "QQQ", "side": "sell", "type": "market", "time_in_force": "day"}
    bracket = market | {
        "qty": 5,
        "order_class": "bracket",
        "take_profit": {"limit_price": "45"},
        "stop_loss": {"stop_price": "55", "limit_price": "55.5"},
    }
    oco = {
        "symbol": "SPY", "side": "sell", "type": "limit", "time_in_force": "gtc", "qty": "20",
        "order_class": "oco", "take_profit": {"limit_price": "105"}, "stop_loss": {"stop_price": "95"},
    }  # fmt: skip
    trailing = {
        "symbol": "SPY", "side": "sell", "type": "trailing_stop", "time_in_force": "gtc", "qty": "20",
        "trail_percent": 1.5,
    }  # fmt: skip
    usd = {"symbol": "SPY", "side": "buy", "type": "limit", "time_in_force": "day", "notional": "500.25"}

    sent = [
        check(trading, "post", "/v2/orders", busy.post("/v2/orders", json=body))
        for body in (bracket, oco, trailing, usd | {"limit_price": "90"})
    ]
    path = "/v2/orders/{order_id}"
    leg = sent[0]["legs"][1]["id"]
    moved = check(trading, "patch", path, busy.patch(f"/v2/orders/{leg}", json={"stop_price": "54"}))
    trail = check(trading, "patch", path, busy.patch(f"/v2/orders/{sent[2]['id']}", json={"trail": "2"}))
    whole = check(trading, "get", path, busy.get(f"/v2/orders/{sent[1]['id']}", params={"nested": "true"}))
    rolled = check(
        trading, "get", "/v2/orders", busy.get("/v2/orders", params={"status": "all", "nested": True})
    )
    flat = check(trading, "get", "/v2/orders", busy.get("/v2/orders", params={"status": "all"}))

    assert moved["replaces"] == leg
    assert (trail["trail_percent"], trail["trail_price"]) == ("2", None)
    assert [one["group_role"] for one in whole["legs"]] == ["stop_loss"]
    assert len(flat) - len(rolled) == 4  # legs rolled up: two of the bracket, one replaced, one of the oco
    assert sent[3]["qty"] is None


def test_fees_are_documented_activities(busy: httpx.Client, trading: dict[str, Any]) -> None:
    """After the close a FEE stands beside the fills."""
    busy.post("/sim/advance", json={"to": (CLOSE + timedelta(minutes=1)).isoformat()})

    body = check(trading, "get", "/v2/account/activities", busy.get("/v2/account/activities"))

    assert {row["activity_type"] for row in body} == {"FILL", "FEE"}


def test_bars_are_as_documented(busy: httpx.Client, market_data: dict[str, Any]) -> None:
    """Bars and latest bars of one and of several symbols."""
    busy.post("/sim/advance", json={"to": at(601).isoformat()})
    for path, real in (
        (
            "/v2/stocks/bars",
            f"/v2/stocks/bars?symbols=SPY,QQQ&timeframe=1Min&limit=5&start={OPEN:%Y-%m-%dT%H:%M:%SZ}",
        ),
        ("/v2/stocks/{symbol}/bars", "/v2/stocks/SPY/bars?timeframe=1Min"),
        ("/v2/stocks/bars/latest", "/v2/stocks/bars/latest?symbols=SPY"),
        ("/v2/stocks/{symbol}/bars/latest", "/v2/stocks/SPY/bars/latest"),
    ):
        check(market_data, "get", path, busy.get(real))


def test_the_account_has_the_fields_of_2026(busy: httpx.Client) -> None:
    """Exactly the recorded ones: none of the pattern-day-trader fields removed on 2026-07-06."""
    assert set(busy.get("/v2/account").json()) == ACCOUNT_FIELDS


def test_stream_orders_are_documented_orders(busy: httpx.Client, trading: dict[str, Any]) -> None:
    """The order inside every stream event is an Order, without subtag and source."""
    url = str(busy.base_url).replace("http", "ws").rstrip("/") + "/stream"
    schema = {"$ref": "#/components/schemas/Order", "components": trading["components"]}
    checker = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
    with connect(url) as stream:
        stream.send(json.dumps({"action": "auth", "key": "k", "secret": "s"}))
        stream.recv(10)
        stream.send(json.dumps({"action": "listen", "data": {"streams": ["trade_updates"]}}))
        stream.recv(10)
        busy.post("/sim/trade", json={"symbol": "SPY", "side": "buy", "qty": "1"})
        orders = [json.loads(stream.recv(10))["data"]["order"] for _ in range(2)]

    for order in orders:
        assert list(checker.iter_errors(order)) == []
        assert "source" not in order

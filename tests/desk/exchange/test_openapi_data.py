"""Every market data answer and stream message against Alpaca's OpenAPI document, where it is at hand."""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx
import jsonschema
import pytest
from websockets.sync.client import connect

from desk.exchange.server import ExchangeServer, ServerOptions, build_app
from tests.desk.exchange.makers import at, floor_of
from tests.desk.exchange.test_openapi import DOCUMENTS, KEYS, check, document

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        not DOCUMENTS.is_dir(),
        reason="no OpenAPI documents: neither DESK_ALPACA_OPENAPI nor ../shared/alpaca-openapi is there",
    ),
]
MANY = {"symbols": "SPY,QQQ", "limit": "7", "start": "2024-08-27"}
ONE = {"limit": "7", "currency": "USD"}
# The paths as documented, and a request to each that is answered with something.
SERVED: dict[str, tuple[str, dict[str, str]]] = {
    "/v2/stocks/bars": ("/v2/stocks/bars", {**MANY, "timeframe": "1Hour"}),
    "/v2/stocks/bars/latest": ("/v2/stocks/bars/latest", MANY),
    "/v2/stocks/trades": ("/v2/stocks/trades", MANY),
    "/v2/stocks/trades/latest": ("/v2/stocks/trades/latest", MANY),
    "/v2/stocks/quotes": ("/v2/stocks/quotes", MANY),
    "/v2/stocks/quotes/latest": ("/v2/stocks/quotes/latest", {**MANY, "feed": "iex"}),
    "/v2/stocks/auctions": ("/v2/stocks/auctions", MANY),
    "/v2/stocks/snapshots": ("/v2/stocks/snapshots", MANY),
    "/v2/stocks/{symbol}/bars": ("/v2/stocks/SPY/bars", {**ONE, "timeframe": "1Day"}),
    "/v2/stocks/{symbol}/bars/latest": ("/v2/stocks/SPY/bars/latest", ONE),
    "/v2/stocks/{symbol}/trades": ("/v2/stocks/SPY/trades", ONE),
    "/v2/stocks/{symbol}/trades/latest": ("/v2/stocks/SPY/trades/latest", ONE),
    "/v2/stocks/{symbol}/quotes": ("/v2/stocks/SPY/quotes", ONE),
    "/v2/stocks/{symbol}/quotes/latest": ("/v2/stocks/SPY/quotes/latest", ONE),
    "/v2/stocks/{symbol}/auctions": ("/v2/stocks/SPY/auctions", ONE),
    "/v2/stocks/{symbol}/snapshot": ("/v2/stocks/SPY/snapshot", ONE),
    "/v2/stocks/meta/exchanges": ("/v2/stocks/meta/exchanges", {}),
    "/v2/stocks/meta/conditions/{ticktype}": ("/v2/stocks/meta/conditions/trade", {"tape": "B"}),
    "/v1/corporate-actions": ("/v1/corporate-actions", {"start": "2024-08-01", "end": "2024-08-31"}),
}
MESSAGES = {"b": "stock_bar", "u": "stock_bar", "d": "stock_bar", "t": "stock_trade", "q": "stock_quote"}


@pytest.fixture(scope="module")
def market_data() -> dict[str, Any]:
    return document("market-data-api.json")


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    """A venue at 09:42 with a split of each kind behind it."""
    floor = floor_of()
    floor.advance(at(601))
    floor.split("SPY", old=Decimal(1), new=Decimal("1.5"))
    floor.split("QQQ", old=Decimal(10), new=Decimal(1))
    floor.advance(at(721))
    with ExchangeServer(floor) as server, httpx.Client(base_url=server.url, headers=KEYS) as found:
        yield found


@pytest.mark.parametrize("path", sorted(SERVED))
def test_answers_are_as_documented(client: httpx.Client, market_data: dict[str, Any], path: str) -> None:
    """With rows in them, and named properties only where the document has them."""
    real, wanted = SERVED[path]

    body = check(market_data, "get", path, client.get(real, params=wanted))

    rows = [row for name, row in body.items() if name not in ("next_page_token", "symbol", "currency")]
    assert rows
    assert all(rows)


def test_every_stock_path_of_the_document_is_served(market_data: dict[str, Any]) -> None:
    """And none beside them."""
    documented = {path for path in market_data["paths"] if path.startswith("/v2/stocks")}
    app = build_app(floor_of(), ServerOptions())
    served = {getattr(route, "path", "") for route in app.routes}

    assert documented | {"/v1/corporate-actions"} == set(SERVED)
    assert {path for path in served if path.startswith("/v2/stocks")} == documented


def test_stream_messages_are_documented_records(client: httpx.Client, market_data: dict[str, Any]) -> None:
    """A message without its type and symbol is the record REST has."""
    kinds = {}
    url = str(client.base_url).replace("http", "ws").rstrip("/") + "/v2/sip"
    with connect(url) as stream:
        stream.recv(10)
        stream.send(json.dumps({"action": "auth", "key": "k", "secret": "s"}))
        stream.recv(10)
        every = ("bars", "quotes", "trades", "dailyBars", "updatedBars")
        stream.send(json.dumps({"action": "subscribe"} | {name: ["SPY"] for name in every}))
        stream.recv(10)
        client.post("/sim/advance", json={"to": at(781).isoformat()})
        while len(kinds) < 4:
            for message in json.loads(stream.recv(10)):
                kinds[message["T"]] = message

    for kind, message in kinds.items():
        record = {name: value for name, value in message.items() if name not in ("T", "S")}
        schema = {
            "$ref": f"#/components/schemas/{MESSAGES[kind]}",
            "components": market_data["components"],
        }
        checker = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
        assert list(checker.iter_errors(record)) == []

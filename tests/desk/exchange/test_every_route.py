"""Every path and verb the server serves, in every state of a day, against Alpaca's own documents.

The routes are read from the application. A route under /v1 to /v3 that no request here reaches fails the
test, so nothing is served that was not compared with its documented schema.
"""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from starlette.routing import Route

from desk.exchange.server import ExchangeServer, ServerOptions, build_app
from tests.desk.exchange.makers import CLOSE, OPEN, Minute, at, flat, floor_of
from tests.desk.exchange.test_openapi import check, document, pytestmark  # noqa: F401  # skipped together

KEYS = {"APCA-API-KEY-ID": "k", "APCA-API-SECRET-KEY": "s"}
DAY_END = (CLOSE + timedelta(hours=5)).isoformat()
WINDOW = f"timeframe=1Min&start={(OPEN - timedelta(days=1)).strftime('%Y-%m-%dT%H:%M:%SZ')}&limit=20"
SPAN = f"start={(OPEN - timedelta(days=1)).strftime('%Y-%m-%dT%H:%M:%SZ')}&limit=20"

# What is asked in every state: (path as documented, real address). Braces are filled from what there is.
READS = (
    ("/v2/account", "/v2/account"),
    ("/v2/account/configurations", "/v2/account/configurations"),
    ("/v2/account/portfolio/history", "/v2/account/portfolio/history"),
    (
        "/v2/account/portfolio/history",
        "/v2/account/portfolio/history?period=1D&timeframe=1H&cashflow_types=ALL",
    ),
    (
        "/v2/account/portfolio/history",
        "/v2/account/portfolio/history?period=1W&timeframe=15Min&extended_hours=true",
    ),
    ("/v2/account/activities", "/v2/account/activities?direction=asc"),
    ("/v2/account/activities", "/v2/account/activities?category=non_trade_activity"),
    ("/v2/account/activities/{activity_type}", "/v2/account/activities/FILL?page_size=2"),
    ("/v2/account/activities/{activity_type}", "/v2/account/activities/FEE"),
    ("/v2/account/activities/{activity_type}", "/v2/account/activities/DIV"),
    ("/v2/clock", "/v2/clock"),
    ("/v2/calendar", "/v2/calendar?start=2024-08-01&end=2024-12-31T00:00:00Z"),
    ("/v3/clock", "/v3/clock?markets=NYSE,NASDAQ"),
    ("/v3/calendar/{market}", "/v3/calendar/NYSE?start=2024-11-25"),
    ("/v2/assets", "/v2/assets?status=active&attributes="),
    ("/v2/assets/{symbol_or_asset_id}", "/v2/assets/SPY"),
    ("/v2/assets/{symbol_or_asset_id}", "/v2/assets/{asset}"),
    ("/v2/options/contracts", "/v2/options/contracts?underlying_symbols=SPY"),
    (
        "/v2/corporate_actions/announcements",
        "/v2/corporate_actions/announcements?ca_types=Dividend&since=2024-08-01&until=2024-08-31",
    ),
    ("/v2/watchlists", "/v2/watchlists"),
    ("/v2/watchlists:by_name", "/v2/watchlists:by_name?name=mine"),
    ("/v2/watchlists/{watchlist_id}", "/v2/watchlists/{watchlist}"),
    ("/v2/orders", "/v2/orders?status=all&nested=true&limit=500"),
    ("/v2/orders", "/v2/orders?status=all&nested=False&direction=asc&limit=500"),
    ("/v2/orders", "/v2/orders?status=closed&symbols=SPY,QQQ&side=buy"),
    ("/v2/orders/{order_id}", "/v2/orders/{order}?nested=true"),
    ("/v2/orders:by_client_order_id", "/v2/orders:by_client_order_id?client_order_id={client}"),
    ("/v2/positions", "/v2/positions"),
    ("/v2/positions/{symbol_or_asset_id}", "/v2/positions/SPY"),
    ("/v2/stocks/bars", f"/v2/stocks/bars?symbols=SPY,QQQ&{WINDOW}"),
    ("/v2/stocks/{symbol}/bars", f"/v2/stocks/SPY/bars?{WINDOW}"),
    ("/v2/stocks/bars/latest", "/v2/stocks/bars/latest?symbols=SPY,QQQ"),
    ("/v2/stocks/{symbol}/bars/latest", "/v2/stocks/SPY/bars/latest"),
    ("/v2/stocks/snapshots", "/v2/stocks/snapshots?symbols=SPY,QQQ"),
    ("/v2/stocks/{symbol}/snapshot", "/v2/stocks/SPY/snapshot"),
    ("/v2/stocks/trades", f"/v2/stocks/trades?symbols=SPY&{SPAN}"),
    ("/v2/stocks/{symbol}/trades", f"/v2/stocks/SPY/trades?{SPAN}"),
    ("/v2/stocks/trades/latest", "/v2/stocks/trades/latest?symbols=SPY"),
    ("/v2/stocks/{symbol}/trades/latest", "/v2/stocks/SPY/trades/latest"),
    ("/v2/stocks/quotes", f"/v2/stocks/quotes?symbols=SPY&{SPAN}"),
    ("/v2/stocks/{symbol}/quotes", f"/v2/stocks/SPY/quotes?{SPAN}"),
    ("/v2/stocks/quotes/latest", "/v2/stocks/quotes/latest?symbols=SPY"),
    ("/v2/stocks/{symbol}/quotes/latest", "/v2/stocks/SPY/quotes/latest"),
    ("/v2/stocks/auctions", f"/v2/stocks/auctions?symbols=SPY&{SPAN}"),
    ("/v2/stocks/{symbol}/auctions", f"/v2/stocks/SPY/auctions?{SPAN}"),
    ("/v2/stocks/meta/exchanges", "/v2/stocks/meta/exchanges"),
    ("/v2/stocks/meta/conditions/{ticktype}", "/v2/stocks/meta/conditions/trade?tape=A"),
    ("/v1/corporate-actions", "/v1/corporate-actions?symbols=SPY&start=2024-08-01&end=2024-08-31"),
)
# Served, and answered with 404 by design: this venue has none of these things.
NEVER_FOUND = frozenset({"/v2/options/contracts/{}", "/v2/corporate_actions/announcements/{}"})
# Older addresses of documented paths: the same answer.
OLDER = {"/v1beta1/corporate-actions": "/v1/corporate-actions"}


class Walk:
    """Asks a venue and compares each answer with the documents; remembers what was reached."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http
        self.documents = (document("trading-api.json"), document("market-data-api.json"))
        self.reached: set[tuple[str, str]] = set()

    def ask(self, verb: str, path: str, address: str | None = None, **sent: Any) -> Any:
        """Ask; an answer of 2xx has the documented shape, a refusal the shape of refusals."""
        answer = self.http.request(verb, address if address is not None else path, **sent)
        if answer.status_code >= 300:
            body = answer.json()
            assert {"code", "message"} <= set(body), body
            assert list(body) == sorted(body)
            assert answer.status_code in (403, 404, 422), (verb, address, body)
            return None
        (spec,) = (spec for spec in self.documents if path in spec["paths"])
        self.reached.add((verb, plain(path)))
        return check(spec, verb.lower(), path, answer)

    def order(self, **wanted: str | dict[str, str]) -> dict[str, Any]:
        """Send an order that must be taken."""
        body = {
            "symbol": "SPY",
            "qty": "1",
            "side": "buy",
            "type": "market",
            "time_in_force": "day",
            **wanted,
        }
        found = self.ask(
            "POST", "/v2/orders", json={name: value for name, value in body.items() if value != ""}
        )
        assert found is not None, body
        return dict(found)

    def read_all(self, state: str, **names: str) -> set[str]:
        """Read every path; give those that had no answer but a refusal."""
        refused = set()
        for path, address in READS:
            if self.ask("GET", path, address.format(**names)) is None:
                refused.add(path)
        return refused


def plain(path: str) -> str:
    """Give a path with its parameters' names left out."""
    return re.sub(r"\{[^}]*\}", "{}", path)


def served() -> set[tuple[str, str]]:
    """Give every (verb, path) of the application, but HEAD and the venue's own controls."""
    routes = [route for route in build_app(floor_of(), ServerOptions()).routes if isinstance(route, Route)]
    return {
        (verb, plain(route.path))
        for route in routes
        for verb in route.methods or ()
        if verb != "HEAD" and not route.path.startswith("/sim/")
    }


def rising() -> list[Minute]:
    """SPY goes from 100 up by ten cents a minute for an hour, then rests; few shares trade."""
    return [flat(100 + min(place, 60) / 10, volume=4_000) for place in range(390)]


@pytest.fixture
def walk() -> Iterator[Walk]:
    with (
        ExchangeServer(floor_of(rising())) as running,
        httpx.Client(base_url=running.url, headers=KEYS, timeout=30) as http,
    ):
        yield Walk(http)


def advance(walk: Walk, to: datetime) -> None:
    assert walk.http.post("/sim/advance", json={"to": to.isoformat()}).status_code == 200


def test_every_route_in_every_state_of_a_day(walk: Walk) -> None:
    """Before the open, in the session with orders of every kind, after the close, and the next day."""
    watched = walk.ask("POST", "/v2/watchlists", json={"name": "mine", "symbols": ["SPY"]})
    early = walk.order(client_order_id="early")
    names = {
        "asset": walk.ask("GET", "/v2/assets/{symbol_or_asset_id}", "/v2/assets/QQQ")["id"],
        "watchlist": watched["id"],
        "order": early["id"],
        "client": "early",
    }

    # Nothing is held and nothing was printed yet; everything else can be answered.
    market = {path for path, _ in READS if path.startswith("/v2/stocks/")}
    assert walk.read_all("before the open", **names) <= {"/v2/positions/{symbol_or_asset_id}", *market}

    advance(walk, at(80))
    orders(walk)
    advance(walk, at(3600))
    assert walk.read_all("in the session", **names) == set()
    writes(walk, names)
    assert walk.read_all("after the writes", **names) <= {"/v2/positions/{symbol_or_asset_id}"}
    walk.order(qty="3")
    advance(walk, CLOSE + timedelta(minutes=1))
    assert walk.read_all("after the close", **names) == set()
    assert walk.ask("GET", "/v2/account/activities/{activity_type}", "/v2/account/activities/FEE") != []
    advance(walk, OPEN + timedelta(days=1, minutes=3))
    assert walk.read_all("the next day", **names) == set()

    for path, documented in OLDER.items():
        assert walk.http.get(path).json() == walk.http.get(documented).json()
        walk.reached.add(("GET", path))
    for path in NEVER_FOUND:
        assert walk.http.get(path.replace("{}", "x")).status_code == 404
        walk.reached.add(("GET", path))
    assert served() - walk.reached == set()


def orders(walk: Walk) -> None:
    """Send an order of every kind and bring some to every end."""
    walk.order(qty="250", type="limit", limit_price="100.30", client_order_id="partial")
    walk.order(qty="1.5")
    walk.order(qty="", notional="150.25")
    walk.order(symbol="QQQ", side="sell", qty="5")
    walk.order(type="limit", limit_price="90", time_in_force="gtc", extended_hours="")
    walk.order(type="stop", stop_price="150")
    walk.order(type="stop_limit", stop_price="150", limit_price="151")
    walk.order(type="limit", limit_price="90", time_in_force="ioc")
    advance(walk, at(140))
    walk.order(side="sell", type="trailing_stop", trail_percent="5", time_in_force="gtc")
    replaced = walk.order(type="limit", limit_price="91")
    advance(walk, at(141))
    walk.ask(
        "PATCH",
        "/v2/orders/{order_id}",
        f"/v2/orders/{replaced['id']}",
        json={"qty": "2", "limit_price": "92"},
    )
    walk.order(
        qty="2", order_class="bracket", take_profit={"limit_price": "200"}, stop_loss={"stop_price": "80"}
    )


def writes(walk: Walk, names: dict[str, str]) -> None:
    """Use every verb that changes something."""
    by_id, by_name = "/v2/watchlists/{watchlist_id}", "/v2/watchlists:by_name"
    own, named = f"/v2/watchlists/{names['watchlist']}", f"{by_name}?name=mine"
    walk.ask("POST", by_id, own, json={"symbol": "QQQ"})
    walk.ask("PUT", by_id, own, json={"name": "mine", "symbols": ["SPY", "QQQ"]})
    walk.ask("DELETE", f"{by_id}/{{symbol}}", f"{own}/QQQ")
    walk.ask("POST", by_name, named, json={"symbol": "QQQ"})
    walk.ask("PUT", by_name, named, json={"symbols": ["SPY"]})
    for name in ("first", "second"):
        walk.ask("POST", "/v2/watchlists", json={"name": name})
    second = walk.ask("GET", by_name, f"{by_name}?name=second")["id"]
    walk.ask("DELETE", by_name, f"{by_name}?name=first")
    walk.ask("DELETE", by_id, f"/v2/watchlists/{second}")
    walk.ask("PATCH", "/v2/account/configurations", json={"trade_confirm_email": "all"})
    resting = walk.order(type="limit", limit_price="50")
    walk.ask("DELETE", "/v2/orders/{order_id}", f"/v2/orders/{resting['id']}")
    walk.ask("DELETE", "/v2/positions/{symbol_or_asset_id}", "/v2/positions/QQQ?qty=2")
    assert walk.ask("DELETE", "/v2/orders") != []
    advance(walk, at(3660))
    walk.ask("DELETE", "/v2/positions/{symbol_or_asset_id}", "/v2/positions/SPY?percentage=50")
    assert walk.ask("DELETE", "/v2/positions", "/v2/positions?cancel_orders=true") != []
    advance(walk, at(3720))

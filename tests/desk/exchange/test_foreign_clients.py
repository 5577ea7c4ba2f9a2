"""The requests other published Alpaca clients send, byte for byte, over plain HTTP.

Recorded from the clients themselves run against this server: Alpaca's Node SDK 3.1 (axios) and 4.0 (fetch,
generated from Alpaca's OpenAPI documents), the old Python SDK alpaca-trade-api 3.2 (requests), and curl.
"""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from desk.exchange.server import ExchangeServer
from tests.desk.exchange.makers import at, floor_of

KEYS = {"APCA-API-KEY-ID": "k", "APCA-API-SECRET-KEY": "s"}
JSON = {"content-type": "application/json"}
NODE_3 = {"User-Agent": "axios/0.21.4", "Accept": "application/json, text/plain, */*", **KEYS}
NODE_4 = {"User-Agent": "APCA-NODE/4.0.2 Node/20.20.2", "Accept": "*/*", "accept-language": "*", **KEYS}
PYTHON = {"User-Agent": "APCA-TRADE-SDK-PY/3.2.0", "Accept-Encoding": "gzip, deflate", **KEYS}

READS = (
    # Node 3 sends dates as instants, brackets in nothing, and a content type with every GET.
    (NODE_3 | JSON, "/v2/calendar?start=2024-08-01&end=2024-08-31", 22),
    (NODE_3 | JSON, "/v2/orders?status=all&until=2024-08-28T00:00:00.000Z&after=2024-08-27T00:00:00.000Z"
                    "&limit=10&direction=desc&nested=true&symbols=SPY,QQQ", 2),
    (NODE_3 | JSON, "/v2/account/activities?activity_types=FILL&page_size=2", 1),
    (NODE_3 | JSON, "/v2/account/activities?activity_types=FILL,TRANS&after=2024-08-26T00:00:00.000Z", 1),
    (NODE_3 | JSON, "/v2/account/portfolio/history?period=1D&timeframe=1H&extended_hours=true", None),
    (NODE_3 | JSON, "/v2/account/portfolio/history?date_start=2024-08-27T00:00:00.000Z"
                    "&date_end=2024-08-28T00:00:00.000Z&timeframe=1D&extended_hours=false", None),
    (NODE_3 | JSON, "/v1beta1/corporate-actions?start=2024-08-01&end=2024-08-28&symbols[]=SPY&symbols[]=QQQ"
                    "&limit=1000", None),
    # Node 4 encodes what it can and follows the documents to the letter.
    (NODE_4, "/v2/calendar?start=2024-08-01T00%3A00%3A00.000Z&end=2024-08-31T00%3A00%3A00.000Z"
             "&date_type=TRADING", 22),
    (NODE_4, "/v3/clock?markets=NYSE", None),
    (NODE_4, "/v3/calendar/NYSE?start=2024-08-01&end=2024-08-31", None),
    (NODE_4, "/v2/options/contracts?underlying_symbols=AAPL", None),
    (NODE_4, "/v2/assets?status=active&attributes=", 2),
    (NODE_4, "/v2/orders?status=all&limit=10&after=2024-08-27T00%3A00%3A00Z&until=2024-08-28T00%3A00%3A00Z"
             "&direction=desc&nested=true&symbols=SPY%2CQQQ&side=buy&asset_class=us_equity", 2),
    (NODE_4, "/v2/account/activities?activity_types=FILL%2CDIV&direction=asc&page_size=2", 1),
    (NODE_4, "/v2/account/activities?category=trade_activity&date=2024-08-27T00%3A00%3A00.000Z"
             "&after=2024-08-26T00%3A00%3A00.000Z", 1),
    (NODE_4, "/v2/account/activities/FILL?until=2024-08-29T00%3A00%3A00.000Z", 1),
    (NODE_4, "/v2/account/portfolio/history?timeframe=1D&start=2024-08-26T00%3A00%3A00.000Z"
             "&end=2024-08-28T00%3A00%3A00.000Z&cashflow_types=ALL", None),
    (NODE_4, "/v2/corporate_actions/announcements?ca_types=Dividend%2CSplit&since=2024-08-01"
             "&until=2024-08-28&symbol=AAPL", 0),
    # The old Python SDK writes booleans as Python does; a base address with a slash doubles it.
    (PYTHON, "//v2/account", None),
    (PYTHON, "//v2/calendar?start=2024-08-01&end=2024-08-31", 22),
    (PYTHON, "//v2/orders?limit=50&after=2024-08-27T00%3A00%3A00Z&until=2024-08-28&direction=asc&status=all"
             "&nested=True&side=buy&symbols=SPY%2CQQQ", 2),
    (PYTHON, "//v2/account/activities/FILL?after=2024-08-27&direction=asc&page_size=2", 1),
    (PYTHON, "//v2/account/activities?activity_types=FILL%2CDIV&date=2024-08-27T00%3A00%3A00Z", 1),
    (PYTHON, "//v2/account/portfolio/history?period=1D&timeframe=5Min&extended_hours=True", None),
    (PYTHON, "//v2/account/portfolio/history?date_start=2024-08-27&date_end=2024-08-28&timeframe=1D", None),
    # curl, and what a hurried hand types.
    ({"User-Agent": "curl/8.5.0", "Accept": "*/*", **KEYS}, "/v2/account?", None),
    ({"Authorization": "Bearer token"}, "/v2/positions?", 1),
)  # fmt: skip

ORDERS = (
    (NODE_3 | JSON, '{"symbol":"SPY","qty":5,"side":"buy","type":"market","time_in_force":"day"}'),
    (NODE_3 | JSON, '{"symbol":"QQQ","qty":"5","side":"buy","type":"limit","time_in_force":"day",'
                    '"limit_price":"40.5","client_order_id":"js3"}'),
    (NODE_4 | JSON, '{"client_order_id":"js4","limit_price":"40.5","qty":"5","side":"buy","symbol":"QQQ",'
                    '"time_in_force":"day","type":"limit"}'),
    (NODE_4 | JSON, '{"notional":"50","side":"buy","symbol":"SPY","time_in_force":"day","type":"market"}'),
    (NODE_4 | JSON, '{"limit_price":"40","order_class":"bracket","qty":"1","side":"buy","stop_loss":'
                    '{"limit_price":"29","stop_price":"30"},"symbol":"QQQ","take_profit":{"limit_price":"70"},'
                    '"time_in_force":"gtc","type":"limit"}'),
    (PYTHON | JSON, '{"symbol": "SPY", "qty": 1, "side": "sell", "type": "trailing_stop", '
                    '"time_in_force": "gtc", "trail_percent": 1.0}'),
    ({"content-type": "text/plain;charset=UTF-8", **KEYS},
     '{"symbol":"SPY","qty":"1.0","side":"buy","type":"limit","time_in_force":"gtc","limit_price":90,'
     '"extended_hours":false,"stop_price":null,"unknown":{"a":[1]}}'),
)  # fmt: skip


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    """A venue with one fill, one resting order and one position."""
    floor = floor_of()
    floor.advance(at(20))
    with (
        ExchangeServer(floor) as running,
        httpx.Client(base_url=running.url, headers={"Accept": "*/*"}) as client,
    ):
        for text in (ORDERS[0][1], ORDERS[1][1]):
            assert client.post("/v2/orders", content=text, headers=KEYS).status_code == 200
        yield client


@pytest.mark.parametrize(("headers", "address", "rows"), READS)
def test_reads_of_other_clients(
    http: httpx.Client, headers: dict[str, str], address: str, rows: int | None
) -> None:
    """Each is understood: 200, and as many rows as it asks for."""
    # Sent as it is: httpx would join the base address and tidy the path.
    answer = http.send(httpx.Request("GET", f"{str(http.base_url).rstrip('/')}{address}", headers=headers))

    assert answer.status_code == 200, answer.text
    if rows is not None:
        assert len(answer.json()) == rows


@pytest.mark.parametrize(("headers", "text"), ORDERS)
def test_orders_of_other_clients(http: httpx.Client, headers: dict[str, str], text: str) -> None:
    """Numbers or strings, nulls, nesting and unknown fields are taken as they come."""
    body = {**json.loads(text)}
    if "client_order_id" in body:
        text = text.replace(body["client_order_id"], "another")

    answer = http.post("/v2/orders", content=text, headers=headers)

    assert answer.status_code == 200, answer.text
    assert answer.json()["symbol"] == body["symbol"]


def test_node_3_replaces_with_the_id_in_the_body(http: httpx.Client) -> None:
    """Its PATCH repeats `order_id`; the answer is the new order."""
    (resting,) = http.get("/v2/orders?status=open", headers=NODE_3 | JSON).json()
    text = json.dumps({"qty": 6, "order_id": resting["id"]}, separators=(",", ":"))

    answer = http.patch(f"/v2/orders/{resting['id']}", content=text, headers=NODE_3 | JSON)

    assert answer.status_code == 200, answer.text
    assert (answer.json()["qty"], answer.json()["replaces"]) == ("6", resting["id"])


def test_node_3_deletes_with_an_empty_content_type(http: httpx.Client) -> None:
    """`content-type:` with nothing in it, on every DELETE."""
    headers = {**NODE_3, "content-type": ""}
    (resting,) = http.get("/v2/orders", headers=NODE_3).json()

    one = http.delete(f"/v2/orders/{resting['id']}", headers=headers)
    every = http.delete("/v2/orders", headers=headers)
    closed = http.delete("/v2/positions/SPY", headers=headers)
    rest = http.delete("/v2/positions", headers=headers)

    assert [answer.status_code for answer in (one, every, closed, rest)] == [204, 207, 200, 207]


def test_node_4_closes_by_asset_id_and_percentage(http: httpx.Client) -> None:
    """Half of five shares is two and a half."""
    asset = http.get("/v2/assets/SPY", headers=NODE_4).json()["id"]

    closed = http.delete(f"/v2/positions/{asset}?percentage=50", headers=NODE_4)

    assert (closed.status_code, closed.json()["qty"]) == (200, "2.5")


@pytest.mark.parametrize(
    "bodies",
    [
        # Node 3 and the old Python SDK
        ('{"name":"one","symbols":["SPY"]}', '{"symbol":"QQQ"}', '{"name":"two","symbols":["QQQ","SPY"]}'),
        ('{"name": "one", "symbols": null}', '{"symbol": "QQQ"}', '{"name": "two", "symbols": null}'),
    ],
)
def test_watchlists_of_other_clients(http: httpx.Client, bodies: tuple[str, str, str]) -> None:
    """Made, added to, renamed, and taken apart."""

    def sent(verb: str, address: str, text: str | None = None) -> Any:
        answer = http.request(verb, address, content=text, headers=PYTHON | JSON)
        assert answer.status_code in (200, 204), answer.text
        return answer.json() if answer.content else None

    made = sent("POST", "/v2/watchlists", bodies[0])
    sent("POST", f"/v2/watchlists/{made['id']}", bodies[1])
    sent("PUT", f"/v2/watchlists/{made['id']}", bodies[2])
    left = sent("DELETE", f"/v2/watchlists/{made['id']}/QQQ")
    by_name = sent("GET", "/v2/watchlists:by_name?name=two")
    sent("DELETE", f"/v2/watchlists/{made['id']}")

    assert left == by_name
    assert "QQQ" not in [share["symbol"] for share in left["assets"]]
    assert sent("GET", "/v2/watchlists") == []

"""The front door over real sockets: keys in every form, limits, headers, odd requests, our own defects."""

import asyncio
import base64
import http.client
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from desk.exchange.data_plan import DataOptions, Plan
from desk.exchange.door import BODY_MAX, FrontDoor
from desk.exchange.server import ExchangeServer, ServerOptions, build_app
from tests.desk.exchange.makers import OPEN, floor_of

KEYS = {"APCA-API-KEY-ID": "right", "APCA-API-SECRET-KEY": "too"}
STAMPS = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "x-request-id")
ORDER = {"symbol": "SPY", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day"}


@pytest.fixture
def server() -> Iterator[ExchangeServer]:
    """A venue that takes one pair of keys."""
    with ExchangeServer(floor_of(), ServerOptions(key="right", secret="too")) as running:
        yield running


def asked(
    app: Starlette, *paths: str, before: Callable[[int], None] = lambda place: None
) -> list[httpx.Response]:
    """Ask an application in this thread, one path after another."""

    async def ask() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://venue", headers=KEYS) as client:
            found = []
            for place, path in enumerate(paths):
                before(place)
                found.append(await client.get(path))
            return found

    return asyncio.run(ask())


def basic(text: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(text.encode()).decode()}"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (KEYS, 200),
        ({"apca-api-key-id": "right", "apca-api-secret-key": "too"}, 200),
        (basic("right:too"), 200),
        ({"Authorization": "Bearer too"}, 200),
        ({"authorization": "bearer too"}, 200),
        ({}, 401),
        ({"APCA-API-KEY-ID": "right"}, 401),
        ({"APCA-API-KEY-ID": "right", "APCA-API-SECRET-KEY": "wrong"}, 401),
        (basic("right:wrong"), 401),
        (basic("right"), 401),
        ({"Authorization": "Basic ???"}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "Bearer"}, 401),
        ({"Authorization": "Digest too"}, 401),
        ({"APCA-API-KEY-ID": "right", "APCA-API-SECRET-KEY": "wrong", **basic("right:too")}, 401),
    ],
)
@pytest.mark.parametrize("path", ["/v2/account", "/v2/stocks/SPY/bars/latest"])
def test_keys_come_in_three_forms(
    server: ExchangeServer, headers: dict[str, str], status: int, path: str
) -> None:
    """Headers, Basic and Bearer; anything else is 401 in the service's shape, headers included."""
    answer = httpx.get(f"{server.url}{path}", headers=headers)

    if status == 401:
        assert (answer.status_code, answer.json()) == (401, {"message": "unauthorized."})
    else:
        assert answer.status_code != 401
    assert all(name in answer.headers for name in STAMPS)


@pytest.mark.parametrize(
    ("authorization", "status"), [("Bearer token", 200), ("Bearer", 401), ("Basic Og==", 401)]
)
def test_any_key_is_some_key(authorization: str, status: int) -> None:
    """Where no keys are set an OAuth token is enough, an empty one is not."""
    with ExchangeServer(floor_of()) as server:
        answer = httpx.get(f"{server.url}/v2/account", headers={"Authorization": authorization})

    assert answer.status_code == status


def test_trading_and_data_are_limited_apart() -> None:
    """Each has its own count and its own words; the rest of the venue's minute stays refused."""
    with (
        ExchangeServer(floor_of(), ServerOptions(rate_limit=3)) as server,
        httpx.Client(base_url=server.url, headers=KEYS) as client,
    ):
        trading = [client.get("/v2/clock") for _ in range(5)]
        data = [client.get("/v2/stocks/bars/latest", params={"symbols": "SPY"}) for _ in range(4)]
        client.post("/sim/advance", json={"to": OPEN.isoformat()})
        fresh = client.get("/v2/clock")

    assert [answer.status_code for answer in trading] == [200, 200, 200, 429, 429]
    assert trading[3].json() == {"code": 42910000, "message": "rate limit exceeded"}
    assert [answer.headers["X-RateLimit-Remaining"] for answer in trading] == ["2", "1", "0", "0", "0"]
    assert int(trading[0].headers["X-RateLimit-Reset"]) == int(OPEN.timestamp()) - 240
    assert (data[2].status_code, data[3].status_code) == (200, 429)
    assert data[3].json()["message"] == "too many requests."
    assert (fresh.status_code, fresh.headers["X-RateLimit-Limit"]) == (200, "3")


@pytest.mark.parametrize(("plan", "limit"), [(Plan.BASIC, "200"), (Plan.PLUS, "10000")])
def test_the_data_plan_has_its_own_limit(plan: Plan, limit: str) -> None:
    """Where none is enforced the headers of market data tell the plan's, those of trading 200."""
    with (
        ExchangeServer(floor_of(), ServerOptions(data=DataOptions(plan=plan))) as server,
        httpx.Client(base_url=server.url, headers=KEYS) as client,
    ):
        data = client.get("/v2/stocks/bars/latest", params={"symbols": "SPY"}).headers
        trading = client.get("/v2/clock").headers

    assert (data["X-RateLimit-Limit"], trading["X-RateLimit-Limit"]) == (limit, "200")


def test_a_limit_can_be_waited_out() -> None:
    """A minute of ours ends it as well, for a client at a venue that stands still."""
    seconds = [0.0]
    floor = floor_of()
    door = FrontDoor(floor, key=None, secret=None, rate_limit=1, seconds=lambda: seconds[0])

    async def nothing(request: Request) -> Response:
        return Response(status_code=204)

    def wait(place: int) -> None:
        seconds[0] = 60.0 if place == 2 else 0.0

    app = Starlette(routes=door.routes(("GET", "/v2/clock", nothing)))
    answers = asked(app, "/v2/clock", "/v2/clock", "/v2/clock", before=wait)

    assert [answer.status_code for answer in answers] == [204, 429, 204]


def test_a_defect_of_ours_is_json_as_well() -> None:
    """500 with the service's code, and the headers of every answer."""
    floor = floor_of()
    app = build_app(floor, ServerOptions())
    floor.books.holdings = None  # type: ignore[assignment]

    (answer,) = asked(app, "/v2/account")

    assert (answer.status_code, answer.json()["code"]) == (500, 50010000)
    assert all(name in answer.headers for name in STAMPS)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_too_large_is_refused(server: ExchangeServer, chunked: bool) -> None:
    """413 in JSON, declared or in chunks; an order with a long unknown field is still an order."""

    def body(size: int) -> Any:
        text = json.dumps({**ORDER, "note": "x" * size}).encode()
        return iter([text[:1000], text[1000:]]) if chunked else text

    with httpx.Client(base_url=server.url, headers=KEYS) as client:
        good = client.post("/v2/orders", content=body(BODY_MAX // 2))
        bad = client.post("/v2/orders", content=body(BODY_MAX + 1))
        after = client.get("/v2/clock")

    assert good.status_code == 200, good.text
    assert (bad.status_code, bad.json()["code"]) == (413, 41310000)
    assert after.status_code == 200


def test_one_connection_serves_many_requests(server: ExchangeServer) -> None:
    """Keep-alive through answers with and without bodies, refusals, HEAD and chunked bodies."""
    host = server.url.removeprefix("http://")
    connection = http.client.HTTPConnection(host)
    seen = []
    chunks = [json.dumps(ORDER).encode()]
    for verb, path, body in (
        ("GET", "/v2/account", None),
        ("HEAD", "/v2/account", None),
        ("DELETE", "/v2/orders/nobody", None),
        ("POST", "/v2/orders", iter(chunks)),
        ("GET", "/v2/nowhere", None),
        ("PUT", "/v2/orders", b"{}"),
        ("GET", "/v2/clock?", None),
    ):
        connection.request(verb, path, body, KEYS, encode_chunked=verb == "POST")
        answer = connection.getresponse()
        text = answer.read()
        seen.append((verb, answer.status, len(text) > 0))
    connection.close()

    assert seen == [
        ("GET", 200, True),
        ("HEAD", 200, False),
        ("DELETE", 404, True),
        ("POST", 200, True),
        ("GET", 404, True),
        ("PUT", 405, True),
        ("GET", 200, True),
    ]


def test_request_ids_never_repeat(server: ExchangeServer) -> None:
    """Over a hundred answers of every kind."""
    with httpx.Client(base_url=server.url, headers=KEYS) as client:
        ids = [client.get(path).headers["X-Request-ID"] for path in ("/v2/clock", "/v2/nowhere") * 50]

    assert len(set(ids)) == 100


def test_a_base_address_may_end_in_a_slash(server: ExchangeServer) -> None:
    """Slashes that follow one another are one; a slash at the end is another path, and no redirect."""
    double = httpx.get(f"{server.url}//v2//account", headers=KEYS)
    trailing = httpx.get(f"{server.url}/v2/account/", headers=KEYS)

    assert (double.status_code, trailing.status_code) == (200, 404)


def test_a_wrong_verb_names_the_right_ones(server: ExchangeServer) -> None:
    """405 with every verb the path has."""
    answer = httpx.put(f"{server.url}/v2/account/configurations", headers=KEYS, json={})

    assert answer.status_code == 405
    assert set(answer.headers["Allow"].replace(" ", "").split(",")) >= {"GET", "PATCH"}

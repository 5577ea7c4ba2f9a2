"""The venue over real sockets: Alpaca's own client, raw HTTP, the user stream, pace and refusals."""

import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.request import urlopen

import httpx
import pytest
from alpaca.common.exceptions import APIError
from alpaca.data.historical import StockHistoricalDataClient
from alpaca.data.requests import StockBarsRequest, StockLatestBarRequest
from alpaca.data.timeframe import TimeFrame
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import OrderSide, OrderStatus, QueryOrderStatus
from alpaca.trading.enums import TimeInForce as Force
from alpaca.trading.requests import (
    GetCalendarRequest,
    GetOrdersRequest,
    LimitOrderRequest,
    MarketOrderRequest,
)
from alpaca.trading.stream import TradingStream
from websockets.sync.client import connect

from desk.errors import ConfigError
from desk.exchange.server import ExchangeServer, ServerOptions, _server, listen
from tests.desk.exchange.makers import CLOSE, OPEN, at, flat, floor_of

KEYS = {"APCA-API-KEY-ID": "k", "APCA-API-SECRET-KEY": "s"}
PATIENCE_S = 10.0


@pytest.fixture
def server() -> Iterator[ExchangeServer]:
    with ExchangeServer(floor_of()) as running:
        yield running


@pytest.fixture
def http(server: ExchangeServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, headers=KEYS) as client:
        yield client


def advance(server: ExchangeServer, to: datetime) -> None:
    answer = httpx.post(f"{server.control_url}/advance", json={"to": to.isoformat()})
    assert answer.status_code == 200, answer.text
    assert datetime.fromisoformat(answer.json()["now"]) == to


def order_body(**changes: Any) -> dict[str, Any]:
    return {"symbol": "SPY", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day", **changes}


def test_alpacas_client_trades_a_day(server: ExchangeServer) -> None:
    """alpaca-py reads account, clock, calendar, assets and bars, trades, lists, cancels and closes."""
    client = TradingClient("k", "s", url_override=server.url)
    bars = StockHistoricalDataClient("k", "s", url_override=server.url)
    advance(server, at(620))

    bought = client.submit_order(
        MarketOrderRequest(symbol="SPY", qty=10, side=OrderSide.BUY, time_in_force=Force.DAY)
    )
    resting = client.submit_order(
        LimitOrderRequest(symbol="QQQ", qty=2, side=OrderSide.BUY, time_in_force=Force.DAY, limit_price=40.5)
    )
    listed = client.get_orders(GetOrdersRequest(status=QueryOrderStatus.ALL))
    client.cancel_order_by_id(resting.id)
    window = StockBarsRequest(
        symbol_or_symbols=["SPY", "QQQ"], timeframe=TimeFrame.Minute, start=OPEN, limit=None
    )
    history = bars.get_stock_bars(window).data
    latest = bars.get_stock_latest_bar(StockLatestBarRequest(symbol_or_symbols="SPY"))
    position = client.get_open_position("SPY")
    closed = client.close_all_positions(cancel_orders=True)

    account = client.get_account()
    assert (account.multiplier, account.equity) == ("4", "99999.8")
    assert client.get_clock().is_open
    assert len(client.get_calendar(GetCalendarRequest(start=OPEN.date(), end=OPEN.date()))) == 1
    assert [asset.symbol for asset in client.get_all_assets()] == ["QQQ", "SPY"]
    assert [(order.symbol, order.status) for order in listed] == [
        ("QQQ", OrderStatus.NEW),
        ("SPY", OrderStatus.FILLED),
    ]
    assert client.get_order_by_client_id(bought.client_order_id).filled_avg_price == "100.01"
    assert client.get_order_by_id(resting.id).status is OrderStatus.CANCELED
    assert {symbol: len(rows) for symbol, rows in history.items()} == {"QQQ": 10, "SPY": 10}
    assert latest["SPY"].timestamp == at(540)
    assert (position.qty, position.avg_entry_price, position.side.value) == ("10", "100.01", "long")
    assert [answer.symbol for answer in closed] == ["SPY"]
    assert client.get_all_positions() == []
    fills = client.get("/account/activities/FILL", {})
    assert [(fill["side"], fill["price"]) for fill in fills] == [("sell", "99.99"), ("buy", "100.01")]


def test_alpacas_client_reads_refusals(server: ExchangeServer) -> None:
    """Code and message arrive as APIError says them."""
    client = TradingClient("k", "s", url_override=server.url)

    with pytest.raises(APIError) as caught:
        client.submit_order(
            MarketOrderRequest(symbol="NOPE", qty=1, side=OrderSide.BUY, time_in_force=Force.DAY)
        )

    assert (caught.value.status_code, caught.value.code) == (422, 42210000)
    assert caught.value.message == 'asset "NOPE" not found'


def test_alpacas_stream_hears_a_fill(server: ExchangeServer) -> None:
    """TradingStream authenticates, listens and gets the fill with this execution's numbers."""
    stream = TradingStream("k", "s", url_override=server.stream_url)
    heard: list[Any] = []
    done = threading.Event()

    async def hear(update: Any) -> None:
        heard.append(update)
        if update.event == "fill":
            done.set()

    stream.subscribe_trade_updates(hear)
    thread = threading.Thread(target=stream.run, daemon=True)
    thread.start()
    advance(server, at(20))
    deadline = time.monotonic() + PATIENCE_S
    with httpx.Client(base_url=server.url, headers=KEYS) as client:
        while not done.wait(0.05) and time.monotonic() < deadline:
            client.post("/v2/orders", json=order_body())
        stream.stop()
        client.post("/v2/orders", json=order_body())  # an idle stream notices its stop 5 s late
    thread.join(PATIENCE_S)

    fill = next(update for update in heard if update.event == "fill")
    assert (fill.qty, fill.price) == (1.0, 100.01)
    assert fill.order.status is OrderStatus.FILLED
    assert not thread.is_alive()


@pytest.mark.parametrize("path", ["/stream", "/stream/"])
def test_the_stream_speaks_in_binary_json(server: ExchangeServer, path: str) -> None:
    """Before authentication nothing is heard; then authorization, listening and updates come in order."""
    advance(server, at(20))
    with connect(server.stream_url.removesuffix("/stream") + path) as stream:

        def ask(message: dict[str, Any]) -> Any:
            stream.send(json.dumps(message))
            frame = stream.recv(PATIENCE_S)
            assert isinstance(frame, bytes)
            return json.loads(frame)

        early = ask({"action": "listen", "data": {"streams": ["trade_updates"]}})
        let_in = ask({"action": "authenticate", "data": {"key_id": "k", "secret_key": "s"}})
        listening = ask({"action": "listen", "data": {"streams": ["trade_updates"]}})
        httpx.post(f"{server.url}/v2/orders", json=order_body(client_order_id="x"), headers=KEYS)
        updates = [json.loads(stream.recv(PATIENCE_S)) for _ in range(3)]

    assert early == {"stream": "authorization", "data": {"status": "unauthorized", "action": "listen"}}
    assert let_in == {"stream": "authorization", "data": {"status": "authorized", "action": "authenticate"}}
    assert listening == {"stream": "listening", "data": {"streams": ["trade_updates"]}}
    assert [update["data"]["event"] for update in updates] == ["pending_new", "new", "fill"]
    fill = updates[-1]["data"]
    assert (fill["price"], fill["qty"], fill["position_qty"]) == ("100.01", "1", "1")
    assert fill["settle_date"] == "2024-08-28"
    assert fill["execution_id"] in httpx.get(f"{server.url}/v2/account/activities", headers=KEYS).text


def test_wrong_keys_are_refused_where_keys_are_set() -> None:
    """401 with Alpaca's body over HTTP, unauthorized on the stream; the right keys pass."""
    with ExchangeServer(floor_of(), ServerOptions(key="right", secret="too")) as server:
        wrong = httpx.get(f"{server.url}/v2/account", headers=KEYS)
        right = {"APCA-API-KEY-ID": "right", "APCA-API-SECRET-KEY": "too"}
        good = httpx.get(f"{server.url}/v2/account", headers=right)
        with connect(server.stream_url) as stream:
            stream.send(json.dumps({"action": "auth", "key": "right", "secret": "wrong"}))
            answer = json.loads(stream.recv(PATIENCE_S))

    assert (wrong.status_code, wrong.json()) == (401, {"message": "unauthorized."})
    assert good.status_code == 200
    assert answer["data"]["status"] == "unauthorized"


def test_without_keys_nobody_is_let_in(server: ExchangeServer) -> None:
    """Any key is accepted where none are set, but some must be given."""
    assert httpx.get(f"{server.url}/v2/account").status_code == 401


def test_answers_carry_the_rate_limit(http: httpx.Client) -> None:
    """Every answer under /v2 counts down from 200 and has a request id of its own."""
    first, second = http.get("/v2/clock"), http.get("/v2/orders/nobody")

    assert [answer.headers["X-RateLimit-Limit"] for answer in (first, second)] == ["200", "200"]
    remaining = [int(answer.headers["X-RateLimit-Remaining"]) for answer in (first, second)]
    assert remaining == [199, 198]
    assert first.headers["X-Request-ID"] != second.headers["X-Request-ID"]


def test_an_enforced_rate_limit_refuses_the_201st_request() -> None:
    """429 with Alpaca's code, until the venue's next minute."""
    with (
        ExchangeServer(floor_of(), ServerOptions(rate_limit=200)) as server,
        httpx.Client(base_url=server.url, headers=KEYS) as client,
    ):
        codes = [client.get("/v2/clock").status_code for _ in range(201)]
        refused = client.get("/v2/clock")
        advance(server, OPEN)
        later = client.get("/v2/clock").status_code

    assert (codes[199], codes[200], later) == (200, 429, 200)
    assert refused.json() == {"code": 42910000, "message": "rate limit exceeded"}


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (json.dumps(order_body(qty=1)), "text/plain"),
        (json.dumps(order_body(qty="1", surprise=[1])), "application/json"),
        (json.dumps(order_body(qty=1.0, extended_hours="False")), "application/x-www-form-urlencoded"),
    ],
)
def test_orders_are_read_whatever_the_content_type(http: httpx.Client, content: str, kind: str) -> None:
    """Numbers or strings, unknown fields, any content type."""
    answer = http.post("/v2/orders", content=content, headers={"Content-Type": kind})

    assert (answer.status_code, answer.json()["qty"]) == (200, "1")


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [
        ("{", 400, "request body format is invalid"),
        ("[]", 400, "request body format is invalid"),
        (json.dumps(order_body(qty="many")), 422, "invalid qty"),
        (json.dumps(order_body(qty=True)), 422, "invalid qty"),
        (json.dumps(order_body(qty="NaN")), 422, "invalid qty"),
        (
            '{"symbol":"SPY","qty":1e400,"side":"buy","type":"market","time_in_force":"day"}',
            422,
            "invalid qty",
        ),
    ],
)
def test_a_broken_body_is_refused_in_json(http: httpx.Client, content: str, status: int, words: str) -> None:
    """No traceback and no HTML: status, code and message."""
    answer = http.post("/v2/orders", content=content)

    assert answer.status_code == status
    assert words in answer.json()["message"]


def test_refusal_bodies_have_their_keys_in_alphabetical_order(
    server: ExchangeServer, http: httpx.Client
) -> None:
    """As the service writes them, extra fields among them."""
    advance(server, at(20))
    answer = http.post("/v2/orders", json=order_body(qty="4000"))

    assert answer.status_code == 403
    assert list(answer.json()) == ["buying_power", "code", "cost_basis", "message"]


def test_orders_are_listed_by_their_filters(server: ExchangeServer, http: httpx.Client) -> None:
    """Status, symbols, side, direction, limit, and exclusive after and until on submitted_at."""
    advance(server, at(20))
    for place in range(4):
        http.post(
            "/v2/orders",
            json=order_body(type="limit", limit_price=str(90 - place), client_order_id=f"o{place}"),
        )
    http.post("/v2/orders", json=order_body(symbol="QQQ", client_order_id="q"))

    def ids(**wanted: str) -> list[str]:
        return [order["client_order_id"] for order in http.get("/v2/orders", params=wanted).json()]

    stamps = {
        o["client_order_id"]: o["submitted_at"]
        for o in http.get("/v2/orders", params={"status": "all"}).json()
    }
    assert ids() == ["o3", "o2", "o1", "o0"]
    assert ids(status="closed") == ["q"]
    assert ids(status="all", direction="asc", limit="2") == ["o0", "o1"]
    assert ids(status="all", symbols="QQQ,XOM") == ["q"]
    assert ids(after=stamps["o1"], direction="asc") == ["o2", "o3"]
    assert ids(until=stamps["o1"]) == ["o0"]
    assert ids(side="sell") == []
    assert http.get("/v2/orders", params={"status": "odd"}).status_code == 422
    assert http.get("/v2/orders", params={"limit": "501"}).status_code == 422


def test_cancels_answer_204_and_207(server: ExchangeServer, http: httpx.Client) -> None:
    """One cancel is empty, all are a list, none is an empty list."""
    advance(server, at(20))
    one, two = (
        http.post("/v2/orders", json=order_body(type="limit", limit_price="9")).json() for _ in range(2)
    )

    single = http.delete(f"/v2/orders/{one['id']}")
    many = http.delete("/v2/orders")
    none = http.delete("/v2/orders")

    assert (single.status_code, single.content) == (204, b"")
    assert (many.status_code, [row["id"] for row in many.json()]) == (207, [two["id"]])
    assert many.json()[0]["body"]["status"] == "canceled"
    assert (none.status_code, none.json()) == (207, [])


def test_closing_positions(server: ExchangeServer, http: httpx.Client) -> None:
    """Half by percentage, the rest by symbol; held shares refuse; nothing held is 404."""
    advance(server, at(20))
    http.post("/v2/orders", json=order_body(qty="10"))

    half = http.delete("/v2/positions/SPY", params={"percentage": "50"}).json()
    http.post("/v2/orders", json=order_body(qty="5", side="sell", type="limit", limit_price="110"))
    held = http.delete("/v2/positions/SPY")
    all_ = http.delete("/v2/positions", params={"cancel_orders": "True"})
    gone = http.get("/v2/positions/SPY")
    bad = http.delete("/v2/positions", params={"cancel_orders": "maybe"})

    assert (half["qty"], half["side"], half["position_intent"]) == ("5", "sell", "sell_to_close")
    assert (held.status_code, held.json()["code"]) == (403, 40310000)
    assert all_.status_code == 207
    assert [(row["symbol"], "id" in row) for row in all_.json()] == [("SPY", True), ("SPY", False)]
    assert (gone.status_code, gone.json()) == (404, {"code": 40410000, "message": "position does not exist"})
    assert (bad.status_code, bad.json()["code"]) == (422, 40010001)


def test_activities_page_by_the_last_id(server: ExchangeServer, http: httpx.Client) -> None:
    """Pages of two join to the whole without gap or repeat, both ways; fees come at the close."""
    advance(server, at(20))
    for _ in range(5):
        http.post("/v2/orders", json=order_body())
    http.post("/v2/orders", json=order_body(side="sell"))
    advance(server, CLOSE)

    def paged(direction: str) -> list[str]:
        found: list[str] = []
        while page := http.get(
            "/v2/account/activities/FILL",
            params={"page_size": "2", "direction": direction, "page_token": found[-1] if found else ""},
        ).json():
            found += [row["id"] for row in page]
        return found

    whole = [row["id"] for row in http.get("/v2/account/activities/FILL").json()]
    kinds = [row["activity_type"] for row in http.get("/v2/account/activities").json()]
    assert len(whole) == 6
    assert paged("desc") == whole
    assert paged("asc") == whole[::-1]
    assert kinds == ["FEE", *["FILL"] * 6]
    assert whole[0].startswith("20240827093020000::")
    assert http.get("/v2/account/activities", params={"page_size": "101"}).status_code == 422


def test_bars_page_by_symbol_then_time(server: ExchangeServer, http: httpx.Client) -> None:
    """Pages join to the whole; unknown symbols are nothing; bad input is 400."""
    advance(server, at(601))
    wanted = {"symbols": "SPY,QQQ,NOPE", "timeframe": "1Min", "start": OPEN.isoformat()}

    def pages(**more: str) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        token = ""
        while token is not None:
            answer = http.get("/v2/stocks/bars", params={**wanted, **more, "page_token": token}).json()
            found += [(symbol, bar["t"]) for symbol, rows in answer["bars"].items() for bar in rows]
            token = answer["next_page_token"]
        return found

    whole = pages()
    assert len(whole) == 20
    assert whole == sorted(whole)
    assert pages(limit="7") == whole
    assert pages(limit="7", sort="desc") == sorted(whole, key=lambda row: (row[0], [-ord(c) for c in row[1]]))
    single = http.get("/v2/stocks/SPY/bars", params={"timeframe": "1Min", "end": at(60).isoformat()}).json()
    assert [bar["t"] for bar in single["bars"]] == ["2024-08-27T13:30:00Z", "2024-08-27T13:31:00Z"]
    bad = http.get("/v2/stocks/bars", params={**wanted, "limit": "10001"})
    assert bad.status_code == 400
    assert bad.json()["message"] == "invalid limit: larger than the allowed maximum of 10000"
    assert http.get("/v2/stocks/bars", params={**wanted, "page_token": "zzz"}).status_code == 400


def test_a_hand_at_the_venue_makes_a_break(server: ExchangeServer, http: httpx.Client) -> None:
    """/sim/trade changes the account; /sim/fills names it manual; /sim/books adds up."""
    advance(server, at(20))
    done = httpx.post(f"{server.control_url}/trade", json={"symbol": "SPY", "side": "buy", "qty": 7}).json()
    bad = httpx.post(f"{server.control_url}/trade", json={"symbol": "SPY", "side": "buy", "qty": 0})

    fills = httpx.get(f"{server.control_url}/fills").json()
    books = httpx.get(f"{server.control_url}/books").json()
    state = httpx.get(f"{server.control_url}/state").json()
    assert (done["status"], done["source"]) == ("filled", "manual")
    assert [(fill["source"], fill["qty"], fill["price"]) for fill in fills] == [("manual", "7", "100.01")]
    assert (books["positions"], books["cash"]) == ({"SPY": "7"}, "99299.93")
    assert http.get("/v2/positions/SPY").json()["qty"] == "7"
    assert (state["session_date"], state["pace"], state["symbols"]) == (
        "2024-08-27",
        "lockstep",
        ["QQQ", "SPY"],
    )
    assert bad.status_code == 422


def test_a_mistyped_year_does_not_hang_the_venue(server: ExchangeServer) -> None:
    """More than a month in one step is refused, as is an instant that is none."""
    far = httpx.post(f"{server.control_url}/advance", json={"to": "2034-08-27T13:30:00Z"})
    none = httpx.post(f"{server.control_url}/advance", json={})
    odd = httpx.post(f"{server.control_url}/advance", json={"to": "soon"})

    assert [answer.status_code for answer in (far, none, odd)] == [422, 422, 422]


def test_a_paced_venue_plays_by_itself() -> None:
    """At 3,600 times real time an hour passes in a second, and /sim/advance is refused."""
    with ExchangeServer(floor_of(), ServerOptions(pace=3600.0)) as server:
        deadline = time.monotonic() + PATIENCE_S
        now = OPEN - timedelta(days=1)
        while now < OPEN and time.monotonic() < deadline:
            with urlopen(f"{server.control_url}/state") as answer:
                now = datetime.fromisoformat(json.load(answer)["now"])
        refused = httpx.post(f"{server.control_url}/advance", json={"to": CLOSE.isoformat()})

    assert now >= OPEN
    assert (refused.status_code, refused.json()["code"]) == (409, 40910000)


def test_a_taken_port_is_one_clear_line() -> None:
    """The error names address, reason and way out, before anything is started."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use"):
            listen("127.0.0.1", port)


def test_unknown_paths_answer_in_json(http: httpx.Client) -> None:
    """404 and 405 carry a code, the service's words, and the headers of every answer."""
    lost, wrong = http.get("/v2/nowhere"), http.patch("/v2/orders")

    assert (lost.status_code, lost.json()) == (404, {"code": 40410000, "message": "endpoint not found"})
    assert (wrong.status_code, wrong.json()) == (405, {"code": 40510000, "message": "method not allowed"})
    assert wrong.headers["X-RateLimit-Remaining"] == "198"


def test_a_halt_in_the_tape_is_a_silence_not_a_bar() -> None:
    """Over HTTP a missing minute has no row at all."""
    with (
        ExchangeServer(floor_of([flat(100.0), None, flat(101.0)])) as server,
        httpx.Client(base_url=server.url, headers=KEYS) as client,
    ):
        advance(server, at(241))
        rows = client.get("/v2/stocks/SPY/bars", params={"timeframe": "1Min"}).json()["bars"]

    stamps = [datetime.fromisoformat(row["t"]).astimezone(UTC) for row in rows]
    assert stamps == [OPEN, at(120)]


def test_an_upgrade_refused_with_an_answer_is_no_news() -> None:
    """Uvicorn complains of each; every other word of its passes."""
    logger = logging.getLogger("uvicorn.error")
    _server(lambda scope, receive, send: None)  # type: ignore[arg-type,return-value]

    refused, other = (
        logger.makeRecord("uvicorn.error", logging.ERROR, "", 0, words, (), None)
        for words in ("ASGI callable returned without completing handshake.", "Exception in ASGI application")
    )

    assert not logger.filter(refused)
    assert logger.filter(other)

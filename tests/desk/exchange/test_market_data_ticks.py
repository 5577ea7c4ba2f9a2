"""Trades, quotes, auctions, the newest of everything and corporate actions over HTTP."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from alpaca.common.exceptions import APIError
from alpaca.data.enums import Adjustment, DataFeed
from alpaca.data.historical import StockHistoricalDataClient
from alpaca.data.requests import (
    StockBarsRequest,
    StockLatestQuoteRequest,
    StockLatestTradeRequest,
    StockQuotesRequest,
    StockSnapshotRequest,
    StockTradesRequest,
)
from alpaca.data.timeframe import TimeFrame, TimeFrameUnit

from desk.exchange.broadcast import Broadcast, VenueStream
from desk.exchange.floor import Floor
from desk.exchange.generated import GeneratedMarket
from schemas.market_stream import Channel, StreamQuote, StreamTrade
from tests.desk.exchange.data_client import (
    NOON,
    SYMBOLS,
    TODAY,
    bars,
    minutes,
    served,
    two_flat_days,
    years_at_noon,
)
from tests.desk.exchange.makers import CLOSE, at, floor_of


@pytest.fixture(scope="module")
def noon() -> Iterator[httpx.Client]:
    with years_at_noon() as client:
        yield client


@pytest.fixture
def plain() -> Iterator[httpx.Client]:
    with two_flat_days() as client:
        yield client


def test_trades_and_quotes_are_those_of_the_stream(plain: httpx.Client) -> None:
    """Ids, letters, conditions, sizes and instants agree message by message."""
    floor = floor_of()
    stream = VenueStream(Broadcast(floor))
    stream.start({Channel.TRADES: ["SPY"], Channel.QUOTES: ["SPY"]})
    floor.advance(at(601))
    heard = stream.drain()
    trades = plain.get("/v2/stocks/SPY/trades").json()["trades"]
    quotes = plain.get("/v2/stocks/SPY/quotes").json()["quotes"]

    told = [m for m in heard if isinstance(m, StreamTrade)]
    assert [(t["i"], t["x"], t["p"], t["s"], tuple(t["c"]), t["z"]) for t in trades] == [
        (m.trade_id, m.exchange, m.price, m.size, m.conditions, m.tape) for m in told
    ]
    assert [datetime.fromisoformat(t["t"]) for t in trades] == [m.ts for m in told]
    assert [(q["bx"], q["bp"], q["bs"], q["ax"], q["ap"], q["as"]) for q in quotes] == [
        (m.bid_exchange, m.bid_price, m.bid_size, m.ask_exchange, m.ask_price, m.ask_size)
        for m in heard
        if isinstance(m, StreamQuote)
    ]
    assert trades[0]["c"] == ["@", "O"]


def test_iex_prints_carry_its_letter(plain: httpx.Client) -> None:
    """On feed=iex every exchange is V."""
    found = plain.get("/v2/stocks/SPY/quotes", params={"feed": "iex"}).json()["quotes"]

    assert {(q["ax"], q["bx"]) for q in found} == {("V", "V")}


def test_the_newest_outlives_the_night(noon: httpx.Client) -> None:
    """Before the open the last bar, trade and quote are yesterday's; the snapshot has the days before."""
    floor = Floor(GeneratedMarket(7, SYMBOLS), session_date=TODAY)
    with served(floor) as client:
        bar = client.get("/v2/stocks/AAPL/bars/latest").json()["bar"]
        several = client.get("/v2/stocks/bars/latest", params={"symbols": "XOM,AAPL"}).json()["bars"]
        trade = client.get("/v2/stocks/AAPL/trades/latest").json()["trade"]
        snapshot = client.get("/v2/stocks/AAPL/snapshot").json()

    assert bar["t"] == "2025-11-25T20:59:00Z"
    assert list(several) == ["AAPL", "XOM"]
    assert several["AAPL"] == bar == snapshot["minuteBar"]
    assert trade["t"] == "2025-11-25T20:59:45Z"
    days = bars(noon, "AAPL", "1Day", start="2025-11-24", end="2025-11-25")
    assert [snapshot["prevDailyBar"], snapshot["dailyBar"]] == days


def test_a_snapshot_is_the_newest_of_everything(noon: httpx.Client) -> None:
    """Trade, quote, minute, day so far and the day before, as their own paths have them."""
    found = noon.get("/v2/stocks/snapshots", params={"symbols": "AAPL,XOM"}).json()
    single = noon.get("/v2/stocks/AAPL/snapshot").json()

    assert list(found) == ["AAPL", "XOM"]
    assert single == {"symbol": "AAPL", **found["AAPL"]}
    snapshot = found["XOM"]
    assert snapshot["latestTrade"] == noon.get("/v2/stocks/XOM/trades/latest").json()["trade"]
    assert snapshot["latestQuote"] == noon.get("/v2/stocks/XOM/quotes/latest").json()["quote"]
    assert snapshot["minuteBar"] == noon.get("/v2/stocks/XOM/bars/latest").json()["bar"]
    assert [snapshot["prevDailyBar"], snapshot["dailyBar"]] == bars(
        noon, "XOM", "1Day", start="2025-11-25", end="2025-11-26"
    )


def test_auctions_open_and_close_a_day(noon: httpx.Client) -> None:
    """The opening one at the session's first print, the closing one at its last; today has no close yet."""
    found = noon.get("/v2/stocks/AAPL/auctions", params={"start": "2025-11-25"}).json()["auctions"]

    yesterday, today = found
    rows = minutes(date(2025, 11, 25), date(2025, 11, 25))
    assert (yesterday["d"], today["d"]) == ("2025-11-25", "2025-11-26")
    assert [(a["c"], a["p"], a["t"]) for a in yesterday["o"]] == [
        (c, rows["open"][0], "2025-11-25T14:30:00Z") for c in "OQ"
    ]
    assert [(a["c"], a["p"], a["t"]) for a in yesterday["c"]] == [
        (c, rows["close"][-1], "2025-11-25T21:00:00Z") for c in "6M"
    ]
    assert (len(today["o"]), today["c"]) == (2, [])


def test_corporate_actions_by_their_filters() -> None:
    """Types, symbols, dates, ids and pages; what contradicts itself is 400."""
    floor = floor_of()
    floor.split("SPY", old=Decimal(1), new=Decimal(2))
    floor.split("QQQ", old=Decimal(10), new=Decimal(1))
    with served(floor) as client:

        def get(**wanted: str) -> dict[str, Any]:
            answer = client.get("/v1/corporate-actions", params=wanted)
            assert answer.status_code == 200, answer.text
            return answer.json()

        today = get()["corporate_actions"]
        reverse = get(types="reverse_split")["corporate_actions"]
        of_spy = get(symbols="SPY")["corporate_actions"]
        by_id = get(ids=reverse["reverse_splits"][0]["id"])["corporate_actions"]
        before = get(start="2024-08-01", end="2024-08-26")["corporate_actions"]
        first = get(limit="1")
        second = get(limit="1", page_token=first["next_page_token"])
        odd = [
            client.get("/v1/corporate-actions", params=wanted).status_code
            for wanted in (
                {"types": "party"},
                {"ids": "x", "symbols": "SPY"},
                {"start": "2024-08-27", "end": "2024-08-01"},
                {"limit": "1001"},
                {"page_token": "lost"},
            )
        ]

    assert {kind: len(rows) for kind, rows in today.items()} == {"forward_splits": 1, "reverse_splits": 1}
    assert reverse == by_id == {"reverse_splits": today["reverse_splits"]}
    assert of_spy == {"forward_splits": today["forward_splits"]}
    assert before == {}
    assert {**first["corporate_actions"], **second["corporate_actions"]} == today
    assert second["next_page_token"] is None
    assert odd == [400] * 5


def test_alpacas_client_reads_all_of_it(noon: httpx.Client) -> None:
    """Its models take bars, quotes, trades, newest ones and snapshots; it follows the pages itself."""
    client = StockHistoricalDataClient("k", "s", url_override=str(noon.base_url).rstrip("/"))
    start = NOON - timedelta(days=4)

    hours = client.get_stock_bars(
        StockBarsRequest(
            symbol_or_symbols=["AAPL", "XOM"],
            timeframe=TimeFrame(2, TimeFrameUnit.Hour),
            start=start,
            adjustment=Adjustment.ALL,
            feed=DataFeed.SIP,
        )
    ).data
    trades = client.get_stock_trades(StockTradesRequest(symbol_or_symbols="AAPL", start=start)).data["AAPL"]
    quotes = client.get_stock_quotes(
        StockQuotesRequest(symbol_or_symbols="AAPL", start=NOON - timedelta(minutes=1))
    ).data["AAPL"]
    trade = client.get_stock_latest_trade(StockLatestTradeRequest(symbol_or_symbols="AAPL"))["AAPL"]
    quote = client.get_stock_latest_quote(StockLatestQuoteRequest(symbol_or_symbols="AAPL"))["AAPL"]
    snapshot = client.get_stock_snapshot(StockSnapshotRequest(symbol_or_symbols=["AAPL"]))["AAPL"]

    assert {symbol: len(rows) for symbol, rows in hours.items()} == {"AAPL": 10, "XOM": 10}
    assert len(trades) > 3_000
    assert trades[-1].id == trade.id == snapshot.latest_trade.id
    assert quotes[-1].ask_price == quote.ask_price == snapshot.latest_quote.ask_price
    assert snapshot.daily_bar.timestamp == datetime(2025, 11, 26, 5, 0, tzinfo=UTC)
    with pytest.raises(APIError, match="page_token"):
        client.get("/stocks/bars", {"symbols": "AAPL", "timeframe": "1Min", "page_token": "?"})


def test_the_tables_of_letters(plain: httpx.Client) -> None:
    """Every letter and code this venue sends is explained."""
    exchanges = plain.get("/v2/stocks/meta/exchanges").json()
    trade = plain.get("/v2/stocks/meta/conditions/trade", params={"tape": "C"}).json()
    quote = plain.get("/v2/stocks/meta/conditions/quote", params={"tape": "A"}).json()

    assert set("QNPZKDV") <= set(exchanges)
    assert set("@OTQ6M") <= set(trade)
    assert "R" in quote


def test_nothing_of_the_future_is_shown(plain: httpx.Client) -> None:
    """An end in the future changes nothing: the minute that is running has no bar."""
    far = bars(plain, "SPY", "1Min", end=CLOSE.isoformat())
    trades = plain.get("/v2/stocks/SPY/trades", params={"end": CLOSE.isoformat()}).json()["trades"]

    assert far[-1]["t"] == "2024-08-27T13:39:00Z"
    assert trades[-1]["t"] == "2024-08-27T13:40:00Z"
    assert json.dumps(trades).count('"t"') == 41


def test_halts_and_splits_are_made_over_http(plain: httpx.Client) -> None:
    """Who drives the venue stops and splits a symbol; market data shows both."""

    def post(path: str, **body: object) -> httpx.Response:
        return plain.post(f"/sim/{path}", json=body)

    halted = post("halt", symbol="SPY")
    post("advance", to=at(901).isoformat())
    silent = bars(plain, "SPY", "1Min")[-1]["t"]
    newest = plain.get("/v2/stocks/SPY/trades/latest").json()["trade"]["t"]
    resumed = post("halt", symbol="SPY", halted=False)
    split = post("split", symbol="QQQ", old=1, new=2)
    known = plain.get("/v1/corporate-actions").json()["corporate_actions"]
    odd = [
        post("halt", symbol="NOPE").status_code,
        post("split", symbol="SPY", old=0, new=1).status_code,
        post("split", symbol="SPY").status_code,
    ]

    assert (halted.json()["halted"], resumed.json()["halted"]) == (True, False)
    assert (silent, newest) == ("2024-08-27T13:40:00Z", "2024-08-27T13:40:00Z")
    assert split.json()["symbol"] == known["forward_splits"][0]["symbol"] == "QQQ"
    assert odd == [404, 422, 422]

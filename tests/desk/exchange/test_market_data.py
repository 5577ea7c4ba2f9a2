"""Market data over HTTP: every timeframe, page, feed and refusal, by Alpaca's client and without it."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import polars as pl
import pytest
from alpaca.common.exceptions import APIError
from alpaca.data.enums import Adjustment, DataFeed
from alpaca.data.historical import StockHistoricalDataClient
from alpaca.data.historical.corporate_actions import CorporateActionsClient
from alpaca.data.requests import (
    CorporateActionsRequest,
    StockBarsRequest,
    StockLatestQuoteRequest,
    StockLatestTradeRequest,
    StockQuotesRequest,
    StockSnapshotRequest,
    StockTradesRequest,
)
from alpaca.data.timeframe import TimeFrame, TimeFrameUnit

from desk.exchange.broadcast import Broadcast, VenueStream
from desk.exchange.data_plan import DataOptions, Plan
from desk.exchange.floor import Floor
from desk.exchange.generated import GeneratedMarket
from desk.exchange.market import FrameMarket
from desk.exchange.server import ExchangeServer, ServerOptions
from desk.hours import session_hours, sessions_between
from schemas.market_stream import Channel, StreamQuote, StreamTrade
from tests.desk.exchange.makers import CLOSE, DAY, OPEN, PLAIN, at, flat, floor_of, minutes_frame

KEYS = {"APCA-API-KEY-ID": "k", "APCA-API-SECRET-KEY": "s"}
TODAY = date(2025, 11, 26)  # a Wednesday; the Friday after it closes at 13:00
NOON = datetime(2025, 11, 26, 17, 0, tzinfo=UTC)
SYMBOLS = ("AAPL", "MSFT", "XOM")


@contextmanager
def served(floor: Floor, options: ServerOptions | None = None) -> Iterator[httpx.Client]:
    with (
        ExchangeServer(floor, options) as server,
        httpx.Client(base_url=server.url, headers=KEYS, timeout=30) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def noon() -> Iterator[httpx.Client]:
    """A generated market of years, at noon."""
    floor = Floor(GeneratedMarket(7, SYMBOLS), session_date=TODAY)
    floor.advance(NOON)
    with served(floor) as client:
        yield client


@pytest.fixture
def plain() -> Iterator[httpx.Client]:
    """The flat market of two days, at 09:40:01 of the first."""
    floor = floor_of()
    floor.advance(at(601))
    with served(floor) as client:
        yield client


def bars(client: httpx.Client, symbol: str, timeframe: str, **wanted: str) -> list[dict[str, Any]]:
    answer = client.get(f"/v2/stocks/{symbol}/bars", params={"timeframe": timeframe, **wanted})
    assert answer.status_code == 200, answer.text
    return answer.json()["bars"]


def minutes(first: date, last: date, symbol: str = "AAPL") -> pl.DataFrame:
    """Give the generated minutes of days, straight from the market."""
    market = GeneratedMarket(7, SYMBOLS)
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    return pl.concat(market.frame(d) for d in days if session_hours(d)).filter(pl.col("symbol") == symbol)


def folded(rows: pl.DataFrame) -> dict[str, Any]:
    """Fold minutes into one bar by the plain definition."""
    low, high = rows["low"].min(), rows["high"].max()
    return {
        "o": rows["open"][0],
        "h": high,
        "l": low,
        "c": rows["close"][-1],
        "v": rows["volume"].sum(),
        "n": rows["trade_count"].sum(),
    }


def shape(bar: dict[str, Any]) -> dict[str, Any]:
    return {name: bar[name] for name in "ohlcvn"}


def test_a_day_is_its_minutes_from_new_yorks_midnight(noon: httpx.Client) -> None:
    """t is 00:00 New York, in winter 05:00Z; open to close is the session's."""
    (day,) = bars(noon, "AAPL", "1Day", start="2025-11-25", end="2025-11-25")

    assert day["t"] == "2025-11-25T05:00:00Z"
    rows = minutes(date(2025, 11, 25), date(2025, 11, 25))
    assert shape(day) == folded(rows)
    assert day["vw"] == pytest.approx((rows["vwap"] * rows["volume"]).sum() / rows["volume"].sum())


def test_days_in_summer_begin_an_hour_earlier_in_utc(noon: httpx.Client) -> None:
    """The night the clocks change, the offset does."""
    found = bars(noon, "AAPL", "1Day", start="2025-10-31", end="2025-11-03")

    assert [bar["t"] for bar in found] == ["2025-10-31T04:00:00Z", "2025-11-03T05:00:00Z"]


def test_today_grows_minute_by_minute(plain: httpx.Client) -> None:
    """The day so far holds what is public, and no more."""
    before = bars(plain, "SPY", "1Day")
    plain.post("/sim/advance", json={"to": at(661).isoformat()})
    after = bars(plain, "SPY", "1Day")

    assert [bar["v"] for bar in before] == [400_000]
    assert [bar["v"] for bar in after] == [440_000]


def test_extended_hours_move_a_days_volume_alone() -> None:
    """Open, high, low and close are the regular session's; shares and trades are all of them."""
    early = OPEN - timedelta(hours=1)
    floor = floor_of(
        [(90.0, 120.0, 80.0, 95.0, 500)] * 60 + [(100.0, 101.0, 99.0, 100.5, 1000)] * 5, start=early
    )
    floor.advance(at(601))
    with served(floor) as client:
        (day,) = bars(client, "SPY", "1Day")

    assert shape(day) == {"o": 100.0, "h": 101.0, "l": 99.0, "c": 100.5, "v": 35_000, "n": 260}


@pytest.mark.parametrize(
    ("timeframe", "length"),
    [("1Min", 1), ("1T", 1), ("7Min", 7), ("59Min", 59), ("1Hour", 60), ("4H", 240), ("23Hour", 1380)],
)
def test_intraday_bars_are_counted_from_midnight(noon: httpx.Client, timeframe: str, length: int) -> None:
    """Each is the minutes of its span, spans begin at multiples of their length, empty ones are left out."""
    day = date(2025, 11, 25)
    midnight = datetime(2025, 11, 25, 5, 0, tzinfo=UTC)
    expected: dict[datetime, pl.DataFrame] = {}
    rows = minutes(day, day)
    for place, ts in enumerate(rows["ts"].to_list()):
        start = midnight + (ts - midnight) // timedelta(minutes=length) * timedelta(minutes=length)
        expected[start] = pl.concat([expected.get(start, rows.clear()), rows[place]])

    found = bars(noon, "AAPL", timeframe, start=midnight.isoformat(), end="2025-11-26", limit="10000")

    assert {datetime.fromisoformat(bar["t"]): shape(bar) for bar in found} == {
        start: folded(part) for start, part in expected.items()
    }


@pytest.mark.parametrize(
    ("timeframe", "start", "end", "firsts"),
    [
        ("1Week", "2025-11-10", "2025-11-26", ["2025-11-10", "2025-11-17", "2025-11-24"]),
        ("1Month", "2025-09-01", "2025-11-26", ["2025-09-01", "2025-10-01", "2025-11-01"]),
        ("3Month", "2025-04-01", "2025-11-26", ["2025-04-01", "2025-07-01", "2025-10-01"]),
        ("12M", "2024-12-31", "2025-11-26", ["2025-01-01"]),
    ],
)
def test_longer_bars_begin_on_their_first_day(
    noon: httpx.Client, timeframe: str, start: str, end: str, firsts: list[str]
) -> None:
    """Weeks on Monday, months on the 1st, in New York; only bars that begin inside the interval."""
    found = bars(noon, "XOM", timeframe, start=start, end=end)

    days = [datetime.fromisoformat(bar["t"]).astimezone(UTC) for bar in found]
    assert [(day - timedelta(hours=4)).date().isoformat() for day in days] == firsts
    last = bars(noon, "XOM", "1Day", start=firsts[-1], end=end)
    assert found[-1]["v"] == sum(bar["v"] for bar in last)
    assert (found[-1]["o"], found[-1]["c"]) == (last[0]["o"], last[-1]["c"])


@pytest.mark.parametrize(
    "word", ["60Min", "0Min", "24Hour", "2Day", "2Week", "5Month", "13Month", "Year", "1", "", "-1Min"]
)
def test_a_timeframe_that_is_none(noon: httpx.Client, word: str) -> None:
    """400 and a message, no code."""
    answer = noon.get("/v2/stocks/AAPL/bars", params={"timeframe": word})

    assert answer.status_code == 400
    assert list(answer.json()) == ["message"]


def test_start_and_end_are_included(plain: httpx.Client) -> None:
    """Both minutes named are there; by default everything since midnight."""
    edge = bars(plain, "SPY", "1Min", start=at(60).isoformat(), end=at(180).isoformat())

    assert [bar["t"] for bar in edge] == [f"2024-08-27T13:3{n}:00Z" for n in (1, 2, 3)]
    assert len(bars(plain, "SPY", "1Min")) == 10


@pytest.mark.parametrize("sort", ["asc", "desc"])
@pytest.mark.parametrize(
    ("path", "name", "wanted"),
    [
        (
            "bars",
            "bars",
            {"timeframe": "1Min", "start": "2025-11-24T15:00:00Z", "end": "2025-11-26T15:00:00Z"},
        ),
        ("bars", "bars", {"timeframe": "1Min", "start": "2025-11-26"}),
        ("bars", "bars", {"timeframe": "1Day", "start": "2025-08-01"}),
        ("trades", "trades", {"start": "2025-11-25T20:00:00Z", "end": "2025-11-26T15:00:00Z"}),
        ("quotes", "quotes", {"start": "2025-11-26T15:00:00Z", "end": "2025-11-26T15:30:00Z"}),
        ("auctions", "auctions", {"start": "2025-11-03"}),
    ],
)
def test_pages_join_to_the_whole(
    noon: httpx.Client, path: str, name: str, wanted: dict[str, str], sort: str
) -> None:
    """No row lost or given twice, whatever the limit and the order; the token is opaque and ends."""

    def paged(limit: int) -> tuple[dict[str, list[Any]], int]:
        rows: dict[str, list[Any]] = {}
        token, pages = "", 0
        while True:
            params = {**wanted, "symbols": "XOM,AAPL", "sort": sort, "limit": str(limit), "page_token": token}
            answer = noon.get(f"/v2/stocks/{path}", params=params)
            assert answer.status_code == 200, answer.text
            body = answer.json()
            assert 0 < sum(map(len, body[name].values())) <= limit
            for symbol, found in body[name].items():
                rows.setdefault(symbol, []).extend(found)
            pages += 1
            token = body["next_page_token"]
            if token is None:
                return rows, pages

    whole, once = paged(10_000)
    count = sum(map(len, whole.values()))
    pieces, pages = paged(max(count // 7, 1))

    assert once == 1
    assert pages in (7, 8)
    assert pieces == whole
    assert list(whole) == ["AAPL", "XOM"]
    key = "d" if path == "auctions" else "t"
    for rows in whole.values():
        assert [row[key] for row in rows] == sorted((row[key] for row in rows), reverse=sort == "desc")


def test_a_page_need_not_hold_every_symbol(noon: httpx.Client) -> None:
    """The limit is over all symbols: the first page is all of the first one's."""
    answer = noon.get("/v2/stocks/bars", params={"symbols": "XOM,MSFT", "timeframe": "1Min", "limit": "50"})

    assert {symbol: len(rows) for symbol, rows in answer.json()["bars"].items()} == {"MSFT": 50}


def test_unknown_symbols_are_empty_answers(noon: httpx.Client) -> None:
    """200 with nothing in lists; 404 for the newest of one."""
    several = noon.get("/v2/stocks/bars", params={"symbols": "NOPE", "timeframe": "1Min"})
    single = noon.get("/v2/stocks/NOPE/trades", params={"start": "2025-11-25"})
    newest = noon.get("/v2/stocks/quotes/latest", params={"symbols": "NOPE,AAPL"})
    one = noon.get("/v2/stocks/NOPE/trades/latest")
    snapshots = noon.get("/v2/stocks/snapshots", params={"symbols": "NOPE"})

    assert several.json() == {"bars": {}, "next_page_token": None}
    assert single.json() == {"trades": [], "symbol": "NOPE", "next_page_token": None}
    assert list(newest.json()["quotes"]) == ["AAPL"]
    assert (one.status_code, one.json()["message"]) == (404, "no trade found for NOPE")
    assert snapshots.json() == {}


@pytest.mark.parametrize(
    ("path", "wanted", "words"),
    [
        ("bars", {"symbols": "SPY"}, "timeframe is required"),
        ("bars", {"timeframe": "1Min"}, "symbols is required"),
        ("bars", {"symbols": "SP Y", "timeframe": "1Min"}, "invalid symbol: SP Y"),
        (
            "bars",
            {"symbols": "SPY", "timeframe": "1Min", "limit": "10001"},
            "invalid limit: larger than the allowed maximum of 10000",
        ),
        ("bars", {"symbols": "SPY", "timeframe": "1Min", "limit": "0"}, "invalid limit"),
        ("bars", {"symbols": "SPY", "timeframe": "1Min", "start": "soon"}, "invalid start"),
        ("bars", {"symbols": "SPY", "timeframe": "1Min", "sort": "up"}, "invalid sort"),
        ("bars", {"symbols": "SPY", "timeframe": "1Min", "feed": "cnn"}, "invalid feed"),
        ("bars", {"symbols": "SPY", "timeframe": "1Min", "adjustment": "some"}, "invalid adjustment"),
        ("bars", {"symbols": "SPY", "timeframe": "1Min", "currency": "EUR"}, "invalid currency"),
        ("bars", {"symbols": "SPY", "timeframe": "1Min", "asof": "then"}, "invalid asof"),
        ("bars", {"symbols": "SPY", "timeframe": "1Min", "page_token": "x"}, "invalid page_token"),
        (
            "trades",
            {"symbols": "SPY", "start": "2024-08-27T15:00:00Z", "end": "2024-08-27T14:00:00Z"},
            "end should not be before start",
        ),
        ("quotes/latest", {"symbols": "SPY", "feed": "cnn"}, "invalid feed"),
        ("auctions", {"symbols": "SPY", "feed": "iex"}, "invalid feed"),
        ("meta/conditions/trade", {}, "tape is required"),
        ("meta/conditions/cheese", {"tape": "A"}, "invalid ticktype"),
    ],
)
def test_bad_requests(plain: httpx.Client, path: str, wanted: dict[str, str], words: str) -> None:
    """400 and a message that names the parameter, without a code."""
    answer = plain.get(f"/v2/stocks/{path}", params=wanted)

    assert answer.status_code == 400
    assert list(answer.json()) == ["message"]
    assert words in answer.json()["message"]


def test_what_is_accepted_and_changes_nothing(plain: httpx.Client) -> None:
    """asof, currency USD, every adjustment and unknown parameters."""
    usual = {"symbols": "SPY", "timeframe": "1Min"}
    want = plain.get("/v2/stocks/bars", params=usual).json()
    for more in (
        {"asof": "2024-08-27"},
        {"asof": "-"},
        {"adjustment": "split,dividend,spin-off"},
        {"adjustment": "all"},
        {"adjustment": "dividend"},
        {"feed": "iex"},
        {"surprise": "1"},
    ):
        assert plain.get("/v2/stocks/bars", params={**usual, **more}).json() == want
    named = plain.get("/v2/stocks/bars", params={**usual, "currency": "usd"}).json()

    assert named == {**want, "currency": "USD"}
    assert plain.get("/v2/stocks/bars", params={**usual, "feed": "otc"}).json()["bars"] == {}


def test_the_basic_plan_does_not_see_recent_sip() -> None:
    """403 for the last 15 minutes of SIP; IEX is the default and is live; SIP without an end stops short."""
    floor = floor_of()
    floor.advance(at(1800))
    with served(floor, ServerOptions(data=DataOptions(plan=Plan.BASIC))) as client:

        def get(path: str = "bars", **wanted: str) -> httpx.Response:
            return client.get(f"/v2/stocks/{path}", params={"symbols": "SPY", "timeframe": "1Min", **wanted})

        recent = get(feed="sip", end=at(901).isoformat())
        old = get(feed="sip", end=at(900).isoformat())
        open_end = get(feed="sip")
        iex = get()
        newest = get("trades/latest", feed="sip")
        delayed = get("trades/latest", feed="delayed_sip")

    refusal = {"code": 42210000, "message": "subscription does not permit querying recent SIP data"}
    assert [(r.status_code, r.json()) for r in (recent, newest)] == [(403, refusal)] * 2
    assert [len(r.json()["bars"]["SPY"]) for r in (old, open_end, iex)] == [16, 16, 29]
    assert delayed.json()["trades"]["SPY"]["t"] == "2024-08-27T13:45:00Z"


def test_too_many_requests_in_the_words_of_the_data_host() -> None:
    """429, apart from the trading side's own count."""
    floor = floor_of()
    with served(floor, ServerOptions(rate_limit=2)) as client:
        codes = [client.get("/v2/stocks/meta/exchanges").status_code for _ in range(3)]
        answer = client.get("/v2/stocks/meta/exchanges")
        trading = client.get("/v2/clock").status_code

    assert (codes, trading) == ([200, 200, 429], 200)
    assert answer.json()["message"] == "too many requests."


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


def test_splits_are_made_up_for_where_asked(plain: httpx.Client) -> None:
    """Two for one: earlier prices halve and volumes double under split and all, never under raw."""
    floor = floor_of(rules=PLAIN)
    floor.advance(at(601))
    floor.split("SPY", old=Decimal(1), new=Decimal(2))
    floor.advance(at(721))
    with served(floor) as client:

        def day(adjustment: str) -> tuple[float, int]:
            (found,) = bars(client, "SPY", "1Day", adjustment=adjustment)
            return found["o"], found["v"]

        rows = bars(client, "SPY", "1Min", adjustment="all")
        actions = CorporateActionsClient("k", "s", url_override=str(client.base_url).rstrip("/"))
        known = actions.get_corporate_actions(
            CorporateActionsRequest(symbols=["SPY"], start=DAY, end=DAY, types=None)
        ).data
        raw, split = day("raw"), day("split")

    assert raw == (100.0, 480_000)
    assert split[0] == 50.0
    assert split[1] > 880_000
    assert (rows[0]["c"], rows[-1]["c"]) == (50.0, 100.0)
    (action,) = known["forward_splits"]
    assert (action.symbol, action.old_rate, action.new_rate, action.ex_date) == ("SPY", 1.0, 2.0, DAY)


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


def test_a_year_of_days_does_not_hold_up_the_venue(noon: httpx.Client) -> None:
    """250 sessions of a symbol nobody asked for yet are made in the time a client waits."""
    began = time.monotonic()
    found = bars(noon, "MSFT", "1Day", start="2024-11-26", end="2025-11-26")

    assert len(found) == len(sessions_between(date(2024, 11, 26), date(2025, 11, 27)))
    assert time.monotonic() - began < 10.0


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


@pytest.mark.parametrize("sort", ["asc", "desc"])
def test_a_minute_the_source_has_twice_is_paged_once_each(sort: str) -> None:
    """Twin rows are given as they are found, also where a page ends between them."""
    rows = minutes_frame([flat(100.0), flat(101.0), flat(102.0)])
    twin = rows.with_columns(close=pl.col("close") + 0.5)
    market = FrameMarket({DAY: pl.concat([rows, twin]).sort("ts", maintain_order=True)})
    floor = Floor(market, session_date=DAY)
    floor.advance(at(600))
    closes: list[float] = []
    token = ""
    with served(floor) as client:
        for _ in range(6):
            wanted = {"timeframe": "1Min", "limit": "1", "sort": sort, "page_token": token}
            body = client.get("/v2/stocks/SPY/bars", params=wanted).json()
            closes += [bar["c"] for bar in body["bars"]]
            token = body["next_page_token"]

    first = [100.0, 100.5, 101.0, 101.5, 102.0, 102.5]
    backwards = [102.0, 102.5, 101.0, 101.5, 100.0, 100.5]
    assert closes == (first if sort == "asc" else backwards)
    assert token is None


def test_a_request_of_all_symbols_of_the_session_is_quick() -> None:
    """300 symbols, ten minutes, no start given: what a desk asks every minute, in one selection."""
    symbols = tuple(f"S{number:03d}" for number in range(300))
    floor = Floor(GeneratedMarket(1, symbols), session_date=TODAY)
    floor.advance(floor.hours.opens_at + timedelta(minutes=10, seconds=1))
    with served(floor) as client:
        began = time.monotonic()
        answer = client.get(
            "/v2/stocks/bars",
            params={"symbols": ",".join(symbols), "timeframe": "1Min", "limit": "10000"},
        )
        spent = time.monotonic() - began

    assert sum(map(len, answer.json()["bars"].values())) > 2_900
    assert spent < 2.0


def test_prices_that_are_no_numbers_are_null(plain: httpx.Client) -> None:
    """A bar the source has broken is shown broken, and enters no longer bar."""
    rows = minutes_frame([flat(100.0), (float("nan"), 101.0, 99.0, float("inf"), 400), flat(102.0)])
    floor = Floor(FrameMarket({DAY: rows}), session_date=DAY)
    floor.advance(at(600))
    with served(floor) as client:
        found = bars(client, "SPY", "1Min")
        (day,) = bars(client, "SPY", "1Day")

    assert [(bar["o"], bar["c"]) for bar in found] == [(100.0, 100.0), (None, None), (102.0, 102.0)]
    assert (day["v"], day["h"]) == (80_000, 102.0)

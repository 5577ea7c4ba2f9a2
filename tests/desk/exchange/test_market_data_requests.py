"""Requests for market data: intervals, pages and limits, what a plan permits, and every refusal."""

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import polars as pl
import pytest

from desk.exchange.data_plan import DataOptions, Plan
from desk.exchange.floor import Floor
from desk.exchange.generated import GeneratedMarket
from desk.exchange.market import FrameMarket
from desk.exchange.server import ServerOptions
from tests.desk.exchange.data_client import TODAY, bars, served, two_flat_days, years_at_noon
from tests.desk.exchange.makers import DAY, at, flat, floor_of, minutes_frame


@pytest.fixture(scope="module")
def noon() -> Iterator[httpx.Client]:
    with years_at_noon() as client:
        yield client


@pytest.fixture
def plain() -> Iterator[httpx.Client]:
    with two_flat_days() as client:
        yield client


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

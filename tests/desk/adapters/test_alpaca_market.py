"""Minute bars through the real alpaca-py from servers that page, pad and misbehave."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from desk.adapters.alpaca_market import AlpacaMarket
from desk.errors import BrokerUnavailable
from schemas.account import Split
from schemas.bars import RAW_SCHEMA
from tests.desk.adapters.rough import RESET, Answer, Said, rough_server
from tests.desk.adapters.wire import NOON, account_at


def market_at(url: str, *, attempts: int = 3) -> AlpacaMarket:
    """Give the real adapter at a local server; pauses are not waited for."""
    return AlpacaMarket(account_at(url, attempts=attempts), sleep=lambda seconds: None)


def bar(minute: int, **changes: Any) -> dict[str, Any]:
    """Give a bar of the minute after noon as the wire has it."""
    at = (NOON + timedelta(minutes=minute)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"t": at, "o": 187, "h": 188.5, "l": 186.5, "c": 187.25, "v": 1200, "n": 11, "vw": 187.1} | changes


def page(bars: Any, token: str | None = None) -> Answer:
    """Give one page."""
    return Answer(200, {"bars": bars, "next_page_token": token})


def test_bars_asks_half_open_with_the_feed_named() -> None:
    """The closed interval of Alpaca is asked one microsecond shorter, and the feed is never left open."""
    with rough_server(lambda said: page({})) as server:
        market_at(server.url).bars(["AAPL", "MSFT"], NOON, NOON + timedelta(minutes=1))

        query = server.seen[0].query
        assert (query["symbols"], query["feed"], query["timeframe"]) == ("AAPL,MSFT", "iex", "1Min")
        assert (query["start"], query["end"]) == (
            "2026-11-20T17:00:00.000000Z",
            "2026-11-20T17:00:59.999999Z",
        )


def test_bars_follows_pages_and_keeps_to_the_interval() -> None:
    """Pages are joined, and a bar at the end is left out even if the server gives it."""
    pages = {
        None: page({"AAPL": [bar(0), bar(1)]}, "t1"),
        "t1": page({"AAPL": [bar(2)], "MSFT": [bar(0)]}, "t2"),
        "t2": page({"MSFT": [bar(1), bar(3)]}),
    }
    with rough_server(lambda said: pages[said.query.get("page_token")]) as server:
        frame = market_at(server.url).bars(["AAPL", "MSFT"], NOON, NOON + timedelta(minutes=3))

    assert frame.schema == pl.Schema(RAW_SCHEMA)
    assert frame.select("symbol", pl.col("ts").dt.minute()).rows() == [
        ("AAPL", 0),
        ("AAPL", 1),
        ("AAPL", 2),
        ("MSFT", 0),
        ("MSFT", 1),
    ]


def test_bars_of_trouble_on_one_page_repeats_that_page_only() -> None:
    """A lost page is read again; the pages before it are not."""
    answers: dict[str | None, list[Answer | str]] = {
        None: [page({"AAPL": [bar(0)]}, "t1")],
        "t1": [RESET, Answer(504, ""), page({"AAPL": [bar(1)]})],
    }

    def script(said: Said) -> Answer | str:
        return answers[said.query.get("page_token")].pop(0)

    with rough_server(script) as server:
        frame = market_at(server.url).bars(["AAPL"], NOON, NOON + timedelta(minutes=9))

        assert (frame.height, len(server.seen)) == (2, 4)


def test_bars_without_vwap_and_count_are_null() -> None:
    """What the source does not say is null, and a whole-number price is a price."""
    row = bar(0)
    del row["vw"], row["n"]
    with rough_server(lambda said: page({"AAPL": [row]})) as server:
        frame = market_at(server.url).bars(["AAPL"], NOON, NOON + timedelta(minutes=1))

    assert frame.schema == pl.Schema(RAW_SCHEMA)
    assert frame.select("open", "vwap", "trade_count").row(0) == (187.0, None, None)


@pytest.mark.parametrize("bars", [None, {}, {"AAPL": []}, {"AAPL": None}], ids=str)
def test_bars_of_nothing_is_an_empty_frame(bars: Any) -> None:
    """No bars is an empty frame of the right columns, not an error."""
    with rough_server(lambda said: page(bars)) as server:
        frame = market_at(server.url).bars(["AAPL"], NOON, NOON + timedelta(minutes=1))

    assert (frame.height, frame.schema) == (0, pl.Schema(RAW_SCHEMA))


def test_a_broken_bar_is_a_row_for_the_inspector() -> None:
    """A bar that is no object, or has no readable time, becomes a row with nulls."""
    with rough_server(lambda said: page({"AAPL": ["x", bar(0, t="noon"), bar(0, o=None), bar(0)]})) as server:
        frame = market_at(server.url).bars(["AAPL"], NOON, NOON + timedelta(minutes=1))

    assert frame.schema == pl.Schema(RAW_SCHEMA)
    assert frame["ts"].null_count() == 2
    assert frame["open"].null_count() == 2


def test_a_value_of_a_wrong_type_is_delivered_as_it_came() -> None:
    """A text price turns its column into text, and the other columns keep their types."""
    with rough_server(lambda said: page({"AAPL": [bar(0, c="n/a"), bar(0, v=10**30)]})) as server:
        frame = market_at(server.url).bars(["AAPL"], NOON, NOON + timedelta(minutes=1))

    assert frame["close"].to_list() == ["n/a", "187.25"]
    assert frame["volume"].to_list() == ["1200", str(10**30)]
    assert frame["open"].dtype == pl.Float64


@pytest.mark.parametrize(
    "answer",
    [
        page({"AAPL": []}, "same"),
        Answer(200, {"quotes": {}}),
        Answer(200, {"bars": {"AAPL": 1}}),
        Answer(200, "<html>"),
        Answer(403, {"code": 42210000, "message": "subscription does not permit querying recent SIP data"}),
        Answer(301, ""),
    ],
    ids=str,
)
def test_an_unusable_answer_is_unavailable(answer: Answer) -> None:
    """A list that does not end, an unknown shape and a refusal are one named error each."""
    with rough_server(lambda said: answer) as server, pytest.raises(BrokerUnavailable):
        market_at(server.url, attempts=1).bars(["AAPL"], NOON, NOON + timedelta(minutes=1))


def test_bars_of_an_empty_interval_asks_nothing() -> None:
    """No symbols or no time between start and end needs no request."""
    with rough_server(lambda said: page({})) as server:
        market = market_at(server.url)
        assert market.bars([], NOON, NOON + timedelta(minutes=1)).height == 0
        assert market.bars(["AAPL"], NOON, NOON).height == 0
        assert server.seen == []


def action(symbol: str, old: Any, new: Any, ex_date: str) -> dict[str, Any]:
    """Give a split as the wire has it."""
    return {"symbol": symbol, "old_rate": old, "new_rate": new, "ex_date": ex_date, "process_date": ex_date}


def actions(token: str | None = None, **kinds: Any) -> Answer:
    """Give one page of corporate actions."""
    return Answer(200, {"corporate_actions": kinds, "next_page_token": token})


def test_splits_follow_pages_and_keep_to_the_ex_dates() -> None:
    """Forward and reverse splits of all pages, by ex-date; one that is processed early is left out."""
    pages = {
        None: actions("t1", forward_splits=[action("AAPL", 1, 4, "2026-11-20")]),
        "t1": actions(
            reverse_splits=[action("XYZ", 10, 1.5, "2026-11-19"), action("XYZ", 10, 1, "2026-11-24")]
        ),
    }
    with rough_server(lambda said: pages[said.query.get("page_token")]) as server:
        found = market_at(server.url).splits(["AAPL", "XYZ"], date(2026, 11, 19), date(2026, 11, 20))

        assert server.seen[0].path == "/v1/corporate-actions"
        assert server.seen[0].query["types"] == "forward_split,reverse_split"

    assert found == (
        Split(symbol="XYZ", ex_date=date(2026, 11, 19), old=Decimal(10), new=Decimal("1.5")),
        Split(symbol="AAPL", ex_date=date(2026, 11, 20), old=Decimal(1), new=Decimal(4)),
    )


@pytest.mark.parametrize(
    "answer",
    [
        actions(forward_splits=[action("AAPL", 0, 4, "2026-11-20")]),
        actions(forward_splits=[action("AAPL", 1, 4, "soon")]),
        actions(forward_splits={"AAPL": 4}),
        actions("again", forward_splits=[]),
        Answer(200, ["nothing"]),
    ],
    ids=["of no shares", "no date", "no list", "without end", "no object"],
)
def test_unreadable_splits_are_no_answer(answer: Answer) -> None:
    """What cannot be read is not taken for no split."""
    with rough_server(lambda said: answer) as server, pytest.raises(BrokerUnavailable):
        market_at(server.url).splits(["AAPL"], date(2026, 11, 20), date(2026, 11, 20))


def test_nothing_is_asked_for_no_symbol() -> None:
    """An empty list would ask for every symbol there is."""
    with rough_server(lambda said: actions()) as server:
        assert market_at(server.url).splits([], date(2026, 11, 20), date(2026, 11, 20)) == ()
        assert server.seen == []

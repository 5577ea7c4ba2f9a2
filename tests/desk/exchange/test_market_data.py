"""Bars over HTTP: every timeframe is its minutes folded, in New York's days, split-adjusted where asked."""

import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import polars as pl
import pytest
from alpaca.data.historical.corporate_actions import CorporateActionsClient
from alpaca.data.requests import CorporateActionsRequest

from desk.exchange.floor import Floor
from desk.exchange.market import FrameMarket
from desk.hours import sessions_between
from tests.desk.exchange.data_client import bars, minutes, served, two_flat_days, years_at_noon
from tests.desk.exchange.makers import DAY, OPEN, PLAIN, at, flat, floor_of, minutes_frame


@pytest.fixture(scope="module")
def noon() -> Iterator[httpx.Client]:
    with years_at_noon() as client:
        yield client


@pytest.fixture
def plain() -> Iterator[httpx.Client]:
    with two_flat_days() as client:
        yield client


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


def test_a_year_of_days_does_not_hold_up_the_venue(noon: httpx.Client) -> None:
    """250 sessions of a symbol nobody asked for yet are made in the time a client waits."""
    began = time.monotonic()
    found = bars(noon, "MSFT", "1Day", start="2024-11-26", end="2025-11-26")

    assert len(found) == len(sessions_between(date(2024, 11, 26), date(2025, 11, 27)))
    assert time.monotonic() - began < 10.0


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

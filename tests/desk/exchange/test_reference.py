"""Reference data over HTTP: clock and calendar of both versions, assets, watchlists, announcements."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import httpx
import pytest
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import CorporateActionType
from alpaca.trading.requests import GetCorporateAnnouncementsRequest

from desk.exchange.server import ExchangeServer
from schemas.account import Asset
from tests.desk.exchange.makers import OPEN, floor_of

KEYS = {"APCA-API-KEY-ID": "k", "APCA-API-SECRET-KEY": "s"}
CALENDAR = "/v2/calendar"
ANNOUNCED = "/v2/corporate_actions/announcements"


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    """A venue on 2024-08-27 at 09:25 New York, where QQQ is at another exchange and not active."""
    qqq = Asset(
        symbol="QQQ",
        tradable=False,
        fractionable=True,
        shortable=False,
        marginable=False,
        easy_to_borrow=False,
        status="inactive",
        exchange="ARCA",
    )
    with (
        ExchangeServer(floor_of(assets={"QQQ": qqq})) as running,
        httpx.Client(base_url=running.url, headers=KEYS) as client,
    ):
        yield client


def got(http: httpx.Client, path: str, **params: str) -> Any:
    answer = http.get(path, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_calendar_takes_dates_and_instants(http: httpx.Client) -> None:
    """Both ends are included; a half day closes at 13:00 and its extended hours at 17:00."""
    dated = got(http, CALENDAR, start="2024-11-28", end="2024-12-02")
    timed = got(http, CALENDAR, start="2024-11-28T00:00:00.000Z", end="2024-12-02T00:00:00+00:00")

    assert dated == timed
    assert [day["date"] for day in dated] == ["2024-11-29", "2024-12-02"]
    assert dated[0] == {
        "date": "2024-11-29",
        "open": "09:30",
        "close": "13:00",
        "session_open": "0400",
        "session_close": "1700",
        "settlement_date": "2024-12-02",
    }


def test_the_calendar_is_searched_by_settlement_too(http: httpx.Client) -> None:
    """With SETTLEMENT the bounds are those of the settlement date."""
    found = got(http, CALENDAR, start="2024-12-02", end="2024-12-02", date_type="SETTLEMENT")

    assert [day["date"] for day in found] == ["2024-11-29"]


def test_the_whole_calendar_is_the_default(http: httpx.Client) -> None:
    """Without bounds every session this venue knows; beyond it nothing, and no error."""
    whole = got(http, CALENDAR)

    assert whole[0]["date"] == "2007-01-03"
    assert whole[-1]["date"] > "2028-12-01"
    assert got(http, CALENDAR, start="1999-01-01", end="1999-12-31") == []
    assert got(http, CALENDAR, start="2024-12-31", end="2024-01-01") == []


@pytest.mark.parametrize("params", [{"start": "soon"}, {"end": "2024-13-01"}, {"date_type": "EVERY"}])
def test_a_wrong_calendar_is_a_bad_request(http: httpx.Client, params: dict[str, str]) -> None:
    """400, as documented for this path."""
    assert http.get(CALENDAR, params=params).status_code == 400


def test_the_clock_knows_phases(http: httpx.Client) -> None:
    """Version 3 tells the phase, its end, and the next open and close, now and at any instant."""

    def phase(at: str) -> tuple[Any, ...]:
        (found,) = got(http, "/v3/clock", markets="NYSE", time=at)["clocks"]
        return found["phase"], found["phase_until"], found["next_market_open"], found["is_market_day"]

    (now,) = got(http, "/v3/clock", markets="XNYS")["clocks"]

    assert (now["timestamp"], now["phase"]) == ("2024-08-27T09:25:00-04:00", "pre")
    assert now["market"]["acronym"] == "NYSE"
    assert phase("2024-08-27T07:00:00Z") == (
        "closed", "2024-08-27T04:00:00-04:00", "2024-08-27T09:30:00-04:00", True,
    )  # fmt: skip
    assert phase("2024-08-27T13:30:00Z") == (
        "core", "2024-08-27T16:00:00-04:00", "2024-08-28T09:30:00-04:00", True,
    )  # fmt: skip
    assert phase("2024-11-29T18:00:00Z") == (
        "post", "2024-11-29T17:00:00-05:00", "2024-12-02T09:30:00-05:00", True,
    )  # fmt: skip
    assert phase("2024-08-31T12:00:00Z") == (
        "closed", "2024-09-03T04:00:00-04:00", "2024-09-03T09:30:00-04:00", False,
    )  # fmt: skip
    assert len(got(http, "/v3/clock")["clocks"]) == 3
    assert http.get("/v3/clock", params={"markets": "LSE"}).status_code == 400
    assert http.get("/v3/clock", params={"time": "1999-01-01T00:00:00Z"}).status_code == 400


def test_the_calendar_of_version_3_has_instants(http: httpx.Client) -> None:
    """A week from today by default, in New York's time or in UTC."""
    week = got(http, "/v3/calendar/NASDAQ")
    utc = got(http, "/v3/calendar/XNYS", start="2024-11-29", end="2024-11-29", timezone="UTC")["calendar"]

    assert week["market"]["name"] == "Nasdaq"
    assert [day["date"] for day in week["calendar"]][:2] == ["2024-08-27", "2024-08-28"]
    assert week["calendar"][0]["pre_start"] == "2024-08-27T04:00:00-04:00"
    assert (utc[0]["core_end"], utc[0]["post_end"]) == (
        "2024-11-29T18:00:00+00:00",
        "2024-11-29T22:00:00+00:00",
    )
    assert http.get("/v3/calendar/XHKG").status_code == 400
    assert (
        http.get("/v3/calendar/NYSE", params={"start": "1000-01-01", "end": "3000-01-01"}).status_code == 400
    )


def test_assets_are_filtered(http: httpx.Client) -> None:
    """By status, class, exchange and attributes, each for itself and together."""

    def symbols(**wanted: str) -> list[str]:
        return [share["symbol"] for share in got(http, "/v2/assets", **wanted)]

    assert symbols() == ["QQQ", "SPY"]
    assert symbols(status="active", asset_class="us_equity") == ["SPY"]
    assert symbols(status="inactive", exchange="ARCA") == ["QQQ"]
    assert symbols(asset_class="crypto") == []
    assert symbols(attributes="") == ["QQQ", "SPY"]
    assert symbols(attributes="ipo,has_options") == []


def test_an_asset_is_found_by_symbol_and_by_id(http: httpx.Client) -> None:
    """The same object both ways; an unknown name, also one with a slash, is 404."""
    by_symbol = got(http, "/v2/assets/SPY")

    assert got(http, f"/v2/assets/{by_symbol['id']}") == by_symbol
    for name in ("NOPE", "BTC/USD"):
        lost = http.get(f"/v2/assets/{name}")
        assert (lost.status_code, lost.json()["message"]) == (404, f"asset not found for {name}")


def test_options_are_none(http: httpx.Client) -> None:
    """The list is empty, one is not found."""
    assert got(http, "/v2/options/contracts") == {"option_contracts": [], "next_page_token": None}
    assert http.get("/v2/options/contracts/SPY240827C00500000").status_code == 404


def test_announcements_are_none_and_asked_for_rightly(http: httpx.Client) -> None:
    """No market here has any; a request the service would refuse is refused."""
    good = {"ca_types": "Dividend,split", "since": "2024-08-01", "until": "2024-08-31"}

    assert got(http, ANNOUNCED, **good) == []
    for bad in (
        {"ca_types": ""},
        {"ca_types": "party"},
        {"since": ""},
        {"until": "2024-12-31"},
        {"until": "2024-07-31"},
        {"date_type": "birth_date"},
    ):
        assert http.get(ANNOUNCED, params={**good, **bad}).status_code == 422, bad
    assert http.get(f"{ANNOUNCED}/42").status_code == 404


@pytest.mark.filterwarnings("ignore:get_corporate_announcement:DeprecationWarning")  # the client's own
def test_splits_are_announced_as_alpacas_client_reads_them() -> None:
    """Found by kind, symbol and date, and by id."""
    floor = floor_of()
    floor.advance(OPEN)
    floor.split("SPY", Decimal(1), Decimal(4))
    floor.split("QQQ", Decimal(10), Decimal(1))
    with ExchangeServer(floor) as server:
        client = TradingClient("k", "s", url_override=server.url)
        wanted = {
            "ca_types": [CorporateActionType.SPLIT],
            "since": date(2024, 8, 1),
            "until": date(2024, 8, 27),
        }
        both = client.get_corporate_announcements(GetCorporateAnnouncementsRequest(**wanted))
        one = client.get_corporate_announcements(GetCorporateAnnouncementsRequest(**wanted, symbol="QQQ"))
        none = client.get_corporate_announcements(
            GetCorporateAnnouncementsRequest(**{**wanted, "until": date(2024, 8, 26)})
        )
        by_id = client.get_corporate_announcement_by_id(both[0].id)

    assert [(found.initiating_symbol, found.old_rate, found.new_rate) for found in both] == [
        ("SPY", 1.0, 4.0),
        ("QQQ", 10.0, 1.0),
    ]
    assert [found.ca_sub_type.value for found in (*both, *one)] == [
        "stock_split",
        "reverse_split",
        "reverse_split",
    ]
    assert (none, by_id) == ([], both[0])


def test_a_watchlist_is_made_changed_and_deleted(http: httpx.Client) -> None:
    """By id and by name; null and absent fields leave as it was; symbols keep their order, each once."""
    made = http.post("/v2/watchlists", json={"name": "first", "symbols": ["SPY"]}).json()
    path, named = f"/v2/watchlists/{made['id']}", {"name": "second"}

    added = http.post(path, json={"symbol": "QQQ"}).json()
    again = http.post(path, content='{"symbol": "SPY"}', headers={"Content-Type": "text/plain"}).json()
    renamed = http.put(path, json={"name": "second", "symbols": None}).json()
    replaced = http.put(
        "/v2/watchlists:by_name", params=named, json={"symbols": ["QQQ", "SPY", "QQQ"]}
    ).json()
    removed = http.delete(f"{path}/QQQ").json()
    more = http.post("/v2/watchlists:by_name", params=named, json={"symbol": "QQQ"}).json()
    listed = got(http, "/v2/watchlists")
    by_name = got(http, "/v2/watchlists:by_name", **named)
    gone = http.delete("/v2/watchlists:by_name", params=named)

    def symbols(body: dict[str, Any]) -> list[str]:
        return [share["symbol"] for share in body["assets"]]

    assert made["account_id"] == got(http, "/v2/account")["id"]
    assert [symbols(body) for body in (made, added, again)] == [["SPY"], ["SPY", "QQQ"], ["SPY", "QQQ"]]
    assert (renamed["name"], symbols(renamed)) == ("second", ["SPY", "QQQ"])
    assert [symbols(body) for body in (replaced, removed, more)] == [["QQQ", "SPY"], ["SPY"], ["SPY", "QQQ"]]
    assert [(one["name"], "assets" in one) for one in listed] == [("second", False)]
    assert by_name == more
    assert (gone.status_code, gone.content) == (204, b"")
    assert http.get(path).status_code == 404


def test_a_wrong_watchlist_is_refused(http: httpx.Client) -> None:
    """Names are unique, 1 to 64 characters; symbols are known; what is not there is 404."""
    made = http.post("/v2/watchlists", json={"name": "first"}).json()
    path = f"/v2/watchlists/{made['id']}"

    twice = http.post("/v2/watchlists", json={"name": "first"})
    own = http.put(path, json={"name": "first"})
    refused = [
        http.post("/v2/watchlists", json=body).status_code
        for body in ({}, {"name": ""}, {"name": "x" * 65}, {"name": "y", "symbols": "SPY"},
                     {"name": "y", "symbols": [1]}, {"name": "y", "symbols": ["NOPE"]})
    ]  # fmt: skip

    assert (twice.status_code, twice.json()) == (
        422,
        {"code": 40010001, "message": "watchlist name must be unique"},
    )
    assert own.status_code == 200
    assert refused == [422] * 6
    assert http.post(path, json={"symbol": "NOPE"}).status_code == 422
    assert http.delete(f"{path}/SPY").status_code == 404
    assert http.get("/v2/watchlists:by_name").status_code == 404
    assert len(got(http, "/v2/watchlists")) == 1

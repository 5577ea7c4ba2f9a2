"""The account over HTTP: its settings and what they forbid, and its equity over time."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import httpx
import pytest

from desk.exchange.server import ExchangeServer
from tests.desk.exchange.makers import CLOSE, DAY, NEXT_DAY, OPEN, ask_for, at, flat, floor_of

KEYS = {"APCA-API-KEY-ID": "k", "APCA-API-SECRET-KEY": "s"}
SETTINGS = "/v2/account/configurations"
HISTORY = "/v2/account/portfolio/history"
RISING = [flat(100.0 + place) for place in range(390)]


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    """A venue where SPY rises a dollar a minute on the first day and is 110 on the second."""
    with (
        ExchangeServer(floor_of(RISING)) as running,
        httpx.Client(base_url=running.url, headers=KEYS) as client,
    ):
        yield client


def advance(http: httpx.Client, to: datetime) -> None:
    assert http.post("/sim/advance", json={"to": to.isoformat()}).status_code == 200


def order(**changes: Any) -> dict[str, Any]:
    return {"symbol": "SPY", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day", **changes}


def history(http: httpx.Client, **params: str) -> dict[str, Any]:
    answer = http.get(HISTORY, params=params)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    arrays = [body["timestamp"], body["equity"], body["profit_loss"], body["profit_loss_pct"]]
    assert len({len(array) for array in arrays}) == 1
    return body


def stamps(body: dict[str, Any]) -> list[datetime]:
    return [datetime.fromtimestamp(stamp, UTC) for stamp in body["timestamp"]]


def test_a_change_of_settings_is_partial(http: httpx.Client) -> None:
    """What is not named or is null stays; the whole object is answered, and read again the same."""
    nulls = {"dtbp_check": None, "pdt_check": None, "fractional_trading": None, "surprise": 1}
    first = http.patch(SETTINGS, json={"no_shorting": "True", **nulls})
    second = http.patch(
        SETTINGS, content='{"max_margin_multiplier": 2}', headers={"Content-Type": "text/plain"}
    )

    assert (first.status_code, second.status_code) == (200, 200)
    assert second.json() == http.get(SETTINGS).json()
    assert second.json() == {
        "disable_overnight_trading": False,
        "fractional_trading": True,
        "max_margin_multiplier": "2",
        "max_options_trading_level": 0,
        "no_shorting": True,
        "ptp_no_exception_entry": False,
        "suspend_trade": False,
        "trade_confirm_email": "none",
    }


@pytest.mark.parametrize(
    "change",
    [
        {"max_margin_multiplier": "3"},
        {"max_margin_multiplier": True},
        {"suspend_trade": "perhaps"},
        {"no_shorting": 1},
        {"trade_confirm_email": "some"},
        {"max_options_trading_level": 4},
    ],
)
def test_a_wrong_setting_is_refused_and_changes_nothing(http: httpx.Client, change: dict[str, Any]) -> None:
    """422, and a good setting beside it is not taken either."""
    before = http.get(SETTINGS).json()

    refused = http.patch(SETTINGS, json={"disable_overnight_trading": True, **change})

    assert (refused.status_code, refused.json()["code"]) == (422, 40010001)
    assert http.get(SETTINGS).json() == before


def test_suspended_trading_refuses_new_orders_only(http: httpx.Client) -> None:
    """403 for orders and closes, cancels pass, the account says so, and it ends when it is switched off."""
    advance(http, at(20))
    http.post("/v2/orders", json=order())
    resting = http.post("/v2/orders", json=order(type="limit", limit_price="50")).json()
    http.patch(SETTINGS, json={"suspend_trade": True})

    refused = http.post("/v2/orders", json=order())
    closing = http.delete("/v2/positions/SPY")
    canceled = http.delete(f"/v2/orders/{resting['id']}")
    told = http.get("/v2/account").json()["trade_suspended_by_user"]
    http.patch(SETTINGS, json={"suspend_trade": False})

    assert (refused.status_code, refused.json()["code"]) == (403, 40310000)
    assert refused.json()["message"] == "new orders are rejected by user request"
    assert (closing.status_code, canceled.status_code, told) == (403, 204, True)
    assert http.post("/v2/orders", json=order()).status_code == 200


def test_no_shorting_refuses_to_open_a_short(http: httpx.Client) -> None:
    """A sale of what is held passes; a short does not, and the account says shorting is off."""
    advance(http, at(20))
    http.post("/v2/orders", json=order())
    http.patch(SETTINGS, json={"no_shorting": True})

    sold = http.post("/v2/orders", json=order(side="sell"))
    short = http.post("/v2/orders", json=order(symbol="QQQ", side="sell"))

    assert (sold.status_code, short.status_code) == (200, 403)
    assert http.get("/v2/account").json()["shorting_enabled"] is False


def test_without_fractional_trading_shares_are_whole(http: httpx.Client) -> None:
    """403 with the service's words for a part of a share."""
    advance(http, at(20))
    http.patch(SETTINGS, json={"fractional_trading": False})

    refused = http.post("/v2/orders", json=order(qty="1.5"))

    assert refused.status_code == 403
    assert refused.json()["message"] == "fractional trading is disabled for this account"
    assert http.post("/v2/orders", json=order()).status_code == 200


@pytest.mark.parametrize(("multiplier", "power", "shorting"), [("1", "100000", False), ("2", "200000", True)])
def test_the_margin_multiplier_is_capped_at_once(
    http: httpx.Client, multiplier: str, power: str, shorting: bool
) -> None:
    """Buying power is the cap times equity, and an account without margin cannot short."""
    http.patch(SETTINGS, json={"max_margin_multiplier": multiplier})

    account = http.get("/v2/account").json()

    assert (account["multiplier"], account["buying_power"]) == (multiplier, power)
    assert account["shorting_enabled"] is shorting


def test_a_new_accounts_history_starts_where_it_was_opened(http: httpx.Client) -> None:
    """Before the open there is nothing; then one point at 1D, worth the starting cash."""
    none = history(http, period="1M")
    advance(http, OPEN)
    daily = history(http, period="1M", timeframe="1D")

    assert (none["timestamp"], none["base_value"], none["timeframe"]) == ([], 100000.0, "1D")
    assert (stamps(daily), daily["equity"]) == ([datetime(2024, 8, 28, tzinfo=UTC)], [100000.0])
    assert "base_value_asof" not in daily


def test_a_days_minutes_hold_the_equity_at_their_ends(http: httpx.Client) -> None:
    """Ten shares bought in the first minute gain ten dollars a minute, less the spread of none."""
    advance(http, at(20))
    http.post("/v2/orders", json=order(qty="10"))
    price = Decimal(http.get("/v2/account/activities/FILL").json()[0]["price"])
    advance(http, at(3 * 60 + 20))

    body = history(http, period="1D", timeframe="1Min")

    marks = [Decimal(100), Decimal(101), Decimal(102), Decimal(103)]
    wanted = [float(100_000 + 10 * (mark - price)) for mark in marks]
    assert stamps(body) == [at(60 * place) for place in range(4)]
    assert body["equity"] == pytest.approx(wanted)
    assert body["profit_loss"] == pytest.approx([value - 100_000 for value in wanted])
    assert body["profit_loss_pct"] == pytest.approx(
        [(value - 100_000) / 100_000 for value in wanted], abs=1e-6
    )
    assert body["equity"][-1] == float(http.get("/v2/account").json()["equity"])


def test_a_session_has_its_documented_windows(http: httpx.Client) -> None:
    """27 quarters of an hour from open to close, 391 minutes, 7 hours; 65 quarters with extended hours."""
    advance(http, CLOSE + timedelta(hours=5))

    counts = {
        (timeframe, reporting): len(
            history(http, period="1D", timeframe=timeframe, intraday_reporting=reporting)["timestamp"]
        )
        for timeframe, reporting in (
            ("15Min", "market_hours"),
            ("1Min", "market_hours"),
            ("1H", "market_hours"),
            ("5Min", "market_hours"),
            ("15Min", "extended_hours"),
        )
    }

    assert counts == {
        ("15Min", "market_hours"): 27,
        ("1Min", "market_hours"): 391,
        ("1H", "market_hours"): 7,
        ("5Min", "market_hours"): 79,
        # The venue was opened at 09:25, so the windows from 09:15 to 20:00 are there.
        ("15Min", "extended_hours"): 44,
    }


def test_days_agree_with_the_account(http: httpx.Client) -> None:
    """A day's point is the next day's last_equity; profit is day by day; fees are counted where asked."""
    advance(http, at(20))
    http.post("/v2/orders", json=order(qty="10"))
    http.post("/v2/orders", json=order(qty="4", side="sell"))
    advance(http, OPEN + timedelta(days=1, minutes=5))

    daily = history(http, period="1W", timeframe="1D", cashflow_types="ALL")
    minutes = history(http, period="1D", timeframe="5Min")
    account = http.get("/v2/account").json()

    assert daily["equity"] == [float(account["last_equity"]), float(account["equity"])]
    assert daily["profit_loss"] == pytest.approx(
        [daily["equity"][0] - 100_000, daily["equity"][1] - daily["equity"][0]]
    )
    assert stamps(daily) == [datetime(2024, 8, 28, tzinfo=UTC), datetime(2024, 8, 29, tzinfo=UTC)]
    assert daily["cashflow"]["FEE"][0] < 0
    assert (minutes["base_value"], minutes["base_value_asof"]) == (daily["equity"][0], "2024-08-27")
    assert stamps(minutes)[0] == OPEN + timedelta(days=1)


def test_an_instant_has_one_equity_in_every_timeframe(http: httpx.Client) -> None:
    """The quarter's end is the minute's end; a past day is worked out from its own bars."""
    advance(http, at(20))
    http.post("/v2/orders", json=order(qty="7"))
    advance(http, at(3600))
    http.post("/v2/orders", json=order(qty="3", side="sell"))
    advance(http, OPEN + timedelta(days=1, minutes=5))
    window = {"start": OPEN.isoformat(), "end": (CLOSE - timedelta(minutes=1)).isoformat()}

    fine = history(http, timeframe="1Min", **window)
    coarse = history(http, timeframe="15Min", **window)

    assert len(fine["equity"]) == 390
    assert fine["equity"][14::15] == coarse["equity"]
    assert len(set(coarse["equity"])) == len(coarse["equity"])


def test_profit_without_a_daily_reset_runs_on(http: httpx.Client) -> None:
    """With no_reset the second day's profit is against the equity before the first."""
    advance(http, at(20))
    http.post("/v2/orders", json=order(qty="10"))
    advance(http, OPEN + timedelta(days=1, minutes=1))
    window = {"start": OPEN.isoformat(), "timeframe": "1H"}

    reset = history(http, **window)
    running = history(http, pnl_reset="no_reset", **window)

    assert running["profit_loss"][-1] == pytest.approx(running["equity"][-1] - 100_000)
    assert reset["profit_loss"][-1] == pytest.approx(reset["equity"][-1] - reset["equity"][6], abs=0.02)


def test_starts_and_ends_in_every_form(http: httpx.Client) -> None:
    """Seconds, dates, offsets and nanoseconds are read; a start within hours takes its window along."""
    advance(http, CLOSE)
    seconds = str(int(at(3600).timestamp()))
    dated = history(http, start=DAY.isoformat(), end=DAY.isoformat(), timeframe="1D")
    later = history(http, start=NEXT_DAY.isoformat(), timeframe="1D")

    assert stamps(history(http, start=seconds, timeframe="15Min", period="1D"))[0] == at(3600)
    assert stamps(history(http, start=at(3700).isoformat(), timeframe="15Min"))[0] == at(3600)
    nanos = at(3600).strftime("%Y-%m-%dT%H:%M:%S.123456789Z")
    assert stamps(history(http, end=nanos, timeframe="1H", period="1D"))[-1] == at(3600)
    assert stamps(history(http, date_start=DAY.isoformat(), timeframe="1H", extended_hours="true"))[0] < OPEN
    assert (len(dated["equity"]), later["equity"]) == (1, [])


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"period": "1Y"}, "invalid period"),
        ({"period": "0D"}, "invalid period"),
        ({"timeframe": "2Min"}, "invalid timeframe"),
        ({"period": "2M", "timeframe": "1H"}, "up to 30 days"),
        ({"period": "8D", "timeframe": "1Min"}, "up to 7 days"),
        ({"intraday_reporting": "always"}, "invalid intraday_reporting"),
        ({"pnl_reset": "never"}, "invalid pnl_reset"),
        ({"start": "soon"}, "invalid start"),
        ({"start": "2024-08-27", "end": "2024-08-28", "period": "1D"}, "only two of"),
        ({"start": "2024-08-28", "end": "2024-08-27"}, "end must not be before start"),
        ({"start": "99999999999999999999"}, "invalid start"),
    ],
)
def test_what_makes_no_history_is_refused(http: httpx.Client, params: dict[str, str], words: str) -> None:
    """422 naming the parameter."""
    answer = http.get(HISTORY, params=params)

    assert (answer.status_code, answer.json()["code"]) == (422, 40010001)
    assert words in answer.json()["message"]


def test_the_length_of_the_period_chooses_the_timeframe(http: httpx.Client) -> None:
    """Minutes below a week, 15 minutes below 30 days, days beyond; `all` is fine."""
    chosen = {
        period: history(http, period=period)["timeframe"]
        for period in ("1D", "6D", "1W", "1M", "9999A", "all")
    }

    assert chosen == {"1D": "1Min", "6D": "1Min", "1W": "15Min", "1M": "1D", "9999A": "1D", "all": "1D"}


def test_continuous_reporting_goes_on_through_the_night(http: httpx.Client) -> None:
    """Every hour has a point from the opening of the venue until now, and the equity holds overnight."""
    advance(http, at(20))
    http.post("/v2/orders", json=order(qty="10"))
    advance(http, OPEN + timedelta(days=1))

    body = history(
        http, start=OPEN.isoformat(), timeframe="1H", intraday_reporting="continuous", pnl_reset="no_reset"
    )

    hours = [int(stamp.timestamp()) for stamp in stamps(body)]
    assert {after - before for before, after in pairwise(hours)} == {3600}
    assert hours[-1] == int((OPEN + timedelta(days=1)).timestamp()) - 1800  # 13:00 UTC
    assert len(hours) == 25


def test_a_split_is_an_activity_and_no_gain() -> None:
    """Ten shares become forty: SPLIT tells the thirty added, and history goes through it as well."""
    floor = floor_of()
    floor.advance(at(20))
    floor.submit(ask_for(qty="10"))
    floor.advance(at(3600))
    floor.split("SPY", Decimal(1), Decimal(4))
    floor.split("QQQ", Decimal(1), Decimal(2))
    floor.advance(at(7200))
    with (
        ExchangeServer(floor) as server,
        httpx.Client(base_url=server.url, headers=KEYS) as http,
    ):
        (split,) = http.get("/v2/account/activities/SPLIT").json()
        kinds = [row["activity_type"] for row in http.get("/v2/account/activities").json()]
        others = http.get("/v2/account/activities", params={"category": "non_trade_activity"}).json()
        rest = http.get("/v2/account/activities", params={"page_token": split["id"]}).json()
        body = history(http, period="1D", timeframe="1H")
        account = http.get("/v2/account").json()

    assert (split["symbol"], split["qty"], split["net_amount"], split["date"]) == (
        "SPY",
        "30",
        "0",
        "2024-08-27",
    )
    assert kinds == ["SPLIT", "FILL"]
    assert others == [split]
    assert [row["activity_type"] for row in rest] == ["FILL"]
    # This market goes on at 100 whatever is split, so forty shares are worth four times as much.
    assert body["equity"] == pytest.approx([99_999.9, 102_999.9, 102_999.9])
    assert body["equity"][-1] == float(account["equity"])

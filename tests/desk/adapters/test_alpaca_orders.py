"""Every form of order on the wire, replacing one, and what is read back, through alpaca-py and sockets."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from desk.adapters.alpaca_broker import AlpacaBroker
from desk.errors import OutcomeUnknown, Rejected
from schemas.orders import OrderClass, OrderType, Purpose, Side
from tests.desk.adapters.rough import RESET, Answer, Said, rough_server
from tests.desk.adapters.wire import CLIENT_ID, account_at, broker_at, intent, order_json

OLD_ID = "11111111-8549-4bfd-b9c3-01e75843f47d"
ABSENT = Answer(404, {"code": 40410000, "message": "order not found"})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"order_type": OrderType.TRAILING_STOP, "limit_price": None, "trail_percent": Decimal("1.50")},
            {"type": "trailing_stop", "trail_percent": "1.5", "limit_price": None},
        ),
        (
            {"order_type": OrderType.TRAILING_STOP, "limit_price": None, "trail_price": Decimal("0.40")},
            {"type": "trailing_stop", "trail_price": "0.4", "trail_percent": None},
        ),
        (
            {
                "order_class": OrderClass.BRACKET,
                "take_profit_price": Decimal("190.00"),
                "stop_loss_price": Decimal("185.5"),
                "stop_loss_limit_price": Decimal("185"),
            },
            {
                "order_class": "bracket",
                "limit_price": "187.13",
                "take_profit": {"limit_price": "190"},
                "stop_loss": {"stop_price": "185.5", "limit_price": "185"},
            },
        ),
        (
            {
                "order_class": OrderClass.OCO,
                "side": Side.SELL,
                "limit_price": Decimal(190),
                "take_profit_price": Decimal(190),
                "stop_loss_price": Decimal("185.5"),
            },
            {
                "order_class": "oco",
                "limit_price": None,
                "take_profit": {"limit_price": "190"},
                "stop_loss": {"stop_price": "185.5"},
            },
        ),
        (
            {"order_class": OrderClass.OTO, "stop_loss_price": Decimal("185.5")},
            {"order_class": "oto", "stop_loss": {"stop_price": "185.5"}, "take_profit": None},
        ),
        ({"extended_hours": True}, {"extended_hours": True, "order_class": None}),
    ],
    ids=["trail percent", "trail price", "bracket", "oco", "oto", "extended hours"],
)
def test_every_form_of_order_is_posted_as_alpaca_reads_it(
    changes: dict[str, Any], expected: dict[str, Any]
) -> None:
    """Legs are objects, a trail is one of two numbers, and what does not belong to the form is absent."""
    side = str(changes.get("side", Side.BUY))
    with rough_server(lambda said: Answer(200, order_json(side=side))) as server:
        broker_at(server.url).submit(intent(**changes))

        body = server.seen[0].body
        assert {name: body.get(name) for name in expected} == expected


def test_legs_and_trails_are_read() -> None:
    """A nested answer gives the further orders with ids of their own."""
    leg = order_json(id="leg-1", client_order_id="made-by-broker", side="sell", status="held")
    body = order_json(order_class="bracket", legs=[leg], trail_price="0.40", trail_percent="")
    with rough_server(lambda said: Answer(200, body)) as server:
        order = broker_at(server.url).order("x")

        assert server.seen[0].query == {"nested": "true"}
    assert (order.order_class, order.trail_price, order.trail_percent) == ("bracket", Decimal("0.40"), None)
    assert [(each.broker_order_id, each.side, each.status) for each in order.legs] == [
        ("leg-1", Side.SELL, "held")
    ]


def test_legs_are_found_by_our_id_too() -> None:
    """The look-up by client id does not nest, so a complex order is asked for again by the broker's id."""

    def script(said: Said) -> Answer:
        nested = said.query.get("nested") == "true"
        return Answer(200, order_json(order_class="oco", legs=[order_json(id="leg-1")] if nested else None))

    with rough_server(script) as server:
        order = broker_at(server.url).order_by_client_id(CLIENT_ID)

    assert [each.broker_order_id for each in order.legs] == ["leg-1"]


# ---- replace ---------------------------------------------------------------------------------------


def test_a_replace_states_quantity_and_new_id() -> None:
    """Quantity is always on the wire: without it a partly filled order is opened anew (Alpaca-API #165)."""
    with rough_server(lambda said: Answer(200, order_json(id="new", replaces=OLD_ID))) as server:
        order = broker_at(server.url).replace(OLD_ID, intent(replaces="old", limit_price=Decimal("187.10")))

        (said,) = server.seen
    assert (said.method, said.path) == ("PATCH", f"/v2/orders/{OLD_ID}")
    assert said.body == {
        "client_order_id": CLIENT_ID,
        "qty": "5",
        "time_in_force": "day",
        "limit_price": "187.1",
    }
    assert (order.broker_order_id, order.replaces) == ("new", OLD_ID)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(504, "upstream timed out"),
        Answer(500, "<html></html>"),
        Answer(200, "<html></html>"),
        Answer(200, order_json(client_order_id="somebody-else")),
        Answer(200, order_json(replaces="another")),
        RESET,
    ],
    ids=str,
)
def test_a_replace_without_a_definite_answer_is_unknown_and_sent_once(answer: Answer | str) -> None:
    """Both orders may be at work, so nobody assumes either, and nothing is sent again."""
    with rough_server(lambda said: answer) as server:
        with pytest.raises(OutcomeUnknown):
            broker_at(server.url).replace(OLD_ID, intent(replaces="old"))

        assert [said.method for said in server.seen] == ["PATCH"]


@pytest.mark.parametrize("status", [403, 404, 422])
def test_a_refused_replace_leaves_the_old_order(status: int) -> None:
    """A 4xx whose new id the broker does not know is a plain refusal."""
    refused = Answer(status, {"code": 42210000, "message": "cannot replace order in accepted status"})
    with rough_server(lambda said: refused if said.method == "PATCH" else ABSENT) as server:
        with pytest.raises(Rejected, match="cannot replace"):
            broker_at(server.url).replace(OLD_ID, intent(replaces="old"))

        assert server.count("PATCH") == 1


def test_a_refused_replace_whose_new_order_exists_is_that_order() -> None:
    """Asked again after a lost answer, the broker refuses, and the new id finds what the first ask did."""
    refused = Answer(422, {"code": 42210000, "message": "order already replaced"})
    found = Answer(200, order_json(id="new", replaces=OLD_ID))
    with rough_server(lambda said: refused if said.method == "PATCH" else found) as server:
        order = broker_at(server.url).replace(OLD_ID, intent(replaces="old"))

    assert order.broker_order_id == "new"


def test_a_fraction_is_not_replaced() -> None:
    """Alpaca replaces whole shares only; the request never leaves."""
    with rough_server(lambda said: Answer(200, order_json())) as server:
        with pytest.raises(Rejected, match="whole shares") as caught:
            broker_at(server.url).replace(OLD_ID, intent(qty=Decimal("1.5")))

        assert caught.value.code == "not_sent"
        assert server.seen == []


# ---- assets ----------------------------------------------------------------------------------------


def _asset(symbol: str) -> dict[str, Any]:
    return {"symbol": symbol, "tradable": True, "status": "active", "exchange": "NYSE"}


def test_many_assets_are_one_request() -> None:
    """150 symbols cost one list and not 150 of the 200 requests a minute has."""
    symbols = [f"S{number}" for number in range(150)]

    def script(said: Said) -> Answer:
        return Answer(200, [_asset(symbol) for symbol in [*symbols, "OTHER"]] + ["rubbish"])

    with rough_server(script) as server:
        found = broker_at(server.url).assets(symbols)

        assert len(server.seen) == 1
        assert server.seen[0].query == {"status": "active", "asset_class": "us_equity"}
    assert sorted(found) == sorted(symbols)


def test_an_asset_the_list_lacks_is_asked_for_by_name() -> None:
    """An inactive share is not in the list, and one the broker does not know is absent."""
    symbols = [f"S{number}" for number in range(10)]

    def script(said: Said) -> Answer:
        if said.path.endswith("/assets"):
            return Answer(200, [_asset(symbol) for symbol in symbols[2:]])
        return ABSENT if said.path.endswith("S0") else Answer(200, _asset("S1") | {"tradable": False})

    with rough_server(script) as server:
        found = broker_at(server.url).assets(symbols)

    assert "S0" not in found
    assert not found["S1"].tradable
    assert len(found) == 9


# ---- the budget of requests ------------------------------------------------------------------------


def test_e4_when_the_budget_is_short_entries_stay_and_exits_go() -> None:
    """Twenty requests a minute: look-ups used them up, an entry is not sent, cancels and exits are (E4)."""
    with rough_server(lambda said: Answer(200, order_json())) as server:
        broker = AlpacaBroker(replace(account_at(server.url), requests_per_minute=20), sleep=lambda _: None)
        for _ in range(16):
            broker.order("x")

        with pytest.raises(Rejected, match="16 of 20 requests") as caught:
            broker.submit(intent())
        broker.cancel("x")
        broker.submit(intent(purpose=Purpose.EXIT))
        for _ in range(10):
            broker.cancel("x")

        assert caught.value.code == "not_sent"
        assert server.count("POST") == 1
        assert server.count("DELETE") == 11


def test_e4_a_429_holds_entries_back_and_is_counted() -> None:
    """After the broker's no the next entry is not even sent; nothing of it is unknown (E4)."""
    limited = Answer(429, {"code": 42910000, "message": "rate limit exceeded"}, {"Retry-After": "30"})
    with rough_server(lambda said: limited) as server:
        broker = broker_at(server.url)
        for _ in range(2):
            with pytest.raises(Rejected):
                broker.submit(intent())

        assert server.count("POST") == 1
        assert broker.throttler.traffic().refused == 1
        assert broker.throttler.traffic().withheld == 1

"""Sending and canceling through the broker adapter against servers that misbehave, over real sockets."""

import time
from decimal import Decimal
from typing import Any

import pytest

from desk.errors import OutcomeUnknown, Rejected
from tests.desk.adapters.rough import DRIP, HANG, HTML, RESET, Answer, Said, rough_server
from tests.desk.adapters.wire import CLIENT_ID, broker_at, intent, order_json

TAKEN = {"code": 42210000, "message": "client_order_id must be unique"}


def test_submit_sends_exact_decimals_and_our_id() -> None:
    """Amounts reach the wire as the exact decimal text, without float or exponent."""
    with rough_server(lambda said: Answer(200, order_json(qty="100"))) as server:
        broker_at(server.url).submit(intent(qty=Decimal("1E+2"), limit_price=Decimal("0.1000")))

        (said,) = server.seen
        assert said.path == "/v2/orders"
        assert said.body == {
            "client_order_id": CLIENT_ID,
            "symbol": "AAPL",
            "side": "buy",
            "qty": "100",
            "type": "limit",
            "time_in_force": "day",
            "limit_price": "0.1",
        }


@pytest.mark.parametrize(
    "answer",
    [
        Answer(504, "upstream timed out"),
        Answer(500, HTML, {"Content-Type": "text/html"}),
        Answer(503, {"message": "unavailable"}),
        Answer(408, {"message": "request timeout"}),
        Answer(409, {"message": "conflict"}),
        Answer(301, "", {"Location": "/elsewhere"}),
        Answer(302, "", {"Location": "/elsewhere"}),
        Answer(200, HTML),
        Answer(200, ""),
        Answer(200, []),
        Answer(200, {"id": "x"}),
        Answer(200, order_json(client_order_id="somebody-else")),
        RESET,
    ],
    ids=str,
)
def test_submit_without_a_definite_answer_is_unknown_and_sent_once(answer: Answer | str) -> None:
    """Whatever is not a definite answer leaves the outcome unknown, and exactly one POST was sent."""
    with rough_server(lambda said: answer) as server:
        broker = broker_at(server.url)

        with pytest.raises(OutcomeUnknown):
            broker.submit(intent())

        assert [said.method for said in server.seen] == ["POST"]


@pytest.mark.parametrize("how", [HANG, DRIP])
def test_submit_to_a_mute_server_ends_within_its_limits(how: str) -> None:
    """A server that never answers, or never stops answering, holds the desk no longer than the limits."""
    with rough_server(lambda said: how) as server:
        broker = broker_at(server.url, read_timeout_s=0.2)
        started = time.monotonic()

        with pytest.raises(OutcomeUnknown):
            broker.submit(intent())

        assert time.monotonic() - started < 4.0
        assert server.count("POST") == 1


def test_submit_after_the_server_closed_an_idle_connection_arrives_once() -> None:
    """A kept-alive connection that ended while idle is not used for an order."""
    with rough_server(lambda said: Answer(200, order_json(), hang_up=True)) as server:
        broker = broker_at(server.url)
        broker.order("x")
        assert server.closed.acquire(timeout=5)

        assert broker.submit(intent()).client_order_id == CLIENT_ID
        assert server.count("POST") == 1


def test_submit_to_nobody_was_not_sent() -> None:
    """Where no connection was made nothing left this machine, which is a definite no."""
    with rough_server(lambda said: HANG) as server:
        url = server.url

    with pytest.raises(Rejected, match="not sent") as refusal:
        broker_at(url).submit(intent())

    assert refusal.value.code == "not_sent"


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (400, {"message": "bad request"}, "400"),
        (401, {"message": "unauthorized."}, "401"),
        (401, HTML, "401"),
        (403, {"code": 40310000, "message": "insufficient buying power"}, "40310000"),
        (404, HTML, "404"),
        (429, {"code": 42910000, "message": "rate limit exceeded"}, "42910000"),
        (429, {"message": "too many requests."}, "429"),
        (429, HTML, "429"),
    ],
)
def test_submit_refused_is_rejected_with_code_and_status(status: int, body: Any, code: str) -> None:
    """A 4xx that refuses the request is a definite no, whatever its body looks like."""
    absent = Answer(404, {"code": 40410000, "message": "order not found"})
    with rough_server(lambda said: Answer(status, body) if said.method == "POST" else absent) as server:
        with pytest.raises(Rejected) as caught:
            broker_at(server.url).submit(intent())

        assert (caught.value.status, caught.value.code) == (status, code)
        assert server.count("POST") == 1
        if status == 429:
            assert server.count("GET") == 0  # a look-up would cost what is short


def test_submit_refused_by_a_rule_is_rejected_after_a_look_up() -> None:
    """A 422 whose id the broker does not know is the plain refusal."""

    def script(said: Said) -> Answer:
        if said.method == "POST":
            return Answer(422, {"code": 42210000, "message": 'asset "AAPL" not found'})
        return Answer(404, {"code": 40410000, "message": "order not found"})

    with rough_server(script) as server, pytest.raises(Rejected, match="not found") as caught:
        broker_at(server.url).submit(intent())

    assert caught.value.code == "42210000"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (422, TAKEN),
        (422, {"code": 40010001, "message": "reworded one day"}),
        (403, {"code": 40310000, "message": "insufficient qty available for order"}),
    ],
)
def test_submit_of_a_taken_id_gives_the_order_that_exists(status: int, body: dict[str, Any]) -> None:
    """A refused duplicate is the order we already have, whatever words the refusal uses (I2)."""

    def script(said: Said) -> Answer:
        return Answer(status, body) if said.method == "POST" else Answer(200, order_json(status="filled"))

    with rough_server(script) as server:
        order = broker_at(server.url).submit(intent())

        assert (order.client_order_id, order.status) == (CLIENT_ID, "filled")
        assert server.seen[1].query == {"client_order_id": CLIENT_ID}


@pytest.mark.parametrize(
    "found",
    [
        Answer(200, order_json(qty="6")),
        Answer(200, order_json(side="sell")),
        Answer(200, order_json(symbol="MSFT")),
        Answer(500, HTML),
        Answer(404, {"code": 40410000, "message": "order not found"}),
    ],
    ids=["qty", "side", "symbol", "unavailable", "not found"],
)
def test_submit_of_a_taken_id_that_cannot_be_settled_is_unknown(found: Answer) -> None:
    """A duplicate that is a different order, or cannot be looked up, is never a plain rejection."""
    with rough_server(lambda said: Answer(422, TAKEN) if said.method == "POST" else found) as server:
        with pytest.raises(OutcomeUnknown):
            broker_at(server.url).submit(intent())

        assert server.count("POST") == 1


@pytest.mark.parametrize("status", [400, 401, 403, 422, 429])
def test_a_refused_second_send_says_nothing_of_an_unanswered_first(status: int) -> None:
    """Once a send was not answered, a refusal of the next does not end the order; finding it does (I4)."""
    refused = Answer(status, {"code": status * 100_000, "message": "no"}, {"Retry-After": "0"})
    absent = Answer(404, {"code": 40410000, "message": "order not found"})
    sends = iter([Answer(504, ""), refused, Answer(200, order_json())])
    with rough_server(lambda said: next(sends) if said.method == "POST" else absent) as server:
        broker = broker_at(server.url)

        for _ in range(2):
            with pytest.raises(OutcomeUnknown):
                broker.submit(intent())
        assert broker.submit(intent()).client_order_id == CLIENT_ID


@pytest.mark.parametrize("status", [301, 302, 307])
def test_cancel_redirected_is_not_a_cancel(status: int) -> None:
    """A redirected DELETE, a success to alpaca-py, leaves the outcome unknown."""
    answer = Answer(status, "", {"Location": "/v2/orders/x"})
    with rough_server(lambda said: answer) as server, pytest.raises(OutcomeUnknown):
        broker_at(server.url).cancel("x")


def test_cancel_of_a_filled_order_is_rejected() -> None:
    """An order past canceling is a definite no."""
    body = {"code": 42210000, "message": 'order is already in "filled" state'}
    with rough_server(lambda said: Answer(422, body)) as server, pytest.raises(Rejected, match="filled"):
        broker_at(server.url).cancel("x")


def test_cancel_accepted_returns() -> None:
    """A 204 means asked, and the request named the order."""
    with rough_server(lambda said: Answer(204)) as server:
        broker_at(server.url).cancel("a/b")

        assert server.seen[0].path == "/v2/orders/a%2Fb"


def test_cancel_all_counts_what_was_asked() -> None:
    """Entries that were refused do not count as asked."""
    body = [{"id": "a", "status": 200, "body": {}}, {"id": "b", "status": 500, "body": {}}]
    with rough_server(lambda said: Answer(207, body)) as server:
        assert broker_at(server.url).cancel_all() == 1


@pytest.mark.parametrize(
    "answer", [Answer(200, HTML), Answer(207, {}), Answer(504, ""), Answer(301, "")], ids=str
)
def test_cancel_all_without_a_list_is_unknown(answer: Answer) -> None:
    """Without the list nobody knows what was asked."""
    with rough_server(lambda said: answer) as server, pytest.raises(OutcomeUnknown):
        broker_at(server.url).cancel_all()


def test_of_a_proxys_page_only_its_title_is_quoted() -> None:
    """What a person reads about a lost order is one line of words, not HTML."""
    page = "<html><head><title>504 Gateway Time-out</title></head><body>\n<h1>504</h1></body></html>"
    with (
        rough_server(lambda said: Answer(504, page, {"Content-Type": "text/html"})) as server,
        pytest.raises(OutcomeUnknown) as lost,
    ):
        broker_at(server.url).submit(intent())

    assert str(lost.value) == "POST /orders: HTTP 504 Gateway Time-out"

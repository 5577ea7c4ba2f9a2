"""Reading through the broker adapter: passing trouble, pages, and rows that say too little or too much."""

import time
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from desk.errors import BrokerUnavailable, NotFound
from schemas.orders import Side
from tests.desk.adapters.rough import HANG, HTML, RESET, Answer, Said, rough_server
from tests.desk.adapters.wire import CLIENT_ID, NOON, broker_at, fill_json, order_json, stamp


@pytest.mark.parametrize(
    "answer",
    [
        Answer(500, HTML),
        Answer(504, ""),
        Answer(429, {"code": 42910000, "message": "rate limit exceeded"}),
        Answer(200, HTML),
        RESET,
    ],
    ids=str,
)
def test_read_tries_again_a_bounded_number_of_times(answer: Answer | str) -> None:
    """A read in passing trouble is tried as often as set, then the broker is unavailable."""
    with rough_server(lambda said: answer) as server:
        with pytest.raises(BrokerUnavailable):
            broker_at(server.url, attempts=3).account()

        assert server.count("GET") == 3


@pytest.mark.parametrize(
    "answer",
    [Answer(401, {"message": "unauthorized."}), Answer(403, HTML), Answer(301, ""), Answer(404, HTML)],
    ids=str,
)
def test_read_refused_is_not_tried_again(answer: Answer) -> None:
    """Trouble that will not pass ends a read at once; a 404 without Alpaca's words is not NotFound."""
    with rough_server(lambda said: answer) as server:
        with pytest.raises(BrokerUnavailable):
            broker_at(server.url).order("x")

        assert server.count("GET") == 1


@pytest.mark.parametrize(
    ("headers", "pauses"),
    [({}, [0.25, 0.5]), ({"Retry-After": "1"}, [1.0, 1.0]), ({"Retry-After": "3600"}, [5.0, 5.0])],
)
def test_read_waits_as_asked_within_a_limit(headers: dict[str, str], pauses: list[float]) -> None:
    """Retry-After is honoured up to a limit; without it pauses double."""
    slept: list[float] = []
    answer = Answer(429, {"code": 42910000, "message": "rate limit exceeded"}, headers)
    with rough_server(lambda said: answer) as server, pytest.raises(BrokerUnavailable):
        broker_at(server.url, sleep=slept.append).account()

    assert slept == pauses


def test_read_recovers_after_trouble() -> None:
    """A read that succeeds on a later try gives its answer."""
    answers = iter([RESET, Answer(504, ""), Answer(200, order_json())])
    with rough_server(lambda said: next(answers)) as server:
        assert broker_at(server.url).order("x").client_order_id == CLIENT_ID


def test_read_of_a_mute_server_ends_within_its_limits() -> None:
    """Every try of a read has its time-out."""
    with rough_server(lambda said: HANG) as server:
        started = time.monotonic()

        with pytest.raises(BrokerUnavailable):
            broker_at(server.url, read_timeout_s=0.2, attempts=2).positions()

        assert time.monotonic() - started < 4.0


def test_order_unknown_to_the_broker_is_not_found() -> None:
    """Alpaca's own 404 is a definite answer, asked once."""
    body = {"code": 40410000, "message": "order not found for x"}
    with rough_server(lambda said: Answer(404, body)) as server:
        with pytest.raises(NotFound):
            broker_at(server.url).order_by_client_id("x")

        assert server.count("GET") == 1


def test_proxy_and_netrc_of_the_environment_are_not_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """On loopback neither a proxy nor .netrc of the environment gets in between."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with rough_server(lambda said: Answer(200, order_json())) as server:
        broker_at(server.url).order("x")

        assert "Authorization" not in server.seen[0].headers


def test_order_with_unknown_words_and_few_fields_is_read() -> None:
    """Unknown words stay readable, nanoseconds are cut, absent fields are None."""
    row = {
        "id": "x",
        "client_order_id": "c",
        "symbol": "AAPL",
        "side": "buy",
        "status": "quantum_filled",
        "type": "warp",
        "qty": 5,
        "filled_qty": 2.5,
        "submitted_at": "2026-11-20T17:00:02.402119999Z",
        "new_field": {"deep": []},
    }
    with rough_server(lambda said: Answer(200, row)) as server:
        order = broker_at(server.url).order("x")

    assert (order.status, order.order_type, order.time_in_force) == ("quantum_filled", "warp", "")
    assert (order.qty, order.filled_qty, order.limit_price) == (Decimal("5"), Decimal("2.5"), None)
    assert order.submitted_at == order.updated_at == NOON + timedelta(seconds=2, microseconds=402119)


@pytest.mark.parametrize(
    "bad", [{"qty": "NaN"}, {"qty": True}, {"side": ""}, {"submitted_at": "noon"}], ids=str
)
def test_one_unreadable_foreign_order_is_left_out_and_counted(bad: dict[str, Any]) -> None:
    """A foreign order that cannot be read neither kills the list nor vanishes unreported."""
    rows = [order_json(**(bad | {"id": "a", "client_order_id": "by-hand"})), order_json()]
    with rough_server(lambda said: Answer(200, rows)) as server:
        broker = broker_at(server.url)

        assert [order.client_order_id for order in broker.open_orders()] == [CLIENT_ID]
        assert broker.unreadable == 1


@pytest.mark.parametrize("name", [CLIENT_ID, None])
def test_an_unreadable_order_that_may_be_ours_makes_the_list_unavailable(name: str | None) -> None:
    """A list that silently lacked our order would read as "it never arrived" (I4)."""
    rows = [order_json(qty="many", client_order_id=name)]
    with rough_server(lambda said: Answer(200, rows)) as server, pytest.raises(BrokerUnavailable):
        broker_at(server.url).open_orders()


def test_an_unreadable_position_makes_positions_unavailable() -> None:
    """A position that is left out would read as flat (I14)."""
    rows = [{"symbol": "AAPL", "qty": "?", "avg_entry_price": "1"}]
    with rough_server(lambda said: Answer(200, rows)) as server, pytest.raises(BrokerUnavailable):
        broker_at(server.url).positions()


def test_a_short_position_has_a_negative_qty_either_way() -> None:
    """Alpaca writes a short's qty negative; the side decides should it ever not."""
    rows = [
        {"symbol": "A", "qty": "-3", "side": "short", "avg_entry_price": "10"},
        {"symbol": "B", "qty": "3", "side": "short", "cost_basis": "-30"},
    ]
    with rough_server(lambda said: Answer(200, rows)) as server:
        positions = broker_at(server.url).positions()

    assert [(p.symbol, p.qty, p.avg_entry_price) for p in positions] == [
        ("A", Decimal("-3"), Decimal("10")),
        ("B", Decimal("-3"), Decimal("10")),
    ]


def _orders_script(rows: list[dict[str, Any]]) -> Any:
    """Answer GET /orders as documented: asc, after exclusive, at most 500, after_order_id."""

    def script(said: Said) -> Answer:
        found = rows
        if "after" in said.query:
            found = [row for row in found if row["submitted_at"] > said.query["after"]]
        if "after_order_id" in said.query:
            ids = [row["id"] for row in rows]
            found = rows[ids.index(said.query["after_order_id"]) + 1 :]
        return Answer(200, found[: int(said.query["limit"])])

    return script


@pytest.mark.parametrize("per_instant", [1, 7, 300, 500, 1300])
def test_orders_since_is_complete_beyond_a_page(per_instant: int) -> None:
    """1,300 orders come complete and once each, however many share an instant."""
    rows = [
        order_json(id=f"o{i:05d}", client_order_id=f"c{i}", submitted_at=stamp(i // per_instant))
        for i in range(1300)
    ]
    with rough_server(_orders_script(rows)) as server:
        orders = broker_at(server.url).orders_since(NOON)

    assert [order.broker_order_id for order in orders] == [row["id"] for row in rows]


def test_orders_since_includes_its_instant_and_nothing_before() -> None:
    """`after` is excluded at Alpaca and included here."""
    rows = [order_json(id=f"o{i}", submitted_at=stamp(i - 1)) for i in range(3)]
    with rough_server(_orders_script(rows)) as server:
        orders = broker_at(server.url).orders_since(NOON)

    assert [order.broker_order_id for order in orders] == ["o1", "o2"]


def test_orders_that_never_end_are_unavailable() -> None:
    """A server that gives the same full page for ever is an error, not an endless loop or a short list."""
    rows = [order_json(id=f"o{i}") for i in range(500)]
    with rough_server(lambda said: Answer(200, rows)) as server:
        with pytest.raises(BrokerUnavailable, match="does not end"):
            broker_at(server.url).open_orders()

        assert len(server.seen) < 10


def test_fills_since_follows_page_tokens() -> None:
    """250 fills of one millisecond come complete, oldest first, named by the execution id."""
    rows = [fill_json(i, NOON + timedelta(microseconds=i)) for i in range(250)]
    rows[3]["side"] = "sell_short"

    def script(said: Said) -> Answer:
        ids = [row["id"] for row in rows]
        start = ids.index(said.query["page_token"]) + 1 if "page_token" in said.query else 0
        return Answer(200, rows[start : start + int(said.query["page_size"])])

    with rough_server(script) as server:
        fills = broker_at(server.url).fills_since(NOON + timedelta(microseconds=2))

        assert len(server.seen) == 3
    assert [fill.execution_id[-3:] for fill in fills] == [f"{i:03d}" for i in range(2, 250)]
    assert fills[1].side is Side.SELL
    assert fills[0].execution_id == "00000000-0000-4000-8000-000000000002"


def test_one_unreadable_fill_is_left_out_and_counted() -> None:
    """The others survive; the order's filled quantity still tells of it."""
    rows = [fill_json(0, NOON, price=None), fill_json(1, NOON)]
    with rough_server(lambda said: Answer(200, rows)) as server:
        broker = broker_at(server.url)

        assert len(broker.fills_since(NOON)) == 1
        assert broker.unreadable == 1


def test_account_without_optional_fields_is_read() -> None:
    """Fields that came and went leave the account readable and grant nothing."""
    row = {"equity": "100000", "last_equity": 99000.5, "cash": "1", "buying_power": "2", "status": "NEW_WORD"}
    with rough_server(lambda said: Answer(200, row)) as server:
        account = broker_at(server.url).account()

    assert account.last_equity == Decimal("99000.5")
    assert (account.multiplier, account.shorting_enabled, account.status) == (1, False, "NEW_WORD")


def test_calendar_turns_new_york_times_into_utc() -> None:
    """Winter, summer and an early close become UTC instants."""
    rows = [
        {"date": "2026-11-27", "open": "09:30", "close": "13:00"},
        {"date": "2026-07-01", "open": "09:30", "close": "16:00"},
    ]
    with rough_server(lambda said: Answer(200, rows)) as server:
        days = broker_at(server.url).calendar(
            NOON.date().replace(month=7, day=1), NOON.date().replace(day=30)
        )

    assert [(d.opens_at.hour, d.closes_at.hour, d.early_close) for d in days] == [
        (13, 20, False),
        (14, 18, True),
    ]

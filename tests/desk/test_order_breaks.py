"""Orders that only one side has: flagged, named, and their symbol kept from entries until it is over (T3)."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from desk.bookkeeper import level_books
from desk.gate import review
from desk.own_order import ID_PREFIX
from desk.sizer import client_order_id
from desk.views import MarketView, gate_view
from schemas import events as ev
from schemas.orders import BrokerOrder, Denial, OrderState, Purpose, Reason, Side
from schemas.risk import BreakKind
from tests.desk.risk_book import LIMITS, entry, leave
from tests.desk.risk_book import gate_view as quiet_view
from tests.desk.scripted import Played, scripted
from tests.makers import NOON, intent

ORDER = intent("mqd-ours", qty="100", limit_price="50.00", reference_price="50")


def at_broker(played: Played, name: str, **changes: object) -> BrokerOrder:
    """Open an order at the broker that the ledger does not have."""
    return played.script._new(intent(name, qty="30", limit_price="90"), **changes)


def breaks(played: Played) -> dict[BreakKind, str]:
    """Compare the books and give the words of the breaks."""
    return {item.kind: item.detail for item in level_books(played.desk, adjust_max_usd=None)}


def test_an_order_named_like_ours_is_not_adopted() -> None:
    """Nobody here approved it (I5): it is flagged with its name, and the ledger plans nothing."""
    played = scripted()
    at_broker(played, "mqd-churner-20251126-AAPL-1430-n0")

    found = breaks(played)

    assert set(found) == {BreakKind.ORPHAN_ORDER}
    assert "mqd-churner-20251126-AAPL-1430-n0 is named like ours" in found[BreakKind.ORPHAN_ORDER]
    assert played.kinds(ev.OrderPlanned) == []
    assert not [call for call in played.script.calls if call.startswith("cancel")]


def test_ids_of_this_program_are_recognised() -> None:
    """What the sizer names begins as the reconciler expects."""
    made = client_order_id(
        strategy="x",
        session_date=date(2025, 11, 26),
        symbol="AAPL",
        bar_ts=NOON,
        purpose=Purpose.ENTRY,
        attempt=0,
    )

    assert made.startswith(ID_PREFIX)


def test_a_foreign_order_locks_its_symbol_for_entries_until_it_is_gone() -> None:
    """A person's open order: no entry beside it, and when it ends the symbol trades again (T3)."""
    played = scripted()
    theirs = at_broker(played, "web-1")
    breaks(played)
    assert played.desk.portfolio.locked_symbols() == {"AAPL"}
    assert gate_view(played.desk, MarketView()).locked == {"AAPL"}

    played.script.state(theirs.broker_order_id, "canceled")
    assert breaks(played) == {}

    assert played.desk.portfolio.locked_symbols() == frozenset()
    assert [event.how for event in played.kinds(ev.BreakResolved)] == ["cleared"]


def test_a_locked_symbol_lets_exits_through() -> None:
    """The position's quantity is known, and leaving must stay possible."""
    held = quiet_view(positions={"AAPL": Decimal(10)}, locked=frozenset({"AAPL"}))

    refused = review(entry(), replace(held, positions={}), LIMITS)
    leaving = review(leave(), held, LIMITS)

    assert isinstance(refused, Denial)
    assert refused.reason is Reason.OPEN_BREAK
    assert not isinstance(leaving, Denial)


def test_an_order_replaced_by_hand_is_named_as_such() -> None:
    """A person changed our order at the broker: the new one is theirs and ours is over."""
    played = scripted()
    played.send(ORDER)
    theirs = at_broker(played, "web-2", replaces="b1")
    played.script.state("b1", "replaced", replaced_by=theirs.broker_order_id)

    found = breaks(played)

    assert found[BreakKind.FOREIGN_ORDER].endswith("it replaced our mqd-ours by hand")
    assert played.of(ORDER).state is OrderState.CANCELED


def test_a_manual_trade_is_named() -> None:
    """Executed by hand and not undone: the break says what was traded."""
    played = scripted()
    theirs = at_broker(played, "web-3", side=Side.SELL)
    played.script.fill(theirs.broker_order_id, "30", price="91")

    found = breaks(played)

    assert "traded by hand or by another program" in found[BreakKind.FOREIGN_FILL]
    assert "sell 30 at 91" in found[BreakKind.FOREIGN_FILL]


@pytest.mark.parametrize("ended", ["canceled", "expired"])
def test_an_order_the_lists_lack_is_asked_for_by_name(ended: str) -> None:
    """The broker's list is short of one order; asked by its id it is known, and ends as the broker says."""
    played = scripted()
    played.send(ORDER)
    played.script.state("b1", ended)
    listed = played.script.orders_since
    played.script.orders_since = lambda after: tuple(  # type: ignore[method-assign]
        order for order in listed(after) if order.broker_order_id != "b1"
    )

    assert breaks(played) == {}
    assert played.of(ORDER).state.value == ended


def test_an_order_the_broker_lacks_altogether_is_a_shadow_and_does_not_end() -> None:
    """Lacking in the lists and under both names it is flagged; its exposure stays until a person acts."""
    played = scripted()
    played.send(ORDER)
    del played.script.orders["b1"]

    found = breaks(played)

    assert set(found) == {BreakKind.SHADOW_ORDER}
    assert {"order", "by_client_id"} <= set(played.script.calls)
    assert played.of(ORDER).remaining_qty == 100
    assert played.desk.portfolio.locked_symbols() == {"AAPL"}

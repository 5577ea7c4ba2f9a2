"""The auditor bites: each invariant, broken in plain words, is named; and it shares no code with the desk."""

from collections.abc import Callable
from typing import Any

import pytest

from desk.simulation.audit_books import Broken, Rules
from desk.simulation.auditor import Auditor
from tests.house import ROOMS, imports, modules

LIMITS = {
    "daily_loss_usd": "100",
    "position_shares_max": "100",
    "position_notional_max_usd": "2000",
    "order_notional_max_usd": "2000",
    "gross_max_usd": "3000",
    "net_max_usd": "3000",
    "orders_per_day": "5",
}
TS = "2025-11-28T15:00:00Z"


def auditor() -> Auditor:
    """Give an auditor of an account with 10,000 USD, opened, its session begun."""
    made = Auditor(opening_cash="10000", rules=Rules(limits=LIMITS, offset_bps="0", allow_fractional=False))
    made.ledger_row({"kind": "account_opened", "cash": "10000"})
    made.process_started()
    made.ledger_row({"kind": "session_started", "session_date": "2025-11-28"})
    return made


def intent(name: str = "a", **changed: Any) -> dict[str, Any]:
    """Give an entry of 10 XOM at 100."""
    return {
        "client_order_id": name,
        "strategy": "s",
        "symbol": "XOM",
        "side": "buy",
        "qty": "10",
        "order_type": "limit",
        "time_in_force": "day",
        "limit_price": "100.00",
        "stop_price": None,
        "reference_price": "100.00",
        "purpose": "entry",
        "bar_ts": TS,
        **changed,
    }


def planned(name: str = "a", **changed: Any) -> dict[str, Any]:
    """Give the row of an approved entry."""
    checks = [{"reason": "gross_exposure", "number": "1000", "limit": "3000"}]
    return {
        "kind": "order_planned",
        "intent": intent(name, **changed),
        "approval": {"client_order_id": name, "checks": checks},
    }


def at_venue(
    name: str = "a", *, status: str = "new", order_id: str | None = None, side: str = "buy", **execution: str
) -> dict[str, Any]:
    """Give an event at the venue."""
    done = {"execution_id": "e1", "symbol": "XOM", "side": side, "qty": "10", "price": "100", "fee": "0"}
    return {
        "event": status,
        "order_id": order_id or f"id-{name}",
        "client_order_id": name,
        "symbol": "XOM",
        "side": side,
        "status": status,
        "source": "access_key",
        "qty": "10",
        "limit_price": "100.00",
        "execution": {**done, **execution} if execution else None,
    }


def filled(**changed: str) -> dict[str, Any]:
    """Give the row of a booked execution."""
    fill = {
        "execution_id": "e1",
        "client_order_id": "a",
        "broker_order_id": "id-a",
        "strategy": "s",
        "symbol": "XOM",
        "side": "buy",
        "qty": "10",
        "price": "100",
        "cum_qty": "10",
        "fee": "0",
    }
    return {"kind": "fill_recorded", "fill": {**fill, **changed}, "source": "rest"}


def resting(made: Auditor) -> Auditor:
    """Let order a be planned, at the venue and acknowledged."""
    made.ledger_row(planned())
    made.venue_event(at_venue())
    made.ledger_row({"kind": "order_acknowledged", "client_order_id": "a"})
    return made


def holding(made: Auditor) -> Auditor:
    """Let order a be filled and booked."""
    resting(made)
    made.venue_event(at_venue(status="filled", execution_id="e1"))
    made.ledger_row(filled())
    return made


def _unplanned(made: Auditor) -> None:
    made.venue_event(at_venue())


def _sent_unplanned(made: Auditor) -> None:
    made.sends("a", holds_lease=True)


def _doubled_id(made: Auditor) -> None:
    resting(made).venue_event(at_venue(order_id="another"))


def _planned_twice(made: Auditor) -> None:
    resting(made).ledger_row(planned())


def _second_entry_for_a_bar(made: Auditor) -> None:
    resting(made).ledger_row(planned("b"))


def _exit_too_large(made: Auditor) -> None:
    holding(made).ledger_row(
        planned("x", purpose="exit", side="sell", qty="11", order_type="market", limit_price=None)
    )


def _invented_fill(made: Auditor) -> None:
    resting(made).ledger_row(filled())


def _wrong_price(made: Auditor) -> None:
    resting(made).venue_event(at_venue(status="filled", execution_id="e1"))
    made.ledger_row(filled(price="101"))


def _books_differ(made: Auditor) -> None:
    holding(made).books(cash="9000", positions={"XOM": "20"}, latches=())


def _cash_differs(made: Auditor) -> None:
    holding(made).books(cash="8000", positions={"XOM": "10"}, latches=())


def _canceled_without_evidence(made: Auditor) -> None:
    resting(made).ledger_row({"kind": "order_canceled", "client_order_id": "a"})


def _rejected_though_there(made: Auditor) -> None:
    made.ledger_row(planned())
    made.venue_event(at_venue())
    made.ledger_row({"kind": "order_rejected", "client_order_id": "a"})


def _given_up_in_session(made: Auditor) -> None:
    made.closes["2025-11-28"] = "2025-11-28T18:00:00+00:00"
    made.ledger_row(planned(session_date="2025-11-28"))
    made.ledger_row({"kind": "order_never_arrived", "client_order_id": "a", "at": "2025-11-28T17:59:00Z"})


def _entry_beside_unknown(made: Auditor) -> None:
    made.ledger_row(planned())
    made.ledger_row({"kind": "order_outcome_lost", "client_order_id": "a"})
    made.ledger_row(planned("b", bar_ts="2025-11-28T15:01:00Z"))


def _no_approval(made: Auditor) -> None:
    row = planned()
    made.ledger_row({**row, "approval": {"client_order_id": "a", "checks": []}})


def _other_limit(made: Auditor) -> None:
    row = planned()
    checks = [{"reason": "gross_exposure", "number": "1", "limit": "9999"}]
    made.ledger_row({**row, "approval": {"client_order_id": "a", "checks": checks}})


def _over_gross(made: Auditor) -> None:
    for name, symbol in (("a", "XOM"), ("b", "KO"), ("c", "F"), ("d", "T")):
        made.ledger_row(planned(name, symbol=symbol))


def _over_shares(made: Auditor) -> None:
    made.ledger_row(planned(qty="101", limit_price="1.00", reference_price="1.00"))


def _entry_under_latch(made: Auditor) -> None:
    made.ledger_row({"kind": "latch_set", "name": "daily_loss"})
    made.ledger_row(planned())


def _entry_sent_after_kill(made: Auditor) -> None:
    made.ledger_row({"kind": "latch_set", "name": "kill"})
    made.ledger_row(planned())
    made.sends("a", holds_lease=True)


def _latch_released_by_desk(made: Auditor) -> None:
    made.ledger_row({"kind": "latch_set", "name": "daily_loss"})
    made.ledger_row({"kind": "latch_released", "name": "daily_loss", "by": "desk"})


def _latch_forgotten(made: Auditor) -> None:
    made.ledger_row({"kind": "latch_set", "name": "daily_loss"})
    made.books(cash="10000", positions={}, latches=())


def _loss_not_latched(made: Auditor) -> None:
    row = {
        "kind": "minute_closed",
        "session_date": "2025-11-28",
        "bar_ts": TS,
        "realized_pnl": "-90",
        "unrealized_pnl": "-9",
        "fees": "1",
    }
    made.ledger_row(row)
    made.ledger_row(row)


def _other_hash(made: Auditor) -> None:
    made.replayed("one", "another")


def _not_level_at_start(made: Auditor) -> None:
    made.ledger_row(planned())
    made.venue_event(at_venue())
    made.venue_event(at_venue(status="filled", execution_id="e1"))
    made.ledger_row({"kind": "session_started", "session_date": "2025-11-28"})


def _traded_before_start(made: Auditor) -> None:
    made.process_started()
    made.ledger_row(planned())


def _break_without_cause(made: Auditor) -> None:
    found = {"break_id": "b", "kind": "position", "key": "XOM", "detail": "XOM: differs"}
    made.ledger_row({"kind": "break_found", "found": found})


def _break_accepted_by_desk(made: Auditor) -> None:
    made.ledger_row({"kind": "break_resolved", "break_id": "b", "how": "accepted", "by": "desk"})


def _future_bar(made: Auditor) -> None:
    made.saw(symbol="XOM", ts=TS, is_public=False, is_sound=True)


def _bad_bar(made: Auditor) -> None:
    made.saw(symbol="XOM", ts=TS, is_public=True, is_sound=False)


def _sent_without_lease(made: Auditor) -> None:
    made.ledger_row(planned())
    made.sends("a", holds_lease=False)


def _row_changed(made: Auditor) -> None:
    made.rows_kept("as written", "as it is")


def _kill_not_flat(made: Auditor) -> None:
    holding(made).ledger_row({"kind": "kill_verified"})


def _kill_with_open_order(made: Auditor) -> None:
    resting(made).ledger_row({"kind": "kill_verified"})


def _float_price(made: Auditor) -> None:
    made.ledger_row(planned(limit_price=100.0))


def _off_tick(made: Auditor) -> None:
    made.ledger_row(planned(limit_price="99.995"))


def _rounded_against_the_user(made: Auditor) -> None:
    made.ledger_row(planned(limit_price="100.01"))


def _part_of_a_share(made: Auditor) -> None:
    made.ledger_row(planned(qty="1.5"))


def _changed_on_the_way(made: Auditor) -> None:
    made.ledger_row(planned(qty="9"))
    made.venue_event(at_venue())


BROKEN: tuple[tuple[str, Callable[[Auditor], None]], ...] = (
    ("I1", _unplanned),
    ("I1", _sent_unplanned),
    ("I2", _doubled_id),
    ("I2", _planned_twice),
    ("I2", _second_entry_for_a_bar),
    ("I2", _exit_too_large),
    ("I3", _invented_fill),
    ("I3", _wrong_price),
    ("I3", _books_differ),
    ("I3", _cash_differs),
    ("I4", _canceled_without_evidence),
    ("I4", _rejected_though_there),
    ("I4", _given_up_in_session),
    ("I4", _entry_beside_unknown),
    ("I5", _no_approval),
    ("I5", _other_limit),
    ("I6", _over_gross),
    ("I6", _over_shares),
    ("I7", _entry_under_latch),
    ("I7", _latch_released_by_desk),
    ("I7", _latch_forgotten),
    ("I7", _loss_not_latched),
    ("I8", _other_hash),
    ("I9", _not_level_at_start),
    ("I9", _traded_before_start),
    ("I9", _break_without_cause),
    ("I9", _break_accepted_by_desk),
    ("I10", _future_bar),
    ("I10", _bad_bar),
    ("I12", _sent_without_lease),
    ("I13", _row_changed),
    ("I14", _entry_sent_after_kill),
    ("I14", _kill_not_flat),
    ("I14", _kill_with_open_order),
    ("I15", _float_price),
    ("I15", _off_tick),
    ("I15", _rounded_against_the_user),
    ("I15", _part_of_a_share),
    ("I15", _changed_on_the_way),
)


@pytest.mark.parametrize(("invariant", "act"), BROKEN, ids=[f"{name}{act.__name__}" for name, act in BROKEN])
def test_what_breaks_an_invariant_is_named(invariant: str, act: Callable[[Auditor], None]) -> None:
    """Each invariant has at least one way to break it, and the auditor sees it when it happens."""
    with pytest.raises(Broken) as found:
        act(auditor())

    assert found.value.invariant == invariant


def test_a_proper_day_is_no_trouble() -> None:
    """Planned, sent, acknowledged, filled, booked, left and verified: nothing is broken."""
    made = holding(auditor())
    out = {"purpose": "exit", "side": "sell", "order_type": "market", "limit_price": None}
    made.ledger_row(planned("x", **out))
    made.sends("x", holds_lease=True)
    made.venue_event({**at_venue("x", side="sell"), "limit_price": None})
    made.venue_event({**at_venue("x", status="filled", side="sell", execution_id="e2"), "limit_price": None})
    made.ledger_row(
        filled(execution_id="e2", client_order_id="x", broker_order_id="id-x", side="sell", cum_qty="10")
    )
    made.books(cash="10000", positions={}, latches=())
    made.ledger_row({"kind": "kill_verified"})
    made.day_closed()

    assert sum(made.checked.values()) > 10


@pytest.mark.parametrize(("at", "is_trouble"), [("17:59:59.9", True), ("18:00:00", False)])
def test_i7_a_loss_known_before_the_bell_latches(at: str, is_trouble: bool) -> None:
    """First known in the last second it must latch; at the bell there is nothing left to trade (I7)."""
    made = auditor()
    made.closes["2025-11-28"] = "2025-11-28T18:00:00Z"
    row = {
        "kind": "minute_closed",
        "session_date": "2025-11-28",
        "at": f"2025-11-28T{at}Z",
        "bar_ts": TS,
        "realized_pnl": "-100",
        "unrealized_pnl": "0",
        "fees": "0",
    }

    made.ledger_row(row)

    if is_trouble:
        with pytest.raises(Broken, match="I7"):
            made.ledger_row(row)
    else:
        made.ledger_row(row)


def test_the_auditor_imports_nothing_of_the_desk() -> None:
    """Its modules know the standard library and one another: a fault of ours cannot be a fault of its."""
    own = [module for module in modules("desk") if module.path.startswith("desk/simulation/audit")]

    foreign = [
        f"{module.path} imports {name}"
        for module in own
        for _, name in imports(module)
        if name.split(".")[0] in (*ROOMS, "tests") and not name.startswith("desk.simulation.audit")
    ]

    assert len(own) >= 4
    assert foreign == []

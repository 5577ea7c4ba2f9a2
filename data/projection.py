"""The ledger's events as the warehouse's rows.

Theory of operation. Facts that stand alone (decisions, adjustments, equity) become a row per event.
Things that change (orders, sessions, breaks) have one row each, which remembers the last seq it
took in: an event at or below it changes nothing, so the same events may come again. Executions
count once under either of their names, as in `desk.portfolio`. Positions are not folded here: they
are computed from fills and adjustments (data/holdings.py).
"""

from collections.abc import Callable, Iterable
from typing import Any

from data import day_rows, order_rows
from data.order_rows import STEPS, order_step
from data.rows import Rows
from schemas import events as ev

_HANDLERS: dict[type, Callable[[Rows, int, Any], None]] = {
    ev.IntentDenied: order_rows.denied,
    ev.OrderPlanned: order_rows.planned,
    ev.FillRecorded: order_rows.filled,
    ev.AccountOpened: day_rows.opened,
    ev.PositionAdjusted: day_rows.position_adjusted,
    ev.CashAdjusted: day_rows.cash_adjusted,
    ev.MinuteClosed: day_rows.minute_closed,
    ev.SessionStarted: day_rows.session_started,
    ev.SessionEnded: day_rows.session_ended,
    ev.DayClosed: day_rows.day_closed,
    ev.BreakFound: day_rows.break_found,
    ev.BreakResolved: day_rows.break_resolved,
}


def order_ids(events: Iterable[ev.AnyEvent]) -> set[str]:
    """Give the client order ids the events speak of."""
    found: set[str] = set()
    for event in events:
        match event:
            case ev.OrderPlanned():
                found.add(event.intent.client_order_id)
            case ev.FillRecorded():
                found.add(event.fill.client_order_id)
            case _ if type(event) in STEPS:
                found.add(event.client_order_id)  # type: ignore[union-attr]  # all order steps carry it
    return found


def fold(rows: Rows, events: Iterable[tuple[int, ev.AnyEvent]]) -> None:
    """Take events into the rows, in order."""
    for seq, event in events:
        handler = _HANDLERS.get(type(event))
        if handler is not None:
            handler(rows, seq, event)
        elif type(event) in STEPS:
            order_step(rows, seq, event)

"""Hold a session's recorded fills against those of a backtest of the same day.

Compared by order: the minutes, quantities and prices of its executions and its fees. The instant within the
minute is not: a desk decides as soon as it has heard the bars, a backtest when they are surely final.

Two causes beside those of decisions (desk/research/discrepancy.py). The venue fills otherwise than the
backtest's rules say: the same order has other executions. And what no backtest plays: a person, a crash, a
broker's refusal or silence. Once books differ, later orders may differ because of it: they follow.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal

import polars as pl

from desk.money import plain
from desk.portfolio import EXTERNAL
from desk.research.discrepancy import Cause, Difference
from schemas.events import (
    AnyEvent,
    BreakFound,
    CashAdjusted,
    FillRecorded,
    KillVerified,
    LatchReleased,
    OrderOutcomeLost,
    OrderRejected,
    PositionAdjusted,
    ProtectionLifted,
    SessionStarted,
    StrategyStopped,
)

MINUTE = timedelta(minutes=1)
NOTHING = "no fill"
# What a backtest of the day knows nothing of.
UNPLAYED = (
    BreakFound,
    CashAdjusted,
    KillVerified,
    LatchReleased,
    OrderOutcomeLost,
    OrderRejected,
    PositionAdjusted,
    ProtectionLifted,
    StrategyStopped,
)

Executions = Mapping[str, tuple[datetime, str]]  # by client order id: the first's minute, all in words


def compare_fills(
    events: Sequence[AnyEvent],
    played: pl.DataFrame,
    session_date: date,
    *,
    decisions: Sequence[Difference],
    moved: str,
) -> tuple[Difference, ...]:
    """Give the orders whose executions differ, by time.

    Args:
        events: the session's, from its start.
        played: the backtest's executions, columns of `FILL_SCHEMA`.
        session_date: the session's date.
        decisions: what differed in the retelling.
        moved: bars that were not the same all day, in words: a backtest knows one print of each.
    """
    ours, theirs = _recorded(events, session_date), _played(played)
    wrong = {each.order_id: each for each in decisions}
    unplayed = _unplayed(events)
    found: list[Difference] = []
    for order_id, minute in _by_time(ours, theirs):
        was, now = (side[order_id][1] if order_id in side else NOTHING for side in (ours, theirs))
        if was == now:
            continue
        cause, why = Cause.UNEXPLAINED, "the backtest decided otherwise on the same bars"
        if order_id in wrong:
            cause, why = wrong[order_id].cause, wrong[order_id].why
        elif NOTHING not in (was, now):
            cause, why = Cause.FILL_MODEL, "the venue filled it otherwise than the backtest's rules"
        elif found:
            cause, why = found[0].cause, f"follows from {found[0].order_id}"
        elif moved:
            cause, why = Cause.REVISED, f"a backtest knows one print of each bar, and {moved}"
        elif unplayed:
            cause, why = Cause.FILL_MODEL, f"a backtest plays no {unplayed}"
        found.append(Difference(minute, order_id, cause, was, now, why))
    return tuple(found)


def _by_time(ours: Executions, theirs: Executions) -> list[tuple[str, datetime]]:
    first: dict[str, datetime] = {}
    for side in (ours, theirs):
        for order_id, (minute, _) in side.items():
            first[order_id] = min(minute, first.get(order_id, minute))
    return sorted(first.items(), key=lambda each: (each[1], each[0]))


def _recorded(events: Sequence[AnyEvent], session_date: date) -> Executions:
    fills = {
        event.fill.execution_id: event.fill
        for event in events
        if isinstance(event, FillRecorded)
        and event.fill.session_date == session_date
        and event.fill.strategy != EXTERNAL
    }
    ordered = sorted(fills.values(), key=lambda fill: fill.filled_at)
    rows = ((f.client_order_id, _minute(f.filled_at), f.qty, f.price, f.fee) for f in ordered)
    return _by_order(rows)


def _played(fills: pl.DataFrame) -> Executions:
    names = ("client_order_id", "filled_at", "qty", "price", "fee")
    rows = ((order_id, _minute(at), *rest) for order_id, at, *rest in fills.select(names).iter_rows())
    return _by_order(rows)


def _by_order(rows: Iterator[tuple[str, datetime, Decimal, Decimal, Decimal]]) -> Executions:
    """Join an order's executions of one minute and price, and say them in words."""
    parts: dict[str, dict[tuple[datetime, Decimal], Decimal]] = {}
    fees: dict[str, Decimal] = {}
    for order_id, minute, qty, price, fee in rows:
        mine = parts.setdefault(order_id, {})
        mine[minute, price] = mine.get((minute, price), Decimal(0)) + qty
        fees[order_id] = fees.get(order_id, Decimal(0)) + fee
    return {
        order_id: (
            min(minute for minute, _ in mine),
            ", ".join(
                f"{plain(qty)} for {plain(price)} at {minute:%H:%M} UTC"
                for (minute, price), qty in mine.items()
            )
            + f", fees {plain(fees[order_id])}",
        )
        for order_id, mine in parts.items()
    }


def _unplayed(events: Sequence[AnyEvent]) -> str:
    """Name what happened in the session that no backtest plays; empty where nothing did."""
    kinds: set[str] = {event.kind for event in events if isinstance(event, UNPLAYED)}
    if sum(isinstance(event, SessionStarted) for event in events) > 1:
        kinds.add("restart")
    if any(isinstance(event, FillRecorded) and event.fill.strategy == EXTERNAL for event in events):
        kinds.add("trade by hand")
    return ", ".join(sorted(kind.replace("_", " ") for kind in kinds))


def _minute(at: datetime) -> datetime:
    return at.replace(second=0, microsecond=0)

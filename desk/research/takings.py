"""What came of a stretch of a backtest, as frames: its executions, and the money that moved without one."""

from collections.abc import Iterable, Sequence
from datetime import timedelta

import polars as pl

from desk.hours import session_date_at, session_hours
from desk.research.ex_dates import DIVIDEND, IN_LIEU
from schemas.events import CashAdjusted
from schemas.orders import Fill, OrderIntent
from schemas.research import FILL_SCHEMA, FLOW_SCHEMA

MINUTE = timedelta(minutes=1)
BORROW = "borrow"
KINDS = (BORROW, DIVIDEND, IN_LIEU)  # a flow's cause begins with its kind; any other is a fee


def flow_frame(flows: Iterable[CashAdjusted]) -> pl.DataFrame:
    """Give money that moved without a fill, `FLOW_SCHEMA`, each in a minute of its session."""
    rows = []
    for event in flows:
        day = session_date_at(event.at)
        hours = None if day is None else session_hours(day)
        assert hours is not None, "a backtest's clock stands in sessions"
        ts = min(max(event.at, hours.opens_at), hours.closes_at - MINUTE)
        kind = event.cause.partition(":")[0]
        rows.append((ts, kind if kind in KINDS else "fee", event.amount))
    return pl.DataFrame(rows, schema=FLOW_SCHEMA, orient="row")


def fill_frame(done: Sequence[tuple[Fill, OrderIntent]]) -> pl.DataFrame:
    """Give executions and what they were meant as, `FILL_SCHEMA`, in the order given."""
    fills = [fill for fill, _ in done]
    columns = {
        "ts": [fill.filled_at.replace(second=0, microsecond=0) for fill in fills],
        "filled_at": [fill.filled_at for fill in fills],
        "strategy": [fill.strategy for fill in fills],
        "symbol": [fill.symbol for fill in fills],
        "side": [fill.side.value for fill in fills],
        "qty": [fill.qty for fill in fills],
        "price": [fill.price for fill in fills],
        "fee": [fill.fee for fill in fills],
        "reference_price": [intent.reference_price for _, intent in done],
        "client_order_id": [fill.client_order_id for fill in fills],
    }
    return pl.DataFrame(columns, schema=FILL_SCHEMA)

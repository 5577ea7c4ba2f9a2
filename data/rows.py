"""The rows of one account that a batch of ledger events touches."""

from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from desk.hours import new_york
from schemas import events as ev
from schemas.orders import Fill

Row = dict[str, Any]

ZERO = Decimal(0)


@dataclass(slots=True)
class Rows:
    """The rows of one account that a batch of events touches; filled with what the warehouse has first."""

    account: str
    session_date: date | None = None  # of the latest session that began before the batch
    decisions: list[Row] = field(default_factory=list)
    adjustments: list[Row] = field(default_factory=list)
    equity: dict[tuple[date, Any], Row] = field(default_factory=dict)
    fills: list[Row] = field(default_factory=list)  # new ones
    executed: dict[str, list[Row]] = field(default_factory=dict)  # all fills of the orders touched
    executions: dict[str, int] = field(default_factory=dict)  # by execution id: the seq it was told at first
    cumulative: dict[tuple[str, Decimal], int] = field(default_factory=dict)
    orders: dict[str, Row] = field(default_factory=dict)
    sessions: dict[date, Row] = field(default_factory=dict)
    breaks: dict[str, Row] = field(default_factory=dict)

    def know_fill(self, row: Row) -> None:
        """Take in a fill under both of its names."""
        self.executed.setdefault(row["client_order_id"], []).append(row)
        self.executions[row["execution_id"]] = row["seq"]
        if row["cum_qty"] is not None:
            self.cumulative[(row["broker_order_id"], row["cum_qty"])] = row["seq"]

    def fill_seq(self, fill: Fill) -> int | None:
        """Give the seq an execution was first told at, under either of its names (I3); None: it is new."""
        seq = self.executions.get(fill.execution_id)
        if seq is None and fill.cum_qty is not None:
            seq = self.cumulative.get((fill.broker_order_id, fill.cum_qty))
        return seq

    def date_of(self, event: ev.Event) -> date:
        """Give the session an event without one belongs to: the running one, else the calendar's."""
        return self.session_date or new_york(event.at).date()


def newer(row: Row | None, seq: int) -> Row | None:
    """Give the row if it has not taken in this seq yet."""
    return row if row is not None and row["last_seq"] < seq else None

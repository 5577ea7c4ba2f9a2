"""The ledger of a backtest: events pass by, are counted, hashed and collected, and are not kept.

A year of a hundred symbols is a million events. The books are their fold, so nobody reads them again but
who wants to prove that; with `keeps` they stay and can be replayed.
"""

import hashlib
from collections import Counter
from collections.abc import Container, Iterator, Sequence

from desk.errors import IllegalTransition
from schemas.events import (
    EVENTS,
    AnyEvent,
    CashAdjusted,
    FillRecorded,
    IntentDenied,
    OrderPlanned,
    OrderRejected,
    PositionAdjusted,
)
from schemas.orders import Fill, OrderIntent


class PassingLedger:
    """The ledger port of one process that nobody shares."""

    def __init__(self, *, keeps: bool = False, hashes: bool = False) -> None:
        """Start empty.

        Args:
            keeps: whether events can be read again.
            hashes: whether every event enters `ledger_hash`, which costs its JSON.
        """
        self.seq = 0
        self.denials: Counter[str] = Counter()  # by the gate's reason
        self.rejections: Counter[str] = Counter()  # by the venue's words
        self.fills: list[tuple[Fill, OrderIntent]] = []
        self.flows: list[CashAdjusted] = []  # money that came or went without a fill
        self.divided: list[PositionAdjusted] = []  # by splits: a position out, and in again
        self._keeps = keeps
        self._events: list[AnyEvent] = []
        self._sent: dict[str, OrderIntent] = {}  # by client order id, those not forgotten
        self._orders = hashlib.sha256()
        self.orders = 0
        self._ledger = hashlib.sha256() if hashes else None

    def append(self, events: Sequence[AnyEvent]) -> int:
        """Take events in and give the last seq."""
        for event in events:
            match event:
                case OrderPlanned():
                    self._plan(event.intent)
                case FillRecorded():
                    self.fills.append((event.fill, self._sent[event.fill.client_order_id]))
                case CashAdjusted():
                    self.flows.append(event)
                case PositionAdjusted() if event.split_on is not None:
                    self.divided.append(event)
                case OrderRejected():
                    self.rejections[event.message] += 1
                case IntentDenied():
                    self.denials[event.denial.reason.value] += 1
                case _:
                    pass
        if self._ledger is not None:
            for event in events:
                self._ledger.update(EVENTS.dump_json(event))
        if self._keeps:
            self._events.extend(events)
        self.seq += len(events)
        return self.seq

    def read(self, after_seq: int = 0) -> Iterator[tuple[int, AnyEvent]]:
        """Give events in order.

        Raises:
            IllegalTransition: they were not kept.
        """
        if after_seq == self.seq:
            return iter(())
        if not self._keeps:
            raise IllegalTransition(f"events after {after_seq} of {self.seq} were not kept")
        return iter(list(enumerate(self._events, start=1))[after_seq:])

    def renew(self) -> None:
        """Nobody else wants it."""

    @property
    def orders_hash(self) -> str:
        """Give the SHA-256 of every order sent, in order."""
        return self._orders.hexdigest()

    @property
    def ledger_hash(self) -> str:
        """Give the SHA-256 of every event's JSON; empty where none was taken."""
        return "" if self._ledger is None else self._ledger.hexdigest()

    def take(self) -> tuple[list[tuple[Fill, OrderIntent]], list[CashAdjusted]]:
        """Hand out the executions and flows since the last call."""
        taken = self.fills, self.flows
        self.fills, self.flows = [], []
        return taken

    def forget(self, kept: Container[str]) -> None:
        """Forget the orders that are not kept by their client order ids: nothing more will fill them."""
        self._sent = {name: intent for name, intent in self._sent.items() if name in kept}

    def _plan(self, intent: OrderIntent) -> None:
        self.orders += 1
        self._sent[intent.client_order_id] = intent
        words = (
            f"{intent.bar_ts.isoformat()} {intent.client_order_id} {intent.side} {intent.qty:f} "
            f"{intent.order_type} {intent.time_in_force} {intent.limit_price} {intent.stop_price}\n"
        )
        self._orders.update(words.encode())

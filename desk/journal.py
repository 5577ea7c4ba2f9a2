"""Write first, then believe: the one way this process changes its state.

`record` appends to the ledger (synced to disk) and only then folds. Other processes (an operator's
`desk kill`, the outbox) append to the same ledger, so seqs may have gaps from our point of view;
`catch_up` folds what they wrote, in the ledger's order, which is the order a replay will see.
"""

from datetime import date

from desk.portfolio import Portfolio
from desk.ports import Ledger
from schemas.events import AnyEvent, SessionStarted


class Journal:
    """A ledger and the portfolio folded from it, always at the same seq."""

    def __init__(self, ledger: Ledger) -> None:
        """Replay the ledger from empty."""
        self._ledger = ledger
        self.portfolio = Portfolio()
        self.seq = 0
        self.recorded = 0  # events this process appended
        self.catch_up()

    def catch_up(self) -> int:
        """Fold what is in the ledger and not yet in the portfolio; give how many events that was."""
        count = 0
        for seq, event in self._ledger.read(self.seq):
            self.portfolio.apply(event)
            self.seq = seq
            count += 1
        return count

    def record(self, *events: AnyEvent) -> None:
        """Append events, all or nothing; then fold them.

        The events must be independent of each other: each is checked against the state before all.

        Raises:
            IllegalTransition: an event cannot follow the state; nothing was written.
            LedgerUnavailable: nothing was written.
            LeaseLost: another session has the account; nothing was written.
        """
        if not events:
            return
        for event in events:
            self.portfolio.check(event)
        last_seq = self._ledger.append(events)
        self.recorded += len(events)
        if last_seq == self.seq + len(events):
            for event in events:
                self.portfolio.apply(event)
            self.seq = last_seq
        else:
            self.catch_up()

    def events(self) -> tuple[AnyEvent, ...]:
        """Give every event of the ledger, in order."""
        return tuple(event for _, event in self._ledger.read(0))

    def at_end_of(self, session_date: date) -> Portfolio:
        """Give the books as they were before the first session after a date began."""
        portfolio = Portfolio()
        for _, event in self._ledger.read(0):
            if isinstance(event, SessionStarted) and event.session_date > session_date:
                break
            portfolio.apply(event)
        return portfolio

    def renew(self) -> None:
        """Keep the lease.

        Raises:
            LeaseLost: another session has the account.
        """
        self._ledger.renew()

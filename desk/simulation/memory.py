"""The account's ledger in memory: rows as JSON, one writer, and a process that may die at every write.

`Store` is what survives: the rows and the lease. `ProcessLedger` is the ledger port as one process has it:
it checks the fencing token inside each append, as the real ledger does in its transaction, and passes the
points of death before and after each durable write.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta

from desk.errors import LeaseHeld, LeaseLost, LedgerUnavailable
from schemas.events import EVENTS, AnyEvent

LEASE_TTL = timedelta(seconds=30)  # the real lease's (data/lease.py)


class Store:
    """The rows of one account and who may write them."""

    def __init__(self, *, now: Callable[[], datetime], heard: Callable[[str, bool], None]) -> None:
        """Start empty.

        Args:
            now: the venue's time.
            heard: told of every durable row, and whether a person's command wrote it.
        """
        self.rows: list[str] = []
        self.token = 0
        self.holder: str | None = None
        self.expires_at: datetime | None = None
        self.is_full = False
        self._now = now
        self._heard = heard
        self._digest = hashlib.sha256()

    def acquire(self, holder: str) -> int:
        """Take the lease and give its token.

        Raises:
            LeaseHeld: a living process has it, renewed less than its time to live ago.
            LedgerUnavailable: the disk is full.
        """
        if self.is_full:
            raise LedgerUnavailable("no space left on device")
        if self.holder is not None and self.expires_at is not None and self._now() < self.expires_at:
            raise LeaseHeld(f"the account is held by {self.holder} until {self.expires_at:%H:%M:%S}")
        self.token += 1
        self.holder = holder
        self.expires_at = self._now() + LEASE_TTL
        return self.token

    def release(self, token: int) -> None:
        """Give the lease back, as a process does at its end and the next one finds of a dead one."""
        if token == self.token:
            self.holder = self.expires_at = None

    def renew(self, token: int) -> None:
        """Push the expiry out.

        Raises:
            LeaseLost: a newer token exists.
        """
        self.check(token)
        self.expires_at = self._now() + LEASE_TTL

    def check(self, token: int) -> None:
        """Verify that a token is the newest.

        Raises:
            LeaseLost: it is not.
        """
        if token != self.token or self.holder is None:
            raise LeaseLost(f"token {token} is not the newest; {self.holder or 'nobody'} has {self.token}")

    def write(self, events: Sequence[AnyEvent], *, operator: bool = False) -> int:
        """Make events durable and give the last seq.

        Raises:
            LedgerUnavailable: the disk is full.
        """
        if self.is_full:
            raise LedgerUnavailable("no space left on device")
        written = [EVENTS.dump_json(event).decode() for event in events]
        for row in written:
            self.rows.append(row)
            self._digest.update(row.encode())
        last = len(self.rows)
        for row in written:
            self._heard(row, operator)
        return last

    def read(self, after_seq: int) -> Iterator[tuple[int, AnyEvent]]:
        """Give events in order."""
        for seq, row in enumerate(self.rows[after_seq:], start=after_seq + 1):
            yield seq, EVENTS.validate_json(row)

    def digests(self) -> tuple[str, str]:
        """Give the digest of the rows as they were written, and of the rows as they are."""
        now = hashlib.sha256("".join(self.rows).encode())
        return self._digest.hexdigest(), now.hexdigest()


class ProcessLedger:
    """The ledger port of one process."""

    def __init__(self, store: Store, token: int, *, step: Callable[[str], None]) -> None:
        """Keep what survives and the points of death.

        Args:
            store: the account's rows.
            token: this process's lease.
            step: called before and after each durable write; it may end the process.
        """
        self.store = store
        self.token = token
        self._step = step

    def append(self, events: Sequence[AnyEvent]) -> int:
        """Write all or nothing."""
        words = events[0].kind if events else "nothing"
        self._step(f"before writing {words}")
        self.store.check(self.token)
        last = self.store.write(events)
        self._step(f"after writing {words}")
        return last

    def read(self, after_seq: int = 0) -> Iterator[tuple[int, AnyEvent]]:
        """Give events in order."""
        return self.store.read(after_seq)

    def renew(self) -> None:
        """Keep the lease."""
        self.store.renew(self.token)

    @property
    def holds_lease(self) -> bool:
        """Tell whether this process may write."""
        return self.token == self.store.token and self.store.holder is not None

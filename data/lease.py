"""One writer per account: a row with a fencing token (T4, I12).

Theory of operation. `acquire` takes the row if nobody holds it, raising the token by one. A holder
on this host whose process is dead is replaced at once; another host's holder only after its lease
expired, because from here nobody can tell whether it lives. Every append checks the token inside
its own transaction, so a holder that was replaced while it slept can write nothing more, and what
is not in the ledger first never reaches the wire (I1).

Left out: clocks that disagree between hosts by more than the TTL.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from data.database import LEASES_TABLE, Database
from data.holders import IsAlive, Process, instant
from desk.errors import LeaseHeld, LeaseLost

LEASE_TTL = timedelta(seconds=30)  # forgives a slow disk, not a dead host
RENEW_EVERY = timedelta(seconds=5)  # a rehearsal settles thousands of times a minute; a sync each is its cost

NO_TOKEN = 0  # below every token ever given


class Lease:
    """The right to append for an account, as this process has it."""

    def __init__(
        self,
        database: Database,
        *,
        account: str,
        process: Process,
        wall_clock: Callable[[], datetime],
        alive: IsAlive,
    ) -> None:
        """Hold nothing yet."""
        self._database = database
        self._account = account
        self._process = process
        self._wall_clock = wall_clock
        self._alive = alive
        self.token = NO_TOKEN
        self._renewed_at: datetime | None = None  # by the wall clock, when the expiry was last written

    def acquire(self, holder: str) -> int:
        """Take the account and give the fencing token.

        Raises:
            LeaseHeld: somebody else has it; says who and until when.
            LedgerUnavailable: the database does not answer.
        """
        now = self._wall_clock()
        with self._database.write() as connection:
            row = lock_row(connection, self._account)
            if row is not None and not self._is_free(row, now):
                raise LeaseHeld(
                    f"account {self._account} is held by {row.holder} (process {row.pid} on {row.host}) "
                    f"until {row.expires_at}"
                )
            token = (NO_TOKEN if row is None else row.token) + 1
            values = {
                "token": token,
                "holder": holder,
                "host": self._process.host,
                "pid": self._process.pid,
                "process_start": self._process.start,
                "expires_at": instant(now + LEASE_TTL),
            }
            if row is None:
                connection.execute(sa.insert(LEASES_TABLE).values(account=self._account, **values))
            else:
                connection.execute(_mine(sa.update(LEASES_TABLE), self._account).values(**values))
        self.token = token
        return token

    def renew(self) -> bool:
        """Push the expiry out by the TTL; a lease that expired and nobody took is still ours.

        Returns:
            Whether it was written; within `RENEW_EVERY` of the last time it is only checked.

        Raises:
            LeaseLost: a newer token exists, or the lease was released.
            LedgerUnavailable: the database does not answer.
        """
        now = self._wall_clock()
        if self._renewed_at is not None and self._renewed_at <= now < self._renewed_at + RENEW_EVERY:
            with self._database.read() as connection:
                self.check(connection)
            return False
        with self._database.write() as connection:
            self.check(connection)
            expires_at = instant(now + LEASE_TTL)
            connection.execute(_mine(sa.update(LEASES_TABLE), self._account).values(expires_at=expires_at))
        self._renewed_at = now
        return True

    def release(self) -> None:
        """Give the account back; nothing happens if it is not ours (any more)."""
        if self.token == NO_TOKEN:
            return
        token, self.token = self.token, NO_TOKEN
        with self._database.write() as connection:
            connection.execute(
                _mine(sa.update(LEASES_TABLE), self._account)
                .where(LEASES_TABLE.c.token == token)
                .values(holder=None, host=None, pid=None, process_start=None, expires_at=None)
            )

    def check(self, connection: Connection) -> None:
        """Verify that ours is still the newest token; in a write transaction it stays so until its end.

        Raises:
            LeaseLost: it is not.
        """
        row = lock_row(connection, self._account)
        if row is not None and row.token == self.token and row.holder is not None:
            return
        if self.token == NO_TOKEN:
            raise LeaseLost(f"account {self._account}: this process does not hold the lease")
        newer = "nobody" if row is None else f"{row.holder} with token {row.token}"
        raise LeaseLost(f"account {self._account}: our token {self.token} is not the newest; {newer} has it")

    def _is_free(self, row: Row[tuple[object, ...]], now: datetime) -> bool:
        if row.holder is None or row.expires_at <= instant(now):
            return True
        holder = Process(host=row.host, pid=row.pid, start=row.process_start)
        return holder.host == self._process.host and not self._alive(holder)


def lock_row(connection: Connection, account: str) -> Row[tuple[object, ...]] | None:
    """Read an account's lease so that nobody can change it before this transaction ends."""
    query = sa.select(LEASES_TABLE).where(LEASES_TABLE.c.account == account).with_for_update()
    return connection.execute(query).one_or_none()


def _mine(statement: sa.Update, account: str) -> sa.Update:
    return statement.where(LEASES_TABLE.c.account == account)

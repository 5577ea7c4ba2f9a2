"""The ledger: what the desk did, meant or learned, in order, on disk before anybody acts on it.

Theory of operation. `append` writes events and checks the lease's fencing token in one transaction,
so a session that lost the account can write nothing (I1, I12). People's commands (`desk kill`,
`desk resume`, accepting a break) come from other processes while a session may be running: they are
appended without the lease, but only those kinds, and the session reads them by seq. Reading needs no
lease. A ledger that cannot be written raises one clear line, and then no order is sent.

Left out: the fold (desk/portfolio.py) and any update. Events stay as they are (I13).
"""

import json
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import date, datetime
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from data.claims import Claim, Claims
from data.database import BUSY_TIMEOUT_MS, EVENTS_TABLE, LEASES_TABLE, Database
from data.holders import IsAlive, Process, instant, is_alive, process_start
from data.lease import NO_TOKEN, Lease, lock_row
from data.transaction_log import TransactionLog, export_ndjson
from desk.errors import LedgerUnavailable, Overtaken
from schemas.events import EVENTS, AnyEvent

READ_PAGE = 2_000  # events read at a time, so no reader keeps a transaction open while it folds

OPERATOR_KINDS = frozenset(
    {
        "latch_released",
        "latch_set",
        "protection_lifted",
        "trading_state_changed",
        "break_resolved",
        "position_adjusted",
        "cash_adjusted",
        "notice_queued",
        "notice_delivered",
    }
)


class Ledger:
    """One account's events, lease and claims. Safe to use from several threads."""

    def __init__(
        self,
        database: Database,
        *,
        account: str,
        wall_clock: Callable[[], datetime],
        process: Process,
        alive: IsAlive,
        log_path: Path | None,
    ) -> None:
        """Use `Ledger.open`."""
        self._database = database
        self._wall_clock = wall_clock
        self._lock = threading.RLock()
        self.account = account
        self._lease = Lease(database, account=account, process=process, wall_clock=wall_clock, alive=alive)
        self._claims = Claims(database, account=account, process=process, wall_clock=wall_clock, alive=alive)
        self._log = None if log_path is None else TransactionLog(log_path, self._lines)

    @classmethod
    def open(
        cls,
        url: str,
        account: str,
        wall_clock: Callable[[], datetime],
        host: str,
        pid: int,
        log_path: Path | None = None,
        *,
        create: bool = True,
        alive: IsAlive = is_alive,
        busy_timeout_ms: int = BUSY_TIMEOUT_MS,
    ) -> "Ledger":
        """Open an account's ledger and catch up its running log.

        Args:
            url: SQLAlchemy URL; `sqlite:///path`, `sqlite://` for one in memory, or Postgres.
            account: whose events.
            wall_clock: the real time, aware; leases are judged by it, events are not.
            host: this machine's name.
            pid: this process.
            log_path: the running NDJSON log; None writes none (readers, backtests).
            create: False refuses a database without a ledger instead of making one.
            alive: whether a process of this host lives.
            busy_timeout_ms: how long a write waits for a lock.

        Raises:
            LedgerUnavailable: it cannot be opened, or is of another schema version.
        """
        database = Database(url, busy_timeout_ms=busy_timeout_ms)
        if database.path is not None:
            _make_room(Path(database.path), create=create)
        database.prepare(create=create)
        ledger = cls(
            database,
            account=account,
            wall_clock=wall_clock,
            process=Process(host=host, pid=pid, start=process_start(pid)),
            alive=alive,
            log_path=log_path,
        )
        ledger._catch_up_log()
        return ledger

    def close(self) -> None:
        """Close the database; the lease stays as it is."""
        with self._lock:
            self._database.close()

    # ---- events ---------------------------------------------------------------------------

    def append(self, events: Sequence[AnyEvent]) -> int:
        """Write all or nothing, synced to disk, and give the last seq.

        Raises:
            LeaseLost: a newer token exists, or the lease is not held; nothing was written.
            LedgerUnavailable: nothing was written.
        """
        with self._lock:
            with self._database.write() as connection:
                self._lease.check(connection)
                last_seq = self._insert(connection, events, token=self._lease.token)
            self._catch_up_log()
        return last_seq

    def append_as_operator(
        self, events: Sequence[AnyEvent], *, seen: int | None = None, unless: Collection[str] = ()
    ) -> int:
        """Write a person's events without the lease, all or nothing, and give the last seq.

        Args:
            events: what the person decided.
            seen: the seq up to which the person had read when deciding; None compares nothing.
            unless: kinds of which none may have been written after `seen`.

        Raises:
            ValueError: a kind that only the lease's holder may write.
            Overtaken: one of `unless` was written meanwhile; nothing was written.
            LedgerUnavailable: nothing was written.
        """
        refused = sorted({event.kind for event in events} - OPERATOR_KINDS)
        if refused:
            raise ValueError(f"only the lease's holder may append {', '.join(refused)}")
        with self._lock:
            with self._database.write() as connection:
                self._queue_up(connection)
                if seen is not None:
                    self._require_unchanged(connection, seen, unless)
                last_seq = self._insert(connection, events, token=NO_TOKEN)
            self._catch_up_log()
        return last_seq

    def read(self, after_seq: int = 0) -> Iterator[tuple[int, AnyEvent]]:
        """Give (seq, event) in order.

        Raises:
            LedgerUnavailable: the database does not answer, or an event in it cannot be read.
        """
        for seq, _, body in self._rows(after_seq):
            try:
                event = EVENTS.validate_json(body)
            except ValueError as error:
                raise LedgerUnavailable(
                    f"ledger {self._database.name}: event {seq} cannot be read by this version of the desk"
                ) from error
            yield seq, event

    def last_seq(self) -> int:
        """Give the account's last seq, 0 if it has none."""
        with self._lock, self._database.read() as connection:
            return self._last_seq(connection)

    def export_ndjson(self, path: Path) -> int:
        """Write every event of the account as NDJSON, whole or not at all; give how many.

        Raises:
            LedgerUnavailable: the file cannot be written, or the ledger cannot be read.
        """
        return export_ndjson(path, self._lines(0))

    # ---- lease ----------------------------------------------------------------------------

    def acquire(self, holder: str) -> int:
        """Take the account and give the fencing token.

        Raises:
            LeaseHeld: another live holder has it.
            LedgerUnavailable: the database does not answer.
        """
        with self._lock:
            return self._lease.acquire(holder)

    def renew(self) -> None:
        """Keep the lease and this process's claims; written at most every `RENEW_EVERY`, checked each time.

        Raises:
            LeaseLost: another holder has the account.
            LedgerUnavailable: the database does not answer.
        """
        with self._lock:
            if not self._lease.renew():
                return
            self._claims.touch()

    def release(self) -> None:
        """Give the account back."""
        with self._lock:
            self._lease.release()

    @property
    def token(self) -> int:
        """Give the fencing token; 0 when the lease is not held."""
        return self._lease.token

    def lease_holder(self) -> str | None:
        """Say who has the account, in words; None if nobody does or its lease ran out."""
        with self._lock, self._database.read() as connection:
            query = sa.select(LEASES_TABLE).where(LEASES_TABLE.c.account == self.account)
            row = connection.execute(query).one_or_none()
        if row is None or row.holder is None or row.expires_at <= instant(self._wall_clock()):
            return None
        return f"{row.holder} (process {row.pid} on {row.host})"

    # ---- claims ---------------------------------------------------------------------------

    def claim(self, phase: str, session_date: date, run_id: str) -> Claim:
        """Ask for a phase of a session date; see data/claims.py."""
        with self._lock:
            return self._claims.claim(phase, session_date, run_id)

    def complete(self, phase: str, session_date: date, run_id: str) -> bool:
        """Mark a claimed phase done; False if the claim is no longer this run's."""
        with self._lock:
            return self._claims.complete(phase, session_date, run_id)

    def abandon(self, phase: str, session_date: date, run_id: str) -> bool:
        """Give a claimed phase back undone."""
        with self._lock:
            return self._claims.abandon(phase, session_date, run_id)

    def reopen(self, phase: str, session_date: date) -> bool:
        """Let a completed phase be done once more; False if it was not completed."""
        with self._lock:
            return self._claims.reopen(phase, session_date)

    # ---- inside ---------------------------------------------------------------------------

    def _insert(self, connection: Connection, events: Sequence[AnyEvent], *, token: int) -> int:
        recorded_at = instant(self._wall_clock())
        rows = [
            {
                "account": self.account,
                "kind": event.kind,
                "at": instant(event.at),
                "token": token,
                "body": EVENTS.dump_json(event).decode(),
                "recorded_at": recorded_at,
            }
            for event in events
        ]
        if rows:
            connection.execute(sa.insert(EVENTS_TABLE), rows)
        return self._last_seq(connection)

    def _queue_up(self, connection: Connection) -> None:
        """Lock the account's lease row, so that its seqs become visible in order on every database."""
        if lock_row(connection, self.account) is not None:
            return
        try:
            with connection.begin_nested():
                connection.execute(sa.insert(LEASES_TABLE).values(account=self.account, token=NO_TOKEN))
        except IntegrityError:
            lock_row(connection, self.account)

    def _require_unchanged(self, connection: Connection, seen: int, kinds: Collection[str]) -> None:
        """Refuse what was decided on a state that is no more."""
        query = (
            sa.select(EVENTS_TABLE.c.seq, EVENTS_TABLE.c.kind)
            .where(
                EVENTS_TABLE.c.account == self.account,
                EVENTS_TABLE.c.seq > seen,
                EVENTS_TABLE.c.kind.in_(sorted(kinds)),
            )
            .order_by(EVENTS_TABLE.c.seq)
            .limit(1)
        )
        newer = connection.execute(query).one_or_none()
        if newer is not None:
            raise Overtaken(
                f"{newer.kind} was written meanwhile (event {newer.seq}): look again, then decide again"
            )

    def _last_seq(self, connection: Connection) -> int:
        query = sa.select(sa.func.max(EVENTS_TABLE.c.seq)).where(EVENTS_TABLE.c.account == self.account)
        seq: int | None = connection.execute(query).scalar()
        return 0 if seq is None else seq

    def _rows(self, after_seq: int) -> Iterator[tuple[int, str, str]]:
        """Give (seq, recorded_at, body) in pages."""
        columns = (EVENTS_TABLE.c.seq, EVENTS_TABLE.c.recorded_at, EVENTS_TABLE.c.body)
        while True:
            query = (
                sa.select(*columns)
                .where(EVENTS_TABLE.c.account == self.account, EVENTS_TABLE.c.seq > after_seq)
                .order_by(EVENTS_TABLE.c.seq)
                .limit(READ_PAGE)
            )
            with self._lock, self._database.read() as connection:
                page = connection.execute(query).all()
            yield from ((row.seq, row.recorded_at, row.body) for row in page)
            if len(page) < READ_PAGE:
                return
            after_seq = page[-1].seq

    def _lines(self, after_seq: int) -> Iterator[tuple[int, str]]:
        account = json.dumps(self.account)
        for seq, recorded_at, body in self._rows(after_seq):
            yield seq, f'{{"seq":{seq},"account":{account},"recorded_at":"{recorded_at}","event":{body}}}'

    def _catch_up_log(self) -> None:
        if self._log is not None:
            self._log.catch_up()


def _make_room(path: Path, *, create: bool) -> None:
    if not create:
        if not path.is_file():
            raise LedgerUnavailable(f"ledger {path}: there is no such file yet; the first session makes it")
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LedgerUnavailable(f"ledger {path}: its folder cannot be made ({error.strerror})") from error

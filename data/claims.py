"""Phase claims: each phase of a session date is done once, whoever starts it and how often.

Theory of operation. Prefect's late runs pile up and all execute, and zombie runs stay Running, so the
ledger, not the orchestrator, says whether a phase is done. A run claims (phase, session date); a
phase that is done stays done for every later run until a person reopens it; a claim whose process
is dead is retaken. Another host's process cannot be asked, and one of this host may hang or be stopped,
so a claim runs out unless touched.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from data.database import CLAIMS_TABLE, Database
from data.holders import IsAlive, Process, instant

CLAIM_TTL = timedelta(minutes=5)  # ten of a lease's lives, in which any session renews


class ClaimState(StrEnum):
    """What the asker may do."""

    GRANTED = "granted"  # go on, and `complete` at the end
    DONE = "done"  # nothing to do
    HELD = "held"  # another live run is at it


@dataclass(frozen=True, slots=True)
class Claim:
    """The answer to a claim; `message` is one line for a person."""

    state: ClaimState
    phase: str
    session_date: date
    run_id: str
    message: str

    @property
    def granted(self) -> bool:
        """Tell whether the phase is ours to do."""
        return self.state is ClaimState.GRANTED


class Claims:
    """The claims of one account, as one process makes them."""

    def __init__(
        self,
        database: Database,
        *,
        account: str,
        process: Process,
        wall_clock: Callable[[], datetime],
        alive: IsAlive,
    ) -> None:
        self._database = database
        self._account = account
        self._process = process
        self._wall_clock = wall_clock
        self._alive = alive

    def claim(self, phase: str, session_date: date, run_id: str) -> Claim:
        """Ask for a phase; asking again with the same run in the same process is granted again.

        Raises:
            LedgerUnavailable: the database does not answer; nothing was claimed.
        """
        now = self._wall_clock()
        with self._database.write() as connection:
            row = self._row(connection, phase, session_date)
            state, message = self._judge(row, phase, session_date, run_id, now)
            if state is ClaimState.GRANTED:
                values = {
                    "state": "running",
                    "run_id": run_id,
                    "host": self._process.host,
                    "pid": self._process.pid,
                    "process_start": self._process.start,
                    "claimed_at": instant(now),
                    "expires_at": instant(now + CLAIM_TTL),
                    "completed_at": None,
                }
                if row is None:
                    key = {"account": self._account, "phase": phase, "session_date": session_date.isoformat()}
                    connection.execute(sa.insert(CLAIMS_TABLE).values(**key, **values))
                else:
                    connection.execute(self._update(phase, session_date).values(**values))
        return Claim(state=state, phase=phase, session_date=session_date, run_id=run_id, message=message)

    def complete(self, phase: str, session_date: date, run_id: str) -> bool:
        """Mark a claimed phase done; False if the claim is no longer this run's."""
        at = instant(self._wall_clock())
        return self._change(phase, session_date, run_id, state="done", completed_at=at)

    def abandon(self, phase: str, session_date: date, run_id: str) -> bool:
        """Give a claimed phase back undone, so that the next run takes it at once."""
        return self._change(phase, session_date, run_id, state="open")

    def reopen(self, phase: str, session_date: date) -> bool:
        """Let a completed phase be done once more; False if it was not completed."""
        statement = self._update(phase, session_date).where(CLAIMS_TABLE.c.state == "done")
        with self._database.write() as connection:
            return connection.execute(statement.values(state="open")).rowcount == 1

    def touch(self) -> None:
        """Keep every claim this process is at from running out."""
        statement = (
            sa.update(CLAIMS_TABLE)
            .where(CLAIMS_TABLE.c.account == self._account)
            .where(CLAIMS_TABLE.c.state == "running")
            .where(CLAIMS_TABLE.c.host == self._process.host)
            .where(CLAIMS_TABLE.c.pid == self._process.pid)
            .values(expires_at=instant(self._wall_clock() + CLAIM_TTL))
        )
        with self._database.write() as connection:
            connection.execute(statement)

    def _judge(
        self,
        row: Row[tuple[object, ...]] | None,
        phase: str,
        session_date: date,
        run_id: str,
        now: datetime,
    ) -> tuple[ClaimState, str]:
        name = f"{phase} of {session_date}"
        if row is None or row.state == "open":
            return ClaimState.GRANTED, f"{name} is claimed by run {run_id}"
        if row.state == "done":
            return (
                ClaimState.DONE,
                f"{name} was completed by run {row.run_id} at {row.completed_at}; nothing to do",
            )
        holder = Process(host=row.host, pid=row.pid, start=row.process_start)
        if holder == self._process and row.run_id == run_id:
            return ClaimState.GRANTED, f"{name} is claimed by run {run_id} already"
        here = holder.host == self._process.host
        if row.expires_at > instant(now) and (not here or self._alive(holder)):
            return (
                ClaimState.HELD,
                f"{name} is being done by run {row.run_id} (process {row.pid} on {row.host})",
            )
        return ClaimState.GRANTED, f"{name} is taken over by run {run_id}: run {row.run_id} is dead or hangs"

    def _row(self, connection: Connection, phase: str, session_date: date) -> Row[tuple[object, ...]] | None:
        query = (
            sa.select(CLAIMS_TABLE)
            .where(CLAIMS_TABLE.c.account == self._account)
            .where(CLAIMS_TABLE.c.phase == phase)
            .where(CLAIMS_TABLE.c.session_date == session_date.isoformat())
            .with_for_update()
        )
        return connection.execute(query).one_or_none()

    def _update(self, phase: str, session_date: date) -> sa.Update:
        return (
            sa.update(CLAIMS_TABLE)
            .where(CLAIMS_TABLE.c.account == self._account)
            .where(CLAIMS_TABLE.c.phase == phase)
            .where(CLAIMS_TABLE.c.session_date == session_date.isoformat())
        )

    def _change(self, phase: str, session_date: date, run_id: str, **values: str) -> bool:
        statement = (
            self._update(phase, session_date)
            .where(CLAIMS_TABLE.c.state == "running")
            .where(CLAIMS_TABLE.c.run_id == run_id)
            .where(CLAIMS_TABLE.c.host == self._process.host)
            .where(CLAIMS_TABLE.c.pid == self._process.pid)
        )
        with self._database.write() as connection:
            return connection.execute(statement.values(**values)).rowcount == 1

"""One phase of one session date, from the flow run's start to its last word.

Theory of operation. A flow run may come late, twice, or after a crash. So before anything is done the
phase is claimed in the ledger; a phase that is done is not done again, and the run says so and
completes. A weekend or holiday ends at once, completed, saying so. Expected trouble (a DeskError)
makes the run Failed with one line that names it, without a traceback; anything else is a defect and is
raised. What a run has to say is `Day.ending`: the flow returns it as its state.

Nothing is remembered between two attempts of a run: each opens the ledger, replays it, and looks. A
phase that failed is given back, so that its retry, or anybody, takes it up at once.
"""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import date
from enum import StrEnum
from typing import Any
from uuid import uuid4

from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed, Crashed, Failed

from data.claims import ClaimState
from desk.desk import Desk
from desk.errors import BrokerUnavailable, DeskError, NotReady
from desk.hours import new_york, session_hours
from schemas.account import SessionHours
from schemas.events import SessionStarted
from tasks.configuration import load_settings
from tasks.logs import configure_logging
from tasks.resources import LEASE_WAIT_S, Account, open_account, secret_texts

# A session that crashes is started again by an automation. One that crashes this often in a day has a
# cause a restart does not cure; the next start is a person's (`desk session`), who looks first.
STARTS_MAX = 20

log = logging.getLogger(__name__)


class Phase(StrEnum):
    """The occasions of a day, by their flow's name."""

    RECONCILE_ACCOUNT = "reconcile-account"
    TRADE_SESSION = "trade-session"
    CLOSE_DAY = "close-day"
    KILL_SWITCH = "kill-switch"


class StepFailed(DeskError):
    """A step of the phase failed and said why."""


class Day:
    """A phase being done: its account, its desk, its date, and how it ended."""

    def __init__(self, phase: Phase, *, run_id: str) -> None:
        """Begin with nothing known."""
        self.phase = phase
        self.run_id = run_id
        self.is_due = False
        self.is_elsewhere = False  # another live run is at it
        self.is_unseen = False  # Prefect refused to be shown something: it is away
        self.ending: State[Any] = Failed(message=f"{phase} did not begin")
        self._account: Account | None = None
        self._desk: Desk | None = None
        self._hours: SessionHours | None = None

    @property
    def account(self) -> Account:
        """Give the account."""
        assert self._account is not None, "a day that is not due has no account"
        return self._account

    @property
    def desk(self) -> Desk:
        """Give the desk; it has the lease."""
        assert self._desk is not None, "this phase has no seat"
        return self._desk

    @property
    def hours(self) -> SessionHours:
        """Give the session's hours."""
        assert self._hours is not None, "a day that is not due has no hours"
        return self._hours

    @property
    def session_date(self) -> date:
        """Give the session's date."""
        return self.hours.session_date

    def begin(self, account: Account, desk: Desk | None = None, hours: SessionHours | None = None) -> None:
        """Take what was opened: there is something to do."""
        self._account, self._desk, self._hours, self.is_due = account, desk, hours, True

    def idle(self, words: str) -> None:
        """End well without having done anything, saying why."""
        log.info("nothing to do", extra={"phase": self.phase.value, "why": words})
        self.ending = Completed(message=words)

    def finish(self, words: str) -> None:
        """End well: the phase is done in the ledger, the run completes with these words."""
        if self._hours is not None:
            self.account.ledger.complete(self.phase, self.session_date, self.run_id)
        log.info("phase done", extra={"phase": self.phase.value, "words": words})
        self.ending = Completed(message=words)

    def fail(self, error: DeskError) -> None:
        """End badly with the error's one line; the phase is given back undone.

        A session that a silent broker kept from starting ends as crashed: what starts crashed sessions
        again (prefect.yaml) does so, and each start asks for minutes before it gives up. Whatever a person
        has to put right first ends as failed, and is not tried again.
        """
        log.error("phase failed", extra={"phase": self.phase.value, "cause": str(error)})
        is_passing = self.phase is Phase.TRADE_SESSION and isinstance(error, BrokerUnavailable)
        self.ending = (Crashed if is_passing else Failed)(message=str(error))

    def require(self, step: State[Any]) -> None:
        """Go on only if a step completed; else the run fails with the step's own words.

        Raises:
            StepFailed: the step did not complete.
        """
        if not step.is_completed():
            raise StepFailed(step.message or f"{self.phase}: a step ended {step.name}")


def name_run() -> str:
    """Name a flow run by its phase and date, "trade-session 2025-11-28", so that one finds the day."""
    asked = flow_run.parameters.get("session_date")
    day = asked if asked is not None else new_york(flow_run.scheduled_start_time).date()
    return f"{flow_run.flow_name} {day}"


@contextmanager
def occasion(phase: Phase, session_date: date | None, *, stream: bool = False) -> Iterator[Day]:
    """Claim a phase and take the account's seat, if there is something to do; end it with one line.

    Args:
        phase: which.
        session_date: whose day; None for today by the desk's clock.
        stream: whether fills are also learned from the broker's stream.
    """
    day = Day(phase, run_id=str(flow_run.id or uuid4()))
    with _told(day) as stack:
        try:
            _open_phase(stack, day, session_date, stream=stream)
        except DeskError as error:
            day.fail(error)
        yield day


@contextmanager
def emergency() -> Iterator[Day]:
    """Open the account for the kill switch: on any day, at any hour, without claim and without lease."""
    day = Day(Phase.KILL_SWITCH, run_id=str(flow_run.id or uuid4()))
    with _told(day) as stack:
        try:
            day.begin(_open_account(stack))
        except DeskError as error:
            day.fail(error)
        yield day


@contextmanager
def _told(day: Day) -> Iterator[ExitStack]:
    """Close what was opened, and turn expected trouble into the day's ending."""
    try:
        with ExitStack() as stack:
            yield stack
    except DeskError as error:
        day.fail(error)


def _open_account(stack: ExitStack) -> Account:
    settings = load_settings()
    configure_logging(settings.store, prefect=flow_run.id is not None, secrets=secret_texts(settings))
    return stack.enter_context(open_account(settings))


def _open_phase(stack: ExitStack, day: Day, session_date: date | None, *, stream: bool) -> None:
    """Open, look at the calendar and the claims, and sit down; or say why there is nothing to do."""
    account = _open_account(stack)
    asked = session_date if session_date is not None else new_york(account.clock.now()).date()
    hours = session_hours(asked)
    if hours is None:
        day.idle(f"{asked:%A}, {asked}: the exchange is closed, nothing to do")
        return
    if not _claim(day, account, asked):
        return
    stack.callback(account.ledger.abandon, day.phase, asked, day.run_id)
    seat = account.seat(holder=f"{day.phase} run {day.run_id}", stream=stream, wait_s=LEASE_WAIT_S)
    desk = stack.enter_context(seat)
    started = desk.portfolio.session_date == asked
    if day.phase is Phase.TRADE_SESSION and not started and desk.now() >= hours.closes_at:
        day.idle(f"the session of {asked} closed at {hours.closes_at:%H:%M} UTC; there is nothing to trade")
        return
    if day.phase is Phase.TRADE_SESSION and flow_run.id is not None:
        _require_few_starts(account, asked)
    day.begin(account, desk, hours)


def _require_few_starts(account: Account, session_date: date) -> None:
    """Break a crash loop.

    Raises:
        NotReady: the date's session was started too often.
    """
    events = (event for _, event in account.ledger.read())
    starts = sum(isinstance(e, SessionStarted) and e.session_date == session_date for e in events)
    if starts >= STARTS_MAX:
        raise NotReady(
            f"the session of {session_date} was started {starts} times, limit {STARTS_MAX}: it keeps "
            "crashing; look at the earlier runs, then go on with `desk session` or make the account flat "
            "with `desk kill`"
        )


def _claim(day: Day, account: Account, session_date: date) -> bool:
    """Claim the phase; False, and the day is idle, when it is done or being done.

    A day that is closed is looked at again each time somebody asks: closing is idempotent, and the
    look may find what nobody knew.
    """
    claim = account.ledger.claim(day.phase, session_date, day.run_id)
    if claim.state is ClaimState.DONE and day.phase is Phase.CLOSE_DAY:
        account.ledger.reopen(day.phase, session_date)
        claim = account.ledger.claim(day.phase, session_date, day.run_id)
    if not claim.granted:
        day.is_elsewhere = claim.state is ClaimState.HELD
        day.idle(claim.message)
    return claim.granted

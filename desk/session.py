"""One loop for every day: live, rehearsal, simulation test.

Theory of operation. `run` recovers (start-up is recovery), then for each minute of the session waits
until the minute's bars are final and calls three steps: `ingest` (bars through the contract), `evaluate`
(strategies), `trade` (size, gate, write ahead, send). Between minutes it settles fills. The live flow
hands in the steps wrapped as Prefect tasks, everybody else the plain ones; the loop cannot tell.

It knows the time only through the clock port, so a simulated venue plays a day as fast as it can. It
starts at whatever minute it is: bars missed meanwhile come with the first ingest, orders with recovery.

Safety. A lost lease or an unwritable ledger ends the loop at once: without the ledger nothing may be
sent. A minute whose bars cannot be read gives no entries and leaves exits alone. A loss limit latches
and flattens. Positions are closed `close_out_minutes` before the bell. Our books are compared with the
broker's every few minutes, and at once when somebody else is heard trading on the account or a person
accepts a break: a symbol in doubt is locked, for exits too, until its books are right. Any other
exception halts, flattens as far as the broker lets it, and is raised again.
"""

import logging
from collections.abc import Callable, Sized
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any, Generic, TypeVar

import polars as pl

from desk.cycle import Cycle, TradeOutcome
from desk.desk import Desk
from desk.errors import (
    BrokerUnavailable,
    DataError,
    DeskError,
    IllegalTransition,
    LedgerError,
)
from desk.evaluation import Evaluation
from desk.flattener import flatten
from desk.gate import Judge, review_all
from desk.intake import Bars, Intake
from desk.prober import end_never_arrived
from desk.protector import protect
from desk.recovery import recover
from desk.rhythm import Rhythm
from desk.settler import settle
from desk.state_hash import STATE_VERSION, UNPROVEN
from desk.upkeep import Upkeep
from desk.valuation import Valuation
from schemas.account import SessionHours
from schemas.events import SessionEnded, SessionStarted, TradingStateChanged
from schemas.risk import TradingState

log = logging.getLogger(__name__)

MINUTE = timedelta(minutes=1)
# After the bell DAY orders expire within seconds at Alpaca; what is still open then is close-day's.
SETTLE_AFTER_CLOSE = timedelta(seconds=60)
# Two minutes in all: a broker away for longer is for whoever starts sessions to try again.
START_PAUSES = tuple(timedelta(seconds=seconds) for seconds in (5, 10, 20, 40, 60))
# A crash flattens for at most half a minute: cancels and market orders take seconds, and the error waits.
HALT_ROUNDS = 15
HALT_POLL = timedelta(seconds=2)


Delivery = TypeVar("Delivery", bound=Sized)
Said = TypeVar("Said", bound=Sized)


@dataclass(frozen=True, slots=True)
class Steps(Generic[Delivery, Said]):
    """The three steps of a minute, plain or wrapped as tasks. A minute is named by its left edge.

    What a step gives, the next one takes: frames of bars and of signals where a desk looks every minute.
    """

    ingest: Callable[[datetime], Delivery]
    evaluate: Callable[[datetime, Delivery], Said]
    trade: Callable[[datetime, Said], TradeOutcome]


@dataclass(frozen=True, slots=True)
class SessionResult:
    """The session in numbers."""

    session_date: date
    minutes: int
    bars: int
    signals: int
    intents: int
    approved: int
    denied: int
    cause: str


class Session:
    """A trading session of one account; one process at a time may run one (I12)."""

    def __init__(
        self,
        desk: Desk,
        *,
        session_date: date,
        run_id: str,
        settings_hash: str = "",
        code_version: str = "",
        bars: Bars[Any] | None = None,
        rhythm: Rhythm | None = None,
        judge: Judge = review_all,
    ) -> None:
        """Prepare; nothing is read or sent before `run`.

        Args:
            desk: its ports and books.
            session_date: the day.
            run_id: who runs it, for the ledger.
            settings_hash: of the settings in force, for the ledger.
            code_version: of this program, for the ledger.
            bars: bars that were judged already; by default they are taken in as they come.
            rhythm: how often to look; by default every minute.
            judge: the gate.
        """
        self.desk = desk
        self.session_date = session_date
        self.run_id = run_id
        self.settings_hash = settings_hash
        self.code_version = code_version
        self.rhythm = rhythm if rhythm is not None else Rhythm()
        self.bars: Bars[Any] = bars if bars is not None else Intake(desk, session_date=session_date)
        self.cycle = Cycle(desk, self.bars, session_date=session_date, judge=judge)
        self.upkeep = Upkeep(desk, books_every=self.rhythm.books_every)
        self._holds_overnight = desk.settings.session.overnight
        self.valuation = Valuation(desk, self.cycle, session_date=session_date)
        self._counts = {"minutes": 0, "bars": 0, "signals": 0, "intents": 0, "approved": 0, "denied": 0}

    def steps(self) -> Steps[pl.DataFrame, pl.DataFrame]:
        """Give the plain steps of a session that takes its bars in as they come."""
        assert isinstance(self.bars, Intake), "whoever hands in bars hands in steps for them"
        evaluation = Evaluation(self.desk, self.bars)
        return Steps(ingest=self.bars.ingest, evaluate=evaluation.evaluate, trade=self.cycle.trade)

    def run(self, steps: Steps[Any, Any] | None = None) -> SessionResult:
        """Run from now to the end of the session.

        Raises:
            NotReady: start-up found something that forbids trading.
            LeaseLost: another session has the account.
            LedgerUnavailable: nothing could be written, so nothing may be sent.
            BrokerUnavailable: the broker could not be read at start-up.
        """
        desk = self.desk
        try:
            hours = self._start()
            self._loop(hours, steps if steps is not None else self.steps())
            return self._end(hours)
        except Exception as error:
            if isinstance(error, DeskError) and not isinstance(error, IllegalTransition):
                raise  # expected trouble, each kind with its own cure; an impossible event is a defect
            log.exception("session failed: halting and flattening")
            self._halt(f"{type(error).__name__}: {error}")
            raise
        finally:
            if desk.updates is not None:
                desk.updates.stop()
            self.bars.stop()
            desk.recorder.flush()

    # ---- the day --------------------------------------------------------------------------

    def _start(self) -> SessionHours:
        """Recover and begin; a broker that does not answer is asked again, a bounded number of times.

        Raises:
            BrokerUnavailable: it never answered; nothing was traded, and whoever starts sessions may again.
        """
        for pause in START_PAUSES:
            try:
                return self._begin()
            except BrokerUnavailable as error:
                log.warning(
                    "start-up could not read the broker",
                    extra={"cause": str(error), "again_in_s": pause.total_seconds()},
                )
                self.desk.rest_until(self.desk.now() + pause)
        return self._begin()

    def _begin(self) -> SessionHours:
        desk = self.desk
        hours = recover(desk, self.session_date).hours
        equity = desk.broker.account().equity
        self.bars.prepare(hours)
        self.cycle.begin(hours)
        self.cycle.price_unwatched()
        self.upkeep.begin()
        if desk.updates is not None:
            desk.updates.start()
        desk.journal.record(
            SessionStarted(
                at=desk.now(),
                session_date=self.session_date,
                run_id=self.run_id,
                strategies=tuple(strategy.name for strategy in desk.strategies),
                symbols=self.bars.symbols,
                settings_hash=self.settings_hash,
                equity=equity,
                code_version=self.code_version,
            )
        )
        self.valuation.hold_loss()  # what was lost overnight, before the first entry
        return hours

    def _loop(self, hours: SessionHours, steps: Steps[Any, Any]) -> None:
        bars = self.bars
        for minute in self.rhythm.minutes(hours):
            last_due = bars.last_due(minute)
            if last_due + MINUTE <= self.desk.now():
                continue  # missed: its bars come with the next ingest, its decisions are not made up for
            if self.desk.stream is None:
                self._wait(last_due, hours)
                self._minute(minute, hours, steps)
                continue
            self._wait(minute + MINUTE, hours)
            self._hear_until(partial(bars.due, minute), hours)
            self._minute(minute, hours, steps)
            if bars.is_missing(minute):  # late bars tell whom to wait for
                self._hear_until(partial(bars.last_due, minute), hours)

    def _wait(self, until: datetime, hours: SessionHours) -> None:
        """Sleep in slices, settling after each."""
        every = timedelta(seconds=self.desk.settings.session.settle_every_s)
        while (now := self.desk.now()) < until:
            self.desk.clock.sleep_until(until if self.rhythm.is_calm() else min(until, now + every))
            self.bars.hear()
            self.upkeep.tend(hours)

    def _hear_until(self, due: Callable[[], datetime], hours: SessionHours) -> None:
        """Sleep until an instant that moves with what is heard, woken by the stream."""
        stream, bars = self.desk.stream, self.bars
        assert stream is not None
        every = timedelta(seconds=self.desk.settings.session.settle_every_s)
        tended = self.desk.now()
        bars.hear()
        while self.desk.now() < (until := due()):
            self.desk.clock.sleep_until(min(until, tended + every), stream.arrived)
            bars.hear()
            if self.desk.now() >= tended + every:
                self.upkeep.tend(hours)
                tended = self.desk.now()

    def _minute(self, minute: datetime, hours: SessionHours, steps: Steps[Any, Any]) -> None:
        try:
            bars = steps.ingest(minute)
        except (BrokerUnavailable, DataError) as error:
            log.error("no bars this minute", extra={"minute": minute.isoformat(), "cause": str(error)})
            bars = None
        try:
            if bars is not None and (self.desk.now() < hours.closes_at or self._holds_overnight):
                signals = steps.evaluate(minute, bars)
                outcome = steps.trade(minute, signals)
                self._count(bars=len(bars), signals=len(signals), outcome=outcome)
            elif bars is not None:
                self._count(bars=len(bars), signals=0, outcome=TradeOutcome())
        finally:
            self.bars.flush()
        self.bars.audit(minute)
        self.upkeep.tend(hours)
        if self.rhythm.is_marked(minute):
            self.valuation.mark(minute)
        if self.desk.now() < hours.closes_at:
            self.valuation.hold_loss()
        self.desk.recorder.flush()

    def _count(self, *, bars: int, signals: int, outcome: TradeOutcome) -> None:
        new = {
            "minutes": 1,
            "bars": bars,
            "signals": signals,
            "intents": outcome.intents,
            "approved": outcome.approved,
            "denied": outcome.denied,
        }
        self._counts = {name: self._counts[name] + number for name, number in new.items()}

    # ---- the end --------------------------------------------------------------------------

    def _end(self, hours: SessionHours) -> SessionResult:
        desk = self.desk
        if self._holds_overnight and not desk.portfolio.latches:
            protect(desk)  # a level reached by the last close is left at the next open, not a minute after it
        deadline = max(desk.now(), hours.closes_at) + SETTLE_AFTER_CLOSE
        while desk.portfolio.working_orders() and desk.now() < deadline and not self._holds_overnight:
            desk.clock.sleep_until(desk.now() + timedelta(seconds=5))
            settle(desk, urgent=True)
        try:
            end_never_arrived(desk)
        except BrokerUnavailable as error:
            log.warning("unanswered orders are left to close-day", extra={"cause": str(error)})
        desk.journal.catch_up()
        cause = "halted" if desk.portfolio.trading_state is TradingState.HALTED else "session closed"
        desk.journal.record(
            SessionEnded(
                at=desk.now(),
                session_date=self.session_date,
                run_id=self.run_id,
                cause=cause,
                state_seq=desk.journal.seq,
                state_hash=desk.portfolio.state_hash() if self.rhythm.proves else "",
                state_version=STATE_VERSION if self.rhythm.proves else UNPROVEN,
            )
        )
        return SessionResult(session_date=self.session_date, cause=cause, **self._counts)

    def _halt(self, cause: str) -> None:
        """Stop entries and close what is held, as far as ledger and broker let us."""
        desk = self.desk
        try:
            desk.journal.record(
                TradingStateChanged(at=desk.now(), state=TradingState.HALTED, cause=cause, by="session")
            )
            for _ in range(HALT_ROUNDS):
                left = flatten(desk, reason=cause, emergency=True)
                desk.clock.sleep_until(desk.now() + HALT_POLL)
                settle(desk, resend=True, urgent=True)
                if left == 0 and not desk.portfolio.working_orders():
                    return
        except (LedgerError, BrokerUnavailable) as error:
            log.error("could not flatten", extra={"cause": str(error)})

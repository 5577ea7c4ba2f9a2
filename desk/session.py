"""One loop for every day: live, rehearsal, simulation test.

Theory of operation. `run` recovers (start-up is recovery), then for each minute of the session waits
until the minute's bars are final and calls three steps: `ingest` (bars through the contract), `evaluate`
(strategies), `trade` (size, gate, write ahead, send). Between minutes it settles fills. The live flow
hands in the steps wrapped as Prefect tasks, everybody else the plain ones; the loop cannot tell.

It knows the time only through the clock port, so a simulated venue plays a day as fast as it can. It
starts at whatever minute it is: bars missed meanwhile come with the first ingest, orders with recovery.

Safety. A lost lease or an unwritable ledger ends the loop at once: without the ledger nothing may be
sent. A minute whose bars cannot be read gives no entries and leaves exits alone. A daily loss latches
and flattens. Positions are closed `close_out_minutes` before the bell. Our books are compared with the
broker's every few minutes, and at once when somebody else is heard trading on the account or a person
accepts a break: a symbol in doubt is locked, for exits too, until its books are right. Any other
exception halts, flattens as far as the broker lets it, and is raised again.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

import polars as pl

from desk.bookkeeper import level_books
from desk.cycle import Cycle, TradeOutcome
from desk.desk import Desk
from desk.dispatcher import cancel
from desk.errors import (
    BrokerUnavailable,
    DataError,
    DeskError,
    IllegalTransition,
    KillIncomplete,
    LedgerError,
)
from desk.flattener import flatten
from desk.hours import minutes
from desk.kill import is_flat, kill
from desk.losses import DayResult, daily_loss
from desk.recovery import recover
from desk.settler import end_never_arrived, settle
from schemas.account import SessionHours
from schemas.events import Mark, MinuteClosed, SessionEnded, SessionStarted, TradingStateChanged
from schemas.orders import Purpose
from schemas.risk import LatchName, TradingState

log = logging.getLogger(__name__)

MINUTE = timedelta(minutes=1)
BOOKS_EVERY = timedelta(minutes=5)  # five reads; without the stream a trade by hand is unknown this long
BOOKS_AGAIN = MINUTE  # while a break is open, it is looked at more often whether it cleared
# After the bell DAY orders expire within seconds at Alpaca; what is still open then is close-day's.
SETTLE_AFTER_CLOSE = timedelta(seconds=60)
# A crash flattens for at most half a minute: cancels and market orders take seconds, and the error waits.
HALT_ROUNDS = 15
HALT_POLL = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class Steps:
    """The three steps of a minute, plain or wrapped as tasks. A minute is named by its left edge."""

    ingest: Callable[[datetime], pl.DataFrame]
    evaluate: Callable[[datetime, pl.DataFrame], pl.DataFrame]
    trade: Callable[[datetime, pl.DataFrame], TradeOutcome]


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

    def __init__(self, desk: Desk, *, session_date: date, run_id: str, settings_hash: str = "") -> None:
        """Prepare; nothing is read or sent before `run`."""
        self.desk = desk
        self.session_date = session_date
        self.run_id = run_id
        self.settings_hash = settings_hash
        self.cycle = Cycle(desk, session_date=session_date)
        self._flattening: str | None = None  # the reason, once positions must go
        self._killed_at: datetime | None = None  # of the latch that was executed
        self._books_at: datetime | None = None  # of the last comparison; None: due at once
        self._accepted: frozenset[str] = frozenset()  # breaks that comparison knew to be accepted
        self._counts = {"minutes": 0, "bars": 0, "signals": 0, "intents": 0, "approved": 0, "denied": 0}

    def steps(self) -> Steps:
        """Give the plain steps."""
        return Steps(ingest=self.cycle.ingest, evaluate=self.cycle.evaluate, trade=self.cycle.trade)

    def run(self, steps: Steps | None = None) -> SessionResult:
        """Run from now to the end of the session.

        Raises:
            NotReady: start-up found something that forbids trading.
            LeaseLost: another session has the account.
            LedgerUnavailable: nothing could be written, so nothing may be sent.
            BrokerUnavailable: the broker could not be read at start-up.
        """
        desk = self.desk
        try:
            hours = recover(desk, self.session_date).hours
            self._begin(hours)
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
            desk.recorder.flush()

    # ---- the day --------------------------------------------------------------------------

    def _begin(self, hours: SessionHours) -> None:
        desk = self.desk
        self.cycle.prepare(hours)
        self._books_at, self._accepted = desk.now(), frozenset(desk.portfolio.accepted_breaks)
        loss = desk.portfolio.latches.get(LatchName.DAILY_LOSS)
        self._flattening = None if loss is None else loss.cause
        if desk.updates is not None:
            desk.updates.start()
        desk.journal.record(
            SessionStarted(
                at=desk.now(),
                session_date=self.session_date,
                run_id=self.run_id,
                strategies=tuple(strategy.name for strategy in desk.strategies),
                symbols=self.cycle.symbols,
                settings_hash=self.settings_hash,
                equity=desk.broker.account().equity,
            )
        )

    def _loop(self, hours: SessionHours, steps: Steps) -> None:
        delay = timedelta(seconds=self.desk.settings.session.bar_delay_s)
        for minute in minutes(hours):
            due = minute + MINUTE + delay
            if due + MINUTE <= self.desk.now():
                continue  # missed: its bars come with the next ingest, its decisions are not made up for
            self._wait(due, hours)
            self._minute(minute, hours, steps)

    def _wait(self, until: datetime, hours: SessionHours) -> None:
        """Sleep in slices, settling after each."""
        every = timedelta(seconds=self.desk.settings.session.settle_every_s)
        while (now := self.desk.now()) < until:
            self.desk.clock.sleep_until(min(until, now + every))
            self._settle(hours)

    def _settle(self, hours: SessionHours) -> None:
        """Learn what happened, then do what cannot wait for the minute."""
        desk = self.desk
        if settle(desk, resend=LatchName.KILL not in desk.portfolio.latches):
            self._books_at = None
        if LatchName.KILL in desk.portfolio.latches:
            self._kill()  # which levels the books itself
            return
        self._check_books()
        now = desk.now()
        if now < hours.closes_at:
            self._expire_entries(now)
            out_at = hours.closes_at - timedelta(minutes=desk.settings.session.close_out_minutes)
            if desk.settings.session.close_out and now >= out_at:
                self._flattening = self._flattening or "close-out before the bell"
            if self._flattening is not None:
                flatten(
                    desk, reason=self._flattening, emergency=LatchName.DAILY_LOSS in desk.portfolio.latches
                )

    def _check_books(self) -> None:
        """Compare our books with the broker's when due (T3); a break locks its symbol until a person acts."""
        desk, portfolio = self.desk, self.desk.portfolio
        accepted = frozenset(portfolio.accepted_breaks)
        every = BOOKS_AGAIN if portfolio.breaks else BOOKS_EVERY
        is_due = self._books_at is None or desk.now() >= self._books_at + every
        if not is_due and accepted == self._accepted:
            return
        try:
            level_books(desk, adjust_max_usd=None)
        except BrokerUnavailable as error:
            log.warning("books could not be compared", extra={"cause": str(error)})
            self._books_at = None
            return
        self._books_at, self._accepted = desk.now(), frozenset(portfolio.accepted_breaks)

    def _kill(self) -> None:
        """Execute each kill latch; while the broker is not flat or does not answer, at every settle.

        An order whose answer was lost may arrive after the broker was seen flat, so what our books hold
        afterwards is closed like the rest (I14).
        """
        portfolio = self.desk.portfolio
        latch = portfolio.latches[LatchName.KILL]
        known = any(order.broker_order_id is not None for order in portfolio.working_orders())
        is_done = self._killed_at == latch.set_at
        if is_done and ((not known and not portfolio.holdings()) or is_flat(self.desk)):
            return
        try:
            kill(self.desk, cause=latch.cause, by="session")
            self._killed_at = latch.set_at
        except (KillIncomplete, BrokerUnavailable) as error:
            log.error("kill switch is not done", extra={"cause": str(error)})

    def _expire_entries(self, now: datetime) -> None:
        oldest = now - timedelta(minutes=self.desk.settings.session.entry_ttl_minutes)
        for order in self.desk.portfolio.working_orders():
            if order.intent.purpose is Purpose.ENTRY and order.planned_at <= oldest:
                cancel(self.desk, order, cause="entry not filled in time")

    def _minute(self, minute: datetime, hours: SessionHours, steps: Steps) -> None:
        try:
            bars = steps.ingest(minute)
        except (BrokerUnavailable, DataError) as error:
            log.error("no bars this minute", extra={"minute": minute.isoformat(), "cause": str(error)})
            bars = None
        if bars is not None and self.desk.now() < hours.closes_at:
            signals = steps.evaluate(minute, bars)
            outcome = steps.trade(minute, signals)
            self._count(bars=bars.height, signals=signals.height, outcome=outcome)
        elif bars is not None:
            self._count(bars=bars.height, signals=0, outcome=TradeOutcome())
        self._settle(hours)
        self._mark(minute, hours)
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

    # ---- equity and loss ------------------------------------------------------------------

    def _mark(self, minute: datetime, hours: SessionHours) -> None:
        """Value the books at the last prices, record the minute, hold the day's loss against its limit."""
        desk, portfolio = self.desk, self.desk.portfolio
        prices = self.cycle.last_prices()
        marks = {s: prices[s] for s in portfolio.held_symbols() if s in prices}
        exposures = [
            position.qty * marks.get(symbol, position.avg_price)
            for (_, symbol), position in sorted(portfolio.holdings().items())
        ]
        net = sum(exposures, Decimal(0))
        equity = portfolio.cash + net
        realized, fees = portfolio.realized_pnl(), portfolio.fees()
        desk.journal.record(
            MinuteClosed(
                at=desk.now(),
                session_date=self.session_date,
                bar_ts=minute,
                equity=equity,
                cash=portfolio.cash,
                realized_pnl=realized,
                unrealized_pnl=equity - portfolio.equity_start - realized + fees,
                fees=fees,
                gross=sum((abs(value) for value in exposures), Decimal(0)),
                net=net,
                marks=tuple(Mark(symbol=symbol, price=price) for symbol, price in sorted(marks.items())),
            )
        )
        self._hold_loss(hours)

    def _hold_loss(self, hours: SessionHours) -> None:
        desk, portfolio = self.desk, self.desk.portfolio
        minute = portfolio.minute
        if minute is None or self.desk.now() >= hours.closes_at:
            return
        day = DayResult(
            realized_pnl=minute.realized_pnl,
            unrealized_pnl=minute.unrealized_pnl,
            fees=minute.fees,
            start_equity=portfolio.equity_start,
            equity=self.cycle.broker_equity(),
        )
        latch = daily_loss(day, desk.settings.risk, latches=portfolio.latches, now=desk.now())
        if latch is not None:
            log.error("daily loss latched", extra={"loss": str(latch.number), "limit": str(latch.limit)})
            desk.journal.record(latch)
            if portfolio.trading_state is TradingState.ACTIVE:  # HALTED is not loosened
                desk.journal.record(
                    TradingStateChanged(
                        at=desk.now(), state=TradingState.REDUCING, cause=latch.cause, by="desk"
                    )
                )
            self._flattening = latch.cause

    # ---- the end --------------------------------------------------------------------------

    def _end(self, hours: SessionHours) -> SessionResult:
        desk = self.desk
        deadline = max(desk.now(), hours.closes_at) + SETTLE_AFTER_CLOSE
        while desk.portfolio.working_orders() and desk.now() < deadline:
            desk.clock.sleep_until(desk.now() + timedelta(seconds=5))
            settle(desk)
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
                state_hash=desk.portfolio.state_hash(),
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
                settle(desk, resend=True)
                if left == 0 and not desk.portfolio.working_orders():
                    return
        except (LedgerError, BrokerUnavailable) as error:
            log.error("could not flatten", extra={"cause": str(error)})

"""What cannot wait for the minute: fills, the books, the kill switch, old entries, positions that must go.

The session calls `tend` between its minutes and after each. Everything is learned first
(desk/settler.py) and acted on afterwards. Our books are compared with the broker's every few minutes,
and at once when somebody else is heard trading on the account or a person accepts a break: a symbol in
doubt is locked, for exits too, until its books are right.

HALTED keeps entries out and the strategies' own exits back; it does not keep positions over night. What must
go before the bell goes in every trading state, symbol by symbol, where the books are known to be right; of
the others a person is told in time (desk/watch.py).
"""

import logging
from datetime import datetime, timedelta

from desk.bookkeeper import level_books
from desk.desk import Desk
from desk.dispatcher import cancel
from desk.errors import BrokerUnavailable, KillIncomplete
from desk.flattener import flatten
from desk.kill import is_flat, kill
from desk.losses import loss_cause
from desk.protections import protect_entries
from desk.protector import protect
from desk.rhythm import BOOKS_EVERY
from desk.settler import settle
from desk.watch import Watch
from schemas.account import SessionHours
from schemas.orders import Purpose
from schemas.risk import LatchName

log = logging.getLogger(__name__)

BOOKS_AGAIN = timedelta(minutes=1)  # while a break is open, it is looked at more often whether it cleared


class Upkeep:
    """The duties between the minutes, and what they remember."""

    def __init__(self, desk: Desk, *, books_every: timedelta = BOOKS_EVERY) -> None:
        """Remember nothing; `begin` comes after recovery."""
        self.desk = desk
        self.books_every = books_every
        self.flattening: str | None = None  # the reason, once positions must go for the rest of the day
        self._killed_at: datetime | None = None  # of the latch that was executed
        self._kill_again_at: datetime | None = None  # while flat and waiting for an unanswered order
        self._books_at: datetime | None = None  # of the last comparison; None: due at once
        self._accepted: frozenset[str] = frozenset()  # breaks that comparison knew to be accepted
        self._watch = Watch(desk)

    def begin(self) -> None:
        """Take over from recovery, which has just compared the books."""
        self._books_at, self._accepted = self.desk.now(), frozenset(self.desk.portfolio.accepted_breaks)

    def tend(self, hours: SessionHours) -> None:
        """Learn what happened, then do what cannot wait for the minute."""
        desk = self.desk
        is_foreign = settle(desk, resend=LatchName.KILL not in desk.portfolio.latches)
        if self._watch.stream() or is_foreign:
            self._books_at = None  # what was said meanwhile was said to nobody, or somebody else trades
        if LatchName.KILL in desk.portfolio.latches:
            self._kill()  # which levels the books itself
            return
        protect_entries(desk)
        self._check_books()
        self._watch.cancels()
        now = desk.now()
        if now < hours.closes_at:
            self._expire_entries(now)
            out_at = hours.closes_at - timedelta(minutes=desk.settings.session.close_out_minutes)
            if desk.settings.session.close_out and now >= out_at:
                self.flattening = self.flattening or "close-out before the bell"
                self._watch.bell(hours.closes_at)
            loss = loss_cause(desk.portfolio.latches)
            reason = self.flattening or loss  # a loss that a person released closes nothing any more
            if reason is not None:
                flatten(desk, reason=reason, emergency=True)
            else:
                protect(desk)

    def _check_books(self) -> None:
        """Compare our books with the broker's when due (T3); a break locks its symbol until a person acts."""
        desk, portfolio = self.desk, self.desk.portfolio
        accepted = frozenset(portfolio.accepted_breaks)
        every = BOOKS_AGAIN if portfolio.breaks or portfolio.to_book else self.books_every
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

        Flat, and only an unanswered order left that may still arrive, it is looked at again every minute.

        An order whose answer was lost may arrive after the broker was seen flat, so what our books hold
        afterwards is closed like the rest (I14).
        """
        portfolio = self.desk.portfolio
        latch = portfolio.latches[LatchName.KILL]
        known = any(order.broker_order_id is not None for order in portfolio.working_orders())
        is_done = self._killed_at == latch.set_at
        nothing_ours = not known and not portfolio.holdings()
        if is_done and (nothing_ours or is_flat(self.desk)):
            return
        if nothing_ours and self._kill_again_at is not None and self.desk.now() < self._kill_again_at:
            return  # flat; what has no answer is asked about on its own schedule (desk/prober.py)
        try:
            kill(self.desk, cause=latch.cause, by="session")
            self._killed_at = latch.set_at
        except (KillIncomplete, BrokerUnavailable) as error:
            log.error("kill switch is not done", extra={"cause": str(error)})
            self._kill_again_at = self.desk.now() + BOOKS_AGAIN if is_flat(self.desk) else None

    def _expire_entries(self, now: datetime) -> None:
        minutes = self.desk.settings.session.entry_ttl_minutes
        if minutes is None:
            return
        oldest = now - timedelta(minutes=minutes)
        for order in self.desk.portfolio.working_orders():
            if order.intent.purpose is Purpose.ENTRY and order.planned_at <= oldest:
                cancel(self.desk, order, cause="entry not filled in time")

"""The outbox pump: a thread of its own that tells people what the ledger says they are owed.

It reads the ledger over its own connection, appends the notices that events make, sends them and
appends their delivery. Trading neither calls it nor waits for it: Discord down, slow or rate-limited
costs nothing but later messages, and what was not delivered is pending in the ledger for the next
start. Every pass is bounded (messages per pass, a wait between passes that doubles on failure), and
`stop` waits a bounded time for a last pass.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from desk.errors import BrokerError, LedgerError
from desk.notices import Outbox, deliver
from desk.ports import Notifier
from schemas.events import AnyEvent, Channel
from schemas.settings import Mode

log = logging.getLogger(__name__)

PASS_EVERY_S = 2.0  # people read minutes later; the ledger is asked 30 times a minute
WAIT_MAX_S = 60.0  # between tries while Discord or the ledger is down
STOP_TIMEOUT_S = 10.0  # a last pass with one slow answer; what it misses stays pending


def _never() -> bool:
    return False


class OutboxLedger(Protocol):
    """The ledger as an operator beside the session sees it."""

    def read(self, after_seq: int = 0) -> Iterator[tuple[int, AnyEvent]]:
        """Give events in order."""
        ...

    def append_as_operator(self, events: Sequence[AnyEvent]) -> int:
        """Write without the lease, all or nothing, and give the last seq; raises `LedgerUnavailable`."""
        ...

    def close(self) -> None:
        """Give the connection back."""
        ...


class Courier:
    """Passes over one ledger: fold its news, queue what is owed, deliver what is pending."""

    def __init__(
        self,
        ledger: OutboxLedger,
        *,
        mode: Mode,
        notifiers: Mapping[Channel, Notifier],
        now: Callable[[], datetime],
    ) -> None:
        """Know nothing yet; the first pass reads the ledger from its beginning."""
        self._ledger = ledger
        self._outbox = Outbox(mode)
        self._notifiers = dict(notifiers)
        self._now = now
        self._seq = 0

    def run_once(self, *, stopping: Callable[[], bool] = _never) -> int:
        """Make one pass and give how many notices are still pending.

        Args:
            stopping: asked between messages; True ends the pass early.

        Raises:
            LedgerUnavailable: nothing more could be read or written; nothing is lost.
        """
        self._catch_up()
        owed = self._outbox.owed()
        if owed:
            self._ledger.append_as_operator(owed)
            self._catch_up()
        pending = {notice.notice_id: notice for notice in self._outbox.pending()}
        if not pending:
            return 0
        for delivered in deliver(tuple(pending.values()), self._notifiers, now=self._now()):
            self._ledger.append_as_operator(delivered)
            for each in delivered:
                notice = pending[each.notice_id]
                log.info(
                    "notice delivered",
                    extra={
                        "notice_id": each.notice_id,
                        "channel": notice.channel.value,
                        "via": each.via,
                        "text": notice.text,
                    },
                )
            if stopping():
                break
        self._catch_up()
        return len(self._outbox.pending())

    def _catch_up(self) -> None:
        for seq, event in self._ledger.read(self._seq):
            self._outbox.apply(event)
            self._seq = seq


class OutboxPump:
    """The thread. `start` and `stop` once each; as a context manager it does both."""

    def __init__(
        self,
        open_ledger: Callable[[], OutboxLedger],
        *,
        mode: Mode,
        notifiers: Mapping[Channel, Notifier],
        now: Callable[[], datetime],
        pass_every_s: float = PASS_EVERY_S,
    ) -> None:
        """Remember what to do; nothing is opened yet.

        Args:
            open_ledger: called in the thread, whose connection it becomes.
            mode: paper or live: where trades are told.
            notifiers: one per channel that has a webhook; the others are told to the log.
            now: the desk's clock.
            pass_every_s: seconds between passes while all goes well.
        """
        self._open_ledger = open_ledger
        self._mode = mode
        self._notifiers = notifiers
        self._now = now
        self._pass_every_s = pass_every_s
        self._stop = threading.Event()
        # A daemon: a process that must end does not wait for Discord.
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)

    def __enter__(self) -> "OutboxPump":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin, in the background."""
        self._thread.start()

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> bool:
        """Ask for a last pass and wait for it; give True if it ended in time."""
        self._stop.set()
        self._thread.join(timeout_s)
        ended = not self._thread.is_alive()
        if not ended:
            log.warning("outbox still sending, its notices stay pending", extra={"waited_s": timeout_s})
        return ended

    def _run(self) -> None:
        """Pass until stopped, then once more for what the session said last."""
        wait_s = self._pass_every_s
        courier: Courier | None = None
        ledger: OutboxLedger | None = None
        last = False
        while not last:
            last = self._stop.wait(wait_s)
            try:
                if courier is None:
                    ledger = self._open_ledger()
                    courier = Courier(ledger, mode=self._mode, notifiers=self._notifiers, now=self._now)
                # The last pass sends all it may; the others end when they are asked to.
                left = courier.run_once(stopping=_never if last else self._stop.is_set)
            except (LedgerError, BrokerError) as error:  # a simulated venue is asked for the time
                log.warning("outbox could not make its pass, will try again", extra={"error": str(error)})
                left = 1
            wait_s = self._pass_every_s if left == 0 else min(max(wait_s, self._pass_every_s) * 2, WAIT_MAX_S)
            if self._stop.is_set():
                wait_s = 0.0
        if ledger is not None:
            ledger.close()

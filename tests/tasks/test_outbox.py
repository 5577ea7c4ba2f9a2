"""The pump tells people what the ledger owes them, and costs trading nothing."""

import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

import pytest

from data.ledger import Ledger
from desk.errors import BrokerUnavailable, LedgerUnavailable
from desk.ports import Notifier
from schemas.events import AnyEvent, Channel, NoticeDelivered, NoticeQueued
from schemas.settings import Mode
from tasks.outbox import Courier, OutboxLedger, OutboxPump
from tests.makers import NOON, filled, intent, planned
from tests.memory_ledger import MemoryLedger

PATIENCE_S = 10.0  # far more than any pass needs; a test that waits so long has failed
EVENTS: list[AnyEvent] = [planned(intent("mqd-a")), filled(intent("mqd-a"), "e1", "100")]


class SharedLedger(MemoryLedger):
    """The memory ledger as an operator sees it; it can be taken away and given back."""

    def __init__(self) -> None:
        super().__init__()
        self.broken = False
        self.refused = threading.Event()
        self.closed = False

    def append_as_operator(self, events: Sequence[AnyEvent]) -> int:
        if self.broken:
            self.refused.set()
            raise LedgerUnavailable("the disk is full")
        return self.append(events)

    def close(self) -> None:
        self.closed = True


class Post:
    """A notifier: takes messages, refuses them, or hangs until released."""

    def __init__(self, *, down: bool = False, hang: bool = False) -> None:
        self.down = down
        self.taken: list[str] = []
        self.called = threading.Event()
        self.release = threading.Event()
        if not hang:
            self.release.set()

    def send(self, channel: str, text: str) -> bool:
        self.called.set()
        self.release.wait(PATIENCE_S)
        if self.down:
            return False
        self.taken.append(text)
        return True


def courier(ledger: OutboxLedger, post: Notifier | None = None) -> Courier:
    """Make a courier whose paper trades go to the post."""
    notifiers = {} if post is None else {Channel.PAPER_TRADES: post}
    return Courier(ledger, mode=Mode.PAPER, notifiers=notifiers, now=lambda: NOON)


def pump(ledger: OutboxLedger, post: Notifier, *, now: Callable[[], datetime] = lambda: NOON) -> OutboxPump:
    """Make a pump that passes every hundredth of a second."""
    return OutboxPump(
        lambda: ledger,
        mode=Mode.PAPER,
        notifiers={Channel.PAPER_TRADES: post},
        now=now,
        pass_every_s=0.01,
    )


def kinds(ledger: MemoryLedger) -> list[str]:
    """Give the kinds of all events in a ledger."""
    return [event.kind for _, event in ledger.read()]


def delivered(ledger: MemoryLedger) -> list[str]:
    """Give the ids of delivered notices."""
    return [event.notice_id for _, event in ledger.read() if isinstance(event, NoticeDelivered)]


def test_a_pass_queues_before_it_sends_and_records_the_delivery() -> None:
    """The ledger has event, notice, delivery, in this order."""
    ledger, post = SharedLedger(), Post()
    ledger.append(EVENTS)

    assert courier(ledger, post).run_once() == 0

    assert kinds(ledger)[2:] == ["notice_queued", "notice_delivered"]
    assert post.taken == ["AAPL BUY 100 at 100 (entry, sma_crossover, fee 0.00 USD)"]


def test_passing_again_does_nothing_twice() -> None:
    """A second pass, and another process's pass, find nothing to do."""
    ledger, post = SharedLedger(), Post()
    ledger.append(EVENTS)
    first = courier(ledger, post)
    first.run_once()
    before = list(ledger.rows)

    assert first.run_once() == 0
    assert courier(ledger, post).run_once() == 0

    assert ledger.rows == before
    assert len(post.taken) == 1


def test_without_a_webhook_the_log_has_it() -> None:
    """A notice nobody is to be sent is delivered at once, via the log."""
    ledger = SharedLedger()
    ledger.append(EVENTS)

    courier(ledger).run_once()

    (last,) = [event for _, event in ledger.read() if isinstance(event, NoticeDelivered)]
    assert last.via == "log"


def test_discord_down_loses_nothing() -> None:
    """What could not be sent is pending in the ledger, and the next start delivers it."""
    ledger, post = SharedLedger(), Post(down=True)
    ledger.append(EVENTS)

    assert courier(ledger, post).run_once() == 1
    assert delivered(ledger) == []

    post.down = False
    assert courier(ledger, post).run_once() == 0
    assert delivered(ledger) == ["fill/e1"]
    assert kinds(ledger).count("notice_queued") == 1


def test_a_process_that_died_between_event_and_notice_owes_it_at_the_next_start() -> None:
    """The event alone is enough: its notice is derived from the ledger."""
    ledger, post = SharedLedger(), Post()
    ledger.append(EVENTS)
    ledger.broken = True
    with pytest.raises(LedgerUnavailable):
        courier(ledger, post).run_once()
    ledger.broken = False

    courier(ledger, post).run_once()

    assert len(post.taken) == 1


def test_a_hanging_discord_holds_up_neither_appends_nor_the_stop() -> None:
    """While a send hangs, the ledger takes events, a bounded stop says so, and the process may end."""
    ledger, post = SharedLedger(), Post(hang=True)
    ledger.append(EVENTS)
    running = pump(ledger, post)
    running.start()
    assert post.called.wait(PATIENCE_S)

    ledger.append([planned(intent("mqd-b"))])
    ended = running.stop(timeout_s=0.01)

    assert not ended
    assert "mqd-b" in ledger.rows[-1]
    assert {each.daemon for each in threading.enumerate() if each.name == "outbox"} == {True}
    post.release.set()
    assert running.stop(PATIENCE_S)


def test_the_last_pass_tells_what_the_session_said_last() -> None:
    """Events appended just before the stop are delivered by it."""
    ledger, post = SharedLedger(), Post()
    with pump(ledger, post):
        ledger.append(EVENTS)

    assert len(post.taken) == 1
    assert ledger.closed


def test_a_ledger_that_fails_is_tried_again() -> None:
    """The thread survives a full disk and delivers when it is over."""
    ledger, post = SharedLedger(), Post()
    ledger.broken = True
    ledger.append(EVENTS)
    running = pump(ledger, post)
    running.start()
    assert ledger.refused.wait(PATIENCE_S)
    ledger.broken = False

    assert post.called.wait(PATIENCE_S)
    assert running.stop(PATIENCE_S)
    assert delivered(ledger) == ["fill/e1"]


def test_a_clock_that_does_not_answer_is_asked_again() -> None:
    """The thread survives a simulated venue that is away and delivers when it is back."""
    ledger, post = SharedLedger(), Post()
    ledger.append(EVENTS)
    away = iter([True, True])

    def now() -> datetime:
        if next(away, False):
            raise BrokerUnavailable("clock: no answer")
        return NOON

    with pump(ledger, post, now=now):
        assert post.called.wait(PATIENCE_S)

    assert delivered(ledger) == ["fill/e1"]


@pytest.fixture
def real_ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Give a ledger in a file, with the account's lease held by this test's session."""
    ledger = _open(tmp_path)
    ledger.acquire("session")
    yield ledger
    ledger.close()


def _open(folder: Path) -> Ledger:
    return Ledger.open(
        f"sqlite:///{folder / 'ledger.sqlite'}",
        "paper",
        lambda: NOON,
        "host",
        1,
    )


def test_the_pump_works_beside_a_session_on_a_real_ledger(real_ledger: Ledger, tmp_path: Path) -> None:
    """Its own connection appends notices while the session holds the lease and appends too."""
    post = Post()
    running = OutboxPump(
        lambda: _open(tmp_path),
        mode=Mode.PAPER,
        notifiers={Channel.PAPER_TRADES: post},
        now=lambda: NOON,
        pass_every_s=0.01,
    )
    with running:
        real_ledger.append(EVENTS)
        assert post.called.wait(PATIENCE_S)
        for number in range(20):
            real_ledger.append([planned(intent(f"mqd-{number}"))])

    events = [event for _, event in real_ledger.read()]
    assert len([event for event in events if isinstance(event, NoticeQueued)]) == 1
    assert len([event for event in events if isinstance(event, NoticeDelivered)]) == 1
    assert len(events) == 24

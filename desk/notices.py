"""Notices: which event tells people what, where, and exactly once.

Theory of operation. A notice is a function of the ledger: `Outbox` folds events in order and owes
the notices they make. The notice id is a function of the event, so folding the same ledger again,
in another process or after a crash, owes the same notices, and one that is already queued is not
owed again. `NoticeQueued` makes it durable, `NoticeDelivered` ends it; what is between the two is
pending and is tried again at the next start. Denials would flood: all of one minute make one
notice, owed when that minute is closed. Delivery is at least once (a process may die between the
webhook's answer and the append); a message seen twice is harmless, a lost one is not.

Texts are short and name the thing, the number and the limit. Trades go to the channel of the
account's mode; everything a person may have to act on goes to system alerts.

Left out: economic calendar, scanner, heartbeat and backtests have their channels and no event yet.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Literal

from desk.notice_words import alert_words, cut, day_text, denials_text, fill_text, names, usd
from desk.ports import Notifier
from schemas.events import (
    AnyEvent,
    Channel,
    DayClosed,
    Event,
    FillRecorded,
    IntentDenied,
    MinuteClosed,
    NoticeDelivered,
    NoticeQueued,
    OrderPlanned,
    OrderRejected,
    SessionEnded,
    SessionStarted,
)
from schemas.settings import Mode

MESSAGE_MAX = 1_900  # characters of one message; Discord refuses above 2,000
SEND_MAX = 20  # messages of one pass; a webhook allows about 30 a minute


def trade_channel(mode: Mode) -> Channel:
    """Give the channel for the account's trades."""
    return Channel.LIVE_TRADES if mode is Mode.LIVE else Channel.PAPER_TRADES


class Outbox:
    """What people have been told and what they are owed, folded from the ledger."""

    def __init__(self, mode: Mode) -> None:
        self._trades = trade_channel(mode)
        self._known: set[str] = set()  # ids queued
        self._pending: dict[str, NoticeQueued] = {}
        self._owed: dict[str, NoticeQueued] = {}
        self._denied: dict[datetime, list[IntentDenied]] = {}  # bar_ts: denials of an open minute
        self._running: SessionStarted | None = None
        self._executions: set[str] = set()
        self._purposes: dict[str, str] = {}  # client order id: entry or exit

    def apply(self, event: AnyEvent) -> None:
        """Fold one event; the ledger's order is the order."""
        match event:
            case NoticeQueued():
                if event.notice_id in self._known:
                    return
                self._known.add(event.notice_id)
                self._owed.pop(event.notice_id, None)
                self._pending[event.notice_id] = event
            case NoticeDelivered():
                self._pending.pop(event.notice_id, None)
            case IntentDenied():
                self._denied.setdefault(event.intent.bar_ts, []).append(event)
            case MinuteClosed():
                self._close_minutes(through=event.bar_ts)
            case SessionStarted():
                self._close_minutes(through=None)
                self._started(event)
            case SessionEnded():
                self._close_minutes(through=None)
                self._running = None
                self._owe_alert(
                    event, f"ended/{event.run_id}", f"Session ended: {event.session_date}: {event.cause}"
                )
            case OrderPlanned():
                self._purposes[event.intent.client_order_id] = event.intent.purpose.value
            case FillRecorded():
                self._filled(event)
            case OrderRejected():
                text = f"REJECTED {event.client_order_id}: {event.message} ({event.code})"
                self._owe(event, self._trades, f"rejected/{event.client_order_id}", text)
            case DayClosed():
                # A correction of the day has other numbers and is told; the same day again is not.
                notice_id = f"day/{event.session_date}/{event.equity}/{event.realized_pnl}/{event.fees}"
                self._owe(event, self._trades, notice_id, day_text(event))
            case _:
                self._alert(event)

    def owed(self) -> tuple[NoticeQueued, ...]:
        """Give notices to append, oldest first; each until its `NoticeQueued` is applied."""
        return tuple(self._owed.values())

    def pending(self) -> tuple[NoticeQueued, ...]:
        """Give queued notices nobody has delivered yet, oldest first."""
        return tuple(self._pending.values())

    def _owe(self, event: Event, channel: Channel, notice_id: str, text: str) -> None:
        if notice_id in self._known or notice_id in self._owed:
            return
        self._owed[notice_id] = NoticeQueued(
            at=event.at, notice_id=notice_id, channel=channel, text=cut(text)
        )

    def _owe_alert(self, event: Event, notice_id: str, text: str) -> None:
        self._owe(event, Channel.SYSTEM_ALERTS, notice_id, text)

    def _alert(self, event: AnyEvent) -> None:
        """Owe what a person may have to act on; other events tell nobody."""
        words = alert_words(event)
        if words is not None:
            self._owe_alert(event, *words)

    def _started(self, event: SessionStarted) -> None:
        """Tell of a start, or of a restart when the last session of the date never ended."""
        before = self._running
        self._running = event
        words = f"{event.session_date} {', '.join(event.strategies)} on {names(event.symbols)}"
        if before is not None and before.session_date == event.session_date:
            text = f"Session RESTARTED after a crash: {words}; run {before.run_id} never ended"
            self._owe_alert(event, f"restarted/{event.run_id}", text)
        elif before is not None:
            text = (
                f"Session started: {words}; the one of {before.session_date} never ended, run {before.run_id}"
            )
            self._owe_alert(event, f"started/{event.run_id}", text)
        else:
            text = f"Session started: {words}; equity {usd(event.equity)} USD"
            self._owe_alert(event, f"started/{event.run_id}", text)

    def _filled(self, event: FillRecorded) -> None:
        """Tell of an execution once, under whichever name it comes."""
        fill = event.fill
        by_quantity = f"{fill.client_order_id}/{fill.cum_qty}"
        if fill.execution_id in self._executions or by_quantity in self._executions:
            return
        self._executions.add(fill.execution_id)
        if fill.cum_qty is not None:
            self._executions.add(by_quantity)
        text = fill_text(fill, self._purposes.get(fill.client_order_id, "foreign"))
        self._owe(event, self._trades, f"fill/{fill.execution_id}", text)

    def _close_minutes(self, *, through: datetime | None) -> None:
        """Owe one notice for each minute that can deny no more; None closes all."""
        for bar_ts in sorted(self._denied):
            if through is None or bar_ts <= through:
                events = self._denied.pop(bar_ts)
                notice_id = f"denials/{events[0].intent.session_date}/{bar_ts:%H%M}"
                self._owe(events[-1], self._trades, notice_id, denials_text([each.denial for each in events]))


def deliver(
    pending: Sequence[NoticeQueued], notifiers: Mapping[Channel, Notifier], *, now: datetime
) -> Iterator[tuple[NoticeDelivered, ...]]:
    """Try pending notices once, message by message, and yield what each message delivered.

    Notices of one channel are joined into messages of at most 1,900 characters, oldest first. A
    channel that fails is left alone for the rest of the pass, so order is kept within a channel.
    A channel without a notifier is delivered by the log. Append what is yielded before asking for
    more: then a process that dies repeats one message at most.

    Args:
        pending: oldest first.
        notifiers: one per channel that has a webhook.
        now: the instant of the deliveries.
    """
    sent = 0
    for channel in Channel:
        mine = [notice for notice in pending if notice.channel is channel]
        notifier = notifiers.get(channel)
        if notifier is None:
            if mine:
                yield _delivered(mine, via="log", now=now)
            continue
        for batch in _messages(mine):
            if sent >= SEND_MAX:
                return
            sent += 1
            if not notifier.send(channel.value, "\n".join(each.text for each in batch)):
                break
            yield _delivered(batch, via="discord", now=now)


def _delivered(
    notices: Sequence[NoticeQueued], *, via: Literal["discord", "log"], now: datetime
) -> tuple[NoticeDelivered, ...]:
    return tuple(NoticeDelivered(at=now, notice_id=each.notice_id, via=via) for each in notices)


def _messages(notices: Sequence[NoticeQueued]) -> list[list[NoticeQueued]]:
    """Join notices into messages of at most `MESSAGE_MAX` characters."""
    messages: list[list[NoticeQueued]] = []
    length = MESSAGE_MAX + 1
    for notice in notices:
        if length + 1 + len(notice.text) > MESSAGE_MAX:
            messages.append([])
            length = 0
        messages[-1].append(notice)
        length += len(notice.text) + 1
    return messages

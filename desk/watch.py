"""Watching what should have happened and has not: the user stream, cancels, positions at the bell.

Theory of operation. The stream only makes fills known sooner, so losing it costs nothing but time; people
should know all the same, and what was said meanwhile was said to nobody. So a loss that lasts is recorded,
and so is its end, and after every connection the books are compared by REST (desk/upkeep.py).

A cancel that the broker does not carry out keeps an order alive whose shares are reserved. It is asked for
again (desk/dispatcher.py), and after some minutes a person is told what to do. So they are told of a
position that close-out may not touch, because its symbol's books are in doubt, while the bell comes nearer.

Notices have ids that are functions of what they are about: a restart tells nobody twice.
"""

import logging
from datetime import datetime, timedelta

from desk.desk import Desk
from desk.dispatcher import CANCEL_ALARM, cancel, is_stuck
from desk.money import plain
from desk.own_order import Order
from desk.portfolio import EXTERNAL
from schemas.events import Channel, NoticeQueued, StreamChanged

log = logging.getLogger(__name__)

STREAM_GRACE = timedelta(seconds=15)  # a reconnection takes one or two; the adapter's watchdog needs five
ALARM_AGAIN = timedelta(minutes=30)  # an alarm nobody acted on rings again


class Watch:
    """What was seen missing, and who was told; started anew with each process."""

    def __init__(self, desk: Desk) -> None:
        """Know nothing yet."""
        self.desk = desk
        self._connections = 0 if desk.updates is None else desk.updates.connections()
        self._down_since: datetime | None = None
        self._is_reported = False
        self._rang: dict[str, datetime] = {}  # by notice, when it was last queued; bounded by orders_per_day

    def stream(self) -> bool:
        """Record a lost or restored stream; give whether updates may have been missed since the last call."""
        updates = self.desk.updates
        if updates is None:
            return False
        now, count = self.desk.now(), updates.connections()
        has_changed, self._connections = count != self._connections, count
        if updates.is_listening():
            if self._is_reported and self._down_since is not None:
                gap = (now - self._down_since).total_seconds()
                self._tell(is_up=True, cause=f"heard again after {gap:.0f} s; the books are compared by REST")
            self._down_since, self._is_reported = None, False
        elif self._down_since is None:
            self._down_since = now
        elif not self._is_reported and now >= self._down_since + STREAM_GRACE:
            self._is_reported = True
            self._tell(is_up=False, cause="not connected; fills are learned by REST meanwhile")
        return has_changed

    def _tell(self, *, is_up: bool, cause: str) -> None:
        log.warning("user stream changed", extra={"is_up": is_up, "cause": cause})
        self.desk.journal.record(StreamChanged(at=self.desk.now(), is_up=is_up, cause=cause))

    def cancels(self) -> None:
        """Ask again for cancels without effect, and tell a person about those that stay so."""
        now = self.desk.now()
        for order in self.desk.portfolio.working_orders():
            if order.cancel_asked_at is None:
                continue
            cancel(self.desk, order, cause="asked again: it still works")
            if is_stuck(order, now=now, after=CANCEL_ALARM):
                self._ring(f"cancel/{order.intent.client_order_id}", _stuck_words(order, now))

    def bell(self, closes_at: datetime) -> None:
        """Tell a person of positions that close-out may not touch."""
        broken = self.desk.portfolio.broken_symbols()
        for (strategy, symbol), position in sorted(self.desk.portfolio.holdings().items()):
            if strategy != EXTERNAL and symbol in broken:
                self._ring(
                    f"bell/{symbol}/{closes_at:%Y%m%d}",
                    f"{symbol} {plain(position.qty)} ({strategy}) cannot be closed by {closes_at:%H:%M} UTC: "
                    "its books differ from the broker's. Close it at the broker, or accept the break "
                    "(`desk breaks --accept`), else it stays overnight",
                )

    def _ring(self, about: str, text: str) -> None:
        """Queue a notice, and again while nobody acted on it."""
        now = self.desk.now()
        last = self._rang.get(about)
        if last is not None and now < last + ALARM_AGAIN:
            return
        self._rang[about] = now
        log.error("a person should look", extra={"about": about, "words": text})
        slot = int(now.timestamp() // ALARM_AGAIN.total_seconds())
        self.desk.journal.record(
            NoticeQueued(at=now, notice_id=f"{about}/{slot}", channel=Channel.SYSTEM_ALERTS, text=text)
        )


def _stuck_words(order: Order, now: datetime) -> str:
    intent = order.intent
    assert order.cancel_asked_at is not None, "a stuck cancel was asked for"
    minutes = int((now - order.cancel_asked_at).total_seconds()) // 60
    return (
        f"CANCEL without effect for {minutes} min: {intent.symbol} {intent.side.value} "
        f"{plain(order.remaining_qty)} may still execute ({intent.client_order_id}, broker's id "
        f"{order.broker_order_id}). It is asked for again every few minutes and its shares stay reserved; "
        "cancel it on the broker's own page, or call them"
    )

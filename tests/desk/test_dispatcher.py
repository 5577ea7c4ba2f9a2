"""Sending: once, on disk first, and never by a process that lost the account while it slept."""

from collections.abc import Sequence

import pytest

from desk.dispatcher import cancel, place
from desk.errors import LeaseLost
from desk.kill import kill
from desk.settler import settle
from schemas import events as ev
from schemas.orders import OrderState, Purpose, Side
from tests.desk.scripted import approval_of, scripted
from tests.makers import intent
from tests.memory_ledger import MemoryLedger

EXIT = intent("mqd-exit", side=Side.SELL, qty="100", purpose=Purpose.EXIT)


class Stolen(MemoryLedger):
    """A ledger whose lease another process took, at a moment the test chooses."""

    lost = False
    lose_after: type | None = None  # the lease is lost right after an event of this kind was written

    def append(self, events: Sequence[ev.AnyEvent]) -> int:
        self.renew()
        seq = super().append(events)
        if self.lose_after is not None and any(isinstance(event, self.lose_after) for event in events):
            self.lost = True
        return seq

    def renew(self) -> None:
        if self.lost:
            raise LeaseLost("another session has the account")


def test_i12_a_process_that_slept_after_writing_ahead_sends_nothing() -> None:
    """Two orders are on disk, the account is lost before the first goes out: neither goes (I12)."""
    ledger = Stolen()
    played = scripted(ledger)
    ledger.lose_after = ev.OrderPlanned
    orders = [intent(f"mqd-{number}", limit_price="50") for number in range(2)]

    with pytest.raises(LeaseLost):
        place(played.desk, [(order, approval_of(order)) for order in orders])

    assert played.script.calls == []


def test_i12_a_process_that_slept_cancels_nothing() -> None:
    """A cancel is an act too: what the other session holds working is not ours to cancel (I12)."""
    ledger = Stolen()
    played = scripted(ledger)
    order = played.send(intent("mqd-1", limit_price="50"))
    ledger.lost = True

    with pytest.raises(LeaseLost):
        cancel(played.desk, order, cause="test")

    assert played.script.calls == ["submit"]


def test_i12_a_kill_switch_that_lost_the_account_cancels_nothing() -> None:
    """Also cancel-all is sent only by who holds the account (I12)."""
    ledger = Stolen()
    played = scripted(ledger)
    played.send(intent("mqd-1", limit_price="50"))
    ledger.lose_after = ev.TradingStateChanged

    with pytest.raises(LeaseLost):
        kill(played.desk, cause="test", by="me")

    assert "cancel_all" not in played.script.calls


def test_i4_a_refused_second_send_does_not_end_an_order_whose_first_was_lost() -> None:
    """After a restart too: the no is about the second send, and the first may have arrived (I4)."""
    played = scripted()
    played.send(intent("mqd-held", qty="100"))
    played.script.fill("b1", "100")
    settle(played.desk)
    played.script.lose = [False]
    played.send(EXIT)
    again = scripted(played.ledger, played.script)
    again.script.refuse["submit"] = "rate limit exceeded"

    for _ in range(4):
        settle(again.desk, resend=True, urgent=True)
    assert again.of(EXIT).state is OrderState.UNKNOWN

    again.script.refuse.clear()
    settle(again.desk, resend=True, urgent=True)
    assert again.of(EXIT).state is OrderState.SUBMITTED
    assert len([o for o in again.script.orders.values() if o.client_order_id == "mqd-exit"]) == 1

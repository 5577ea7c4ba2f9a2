"""Sending: once, on disk first, and never by a process that lost the account while it slept."""

from collections.abc import Sequence
from decimal import Decimal

import pytest

from desk.dispatcher import cancel, place
from desk.errors import LeaseLost, LedgerUnavailable
from desk.kill import kill
from desk.prober import lose_pending
from desk.settler import settle
from schemas import events as ev
from schemas.orders import Approval, BrokerOrder, OrderIntent, OrderState, Purpose, Side
from schemas.risk import LatchName
from tests.desk.scripted import approval_of, scripted
from tests.makers import NOON, intent
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


class Counting(MemoryLedger):
    """A ledger that keeps its appends apart, and may die instead of one."""

    def __init__(self) -> None:
        super().__init__()
        self.appends: list[list[type]] = []
        self.dies_at: type | None = None

    def append(self, events: Sequence[ev.AnyEvent]) -> int:
        if self.dies_at is not None and isinstance(events[0], self.dies_at):
            raise LedgerUnavailable("the power went")
        self.appends.append([type(event) for event in events])
        return super().append(events)


def three() -> list[OrderIntent]:
    return [intent(f"mqd-{number}", symbol=name, limit_price="50") for number, name in enumerate("ABC")]


def approved(orders: Sequence[OrderIntent]) -> list[tuple[OrderIntent, Approval]]:
    return [(order, approval_of(order)) for order in orders]


def test_i1_plans_are_one_append_before_the_first_send_and_answers_one_after_the_last() -> None:
    """No order waits for another's answer to be written, and none is sent before all plans are (I1)."""
    ledger = Counting()
    played = scripted(ledger)
    ledger.appends.clear()

    place(played.desk, approved(three()))

    assert ledger.appends == [[ev.OrderPlanned] * 3, [ev.OrderAcknowledged] * 3]
    assert [played.of(order).broker_order_id for order in three()] == ["b1", "b2", "b3"]


def test_i2_a_process_that_dies_before_the_answers_are_written_has_lost_nothing() -> None:
    """All three were taken; the next process learns that by their ids and sends none again (I2)."""
    ledger = Counting()
    played = scripted(ledger)
    ledger.dies_at = ev.OrderAcknowledged
    with pytest.raises(LedgerUnavailable):
        place(played.desk, approved(three()))
    ledger.dies_at = None

    again = scripted(ledger, played.script)
    lose_pending(again.desk)
    settle(again.desk, resend=True, urgent=True)

    assert played.script.calls.count("submit") == 3
    assert [again.of(order).state for order in three()] == [OrderState.SUBMITTED] * 3
    assert [again.of(order).broker_order_id for order in three()] == ["b1", "b2", "b3"]


def test_i4_refused_and_lost_orders_among_others_are_what_they_are() -> None:
    """The first is taken, the second's answer is lost, the third is taken: each in its own state (I4)."""
    played = scripted()
    submit, calls = played.script.submit, []

    def second_lost(order: OrderIntent) -> BrokerOrder:
        calls.append(order)
        played.script.lose = [True] if len(calls) == 2 else []
        return submit(order)

    played.script.submit = second_lost  # type: ignore[method-assign]
    place(played.desk, approved(three()))

    states = [played.of(order).state for order in three()]
    assert states == [OrderState.SUBMITTED, OrderState.UNKNOWN, OrderState.SUBMITTED]


def test_i14_a_kill_between_two_sends_withholds_the_rest() -> None:
    """A person's kill written while the first order is on its way keeps the others here (I14)."""
    played = scripted()
    submit = played.script.submit
    latch = ev.LatchSet(at=NOON, name=LatchName.KILL, number=Decimal(0), limit=Decimal(0), cause="by hand")

    def killed_meanwhile(order: OrderIntent) -> BrokerOrder:
        played.ledger.append([latch])
        return submit(order)

    played.script.submit = killed_meanwhile  # type: ignore[method-assign]
    place(played.desk, approved(three()))

    assert played.script.calls == ["submit"]
    states = [played.of(order).state for order in three()]
    assert states == [OrderState.SUBMITTED, OrderState.REJECTED, OrderState.REJECTED]


def test_i12_answers_heard_before_the_account_was_lost_raise_and_send_no_more() -> None:
    """The account is lost after the first send: the second is not sent (I12)."""
    ledger = Stolen()
    played = scripted(ledger)
    submit = played.script.submit

    def lost_meanwhile(order: OrderIntent) -> BrokerOrder:
        ledger.lost = True
        return submit(order)

    played.script.submit = lost_meanwhile  # type: ignore[method-assign]
    with pytest.raises(LeaseLost):
        place(played.desk, approved(three()))

    assert played.script.calls == ["submit"]


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

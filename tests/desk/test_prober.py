"""Asking about lost answers: soon, then rarely, from the ledger alone, and never taking silence for a no."""

from datetime import timedelta
from decimal import Decimal
from itertools import pairwise

import pytest

from desk.prober import (
    PROBE_EXIT_WAIT_MAX,
    PROBE_FIRST_WAIT,
    PROBE_WAIT_MAX,
    PROBES_QUICK,
    next_probe_at,
    unknown_since,
)
from desk.settler import settle
from schemas import events as ev
from schemas.orders import OrderIntent, OrderState, Purpose, Side
from tests.desk.scripted import Played, scripted
from tests.makers import NOON, intent

ENTRY = intent("mqd-entry", qty="100", limit_price="50.00")
EXIT = intent("mqd-exit", side=Side.SELL, qty="100", purpose=Purpose.EXIT)


def lost(order: OrderIntent = ENTRY) -> Played:
    """Give a desk whose order never arrived and never was answered."""
    played = scripted()
    played.script.lose = [False]
    played.send(order)
    return played


def gaps(played: Played, *, hours: float = 1) -> list[timedelta]:
    """Settle every ten seconds and give the waits between the questions."""
    for _ in range(int(hours * 360)):
        played.clock.later(seconds=10)
        settle(played.desk)
    asked = [NOON] + [event.at for event in played.kinds(ev.OrderProbed)]
    return [later - earlier for earlier, later in pairwise(asked)]


def test_i4_a_lost_entry_is_asked_about_soon_then_ever_more_rarely() -> None:
    """Quickly at first; the waits double up to their limit, and it stays UNKNOWN (I4)."""
    played = lost()

    waits = gaps(played)

    assert waits[:PROBES_QUICK] == [PROBE_FIRST_WAIT] * PROBES_QUICK
    assert waits[PROBES_QUICK:] == sorted(waits[PROBES_QUICK:])
    assert max(waits) == PROBE_WAIT_MAX
    assert len(waits) < 20
    assert played.of(ENTRY).state is OrderState.UNKNOWN


def test_a_lost_exit_is_asked_about_more_often() -> None:
    """A position waits for it."""
    assert max(gaps(lost(EXIT))) == PROBE_EXIT_WAIT_MAX


def test_i8_the_next_question_is_known_from_the_ledger_alone() -> None:
    """A restart asks neither sooner nor later, and shows the same age (I8)."""
    played = lost()
    gaps(played, hours=0.1)
    again = scripted(played.ledger, played.script)

    assert next_probe_at(again.of(ENTRY)) == next_probe_at(played.of(ENTRY))
    assert unknown_since(again.of(ENTRY)) == unknown_since(played.of(ENTRY)) == NOON
    assert again.desk.portfolio.state_hash() == played.desk.portfolio.state_hash()


def test_an_answered_order_is_not_asked_about() -> None:
    """It has neither an age nor a next question."""
    played = scripted()
    played.send(ENTRY)

    assert next_probe_at(played.of(ENTRY)) is None
    assert unknown_since(played.of(ENTRY)) is None


def test_at_start_and_end_all_are_asked_about_at_once() -> None:
    """Whatever the schedule says, start-up wants to know."""
    played = lost()
    gaps(played, hours=0.1)
    played.script.calls.clear()

    settle(played.desk, urgent=True)

    assert played.script.calls.count("by_client_id") == 1


def test_a_kill_that_asks_all_day_fills_no_ledger() -> None:
    """Asked about every other second for hours, an order is recorded as denied by its schedule only."""
    played = lost(EXIT)

    for _ in range(1800):
        played.clock.later(seconds=2)
        settle(played.desk, urgent=True)

    assert played.script.calls.count("by_client_id") == 1800
    assert len(played.kinds(ev.OrderProbed)) < 130


@pytest.mark.parametrize("arrived", [True, False], ids=["arrived", "never arrived"])
def test_many_lost_answers_are_one_question(*, arrived: bool) -> None:
    """Thirty orders cost one list, which finds those that exist and says of the others that it lacks them."""
    played = scripted()
    played.script.lose = [arrived] * 30
    orders = [intent(f"mqd-{number}", qty="1", limit_price="50.00") for number in range(30)]
    for order in orders:
        played.send(order)
    played.script.calls.clear()

    settle(played.desk)

    assert played.script.calls.count("by_client_id") == 0
    assert played.script.calls.count("orders_since") <= 2
    states = {played.of(order).state for order in orders}
    assert states == ({OrderState.SUBMITTED} if arrived else {OrderState.UNKNOWN})
    assert len(played.kinds(ev.OrderProbed)) == (0 if arrived else 30)


def test_i6_a_lost_order_keeps_its_exposure() -> None:
    """Nobody knows whether it exists, so it counts (I6)."""
    played = lost()
    gaps(played)

    assert played.of(ENTRY).remaining_qty == Decimal(100)


@pytest.mark.parametrize("is_held", [True, False])
def test_f4_an_unanswered_exit_goes_again_only_while_its_shares_are_held(is_held: bool) -> None:
    """The broker denies knowing it: sent again while the position is there, not once it was closed (F4)."""
    played = lost(EXIT)
    if is_held:
        entry = intent("mqd-held", qty="100", limit_price="50.00")
        played.send(entry)
        played.script.fill(next(iter(played.script.orders)), "100", price="50")
    before = played.script.calls.count("submit")

    gaps(played_resending(played), hours=0.05)

    assert (played.script.calls.count("submit") > before) == is_held


def played_resending(played: Played) -> Played:
    """Let the next settles send unanswered exits again."""
    for _ in range(4):
        played.clock.later(seconds=10)
        settle(played.desk, resend=True)
    return played

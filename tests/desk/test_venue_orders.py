"""Replacing, legs and stuck cancels against the venue's own rules, not a script."""

from datetime import timedelta
from decimal import Decimal

import pytest

from desk.desk import Desk
from desk.dispatcher import cancel, place, replace
from desk.exchange.venue import Venue
from desk.kill import kill
from desk.recovery import recover
from desk.settler import settle
from desk.views import working
from schemas.orders import OrderClass, OrderIntent, OrderState, OrderType, Purpose, Side
from tests import rehearsal as r
from tests.contracts.venue import DAY, MINUTE, OPEN, PER_PRINT, flat_market, order_of
from tests.desk.scripted import approval_of
from tests.makers import planned


def opened() -> tuple[Venue, Desk]:
    """Give a venue two minutes into its session and a desk on it."""
    place_ = Venue(flat_market(), session_date=DAY)
    desk = r.desk_on(place_, r.new_ledger())
    place_.sleep_until(OPEN + 2 * MINUTE)
    recover(desk, DAY)
    desk.updates.start()  # type: ignore[union-attr]  # the venue's stream is there
    return place_, desk


def sent(desk: Desk, wanted: OrderIntent) -> OrderIntent:
    """Send an approved intent."""
    place(desk, ((wanted, approval_of(wanted)),))
    return wanted


def state(desk: Desk, wanted: OrderIntent) -> OrderState:
    """Give the state of an intent's order."""
    return desk.portfolio.orders[wanted.client_order_id].state


def limit(number: int, **changes: object) -> OrderIntent:
    """Give a buy of 250 that trades at most 100 a print."""
    made = order_of(number, order_type=OrderType.LIMIT, limit_price=Decimal("100.50"), qty=Decimal(250))
    return made.model_copy(update=changes)


def exit_oco(number: int, qty: str) -> OrderIntent:
    """Give a take-profit far above and a stop far below."""
    return order_of(
        number,
        side=Side.SELL,
        qty=Decimal(qty),
        purpose=Purpose.EXIT,
        order_type=OrderType.LIMIT,
        limit_price=Decimal(120),
        order_class=OrderClass.OCO,
        take_profit_price=Decimal(120),
        stop_loss_price=Decimal(80),
        protects=True,
    )


@pytest.mark.parametrize("takes_s", [0, 20], ids=["at once", "slowly"])
def test_i6_what_was_asked_is_never_exceeded_by_a_replacement(takes_s: int) -> None:
    """250 asked, 100 executed, the other 150 replaced; slowly or at once, never more than 250 (#165)."""
    venue, desk = opened()
    venue.floor.replace_takes = timedelta(seconds=takes_s)
    old = sent(desk, limit(0))
    settle(desk)
    assert desk.portfolio.orders[old.client_order_id].filled_qty == PER_PRINT
    new = limit(1, qty=Decimal(150), limit_price=Decimal("100.60"), replaces=old.client_order_id)

    replace(desk, desk.portfolio.orders[old.client_order_id], new, approval_of(new))
    for _ in range(24):
        venue.sleep_until(venue.now() + timedelta(seconds=5))
        settle(desk)
        open_qty = [order.qty - order.filled_qty for order in venue.open_orders() if order.qty is not None]
        assert sum(order.most for order in working(desk.portfolio)) >= max(open_qty, default=Decimal(0))

    assert state(desk, old) in (OrderState.CANCELED, OrderState.FILLED)
    assert PER_PRINT < desk.portfolio.position("AAPL") <= 250
    assert r.audited(venue, desk) == []


def test_an_oco_is_one_order_and_a_kill_ends_flat_beside_it() -> None:
    """Its two halves at the venue are ours; the kill cancels both and sells the shares (I14)."""
    venue, desk = opened()
    sent(desk, order_of(0, qty=PER_PRINT))
    settle(desk)
    protection = sent(desk, exit_oco(1, str(PER_PRINT)))
    settle(desk)

    assert len(desk.portfolio.orders[protection.client_order_id].broker_ids) == 2
    assert state(desk, protection) is OrderState.SUBMITTED
    recover(desk, DAY)
    assert desk.portfolio.breaks == {}

    kill(desk, cause="test", by="me")

    assert venue.positions() == ()
    assert venue.open_orders() == ()
    assert state(desk, protection) is OrderState.CANCELED
    assert r.audited(venue, desk) == []


def test_a_restart_knows_the_legs_of_a_lost_answer() -> None:
    """The process died before the answer named them: asked for, they are ours and no break."""
    venue, desk = opened()
    sent(desk, order_of(0, qty=PER_PRINT))
    settle(desk)
    protection = exit_oco(1, str(PER_PRINT))
    venue.submit(protection)  # it arrived, and nobody heard the answer
    desk.journal.record(planned(protection))

    found = recover(desk, DAY)

    assert found.breaks == ()
    assert len(desk.portfolio.orders[protection.client_order_id].leg_ids) == 1


def test_a_slow_cancel_keeps_its_shares_and_loses_to_a_fill() -> None:
    """While the venue takes its time the order may fill; what it bought is ours, and it ends filled."""
    venue, desk = opened()
    venue.floor.cancel_takes = timedelta(minutes=5)
    old = sent(desk, limit(0))
    settle(desk)

    cancel(desk, desk.portfolio.orders[old.client_order_id], cause="test")
    assert sum(order.most for order in working(desk.portfolio)) == 150
    venue.sleep_until(venue.now() + 3 * MINUTE)
    settle(desk)

    assert state(desk, old) is OrderState.FILLED
    assert desk.portfolio.position("AAPL") == 250
    assert r.audited(venue, desk) == []

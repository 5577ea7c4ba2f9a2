"""R3 in a running session: week and drawdown latch, flatten, outlive the process, and end by a person."""

from datetime import datetime
from decimal import Decimal

import pytest

from desk.session import Steps
from schemas import events as ev
from schemas.orders import Purpose
from schemas.risk import LatchName, TradingState
from tests import rehearsal as r
from tests.desk.short_day import SHORT_DAY, kinds, run_short, short_venue

LOW = {
    LatchName.WEEKLY_LOSS: {"weekly_loss_usd": Decimal(1)},
    LatchName.DRAWDOWN: {"drawdown_max_frac": Decimal("0.00001")},
}


@pytest.mark.parametrize("name", LOW)
def test_r3_a_loss_latches_flattens_and_survives_a_restart(name: LatchName) -> None:
    """At the limit everything is closed, nothing is entered, and the next process knows it (R3, F6, I7)."""
    place, ledger = short_venue(), r.new_ledger()
    desk = r.desk_on(place, ledger, configured=r.settings(**LOW[name]))
    run_short(desk)

    (latch,) = kinds(ledger, ev.LatchSet)
    after = [e for e in kinds(ledger, ev.OrderPlanned) if e.at > latch.at]
    restarted = r.desk_on(place, ledger, configured=r.settings())

    assert latch.name is name
    assert latch.number >= latch.limit
    assert all(event.intent.purpose is Purpose.EXIT for event in after)
    assert place.positions() == ()
    assert name in restarted.portfolio.latches
    assert restarted.portfolio.trading_state is TradingState.REDUCING
    assert restarted.portfolio.state_hash() == desk.portfolio.state_hash()


@pytest.mark.parametrize(
    ("name", "limit"),
    [(LatchName.DAILY_LOSS, "daily_loss_usd"), (LatchName.WEEKLY_LOSS, "weekly_loss_usd")],
)
def test_r3_a_release_in_the_session_lets_it_trade_again(name: LatchName, limit: str) -> None:
    """After a person's release the same session enters again, and latches again only by a new loss."""
    place, ledger = short_venue(), r.new_ledger()
    desk = r.desk_on(place, ledger, configured=r.settings(**{limit: Decimal(20)}))
    session = r.session_of(desk, SHORT_DAY)
    steps = session.steps()
    released: list[datetime] = []

    def ingest(minute: datetime):
        is_flat_since = desk.portfolio.minute is not None and not desk.portfolio.minute.marks
        if not released and name in desk.portfolio.latches and is_flat_since:
            now = desk.now()
            desk.journal.record(ev.LatchReleased(at=now, name=name, by="ann", cause="seen"))
            active = ev.TradingStateChanged(at=now, state=TradingState.ACTIVE, cause="seen", by="ann")
            desk.journal.record(active)
            released.append(now)
        return steps.ingest(minute)

    session.run(Steps(ingest=ingest, evaluate=steps.evaluate, trade=steps.trade))

    (at,) = released
    entered = [e for e in kinds(ledger, ev.OrderPlanned) if e.at >= at and e.intent.purpose is Purpose.ENTRY]
    again = [e for e in kinds(ledger, ev.LatchSet) if e.at > at]
    assert entered
    assert all(e.at > entered[0].at and e.number >= 20 for e in again)
    assert r.audited(place, desk) == []

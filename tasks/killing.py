"""The kill switch as a task: by the running session if there is one, else by this process."""

import logging
import time
from decimal import Decimal
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from desk import kill
from desk.errors import DeskError, KillIncomplete, LeaseHeld
from schemas.events import KillVerified, LatchSet, TradingStateChanged
from schemas.risk import LatchName, TradingState
from tasks.occasion import Day
from tasks.resources import Account

# A session looks at the latch whenever it settles, and flattening has a minute of rounds.
SESSION_WAIT_S = 120.0
_LOOK_S = 0.5

log = logging.getLogger(__name__)


@task(name="flatten account", tags=["orders"], retries=0, cache_policy=NO_CACHE, persist_result=False)
def flatten_account(day: Day, *, cause: str, by: str) -> State[Any]:
    """Latch, cancel all, close all, and verify at the broker; fails while the broker shows anything."""
    try:
        verified = flatten(day.account, cause=cause, by=by)
    except DeskError as error:
        log.error("kill switch is not verified", extra={"cause": str(error)})
        return Failed(message=str(error))
    return Completed(
        message=f"flat as the broker says: {verified.orders_canceled} orders canceled, "
        f"{verified.positions_closed} positions closed; the latch stays set until `desk resume`"
    )


def flatten(account: Account, *, cause: str, by: str) -> KillVerified:
    """Make the account flat; give the broker's verification.

    The latch is written first and without the lease, so it holds whatever comes after. A running
    session sees it at its next settle and does the work; it is waited for.

    Raises:
        KillIncomplete: the broker still shows orders or positions, or the session did not answer.
        BrokerUnavailable: the broker never answered; the latch is set.
    """
    now = account.clock.now()
    latched = LatchSet(at=now, name=LatchName.KILL, number=Decimal(1), limit=Decimal(0), cause=cause)
    halted = TradingStateChanged(at=now, state=TradingState.HALTED, cause=cause, by=by)
    seq = account.ledger.append_as_operator([latched, halted])
    try:
        with account.seat(holder=f"kill switch by {by}", stream=False) as desk:
            return kill.kill(desk, cause=cause, by=by)
    except LeaseHeld as error:
        log.warning("the running session makes the account flat", extra={"cause": str(error)})
    deadline = time.monotonic() + SESSION_WAIT_S
    while time.monotonic() < deadline:
        for _, event in account.ledger.read(seq):
            if isinstance(event, KillVerified):
                return event
        time.sleep(_LOOK_S)
    raise KillIncomplete(
        f"the session that holds the account did not verify within {SESSION_WAIT_S:.0f} s; the latch is set"
    )

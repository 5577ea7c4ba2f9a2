"""The kill switch as a task: the same deed as `desk kill`, seen in Prefect."""

import logging
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from desk.errors import DeskError
from tasks.occasion import Day
from tasks.operate import Shown, kill_account

log = logging.getLogger(__name__)


@task(name="flatten account", retries=0, cache_policy=NO_CACHE, persist_result=False)
def flatten_account(day: Day, *, cause: str, by: str) -> State[Any]:
    """Latch, cancel all, close all, and verify at the broker; fails while the broker shows anything."""
    try:
        verified = kill_account(
            day.account.settings, cause=cause, by=by, on_latched=_tell_latched, on_look=_tell
        )
    except DeskError as error:
        log.error("kill switch is not verified", extra={"cause": str(error)})
        return Failed(message=str(error))
    return Completed(
        message=f"flat as the broker says: {verified.orders_canceled} orders canceled, "
        f"{verified.positions_closed} positions closed; the latch stays set until `desk resume`"
    )


def _tell_latched() -> None:
    log.warning("kill latch is set: no entry is sent any more")


def _tell(shown: Shown) -> None:
    log.info("kill switch looks at the broker", extra={"shown": shown.words})

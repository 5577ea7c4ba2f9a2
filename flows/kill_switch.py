"""Everything off: no orders, no positions, as the broker itself says."""

from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from pydantic import Field

from tasks.killing import flatten_account
from tasks.occasion import emergency, name_run
from tasks.warehouse import publish


@flow(name="kill-switch", flow_run_name=name_run, retries=0, persist_result=False)
def kill_switch(
    cause: Annotated[str, Field(min_length=1, max_length=200)] = "kill switch from Prefect",
    by: Annotated[str, Field(min_length=1, max_length=64)] = "prefect",
) -> State[Any]:
    """Cancel every order, close every position, verify both at the broker; the latch stays set.

    A running session does it itself within seconds; without one this run does it. Entries stay off
    until a person releases the latch with `desk resume`.

    Args:
        cause: Why, in a few words: it is written into the ledger and told to everybody.
        by: Who decided it: a name that can be asked later.
    """
    with emergency() as day:
        if day.is_due:
            verified = flatten_account(day, cause=cause, by=by, return_state=True)
            publish(day)
            day.require(verified)
            day.finish(verified.message or "")
    return day.ending

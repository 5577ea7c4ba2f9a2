"""Before the open: are our books the broker's?"""

from datetime import date
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.artifacts import show_breaks
from tasks.occasion import Phase, name_run, occasion
from tasks.reconcile import reconcile
from tasks.warehouse import publish


@flow(name="reconcile-account", flow_run_name=name_run, retries=0, persist_result=False)
def reconcile_account(session_date: date | None = None) -> State[Any]:
    """Replay the ledger, read the broker, repair what evidence explains, and show what nothing explains.

    Sends no order. Small differences are adjusted in the books and recorded; one above
    `risk.break_halt_usd` halts trading until a person accepts it.

    Args:
        session_date: The New York date to prepare, as YYYY-MM-DD. Leave it empty for today by the
            desk's clock. A weekend or holiday ends at once.
    """
    with occasion(Phase.RECONCILE_ACCOUNT, session_date) as day:
        if day.is_due:
            recovery = reconcile(day)
            publish(day)
            show_breaks(day)
            day.finish(recovery.words)
    return day.ending

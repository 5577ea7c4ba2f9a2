"""At night: prove that the day's decisions follow from what was known, and that a backtest fills alike."""

from datetime import date
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.occasion import name_run
from tasks.proving import verified


@flow(name="verify-day", flow_run_name=name_run, retries=0, persist_result=False)
def verify_day(session_date: date | None = None) -> State[Any]:
    """Decide every minute of a session again from the prints known then, and play the day by a backtest.

    Fails when a difference is unexplained or a bar was altered, and names each: the decision, what was
    recorded, what comes out now, and why. It only reads; run it for any past date, as often as wanted.

    Args:
        session_date: The New York date to verify, as YYYY-MM-DD. Leave it empty for today by the
            desk's clock. A weekend or holiday ends at once.
    """
    return verified(session_date)

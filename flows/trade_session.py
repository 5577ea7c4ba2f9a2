"""The session: from recovery to the close, one task run per minute and step."""

from datetime import date
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.artifacts import show_summary, show_trading
from tasks.occasion import Phase, name_run, occasion
from tasks.report import write_report
from tasks.trading import run_session
from tasks.warehouse import publish


@flow(name="trade-session", flow_run_name=name_run, retries=0, persist_result=False)
def trade_session(session_date: date | None = None) -> State[Any]:
    """Trade one session to its close; a run that starts late or again continues where the books are.

    Nothing that protects money waits for this flow to end: positions are closed before the bell, losses
    latch and orders are in the ledger whether Prefect answers or not.

    Args:
        session_date: The New York date to trade, as YYYY-MM-DD. Leave it empty for today by the desk's
            clock. A weekend, a holiday or a session that is over ends at once.
    """
    with occasion(Phase.TRADE_SESSION, session_date, stream=True) as day:
        if day.is_due:
            result = run_session(day)
            publish(day)
            written = write_report(day)
            show_trading(day, written)
            show_summary(day, written)
            day.finish(result.words)
    return day.ending

"""After the close: prove that the books equal the broker's, and report."""

from datetime import date
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.artifacts import show_breaks, show_summary, show_trading
from tasks.occasion import Phase, name_run, occasion
from tasks.reconcile import close_books
from tasks.report import export_ledger, write_report
from tasks.warehouse import publish


@flow(name="close-day", flow_run_name=name_run, retries=0, persist_result=False)
def close_day(session_date: date | None = None) -> State[Any]:
    """End what is pending, compare our books with the broker's, report, and export the ledger.

    Fails while a break is open and names it: accept it (`desk breaks --accept`) or undo it at the
    broker, then retry this run. It may be run for any past date, as often as wanted: what is right stays
    as it is, and nothing is doubled.

    Args:
        session_date: The New York date to close, as YYYY-MM-DD. Leave it empty for today by the
            desk's clock. A weekend or holiday ends at once.
    """
    with occasion(Phase.CLOSE_DAY, session_date) as day:
        if day.is_due:
            books = close_books(day, return_state=True)
            publish(day)
            written = write_report(day)
            show_trading(day, written)
            show_summary(day, written)
            show_breaks(day)
            day.require(books)
            export_ledger(day)
            day.finish(books.message or "")
    return day.ending

"""A session and a day's close without Prefect: the same phases, for the day Prefect is down.

What the flows do as task runs is done here by the plain functions under them, with the same claims in
the ledger: a phase done here is done for the scheduled run too, and the other way round.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime

import polars as pl
from prefect.client.schemas.objects import State

from desk.cycle import TradeOutcome
from desk.desk import Desk
from desk.errors import DeskError
from desk.hours import minutes
from desk.session import Session, Steps
from tasks.code_version import code_version
from tasks.minute import Frames
from tasks.occasion import Day, Phase, occasion
from tasks.reconcile import close_books
from tasks.report import export_ledger, write_report
from tasks.settings_hash import settings_hash
from tasks.trading import prompt_threads
from tasks.warehouse import publish

log = logging.getLogger(__name__)


class PhaseFailed(DeskError):
    """A phase could not be done; the message is its one line."""


@dataclass(frozen=True, slots=True)
class Minute:
    """A minute just traded, for whoever watches."""

    minute: datetime  # left edge
    done: int
    total: int  # minutes of the whole session
    intents: int  # of this minute
    denied: int
    orders_today: int
    fills_today: int


def trade_session(session_date: date | None, *, on_minute: Callable[[Minute], None]) -> str:
    """Trade one session to its close; give one sentence about it.

    Args:
        session_date: whose session; None for today by the desk's clock.
        on_minute: told of each minute when it is done.

    Raises:
        PhaseFailed: in one line, why.
    """
    with occasion(Phase.TRADE_SESSION, session_date, stream=True) as day:
        if day.is_due:
            session = Session(
                day.desk,
                session_date=day.session_date,
                run_id=day.run_id,
                settings_hash=settings_hash(day.desk.settings),
                code_version=code_version(),
            )
            with prompt_threads():
                result = session.run(_watched(session.steps(), day, on_minute))
            publish.fn(day)
            day.finish(
                f"{result.session_date}: {result.cause}; {result.minutes} minutes, {result.bars} bars, "
                f"{result.signals} signals, {result.approved} approved, {result.denied} denied"
            )
    return _words(day)


def close_day(session_date: date | None) -> str:
    """Reconcile, report, publish and export a date; give one sentence about it.

    Raises:
        PhaseFailed: in one line, why; open breaks are named.
    """
    with occasion(Phase.CLOSE_DAY, session_date) as day:
        if day.is_due:
            books: State[object] = close_books.fn(day)
            publish.fn(day)
            written = write_report.fn(day)
            day.require(books)
            export_ledger.fn(day)
            page = f"; report {written.path}" if written.path is not None else ""
            day.finish(f"{books.message}{page}")
    return _words(day)


def _words(day: Day) -> str:
    message = day.ending.message or f"{day.phase} said nothing"
    if day.is_elsewhere or not day.ending.is_completed():
        raise PhaseFailed(message)  # a person who asks for what another run is doing did not get it
    return message


def _watched(plain: Frames, day: Day, on_minute: Callable[[Minute], None]) -> Frames:
    """Give the same steps, the last of each minute telling the watcher."""
    total = len(tuple(minutes(day.hours)))

    def trade(minute: datetime, signals: pl.DataFrame) -> TradeOutcome:
        outcome = plain.trade(minute, signals)
        on_minute(_told(day.desk, minute, outcome, done=1 + _index(day, minute), total=total))
        return outcome

    return Steps(ingest=plain.ingest, evaluate=plain.evaluate, trade=trade)


def _index(day: Day, minute: datetime) -> int:
    return int((minute - day.hours.opens_at).total_seconds()) // 60


def _told(desk: Desk, minute: datetime, outcome: TradeOutcome, *, done: int, total: int) -> Minute:
    return Minute(
        minute=minute,
        done=done,
        total=total,
        intents=outcome.intents,
        denied=outcome.denied,
        orders_today=desk.portfolio.orders_today,
        fills_today=desk.portfolio.fills_today,
    )

"""Compare our books with the broker's: in the morning to prepare, in the evening to prove."""

import logging
from dataclasses import dataclass
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from desk import closing
from desk.errors import DeskError
from desk.recovery import recover
from schemas.risk import Break, TradingState
from tasks.occasion import Day

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reconciled:
    """How the morning found the account, and one sentence about it."""

    breaks: tuple[Break, ...]
    words: str


@task(name="reconcile", retries=0, cache_policy=NO_CACHE, persist_result=False)
def reconcile(day: Day) -> Reconciled:
    """Replay, read the broker, repair in the books what evidence explains; sends no order.

    Raises:
        NotReady: the account, the clock or the calendar forbids trading.
        BrokerUnavailable: the broker could not be read.
    """
    found = recover(day.desk, day.session_date)
    halted = found.trading_state is TradingState.HALTED
    words = (
        f"{day.session_date}: {found.events_replayed} events replayed, {len(found.breaks)} open breaks, "
        f"trading {found.trading_state.value}"
    )
    if halted:
        log.error("trading is halted", extra={"breaks": len(found.breaks)})
    return Reconciled(breaks=found.breaks, words=words)


@task(name="close books", retries=0, cache_policy=NO_CACHE, persist_result=False)
def close_books(day: Day) -> State[Any]:
    """End what is pending and prove that our books equal the broker's.

    The task run fails, naming them, while breaks are open; what it could not do otherwise is named too.
    """
    try:
        result = closing.close_day(day.desk, day.session_date)
    except DeskError as error:
        log.error("books are not closed", extra={"cause": str(error)})
        return Failed(message=str(error))
    again = "closed"
    if result.already_closed:
        news = "nothing changed" if result.booked == 0 else f"{result.booked} events booked"
        again = f"looked at again, {news}"
    words = (
        f"{result.session_date} {again}: books equal the broker's; equity {result.equity:,.2f} USD, "
        f"realized {result.realized_pnl:+,.2f}, fees {result.fees:,.2f}"
    )
    return Completed(message=words)

"""The three verbs of a minute as Prefect tasks: seen in the UI, and unable to harm the minute.

Theory of operation. A task run is named by the step and the bar's minute on New York's clock
(`trade 10:31` is what the desk did with the 10:31 bar). Reading bars is retried, trading never is: a
lost answer is a matter for the ledger, not for a second try. Nothing is cached, persisted or hashed,
so frames pass through as they are and a rerun of the flow does the work again.

Prefect shows; it does not decide (I11). Should Prefect itself fail around a step, in whatever way, the
step is done plainly if it had not begun, its result is used if it had ended, and what it raised is
raised if it failed. It is never done twice. These tasks carry no tags: a tag makes Prefect 3.8.8 ask
its server for a concurrency slot before each run, and with the server dead that takes 70 s a task
and then raises (tests/flows/test_day.py kills the server to see that none of it comes back).
"""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any, Generic, ParamSpec, TypeVar

import polars as pl
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.exceptions import Pause

from desk.cycle import TradeOutcome
from desk.errors import BrokerUnavailable
from desk.hours import new_york
from desk.session import Steps

INGEST_RETRIES = 2  # besides the adapter's own: a third try after 3 s is still within the minute
INGEST_RETRY_DELAY_S = 1.0

log = logging.getLogger(__name__)
P = ParamSpec("P")
R = TypeVar("R")


class Step(Generic[P, R]):
    """One step of one minute, and how far it came, whatever becomes of the task around it."""

    def __init__(self, body: Callable[P, R]) -> None:
        """Hold the plain step."""
        self._body = body
        self.began = False
        self.results: list[R] = []

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Do it."""
        self.began = True
        result = self._body(*args, **kwargs)
        self.results.append(result)
        return result


def is_worth_retrying(task: Any, task_run: Any, state: Any) -> bool:
    """Tell whether bars may come at a second try: the broker was away, rather than our code wrong."""
    return isinstance(state.result(raise_on_failure=False), BrokerUnavailable)


@task(
    name="ingest",
    task_run_name="ingest {at}",
    description="Take in a minute's bars, through the contract.",
    retries=INGEST_RETRIES,
    retry_delay_seconds=INGEST_RETRY_DELAY_S,
    retry_condition_fn=is_worth_retrying,
    cache_policy=NO_CACHE,
    persist_result=False,
)
def ingest(at: str, step: Step[[datetime], pl.DataFrame], minute: datetime) -> pl.DataFrame:
    """Take in a minute's bars, through the contract.

    Raises:
        BrokerUnavailable: the provider did not answer, three times.
    """
    return step(minute)


@task(
    name="evaluate",
    task_run_name="evaluate {at}",
    description="Ask the strategies what they want to hold.",
    retries=0,
    cache_policy=NO_CACHE,
    persist_result=False,
)
def evaluate(
    at: str, step: Step[[datetime, pl.DataFrame], pl.DataFrame], minute: datetime, bars: pl.DataFrame
) -> pl.DataFrame:
    """Ask the strategies what they want to hold."""
    return step(minute, bars)


@task(
    name="trade",
    task_run_name="trade {at}",
    description="Size, judge, write ahead and send. Never retried.",
    retries=0,
    cache_policy=NO_CACHE,
    persist_result=False,
)
def trade(
    at: str, step: Step[[datetime, pl.DataFrame], TradeOutcome], minute: datetime, signals: pl.DataFrame
) -> TradeOutcome:
    """Size, judge, write ahead and send. Never retried.

    Raises:
        LedgerUnavailable: nothing could be written, so nothing was sent.
        LeaseLost: another session has the account.
    """
    return step(minute, signals)


Frames = Steps[pl.DataFrame, pl.DataFrame]


def seen_steps(plain: Frames) -> Frames:
    """Give the same steps, each a task run of the current flow run."""

    def seen_ingest(minute: datetime) -> pl.DataFrame:
        step = Step(plain.ingest)
        return shielded(lambda: ingest(minute_name(minute), step, minute), lambda: step(minute), step)

    def seen_evaluate(minute: datetime, bars: pl.DataFrame) -> pl.DataFrame:
        step = Step(plain.evaluate)
        return shielded(
            lambda: evaluate(minute_name(minute), step, minute, bars), lambda: step(minute, bars), step
        )

    def seen_trade(minute: datetime, signals: pl.DataFrame) -> TradeOutcome:
        step = Step(plain.trade)
        return shielded(
            lambda: trade(minute_name(minute), step, minute, signals), lambda: step(minute, signals), step
        )

    return Steps(ingest=seen_ingest, evaluate=seen_evaluate, trade=seen_trade)


def shielded(seen: Callable[[], R], plain: Callable[[], R], step: Step[..., R]) -> R:
    """Run a step as a task; when Prefect fails around it, go on with what is known of the step."""
    try:
        return seen()
    except (Exception, Pause) as error:  # Pause: a person suspended the run; exits must go on (I11)
        if step.began and not step.results:
            raise  # the step itself failed
        log.warning("Prefect failed around a step", extra={"cause": repr(error), "began": step.began})
        return step.results[-1] if step.results else plain()


def minute_name(minute: datetime) -> str:
    """Give a minute as a trader names it: New York's clock, "10:31"."""
    return f"{new_york(minute):%H:%M}"

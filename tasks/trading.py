"""Run the session: the desk's one loop, its steps seen as task runs."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from desk.session import Session, SessionResult
from tasks.code_version import code_version
from tasks.minute import seen_steps
from tasks.occasion import Day
from tasks.settings_hash import settings_hash

# So long a thread that computes keeps others waiting. With Python's own 5 ms each call that lets go of the
# interpreter, into polars or to the broker, may wait that long behind Prefect's events or a stream. With 100
# symbols a minute's first order left after 48 ms with 500 us, after 36 with 100 us, and no sooner with 20.
SWITCH_S = 0.0001


@dataclass(frozen=True)
class Traded:
    """The session's result, and one sentence about it."""

    result: SessionResult
    words: str


def run_session(day: Day) -> Traded:
    """Trade from now to the close; not a task itself, so that each minute's steps are tasks of the flow.

    Raises:
        NotReady: start-up found something that forbids trading.
        LeaseLost: another session has the account.
        LedgerUnavailable: nothing could be written, so nothing may be sent.
        BrokerUnavailable: the broker could not be read at start-up.
    """
    session = Session(
        day.desk,
        session_date=day.session_date,
        run_id=day.run_id,
        settings_hash=settings_hash(day.desk.settings),
        code_version=code_version(),
    )
    with prompt_threads():
        result = session.run(seen_steps(session.steps()))
    words = (
        f"{result.session_date}: {result.cause}; {result.minutes} minutes, {result.bars} bars, "
        f"{result.signals} signals, {result.intents} intents, {result.approved} approved, "
        f"{result.denied} denied"
    )
    return Traded(result=result, words=words)


@contextmanager
def prompt_threads() -> Iterator[None]:
    """Let the thread that trades have the interpreter soon after it asks."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)

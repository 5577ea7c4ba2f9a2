"""The shield around a minute's steps: Prefect may fail, a step is done exactly once all the same."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from prefect.exceptions import Pause, PrefectException

from desk.errors import LedgerUnavailable
from tasks.minute import Step, evaluate, ingest, minute_name, shielded, trade


class Body:
    """A step that counts how often it was done."""

    def __init__(self, error: Exception | None = None) -> None:
        self.calls = 0
        self.error = error

    def __call__(self) -> str:
        self.calls += 1
        if self.error is not None:
            raise self.error
        return "done"


def run(body: Body, seen: Callable[[Step[[], str]], str]) -> str:
    step = Step(body)
    return shielded(lambda: seen(step), step, step)


def fail_before(step: Step[[], str]) -> str:
    raise PrefectException("no server")


def fail_after(step: Step[[], str]) -> str:
    step()
    raise PrefectException("no server any more")


def fail_oddly(step: Step[[], str]) -> str:
    raise RuntimeError("Unable to acquire concurrency slots")


def pause_before(step: Step[[], str]) -> str:
    raise Pause("a person suspended the run")


@pytest.mark.parametrize("seen", [fail_before, fail_after, fail_oddly, pause_before, lambda step: step()])
def test_a_step_is_done_once(seen: Callable[[Step[[], str]], str]) -> None:
    """Prefect fails before the step, after it, is paused or works: the step is done once (I11)."""
    body = Body()

    assert run(body, seen) == "done"
    assert body.calls == 1


def test_what_the_step_raises_is_raised() -> None:
    """A step's own failure is not taken for Prefect's, and not tried again."""
    body = Body(LedgerUnavailable("disk full"))

    with pytest.raises(LedgerUnavailable):
        run(body, lambda step: step())

    assert body.calls == 1


def test_a_step_that_fails_like_a_network_is_not_done_again() -> None:
    """A connection error out of the step itself might have sent an order: it is raised."""
    body = Body(ConnectionError("reset"))

    with pytest.raises(ConnectionError):
        run(body, lambda step: step())

    assert body.calls == 1


def test_a_minute_has_new_yorks_name() -> None:
    """The same UTC hour is another New York hour in summer and in winter."""
    assert minute_name(datetime(2025, 11, 20, 15, 31, tzinfo=UTC)) == "10:31"
    assert minute_name(datetime(2025, 7, 1, 14, 31, tzinfo=UTC)) == "10:31"


def test_only_reading_is_retried() -> None:
    """Ingest is tried again; trading and evaluating never are."""
    assert (ingest.retries, evaluate.retries, trade.retries) == (2, 0, 0)


def test_nothing_is_kept_or_hashed() -> None:
    """No step is cached or persisted: two equal calls are two calls, and frames are not serialized."""
    assert [step.persist_result for step in (ingest, evaluate, trade)] == [False] * 3
    assert [type(step.cache_policy).__name__ for step in (ingest, evaluate, trade)] == ["_None"] * 3


def test_no_step_asks_the_server() -> None:
    """A tagged task asks Prefect's server for a slot before each run: no step has a tag."""
    assert [step.tags for step in (ingest, evaluate, trade)] == [set()] * 3

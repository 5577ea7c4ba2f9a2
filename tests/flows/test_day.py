"""A whole day on a real Prefect server and worker, and what goes wrong with it.

The tests share one server and run in this order; the last one kills it.
"""

import os
import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from cli.deploying import apply_deployments, work_pool_name
from cli.platform import Platform, PlatformPlace
from cli.rehearsal import Stage
from cli.runs import RunResult
from desk.errors import LedgerUnavailable
from schemas.events import DayClosed, FillRecorded, OrderPlanned, SessionEnded, SessionStarted
from tasks.configuration import load_settings
from tasks.operate import accept_breaks, open_breaks
from tests.flows.stage import EARLY_CLOSE, THANKSGIVING, Theatre, open_exchange, until

pytestmark = [pytest.mark.prefect, pytest.mark.xdist_group("prefect")]

STAGE = Stage(
    bars=None, session_date=EARLY_CLOSE, symbols=("AAPL", "MSFT"), strategies=("vwap_mean_reversion",), seed=7
)
PHASES = ("reconcile-account", "trade-session", "close-day")


@pytest.fixture(scope="module")
def theatre(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Theatre]:
    """One server, one worker, and the first day's exchange."""
    folder = tmp_path_factory.mktemp("desk")
    place = PlatformPlace(home=folder / "prefect", logs=folder / "logs", config=folder / "desk.yaml")
    with Platform(place, query_s=0.5) as platform:
        platform.start_server()
        exchange = open_exchange(folder, STAGE, store="first")
        try:
            with platform.client() as client:
                apply_deployments(client, paused=True)
                platform.start_worker(work_pool_name())
                yield Theatre(platform, client, place.config, exchange, STAGE)
        finally:
            exchange.stop()


@pytest.fixture(scope="module")
def day(theatre: Theatre) -> dict[str, RunResult]:
    """The day's three phases, run in order."""
    return {name: theatre.run(name, EARLY_CLOSE) for name in PHASES}


def test_a_day_runs_green(theatre: Theatre, day: dict[str, RunResult]) -> None:
    """Three deployments take a desk through its day: books equal, same hash, orders filled."""
    facts = theatre.facts()

    assert {name: run.state for name, run in day.items()} == dict.fromkeys(PHASES, "Completed"), day
    assert facts.books_equal, facts.differences
    assert facts.replay_equal
    assert facts.fills > 1
    assert facts.bars > 300
    assert facts.report is not None


def test_a_minute_is_found_by_name(theatre: Theatre, day: dict[str, RunResult]) -> None:
    """Each step of a minute is a task run named by New York's clock."""
    wanted = ["ingest 10:31", "evaluate 10:31", "trade 10:31", "trade 09:30"]
    run_id = day["trade-session"].run_id

    until(lambda: theatre.task_names(run_id, wanted) == set(wanted))


def test_a_run_is_found_by_its_day(theatre: Theatre, day: dict[str, RunResult]) -> None:
    """A flow run is named by phase and session date."""
    names = {theatre.client.read_flow_run(run.run_id).name for run in day.values()}

    assert names == {f"{phase} {theatre.stage.session_date}" for phase in PHASES}


def test_artifacts_worth_reading(theatre: Theatre, day: dict[str, RunResult]) -> None:
    """Close-day shows the day in words, its orders and denials as tables, and that no break is open."""
    shown = theatre.artifacts(day["close-day"].run_id)

    assert {"day-summary", "day-report", "orders", "denials", "breaks"} <= shown.keys()
    assert "closed: they equal the broker's" in shown["day-summary"]
    assert "vwap_mean_reversion" in shown["orders"]
    assert shown["breaks"].startswith("No open breaks")


def test_the_night_verifies_the_day(theatre: Theatre, day: dict[str, RunResult]) -> None:
    """verify-day completes, says that the decisions and fills are the same, and may be run again."""
    before = theatre.events()

    runs = [theatre.run("verify-day", EARLY_CLOSE) for _ in range(2)]

    assert [run.state for run in runs] == ["Completed", "Completed"], runs
    assert runs[0].message == runs[1].message
    assert "the same to the last byte" in runs[0].message
    assert runs[0].message.endswith("the same fills")
    assert "follows from what was known" in theatre.artifacts(runs[0].run_id)["verify-day"]
    assert theatre.events() == before


@pytest.mark.parametrize("name", ["reconcile-account", "trade-session"])
def test_a_finished_phase_is_not_done_again(theatre: Theatre, day: dict[str, RunResult], name: str) -> None:
    """A second run of a finished phase completes, says who did it, and leaves the ledger as it is."""
    before = theatre.events()

    again = theatre.run(name, EARLY_CLOSE)

    assert again.state == "Completed"
    assert f"was completed by run {day[name].run_id}" in again.message
    assert theatre.events() == before


def test_a_holiday_completes_at_once(theatre: Theatre) -> None:
    """A run on Thanksgiving completes and says that the exchange is closed."""
    run = theatre.run("trade-session", THANKSGIVING)

    assert run.state == "Completed"
    assert run.message == "Thursday, 2025-11-27: the exchange is closed, nothing to do"


def test_a_break_fails_the_close_until_it_is_accepted(theatre: Theatre, day: dict[str, RunResult]) -> None:
    """A trade by hand fails close-day with an artifact that names it; accepted, the same run completes."""
    theatre.trade_by_hand("AAPL", "buy", 7)

    failed = theatre.run("close-day", EARLY_CLOSE)
    shown = theatre.artifacts(failed.run_id)
    assert failed.state == "Failed"
    assert "AAPL" in failed.message
    assert "AAPL" in shown["breaks"]
    assert "AAPL" in shown["break-table"]

    settings = load_settings(theatre.config)
    breaks = open_breaks(settings)
    assert "AAPL" in {item.key for item in breaks}
    accept_breaks(settings, wanted="all", by="ann", cause="bought by hand")
    retried = theatre.retry(failed.run_id)

    assert retried.state == "Completed", retried.message
    events = theatre.events()
    executions = [event.fill.execution_id for event in events if isinstance(event, FillRecorded)]
    assert len(executions) == len(set(executions))
    assert len([event for event in events if isinstance(event, DayClosed)]) == 1
    assert theatre.facts().books_equal, theatre.facts().differences


def test_a_killed_session_is_taken_over(theatre: Theatre) -> None:
    """kill -9 in mid-session: crashed, started again by the automation, nothing doubled, books equal."""
    with theatre.another_day("second") as second:
        before = {run.id for run in second.runs_of("trade-session")}
        run_id = second.start("trade-session", EARLY_CLOSE)
        until(lambda: bool([e for e in _events(second) if isinstance(e, OrderPlanned)]))
        os.kill(_process_of(second, run_id), signal.SIGKILL)

        crashed = second.follow(run_id, "trade-session")
        until(lambda: len({run.id for run in second.runs_of("trade-session")} - before) == 2)
        (successor,) = {run.id for run in second.runs_of("trade-session")} - before - {run_id}
        taken_over = second.follow(successor, "trade-session")
        closed = second.run("close-day", EARLY_CLOSE)

        assert crashed.state == "Crashed"
        assert taken_over.state == "Completed", taken_over.message
        assert closed.state == "Completed", closed.message
        events = second.events()
        planned = [event.intent.client_order_id for event in events if isinstance(event, OrderPlanned)]
        assert len(planned) == len(set(planned))
        assert len([event for event in events if isinstance(event, SessionStarted)]) == 2
        facts = second.facts()
        assert facts.books_equal, facts.differences
        assert facts.replay_equal


def test_trading_goes_on_without_prefect(theatre: Theatre) -> None:
    """The server killed in mid-session: the session trades to the close all the same, books equal."""
    with theatre.another_day("third") as third:
        third.start("trade-session", EARLY_CLOSE)
        opened = third.venue_time()
        until(lambda: third.venue_time() > opened + timedelta(minutes=30))
        os.kill(third.platform.server_pid, signal.SIGKILL)

        until(lambda: any(isinstance(event, SessionEnded) for event in _events(third)))

        facts = third.facts()
        assert facts.books_equal, facts.differences
        assert facts.replay_equal
        assert facts.fills > 1


def _events(theatre: Theatre) -> list[object]:
    """Read the ledger as soon as there is one."""
    path: Path = load_settings(theatre.config).store / "ledger.sqlite"
    if not path.is_file():
        return []
    try:
        return list(theatre.events())
    except LedgerUnavailable:
        return []  # the file is there before its tables are


def _process_of(theatre: Theatre, run_id: object) -> int:
    run = theatre.client.read_flow_run(run_id)  # type: ignore[arg-type]
    assert run.infrastructure_pid is not None
    return int(run.infrastructure_pid.rpartition(":")[2])

"""Flow runs of a platform: start one, follow it to its end, tell which are running."""

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Crashed

from cli.platform import Platform, PlatformDown
from cli.processes import is_alive

POLL_S = 0.25
# A lock-step day takes seconds and a paced one may take a session; longer than a day is a hang.
RUN_TIMEOUT_S = 24 * 3600.0


@dataclass(frozen=True)
class RunResult:
    """How a flow run ended."""

    name: str  # the deployment's
    state: str  # Prefect's word: Completed, Failed, Crashed, ...
    seconds: float  # from its start to its end, by the server
    message: str
    run_id: UUID

    @property
    def is_completed(self) -> bool:
        """Tell whether it did what it was for."""
        return self.state == "Completed"


def start_run(client: SyncPrefectClient, name: str, session_date: date | None = None) -> UUID:
    """Ask for a run of the deployment `name/name`; give its id."""
    deployment = client.read_deployment_by_name(f"{name}/{name}")
    parameters = {} if session_date is None else {"session_date": session_date.isoformat()}
    return client.create_flow_run_from_deployment(deployment.id, parameters=parameters).id


def follow(
    platform: Platform,
    client: SyncPrefectClient,
    run_id: UUID,
    *,
    name: str,
    on_look: Callable[[FlowRun], None] | None = None,
) -> RunResult:
    """Wait until a run has ended.

    Args:
        platform: where it runs; it is watched too.
        client: a client of its server.
        run_id: the run.
        name: the deployment's name, for the result.
        on_look: called with the run at every look.

    Raises:
        PlatformDown: server or worker ended, or the run took longer than a day.
    """
    deadline = time.monotonic() + RUN_TIMEOUT_S
    while time.monotonic() < deadline:
        run = client.read_flow_run(run_id)
        if on_look is not None:
            on_look(run)
        if run.state is not None and run.state.is_final():
            return result_of(run, name=name)
        platform.check()
        time.sleep(POLL_S)
    raise PlatformDown(f"{name} has not ended after {RUN_TIMEOUT_S / 3600:.0f} hours")


def result_of(run: FlowRun, *, name: str) -> RunResult:
    """Give the result of a run that has ended."""
    state = run.state
    return RunResult(
        name=name,
        state=state.name or state.type.value.title() if state is not None else "Unknown",
        seconds=run.total_run_time.total_seconds(),
        message=(state.message or "") if state is not None else "",
        run_id=run.id,
    )


def running_names(client: SyncPrefectClient) -> list[str]:
    """Give the names of runs that are running now, "deployment/run"."""
    return [f"{_deployment_of(client, run)}/{run.name}" for run in _running(client)]


def crash_abandoned_runs(client: SyncPrefectClient) -> list[str]:
    """Mark runs whose process is gone as crashed; give their names.

    After a power cut Prefect shows them running for ever. Crashed, they release their concurrency slot,
    and the automation starts the session again.
    """
    named: list[str] = []
    for run in _running(client):
        host, _, pid = (run.infrastructure_pid or "").rpartition(":")
        if host == socket.gethostname() and pid.isdigit() and not is_alive(int(pid)):
            client.set_flow_run_state(run.id, Crashed(message="its process is gone"), force=True)
            named.append(f"{_deployment_of(client, run)}/{run.name}")
    return named


def _running(client: SyncPrefectClient) -> list[FlowRun]:
    states = FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING])
    return client.read_flow_runs(flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=states)))


def _deployment_of(client: SyncPrefectClient, run: FlowRun) -> str:
    return client.read_deployment(run.deployment_id).name if run.deployment_id is not None else "a flow"

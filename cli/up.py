"""`desk up`: Prefect server, worker and deployments on this machine, until Ctrl-C.

One machine is enough for one desk; on several, the same prefect.yaml is applied with `prefect deploy
--all` and a worker is started on each. Whoever starts them, the desk's safety is in the ledger.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from cli.platform import Platform, PlatformDown, PlatformPlace
from tasks.configuration import config_path, load_settings

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

DEFAULT_PORT = 4200
_LOOK_S = 1.0
WORKER_RESTARTS_MAX = 10  # a worker that ends ten times has a cause a restart does not cure


def up(
    port: Annotated[int, typer.Option(help="Port of the Prefect UI and API, on loopback.")] = DEFAULT_PORT,
    config: Annotated[
        Path | None, typer.Option(help="The desk.yaml to run by. Default: DESK_CONFIG, then ./desk.yaml.")
    ] = None,
    paused: Annotated[bool, typer.Option("--paused", help="Deploy with the schedules off.")] = False,
) -> None:
    """Start server, worker and the four deployments, and keep them up until Ctrl-C."""
    from tasks.resources import make_strategies

    console = Console()
    settings = load_settings(config)
    make_strategies(settings)  # a wrong name or parameter is told now, not at the open
    place = PlatformPlace(
        home=settings.store / "prefect", logs=settings.store / "logs" / "prefect", config=config_path(config)
    )
    with terminating_as_interrupt(), Platform(place, port=port) as platform:
        with console.status("Starting the Prefect server"):
            platform.start_server()
        with console.status("Deploying prefect.yaml"), platform.client() as client:
            pool = _deploy(platform, client, console, paused=paused)
        platform.start_worker(pool)
        console.print(f"Prefect UI: {platform.ui_url}   configuration: {place.config}   logs: {place.logs}")
        console.print("Ctrl-C stops everything this command started, a running session too.")
        try:
            _keep_up(platform, pool, console)
        except KeyboardInterrupt:
            _tell_what_stops(platform, console)


def _deploy(platform: Platform, client: "SyncPrefectClient", console: Console, *, paused: bool) -> str:
    """Apply prefect.yaml, show it, mark what an earlier crash left; give the pool's name."""
    from cli.deploying import apply_deployments, read_deployments, work_pool_name
    from cli.runs import crash_abandoned_runs

    apply_deployments(client, paused=paused)
    table = Table("deployment", "New York", "what it does", title="Deployments")
    for spec in read_deployments():
        crons = ", ".join(entry["cron"] for entry in spec["schedules"]) or "by hand"
        table.add_row(spec["name"], f"{crons} (paused)" if paused else crons, spec["description"].strip())
    console.print(table)
    for name in crash_abandoned_runs(client):
        console.print(f"{name} was left running by an earlier crash: marked as crashed")
    return work_pool_name()


def _keep_up(platform: Platform, pool: str, console: Console) -> NoReturn:
    """Watch until interrupted; a worker that ends is started again, a bounded number of times."""
    restarts = 0
    while True:
        time.sleep(_LOOK_S)
        try:
            platform.check()
        except PlatformDown as error:
            restarts += 1
            if platform.is_server_running() and restarts <= WORKER_RESTARTS_MAX:
                console.print(f"{error}; starting it again ({restarts} of {WORKER_RESTARTS_MAX})")
                platform.start_worker(pool)
                continue
            raise


def _tell_what_stops(platform: Platform, console: Console) -> None:
    from cli.runs import running_names

    with platform.client() as client:
        names = running_names(client)
    if names:
        console.print(
            f"Stopping while {', '.join(names)} is running: orders and positions stay as they are. "
            "`desk up` or `desk session` takes the session over again; `desk kill` makes it flat."
        )
    console.print("Stopping.")


@contextmanager
def terminating_as_interrupt() -> Iterator[None]:
    """Let SIGTERM end this command as Ctrl-C does, so that it cleans up."""

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt(f"signal {number} to {os.getpid()}")

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

"""A stage for end-to-end tests: one Prefect server and worker, and for each day its own exchange.

The worker's desk.yaml is one path for the whole module; a test that needs another day puts another
exchange and another store behind it.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterId,
    TaskRunFilter,
    TaskRunFilterName,
)
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort

from cli.platform import Platform
from cli.rehearsal import Exchange, Stage, write_run_folder
from cli.runs import RunResult, follow, start_run
from schemas.events import AnyEvent
from tasks.configuration import load_settings
from tasks.resources import open_ledger
from tasks.verification import DayFacts, verify_day

EARLY_CLOSE = date(2025, 11, 28)  # the session ends at 13:00: the same day in half the time
THANKSGIVING = date(2025, 11, 27)
PATIENCE_S = 120.0


@dataclass
class Theatre:
    """The platform, its client, and the day now playing."""

    platform: Platform
    client: SyncPrefectClient
    config: Path
    exchange: Exchange
    stage: Stage

    def start(self, name: str, day: date | None = None) -> UUID:
        """Ask for a run of a deployment."""
        return start_run(self.client, name, day)

    def run(self, name: str, day: date | None = None) -> RunResult:
        """Run a deployment to its end."""
        return self.follow(self.start(name, day), name)

    def follow(self, run_id: UUID, name: str) -> RunResult:
        """Wait for a run's end."""
        return follow(self.platform, self.client, run_id, name=name)

    def retry(self, run_id: UUID) -> RunResult:
        """Retry a run as a person does: `prefect flow-run retry`."""
        before = self.client.read_flow_run(run_id).run_count
        subprocess.run(
            [sys.executable, "-m", "prefect", "flow-run", "retry", str(run_id)],
            env=self.platform.environment(),
            check=True,
            capture_output=True,
        )
        until(lambda: self.client.read_flow_run(run_id).run_count > before)
        return self.follow(run_id, "retried")

    def runs_of(self, name: str) -> list[FlowRun]:
        """Give a deployment's runs, oldest first."""
        deployment = self.client.read_deployment_by_name(f"{name}/{name}")
        runs = self.client.read_flow_runs(sort=FlowRunSort.EXPECTED_START_TIME_ASC)
        return [run for run in runs if run.deployment_id == deployment.id]

    def task_names(self, run_id: UUID, wanted: list[str]) -> set[str]:
        """Give which of these task run names the run has."""
        found = self.client.read_task_runs(
            flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run_id])),
            task_run_filter=TaskRunFilter(name=TaskRunFilterName(any_=wanted)),
        )
        return {run.name for run in found}

    def artifacts(self, run_id: UUID) -> dict[str, Any]:
        """Give a run's artifacts' data by key."""
        found = self.client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]))
        )
        return {artifact.key or "": artifact.data for artifact in found}

    def events(self) -> list[AnyEvent]:
        """Read the day's ledger."""
        with closing(open_ledger(load_settings(self.config), create=False)) as ledger:
            return [event for _, event in ledger.read()]

    def facts(self) -> DayFacts:
        """Hold the day against the exchange's books."""
        return verify_day(self.config, self.stage.session_date, self.exchange.books())

    def venue_time(self) -> datetime:
        """Give the exchange's time."""
        state = self.exchange.state()
        assert state is not None
        return datetime.fromisoformat(state["now"])

    def trade_by_hand(self, symbol: str, side: str, qty: int) -> None:
        """Trade at the exchange as a person would, past the desk."""
        body = json.dumps({"symbol": symbol, "side": side, "qty": str(qty)}).encode()
        request = Request(f"{self.exchange.url}/sim/trade", data=body, method="POST")
        with urlopen(request, timeout=10) as answer:
            assert answer.status == 200

    @contextmanager
    def another_day(self, store: str) -> Iterator["Theatre"]:
        """Put a fresh exchange and an empty store behind the same desk.yaml."""
        exchange = open_exchange(self.config.parent, self.stage, store=store)
        try:
            yield Theatre(self.platform, self.client, self.config, exchange, self.stage)
        finally:
            exchange.stop()


def open_exchange(folder: Path, stage: Stage, *, store: str) -> Exchange:
    """Start an exchange and point the folder's desk.yaml at it and at an empty store."""
    exchange = Exchange(stage, folder=folder)
    path = write_run_folder(folder, stage, exchange_url=exchange.url, stream_url=exchange.stream_url)
    path.write_text(
        path.read_text(encoding="utf-8").replace("store: store", f"store: {store}"), encoding="utf-8"
    )
    exchange.wait_until_ready()
    return exchange


def until(holds: Callable[[], bool], *, patience_s: float = PATIENCE_S) -> None:
    """Look again and again until something holds."""
    deadline = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < deadline, f"not within {patience_s:.0f} s"
        time.sleep(0.1)

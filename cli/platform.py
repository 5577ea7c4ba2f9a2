"""A Prefect server and a worker on one machine, started for the user and stopped without a trace.

The server listens on loopback only, keeps its database in a home of its own, sends nothing to
anybody, and writes its words to files. Nothing here protects an order: the desk's safety does not
depend on any of it being up.
"""

import logging
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING
from urllib.error import URLError
from urllib.request import urlopen

from cli.processes import Child, claim_port
from tasks.errors import ConfigError, DeskError

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

_START_TIMEOUT_S = 90.0  # a cold start on a slow disk with an empty home takes about 10 s
_STOP_PATIENCE_S = 8.0
_POLL_S = 0.1
_HOST = "127.0.0.1"

log = logging.getLogger(__name__)


class PlatformDown(DeskError):
    """The Prefect server or worker did not start, or ended by itself."""


@dataclass(frozen=True)
class PlatformPlace:
    """Where a platform lives on disk."""

    home: Path  # PREFECT_HOME: database, static files of the UI
    logs: Path
    config: Path  # the desk.yaml its flow runs read


class Platform:
    """A running server and worker; use as a context manager."""

    def __init__(self, place: PlatformPlace, *, port: int | None = None, query_s: float = 5.0) -> None:
        """Claim a port; nothing runs yet.

        Args:
            place: where it lives.
            port: the server's; None for any free one.
            query_s: how often the worker asks for work.

        Raises:
            ConfigError: the port is in use.
        """
        self._place = place
        self._port = claim_port(port)
        self._query_s = query_s
        self._server: Child | None = None
        self._worker: Child | None = None

    @property
    def ui_url(self) -> str:
        """Give the address of the Prefect UI."""
        return f"http://{_HOST}:{self._port}"

    @property
    def api_url(self) -> str:
        """Give the address of the Prefect API."""
        return f"{self.ui_url}/api"

    @property
    def config(self) -> Path:
        """Give the desk.yaml its flow runs read."""
        return self._place.config

    @property
    def server_pid(self) -> int:
        """Give the server's process id."""
        return _running(self._server).pid

    @property
    def worker_pid(self) -> int:
        """Give the worker's process id."""
        return _running(self._worker).pid

    def environment(self) -> dict[str, str]:
        """Give the environment of everything that belongs to this platform."""
        return {**_inherited(os.environ), **self._settings()}

    def _settings(self) -> dict[str, str]:
        return {
            "PREFECT_HOME": str(self._place.home),
            "PREFECT_PROFILES_PATH": str(self._place.home / "profiles.toml"),
            "PREFECT_API_URL": self.api_url,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
            "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(self._place.home / "ui"),
            "PREFECT_CLI_PROMPT": "false",
            "PREFECT_CLI_COLORS": "false",
            "PREFECT_LOGGING_COLORS": "false",
            "PREFECT_TELEMETRY_ENABLE_RESOURCE_METRICS": "false",
            # A session makes 1,170 task runs. Recorded one by one, each in a transaction of its own, they
            # cost the server 20 s of CPU a day and lag behind; in batches 8 s (measured, 2 cores).
            "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "200",
            "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "200",
            "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
            "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": "200",
            "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_READ_BATCH_SIZE": "200",
            "PREFECT_WORKER_QUERY_SECONDS": str(self._query_s),
            "DESK_CONFIG": str(self._place.config),
            "PYTHONWARNINGS": "ignore",  # of Prefect's own dependencies, in its own processes
        }

    def start_server(self) -> None:
        """Start the server and return when it answers. Raises as `wait_for_server`."""
        self.launch_server()
        self.wait_for_server()

    def launch_server(self) -> None:
        """Start the server; it answers some seconds later."""
        self._place.home.mkdir(parents=True, exist_ok=True)
        self._server = self._child(
            "prefect-server", "server", "start", "--host", _HOST, "--port", str(self._port), "--analytics-off"
        )

    def wait_for_server(self) -> None:
        """Return when the server answers.

        Raises:
            PlatformDown: it ended, or did not answer in time.
        """
        server = _running(self._server)
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not _answers(f"{self.api_url}/health"):
            if not server.is_running():
                raise PlatformDown(f"the Prefect server ended: {server.last_words()} ({server.log})")
            if time.monotonic() > deadline:
                raise PlatformDown(
                    f"the Prefect server was silent for {_START_TIMEOUT_S:.0f} s; see {server.log}"
                )
            time.sleep(_POLL_S)

    def start_worker(self, pool: str) -> None:
        """Start the worker of `pool`, in the directory of the configuration."""
        self._worker = self._child("prefect-worker", "worker", "start", "--pool", pool, "--type", "process")

    def check(self) -> None:
        """Raise PlatformDown if the server or the worker ended by itself."""
        for child in (self._server, self._worker):
            if child is not None and not child.is_running():
                raise PlatformDown(f"{child.name} ended: {child.last_words()} ({child.log})")

    def is_server_running(self) -> bool:
        """Tell whether the server has not ended."""
        return self._server is not None and self._server.is_running()

    def stop(self) -> None:
        """End worker, flow runs and server; nothing is left running. Idempotent."""
        for child in (self._worker, self._server):
            if child is not None:
                child.stop(patience_s=_STOP_PATIENCE_S)
        self._worker = self._server = None

    @contextmanager
    def client(self) -> "Iterator[SyncPrefectClient]":
        """Give a client of this server, whatever the user's own Prefect profile says."""
        with self.settings():
            from prefect.client.orchestration import get_client

            with get_client(sync_client=True) as client:
                yield client

    @contextmanager
    def settings(self) -> Iterator[None]:
        """Let Prefect's own code in this process speak to this server."""
        os.environ.setdefault("DO_NOT_TRACK", "1")
        from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

        with temporary_settings({PREFECT_API_URL: self.api_url, PREFECT_HOME: self._place.home}):
            yield

    def __enter__(self) -> "Platform":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _child(self, name: str, *arguments: str) -> Child:
        return Child(
            name,
            [sys.executable, "-m", "prefect", *arguments],
            env=self.environment(),
            cwd=self._place.config.parent,
            log=self._place.logs / f"{name}.log",
        )


def _inherited(environment: Mapping[str, str]) -> dict[str, str]:
    """Leave the user's own Prefect settings out: this platform is not their server."""
    return {name: value for name, value in environment.items() if not name.startswith("PREFECT_")}


def _running(child: Child | None) -> Child:
    if child is None:
        raise ConfigError("the platform is not started")
    return child


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=2.0) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False

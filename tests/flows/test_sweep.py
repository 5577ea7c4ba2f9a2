"""A sweep as Prefect's task runs: the same result on every runner as on a plain pool."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from prefect.client.schemas.filters import TaskRunFilter, TaskRunFilterName

from cli.platform import Platform, PlatformPlace
from flows.sweep import task_runner
from schemas.sweep import Runner
from tasks.errors import ConfigError
from tests.desk.research import market
from tests.flows.stage import until
from tests.house import CHECKOUT

pytestmark = [pytest.mark.prefect, pytest.mark.xdist_group("prefect")]

PATIENCE_S = 300.0  # Ray and Dask start a cluster each
PACKAGES = {Runner.DASK: "prefect_dask", Runner.RAY: "prefect_ray"}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("platform")
    place = PlatformPlace(home=folder / "prefect", logs=folder / "logs", config=folder / "desk.yaml")
    with Platform(place) as platform:
        platform.start_server()
        yield platform


def swept(folder: Path, environment: dict[str, str], *options: str) -> tuple[dict[str, Any], str]:
    """Run a sweep of five sets in two folds; give its facts and its words."""
    folder.mkdir()
    market.make_bars(symbols=2).write_parquet(folder / "bars.parquet")
    (folder / "desk.yaml").write_text("store: store\n", encoding="utf-8")
    facts = folder / "facts.json"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "cli.main", "--config", str(folder / "desk.yaml")),
            *("sweep", "sma_crossover"),
            *("--bars", str(folder / "bars.parquet"), "--range", "fast=5..25:10", "--range", "slow=20,60"),
            *("--train", "2", "--test", "2", "--size", "shares:10", "--workers", "2", "--json", str(facts)),
            *options,
        ],
        cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(facts.read_text(encoding="utf-8")), done.stdout


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    environment = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    facts, words = swept(tmp_path_factory.mktemp("plain") / "sweep", environment)
    assert "on a plain pool" in words
    return facts


@pytest.mark.parametrize("runner", list(Runner))
def test_every_runner_gives_what_a_plain_pool_gives(
    platform: Platform, plain: dict[str, Any], tmp_path: Path, runner: Runner
) -> None:
    """Everything but the seconds is the same, and the pieces are seen as task runs."""
    if runner in PACKAGES and find_spec(PACKAGES[runner]) is None:
        pytest.skip(f"{PACKAGES[runner]} is not installed: `make runners` plays this test")

    facts, words = swept(tmp_path / "sweep", platform.environment(), "--runner", runner)

    assert "as Prefect's task runs" in words
    assert facts | {"seconds": 0} == plain | {"seconds": 0}
    wanted = TaskRunFilter(name=TaskRunFilterName(any_=["sets-00000", "proof-001"]))
    with platform.client() as client:
        until(lambda: len(client.read_task_runs(task_run_filter=wanted)) >= 2)


@pytest.mark.parametrize("runner", list(PACKAGES))
def test_a_runner_that_is_not_installed_is_named_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, runner: Runner
) -> None:
    """In one line, with the package and the command that installs it."""
    monkeypatch.setitem(sys.modules, PACKAGES[runner], None)

    with pytest.raises(
        ConfigError, match=f"--runner {runner}: {PACKAGES[runner]} is not installed; `make"
    ) as told:
        task_runner(runner, 2)

    assert "\n" not in str(told.value)

"""Apply prefect.yaml to a Prefect server: work pool, deployments, schedules, automations.

The same file and the same meaning as `prefect deploy --all`, through Prefect's Python API, in a
tenth of the time and with nothing asked.
"""

from pathlib import Path
from typing import Any

import yaml
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import ConcurrencyLimitConfig
from prefect.deployments.runner import RunnerDeployment
from prefect.events import DeploymentTriggerTypes, TriggerTypes
from prefect.exceptions import ObjectNotFound
from prefect.flows import Flow, load_flow_from_entrypoint
from prefect.schedules import Cron
from prefect.types.entrypoint import EntrypointType
from pydantic import TypeAdapter

from tasks.errors import ConfigError

PREFECT_YAML = Path(__file__).resolve().parent.parent / "prefect.yaml"
_TRIGGER: TypeAdapter[DeploymentTriggerTypes] = TypeAdapter(DeploymentTriggerTypes)


def read_deployments(path: Path = PREFECT_YAML) -> list[dict[str, Any]]:
    """Give the deployments as prefect.yaml states them.

    Raises:
        ConfigError: the file is not there or names no deployment.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: no such file; `desk up` and `desk demo` run from a checkout")
    deployments = yaml.safe_load(path.read_text(encoding="utf-8")).get("deployments")
    if not deployments:
        raise ConfigError(f"{path}: no deployments")
    return list(deployments)


def work_pool_name(path: Path = PREFECT_YAML) -> str:
    """Give the one work pool all deployments name.

    Raises:
        ConfigError: they name several; one worker serves one.
    """
    names = {deployment["work_pool"]["name"] for deployment in read_deployments(path)}
    if len(names) != 1:
        raise ConfigError(f"{path}: work pools {', '.join(sorted(names))}; allowed: one")
    return str(names.pop())


def apply_deployments(client: SyncPrefectClient, *, paused: bool, path: Path = PREFECT_YAML) -> list[str]:
    """Create or renew the pool and every deployment; give their full names. Idempotent.

    Args:
        client: a client of the server.
        paused: leave the schedules off (a demo starts its runs itself).
        path: the prefect.yaml to apply.

    Raises:
        ConfigError: prefect.yaml cannot be applied.
    """
    _ensure_pool(client, work_pool_name(path))
    return [_apply(spec, paused=paused) for spec in read_deployments(path)]


def _ensure_pool(client: SyncPrefectClient, name: str) -> None:
    try:
        client.read_work_pool(name)
    except ObjectNotFound:
        client.create_work_pool(WorkPoolCreate(name=name, type="process"))


def _apply(spec: dict[str, Any], *, paused: bool) -> str:
    deployment = as_deployment(spec, paused=paused)
    deployment.apply(work_pool_name=spec["work_pool"]["name"])
    return deployment.full_name


def as_deployment(spec: dict[str, Any], *, paused: bool) -> RunnerDeployment:
    """Turn one entry of prefect.yaml into a deployment of its flow."""
    flow: Flow[..., Any] = load_flow_from_entrypoint(spec["entrypoint"])
    pool = spec["work_pool"]
    limit = spec.get("concurrency_limit")
    triggers: list[DeploymentTriggerTypes | TriggerTypes] = [
        _TRIGGER.validate_python(trigger) for trigger in spec.get("triggers") or []
    ]
    deployment = flow.to_deployment(
        name=spec["name"],
        paused=paused,
        schedules=[
            Cron(entry["cron"], timezone=entry["timezone"], slug=entry["slug"], active=not paused)
            for entry in spec.get("schedules") or []
        ],
        concurrency_limit=ConcurrencyLimitConfig(**limit) if isinstance(limit, dict) else limit,
        parameters=spec.get("parameters") or {},
        triggers=triggers,
        description=spec["description"],
        tags=spec.get("tags") or [],
        version=spec.get("version"),
        work_pool_name=pool["name"],
        work_queue_name=pool.get("work_queue_name"),
        job_variables=pool.get("job_variables") or {},
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    assert isinstance(deployment, RunnerDeployment)  # a coroutine only inside an event loop
    if deployment.entrypoint != spec["entrypoint"]:
        raise ConfigError(
            f"prefect.yaml: {spec['name']}: entrypoint is {spec['entrypoint']}; "
            f"allowed: {deployment.entrypoint}"
        )
    return deployment

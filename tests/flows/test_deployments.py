"""prefect.yaml: no schedule, entrypoint or limit changes by accident, and Prefect reads it as we do."""

from typing import Any

import pytest
from prefect.flows import load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema

from cli.deploying import PREFECT_YAML, as_deployment, read_deployments, work_pool_name

NEW_YORK = "America/New_York"
# name, entrypoint, (cron, time zone), limit, collision strategy
PINNED = [
    (
        "reconcile-account",
        "flows.reconcile_account.reconcile_account",
        [("0 9 * * 1-5", NEW_YORK)],
        {"limit": 1, "collision_strategy": "ENQUEUE"},
    ),
    (
        "trade-session",
        "flows.trade_session.trade_session",
        [("25 9 * * 1-5", NEW_YORK)],
        {"limit": 1, "collision_strategy": "ENQUEUE"},
    ),
    (
        "close-day",
        "flows.close_day.close_day",
        [("15 16 * * 1-5", NEW_YORK)],
        {"limit": 1, "collision_strategy": "ENQUEUE"},
    ),
    (
        "verify-day",
        "flows.verify_day.verify_day",
        [("0 20 * * 1-5", NEW_YORK)],
        {"limit": 1, "collision_strategy": "ENQUEUE"},
    ),
    ("kill-switch", "flows.kill_switch.kill_switch", [], {"limit": 1, "collision_strategy": "ENQUEUE"}),
]
SPECS = {spec["name"]: spec for spec in read_deployments()}


def test_the_file_is_as_pinned() -> None:
    """Names, entrypoints, New York schedules and limits are exactly these."""
    found = [
        (
            spec["name"],
            spec["entrypoint"],
            [(entry["cron"], entry["timezone"]) for entry in spec["schedules"]],
            spec["concurrency_limit"],
        )
        for spec in read_deployments()
    ]

    assert found == PINNED


def test_one_pool_for_one_worker() -> None:
    """All deployments name the same work pool."""
    assert work_pool_name() == "desk"


def test_no_path_of_a_machine() -> None:
    """The file names no absolute path, so it works from any checkout."""
    text = PREFECT_YAML.read_text(encoding="utf-8")

    assert not any(mark in text for mark in ("/home", "/root", "/work", "/tmp", "/Users"))


@pytest.mark.parametrize("name", sorted(SPECS))
def test_prefect_reads_it_as_we_do(name: str) -> None:
    """Prefect's own deployment of the flow has the entrypoint, schedules, tags and words of the file."""
    spec = SPECS[name]

    deployment = as_deployment(spec, paused=False)

    assert deployment.full_name == f"{name}/{name}"
    assert deployment.entrypoint == spec["entrypoint"]
    assert [schedule.schedule.cron for schedule in deployment.schedules or []] == [
        entry["cron"] for entry in spec["schedules"]
    ]
    assert deployment.concurrency_limit == 1
    assert deployment.description == spec["description"]
    assert deployment.tags == spec["tags"]
    assert deployment.job_variables["working_dir"] == "."


@pytest.mark.parametrize("name", sorted(SPECS))
def test_every_parameter_says_what_it_is(name: str) -> None:
    """The UI's run form describes each parameter, and each has a default."""
    schema = parameter_schema(load_flow_from_entrypoint(SPECS[name]["entrypoint"]))
    described: dict[str, Any] = schema.properties

    assert described
    assert all(len(parameter.get("description", "")) > 20 for parameter in described.values())
    assert not schema.required


def test_a_crashed_session_is_started_again() -> None:
    """trade-session, and nothing else, has a trigger: its own run crashed."""
    triggers = {name: as_deployment(spec, paused=False).triggers for name, spec in SPECS.items()}

    (trigger,) = triggers.pop("trade-session")
    assert trigger.expect == {"prefect.flow-run.Crashed"}
    assert trigger.match_related == {
        "prefect.resource.name": ["trade-session"],
        "prefect.resource.role": ["deployment"],
    } or dict(trigger.match_related.root) == {
        "prefect.resource.name": "trade-session",
        "prefect.resource.role": "deployment",
    }
    assert not any(triggers.values())

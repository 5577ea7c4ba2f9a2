"""A search of parameters: its pieces as task runs, on processes, Dask or Ray."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.futures import as_completed
from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner

from schemas.sweep import Piece, Runner
from tasks.errors import ConfigError
from tasks.sweep import Prepared, Sweep, Told, search
from tasks.sweep_pool import alone, cores, tied
from tasks.sweep_task import play


def sweep_in_prefect(prepared: Prepared, *, runner: Runner, workers: int | None, told: Told) -> Sweep:
    """Search with pieces as task runs of one flow run.

    Args:
        prepared: the sweep.
        runner: what they run on.
        workers: how many processes; None: one a core.
        told: hears of every piece.

    Raises:
        ConfigError: the runner is not installed.
        FillsDiffer: the screen and the exact engine differ, a defect of this program.
    """

    @flow(
        name="sweep",
        flow_run_name=f"sweep {prepared.job.sweep_id}",
        description=sweep_in_prefect.__doc__,
        task_runner=task_runner(runner, workers or cores()),
        retries=0,
        persist_result=False,
    )
    def sweep(sweep_id: str) -> Sweep:
        return search(prepared, _fan, told)

    with alone():
        return sweep(prepared.job.sweep_id)


def _fan(folder: Path, pieces: Sequence[Piece]) -> Iterator[str]:
    """Submit pieces and give their names as they are done."""
    futures = [play.submit(str(folder), piece.model_dump(mode="json")) for piece in pieces]
    for future in as_completed(futures):
        yield future.result()


def task_runner(runner: Runner, workers: int) -> TaskRunner[Any]:
    """Give Prefect's runner of a name.

    Raises:
        ConfigError: its package is not installed.
    """
    try:
        match runner:
            case Runner.PROCESSES:
                return ProcessPoolTaskRunner(max_workers=workers, initializer=tied)
            case Runner.DASK:
                from prefect_dask import DaskTaskRunner

                dask: TaskRunner[Any] = DaskTaskRunner(
                    cluster_kwargs={"n_workers": workers, "threads_per_worker": 1, "dashboard_address": None}
                )
                return dask
            case Runner.RAY:
                from prefect_ray import RayTaskRunner

                ray: TaskRunner[Any] = RayTaskRunner(
                    init_kwargs={"num_cpus": workers, "include_dashboard": False}
                )
                return ray
    except ImportError as error:
        raise ConfigError(
            f"--runner {runner}: {error.name} is not installed; pip install 'miniquantdesk[{runner}]'"
        ) from error

"""A search of parameters: its pieces as task runs, on processes, Dask or Ray."""

from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.futures import as_completed
from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner

from schemas.sweep import Piece, Runner
from tasks.errors import ConfigError
from tasks.sweep import Sweep, Told, search
from tasks.sweep_plan import Prepared
from tasks.sweep_pool import alone, cores, tied
from tasks.sweep_task import play

# A flow is sent to every process of its tasks with all that its function names; a progress bar cannot be.
_UNDER_WAY: ContextVar[tuple[Prepared, Told]] = ContextVar("under_way")


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
    chosen = sweep.with_options(task_runner=task_runner(runner, workers or cores()))
    token = _UNDER_WAY.set((prepared, told))
    try:
        with alone():
            return chosen(prepared.job.sweep_id)
    finally:
        _UNDER_WAY.reset(token)


@flow(name="sweep", flow_run_name="sweep {sweep_id}", retries=0, persist_result=False)
def sweep(sweep_id: str) -> Sweep:
    """Search a strategy's parameters; `desk sweep` starts it.

    Args:
        sweep_id: The folder in the store's `sweeps` that has the job.
    """
    return _search(sweep_id)


def _search(sweep_id: str) -> Sweep:
    prepared, told = _UNDER_WAY.get()
    assert prepared.job.sweep_id == sweep_id, "a flow run plays the sweep it was started for"
    return search(prepared, _fan, told)


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
            f"--runner {runner}: {error.name} is not installed; `make runners` in the checkout installs it"
        ) from error

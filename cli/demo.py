"""`desk demo`: a whole trading day in about a minute, on a real Prefect server and through real sockets.

No keys and no data are needed. The simulated exchange plays a day in lock step, Prefect runs the same
three deployments a live desk runs, and then the result is held against the exchange's own books and
against a replay of the ledger. Exit code 0 means that all of it held.
"""

import json
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from cli.platform import Platform, PlatformPlace
from cli.rehearsal import (
    DEFAULT_SEED,
    DEFAULT_STRATEGY,
    Exchange,
    Stage,
    fresh_folder,
    make_stage,
    write_run_folder,
)
from cli.up import terminating_as_interrupt
from tasks.configuration import load_settings
from tasks.errors import ConfigError
from tasks.resources import make_strategies
from tasks.verification import DayFacts, verify_day

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

    from cli.runs import RunResult

PHASES = ("reconcile-account", "trade-session", "close-day")
_WORKER_QUERY_S = 0.5  # the demo's day is a minute long: it does not wait ten seconds for work
_KEEP_LOOK_S = 1.0


def demo(
    bars: Annotated[
        Path | None, typer.Option(help="Directory of <SYMBOL>/<yyyy-mm-dd>.parquet; without it: generated.")
    ] = None,
    day: Annotated[
        datetime | None, typer.Option("--date", formats=["%Y-%m-%d"], help="The session to play.")
    ] = None,
    symbols: Annotated[str | None, typer.Option(help="Symbols, with commas.")] = None,
    strategy: Annotated[str, typer.Option(help="Strategies, with commas.")] = DEFAULT_STRATEGY,
    store: Annotated[
        Path | None, typer.Option(help="An empty or new directory. Default: a new one in data/store.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the generated market.")] = DEFAULT_SEED,
    json_path: Annotated[
        Path | None, typer.Option("--json", help="Write the day's facts to this file.")
    ] = None,
    keep: Annotated[
        bool | None,
        typer.Option("--keep/--no-keep", help="Keep the UI up until Ctrl-C. Default: on a terminal."),
    ] = None,
) -> None:
    """Play a whole trading day on a real Prefect server and a simulated exchange, and prove the books."""
    if json_path is not None and not json_path.resolve().parent.is_dir():
        raise ConfigError(f"--json {json_path}: there is no directory {json_path.resolve().parent}")
    console = Console()
    stage = make_stage(
        bars=bars,
        session_date=day.date() if day is not None else None,
        symbols=symbols,
        strategy=strategy,
        seed=seed,
    )
    folder = fresh_folder(store, started_at=datetime.now(UTC))  # noqa: TID251  names a folder, decides nothing
    with terminating_as_interrupt():
        facts, runs = play(stage, folder, console, keep=sys.stdout.isatty() if keep is None else keep)
    if json_path is not None:
        json_path.write_text(json.dumps(as_json(facts, runs), indent=2) + "\n", encoding="utf-8")
    if not (facts.books_equal and facts.replay_equal and all(run.is_completed for run in runs)):
        raise typer.Exit(1)


def play(stage: Stage, folder: Path, console: Console, *, keep: bool) -> "tuple[DayFacts, list[RunResult]]":
    """Play the day and verify it; whatever happens, nothing is left running.

    Raises:
        ConfigError: the stage cannot be set: no such bars, unknown strategy, a bad symbol.
        PlatformDown: Prefect did not come up or went away.
    """
    began = time.monotonic()
    exchange = Exchange(stage, folder=folder)
    try:
        config = write_run_folder(folder, stage, exchange_url=exchange.url, stream_url=exchange.stream_url)
        make_strategies(load_settings(config))  # a wrong name or symbol is told before anything is started
        place = PlatformPlace(
            home=folder / "prefect", logs=folder / "store" / "logs" / "prefect", config=config
        )
        with Platform(place, query_s=_WORKER_QUERY_S) as platform:
            runs = _run_day(stage, exchange, platform, console)
            facts = verify_day(config, stage.session_date, exchange.books())
            _show(facts, runs, console, seconds=time.monotonic() - began)
            told = f"more: desk --config {config} status (explain, orders, log, sql ...)"
            console.print(told, soft_wrap=True, highlight=False)
            if keep:
                _keep_up(platform, console)
    finally:
        exchange.stop()
    return facts, runs


def as_json(facts: DayFacts, runs: "Sequence[RunResult]") -> dict[str, Any]:
    """Give what --json writes."""
    return {
        **facts.as_json(),
        "flow_runs": [
            {"name": run.name, "state": run.state, "seconds": round(run.seconds, 3)} for run in runs
        ],
        "warehouse": str(facts.warehouse),
        "ledger": str(facts.ledger),
        "report": str(facts.report) if facts.report is not None else None,
    }


def _run_day(stage: Stage, exchange: Exchange, platform: Platform, console: Console) -> "list[RunResult]":
    with _progress(console) as progress:
        setting = progress.add_task("starting exchange and Prefect", total=None)
        platform.launch_server()
        exchange.wait_until_ready()
        platform.wait_for_server()
        with platform.client() as client:
            from cli.deploying import apply_deployments, work_pool_name

            apply_deployments(client, paused=True)
            platform.start_worker(work_pool_name())
            progress.update(setting, total=1, completed=1, description=f"Prefect UI {platform.ui_url}")
            runs: list[RunResult] = []
            for name in PHASES:
                runs.append(_run_phase(name, stage, exchange, platform, client, progress))
                if not runs[-1].is_completed:
                    break  # the next phase stands on this one
            return runs


def _run_phase(
    name: str,
    stage: Stage,
    exchange: Exchange,
    platform: Platform,
    client: "SyncPrefectClient",
    progress: Progress,
) -> "RunResult":
    from cli.runs import follow, start_run

    bar = progress.add_task(name, total=None)
    run_id = start_run(client, name, stage.session_date)
    watch = _watcher(exchange, progress, bar, name) if name == "trade-session" else None
    result = follow(platform, client, run_id, name=name, on_look=watch)
    progress.update(bar, total=1, completed=1, description=f"{name} {result.state.lower()}")
    return result


def _watcher(exchange: Exchange, progress: Progress, bar: TaskID, name: str) -> Any:
    def look(run: object) -> None:
        state = exchange.state()
        if state is None:
            return
        now, opens, closes = (datetime.fromisoformat(state[key]) for key in ("now", "opens_at", "closes_at"))
        total = (closes - opens).total_seconds()
        done = min(max((now - opens).total_seconds(), 0.0), total)
        progress.update(bar, total=total, completed=done, description=f"{name} {now:%H:%M} UTC")

    return look


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(bar_width=30), TimeElapsedColumn(), console=console
    )


def _show(facts: DayFacts, runs: "Sequence[RunResult]", console: Console, *, seconds: float) -> None:
    table = Table(title=f"{facts.session_date}", show_header=False)
    for name, value in facts.rows():
        table.add_row(name, value)
    for run in runs:
        table.add_row(f"flow {run.name}", f"{run.state} in {run.seconds:.1f} s: {run.message}")
    table.add_row("whole demo", f"{seconds:.1f} s")
    console.print(table)
    for name, path in facts.paths():
        console.print(f"{name}: {path}", soft_wrap=True, highlight=False)


def _keep_up(platform: Platform, console: Console) -> None:
    console.print(f"Prefect UI: {platform.ui_url} — Ctrl-C ends the demo.")
    try:
        while True:
            platform.check()
            time.sleep(_KEEP_LOOK_S)
    except KeyboardInterrupt:
        console.print("Stopping.")

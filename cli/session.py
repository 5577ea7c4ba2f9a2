"""`desk session`, `desk close-day`: the day without Prefect, claimed in the ledger as the flows do."""

from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cli.tables import clock_time, console
from tasks.configuration import load_settings

if TYPE_CHECKING:
    from tasks.by_hand import Minute

Day = Annotated[
    datetime | None,
    typer.Option(
        "--date", formats=["%Y-%m-%d"], help="Session date, New York. Default: today by the desk's clock."
    ),
]


def session(day: Day = None) -> None:
    """Trade one session to its close without Prefect; takes over where a crashed one stopped."""
    from tasks.by_hand import trade_session
    from tasks.resources import make_strategies

    make_strategies(load_settings())  # a mistake in desk.yaml is answered before anything is begun
    out = console()
    with _progress(out) as progress:
        bar = progress.add_task("starting: replay, broker, reconcile", total=None)

        def show(minute: "Minute") -> None:
            progress.update(
                bar,
                total=minute.total,
                completed=minute.done,
                description=f"{clock_time(minute.minute)[:5]}  {minute.orders_today} orders, "
                f"{minute.fills_today} fills",
            )

        try:
            words = trade_session(_date(day), on_minute=show)
        finally:  # a bar of no minutes says nothing
            progress.update(bar, visible=progress.tasks[0].total is not None)
    out.print(words, soft_wrap=True)


def close_day(day: Day = None) -> None:
    """Close a date's books without Prefect: reconcile, report, publish, export."""
    from tasks.by_hand import close_day

    load_settings()
    out = console()
    with out.status("comparing with the broker"):
        words = close_day(_date(day))
    out.print(words, soft_wrap=True)


def _date(day: datetime | None) -> date | None:
    return None if day is None else day.date()


def _progress(out: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=40),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=out,
    )

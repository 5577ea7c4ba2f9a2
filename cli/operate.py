"""`desk kill`, `desk resume`, `desk breaks`: what a person does to a running desk."""

import getpass
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.prompt import Prompt

from cli.tables import as_json, console, grid, moment, number, usd
from schemas.risk import LatchName
from tasks.configuration import load_settings
from tasks.errors import ConfigError

if TYPE_CHECKING:
    from tasks.operate import Shown

ALL = "all"


def kill(
    reason: Annotated[str, typer.Option(help="Why; it goes into the ledger and to everybody.")] = "desk kill",
    by: Annotated[str | None, typer.Option(help="Who decides it. Default: the user of this shell.")] = None,
) -> None:
    """Everything off now: cancel all, close all, verified at the broker; stays latched until resumed."""
    from tasks.operate import kill_account

    settings = load_settings()
    out = console()
    said: list[str] = []

    def tell(shown: "Shown") -> None:
        if not said or said[-1] != shown.words:
            said.append(shown.words)
            out.print(shown.words, soft_wrap=True)

    verified = kill_account(
        settings,
        cause=reason,
        by=by or getpass.getuser(),
        on_latched=lambda: out.print("latched: no entry is sent any more, whatever follows"),
        on_look=tell,
    )
    out.print(
        f"verified at the broker {moment(verified.at)} New York: no open orders, no positions "
        f"({verified.orders_canceled} orders canceled, {verified.positions_closed} positions closed). "
        "The kill latch stays set until `desk resume --by NAME`.",
        soft_wrap=True,
    )


def resume(
    by: Annotated[str, typer.Option(help="Who decides it; kept in the ledger.")],
    reason: Annotated[str, typer.Option(help="Why; kept in the ledger.")],
    latch: Annotated[
        list[LatchName] | None,
        typer.Option(help="Release this one; may be repeated. Default: asks where several are set."),
    ] = None,
    all_latches: Annotated[bool, typer.Option("--all", help="Release every latch.")] = False,
    pause: Annotated[
        list[str] | None,
        typer.Option(help="Lift the pause of this protection, and touch no latch; may be repeated."),
    ] = None,
) -> None:
    """Release latches; with none left, trade again. Or lift the pause of a protection."""
    from tasks.operate import lift, resume

    if pause:
        if latch or all_latches:
            raise ConfigError(
                "--pause lifts a protection's pause; give --latch or --all in a call of its own"
            )
        for item in lift(load_settings(), by=by, cause=reason, names=pause):
            over = "everything" if item.key == "" else f"{item.scope.value} {item.key}"
            typer.echo(f"lifted: {item.protection} over {over}, which was until {moment(item.until)}")
        return

    def choose(found: Sequence[LatchName]) -> Sequence[LatchName]:
        if latch:
            return tuple(dict.fromkeys(latch))
        return found if all_latches or len(found) == 1 else _ask(found)

    released, state = resume(load_settings(), by=by, cause=reason, choose=choose)
    names = ", ".join(name.value for name in released) or "no latch was set"
    typer.echo(f"released: {names}; trading state {state.value.upper()}")


def _ask(found: Sequence[LatchName]) -> Sequence[LatchName]:
    names = [name.value for name in found]
    if not sys.stdin.isatty():
        raise ConfigError(f"latched: {', '.join(names)}; choose with --latch NAME, or --all")
    answer = Prompt.ask("release which latch?", choices=[*names, ALL])
    return found if answer == ALL else (LatchName(answer),)


def breaks(
    accept: Annotated[
        str | None,
        typer.Option(help="Accept this break (its id), or 'all': the books take the broker's word."),
    ] = None,
    by: Annotated[str | None, typer.Option(help="Who accepts it.")] = None,
    reason: Annotated[str | None, typer.Option(help="Why it is right to accept it.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """List open breaks, or accept one: then the next reconcile (or the retried close-day) books it."""
    from tasks.operate import accept_breaks, open_breaks

    settings = load_settings()
    if accept is not None:
        if not by or not reason:
            raise ConfigError("--accept needs --by NAME and --reason TEXT: a person answers for it")
        for item in accept_breaks(settings, wanted=accept, by=by, cause=reason):
            typer.echo(f"accepted: {item.break_id} ({item.detail}); the next reconcile books it")
        return
    found = open_breaks(settings)
    if json:
        typer.echo(as_json(found))
    elif not found:
        typer.echo("no open breaks")
    else:
        table = grid("Open breaks", "id", "kind", "about", ">ours", ">broker's", ">USD", "found", "what")
        for item in found:
            table.add_row(
                item.break_id,
                item.kind.value,
                item.key,
                number(item.ours),
                number(item.theirs),
                usd(item.notional_usd),
                moment(item.found_at),
                item.detail,
            )
        console().print(table)

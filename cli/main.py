"""The `desk` command: one typer application, its commands each in a module of their own.

A mistake ends as one line on stderr and exit code 2, a failure as one line and exit code 1, Ctrl-C with
130. What nobody expected is one line too, with the place of its traceback in the log; `--debug` prints
it. Every command's work is imported when it runs, so that `desk --help` answers at once.
"""

import gc
import logging
import os
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Annotated

import typer
from rich.console import Console
from typer.exceptions import TyperException

from cli.backtest import backtest
from cli.check import check
from cli.compare import compare
from cli.defects import tell
from cli.demo import demo
from cli.doctor import doctor
from cli.exchange import exchange
from cli.history import explain, log, replay
from cli.operate import breaks, kill, resume
from cli.query import report, sql
from cli.session import close_day, session
from cli.simulate import simulate
from cli.status import orders, positions, status
from cli.sweep import sweep
from cli.up import up
from cli.verify import verify_day
from tasks.configuration import CONFIG_VARIABLE, load_settings
from tasks.errors import ConfigError, DeskError

FAILED, MISTAKEN, INTERRUPTED = 1, 2, 130  # exit codes; 130 is 128 + SIGINT, as shells have it

app = typer.Typer(
    name="desk",
    help="MiniQuantDesk: an intraday US-equities desk.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

TRY, RESEARCH, RUN, LOOK, ACT = "Try it", "Research", "Run the day", "Look", "Act"
app.command(rich_help_panel=TRY)(demo)
app.command(rich_help_panel=TRY)(exchange)
app.command(rich_help_panel=TRY)(simulate)
app.command(rich_help_panel=RESEARCH)(backtest)
app.command(rich_help_panel=RESEARCH)(compare)
app.command(rich_help_panel=RESEARCH)(sweep)
app.command(rich_help_panel=RESEARCH)(check)
app.command(rich_help_panel=RUN)(up)
app.command(rich_help_panel=RUN)(doctor)
app.command(rich_help_panel=RUN)(session)
app.command("close-day", rich_help_panel=RUN)(close_day)
app.command(rich_help_panel=LOOK)(status)
app.command(rich_help_panel=LOOK)(positions)
app.command(rich_help_panel=LOOK)(orders)
app.command(rich_help_panel=LOOK)(explain)
app.command(rich_help_panel=LOOK)(log)
app.command(rich_help_panel=LOOK)(sql)
app.command(rich_help_panel=LOOK)(report)
app.command(rich_help_panel=LOOK)(replay)
app.command(rich_help_panel=LOOK)(verify_day)
app.command(rich_help_panel=ACT)(kill)
app.command(rich_help_panel=ACT)(resume)
app.command(rich_help_panel=ACT)(breaks)


def tell_version(is_asked: bool) -> None:
    """Print the version that is installed."""
    if is_asked:
        typer.echo(f"desk {metadata.version('miniquantdesk')}")
        raise typer.Exit


@app.callback()
def options(
    config: Annotated[
        Path | None, typer.Option(help="The desk.yaml to run by. Default: DESK_CONFIG, then ./desk.yaml.")
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Print the traceback of a defect.")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and end.", is_eager=True, callback=tell_version),
    ] = False,
) -> None:
    """Take what every command shares; children of this process inherit the configuration."""
    if config is not None:
        os.environ[CONFIG_VARIABLE] = str(config.absolute())
    if debug:
        sys.excepthook = sys.__excepthook__


def run(arguments: Sequence[str]) -> int:
    """Run one command line and give its exit code; every expected trouble is one line on stderr."""
    command = typer.main.get_command(app)
    if not arguments:
        print(command.get_help(command.make_context("desk", [], resilient_parsing=True)), file=sys.stderr)
        return MISTAKEN
    try:
        code = command.main(args=list(arguments), prog_name="desk", standalone_mode=False)
    except TyperException as error:
        words = error.format_message().rstrip(".").replace("\n", " ").replace("Value error, ", "")
        return _complain(f"{words}; `desk --help` and `desk COMMAND --help` say what is allowed", MISTAKEN)
    except ConfigError as error:
        return _complain(str(error), MISTAKEN)
    except DeskError as error:
        return _complain(str(error), FAILED)
    except BrokenPipeError:
        # The reader of our pipe has enough (`desk log | head`); nothing may be flushed to it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return _complain(f"{place}{error.strerror or error}", FAILED)
    except (KeyboardInterrupt, typer.Abort):
        return _complain("stopped", INTERRUPTED)
    return code if isinstance(code, int) else 0


def main() -> None:
    """Run the command line of this process."""
    sys.excepthook = tell  # not tell_defect itself: see cli/defects.py
    code = run(sys.argv[1:])
    gc.collect()  # else an error's frames may outlive DuckDB, which then reports leaks on stderr
    sys.exit(code)


def tell_defect(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Say in one line what nobody expected and where its traceback is."""
    words = " ".join(str(error).split())
    _complain(
        f"unexpected {kind.__name__}: {words}; this is a defect. "
        f"{_keep_trace(kind, error, trace)}; `desk --debug ...` prints the traceback",
        FAILED,
    )


def _keep_trace(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> str:
    """Write the traceback to the store's log and say where."""
    from tasks.logs import configure_logging

    try:
        store = load_settings(warns=False).store
        configure_logging(store, prefect=False, console=False)
    except (DeskError, OSError) as trouble:
        return f"It could not be logged ({trouble})"
    logging.getLogger("cli").error("unexpected error", exc_info=(kind, error, trace))
    return f"Its log is {store / 'logs' / 'errors.log'}"


def _complain(words: str, code: int) -> int:
    Console(stderr=True, soft_wrap=True, highlight=False, markup=False).print(words)
    return code


if __name__ == "__main__":
    main()

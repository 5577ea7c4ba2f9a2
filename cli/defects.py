"""The hook for what nobody expected, in a module that holds nothing.

Prefect's libraries keep whatever `sys.excepthook` they find until after the interpreter's last clean-up.
A hook defined beside the commands would keep every module of theirs alive that long, and DuckDB's
binding then prints pages of leak reports behind a command that did well.
"""

from types import TracebackType


def tell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Hand an unexpected error to the command line's own words."""
    from cli.main import tell_defect

    tell_defect(kind, error, trace)

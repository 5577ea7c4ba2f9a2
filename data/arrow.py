"""A DuckDB result on its way to polars.

polars remembers the class of everything it was given. Given DuckDB's own, it keeps DuckDB's module
alive past the interpreter's end, and that prints pages of "leaked instances" after every command.
So it is given this class, from a module that knows nothing of DuckDB.
"""

from typing import Protocol


class Streams(Protocol):
    """Anything with the Arrow C stream interface."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Give the capsule."""
        ...


class ArrowStream:
    """The same stream under another class."""

    def __init__(self, source: Streams) -> None:
        """Wrap `source`."""
        self._source = source

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Give the source's capsule."""
        return self._source.__arrow_c_stream__(requested_schema)

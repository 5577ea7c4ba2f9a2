"""The ledger as text: one JSON line per event, as a running log and as an export.

Theory of operation. The database is the truth; the log is a copy that can be read with `tail -f`
and outlives the database. After every commit the log is caught up from the database, beginning
behind the last whole line it has, so operators' appends by other processes come in their order,
a torn last line is cut off, and a log that is missing or wrong is simply written again. A log
that fails is reported through logging and never stops trading.
"""

import fcntl
import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from desk.errors import LedgerUnavailable

_log = logging.getLogger(__name__)

TAIL_BYTES = 1 << 20  # the last whole line is looked for in the last MiB; an event is a few KiB at most

Lines = Callable[[int], Iterator[tuple[int, str]]]  # from a seq: (seq, line without its end)


class TransactionLog:
    """A running NDJSON file next to the database."""

    def __init__(self, path: Path, lines: Lines) -> None:
        """Take the file's path and where to read the ledger's lines after a seq."""
        self._path = path
        self._lines = lines
        self._failing = False
        self._end: tuple[int, int] | None = None  # (size, last seq) as we left it

    def catch_up(self) -> None:
        """Append what the ledger has and the log has not; never raises."""
        try:
            self._append()
        except (OSError, LedgerUnavailable) as error:
            if not self._failing:
                _log.warning(
                    "transaction log cannot be written",
                    extra={"path": str(self._path), "cause": str(error)},
                )
            self._failing = True
        else:
            if self._failing:
                _log.info("transaction log is written again", extra={"path": str(self._path)})
            self._failing = False

    def _append(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with open(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644), "r+b", closefd=True) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return  # another process is at it; the next append catches up
            size = file.seek(0, os.SEEK_END)
            # A file of the size we left it at is as we left it: others only append or write it anew.
            last_seq = (
                self._end[1] if self._end is not None and self._end[0] == size else _cut_to_last_line(file)
            )
            for seq, line in self._lines(last_seq):
                file.write(f"{line}\n".encode())
                last_seq = seq
            file.flush()
            self._end = (file.tell(), last_seq)


def export_ndjson(path: Path, lines: Iterator[tuple[int, str]]) -> int:
    """Write lines to a file that appears whole or not at all; give how many.

    Raises:
        LedgerUnavailable: the file cannot be written, or the ledger cannot be read.
    """
    part = path.with_name(f".{path.name}.part")
    count = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("w", encoding="utf-8") as file:
            for _, line in lines:
                file.write(f"{line}\n")
                count += 1
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise LedgerUnavailable(f"ledger export {path}: {error.strerror or error}") from error
    return count


def _cut_to_last_line(file: BinaryIO) -> int:
    """Leave the file at its last whole line and give that line's seq; 0 and empty if there is none."""
    size = file.seek(0, os.SEEK_END)
    start = max(0, size - TAIL_BYTES)
    file.seek(start)
    tail = file.read()
    end = tail.rfind(b"\n") + 1
    begin = tail.rfind(b"\n", 0, max(0, end - 1)) + 1
    try:
        seq = int(json.loads(tail[begin:end])["seq"])
    except (ValueError, KeyError, TypeError):
        seq = 0
        end = -start
    file.truncate(start + end)
    file.seek(0, os.SEEK_END)
    return seq

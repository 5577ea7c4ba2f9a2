"""Structured logs: one JSON line a record, by area, rotated, redacted, and into Prefect's run log.

Every room logs with `logging.getLogger(__name__)`, a fixed phrase and its facts in `extra`; nothing
below tasks knows where lines go. Here the rooms' loggers get their handlers:

    <store>/logs/system.log trading.log data.log heartbeats.log    one area each, by logger name
    <store>/logs/errors.log                                        ERROR and worse of all areas
    stderr                                                         for people
    Prefect's run log                                              inside flow runs

A record says its own area with `extra={"area": "heartbeats"}`; else the logger's name decides. A
correlation id travels in `extra={"correlation_id": ...}` or is bound around a block by
`correlated`. Each file is bounded: nothing a day does can fill the disk with commentary.
"""

import logging
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

import structlog
from prefect.context import FlowRunContext, TaskRunContext
from prefect.logging.handlers import APILogHandler
from structlog.contextvars import bound_contextvars, merge_contextvars
from structlog.typing import EventDict, Processor, WrappedLogger

ROOMS = ("schemas", "strategies", "desk", "data", "tasks", "flows", "cli")
AREAS = ("system", "trading", "data", "heartbeats")
FILE_MAX_BYTES = 20_000_000  # a busy day of 500 symbols writes about a quarter of it
FILE_BACKUPS = 5  # five files of five areas: half a gigabyte at most, weeks of a quiet desk
REDACTED = "[redacted]"
SECRET_MIN = 6  # characters; a shorter "secret" would blank ordinary words

# The longest matching prefix decides; a room that is not listed is `system`.
AREA_OF = {
    "strategies": "trading",
    "desk": "trading",
    "desk.adapters.alpaca_market": "data",
    "desk.adapters.discord": "system",
    "desk.ingest": "data",
    "data": "data",
    "data.ledger": "system",
}

_SECRET_KEY = re.compile(r"secret|token|password|passwd|api_?key|authorization|webhook|credential", re.I)
_ACCOUNT_KEY = re.compile(r"account_?(number|no|id)$", re.I)
_SECRET_VALUES = (
    re.compile(r"https://(?:\w+\.)?discord(?:app)?\.com/api/webhooks/\S+"),
    re.compile(r"\b[PAC]K[A-Z0-9]{16,24}\b"),  # Alpaca's key ids
    re.compile(r"\bPA[0-9A-Z]{8,12}\b"),  # Alpaca's paper account numbers
    re.compile(r"(?i)\b(?:bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}"),
    re.compile(r"(?i)\b(?:apca-api-secret-key|apca-api-key-id)['\"]?\s*[:=]\s*['\"]?[^\s'\",}]+"),
)
# alpaca-py logs every lost connection with a traceback, and connects again. The line itself says why.
STREAM_LOGGERS = ("alpaca.data.live.websocket", "alpaca.trading.stream")
_MINE = "_desk_handler"  # marks our handlers, so that configuring again replaces them


class Redactor:
    """A processor that blanks secrets and account numbers, by key, by shape and by value."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        # The longest first, so that no secret leaves the tail of another behind.
        self._values = sorted({each for each in secrets if len(each) >= SECRET_MIN}, key=len, reverse=True)

    def __call__(self, logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
        """Give the event without what nobody may read."""
        return {key: self._clean(key, value) for key, value in event.items()}

    def _clean(self, key: str, value: object) -> object:
        if key.startswith("_"):
            return value  # structlog's own; removed before rendering
        if value is not None and (_SECRET_KEY.search(key) or _ACCOUNT_KEY.search(key)):
            return REDACTED
        match value:
            case bool() | int() | float() | Decimal() | None:
                return value
            case Enum():
                return value.value
            case Mapping():
                return {str(inner): self._clean(str(inner), each) for inner, each in value.items()}
            case list() | tuple() | set() | frozenset():
                return [self._clean(key, each) for each in value]
            case _:
                return self._text(str(value))

    def _text(self, text: str) -> str:
        for secret in self._values:
            text = text.replace(secret, REDACTED)
        for shape in _SECRET_VALUES:
            text = shape.sub(REDACTED, text)
        return text


class SharedRotatingFile(RotatingFileHandler):
    """A rotating file that several processes append to.

    When another process has rotated the file, the name no longer is the file we hold: it is opened
    again before the next line, so no process goes on writing into a backup.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line, at the end of whatever file now has the name."""
        if self.stream is not None and self._was_moved(self.stream.fileno()):
            self.stream.close()
            self.stream = self._open()
        super().emit(record)

    def _was_moved(self, descriptor: int) -> bool:
        try:
            return not os.path.samestat(os.stat(self.baseFilename), os.fstat(descriptor))
        except FileNotFoundError:  # nobody has the name now
            return True


def configure_logging(
    store: Path, level: str = "INFO", *, prefect: bool, secrets: Iterable[str] = (), console: bool = True
) -> None:
    """Send the rooms' records to the store's log files, to stderr and to Prefect's run log.

    Configuring again replaces what an earlier call set up. Other libraries' loggers are left alone, but for
    the SDK's streams, which lose their tracebacks.

    Args:
        store: the desk's store; `logs/` is made in it.
        level: the least level that is written: DEBUG, INFO, WARNING or ERROR.
        prefect: inside a flow run, send the same lines to its run log. Records of threads that
            know no run go to the one that called this.
        secrets: values that never appear, whatever the key they come under.
        console: whether people watch stderr.

    Raises:
        OSError: `logs/` cannot be made or written.
        ValueError: `level` is not a level's name.
    """
    if level.upper() not in logging.getLevelNamesMapping():
        raise ValueError(f"log level {level!r} is none of DEBUG, INFO, WARNING, ERROR")
    reset_logging()
    folder = store / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    redact = Redactor(secrets)
    handlers: list[logging.Handler] = [_area_file(folder, area, redact) for area in AREAS]
    handlers.append(_errors_file(folder, redact))
    if console:
        handlers.append(_console(redact))
    if prefect:
        handlers.append(_run_log(redact))
    for name in STREAM_LOGGERS:
        logging.getLogger(name).addFilter(_without_traceback)
    for room in ROOMS:
        logger = logging.getLogger(room)
        logger.setLevel(level.upper())
        logger.propagate = False  # Prefect's root handler would print every line a second time
        for handler in handlers:
            setattr(handler, _MINE, True)
            logger.addHandler(handler)


def _without_traceback(record: logging.LogRecord) -> bool:
    """Let a record through as one line."""
    record.exc_info = None
    return True


def reset_logging() -> None:
    """Close the handlers an earlier `configure_logging` made."""
    for room in ROOMS:
        logger = logging.getLogger(room)
        for handler in [each for each in logger.handlers if getattr(each, _MINE, False)]:
            logger.removeHandler(handler)
            handler.close()
        logger.setLevel(logging.NOTSET)
        logger.propagate = True
    for name in STREAM_LOGGERS:
        logging.getLogger(name).removeFilter(_without_traceback)


@contextmanager
def correlated(correlation_id: str, **facts: str) -> Iterator[None]:
    """Bind a correlation id, and other facts, to every record of this block and context."""
    with bound_contextvars(correlation_id=correlation_id, **facts):
        yield


def area_of(record: logging.LogRecord) -> str:
    """Give the area a record belongs to: its own word, else by its logger's name."""
    said = getattr(record, "area", None)
    if said in AREAS:
        return str(said)
    name = record.name
    while name:
        if name in AREA_OF:
            return AREA_OF[name]
        name = name.rpartition(".")[0]
    return "system"


def _stamp(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """Add the record's own instant, area and place."""
    record: logging.LogRecord = event["_record"]
    event["at"] = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds")
    event["level"] = record.levelname.lower()
    event["logger"] = record.name
    event["area"] = area_of(record)
    return event


def _order(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """Put what people look for first: at, level, area, logger, event, correlation id, then the facts."""
    first = ("at", "level", "area", "logger", "event", "correlation_id")
    ordered = {key: event[key] for key in first if key in event}
    return ordered | {key: event[key] for key in sorted(event.keys() - ordered.keys())}


def _pre_chain() -> list[Processor]:
    return [merge_contextvars, structlog.stdlib.ExtraAdder(), _stamp]


def _json_formatter(redact: Redactor) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_pre_chain(),
        processors=[
            structlog.processors.format_exc_info,
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            redact,
            _order,
            structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
        ],
    )


def _area_file(folder: Path, area: str, redact: Redactor) -> logging.Handler:
    handler = _file(folder / f"{area}.log", redact)
    handler.addFilter(lambda record: area_of(record) == area)
    return handler


def _errors_file(folder: Path, redact: Redactor) -> logging.Handler:
    handler = _file(folder / "errors.log", redact)
    handler.setLevel(logging.ERROR)
    return handler


def _file(path: Path, redact: Redactor) -> logging.Handler:
    handler = SharedRotatingFile(
        path, maxBytes=FILE_MAX_BYTES, backupCount=FILE_BACKUPS, encoding="utf-8", delay=True
    )
    handler.setFormatter(_json_formatter(redact))
    return handler


def _short(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """Keep what a person reads in one line; the files have the rest."""
    event["timestamp"] = event.pop("at")[11:19]
    for key in ("area", "logger"):
        event.pop(key, None)
    return event


def _console(redact: Redactor) -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    # How a phase ended is the answer of the command that ran it, or the state of its flow run.
    handler.addFilter(lambda record: not hasattr(record, "phase"))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_pre_chain(),
            processors=[
                structlog.processors.format_exc_info,
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                redact,
                _short,
                structlog.dev.ConsoleRenderer(
                    colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
                ),
            ],
        )
    )
    return handler


def _run_log(redact: Redactor) -> logging.Handler:
    handler = APILogHandler()
    handler.addFilter(_RunFilter())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_pre_chain(),
            processors=[
                structlog.processors.format_exc_info,
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                redact,
                _facts_line,
            ],
        )
    )
    return handler


def _facts_line(logger: WrappedLogger, name: str, event: MutableMapping[str, Any]) -> str:
    """Render for the run log, which has its own time and level: "phrase key=value key=value"."""
    for key in ("at", "level", "area", "logger", "flow_run_id"):
        event.pop(key, None)
    phrase, trace = event.pop("event"), event.pop("exception", None)
    line = " ".join([str(phrase), *(f"{key}={value}" for key, value in sorted(event.items()))])
    return line if trace is None else f"{line}\n{trace}"


def current_flow_run_id() -> str | None:
    """Give the id of the flow run this code runs in; None outside."""
    context = FlowRunContext.get()
    run = context.flow_run if context is not None else None
    return str(run.id) if run is not None else None


class _RunFilter(logging.Filter):
    """Let through what belongs to a flow run, and say which for threads that do not know."""

    def __init__(self) -> None:
        super().__init__()
        self._flow_run_id = current_flow_run_id()

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether the record has a run to go to."""
        if FlowRunContext.get() is not None or TaskRunContext.get() is not None:
            return True
        if self._flow_run_id is None:
            return False
        record.flow_run_id = self._flow_run_id
        return True

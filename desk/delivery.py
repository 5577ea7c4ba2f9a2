"""Reading a delivery: from whatever a provider sent to typed columns, one fault at most a row.

A delivery is a polars frame or a list of rows as parsed from JSON. Nothing is guessed and nothing is
coerced in silence: text is not a price, a timestamp without a zone is not UTC, an integer beyond 64 bits
does not wrap, a column that is absent is not filled. What cannot be read is a fault with the number
found, and the row stays readable as JSON.

Two paths give the same frame. A frame of good types is selected and cast without loss (the clean path,
vectorised); everything else goes row by row. Left out: whether the values make sense (`desk/inspector`).
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TypeAlias

import polars as pl

from schemas.bars import PRICES, RAW_SCHEMA, Flaw

Row: TypeAlias = Mapping[str, object]
Delivery: TypeAlias = pl.DataFrame | Sequence[Row]

REQUIRED = ("symbol", "ts", "open", "high", "low", "close", "volume")
OPTIONAL = ("vwap", "trade_count")
# The one alias this desk knows: files and several providers say `timestamp`.
TS_ALIAS = "timestamp"
INT64_MAX = 2**63 - 1
INT64_MIN = -(2**63)
# Beyond it a 64-bit float skips whole numbers, so an integer price could not be held exactly.
EXACT_FLOAT_MAX = 2**53
# What a person reads of a foreign value; a hostile cell must not fill a log line.
SHOWN_CHARS = 60

_READ_SCHEMA: dict[str, pl.DataType] = {
    **RAW_SCHEMA,
    "row": pl.UInt32(),
    "flaw": pl.String(),
    "detail": pl.String(),
}


@dataclass(frozen=True)
class Reading:
    """A delivery read.

    `frame` has `RAW_SCHEMA`, the input index `row`, and `flaw` and `detail` (null where the row could
    be read; unreadable cells are null). `missing` and `extra` are column names.
    """

    frame: pl.DataFrame
    missing: tuple[str, ...]
    extra: tuple[str, ...]


class Unreadable(ValueError):
    """One cell cannot be read."""

    def __init__(self, flaw: Flaw, detail: str) -> None:
        super().__init__(detail)
        self.flaw = flaw
        self.detail = detail


def read(delivery: Delivery) -> Reading:
    """Read a delivery; never raises for what is in it."""
    if isinstance(delivery, pl.DataFrame):
        return _read_frame(delivery)
    return _read_rows(delivery)


def row_json(delivery: Delivery, index: int) -> str:
    """Give one delivered row as JSON, values beyond JSON as text."""
    row = delivery.row(index, named=True) if isinstance(delivery, pl.DataFrame) else delivery[index]
    return json.dumps({str(key): _jsonable(value) for key, value in row.items()}, default=str)


def _jsonable(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value.isoformat() if isinstance(value, datetime) else value


def _names(columns: Sequence[str]) -> tuple[dict[str, str], tuple[str, ...], tuple[str, ...]]:
    """Give (our name to theirs, missing, extra)."""
    names = {name: name for name in (*REQUIRED, *OPTIONAL) if name in columns}
    if "ts" not in names and TS_ALIAS in columns:
        names["ts"] = TS_ALIAS
    missing = tuple(name for name in REQUIRED if name not in names)
    used = set(names.values())
    return names, missing, tuple(name for name in columns if name not in used)


def _read_frame(frame: pl.DataFrame) -> Reading:
    names, missing, extra = _names(frame.columns)
    if frame.height == 0:
        return Reading(pl.DataFrame(schema=_READ_SCHEMA), missing, extra)
    if not missing and all(_well_typed(ours, frame.schema[theirs]) for ours, theirs in names.items()):
        columns = [
            pl.lit(None, dtype).alias(ours) if ours not in names else _cast(names[ours], dtype).alias(ours)
            for ours, dtype in RAW_SCHEMA.items()
        ]
        read_frame = frame.select(
            *columns,
            pl.int_range(pl.len(), dtype=pl.UInt32).alias("row"),
            _frame_flaw(names, frame.schema).alias("flaw"),
            pl.lit(None, pl.String).alias("detail"),
        )
        return Reading(read_frame, missing, extra)
    return Reading(_read_cells(frame.to_dicts(), names), missing, extra)


def _well_typed(name: str, dtype: pl.DataType) -> bool:
    """Tell whether a column converts without loss for every value it can hold."""
    if name == "symbol":
        return dtype == pl.String
    if name == "ts":
        return isinstance(dtype, pl.Datetime) and dtype.time_zone is not None
    if name in PRICES:
        return dtype in (pl.Float64, pl.Float32, pl.Int32, pl.Int16, pl.UInt32)
    if name == "vwap":
        return dtype in (pl.Float64, pl.Float32, pl.Null)
    return dtype in (pl.Int64, pl.Int32, pl.UInt32) or (dtype == pl.Null and name == "trade_count")


def _cast(name: str, dtype: pl.DataType) -> pl.Expr:
    if name in ("ts", TS_ALIAS):
        return pl.col(name).dt.convert_time_zone("UTC").dt.cast_time_unit("us")
    return pl.col(name).cast(dtype)


def _frame_flaw(names: Mapping[str, str], schema: pl.Schema) -> pl.Expr:
    """Name what the cast would hide: nanoseconds that are cut off."""
    dtype = schema[names["ts"]]
    if isinstance(dtype, pl.Datetime) and dtype.time_unit == "ns":
        cut = pl.col(names["ts"]).dt.epoch("ns") % 1_000 != 0
        return pl.when(cut).then(pl.lit(Flaw.MISALIGNED_TIMESTAMP.value))
    return pl.lit(None, pl.String)


def _read_rows(rows: Sequence[Row]) -> Reading:
    columns: dict[str, None] = {}
    for row in rows:
        columns.update(dict.fromkeys(str(key) for key in row))
    if not rows:
        return Reading(pl.DataFrame(schema=_READ_SCHEMA), (), ())
    names, missing, extra = _names(tuple(columns))
    return Reading(_read_cells(rows, names), missing, extra)


def _read_cells(rows: Sequence[Row], names: Mapping[str, str]) -> pl.DataFrame:
    columns: dict[str, list[object]] = {name: [] for name in _READ_SCHEMA}
    for index, row in enumerate(rows):
        fault: Unreadable | None = None
        for name in RAW_SCHEMA:
            value: object = None
            try:
                value = _cell(name, row.get(names.get(name, name)))
            except Unreadable as error:
                fault = error if fault is None else fault
            columns[name].append(value)
        columns["row"].append(index)
        columns["flaw"].append(None if fault is None else fault.flaw.value)
        columns["detail"].append(None if fault is None else fault.detail)
    return pl.DataFrame(columns, schema=_READ_SCHEMA, strict=True)


def _cell(name: str, value: object) -> object:
    if value is None:
        if name in OPTIONAL:
            return None
        raise Unreadable(Flaw.MISSING_VALUE, f"{name} is absent or null")
    if name == "symbol":
        if not isinstance(value, str):
            raise _mismatch(name, value, "text")
        return value
    if name == "ts":
        return _instant(value)
    if name in PRICES or name == "vwap":
        return _price(name, value)
    return _count(name, value)


def _price(name: str, value: object) -> float:
    """Read a price: a float, or a whole number a float can hold; never text, never a bool."""
    if type(value) is float:
        return value
    if type(value) is int and abs(value) <= EXACT_FLOAT_MAX:
        return float(value)
    raise _mismatch(name, value, "a number")


def _count(name: str, value: object) -> int:
    """Read a whole number; 340564.0 is one, 100.5 is not."""
    if type(value) is float and math.isfinite(value) and value.is_integer():
        value = int(value)
    if type(value) is not int:
        raise _mismatch(name, value, "a whole number")
    if not INT64_MIN <= value <= INT64_MAX:
        raise Unreadable(Flaw.VOLUME_OVERFLOW, f"{name} {_shown(value)} is beyond 64 bits, limit {INT64_MAX}")
    return value


def _instant(value: object) -> datetime:
    """Read an instant that says its zone.

    Raises:
        Unreadable: Not a moment, or a moment without a zone.
    """
    moment = value
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            raise Unreadable(Flaw.BAD_TIMESTAMP, f"ts {_shown(value)} is not RFC 3339") from None
    if isinstance(moment, date) and not isinstance(moment, datetime):
        raise Unreadable(Flaw.NAIVE_TIMESTAMP, f"ts {_shown(value)} is a date without time and zone")
    if not isinstance(moment, datetime):
        raise _mismatch("ts", value, "an instant with a zone")
    if moment.tzinfo is None:
        raise Unreadable(Flaw.NAIVE_TIMESTAMP, f"ts {_shown(value)} has no zone; UTC is not assumed")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise Unreadable(Flaw.BAD_TIMESTAMP, f"ts {_shown(value)} is out of range") from None


def _mismatch(name: str, value: object, wanted: str) -> Unreadable:
    return Unreadable(
        Flaw.TYPE_MISMATCH, f"{name} {_shown(value)} is {type(value).__name__}, {wanted} is expected"
    )


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_CHARS else text[:SHOWN_CHARS] + "..."

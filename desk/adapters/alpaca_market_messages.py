"""Messages of the stock data stream as records: msgpack or JSON of Alpaca in, `schemas.market_stream` out.

Nothing is judged: a number that is none becomes None in a bar, for the inspector to refuse and say so. What
cannot be a message at all (no symbol, no time, no numbers where a quote or a trade has them) is Unreadable.
Words of the wire that nobody here knows are skipped: Alpaca adds some now and then.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias

import msgpack

from schemas.market_stream import (
    BarKind,
    StreamBar,
    StreamCancel,
    StreamCorrection,
    StreamMessage,
    StreamQuote,
    StreamStatus,
    StreamTrade,
)

Row: TypeAlias = Mapping[str, Any]
SHOWN_CHARS = 120  # of a foreign message in an error


class Unreadable(ValueError):
    """A frame or message that cannot be read."""


def rows_of(frame: object) -> Sequence[Row]:
    """Read a frame: an array of objects, in msgpack or as JSON text.

    Raises:
        Unreadable: It is something else.
    """
    try:
        found = json.loads(frame) if isinstance(frame, str) else _unpacked(frame)
    except (ValueError, RecursionError, msgpack.exceptions.UnpackException) as error:
        raise Unreadable(f"a frame is neither msgpack nor JSON: {error}") from error
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise Unreadable(f"a frame is no array of objects: {_shown(found)}")
    return found


def names_of(value: object) -> tuple[str, ...]:
    """Give the symbols of one channel of a confirmation."""
    return tuple(name for name in value if isinstance(name, str)) if isinstance(value, list) else ()


def message_of(row: Row) -> StreamMessage | None:
    """Give a message as a record; None for a kind nobody here knows.

    Raises:
        Unreadable: A field it cannot do without is absent or no such thing.
    """
    reader = _READERS.get(str(row.get("T")))
    if reader is None:
        return None
    try:
        return reader(row)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise Unreadable(f"{type(error).__name__} {error} in {_shown(row)}") from error


def _bar(row: Row) -> StreamBar:
    return StreamBar(
        kind=BarKind(row["T"]),
        symbol=_word(row, "S"),
        ts=_instant(row["t"]),
        open=_price(row.get("o")),
        high=_price(row.get("h")),
        low=_price(row.get("l")),
        close=_price(row.get("c")),
        volume=_count(row.get("v")),
        vwap=_price(row.get("vw")),
        trade_count=_count(row.get("n")),
    )


def _quote(row: Row) -> StreamQuote:
    return StreamQuote(
        symbol=_word(row, "S"),
        ts=_instant(row["t"]),
        bid_exchange=str(row.get("bx", "")),
        bid_price=float(row["bp"]),
        bid_size=int(row["bs"]),
        ask_exchange=str(row.get("ax", "")),
        ask_price=float(row["ap"]),
        ask_size=int(row["as"]),
        conditions=names_of(row.get("c")),
        tape=str(row.get("z", "")),
    )


def _trade(row: Row) -> StreamTrade:
    return StreamTrade(
        symbol=_word(row, "S"),
        ts=_instant(row["t"]),
        trade_id=int(row["i"]),
        exchange=str(row.get("x", "")),
        price=float(row["p"]),
        size=int(row["s"]),
        conditions=names_of(row.get("c")),
        tape=str(row.get("z", "")),
    )


def _status(row: Row) -> StreamStatus:
    return StreamStatus(
        symbol=_word(row, "S"),
        ts=_instant(row["t"]),
        status_code=_word(row, "sc"),
        status_message=str(row.get("sm", "")),
        reason_code=str(row.get("rc", "")),
        reason_message=str(row.get("rm", "")),
        tape=str(row.get("z", "")),
    )


def _correction(row: Row) -> StreamCorrection:
    return StreamCorrection(
        symbol=_word(row, "S"),
        ts=_instant(row["t"]),
        exchange=str(row.get("x", "")),
        original_id=int(row["oi"]),
        original_price=float(row["op"]),
        original_size=int(row["os"]),
        original_conditions=names_of(row.get("oc")),
        corrected_id=int(row["ci"]),
        corrected_price=float(row["cp"]),
        corrected_size=int(row["cs"]),
        corrected_conditions=names_of(row.get("cc")),
        tape=str(row.get("z", "")),
    )


def _cancel(row: Row) -> StreamCancel:
    return StreamCancel(
        symbol=_word(row, "S"),
        ts=_instant(row["t"]),
        trade_id=int(row["i"]),
        exchange=str(row.get("x", "")),
        price=float(row["p"]),
        size=int(row["s"]),
        action=str(row.get("a", "")),
        tape=str(row.get("z", "")),
    )


_READERS: Mapping[str, Callable[[Row], StreamMessage]] = {
    "b": _bar,
    "u": _bar,
    "d": _bar,
    "q": _quote,
    "t": _trade,
    "s": _status,
    "c": _correction,
    "x": _cancel,
}


def _unpacked(frame: object) -> object:
    if not isinstance(frame, bytes):
        raise ValueError(f"{type(frame).__name__} is no frame")
    return msgpack.unpackb(frame, timestamp=3)  # 3: aware datetimes, microseconds


def _instant(value: object) -> datetime:
    """Give an aware instant."""
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise ValueError(f"{_shown(value)} is no instant with a zone")
    return moment.astimezone(UTC)


def _word(row: Row, name: str) -> str:
    value = row[name]
    if not isinstance(value, str) or value == "":
        raise ValueError(f"{name} is {_shown(value)}")
    return value


def _price(value: object) -> float | None:
    """Give a number; text, truth values and nothing are None."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _count(value: object) -> int | None:
    """Give a whole number; anything else is None."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_CHARS else text[:SHOWN_CHARS] + "..."

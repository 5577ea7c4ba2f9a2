"""The stock data stream's messages on the wire: JSON text or msgpack (ALPACA.md section 5).

The two differ in the instant alone: RFC 3339 text in JSON, the timestamp extension (-1) in msgpack. Sizes
are integers, prices numbers. A frame is always an array of messages.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgpack

from desk.exchange import wire
from schemas.market_stream import (
    StreamBar,
    StreamCancel,
    StreamCorrection,
    StreamLuld,
    StreamMessage,
    StreamQuote,
    StreamStatus,
    StreamTrade,
)

Json = dict[str, Any]


class NotAMessage(ValueError):
    """A client's frame is no object in its encoding."""


class Codec(Protocol):
    """One of the two encodings."""

    is_text: bool

    def frame(self, messages: Sequence[StreamMessage]) -> bytes:
        """Encode market data as one frame."""
        ...

    def control(self, body: Json) -> bytes:
        """Encode a control message as a frame of its own."""
        ...

    def read(self, frame: str | bytes) -> Mapping[str, Any]:
        """Read a client's frame; raises NotAMessage."""
        ...


class JsonCodec:
    """JSON text."""

    is_text = True

    def frame(self, messages: Sequence[StreamMessage]) -> bytes:
        """Encode market data."""
        bodies = [fields(message) for message in messages]
        for body in bodies:
            body["t"] = wire.instant(body["t"])
        return wire.dumps(bodies)

    def control(self, body: Json) -> bytes:
        """Encode a control message."""
        return wire.dumps([body])

    def read(self, frame: str | bytes) -> Mapping[str, Any]:
        """Read text or binary frames alike."""
        try:
            return _an_object(json.loads(frame))
        except ValueError as error:
            raise NotAMessage(str(error)) from error


class MsgpackCodec:
    """Msgpack; a client's text frame is read as JSON all the same."""

    is_text = False

    def __init__(self) -> None:
        """Prepare the packer: datetimes become the timestamp extension."""
        self._packer = msgpack.Packer(datetime=True)

    def frame(self, messages: Sequence[StreamMessage]) -> bytes:
        """Encode market data."""
        packed: bytes = self._packer.pack([fields(message) for message in messages])
        return packed

    def control(self, body: Json) -> bytes:
        """Encode a control message."""
        packed: bytes = self._packer.pack([body])
        return packed

    def read(self, frame: str | bytes) -> Mapping[str, Any]:
        """Read a client's frame."""
        try:
            return _an_object(json.loads(frame) if isinstance(frame, str) else msgpack.unpackb(frame))
        except (ValueError, msgpack.exceptions.UnpackException) as error:
            raise NotAMessage(str(error)) from error


def codec_of(content_type: str) -> Codec:
    """Give the encoding a handshake asks for by its Content-Type."""
    return MsgpackCodec() if "msgpack" in content_type.lower() else JsonCodec()


def fields(message: StreamMessage) -> Json:
    """Write a message; `t` is still a datetime."""
    match message:
        case StreamBar():
            return _bar(message)
        case StreamTrade():
            return _trade(message)
        case StreamQuote():
            return _quote(message)
        case StreamStatus():
            return _status(message)
        case StreamLuld(symbol, ts, up, down, indicator, tape):
            return {"T": "l", "S": symbol, "u": up, "d": down, "i": indicator, "t": ts, "z": tape}
        case StreamCorrection():
            return _correction(message)
        case StreamCancel():
            return _cancel(message)


def _bar(bar: StreamBar) -> Json:
    return {
        "T": bar.kind.value,
        "S": bar.symbol,
        "o": bar.open,
        "h": bar.high,
        "l": bar.low,
        "c": bar.close,
        "v": bar.volume,
        "t": bar.ts,
        "n": bar.trade_count,
        "vw": bar.vwap,
    }


def _trade(trade: StreamTrade) -> Json:
    return {
        "T": "t",
        "S": trade.symbol,
        "i": trade.trade_id,
        "x": trade.exchange,
        "p": trade.price,
        "s": trade.size,
        "c": trade.conditions,
        "t": trade.ts,
        "z": trade.tape,
    }


def _quote(quote: StreamQuote) -> Json:
    return {
        "T": "q",
        "S": quote.symbol,
        "bx": quote.bid_exchange,
        "bp": quote.bid_price,
        "bs": quote.bid_size,
        "ax": quote.ask_exchange,
        "ap": quote.ask_price,
        "as": quote.ask_size,
        "c": quote.conditions,
        "t": quote.ts,
        "z": quote.tape,
    }


def _status(status: StreamStatus) -> Json:
    return {
        "T": "s",
        "S": status.symbol,
        "sc": status.status_code,
        "sm": status.status_message,
        "rc": status.reason_code,
        "rm": status.reason_message,
        "t": status.ts,
        "z": status.tape,
    }


def _correction(right: StreamCorrection) -> Json:
    return {
        "T": "c",
        "S": right.symbol,
        "x": right.exchange,
        "oi": right.original_id,
        "op": right.original_price,
        "os": right.original_size,
        "oc": right.original_conditions,
        "ci": right.corrected_id,
        "cp": right.corrected_price,
        "cs": right.corrected_size,
        "cc": right.corrected_conditions,
        "t": right.ts,
        "z": right.tape,
    }


def _cancel(void: StreamCancel) -> Json:
    return {
        "T": "x",
        "S": void.symbol,
        "i": void.trade_id,
        "x": void.exchange,
        "p": void.price,
        "s": void.size,
        "a": void.action,
        "t": void.ts,
        "z": void.tape,
    }


def _an_object(parsed: object) -> Mapping[str, Any]:
    """Refuse anything but an object with words for keys."""
    if not isinstance(parsed, dict) or not all(isinstance(key, str) for key in parsed):
        raise NotAMessage("a message is an object")
    return parsed

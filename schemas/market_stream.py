"""Market data as it is heard: one record per message of the stock data stream (ALPACA.md section 5).

Values are as delivered, unjudged: a price that is no number is None, and a bar here may be any nonsense
the venue or its faults made of it. Judging is the inspector's work. Plain frozen dataclasses, not
pydantic: a minute of 500 symbols is 500 of them, and nothing in them is decided on before it is judged.
Prices are float64 USD, sizes whole shares, instants aware UTC.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Channel(StrEnum):
    """What can be subscribed to, in the order Alpaca lists it."""

    TRADES = "trades"
    QUOTES = "quotes"
    BARS = "bars"
    UPDATED_BARS = "updatedBars"
    DAILY_BARS = "dailyBars"
    STATUSES = "statuses"
    LULDS = "lulds"
    CORRECTIONS = "corrections"
    CANCEL_ERRORS = "cancelErrors"


class BarKind(StrEnum):
    """Which bar a message carries: its `T` on the wire."""

    MINUTE = "b"  # about 1 s after the minute
    UPDATED = "u"  # about 30 s after the mark, when a late trade changed the minute
    DAILY = "d"  # the day so far, every minute after the open


@dataclass(frozen=True, slots=True)
class StreamBar:
    """A minute, its revision, or the day so far."""

    kind: BarKind
    symbol: str
    ts: datetime  # left edge; of a daily bar, midnight in New York
    open: float | None
    high: float | None
    low: float | None
    close: float | None
    volume: int | None
    vwap: float | None
    trade_count: int | None


@dataclass(frozen=True, slots=True)
class StreamQuote:
    """The best bid and ask (NBBO); a price of 0 means that side has none."""

    symbol: str
    ts: datetime
    bid_exchange: str
    bid_price: float
    bid_size: int
    ask_exchange: str
    ask_price: float
    ask_size: int
    conditions: tuple[str, ...]
    tape: str  # A NYSE, B regional exchanges, C NASDAQ


@dataclass(frozen=True, slots=True)
class StreamTrade:
    """A print."""

    symbol: str
    ts: datetime
    trade_id: int
    exchange: str
    price: float
    size: int
    conditions: tuple[str, ...]
    tape: str


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """A symbol's trading is halted or resumes; codes are those of its tape."""

    symbol: str
    ts: datetime
    status_code: str
    status_message: str
    reason_code: str
    reason_message: str
    tape: str


@dataclass(frozen=True, slots=True)
class StreamLuld:
    """The limit up - limit down price band."""

    symbol: str
    ts: datetime
    limit_up: float
    limit_down: float
    indicator: str
    tape: str


@dataclass(frozen=True, slots=True)
class StreamCorrection:
    """An earlier trade was reported wrongly: what was said, and what is right."""

    symbol: str
    ts: datetime
    exchange: str
    original_id: int
    original_price: float
    original_size: int
    original_conditions: tuple[str, ...]
    corrected_id: int
    corrected_price: float
    corrected_size: int
    corrected_conditions: tuple[str, ...]
    tape: str


@dataclass(frozen=True, slots=True)
class StreamCancel:
    """An earlier trade is void: canceled (C) or an error (E)."""

    symbol: str
    ts: datetime
    trade_id: int
    exchange: str
    price: float
    size: int
    action: str
    tape: str


StreamMessage = (
    StreamBar | StreamQuote | StreamTrade | StreamStatus | StreamLuld | StreamCorrection | StreamCancel
)

_OF_BARS = {
    BarKind.MINUTE: Channel.BARS,
    BarKind.UPDATED: Channel.UPDATED_BARS,
    BarKind.DAILY: Channel.DAILY_BARS,
}
_OF_OTHERS: dict[type, Channel] = {
    StreamQuote: Channel.QUOTES,
    StreamTrade: Channel.TRADES,
    StreamStatus: Channel.STATUSES,
    StreamLuld: Channel.LULDS,
    StreamCorrection: Channel.CORRECTIONS,
    StreamCancel: Channel.CANCEL_ERRORS,
}


def channel_of(message: StreamMessage) -> Channel:
    """Give the channel a message belongs to."""
    return _OF_BARS[message.kind] if isinstance(message, StreamBar) else _OF_OTHERS[type(message)]

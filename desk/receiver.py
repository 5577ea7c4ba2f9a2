"""Where a minute's bars come from: the stream first, the provider's history for what it did not bring.

Theory of operation. The stream is heard between the minutes and while a minute is waited for; what it says
is filed by kind: bars wait here for their minute's ingest, quotes and trades go to their books, statuses tell
who is halted. `due` says until when a minute is waited for (desk/watermark.py). At the ingest the heard bars
are handed over, and the history is asked

- for everything since the last ingest: at the start, and after every change of the connection (nothing is
  replayed after a gap);
- for the symbols that were waited for in vain.

Every `AUDIT_EVERY` the history is asked for everything although nothing is known to be missing, for a single
lost frame nobody notices: after the minute's orders, because no order should wait for what is a precaution.

A stream that brought no bar of a minute of which the history has some is mute, whatever it answers, and is
renewed; at the first, second, fourth, eighth such minute in a row, so that a stream that cannot help does not
cost a connection a minute.

Order of prints: a first print of a minute that is known already is the old news it says it is, and is left
out; a revision comes after it. What the history says of a minute goes before a heard revision and replaces a
heard first print. Bars outside the regular session are not signal bars and are left out here, as they are not
asked of the history.

Without a stream everything is asked of the history each minute, with `OVERLAP` for revisions.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from desk.bar_builder import BarBuilder
from desk.desk import Desk
from desk.errors import BrokerUnavailable
from desk.ports import MarketStream
from desk.quotes import QuoteBook
from desk.tape import Tape
from desk.watermark import Watermark
from schemas.account import SessionHours
from schemas.bars import RAW_SCHEMA
from schemas.market_stream import (
    BarKind,
    Channel,
    StreamBar,
    StreamCancel,
    StreamCorrection,
    StreamMessage,
    StreamQuote,
    StreamStatus,
    StreamTrade,
)

log = logging.getLogger(__name__)

MINUTE = timedelta(minutes=1)
# A bar may be revised half a minute after its minute (ALPACA.md §4.1), so the last few are asked again.
OVERLAP = 3 * MINUTE
AUDIT_EVERY = 5 * MINUTE  # one more request in five minutes; a bar lost for longer has lost its use
PRINT_AGE_MAX = 10 * MINUTE  # an older or a future bar says nothing of anybody's habits
PENDING_MAX = 50_000  # bars that wait for their ingest: 500 symbols for an hour and a half
# Status codes of a stop (UTP: halt, volatility pause, quotes only; CTA: halt) and of a resumption.
HALTS = frozenset({"H", "P", "Q", "2"})
RESUMPTIONS = frozenset({"T", "3"})
BUILT = ":trades"  # added to the provider's name where a bar was built here


@dataclass(frozen=True, slots=True)
class Batch:
    """Bars to be judged, and who says so."""

    bars: pl.DataFrame
    provider: str


class Receiver:
    """The desk's ears, for one session."""

    def __init__(self, desk: Desk, symbols: Sequence[str], tape: Tape) -> None:
        """Prepare; nothing is heard before `start`."""
        self.desk = desk
        self.symbols = tuple(symbols)
        self.tape = tape
        self.quotes = QuoteBook()
        self.builder = BarBuilder()
        self.halted: dict[str, datetime] = {}  # since when
        longest = timedelta(seconds=desk.settings.session.bar_delay_s)
        self.watermark = Watermark(symbols, longest=longest)
        self._hours: SessionHours | None = None
        self._pending: list[StreamBar] = []
        self._built: set[tuple[str, datetime]] = set()
        self._connections = 0
        self._connected_at: datetime | None = None  # when the newest connection was noticed
        self._in_doubt = True  # something may have been missed since the history was last asked for all
        self._asked_to: datetime | None = None  # end of what the history was last asked for, all symbols
        self._mute_minutes = 0

    def start(self, hours: SessionHours) -> None:
        """Begin to hear, where there is a stream."""
        self._hours = hours
        stream = self.desk.stream
        if stream is None:
            return
        wanted = {channel: self.symbols for channel in (Channel.BARS, Channel.UPDATED_BARS, Channel.STATUSES)}
        if self.desk.settings.data.quotes:
            wanted[Channel.QUOTES] = self.symbols
        if self.desk.settings.data.trades:
            wanted[Channel.TRADES] = self.symbols
        stream.start(wanted)

    def stop(self) -> None:
        """Hear no more."""
        if self.desk.stream is not None:
            self.desk.stream.stop()

    # ---- hearing --------------------------------------------------------------------------

    def hear(self) -> None:
        """File what arrived, without waiting."""
        stream = self.desk.stream
        if stream is None:
            return
        now = self.desk.now()
        heard = stream.drain()
        self._notice_gap(stream, now)
        for message in heard:
            self._file(message, now)
        if len(self._pending) > PENDING_MAX:
            log.error("bars nobody took were dropped", extra={"count": len(self._pending) - PENDING_MAX})
            del self._pending[: len(self._pending) - PENDING_MAX]
            self._in_doubt = True

    def due(self, minute: datetime) -> datetime:
        """Give when a minute is decided, as things stand: at once when all is there, else at a deadline."""
        if self.desk.stream is None:
            return self.last_due(minute)
        final = minute + MINUTE + timedelta(seconds=self.desk.settings.data.final_after_s)
        return max(self.watermark.due(minute, excused=frozenset(self.halted)), final)

    def last_due(self, minute: datetime) -> datetime:
        """Give when a minute is decided at the latest."""
        return minute + MINUTE + self.watermark.longest

    def _notice_gap(self, stream: MarketStream, now: datetime) -> None:
        connections = stream.connections()
        if connections != self._connections:
            self._connections, self._connected_at = connections, now
            self._in_doubt = True
            self.builder.began(now)

    def _file(self, message: StreamMessage, now: datetime) -> None:
        match message:
            case StreamBar():
                self._file_bar(message, now)
            case StreamQuote():
                self.quotes.take(message)
            case StreamTrade() | StreamCorrection() | StreamCancel():
                self.builder.take(message)
            case StreamStatus():
                self._file_status(message)
            case _:
                log.debug("message without use", extra={"symbol": message.symbol})

    def _file_bar(self, bar: StreamBar, now: datetime) -> None:
        if bar.kind is BarKind.DAILY:
            return
        self._pending.append(bar)
        is_expected = bar.symbol in self.watermark.symbols
        if bar.kind is BarKind.MINUTE and is_expected and self._is_recent(bar.ts, now):
            self.watermark.printed(bar.symbol, bar.ts, now)
        since = self.halted.get(bar.symbol)
        if since is not None and bar.ts > since:  # a whole minute of trading after the halt
            log.warning("symbol trades again, unannounced", extra={"symbol": bar.symbol})
            del self.halted[bar.symbol]

    def _file_status(self, status: StreamStatus) -> None:
        facts = {"symbol": status.symbol, "code": status.status_code, "reason": status.reason_code}
        if status.status_code in HALTS:
            self.halted.setdefault(status.symbol, status.ts)
            log.warning("trading halted", extra=facts)
        elif status.status_code in RESUMPTIONS and self.halted.pop(status.symbol, None) is not None:
            log.warning("trading resumed", extra=facts)

    # ---- a minute's bars ------------------------------------------------------------------

    def batches(self, minute: datetime, *, start: datetime) -> tuple[Batch, ...]:
        """Give the bars to judge for a minute, in the order in which they are to be judged.

        May be asked again for the same minute: what was heard is kept until `taken`.

        Args:
            minute: left edge of the minute that is to be decided.
            start: from where on the history is asked, when everything is.

        Raises:
            BrokerUnavailable: the history did not answer, and nothing was heard.
        """
        market = self.desk.market
        end = minute + MINUTE
        if self.desk.stream is None:
            return (Batch(market.bars(self.symbols, start, end), market.provider),)
        self.hear()
        told = self._ask(minute, start=start, end=end)
        heard = self._heard(minute, told)
        batches = [Batch(bars, market.provider) for bars in joined(told, heard)]
        if made := self._build(minute, [*batches]):
            batches.append(made)
        return tuple(batches)

    def audit(self, minute: datetime) -> Batch | None:
        """Give what the history says of the last minutes, when that is due; None where it did not answer."""
        end, market = minute + MINUTE, self.desk.market
        if self.desk.stream is None or self._in_doubt or self._asked_to is None:
            return None  # the next ingest asks for everything
        if end < self._asked_to + AUDIT_EVERY:
            return None
        start = max(self._asked_to - OVERLAP, self._opens_at())
        try:
            told = market.bars(self.symbols, start, end)
        except BrokerUnavailable as error:
            log.warning("history did not answer an audit", extra={"cause": str(error)})
            return None
        self._learn(minute, told, everything=True)
        return Batch(told, market.provider)

    def taken(self, minute: datetime) -> None:
        """Forget what `batches` gave of a minute: it was judged."""
        now = self.desk.now()
        self._pending = [bar for bar in self._pending if minute < bar.ts <= now]
        if not self._in_doubt:
            self.watermark.close(minute)

    def _ask(self, minute: datetime, *, start: datetime, end: datetime) -> pl.DataFrame | None:
        """Ask the history for what may be missing; None where nothing is, or where it did not answer."""
        everything = self._in_doubt or self._asked_to is None
        missing = self.watermark.overdue(minute, excused=frozenset(self.halted))
        if not everything and not missing:
            self._mute_minutes = 0
            return None
        if everything and self._asked_to is not None:
            start = min(start, max(self._asked_to - OVERLAP, self._opens_at()))
        try:
            told = self.desk.market.bars(self.symbols if everything else sorted(missing), start, end)
        except BrokerUnavailable as error:
            if not self._pending:
                raise
            log.warning("history did not answer; going on with what was heard", extra={"cause": str(error)})
            return None
        self._learn(minute, told, everything=everything)
        return told

    def _learn(self, minute: datetime, told: pl.DataFrame, *, everything: bool) -> None:
        """Take in what the history's bars say of the stream and of the symbols' habits."""
        if everything:
            self._in_doubt = False
            self._asked_to = minute + MINUTE
        self._doubt_the_mute(minute, told)
        now = self.desk.now()
        for symbol, ts in _minutes_of(told):
            if symbol in self.watermark.symbols and isinstance(ts, datetime) and self._is_recent(ts, now):
                self.watermark.told(str(symbol), ts)

    def _is_recent(self, ts: datetime, now: datetime) -> bool:
        """Tell whether a bar says something of a symbol's habits."""
        return now - PRINT_AGE_MAX < ts <= now

    def _doubt_the_mute(self, minute: datetime, told: pl.DataFrame) -> None:
        """Renew a stream that said nothing of a minute of which the history has bars."""
        stream = self.desk.stream
        assert stream is not None
        if len(self.watermark.missing(minute)) < len(self.symbols):
            self._mute_minutes = 0
            return
        is_blamed = self._connected_at is not None and self._connected_at <= minute + MINUTE
        if not is_blamed or not (told["ts"] == minute).any():
            return
        self._mute_minutes += 1
        self._in_doubt = True
        if self._mute_minutes & (self._mute_minutes - 1) == 0:  # 1, 2, 4, 8, ...
            log.error("data stream is mute, renewing", extra={"minutes": self._mute_minutes})
            stream.renew()

    def _heard(self, minute: datetime, told: pl.DataFrame | None) -> pl.DataFrame:
        """Give the heard bars up to a minute, and any from the future, for the inspector to refuse."""
        now, hours = self.desk.now(), self._hours
        assert hours is not None, "start comes first"
        bars = [
            bar
            for bar in self._pending
            if hours.opens_at <= bar.ts <= minute or bar.ts > now  # before the open: no signal bars
        ]
        newer = _minutes_of(told)
        fresh = [
            bar
            for bar in bars
            if bar.kind is BarKind.UPDATED or not ((bar.symbol, bar.ts) in newer or self._is_known(bar))
        ]
        fresh.sort(key=lambda bar: (bar.symbol, bar.ts, bar.kind is BarKind.UPDATED))
        return framed(fresh)

    def _is_known(self, bar: StreamBar) -> bool:
        """Tell whether a first print is of a minute that the provider has told us already."""
        if (bar.symbol, bar.ts) in self._built:
            return False
        return self.tape.has(bar.symbol, bar.ts)

    def _build(self, minute: datetime, batches: Sequence[Batch]) -> Batch | None:
        """Build the bars nobody told us from trades, if those were heard all through the minute."""
        if not self.desk.settings.data.trades:
            return None
        here = {
            symbol
            for batch in batches
            for symbol in batch.bars.filter(pl.col("ts") == minute)["symbol"].to_list()
        }
        made = [self.builder.bar(symbol, minute) for symbol in self.symbols if symbol not in here]
        bars = [bar for bar in made if bar is not None]
        if not bars:
            return None
        log.warning("bars built from trades", extra={"count": len(bars), "minute": minute.isoformat()})
        self._built.update((bar.symbol, bar.ts) for bar in bars)
        return Batch(framed(bars), self.desk.market.provider + BUILT)

    def _opens_at(self) -> datetime:
        assert self._hours is not None, "start comes first"
        return self._hours.opens_at


def _minutes_of(told: pl.DataFrame | None) -> frozenset[tuple[object, ...]]:
    """Give (symbol, ts) of every bar the history told, as far as it told them."""
    if told is None or not {"symbol", "ts"} <= set(told.columns):
        return frozenset()
    return frozenset(told.select("symbol", "ts").iter_rows())


def framed(bars: Sequence[StreamBar]) -> pl.DataFrame:
    """Give bars as a frame, columns of `RAW_SCHEMA`, in the order given."""
    columns = {
        "symbol": [bar.symbol for bar in bars],
        "ts": [bar.ts for bar in bars],
        "open": [bar.open for bar in bars],
        "high": [bar.high for bar in bars],
        "low": [bar.low for bar in bars],
        "close": [bar.close for bar in bars],
        "volume": [bar.volume for bar in bars],
        "vwap": [bar.vwap for bar in bars],
        "trade_count": [bar.trade_count for bar in bars],
    }
    return pl.DataFrame(columns, schema=RAW_SCHEMA)


def joined(told: pl.DataFrame | None, heard: pl.DataFrame) -> list[pl.DataFrame]:
    """Put the history's bars and the heard ones into one delivery.

    Sorted by symbol and minute; of one minute the history's bars go first. A heard bar equal to one of the
    history's is the same print. Where the history's columns are not of the right types they are judged apart.
    """
    if told is None or told.height == 0:
        return [heard]
    if heard.height == 0:
        return [told]
    if told.columns != heard.columns or dict(told.schema) != dict(heard.schema):
        return [told, heard]
    more = heard.join(told, on=heard.columns, how="anti", nulls_equal=True, maintain_order="left")
    return [pl.concat([told, more]).sort("symbol", "ts", maintain_order=True)]

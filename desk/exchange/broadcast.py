"""The market data that goes out as the venue's time moves, for whoever is subscribed.

The floor says how far its time is; everything due since is put together in order of that time and told to
each reader, what it wants of it. One batch is what goes out at one instant, so a minute of bars is one
batch. What is due is a function of the tape (ALPACA.md sections 4.1 and 5):

- a bar 1 s after its minute; the revised one 30 s after the mark; the day so far 1 s after every minute of
  the regular session that has a bar;
- a quote and a trade at every sound print, the quote first;
- price bands when they change (desk/exchange/bands.py).

Halts are told when they happen, and while a symbol is halted nothing else is told of it. Corrections and
cancellations are told by `publish`. Only what somebody wants is put
together, so a venue nobody listens to spends nothing on it. `editors` may change, hold or double a batch
before it is told: faults are made there.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

import polars as pl

from desk.exchange import ticks
from desk.exchange.aggregate import daily
from desk.exchange.bands import Bands
from desk.exchange.floor import Floor
from desk.exchange.halts import status_of
from desk.exchange.orders import HaltNotice
from desk.exchange.subscription import EVERY, Subscription
from desk.exchange.tape import MINUTE, PUBLISH_AFTER, REVISED_AFTER
from schemas.bars import RAW_SCHEMA
from schemas.market_stream import BarKind, Channel, StreamBar, StreamMessage, StreamStatus

STEP = timedelta(minutes=5)  # longest stretch put together at once: bounds what a day-long advance holds
SEEN_MAX = 1_000_000  # messages kept for a reader that never drains; the oldest go

Editor = Callable[[datetime, Sequence[StreamMessage]], Sequence[StreamMessage]]
Batch = tuple[datetime, int, list[StreamMessage]]  # when, rank at that instant, what

# The order of things that go out at one instant.
_QUOTES, _TRADES, _BARS, _UPDATED, _DAILY, _BANDS = range(6)


class Reader(Protocol):
    """Somebody who listens."""

    subscription: Subscription

    def hear(self, messages: Sequence[StreamMessage]) -> None:
        """Take what goes out at one instant; only what is wanted, never nothing. Must not wait."""
        ...


class Broadcast:
    """The publisher of one floor."""

    def __init__(self, floor: Floor) -> None:
        """Listen to the floor's time."""
        self._floor = floor
        self._told = floor.now
        self._bands = Bands(floor.rules)
        self.readers: list[Reader] = []
        self.editors: list[Editor] = []
        self.decisive = 0  # how often bars or a status were told to somebody
        self._tape = floor.tape
        floor.clocks.append(self.tell)
        floor.status_listeners.append(self.notice)

    def tell(self, now: datetime) -> None:
        """Publish everything due up to and including an instant that was not told yet."""
        after, self._told = self._told, max(now, self._told)
        if self._tape is not self._floor.tape:
            self._tape = self._floor.tape
            for symbol in self._floor.crossing.halted:
                self._tape.silence(symbol, self._tape.starts_at)
        if not self.readers:
            return
        while after < now:
            through = min(after + STEP, now)
            for at, _, messages in self._due(after, through):
                self.publish(at, messages)
            after = through

    def publish(self, at: datetime, messages: Sequence[StreamMessage]) -> None:
        """Tell the readers, after the editors had their say."""
        for editor in tuple(self.editors):
            messages = editor(at, messages)
        self.deliver(messages)

    def deliver(self, messages: Sequence[StreamMessage]) -> None:
        """Tell the readers what they want, past the editors."""
        for reader in tuple(self.readers):
            wants = reader.subscription.wants
            wanted = [message for message in messages if wants(message)]
            if wanted:
                reader.hear(wanted)
                self.decisive += is_decisive(wanted)

    def notice(self, notice: HaltNotice) -> None:
        """Publish a halt or a resumption, and tell nothing of the symbol in between."""
        if notice.halted:
            self._floor.tape.silence(notice.symbol, notice.at)
        else:
            self._floor.tape.resume(notice.symbol, notice.at)
        self.publish(notice.at, [status_of(notice, ticks.tape_letter(self._listed_on(notice.symbol)))])

    def _due(self, after: datetime, through: datetime) -> list[Batch]:
        """Put together what goes out in (after, through], in order."""
        found: list[Batch] = []
        found += self._bars(after, through)
        found += self._prints(after, through)
        luld = self._wanted(Channel.LULDS)
        if luld:
            bands = self._bands.between(self._floor.tape, luld, after, through, self._listed_on)
            found += ((at, _BANDS, list(changed)) for at, changed in bands)
        found.sort(key=lambda batch: batch[:2])
        return found

    def _bars(self, after: datetime, through: datetime) -> Iterator[Batch]:
        """Give the bars due, by the minute."""
        tape = self._floor.tape
        minute, updated = self._wanted(Channel.BARS), self._wanted(Channel.UPDATED_BARS)
        day = self._wanted(Channel.DAILY_BARS)
        if minute or day:
            for at, rows in _by_instant(tape.due(after, through, revision=False)):
                bars = _messages(BarKind.MINUTE, rows, minute)
                if bars:
                    yield at, _BARS, bars
                days = self._days(rows, at, day) if day else []
                if days:
                    yield at, _DAILY, days
        if updated:
            for at, rows in _by_instant(tape.due(after, through, revision=True)):
                bars = _messages(BarKind.UPDATED, rows, updated)
                if bars:
                    yield at, _UPDATED, bars

    def _days(self, rows: pl.DataFrame, at: datetime, wanted: frozenset[str]) -> list[StreamMessage]:
        """Give the day so far of the symbols that have a minute of the regular session among the rows."""
        tape = self._floor.tape
        regular = (pl.col("ts") >= tape.hours.opens_at) & (pl.col("ts") < tape.hours.closes_at)
        moved = wanted.intersection(rows.filter(regular)["symbol"])
        so_far = tape.published(at, tape.starts_at, at).filter(pl.col("symbol").is_in(moved))
        return _messages(BarKind.DAILY, daily(so_far, tape.hours), wanted)

    def _prints(self, after: datetime, through: datetime) -> list[Batch]:
        """Give the quotes and trades due, by instant."""
        tape = self._floor.tape
        by_instant: dict[tuple[datetime, int], list[StreamMessage]] = {}
        quoted, traded = self._wanted(Channel.QUOTES), self._wanted(Channel.TRADES)
        for symbol in sorted(quoted | traded):
            listed_on = self._listed_on(symbol)
            for tick in ticks.ticks_between(tape, symbol, after, through):
                at = tick.seen.at
                if symbol in quoted:
                    heard = ticks.quote(symbol, tick.seen, listed_on=listed_on)
                    by_instant.setdefault((at, _QUOTES), []).append(heard)
                if symbol in traded:
                    printed = ticks.trade(symbol, tick, listed_on=listed_on)
                    by_instant.setdefault((at, _TRADES), []).append(printed)
        return [(at, rank, messages) for (at, rank), messages in by_instant.items()]

    def _wanted(self, channel: Channel) -> frozenset[str]:
        """Give the symbols of this market that anybody wants on a channel."""
        wanted: set[str] = set()
        for reader in self.readers:
            wanted |= reader.subscription.of(channel)
        known = self._floor.tape.symbols
        return frozenset(known) if EVERY in wanted else frozenset(wanted.intersection(known))

    def _listed_on(self, symbol: str) -> str:
        """Give the exchange a symbol is listed on."""
        return self._floor.asset(symbol).exchange


class Arrival:
    """A wake in process: what is there is there, and waiting brings nothing more."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._is_set = False

    def set(self) -> None:
        """Say that something is there."""
        self._is_set = True

    def clear(self) -> None:
        """Say that it was taken."""
        self._is_set = False

    def is_set(self) -> bool:
        """Tell whether something is there."""
        return self._is_set

    def wait(self, timeout: float) -> bool:
        """Tell whether something is there, at once: only the venue's time brings more."""
        return self._is_set


class VenueStream:
    """The data stream in process: what a client of the socket hears, as records, without loss or delay."""

    def __init__(self, broadcast: Broadcast) -> None:
        """Prepare; nothing is heard before `start`."""
        self.subscription = Subscription()
        self._broadcast = broadcast
        self._heard: list[StreamMessage] = []
        self._connections = 0
        self.arrived = Arrival()

    def start(self, wanted: Mapping[Channel, Iterable[str]] | None = None) -> None:
        """Listen, also to `wanted`; a second start changes nothing."""
        for channel, symbols in (wanted or {}).items():
            self.subscribe(channel, symbols)
        if self not in self._broadcast.readers:
            self._broadcast.readers.append(self)
            self._connections += 1

    def stop(self) -> None:
        """Listen no more."""
        if self in self._broadcast.readers:
            self._broadcast.readers.remove(self)

    def subscribe(self, channel: Channel, symbols: Iterable[str]) -> None:
        """Want symbols on a channel, from now on; `*` is every one."""
        self.subscription.add(channel, symbols)

    def unsubscribe(self, channel: Channel, symbols: Iterable[str]) -> None:
        """Want symbols on a channel no more."""
        self.subscription.remove(channel, symbols)

    def drain(self) -> tuple[StreamMessage, ...]:
        """Give what was heard since the last call, in the order of the venue's time."""
        heard, self._heard = tuple(self._heard), []
        self.arrived.clear()
        return heard

    def renew(self) -> None:
        """Listen anew, as a client that connects again."""
        if self in self._broadcast.readers:
            self.stop()
            self.start()

    def connections(self) -> int:
        """Count the starts; a change means messages may have been missed."""
        return self._connections

    def hear(self, messages: Sequence[StreamMessage]) -> None:
        """Keep messages; past the bound the oldest go."""
        self._heard.extend(messages)
        if is_decisive(messages):
            self.arrived.set()
        if len(self._heard) > SEEN_MAX:
            del self._heard[: len(self._heard) - SEEN_MAX]


def is_decisive(messages: Sequence[StreamMessage]) -> bool:
    """Tell whether somebody who waits for bars should be woken."""
    return any(isinstance(message, StreamBar | StreamStatus) for message in messages)


def next_publication(after: datetime) -> datetime:
    """Give the first instant after one at which bars may go out: 1 s or 30 s after a minute's mark."""
    mark = after.replace(second=0, microsecond=0)
    due = (mark + PUBLISH_AFTER - MINUTE, mark + REVISED_AFTER - MINUTE, mark + PUBLISH_AFTER)
    return min(instant for instant in due if instant > after)


def _by_instant(rows: pl.DataFrame) -> Iterator[tuple[datetime, pl.DataFrame]]:
    """Part rows by the instant they go out at, in order."""
    if rows.height == 0:
        return
    for key, part in rows.partition_by("public_at", as_dict=True, maintain_order=True).items():
        at = key[0]
        assert isinstance(at, datetime)
        yield at, part


def _messages(kind: BarKind, rows: pl.DataFrame, wanted: frozenset[str]) -> list[StreamMessage]:
    """Write rows as bars of a kind, those that are wanted; a price that is no number is None."""
    prices = ("open", "high", "low", "close", "vwap")
    clean = rows.select(
        pl.when(pl.col(name).is_finite()).then(name).alias(name) if name in prices else pl.col(name)
        for name in RAW_SCHEMA
    )
    return [StreamBar(kind, *row) for row in clean.iter_rows() if row[0] in wanted]

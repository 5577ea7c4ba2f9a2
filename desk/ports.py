"""The doors to the world: what the desk needs, said once, for every implementation.

Live, the broker is alpaca_broker, market data alpaca_market, the clock system_clock. In process,
`exchange.venue` is all three. A contract suite in tests/contracts holds each to the same behaviour.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Protocol, runtime_checkable

import polars as pl

from schemas.account import Asset, BrokerAccount, BrokerClock, BrokerPosition, SessionHours, Split
from schemas.events import AnyEvent
from schemas.market_stream import Channel, StreamMessage
from schemas.orders import BrokerFill, BrokerOrder, OrderIntent, TradeUpdate


class Wake(Protocol):
    """What a sleeper may be woken by; a `threading.Event` is one."""

    def is_set(self) -> bool:
        """Tell whether there is something to wake up for."""
        ...

    def wait(self, timeout: float) -> bool:
        """Wait at most `timeout` real seconds for it; give `is_set`."""
        ...


class Clock(Protocol):
    """The only one who knows the time."""

    def now(self) -> datetime:
        """Give the current instant, aware UTC."""
        ...

    def sleep_until(self, instant: datetime, wake: Wake | None = None) -> None:
        """Return at or after `instant`, or sooner once `wake` is set; a past instant returns at once.

        A simulated venue plays up to `instant`, or up to the first instant at which `wake` was set.
        """
        ...


class Broker(Protocol):
    """The trading side of the broker.

    Reads raise `BrokerUnavailable` after bounded retries. Writes are never retried:
    they raise `Rejected` (definitely nothing happened) or `OutcomeUnknown`.
    """

    def account(self) -> BrokerAccount: ...

    def clock(self) -> BrokerClock: ...

    def calendar(self, start: date, end: date) -> tuple[SessionHours, ...]: ...

    def asset(self, symbol: str) -> Asset:
        """Raise `NotFound` for a symbol the broker does not know."""
        ...

    def assets(self, symbols: Sequence[str]) -> Mapping[str, Asset]:
        """Give the properties of many symbols in few requests; one the broker does not know is absent."""
        ...

    def submit(self, intent: OrderIntent) -> BrokerOrder:
        """Send one order under the intent's client order id, once."""
        ...

    def replace(self, broker_order_id: str, intent: OrderIntent) -> BrokerOrder:
        """Ask, once, that `intent` take the place of a working order; give the NEW order.

        The new one has the intent's client order id, a broker id of its own and `replaces` set; what the
        old one had executed before stays the old one's. `intent.qty` is whole shares and the NEW order's
        own quantity. `Rejected`: the old one is as it was. `OutcomeUnknown`: either may be working.
        """
        ...

    def cancel(self, broker_order_id: str) -> None:
        """Ask for a cancel; returning means asked, not canceled. `Rejected` if it cannot be canceled."""
        ...

    def cancel_all(self) -> int:
        """Ask for a cancel of every open order; give how many were asked."""
        ...

    def order(self, broker_order_id: str) -> BrokerOrder:
        """Raise `NotFound` for an unknown id."""
        ...

    def order_by_client_id(self, client_order_id: str) -> BrokerOrder:
        """Give an order, its legs in it; raise `NotFound` for an unknown client order id."""
        ...

    def open_orders(self) -> tuple[BrokerOrder, ...]:
        """Give every open order, however many pages it takes."""
        ...

    def orders_since(self, after: datetime) -> tuple[BrokerOrder, ...]:
        """Give every order submitted at or after `after`, open or closed, oldest first, all pages."""
        ...

    def positions(self) -> tuple[BrokerPosition, ...]: ...

    def fills_since(self, after: datetime) -> tuple[BrokerFill, ...]:
        """Give every execution at or after `after`, oldest first, all pages."""
        ...


class MarketData(Protocol):
    """Minute bars as the provider delivers them, unjudged."""

    provider: str
    feed: str

    def bars(self, symbols: Sequence[str], start: datetime, end: datetime) -> pl.DataFrame:
        """Give minute bars with ts in [start, end), columns of `schemas.bars.RAW_SCHEMA`, any order.

        Symbols without a bar have no row. Raises `BrokerUnavailable`.
        """
        ...


class TradeUpdates(Protocol):
    """The user stream. It only makes things known sooner: REST alone must be enough."""

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def drain(self) -> tuple[TradeUpdate, ...]:
        """Give what arrived since the last call, in order of arrival, without waiting."""
        ...

    def connections(self) -> int:
        """Count the connections made so far; a change means updates may have been missed."""
        ...

    def is_listening(self) -> bool:
        """Tell whether it is connected and heard now, as far as it knows."""
        ...


@runtime_checkable
class KnowsSplits(Protocol):
    """What a market data provider may offer besides: share splits."""

    def splits(self, symbols: Sequence[str], start: date, end: date) -> tuple[Split, ...]:
        """Give the splits of symbols with an ex-date in [start, end]. Raises `BrokerUnavailable`."""
        ...


class MarketStream(Protocol):
    """Market data as it happens. It only makes bars known sooner: `MarketData` alone must be enough.

    Nothing here waits for the network but `stop`, and that for a bounded time.
    """

    def start(self, wanted: Mapping[Channel, Sequence[str]]) -> None:
        """Connect and subscribe to symbols by channel; a second start changes nothing."""
        ...

    def stop(self) -> None: ...

    def drain(self) -> tuple[StreamMessage, ...]:
        """Give what arrived since the last call, in order of arrival, without waiting; clears `arrived`."""
        ...

    @property
    def arrived(self) -> Wake:
        """Give what is set while bars or statuses wait to be drained, or the connection changed.

        Quotes and trades do not set it: nobody decides anything at once by them.
        """
        ...

    def connections(self) -> int:
        """Count the connections made so far; a change means messages may have been missed."""
        ...

    def renew(self) -> None:
        """Drop the connection and make another: what comes over this one is doubted."""
        ...


class Ledger(Protocol):
    """Append-only memory, synced before `append` returns."""

    def append(self, events: Sequence[AnyEvent]) -> int:
        """Write all or nothing and give the last seq.

        Raises `LeaseLost` if a newer token exists, `LedgerUnavailable` if it could not be written.
        """
        ...

    def read(self, after_seq: int = 0) -> Iterator[tuple[int, AnyEvent]]:
        """Give events in order."""
        ...

    def renew(self) -> None:
        """Keep the lease; raises `LeaseLost`."""
        ...


class Recorder(Protocol):
    """The warehouse as the session sees it: rows wait in the spool if they must, nothing raises (I11)."""

    def bars(self, frame: pl.DataFrame) -> None:
        """Keep prints, columns of `schemas.bars.PRINT_SCHEMA`."""
        ...

    def quarantine(self, frame: pl.DataFrame) -> None:
        """Keep rejected and quarantined rows, columns of `schemas.bars.QUARANTINE_SCHEMA`."""
        ...

    def signals(self, frame: pl.DataFrame) -> None:
        """Keep signals, columns of `schemas.signals.SIGNAL_SCHEMA`."""
        ...

    def flush(self) -> None:
        """Bring the spool and the ledger's news into the warehouse if the file is free."""
        ...


class Notifier(Protocol):
    """One attempt to deliver a message; the outbox decides about more."""

    def send(self, channel: str, text: str) -> bool:
        """Give True when delivered; False when it should be tried again later. Never raises."""
        ...


class StrategyRunner(Protocol):
    """A strategy as the session sees it (strategies/base.py makes them)."""

    @property
    def name(self) -> str: ...

    @property
    def symbols(self) -> tuple[str, ...]: ...

    @property
    def warm_up(self) -> int:
        """Count the bars needed before the first signal."""
        ...

    def signals(self, bars: pl.DataFrame) -> pl.DataFrame:
        """Give signals for all bars given, columns of `schemas.signals.SIGNAL_SCHEMA`."""
        ...

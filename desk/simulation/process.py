"""One process of the desk: its ports, each with the trouble of the seed and points at which it may die.

The ports are those of `desk/ports.py`, over the one honest venue. Before and after every answer of the
broker, and before and after every durable write, the process passes a `step`, where the world may end it.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

import polars as pl

from desk.desk import Desk
from desk.errors import BrokerError, BrokerUnavailable, OutcomeUnknown, Rejected
from desk.journal import Journal
from desk.ports import StrategyRunner, Wake
from desk.simulation.memory import ProcessLedger
from schemas.account import Asset, BrokerAccount, BrokerClock, BrokerPosition, SessionHours
from schemas.market_stream import Channel, StreamBar, StreamMessage
from schemas.orders import BrokerFill, BrokerOrder, OrderIntent, TradeUpdate

if TYPE_CHECKING:
    from desk.simulation.world import World

Answer = TypeVar("Answer")

MINUTE = timedelta(minutes=1)
LATE_S = (3, 90)  # how long an order may be on its way to the venue


class Killed(BaseException):
    """The process ended here, as by kill -9: nothing after this line ran."""


class Process:
    """A running desk and its way to the world."""

    def __init__(self, world: "World", token: int, name: str) -> None:
        """Start; the ledger is replayed when `desk` is first asked for."""
        self.world = world
        self.name = name
        self.ledger = ProcessLedger(world.store, token, step=self.step)
        self.journal: Journal | None = None

    def desk(self, *, is_trading: bool) -> Desk:
        """Compose the desk of this process; one that does not trade has no strategies and no stream."""
        world, scenario = self.world, self.world.scenario
        self.journal = Journal(self.ledger)
        world.broker.forget()
        hears = is_trading and scenario.hears_stream
        return Desk(
            settings=scenario.settings,
            clock=DeskClock(world),
            broker=Wire(self),
            market=Feed(world),
            updates=Ear(self) if hears else None,
            journal=self.journal,
            recorder=Recorder(world),
            strategies=tuple(Watched(each, world) for each in world.strategies()) if is_trading else (),
            stream=Ticker(self) if is_trading and scenario.hears_market else None,
        )

    def step(self, words: str) -> None:
        """Pass a point at which the process may die; its books are audited before each write."""
        if words.startswith("before writing"):
            self.audit()
        self.world.may_die(self, words)

    def audit(self) -> None:
        """Hold what this process believes against the ledger, when it has read all of it."""
        journal = self.journal
        if journal is None or journal.seq != len(self.world.store.rows):
            return
        portfolio = journal.portfolio
        positions = {}
        for symbol in portfolio.held_symbols():
            positions[symbol] = str(portfolio.position(symbol))
        self.world.auditor.books(
            cash=str(portfolio.cash),
            positions=positions,
            latches=[name.value for name in portfolio.latches],
        )


class DeskClock:
    """This machine's clock: the venue's, off by the skew."""

    def __init__(self, world: "World") -> None:
        """Keep whose time it is."""
        self._world = world

    def now(self) -> datetime:
        """Give the instant as the desk's machine has it."""
        return self._world.now() + self._world.skew

    def sleep_until(self, instant: datetime, wake: Wake | None = None) -> None:
        """Let the venue play."""
        self._world.advance(instant - self._world.skew, wake)


class Wire:
    """The broker as the process reaches it."""

    def __init__(self, process: Process) -> None:
        """Keep both ends."""
        self._process = process
        self._world = process.world
        self._venue = process.world.broker
        self._unanswered: set[str] = set()  # as the live adapter remembers them, as long as it lives

    def account(self) -> BrokerAccount:
        return self._read("account", self._venue.account)

    def clock(self) -> BrokerClock:
        return self._read("clock", self._venue.clock)

    def calendar(self, start: date, end: date) -> tuple[SessionHours, ...]:
        return self._read("calendar", lambda: self._venue.calendar(start, end))

    def asset(self, symbol: str) -> Asset:
        return self._read("asset", lambda: self._venue.asset(symbol))

    def assets(self, symbols: Sequence[str]) -> Mapping[str, Asset]:
        return self._read("assets", lambda: self._venue.assets(symbols))

    def order(self, broker_order_id: str) -> BrokerOrder:
        return self._read("order", lambda: self._venue.order(broker_order_id))

    def order_by_client_id(self, client_order_id: str) -> BrokerOrder:
        return self._read("order by client id", lambda: self._venue.order_by_client_id(client_order_id))

    def open_orders(self) -> tuple[BrokerOrder, ...]:
        return self._read("open orders", self._venue.open_orders)

    def orders_since(self, after: datetime) -> tuple[BrokerOrder, ...]:
        return self._read("orders", lambda: self._venue.orders_since(after))

    def positions(self) -> tuple[BrokerPosition, ...]:
        before = self._world.lags()
        answer = self._read("positions", self._venue.positions)
        self._world.positions_asked(before)
        return answer

    def fills_since(self, after: datetime) -> tuple[BrokerFill, ...]:
        fills = self._read("executions", lambda: self._venue.fills_since(after))
        if fills and self._world.strikes("fills_doubled"):
            return (*fills, *fills[:3])
        return fills

    def submit(self, intent: OrderIntent) -> BrokerOrder:
        world = self._world
        world.auditor.sends(intent.client_order_id, holds_lease=self._process.ledger.holds_lease)
        if world.strikes("arrives_late"):
            world.tell("wire", f"order {intent.client_order_id} hangs on its way to the venue")
            world.deliver_late(intent)
            self._unanswered.add(intent.client_order_id)
            raise OutcomeUnknown("read timed out")
        try:
            return self._write(f"order {intent.client_order_id}", lambda: self._venue.submit(intent))
        except Rejected as refusal:
            if intent.client_order_id not in self._unanswered:
                raise
            raise OutcomeUnknown(f"refused ({refusal}), but an earlier send was never answered") from refusal

    def cancel(self, broker_order_id: str) -> None:
        self._world.auditor.sends("", holds_lease=self._process.ledger.holds_lease)
        self._write("cancel", lambda: self._venue.cancel(broker_order_id))

    def cancel_all(self) -> int:
        self._world.auditor.sends("", holds_lease=self._process.ledger.holds_lease)
        return self._write("cancel of everything", self._venue.cancel_all)

    def replace(self, broker_order_id: str, intent: OrderIntent) -> BrokerOrder:
        self._world.auditor.sends(intent.client_order_id, holds_lease=self._process.ledger.holds_lease)
        return self._write(
            f"replacement {intent.client_order_id}", lambda: self._venue.replace(broker_order_id, intent)
        )

    def _read(self, words: str, ask: Callable[[], Answer]) -> Answer:
        self._process.step(f"before asking for {words}")
        if self._world.is_out():
            raise BrokerUnavailable(f"{words}: no answer three times")
        try:
            answer = ask()
        except BrokerUnavailable as error:
            self._world.tell("wire", f"asking for {words}: {error}")
            raise
        self._process.step(f"after the answer to {words}")
        return answer

    def _write(self, words: str, act: Callable[[], Answer]) -> Answer:
        world = self._world
        self._process.step(f"before sending {words}")
        if world.is_out():
            world.tell("wire", f"{words}: nothing answers, the venue never saw it")
            raise OutcomeUnknown("no answer")
        try:
            answer = act()
        except BrokerError as error:
            world.tell("wire", f"{words}: {type(error).__name__}: {error}")
            self._process.step(f"after the answer to {words}")
            raise
        self._process.step(f"after the answer to {words}")
        return answer


class Ear:
    """The user stream, and a point of death after hearing something."""

    def __init__(self, process: Process) -> None:
        """Listen to the venue's own stream, which loses, repeats and reorders what the plan says."""
        self._process = process
        self._inner = process.world.broker.updates()

    def start(self) -> None:
        self._inner.start()

    def stop(self) -> None:
        self._inner.stop()

    def connections(self) -> int:
        return self._inner.connections()

    def is_listening(self) -> bool:
        return self._inner.is_listening()

    def drain(self) -> tuple[TradeUpdate, ...]:
        heard = self._inner.drain()
        if heard:
            self._process.step("after hearing the stream")
        return heard


class Ticker:
    """The market's stream; some messages are lost, and bars heard count as delivered."""

    def __init__(self, process: Process) -> None:
        """Listen to the venue's own stream, which publishes what the plan says."""
        self._process = process
        self._world = process.world
        self._inner = process.world.broker.market_stream()

    @property
    def arrived(self) -> Wake:
        return self._inner.arrived

    def start(self, wanted: Mapping[Channel, Sequence[str]]) -> None:
        self._inner.start(wanted)

    def stop(self) -> None:
        self._inner.stop()

    def connections(self) -> int:
        return self._inner.connections()

    def renew(self) -> None:
        self._inner.renew()

    def drain(self) -> tuple[StreamMessage, ...]:
        world = self._world
        heard = tuple(message for message in self._inner.drain() if not world.strikes("market_frame_lost"))
        for message in heard:
            if isinstance(message, StreamBar) and message.close is not None:
                world.delivered.add((message.symbol, message.ts, message.close))
        if heard:
            self._process.step("after hearing the market")
        return heard


class Feed:
    """Market data; what was delivered is remembered, so that nothing else can be shown to a strategy."""

    def __init__(self, world: "World") -> None:
        """Keep the source."""
        self._world = world
        self.provider = world.broker.provider
        self.feed = world.broker.feed

    def bars(self, symbols: Sequence[str], start: datetime, end: datetime) -> pl.DataFrame:
        world = self._world
        if world.is_out():
            raise BrokerUnavailable("bars: no answer three times")
        frame = world.broker.bars(symbols, start, end)
        world.delivered.update(frame.select("symbol", "ts", "close").iter_rows())
        return frame


class Recorder:
    """The warehouse as the session sees it."""

    def __init__(self, world: "World") -> None:
        """Keep whom to tell."""
        self._world = world

    def bars(self, frame: pl.DataFrame) -> None:
        self._world.count("bars kept", frame.height)

    def quarantine(self, frame: pl.DataFrame) -> None:
        self._world.count("bars refused", frame.height)

    def signals(self, frame: pl.DataFrame) -> None:
        self._world.count("signals", frame.height)

    def flush(self) -> None:
        return None


class Watched:
    """A strategy, and a look at each bar it is shown (I10); its newest are what orders are priced by."""

    def __init__(self, inner: StrategyRunner, world: "World") -> None:
        """Keep both."""
        self._inner = inner
        self._world = world

    @property
    def name(self) -> str:
        return self._inner.name

    @property
    def symbols(self) -> tuple[str, ...]:
        return self._inner.symbols

    @property
    def warm_up(self) -> int:
        return self._inner.warm_up

    def signals(self, bars: pl.DataFrame) -> pl.DataFrame:
        newest = bars["ts"].max()
        now = self._world.now()
        columns = ("symbol", "ts", "open", "high", "low", "close")
        for symbol, ts, first, high, low, last in (
            bars.filter(pl.col("ts") == newest).select(columns).iter_rows()
        ):
            sound = all(math.isfinite(price) for price in (first, high, low, last))
            self._world.auditor.saw(
                symbol=symbol,
                ts=ts.isoformat(),
                is_public=ts + MINUTE <= now and (symbol, ts, last) in self._world.delivered,
                is_sound=sound and 0 < low <= min(first, last) <= max(first, last) <= high,
            )
        for symbol, close in bars.unique("symbol", keep="last").select("symbol", "close").iter_rows():
            self._world.auditor.price(symbol, str(close))
        return self._inner.signals(bars)

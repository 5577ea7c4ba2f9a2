"""A venue that lies, in process: broker, market data, clock and user stream as a desk meets them.

`FaultyVenue` stands where `Venue` stands and does to the desk what the live adapter would make of the same
plan over HTTP: reads are tried `read_attempts` times and end as `BrokerUnavailable`; a write whose answer is
lost is `OutcomeUnknown`, done or not; a refusal is looked up under the client order id before it is believed,
and never believed of an id whose earlier send was not answered (desk/adapters/alpaca_http, alpaca_broker).
Every occasion an HTTP client would give the plan, this gives it, in the same order.

No time passes while a call hangs: the venue's clock is the desk's to move.
"""

from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from typing import TypeVar

import polars as pl

from desk.errors import BrokerUnavailable, OutcomeUnknown, Rejected
from desk.exchange.broadcast import VenueStream
from desk.exchange.faults import Mischief, Strike
from desk.exchange.faults_calls import Trouble, trouble_of
from desk.exchange.faults_feed import FeedFaults
from desk.exchange.faults_floor import FloorFaults
from desk.exchange.faults_stream import SPOILT_EVENT, SPOILT_STATUS, Cut, Frame, StreamFaults, Twist
from desk.exchange.refusals import Refusal
from desk.exchange.venue import Venue, broker_fill, broker_order, broker_position
from desk.ports import Wake
from desk.refused_id import settle_refusal
from schemas.account import Asset, BrokerAccount, BrokerClock, BrokerPosition, SessionHours
from schemas.faults import Call, FaultKind, FaultPlan
from schemas.orders import BrokerFill, BrokerOrder, OrderIntent, TradeUpdate

READ_ATTEMPTS = 3  # the adapter's default (schemas/settings.py, broker.read_attempts)
RECONNECT_S = 1.0  # the SDK's first wait is 0.5 to 1 s, and doubles (ALPACA.md section 1.1)
RECONNECT_MAX_S = 30.0
UPDATES_MAX = 100_000  # updates kept for a reader that never drains
ABOUT_STATE = frozenset({403, 422})  # refusals an order already there may have caused or hidden

T = TypeVar("T")


class FaultyVenue:
    """Broker, MarketData and Clock over a venue, with a plan in force."""

    def __init__(
        self,
        venue: Venue,
        plan: FaultPlan | Mischief,
        *,
        seed: int | None = None,
        read_attempts: int = READ_ATTEMPTS,
    ) -> None:
        """Put a plan in force on a venue.

        Args:
            venue: the venue that tells the truth.
            plan: the rules, or an engine that has them already.
            seed: decides in place of the plan's own.
            read_attempts: tries of a read, the first included.
        """
        self.venue = venue
        self.floor = venue.floor
        self.mischief = plan if isinstance(plan, Mischief) else Mischief(plan, seed=seed)
        self.faults = FloorFaults(venue.floor, self.mischief)
        self.faults.feed = FeedFaults(venue.floor, venue.broadcast)
        self.stream = self.faults.stream
        self.provider = venue.provider
        self.feed = venue.feed
        self._read_attempts = read_attempts
        self._unanswered: set[str] = set()  # client order ids; bounded by the orders of the venue

    @property
    def counts(self) -> dict[str, int]:
        """Give how often each fault was done so far."""
        return self.faults.counts()

    def take(self, plan: FaultPlan, *, seed: int | None = None) -> None:
        """Put another plan in force from now on."""
        self.faults.take(plan, seed=seed)

    def forget(self) -> None:
        """Lose what a client's process remembers of unanswered ids: another process begins."""
        self._unanswered.clear()

    def now(self) -> datetime:
        """Give the venue's time."""
        return self.floor.now

    def sleep_until(self, instant: datetime, wake: Wake | None = None) -> None:
        """Play the market up to an instant, or up to the first publication that sets `wake`."""
        self.venue.sleep_until(instant, wake)

    def updates(self) -> "FaultyUpdates":
        """Give a user stream of this venue."""
        return FaultyUpdates(self.stream, self.now)

    def market_stream(self) -> VenueStream:
        """Give a market data stream of this venue; its bars are those the plan publishes."""
        return self.venue.market_stream()

    def account(self) -> BrokerAccount:
        """Give the account. Raises BrokerUnavailable."""
        return self._read(Call.ACCOUNT, (), lambda _: self.venue.account())

    def clock(self) -> BrokerClock:
        """Give the venue's clock, skewed where the plan says so. Raises BrokerUnavailable."""

        def told(strike: Strike | None) -> BrokerClock:
            clock = self.venue.clock()
            if strike is None or strike.kind is not FaultKind.CLOCK_SKEW:
                return clock
            return clock.model_copy(update={"now": clock.now + timedelta(seconds=strike.rule.skew_s)})

        return self._read(Call.CLOCK, (), told)

    def calendar(self, start: date, end: date) -> tuple[SessionHours, ...]:
        """Give the sessions of [start, end]. Raises BrokerUnavailable."""
        return self._read(Call.CALENDAR, (), lambda _: self.venue.calendar(start, end))

    def asset(self, symbol: str) -> Asset:
        """Give a symbol's properties. Raises NotFound, BrokerUnavailable."""
        return self._read(Call.ASSETS, (symbol,), lambda _: self.venue.asset(symbol))

    def assets(self, symbols: Sequence[str]) -> dict[str, Asset]:
        """Give the properties of those symbols the venue knows. Raises BrokerUnavailable."""
        return self._read(Call.ASSETS, (), lambda _: self.venue.assets(symbols))

    def submit(self, intent: OrderIntent) -> BrokerOrder:
        """Send one order, once. Raises Rejected, OutcomeUnknown."""
        return self._once(intent, Call.SUBMIT, lambda: self.venue.submit(intent))

    def replace(self, broker_order_id: str, intent: OrderIntent) -> BrokerOrder:
        """Ask once that an intent take the place of an order. Raises Rejected, OutcomeUnknown."""
        return self._once(intent, Call.REPLACE, lambda: self.venue.replace(broker_order_id, intent))

    def cancel(self, broker_order_id: str) -> None:
        """Ask for a cancel. Raises Rejected, OutcomeUnknown."""
        symbols = self._symbols_of(broker_order_id)
        self._write(Call.CANCEL, symbols, lambda: self.venue.cancel(broker_order_id))

    def cancel_all(self) -> int:
        """Ask for a cancel of every open order. Raises Rejected, OutcomeUnknown."""
        return self._write(Call.CANCEL_ALL, (), self.venue.cancel_all)

    def order(self, broker_order_id: str) -> BrokerOrder:
        """Give an order. Raises NotFound, BrokerUnavailable."""
        symbols = self._symbols_of(broker_order_id)
        return self._read(Call.ORDER, symbols, lambda _: self.venue.order(broker_order_id))

    def order_by_client_id(self, client_order_id: str) -> BrokerOrder:
        """Give the order of a client order id. Raises NotFound, BrokerUnavailable."""
        return self._read(
            Call.ORDER_BY_CLIENT_ID, (), lambda _: self.venue.order_by_client_id(client_order_id)
        )

    def open_orders(self) -> tuple[BrokerOrder, ...]:
        """Give the open orders, oldest first. Raises BrokerUnavailable."""
        return self._read(Call.ORDERS, (), lambda _: self.venue.open_orders())

    def orders_since(self, after: datetime) -> tuple[BrokerOrder, ...]:
        """Give the orders submitted at or after an instant. Raises BrokerUnavailable."""
        return self._read(Call.ORDERS, (), lambda _: self.venue.orders_since(after))

    def positions(self) -> tuple[BrokerPosition, ...]:
        """Give the positions, old ones where the plan says so. Raises BrokerUnavailable."""

        def told(strike: Strike | None) -> tuple[BrokerPosition, ...]:
            if strike is None or strike.kind is not FaultKind.POSITIONS_LAG:
                return self.venue.positions()
            held = self.faults.holdings_at(self.floor.now - timedelta(seconds=strike.rule.delay))
            return tuple(broker_position(self.floor, holding) for holding in held)

        return self._read(Call.POSITIONS, (), told)

    def fills_since(self, after: datetime) -> tuple[BrokerFill, ...]:
        """Give the executions at or after an instant. Raises BrokerUnavailable.

        `fills_reordered` leaves no trace here: the adapter sorts what it is answered.
        """
        return self._read(Call.FILLS, (), lambda _: self.venue.fills_since(after))

    def bars(self, symbols: Sequence[str], start: datetime, end: datetime) -> pl.DataFrame:
        """Give the public minute bars with ts in [start, end). Raises BrokerUnavailable."""
        return self._read(Call.BARS, tuple(symbols), lambda _: self.venue.bars(symbols, start, end))

    def _symbols_of(self, broker_order_id: str) -> tuple[str, ...]:
        """Give the symbol of an order, if it is known."""
        found = self.floor.blotter.orders.get(broker_order_id)
        return () if found is None else (found.symbol,)

    def _read(self, call: Call, symbols: tuple[str, ...], act: Callable[[Strike | None], T]) -> T:
        """Ask up to `read_attempts` times."""
        words = ""
        for _ in range(self._read_attempts):
            strike = self.mischief.call(call, symbols, self.floor.now)
            trouble = None if strike is None else trouble_of(strike, "".join(symbols[:1]))
            if trouble is None:
                return act(strike)
            words = f"{call}: {_said(trouble)}"
            if trouble.status == 401:
                break
        raise BrokerUnavailable(words)

    def _write(self, call: Call, symbols: tuple[str, ...], act: Callable[[], T]) -> T:
        """Send once."""
        strike = self.mischief.call(call, symbols, self.floor.now)
        trouble = None if strike is None else trouble_of(strike, "".join(symbols[:1]))
        if trouble is None:
            return act()
        if trouble.refusal is not None:
            refusal = trouble.refusal
            raise Rejected(refusal.message, code=str(refusal.code), status=refusal.status)
        if trouble.status in (401, 429):
            raise Rejected(f"HTTP {trouble.status}", code=str(trouble.status), status=trouble.status)
        if trouble.lands:
            try:
                act()
            except Rejected as refused:
                raise OutcomeUnknown(f"{call}: {_said(trouble)}") from refused
        raise OutcomeUnknown(f"{call}: {_said(trouble)}")

    def _once(self, intent: OrderIntent, call: Call, act: Callable[[], BrokerOrder]) -> BrokerOrder:
        """Send an order once, remembering an id whose answer was lost."""
        client_order_id = intent.client_order_id
        try:
            order = self._settled(intent, call, act)
        except OutcomeUnknown:
            self._unanswered.add(client_order_id)
            raise
        except Rejected as refusal:
            if client_order_id in self._unanswered:
                raise OutcomeUnknown(
                    f"{client_order_id}: refused ({refusal}), but an earlier send was never answered"
                ) from refusal
            raise
        self._unanswered.discard(client_order_id)
        return order

    def _unless_taken(self, intent: OrderIntent, act: Callable[[], BrokerOrder]) -> BrokerOrder:
        """Act, unless the id is taken: `Venue` would look that up unseen, and the look-up is a call."""
        try:
            self.floor.blotter.check_unused(intent.client_order_id)
        except Refusal as taken:
            raise Rejected(taken.message, code=str(taken.code), status=taken.status) from taken
        return act()

    def _settled(self, intent: OrderIntent, call: Call, act: Callable[[], BrokerOrder]) -> BrokerOrder:
        """Send an order; look up the id of one that is refused before the refusal is believed."""
        try:
            return self._write(call, (intent.symbol,), lambda: self._unless_taken(intent, act))
        except Rejected as refusal:
            if refusal.status not in ABOUT_STATE:
                raise
            return settle_refusal(intent, refusal, self.order_by_client_id)


class FaultyUpdates:
    """The user stream in process: it loses what the plan says, and reconnects as the live adapter does."""

    def __init__(self, stream: StreamFaults, now: Callable[[], datetime]) -> None:
        """Prepare; nothing is heard before `start`."""
        self._stream = stream
        self._now = now
        self._heard: list[TradeUpdate] = []
        self._connections = 0
        self._retry_at: datetime | None = None
        self._pause_s = RECONNECT_S

    def start(self) -> None:
        """Connect; refused, it is tried again when the venue's time has moved on."""
        self._connect()

    def stop(self) -> None:
        """Listen no more."""
        self._retry_at = None
        self._stream.leave(self)

    def drain(self) -> tuple[TradeUpdate, ...]:
        """Give what was heard since the last call."""
        if self._retry_at is not None and self._retry_at <= self._now():
            self._connect()
        heard, self._heard = tuple(self._heard), []
        return heard

    def connections(self) -> int:
        """Count connections and unreadable frames; a change means updates may have been missed."""
        return self._connections

    def is_listening(self) -> bool:
        """Tell whether the connection stands."""
        return self._connections > 0 and self._retry_at is None

    def frame(self, frame: Frame) -> None:
        """Take one frame; past the bound the oldest update goes."""
        if frame.twist is Twist.EMPTY:
            self._connections += 1
            return
        if len(self._heard) >= UPDATES_MAX:
            self._heard.pop(0)
        self._heard.append(_update(frame))

    def cut(self, cause: Cut) -> None:
        """Lose the connection; the next try comes after a pause."""
        self._retry_at = self._now() + timedelta(seconds=self._pause_s)

    def _connect(self) -> None:
        """Try to connect."""
        if self._stream.admits() is None:
            self._retry_at, self._pause_s = None, RECONNECT_S
            self._connections += 1
            self._stream.listen(self)
            return
        self._retry_at = self._now() + timedelta(seconds=self._pause_s)
        self._pause_s = min(self._pause_s * 2, RECONNECT_MAX_S)


def _update(frame: Frame) -> TradeUpdate:
    """Give a frame in the desk's words."""
    told = frame.told
    order = broker_order(told.order)
    if frame.twist is Twist.EVENT:
        return TradeUpdate(event=SPOILT_EVENT, order=order, fill=None, at=told.at)
    if frame.twist is Twist.STATUS:
        order = order.model_copy(update={"status": SPOILT_STATUS})
    done = told.execution
    fill = None if done is None else broker_fill(done, told.order.client_order_id)
    return TradeUpdate(event=told.event, order=order, fill=fill, at=told.at)


def _said(trouble: Trouble) -> str:
    """Name an answer in one line."""
    if trouble.refusal is not None:
        return f"HTTP {trouble.status} {trouble.refusal.code} {trouble.refusal.message}"
    if trouble.status == 0:
        return "no answer" if trouble.silent_s > 0 else "connection reset"
    if trouble.cuts_body:
        return "the answer is no JSON"
    return f"HTTP {trouble.status}"

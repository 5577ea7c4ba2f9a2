"""The venue in process: broker, market data and clock of a simulated day, behind the desk's own ports.

A backtest and a simulation test hand this to the session where a live desk hands it Alpaca. It answers
at once and from the same floor that `exchange.server` puts on a socket, so a rehearsal over HTTP and a
backtest of the same day give the same fills.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import takewhile

import polars as pl

from desk.errors import NotFound, Rejected
from desk.exchange.books import Holding
from desk.exchange.broadcast import Broadcast, VenueStream, next_publication
from desk.exchange.floor import Floor
from desk.exchange.market import Market
from desk.exchange.matching import Rules
from desk.exchange.orders import Execution, OrderRequest, ReplaceRequest, VenueEvent, VenueOrder
from desk.exchange.refusals import Refusal
from desk.hours import new_york, next_session, sessions_between
from desk.ports import Wake
from desk.refused_id import settle_refusal
from schemas.account import Asset, BrokerAccount, BrokerClock, BrokerPosition, SessionHours, Split
from schemas.bars import RAW_SCHEMA
from schemas.orders import BrokerFill, BrokerOrder, OrderClass, OrderIntent, Side, TradeUpdate

UPDATES_MAX = 100_000  # events kept for a reader that never drains: more than a session makes


class Venue:
    """Broker, MarketData and Clock over one floor."""

    feed = "sip"

    def __init__(
        self,
        market: Market,
        *,
        session_date: date,
        starts_at: datetime | None = None,
        starting_cash: Decimal = Decimal(100_000),
        rules: Rules | None = None,
        seed: int = 0,
        assets: Mapping[str, Asset] | None = None,
    ) -> None:
        """Open a venue; arguments as for `Floor`.

        Raises:
            NoBars: the date has no session or no bars.
        """
        self.floor = Floor(
            market,
            session_date=session_date,
            starts_at=starts_at,
            starting_cash=starting_cash,
            rules=rules,
            seed=seed,
            assets=assets,
        )
        self.broadcast = Broadcast(self.floor)
        self.announced: tuple[Split, ...] = ()  # known ahead; none: each is known once it was applied
        self.provider = market.provider

    def now(self) -> datetime:
        """Give the venue's time."""
        return self.floor.now

    def sleep_until(self, instant: datetime, wake: Wake | None = None) -> None:
        """Play the market up to an instant, or up to the first publication that sets `wake`."""
        if wake is None:
            self.floor.advance(instant)
            return
        while self.floor.now < instant and not wake.is_set():
            self.floor.advance(min(instant, next_publication(self.floor.now)))

    def account(self) -> BrokerAccount:
        """Give the account."""
        totals = self.floor.totals()
        return BrokerAccount(
            equity=totals.equity,
            last_equity=totals.last_equity,
            cash=totals.cash,
            buying_power=totals.buying_power,
            multiplier=totals.multiplier,
            accrued_fees=self.floor.books.accrued_fees,
            trading_blocked=self.floor.standing.trading_blocked,
            account_blocked=False,
            trade_suspended_by_user=self.floor.settings.suspend_trade,
            shorting_enabled=self.floor.shorting_enabled,
            status="ACTIVE",
        )

    def clock(self) -> BrokerClock:
        """Give the venue's clock."""
        next_open, next_close = next_edges(self.floor)
        return BrokerClock(
            now=self.floor.now, is_open=self.floor.is_open, next_open=next_open, next_close=next_close
        )

    def calendar(self, start: date, end: date) -> tuple[SessionHours, ...]:
        """Give the sessions of [start, end]; Alpaca's calendar includes the end."""
        return sessions_between(start, end + timedelta(days=1))

    def asset(self, symbol: str) -> Asset:
        """Give a symbol's properties."""
        try:
            return self.floor.asset(symbol)
        except Refusal as refusal:
            raise NotFound(refusal.message) from refusal

    def assets(self, symbols: Sequence[str]) -> dict[str, Asset]:
        """Give the properties of those symbols the venue knows."""
        known = {asset.symbol: asset for asset in self.floor.assets()}
        return {symbol: known[symbol] for symbol in symbols if symbol in known}

    def submit(self, intent: OrderIntent) -> BrokerOrder:
        """Send one order; one that exists under the intent's client order id is given, not doubled.

        Raises:
            Rejected: the venue refused it.
            OutcomeUnknown: another order has the id.
        """
        try:
            return self._whole(self.floor.submit(_request(intent)))
        except Refusal as refusal:
            return self._existing(intent, refusal)

    def replace(self, broker_order_id: str, intent: OrderIntent) -> BrokerOrder:
        """Ask that the intent take the place of a working order; give the new order.

        Raises:
            Rejected: the venue refused it; the old order is as it was.
            OutcomeUnknown: another order has the id.
        """
        trail = intent.trail_price if intent.trail_price is not None else intent.trail_percent
        request = ReplaceRequest(
            qty=intent.qty,
            time_in_force=str(intent.time_in_force),
            limit_price=intent.limit_price,
            stop_price=intent.stop_price,
            trail=trail,
            client_order_id=intent.client_order_id,
        )
        try:
            return self._whole(self.floor.replace(broker_order_id, request))
        except Refusal as refusal:
            return self._existing(intent, refusal)

    def cancel(self, broker_order_id: str) -> None:
        """Cancel an order."""
        try:
            self.floor.cancel(broker_order_id)
        except Refusal as refusal:
            raise _rejected(refusal) from refusal

    def cancel_all(self) -> int:
        """Cancel every open order."""
        return len(self.floor.cancel_all())

    def order(self, broker_order_id: str) -> BrokerOrder:
        """Give an order, its legs in it, as the live adapter asks for them."""
        try:
            return self._whole(self.floor.blotter.order(broker_order_id))
        except Refusal as refusal:
            raise NotFound(refusal.message) from refusal

    def order_by_client_id(self, client_order_id: str) -> BrokerOrder:
        """Give the order of a client order id, its legs in it, as the live adapter does."""
        try:
            return self._whole(self.floor.blotter.order_by_client_id(client_order_id))
        except Refusal as refusal:
            raise NotFound(refusal.message) from refusal

    def open_orders(self) -> tuple[BrokerOrder, ...]:
        """Give the open orders, oldest first."""
        return tuple(broker_order(order) for order in self.floor.blotter.open.values())

    def orders_since(self, after: datetime) -> tuple[BrokerOrder, ...]:
        """Give the orders submitted at or after an instant, oldest first."""
        newest = takewhile(lambda o: o.submitted_at >= after, reversed(self.floor.blotter.orders.values()))
        return tuple(reversed([broker_order(order) for order in newest]))

    def positions(self) -> tuple[BrokerPosition, ...]:
        """Give the positions, by symbol."""
        held = sorted(self.floor.books.holdings.items())
        return tuple(broker_position(self.floor, holding) for _, holding in held)

    def fills_since(self, after: datetime) -> tuple[BrokerFill, ...]:
        """Give the executions at or after an instant, oldest first."""
        newest = takewhile(lambda done: done.at >= after, reversed(self.floor.books.executions))
        return tuple(reversed([broker_fill(done, None) for done in newest]))

    def bars(self, symbols: Sequence[str], start: datetime, end: datetime) -> pl.DataFrame:
        """Give the public minute bars with ts in [start, end)."""
        frame = self.floor.bars(start, end)
        return frame.filter(pl.col("symbol").is_in(list(symbols))).select(list(RAW_SCHEMA))

    def splits(self, symbols: Sequence[str], start: date, end: date) -> tuple[Split, ...]:
        """Give the splits that were announced, else those applied, each on the New York day it was."""
        found: Sequence[Split] = self.announced or [
            Split(symbol=done.symbol, ex_date=new_york(done.at).date(), old=done.old, new=done.new)
            for done in self.floor.splits
        ]
        return tuple(each for each in found if each.symbol in symbols and start <= each.ex_date <= end)

    def trade_by_hand(
        self, *, symbol: str, side: Side, qty: Decimal, price: Decimal | None = None
    ) -> BrokerOrder:
        """Trade behind the desk's back."""
        try:
            return broker_order(self.floor.trade_by_hand(symbol, side, qty, price))
        except Refusal as refusal:
            raise _rejected(refusal) from refusal

    def updates(self) -> "VenueUpdates":
        """Give a user stream of this venue."""
        return VenueUpdates(self.floor)

    def market_stream(self) -> VenueStream:
        """Give a market data stream of this venue; nothing is heard before its `start`."""
        return VenueStream(self.broadcast)

    def _whole(self, order: VenueOrder) -> BrokerOrder:
        """Give an order with its legs in it, as the answer to sending it has them."""
        legs = tuple(broker_order(leg) for leg in self.floor.blotter.legs(order))
        return broker_order(order).model_copy(update={"legs": legs}) if legs else broker_order(order)

    def _existing(self, intent: OrderIntent, refusal: Refusal) -> BrokerOrder:
        """Give the order that has the intent's client order id already, as the live adapter does."""
        return settle_refusal(intent, _rejected(refusal), self.order_by_client_id)


class VenueUpdates:
    """The user stream in process: nothing is lost, nothing is late."""

    def __init__(self, floor: Floor) -> None:
        """Prepare; nothing is heard before `start`."""
        self._floor = floor
        self._heard: list[TradeUpdate] = []
        self._connections = 0

    def start(self) -> None:
        """Listen; a second start changes nothing."""
        if self._hear not in self._floor.listeners:
            self._floor.listeners.append(self._hear)
            self._connections += 1

    def stop(self) -> None:
        """Listen no more."""
        if self._hear in self._floor.listeners:
            self._floor.listeners.remove(self._hear)

    def drain(self) -> tuple[TradeUpdate, ...]:
        """Give what was heard since the last call."""
        heard, self._heard = tuple(self._heard), []
        return heard

    def connections(self) -> int:
        """Count the starts."""
        return self._connections

    def is_listening(self) -> bool:
        """Tell whether it was started and not stopped."""
        return self._hear in self._floor.listeners

    def _hear(self, event: VenueEvent) -> None:
        """Keep one event; past the bound the oldest goes, as a broker's stream forgets."""
        if len(self._heard) >= UPDATES_MAX:
            self._heard.pop(0)
        done = event.execution
        fill = None if done is None else broker_fill(done, event.order.client_order_id)
        self._heard.append(
            TradeUpdate(event=event.event, order=broker_order(event.order), fill=fill, at=event.at)
        )


def broker_order(order: VenueOrder) -> BrokerOrder:
    """Give an order in the desk's words."""
    return BrokerOrder(
        broker_order_id=order.order_id,
        client_order_id=order.client_order_id,
        symbol=order.symbol,
        side=order.side,
        qty=order.qty,
        filled_qty=order.filled_qty,
        filled_avg_price=order.filled_avg_price,
        order_type=str(order.order_type),
        time_in_force=str(order.time_in_force),
        limit_price=order.limit_price,
        stop_price=order.stop_price,
        status=str(order.status),
        submitted_at=order.submitted_at,
        updated_at=order.updated_at,
        replaced_by=order.replaced_by,
        replaces=order.replaces,
        message=order.reject_reason,
        order_class=order.order_class,
        trail_price=order.trail_price,
        trail_percent=order.trail_percent,
    )


def _request(intent: OrderIntent) -> OrderRequest:
    """Give an intent as the client's request."""
    is_oco = intent.order_class is OrderClass.OCO and intent.take_profit_price is not None
    return OrderRequest(
        symbol=intent.symbol,
        side=str(intent.side),
        order_type=str(intent.order_type),
        time_in_force=str(intent.time_in_force),
        qty=intent.qty,
        limit_price=None if is_oco else intent.limit_price,
        stop_price=intent.stop_price,
        extended_hours=intent.extended_hours,
        client_order_id=intent.client_order_id,
        order_class=str(intent.order_class),
        trail_price=intent.trail_price,
        trail_percent=intent.trail_percent,
        take_profit_price=intent.take_profit_price,
        stop_loss_price=intent.stop_loss_price,
        stop_loss_limit_price=intent.stop_loss_limit_price,
    )


def broker_position(floor: Floor, held: Holding) -> BrokerPosition:
    """Give a position in the desk's words, valued now."""
    mark = floor.mark(held.symbol)
    return BrokerPosition(
        symbol=held.symbol,
        qty=held.qty,
        avg_entry_price=held.avg_entry_price,
        current_price=mark,
        unrealized_pnl=None if mark is None else held.qty * mark - held.cost,
    )


def broker_fill(done: Execution, client_order_id: str | None) -> BrokerFill:
    """Give an execution in the desk's words; activities do not carry the client order id."""
    return BrokerFill(
        execution_id=done.execution_id,
        broker_order_id=done.order_id,
        client_order_id=client_order_id,
        symbol=done.symbol,
        side=done.side,
        qty=done.qty,
        price=done.price,
        cum_qty=done.cum_qty,
        filled_at=done.at,
    )


def next_edges(floor: Floor) -> tuple[datetime, datetime]:
    """Give the next open and the next close after now."""
    hours = floor.hours
    following = next_session(hours.session_date)
    next_open = hours.opens_at if floor.now < hours.opens_at else following.opens_at
    next_close = hours.closes_at if floor.now < hours.closes_at else following.closes_at
    return next_open, next_close


def _rejected(refusal: Refusal) -> Rejected:
    """Give a refusal as the desk's error."""
    return Rejected(refusal.message, code=str(refusal.code), status=refusal.status)

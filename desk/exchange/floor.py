"""The trading floor: the venue's clock, its orders, and what the market does to them.

Time moves only in `advance`, which plays prints and the session's edges in their order: at the open,
orders taken while the market was closed become working; at the close and at the end of extended hours
DAY orders expire and the day's fees are taken; at 04:00 New York the next session begins. Only symbols
with working orders are played, so a quiet minute costs nothing.

Everything is a function of market, rules, seed and the calls made: two floors given the same calls agree in
every id and instant. Instants of records are the venue's time made strictly increasing by microseconds, so
listings by time never tie.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal

import polars as pl

from desk.errors import NoBars
from desk.exchange.blotter import Blotter
from desk.exchange.books import Books, Opening, Totals
from desk.exchange.history import public_bars
from desk.exchange.market import Market, listed
from desk.exchange.matching import Print, Rules, match
from desk.exchange.orders import Execution, Ids, OrderRequest, Status, VenueEvent, VenueOrder
from desk.exchange.refusals import NOT_FOUND, UNPROCESSABLE, Draft, Refusal, Situation, admit, checked
from desk.exchange.settings import AccountSettings
from desk.exchange.tape import EXTENDED_BEFORE, Tape
from desk.fees import fees_for
from desk.hours import LAST_DAY, next_session, session_hours
from desk.money import ZERO
from schemas.account import Asset, SessionHours
from schemas.orders import OrderType, Side, TimeInForce

EXTENDED_AFTER = timedelta(hours=4)  # 20:00 New York, 17:00 on an early close
STARTS_BEFORE_OPEN = timedelta(minutes=5)  # a venue starts at 09:25 New York unless told otherwise
GTC_LIFE = timedelta(days=90)  # ALPACA.md section 2.3
MICROSECOND = timedelta(microseconds=1)

Listener = Callable[[VenueEvent], None]
ClockListener = Callable[[datetime], None]


class Floor:
    """One account trading in one market, on its own clock."""

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
        """Open the floor on a date.

        Args:
            market: the bars.
            session_date: the first session; it must have bars.
            starts_at: the clock's first instant; five minutes before the open by default.
            starting_cash: USD in the account.
            rules: spread, participation, band.
            seed: names orders and executions.
            assets: properties of symbols that differ from an ordinary share's.

        Raises:
            NoBars: the date has no session, or the market has no bars of it.
        """
        hours = session_hours(session_date)
        if hours is None:
            raise NoBars(f"{session_date} is no trading day of the New York Stock Exchange")
        self.rules = rules if rules is not None else Rules()
        self.market = market
        self.tape = Tape(market, hours, self.rules)
        if self.tape.frame.height == 0:
            raise NoBars(f"the market has no bars of {listed(list(market.symbols))} on {session_date}")
        self.now = starts_at if starts_at is not None else hours.opens_at - STARTS_BEFORE_OPEN
        self.seed = seed
        self.books = Books(starting_cash)
        self.blotter = Blotter()
        self.settings = AccountSettings()
        self.openings = [Opening.of(hours.session_date, self.books)]
        self.listeners: list[Listener] = []
        self.clocks: list[ClockListener] = []  # told the time when it has moved, before an edge acts
        self.opened_at = self.now
        self._assets = {symbol: _share(symbol) for symbol in market.symbols} | dict(assets or {})
        self._taken: dict[str, tuple[datetime, Decimal]] = {}
        self._ids = Ids(seed)
        self._event_ids = Ids(seed)
        self._last_stamp = self.now - MICROSECOND
        self._played = self.now
        self._agenda = [edge for edge in self._edges() if edge[0] > self.now]

    @property
    def hours(self) -> SessionHours:
        """Give the current session; it stays current until 04:00 New York of the next."""
        return self.tape.hours

    @property
    def is_open(self) -> bool:
        """Tell whether the regular session is on."""
        return self.hours.opens_at <= self.now < self.hours.closes_at

    def advance(self, to: datetime) -> None:
        """Play the market up to and including an instant; a past one does nothing."""
        while self._agenda and self._agenda[0][0] <= to:
            at, act = self._agenda.pop(0)
            self._play(at - MICROSECOND)
            self.now = at
            self._tell_time()
            act()
        if to > self.now:
            self._play(to)
            self.now = to
        elif to == self.now:
            self._play(to)
        self._tell_time()

    def bars(self, start: datetime, end: datetime) -> pl.DataFrame:
        """Give the public bars with ts in [start, end), earlier sessions included."""
        return public_bars(self.market, self.tape, self.now, start, end)

    def asset(self, symbol: str) -> Asset:
        """Give a symbol's properties.

        Raises:
            Refusal: 404, the venue does not know it.
        """
        found = self._assets.get(symbol)
        if found is None:
            raise Refusal(404, NOT_FOUND, f"asset not found for {symbol}")
        return found

    def assets(self) -> tuple[Asset, ...]:
        """Give every symbol's properties, by symbol."""
        return tuple(self._assets[symbol] for symbol in sorted(self._assets))

    def mark(self, symbol: str) -> Decimal | None:
        """Give the price the symbol is valued at now."""
        return self.tape.mark(symbol, self.now)

    def marks(self) -> dict[str, Decimal]:
        """Give the price of every held symbol that has one."""
        found = {symbol: self.mark(symbol) for symbol in self.books.holdings}
        return {symbol: price for symbol, price in found.items() if price is not None}

    def totals(self) -> Totals:
        """Value the account now."""
        return self.books.totals(self.marks(), reserved=self.blotter.reserved)

    @property
    def shorting_enabled(self) -> bool:
        """Tell whether the account may sell short: margin only, and not where its owner forbids it."""
        return self.books.multiplier > 1 and not self.settings.no_shorting

    def configure(self, settings: AccountSettings) -> None:
        """Put the account's settings in force, for orders that come from now on."""
        self.settings = settings
        self.books.multiplier_cap = settings.max_margin_multiplier

    def submit(self, request: OrderRequest) -> VenueOrder:
        """Take an order and give it as first answered; it may be filled by the time this returns.

        Raises:
            Refusal: the order is not taken and leaves no trace.
        """
        draft = checked(request)
        if draft.symbol not in self._assets:
            raise Refusal(422, UNPROCESSABLE, f'asset "{draft.symbol}" not found')
        self.settings.check(draft)
        self.blotter.check_unused(draft.client_order_id)
        quote = self.tape.quote(draft.symbol, self.now)
        admission = admit(
            draft,
            Situation(
                asset=self._assets[draft.symbol],
                books=self.books,
                resting=self.blotter.open_of(draft.symbol),
                buying_power=self.totals().buying_power,
                bid=None if quote is None else quote[0],
                ask=None if quote is None else quote[1],
                shorting_enabled=self.shorting_enabled,
            ),
        )
        works_now = self._trades_now(draft.extended_hours)
        taken = self._record(
            draft,
            status=Status.PENDING_NEW if works_now else Status.ACCEPTED,
            position_intent=admission.position_intent,
            reserve_price=admission.reserve_price,
        )
        self._emit(str(taken.status), taken)
        if works_now:
            self._arrive(taken)
        elif taken.time_in_force in (TimeInForce.IOC, TimeInForce.FOK):
            self._end(taken, Status.CANCELED)
        return taken

    def cancel(self, order_id: str) -> None:
        """Cancel an order; a canceled one may be canceled again.

        Raises:
            Refusal: 404 unknown, 422 filled or expired.
        """
        order = self.blotter.order(order_id)
        if order.status.is_open:
            self._end(order, Status.CANCELED)
        elif order.status is not Status.CANCELED:
            raise Refusal(422, UNPROCESSABLE, f'order is already in "{order.status}" state')

    def cancel_all(self) -> tuple[VenueOrder, ...]:
        """Cancel every open order and give them as they are then."""
        asked = tuple(self.blotter.open)
        for order_id in asked:
            self.cancel(order_id)
        return tuple(self.blotter.orders[order_id] for order_id in asked)

    def close_position(self, symbol: str, qty: Decimal | None) -> VenueOrder:
        """Send the market order that closes a position, or `qty` shares of it.

        Raises:
            Refusal: 404 no position; what `submit` raises.
        """
        held = self.books.qty(symbol)
        if held == 0:
            raise Refusal(404, NOT_FOUND, "position does not exist")
        side = Side.SELL if held > 0 else Side.BUY
        shares = abs(held) if qty is None else qty
        return self.submit(OrderRequest(symbol, str(side), "market", "day", qty=shares))

    def trade_by_hand(self, symbol: str, side: Side, qty: Decimal, price: Decimal | None) -> VenueOrder:
        """Trade at once and in full, past every rule: a person's hand at the broker.

        Raises:
            Refusal: the symbol is unknown, the quantity is not positive, or no price is known and none given.
        """
        if symbol not in self._assets:
            raise Refusal(422, UNPROCESSABLE, f'asset "{symbol}" not found')
        quote = self.tape.quote(symbol, self.now)
        if price is None and quote is None:
            raise Refusal(422, UNPROCESSABLE, f"no price of {symbol} is known yet; give one")
        request = OrderRequest(symbol, str(side), "market", "day", qty=qty, source="manual")
        order = self._record(
            checked(request),
            status=Status.NEW,
            position_intent="buy_to_open" if side is Side.BUY else "sell_to_close",
            reserve_price=ZERO,
        )
        self._emit("new", order, execution_id=self._ids.next("execution"))
        if price is None:
            assert quote is not None
            price = quote[1] if side is Side.BUY else quote[0]
        return self._execute(order, qty=qty, price=price)

    def _edges(self) -> list[tuple[datetime, Callable[[], None]]]:
        """Give the instants at which this session does something by itself."""
        hours = self.hours
        edges: list[tuple[datetime, Callable[[], None]]] = [
            (self.tape.starts_at, self._release),
            (hours.opens_at, self._release),
            (hours.closes_at, self._expire),
            (hours.closes_at + EXTENDED_AFTER, self._expire),
        ]
        if hours.session_date < LAST_DAY - timedelta(days=7):
            following = next_session(hours.session_date)
            edges.append((following.opens_at - EXTENDED_BEFORE, self._roll))
        return edges

    def _release(self) -> None:
        """Make the orders work that were taken while they could not trade."""
        for order in [o for o in self.blotter.open.values() if o.status is Status.ACCEPTED]:
            if self._trades_now(order.extended_hours):
                self._work(order)

    def _expire(self) -> None:
        """End the orders whose time has come and take the session's fees."""
        for order in [o for o in self.blotter.open.values() if o.expires_at <= self.now]:
            self._end(order, Status.EXPIRED if order.time_in_force is TimeInForce.DAY else Status.CANCELED)
        if len(self.books.accrued) > 0:
            self.books.charge_fees(
                activity_id=self._ids.next("fee"), session_date=self.hours.session_date, at=self._stamp()
            )

    def _roll(self) -> None:
        """Begin the next session."""
        self.books.start_session(self.marks())
        self.openings.append(Opening.of(next_session(self.hours.session_date).session_date, self.books))
        self.tape = Tape(self.market, next_session(self.hours.session_date), self.rules)
        self._taken.clear()
        self._agenda = self._edges()[1:]
        self._release()

    def _play(self, through: datetime) -> None:
        """Let working orders meet the prints after the last played instant, up to and including `through`."""
        met = [
            (seen.at, symbol, seen, before)
            for symbol in self.blotter.working_symbols()
            for seen, before in self.tape.prints_between(symbol, self._played, through)
        ]
        met.sort(key=lambda one: one[:2])
        for at, symbol, seen, before in met:
            self.now = at
            for order in self.blotter.working(symbol):
                self._meet(order, seen, before)
        self._played = max(self._played, through)

    def _arrive(self, order: VenueOrder) -> None:
        """Let a new order meet the live print, then rest or end by its time in force."""
        order = self._work(order)
        seen = self.tape.live(order.symbol, self.now)
        if seen is not None:
            order = self._meet(order, seen, None)
        if order.status.is_open and order.time_in_force in (TimeInForce.IOC, TimeInForce.FOK):
            self._end(order, Status.CANCELED)

    def _work(self, order: VenueOrder) -> VenueOrder:
        """Make an order working."""
        order = self.blotter.keep(replace(order, status=Status.NEW, updated_at=self._stamp()))
        self.blotter.work(order)
        self._emit("new", order, execution_id=self._ids.next("execution"))
        return order

    def _meet(self, order: VenueOrder, seen: Print, before: Print | None) -> VenueOrder:
        """Apply one print to one working order."""
        if not (seen.regular or order.extended_hours):
            return order
        taken_at, taken = self._taken.get(order.symbol, (seen.at, ZERO))
        available = seen.liquidity - (taken if taken_at == seen.at else ZERO)
        found = match(order.terms(), seen, before=before, available=available)
        if found is None or (order.time_in_force is TimeInForce.FOK and found.qty < order.remaining):
            return order
        if found.triggered and not order.triggered:
            order = self.blotter.keep(replace(order, triggered=True, updated_at=self._stamp()))
        if found.qty == 0:
            return order
        spent = seen.liquidity - available + found.qty
        self._taken[order.symbol] = (seen.at, spent)
        return self._execute(order, qty=found.qty, price=found.price)

    def _execute(self, order: VenueOrder, *, qty: Decimal, price: Decimal) -> VenueOrder:
        """Fill an order, book it and tell."""
        at = self._stamp()
        filled = self.blotter.keep(order.filled(qty=qty, price=price, at=at))
        session_date = self.hours.session_date
        done = Execution(
            execution_id=self._ids.next("execution"),
            order_id=filled.order_id,
            symbol=filled.symbol,
            side=filled.side,
            qty=qty,
            price=price,
            cum_qty=filled.filled_qty,
            leaves_qty=filled.remaining,
            order_status=filled.status,
            fee=fees_for(filled.side, qty, price, session_date),
            position_qty=self.books.position_after(symbol=filled.symbol, side=filled.side, qty=qty),
            at=at,
            session_date=session_date,
        )
        self.books.book(done)
        event = "fill" if filled.status is Status.FILLED else "partial_fill"
        self._emit(event, filled, execution_id=done.execution_id, execution=done)
        return filled

    def _end(self, order: VenueOrder, status: Status) -> None:
        """Cancel or expire an order and tell."""
        at = self._stamp()
        canceled = at if status is Status.CANCELED else None
        expired = at if status is Status.EXPIRED else None
        ended = replace(order, status=status, updated_at=at, canceled_at=canceled, expired_at=expired)
        self._emit(str(status), self.blotter.keep(ended), execution_id=self._ids.next("execution"))

    def _record(
        self, draft: Draft, *, status: Status, position_intent: str, reserve_price: Decimal
    ) -> VenueOrder:
        """Make the order of an admitted draft."""
        at = self._stamp()
        order_id = self._ids.next("order")
        client_id = draft.client_order_id if draft.client_order_id else self._ids.next("client")
        order = VenueOrder(
            order_id=order_id,
            client_order_id=client_id,
            symbol=draft.symbol,
            side=draft.side,
            qty=draft.qty,
            order_type=OrderType(draft.order_type),
            time_in_force=draft.time_in_force,
            limit_price=draft.limit_price,
            stop_price=draft.stop_price,
            extended_hours=draft.extended_hours,
            position_intent=position_intent,
            source=draft.source,
            status=status,
            created_at=at,
            submitted_at=at,
            updated_at=at,
            expires_at=self._expires_at(draft, at),
            reserve_price=reserve_price,
        )
        return self.blotter.keep(order)

    def _expires_at(self, draft: Draft, at: datetime) -> datetime:
        """Give the instant an order ends by itself."""
        if draft.time_in_force is TimeInForce.GTC:
            return at + GTC_LIFE
        after = EXTENDED_AFTER if draft.extended_hours else timedelta(0)
        if self.now < self.hours.closes_at + after:
            return self.hours.closes_at + after
        return next_session(self.hours.session_date).closes_at + after

    def _trades_now(self, extended_hours: bool) -> bool:
        """Tell whether an order works on arrival."""
        if not extended_hours:
            return self.is_open
        return self.tape.starts_at <= self.now < self.hours.closes_at + EXTENDED_AFTER

    def _emit(
        self,
        event: str,
        order: VenueOrder,
        *,
        execution_id: str | None = None,
        execution: Execution | None = None,
    ) -> None:
        """Tell the listeners."""
        if self.listeners:
            told = VenueEvent(
                event, order, order.updated_at, self._event_ids.next("event"), execution_id, execution
            )
            for listener in self.listeners:
                listener(told)

    def _tell_time(self) -> None:
        """Tell what is played beside the orders, market data among it, how far the market is."""
        for told in self.clocks:
            told(self.now)

    def _stamp(self) -> datetime:
        """Give the venue's time, later than every stamp before."""
        self._last_stamp = max(self.now, self._last_stamp + MICROSECOND)
        return self._last_stamp


def _share(symbol: str) -> Asset:
    """Give the properties of an ordinary share."""
    return Asset(
        symbol=symbol,
        tradable=True,
        fractionable=True,
        shortable=True,
        marginable=True,
        easy_to_borrow=True,
        status="active",
        exchange="NASDAQ",
    )

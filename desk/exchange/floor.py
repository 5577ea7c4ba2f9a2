"""The trading floor: one account in one market, on the venue's own clock.

Time moves only in `advance`, which plays prints and the session's edges in their order: at the open,
orders taken while the market was closed become working; at the close the closing auction is held, and then
and at the end of extended hours DAY orders expire and the day's fees are taken; at 04:00 New York the next
session begins and orders taken over night become new. Only symbols with working orders are played, so a
quiet minute costs nothing.

Everything is a function of market, rules, seed and the calls made: two floors given the same calls agree in
every id and instant. Instants of records are the venue's time made strictly increasing by microseconds, so
listings by time never tie.

The floor puts together who does the work: `lives` (the life of an order), `groups` (brackets, oco, oto),
`crossing` (orders meet prints), `asking` (cancel and replace), `hand` (acts from outside).

What a fault plan, a simulation or a test may do to a floor stands in desk/exchange/hooks.py.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal

import polars as pl

from desk.errors import NoBars
from desk.exchange.admission import Admission, Situation, Standing, admit, check_window
from desk.exchange.asking import Asking, CancelAnswer
from desk.exchange.blotter import Blotter
from desk.exchange.books import Books, Opening, Totals
from desk.exchange.crossing import Crossing, StatusListener
from desk.exchange.groups import Groups
from desk.exchange.hand import Hand
from desk.exchange.history import public_bars
from desk.exchange.hooks import Hooks
from desk.exchange.lives import EXTENDED_AFTER as EXTENDED_AFTER
from desk.exchange.lives import Listener, Lives
from desk.exchange.market import Market, listed
from desk.exchange.matching import Rules
from desk.exchange.orders import OrderRequest, ReplaceRequest, SplitDone, Status, VenueOrder
from desk.exchange.refusals import NOT_FOUND, Draft, Refusal, checked, unprocessable
from desk.exchange.settings import AccountSettings
from desk.exchange.tape import EXTENDED_BEFORE, Tape
from desk.exchange.timeline import MICROSECOND, Act, Timeline
from desk.hours import LAST_DAY, next_session, session_hours
from schemas.account import Asset, SessionHours
from schemas.orders import Side, TimeInForce

STARTS_BEFORE_OPEN = timedelta(minutes=5)  # a venue starts at 09:25 New York unless told otherwise

ClockListener = Callable[[datetime], None]


class Floor(Hooks):
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
        if not self.tape.has_bars():
            raise NoBars(f"the market has no bars of {listed(list(market.symbols))} on {session_date}")
        now = starts_at if starts_at is not None else hours.opens_at - STARTS_BEFORE_OPEN
        self.timeline = Timeline(now, hours)
        self.seed = seed
        self.books = Books(starting_cash)
        self.blotter = Blotter()
        self.settings = AccountSettings()
        self.standing = Standing()
        self.openings = [Opening.of(hours.session_date, self.books)]
        self.splits: list[SplitDone] = []
        self.clocks: list[ClockListener] = []  # told the time when it has moved, before an edge acts
        self.arrival_takes = timedelta(0)
        self.opened_at = now
        self._assets = {symbol: _share(symbol) for symbol in market.symbols} | dict(assets or {})
        self.parked: list[Status] = []
        self.lives = Lives(
            timeline=self.timeline, blotter=self.blotter, books=self.books, seed=seed, rules=self.rules
        )
        self.groups = Groups(self.lives)
        self.crossing = Crossing(self.lives, self.groups, self.tape)
        self.asking = Asking(self.lives, self.groups, self.crossing, self._admit)
        self.hand = Hand(self.lives, self.crossing)
        for at, act in self._edges():
            if at > now:
                self.timeline.at(at, act)

    @property
    def now(self) -> datetime:
        """Give the venue's time."""
        return self.timeline.now

    @property
    def hours(self) -> SessionHours:
        """Give the current session; it stays current until 04:00 New York of the next."""
        return self.timeline.hours

    @property
    def is_open(self) -> bool:
        """Tell whether the regular session is on."""
        return self.timeline.is_open

    @property
    def listeners(self) -> list[Listener]:
        """Give who hears the events of orders; add to it to listen."""
        return self.lives.listeners

    @property
    def status_listeners(self) -> list[StatusListener]:
        """Give who hears of halts; add to it to listen."""
        return self.crossing.status_listeners

    def advance(self, to: datetime) -> None:
        """Play the market up to and including an instant; a past one does nothing."""
        while (due := self.timeline.next_due(to)) is not None:
            if due > self.now:
                self.crossing.play(due - MICROSECOND)
                self.timeline.now = due
                self._tell_time()
            self.timeline.pop()()
        if to >= self.now:
            self.crossing.play(to)
            self.timeline.now = to
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
        return self.tape.mark(symbol, self.crossing.seen_at(symbol))

    def marks(self) -> dict[str, Decimal]:
        """Give the price of every held symbol that has one."""
        held = self.books.holdings
        if not self.crossing.halted:
            return self.tape.marks(held, self.now)
        found = {symbol: self.mark(symbol) for symbol in held}
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
            raise unprocessable(f'asset "{draft.symbol}" not found')
        self.settings.check(draft)
        self.blotter.check_unused(draft.client_order_id)
        check_window(draft.time_in_force, self.now, self.hours)
        admission = self._admit(draft, None)
        works_now = self.crossing.trades_now(draft.symbol, extended_hours=draft.extended_hours)
        status = Status.PENDING_NEW if works_now else Status.ACCEPTED
        parked = bool(self.parked)
        if parked:
            status = self.parked.pop(0)
        taken = self.lives.record(draft, admission, status=status)
        if draft.order_class != "":
            taken = self.groups.record_legs(taken, draft)
        self.lives.emit(str(taken.status), taken)
        if parked:
            return taken
        if works_now and self.arrival_takes > timedelta(0):
            self.timeline.at(self.now + self.arrival_takes, lambda: self.crossing.arrive(taken.order_id))
        elif works_now:
            self.crossing.arrive(taken.order_id)
        elif taken.time_in_force in (TimeInForce.IOC, TimeInForce.FOK):
            self.lives.end(taken, Status.CANCELED)
        return taken

    def replace(self, order_id: str, request: ReplaceRequest) -> VenueOrder:
        """Ask that an order be replaced and give the NEW order as first answered (see `Asking.replace`).

        Raises:
            Refusal: the order cannot be replaced, or not so; it is as it was.
        """
        return self.asking.replace(order_id, request)

    def cancel(self, order_id: str) -> None:
        """Ask for a cancel; a canceled order may be canceled again.

        Raises:
            Refusal: 404 unknown, 422 ended otherwise or being replaced.
        """
        self.asking.cancel(order_id)

    def cancel_all(self) -> tuple[CancelAnswer, ...]:
        """Ask for a cancel of every open order and give each as it is then."""
        return self.asking.cancel_all()

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
            raise unprocessable(f'asset "{symbol}" not found')
        if price is None:
            quote = self._quote(symbol)
            if quote is None:
                raise unprocessable(f"no price of {symbol} is known yet; give one")
            price = quote[1] if side is Side.BUY else quote[0]
        request = OrderRequest(symbol, str(side), "market", "day", qty=qty, source="manual")
        return self.hand.trade(request, price=price)

    def go_on(self, market: Market, symbols: Sequence[str] = ()) -> None:
        """Play another market's bars from the next session on.

        Args:
            market: the bars.
            symbols: that may be traded, bars or not; these and the market's new ones are ordinary shares.
        """
        self.market = market
        self._assets = {symbol: _share(symbol) for symbol in (*market.symbols, *symbols)} | self._assets

    def _edges(self) -> list[tuple[datetime, Act]]:
        """Give the instants at which this session does something by itself."""
        hours = self.hours
        edges: list[tuple[datetime, Act]] = [
            (self.tape.starts_at, self.crossing.route),
            (hours.opens_at, self.crossing.release),
            (hours.closes_at, self._close),
            (hours.closes_at + EXTENDED_AFTER, self._close),
        ]
        if hours.session_date < LAST_DAY - timedelta(days=7):
            following = next_session(hours.session_date)
            edges.append((following.opens_at - EXTENDED_BEFORE, self._roll))
        return edges

    def _close(self) -> None:
        """End what ends now and take the session's fees."""
        self.crossing.close()
        if len(self.books.accrued) > 0:
            self.books.charge_fees(
                activity_id=self.lives.ids.next("fee"),
                session_date=self.hours.session_date,
                at=self.timeline.stamp(),
                in_cents=self.rules.fees_in_cents,
            )

    def _roll(self) -> None:
        """Begin the next session."""
        self.books.start_session(self.marks())
        hours = next_session(self.hours.session_date)
        self.openings.append(Opening.of(hours.session_date, self.books))
        self.tape = Tape(self.market, hours, self.rules)
        self.timeline.hours = hours
        self.crossing.begin(self.tape)
        for at, act in self._edges()[1:]:
            self.timeline.at(at, act)
        self.crossing.route()

    def _admit(self, draft: Draft, instead_of: VenueOrder | None) -> Admission:
        """Judge a draft now, in the place of an open order or as a new one."""
        totals = self.totals()
        freed = Decimal(0) if instead_of is None else instead_of.reserved
        quote = self._quote(draft.symbol)
        others = self.blotter.open_of(draft.symbol)
        if instead_of is not None:
            others = tuple(o for o in others if o.order_id != instead_of.order_id)
        return admit(
            draft,
            Situation(
                asset=self._assets[draft.symbol],
                books=self.books,
                standing=self.standing,
                totals=totals,
                resting=others,
                buying_power=totals.buying_power + freed,
                price=None if quote is None else self._buying_price(draft.symbol, quote),
                bid=None if quote is None else quote[0],
                ask=None if quote is None else quote[1],
                shorting_enabled=self.shorting_enabled,
            ),
        )

    def _buying_price(self, symbol: str, quote: tuple[Decimal, Decimal]) -> Decimal:
        """Give what a share is charged at: ask in the session, midpoint around it, last trade when closed."""
        if self.is_open:
            return quote[1]
        if self.crossing.trades_now(symbol, extended_hours=True):
            return (quote[0] + quote[1]) / 2
        mark = self.mark(symbol)
        return quote[1] if mark is None else mark

    def _quote(self, symbol: str) -> tuple[Decimal, Decimal] | None:
        """Give (bid, ask) of what is known of a symbol now."""
        return self.tape.quote(symbol, self.crossing.seen_at(symbol))

    def _tell_time(self) -> None:
        """Tell what is played beside the orders, market data among it, how far the market is."""
        for told in self.clocks:
            told(self.now)


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

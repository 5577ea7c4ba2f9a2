"""A fault plan in force on a floor: what befalls market, orders, bars and the user stream.

This is the half of a plan that is the same however the venue is reached. It hangs on the floor's own hooks
and on the venue's time: moments of the plan are entries of the floor's agenda, made anew when a session
begins or another plan is taken; orders are acted on when a client asks about them. The other half, what a
client's call is answered, stands at the doors: `faults_venue` in process, `faults_http` on a socket.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from functools import partial

import polars as pl

from desk.exchange.books import Holding
from desk.exchange.faults import Mischief, Strike
from desk.exchange.faults_bars import Publication, ahead_of
from desk.exchange.faults_feed import FeedFaults
from desk.exchange.faults_stream import Cut, StreamFaults
from desk.exchange.floor import Floor
from desk.exchange.orders import Status, VenueEvent, VenueOrder
from desk.exchange.refusals import Refusal
from desk.exchange.tape import EXTENDED_BEFORE
from desk.hours import LAST_DAY, next_session
from desk.money import WHOLE_LOT
from schemas.faults import Family, FaultKind, FaultPlan, StreamName
from schemas.orders import Side

TAKEN = frozenset({"pending_new", "accepted"})  # the first event of an order
ARRIVES_AFTER = timedelta(seconds=1)  # an order to be rejected would arrive this long after that
REJECTED_BECAUSE = "order rejected by the exchange"
HISTORY_MAX = 200_000  # holdings kept to answer with old ones; the oldest half is forgotten beyond
CANCELS = (FaultKind.PENDING_CANCEL,)
CANCELS_OF_WORKING = (FaultKind.CANCEL_OF_FILLED, FaultKind.FILL_BEFORE_CANCEL_ACK, FaultKind.PENDING_CANCEL)


class FloorFaults:
    """One plan on one floor."""

    def __init__(self, floor: Floor, mischief: Mischief) -> None:
        """Hang the plan on the floor; what is past already does not happen any more."""
        self.floor = floor
        self.mischief = mischief
        self.stream = StreamFaults(mischief, lambda: floor.now)
        self.feed: FeedFaults | None = None  # of the data stream, once there is one
        self._generation = 0
        self._publication: Publication | None = None
        self._honest: pl.DataFrame | None = None  # the session's publications before any plan
        self._shares: dict[str, Decimal] = {}  # of orders whose first fill is cut
        self._cancel_takes: timedelta | None = None  # the floor's own, while ours is in its place
        self._arrival_takes: timedelta | None = None
        self._held: list[tuple[datetime, str, Holding | None]] = [
            (floor.now, symbol, holding) for symbol, holding in floor.books.holdings.items()
        ]
        floor.listeners.append(self._hear)
        floor.asking.warned.append(self._asked)
        floor.clocks.append(lambda _: self.stream.release())
        self._begin()

    def take(self, plan: FaultPlan, *, seed: int | None = None) -> None:
        """Put another plan in force; what the old one began goes on to its end, nothing new begins."""
        self.mischief.take(plan, seed=seed)
        self._begin()

    def counts(self) -> dict[str, int]:
        """Give how often each fault was done up to now, by its word."""
        self._settle()
        return self.mischief.counts

    def holdings_at(self, instant: datetime) -> tuple[Holding, ...]:
        """Give the positions as they were at an instant, by symbol."""
        found: dict[str, Holding | None] = {}
        for at, symbol, holding in self._held:
            if at > instant:
                break
            found[symbol] = holding
        return tuple(holding for _, holding in sorted(found.items()) if holding is not None)

    def refuses_data(self) -> FaultKind | None:
        """Decide about a client that connects to the data stream: None lets it in."""
        strike = self.mischief.connection(StreamName.DATA, self.floor.now)
        return None if strike is None else strike.kind

    # --- sessions and moments ---

    def _begin(self) -> None:
        """Plan what the plan does by itself in this session, and in the next when it begins."""
        self._generation += 1
        floor, mischief, generation = self.floor, self.mischief, self._generation
        floor.crossing.share_of = self._share_of if mischief.has(Family.ORDER) else None
        due = [one for one in mischief.moments(floor.hours) if one[0] >= floor.now]
        for at, strike in due:
            floor.at(at, self._act_of(strike, generation))
        frozen = [
            (at, at + timedelta(seconds=strike.rule.lasts))
            for at, strike in due
            if strike.kind is FaultKind.FEED_FROZEN
        ]
        self._settle()
        if self._honest is None and (frozen or mischief.has(Family.BAR)):
            self._honest = floor.tape.publications()
        if self._honest is not None:
            # What another plan has published stays; from now on it is this one's.
            ahead = ahead_of(floor.now)
            table = pl.concat([floor.tape.publications().filter(~ahead), self._honest.filter(ahead)])
            self._publication = Publication(table, mischief, frozen=frozen, now=floor.now)
            floor.tape.publish(self._publication.table)
        if floor.hours.session_date < LAST_DAY - timedelta(days=7):
            following = next_session(floor.hours.session_date)
            # Planned after the floor's own entry of that instant, so the session has begun by then.
            floor.at(following.opens_at - EXTENDED_BEFORE, lambda: self._begin_again(generation))

    def _settle(self) -> None:
        """Count the bars' faults that have come out."""
        if self._publication is not None:
            self._publication.settle(self.mischief, self.floor.now)

    def _begin_again(self, generation: int) -> None:
        """Begin the next session, unless another plan has planned it."""
        if generation == self._generation:
            self._settle()
            self._publication = self._honest = None
            self._begin()

    def _act_of(self, strike: Strike, generation: int) -> Callable[[], None]:
        """Give what a moment does when its time has come."""

        def act() -> None:
            if generation == self._generation and self._do(strike):
                self.mischief.note(strike.kind)

        return act

    def _do(self, strike: Strike) -> bool:
        """Do what a moment does; tell whether there was anything to do it to."""
        floor, rule = self.floor, strike.rule
        match strike.kind:
            case FaultKind.STREAM_SILENT:
                for stream in self._streams(strike):
                    stream.silence(rule.lasts)
            case FaultKind.STREAM_DISCONNECT:
                for stream in self._streams(strike):
                    stream.cut(Cut.LOST)
            case FaultKind.SLOW_CLIENT_DISCONNECT:
                for stream in self._streams(strike):
                    stream.cut(Cut.SLOW)
            case FaultKind.SYMBOL_HALTED:
                symbol = self._chosen(strike, list(floor.market.symbols))
                if symbol is None or symbol in floor.crossing.halted:
                    return False
                floor.halt(symbol)
                floor.at(floor.now + timedelta(seconds=rule.lasts), partial(floor.unhalt, symbol))
            case FaultKind.SPLIT_OVER_OPEN_ORDERS:
                symbol = self._chosen(strike, sorted({o.symbol for o in floor.blotter.open.values()}))
                if symbol is None:
                    return False
                floor.split(symbol, rule.old_shares, rule.new_shares)
                self._keep(symbol)
            case FaultKind.MANUAL_TRADE:
                return self._traded(strike)
            case FaultKind.MANUAL_CANCEL:
                orders = [o for o in floor.blotter.open.values() if rule.concerns((o.symbol,))]
                if len(orders) == 0:
                    return False
                floor.cancel_by_hand(orders[int(strike.luck * len(orders))].order_id)
            case _:
                return strike.kind is FaultKind.FEED_FROZEN
        return True

    def _streams(self, strike: Strike) -> list[StreamFaults | FeedFaults]:
        """Give the streams a rule is about."""
        found: list[StreamFaults | FeedFaults] = []
        if strike.rule.befalls_stream(StreamName.USER):
            found.append(self.stream)
        if self.feed is not None and strike.rule.befalls_stream(StreamName.DATA):
            found.append(self.feed)
        return found

    def _traded(self, strike: Strike) -> bool:
        """Trade by hand; tell whether a price was known."""
        rule = strike.rule
        held = sorted(self.floor.books.holdings)
        symbol = self._chosen(strike, held if held else list(self.floor.market.symbols))
        if symbol is None:
            return False
        try:
            self.floor.trade_by_hand(symbol, rule.side, rule.qty, rule.price)
        except Refusal:
            return False  # no price of it is known yet
        return True

    def _chosen(self, strike: Strike, among: list[str]) -> str | None:
        """Choose one of the rule's symbols, or of those given where it names none."""
        named = [symbol for symbol in strike.rule.symbols if symbol in self.floor.market.symbols]
        if strike.kind is FaultKind.SPLIT_OVER_OPEN_ORDERS and named:
            named = [symbol for symbol in named if symbol in among]
            among = named
        found = named or ([] if strike.rule.symbols else among)
        return found[int(strike.luck * len(found))] if found else None

    # --- orders ---

    def _hear(self, told: VenueEvent) -> None:
        """Learn of an event before the stream does: keep positions, decide about new orders."""
        order = told.order
        if told.execution is not None:
            self._keep(order.symbol)
            share = self._shares.pop(order.order_id, Decimal(1))
            if told.event == "partial_fill" and share < 1:
                self.mischief.note(FaultKind.PARTIAL_FILLS)
        elif _is_new(told):
            self._taken(order)
        self.stream.hear(told)

    def _taken(self, order: VenueOrder) -> None:
        """Decide whether an order just taken is rejected later."""
        floor = self.floor
        if self._arrival_takes is not None:
            floor.arrival_takes, self._arrival_takes = self._arrival_takes, None
        if not self.mischief.has(Family.ORDER):
            return
        strike = self.mischief.strike((FaultKind.ASYNC_REJECT,), (order.symbol,), floor.now)
        if strike is None:
            return
        delay = timedelta(seconds=strike.rule.delay)
        self._arrival_takes = floor.arrival_takes
        floor.arrival_takes = delay + ARRIVES_AFTER
        floor.at(floor.now + delay, lambda: self._reject(order.order_id))

    def _reject(self, order_id: str) -> None:
        """Reject an order that is still open."""
        if self.floor.blotter.orders[order_id].is_open:
            self.floor.refuse_later(order_id, REJECTED_BECAUSE)

    def _asked(self, asked: str, order: VenueOrder) -> None:
        """Act on an order before a client's request about it is judged."""
        if asked == "cancel" and self._cancel_takes is not None:
            self.floor.cancel_takes, self._cancel_takes = self._cancel_takes, None
        if not self.mischief.has(Family.ORDER) or not order.is_open or order.cancel_requested_at is not None:
            return
        fills = self._fills(order)
        if asked == "replace":
            kinds: tuple[FaultKind, ...] = (FaultKind.REPLACE_LOSES_PARTIAL,) if fills else ()
        else:
            kinds = CANCELS_OF_WORKING if fills else CANCELS
        strike = self.mischief.strike(kinds, (order.symbol,), self.floor.now)
        match None if strike is None else strike.kind:
            case FaultKind.CANCEL_OF_FILLED:
                self._fill(order.order_id, whole=True)
            case FaultKind.REPLACE_LOSES_PARTIAL:
                self._fill(order.order_id, whole=False)
            case FaultKind.FILL_BEFORE_CANCEL_ACK:
                assert strike is not None
                takes, whole = timedelta(seconds=strike.rule.delay), strike.luck < 0.5
                self._lend(takes)
                self.floor.at(self.floor.now + takes / 2, lambda: self._fill(order.order_id, whole=whole))
            case FaultKind.PENDING_CANCEL:
                assert strike is not None
                self._lend(timedelta(seconds=strike.rule.delay))
            case _:
                return

    def _lend(self, takes: timedelta) -> None:
        """Let the cancel asked for now take a while; the next one takes what the floor's takes."""
        self._cancel_takes = self.floor.cancel_takes
        self.floor.cancel_takes = takes

    def _fills(self, order: VenueOrder) -> bool:
        """Tell whether an order may be filled: at work, in shares, no waiting leg, its symbol trading."""
        return (
            order.qty is not None
            and order.status.meets_market
            and order.status is not Status.HELD
            and self.floor.blotter.is_working(order.order_id)
            and order.symbol not in self.floor.crossing.halted
            and self._price(order) is not None
        )

    def _fill(self, order_id: str, *, whole: bool) -> None:
        """Fill what is left of an order, or half of it rounded down, if it is still at work."""
        order = self.floor.blotter.orders[order_id]
        price = self._price(order)
        if not order.is_open or not self.floor.blotter.is_working(order_id) or price is None:
            return
        left = order.terms().remaining
        qty = left if whole else (left / 2).quantize(WHOLE_LOT, ROUND_DOWN)
        if qty > 0:
            self.floor.lives.execute(order, qty=qty, price=price)

    def _price(self, order: VenueOrder) -> Decimal | None:
        """Give the price an order is filled at by a fault: its limit, else the far side."""
        if order.limit_price is not None:
            return order.limit_price
        quote = self.floor.tape.quote(order.symbol, self.floor.now)
        if quote is None:
            return None
        return quote[1] if order.side is Side.BUY else quote[0]

    def _share_of(self, order: VenueOrder) -> Decimal:
        """Give the share of its wish an order may get of a print: the first fill of some is cut."""
        if order.filled_qty > 0:
            return Decimal(1)
        if order.order_id not in self._shares:
            strike = self.mischief.foresee((FaultKind.PARTIAL_FILLS,), (order.symbol,), self.floor.now)
            self._shares[order.order_id] = Decimal(1) if strike is None else strike.rule.share
        share = self._shares[order.order_id]
        return share if order.terms().remaining * share >= 1 else Decimal(1)

    # --- positions as they were ---

    def _keep(self, symbol: str) -> None:
        """Keep a symbol's position as it is now."""
        if len(self._held) >= HISTORY_MAX:
            self._held = self._held[HISTORY_MAX // 2 :]
        self._held.append((self.floor.now, symbol, self.floor.books.holdings.get(symbol)))


def _is_new(told: VenueEvent) -> bool:
    """Tell whether an event is the first of a client's own new order."""
    order = told.order
    own = order.source != "manual" and order.replaces is None and order.parent_id is None
    return told.event in TAKEN and own and order.created_at == told.at

"""Where working orders meet the market: prints, auctions, halts, and the session's edges.

Only symbols with working orders are played. What one print gives is shared by all orders of the account,
oldest first. While a symbol is halted its prints pass by unseen: working orders stay as they are, new ones
wait as `accepted` until trading goes on.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from desk.exchange.groups import Groups
from desk.exchange.lives import EXTENDED_AFTER, Lives
from desk.exchange.matching import Print, auction, match
from desk.exchange.orders import HaltNotice, Status, VenueOrder
from desk.exchange.tape import Tape
from desk.exchange.timeline import MICROSECOND
from desk.money import ZERO
from schemas.orders import OrderType, Side, TimeInForce

StatusListener = Callable[[HaltNotice], None]


class Crossing:
    """Lets the orders of one account meet one session's tape at a time."""

    def __init__(self, lives: Lives, groups: Groups, tape: Tape) -> None:
        """Begin with a session's tape; nothing is played yet."""
        self.tape = tape
        self.halted: dict[str, HaltNotice] = {}
        self.status_listeners: list[StatusListener] = []
        self.refuse_next: list[str] = []  # reasons; each ends the next order that arrives as rejected
        self.share_of: Callable[[VenueOrder], Decimal] | None = None  # cuts what a print gives an order
        self._lives = lives
        self._groups = groups
        self._timeline = lives.timeline
        self._blotter = lives.blotter
        self._taken: dict[str, tuple[datetime, Decimal]] = {}
        self._played = lives.timeline.now

    def begin(self, tape: Tape) -> None:
        """Go on to another session's tape."""
        self.tape = tape
        self._taken.clear()

    def trades_now(self, symbol: str, *, extended_hours: bool) -> bool:
        """Tell whether an order works on arrival."""
        if symbol in self.halted:
            return False
        if not extended_hours:
            return self._timeline.is_open
        return self.tape.starts_at <= self._timeline.now < self.tape.hours.closes_at + EXTENDED_AFTER

    def seen_at(self, symbol: str) -> datetime:
        """Give the instant up to which a symbol's prints are known: now, or its halt."""
        halt = self.halted.get(symbol)
        return self._timeline.now if halt is None else halt.at

    def play(self, through: datetime) -> None:
        """Let working orders meet the prints after the last played instant, up to and including `through`."""
        met = [
            (seen.at, symbol, seen, before)
            for symbol in self._blotter.working_symbols()
            if symbol not in self.halted
            for seen, before in self.tape.prints_between(symbol, self._played, through)
        ]
        met.sort(key=lambda one: one[:2])
        for at, symbol, seen, before in met:
            self._timeline.now = at
            for order in self._blotter.working(symbol):
                # An earlier order of the same print may have ended or reduced this one.
                now = self._blotter.orders[order.order_id]
                if now.status.meets_market:
                    self.meet(now, seen, before)
        self._played = max(self._played, through)

    def arrive(self, order_id: str) -> None:
        """Let a taken order reach the market, which may reject it or be closed to it."""
        order = self._blotter.orders[order_id]
        if order.status is not Status.PENDING_NEW:
            return
        if self.refuse_next:
            self._lives.end(order, Status.REJECTED, self.refuse_next.pop(0))
            return
        if not self.trades_now(order.symbol, extended_hours=order.extended_hours):
            self._lives.change(order, "accepted", status=Status.ACCEPTED)
            self._end_immediate(order_id)
            return
        self.enter(order)

    def enter(self, order: VenueOrder) -> None:
        """Let an order work, meet the live print, and rest or end by its time in force."""
        self.meet_live(self.work(order))
        self._end_immediate(order.order_id)

    def meet_live(self, order: VenueOrder) -> None:
        """Let a new working order meet the print that can be traded on now, if any."""
        seen = self.tape.live(order.symbol, self._timeline.now)
        if seen is not None and order.symbol not in self.halted and order.status.meets_market:
            self.meet(order, seen, None)

    def work(self, order: VenueOrder, *, status: Status = Status.NEW) -> VenueOrder:
        """Make an order working, its trail set from the last price and its oco's stop beside it."""
        if order.order_type is OrderType.TRAILING_STOP and order.hwm is None and self._timeline.is_open:
            mark = self.tape.mark(order.symbol, self.seen_at(order.symbol))
            order = order if mark is None else order.trailed(mark)
        order = self._lives.work(order, status=status)
        self._groups.after_work(order)
        return self._blotter.orders[order.order_id]

    def route(self) -> None:
        """Send on what was taken over night: it is new from 04:00 New York, and trades when it may."""
        for order in [o for o in self._blotter.open.values() if o.status is Status.ACCEPTED]:
            if order.symbol not in self.halted:
                self.work(order)

    def release(self) -> None:
        """Make the orders work that were taken while they could not trade."""
        for order in [o for o in self._blotter.open.values() if o.status is Status.ACCEPTED]:
            if self.trades_now(order.symbol, extended_hours=order.extended_hours):
                self.work(order)
        for order in [o for o in self._blotter.open.values() if o.status is Status.DONE_FOR_DAY]:
            if self._timeline.is_open:
                filled = order.filled_qty > 0
                self._lives.change(order, "new", status=Status.PARTIALLY_FILLED if filled else Status.NEW)

    def close(self) -> None:
        """Hold the closing auction, then end the orders whose time has come."""
        for order in [o for o in self._blotter.open.values() if o.time_in_force is TimeInForce.CLS]:
            if order.expires_at <= self._timeline.now and order.status.meets_market:
                self._auction(order, self.tape.last(order.symbol, self._timeline.now - MICROSECOND))
        self.expire()

    def expire(self) -> None:
        """End the orders whose time has come."""
        for due in [o for o in self._blotter.open.values() if o.expires_at <= self._timeline.now]:
            order = self._blotter.orders[due.order_id]
            if order.is_open:
                is_day = order.time_in_force is TimeInForce.DAY
                self._lives.end(order, Status.EXPIRED if is_day else Status.CANCELED)

    def halt(self, symbol: str, code: str) -> None:
        """Stop a symbol's trading; a second halt changes nothing."""
        if symbol not in self.halted:
            self.halted[symbol] = HaltNotice(symbol, True, code, self._timeline.now)
            self._tell(self.halted[symbol])

    def unhalt(self, symbol: str) -> None:
        """Let a symbol trade again from its next print on; one that is not halted is left alone."""
        halt = self.halted.pop(symbol, None)
        if halt is not None:
            self._tell(HaltNotice(symbol, False, halt.code, self._timeline.now))
            self.release()

    def meet(self, order: VenueOrder, seen: Print, before: Print | None) -> VenueOrder:
        """Apply one print to one working order."""
        if order.time_in_force is TimeInForce.CLS or not (seen.regular or order.extended_hours):
            return order
        if order.time_in_force is TimeInForce.OPG:
            return self._auction(order, seen)
        available = self._available(order, seen)
        found = match(order.terms(), seen, before=before, available=available)
        if found is None or (order.time_in_force is TimeInForce.FOK and found.qty < order.remaining):
            trails = order.order_type is OrderType.TRAILING_STOP and not order.triggered
            moved = order.trailed(seen.price) if trails else order
            return order if moved is order else self._blotter.keep(moved)
        if found.triggered and not order.triggered:
            order = self._blotter.keep(replace(order, triggered=True, updated_at=self._timeline.stamp()))
        return order if found.qty == 0 else self._take(order, seen, found.qty, found.price)

    def _auction(self, order: VenueOrder, seen: Print | None) -> VenueOrder:
        """Fill an order in an auction at a print's price, and cancel what is left."""
        if seen is not None and seen.regular and order.symbol not in self.halted:
            found = auction(order.terms(), seen, available=self._available(order, seen))
            if found is not None:
                order = self._take(order, seen, found.qty, found.price)
        return self._lives.end(order, Status.CANCELED) if order.is_open else order

    def _available(self, order: VenueOrder, seen: Print) -> Decimal:
        """Give the shares a print still has for an order; a sale in USD never exceeds the position."""
        taken_at, taken = self._taken.get(order.symbol, (seen.at, ZERO))
        available = seen.liquidity - (taken if taken_at == seen.at else ZERO)
        if self.share_of is not None:
            available = min(available, order.terms().wanted(seen.price) * self.share_of(order))
        if order.qty is None and order.side is Side.SELL:
            return min(available, max(self._lives.books.qty(order.symbol), ZERO))
        return available

    def _take(self, order: VenueOrder, seen: Print, qty: Decimal, price: Decimal) -> VenueOrder:
        """Execute against a print and remember what it has given."""
        taken_at, taken = self._taken.get(order.symbol, (seen.at, ZERO))
        self._taken[order.symbol] = (seen.at, (taken if taken_at == seen.at else ZERO) + qty)
        return self._lives.execute(order, qty=qty, price=price)

    def _end_immediate(self, order_id: str) -> None:
        """Cancel what an immediate order did not get."""
        order = self._blotter.orders[order_id]
        if order.is_open and order.time_in_force in (TimeInForce.IOC, TimeInForce.FOK):
            self._lives.end(order, Status.CANCELED)

    def _tell(self, notice: HaltNotice) -> None:
        """Tell who publishes trading statuses."""
        for listener in tuple(self.status_listeners):
            listener(notice)

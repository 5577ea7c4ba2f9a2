"""What people do: at the desk's command line, at the broker's web page, and to the machine.

An operator's command appends to the ledger without the lease, as `tasks/operate.py` does; a command that
finds the disk full fails, and nothing else follows from it.
"""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from desk.desk import Desk
from desk.errors import BrokerError, LeaseHeld, LedgerUnavailable
from desk.exchange.orders import OrderRequest
from desk.exchange.refusals import Refusal
from desk.kill import latch_events
from desk.portfolio import Portfolio, replay
from desk.simulation.scenario import Act
from schemas.events import AnyEvent, BreakResolved, LatchReleased, TradingStateChanged
from schemas.orders import Side
from schemas.risk import BreakKind, TradingState

if TYPE_CHECKING:
    from desk.simulation.run import Run

PAUSE_S = (31, 90)  # longer than the lease lives
DISK_FULL_S = (5, 150)
SKEWS_S = (-4.0, -2.0, 2.0, 4.0, 20.0)  # a desk may be 5 s off at its start
RIVAL_S = (20, 200)  # how long a second session runs beside a paused one
PERSON = "simulated person"


class People:
    """Everybody who interferes."""

    def __init__(self, run: "Run") -> None:
        """Keep whose day it is."""
        self._run = run
        self.world = run.world
        self.chance = run.world.person_chance
        self._trades: list[tuple[str, Side, Decimal]] = []
        self._deeds: dict[Act, Callable[[], None]] = {
            Act.KILL: self.kill,
            Act.RESUME: self.resume,
            Act.ACCEPT: self.accept,
            Act.TRADE: self.trade,
            Act.UNDO: self.undo,
            Act.CANCEL: self.cancel,
            Act.FOREIGN_ORDER: self.order,
            Act.SECOND_SESSION: self.second_session,
            Act.PAUSE: self.pause,
            Act.DISK_FULL: self.fill_disk,
            Act.CLOCK_JUMP: self.move_clock,
        }

    def act(self, act: Act) -> None:
        """Do one thing; a refusal by ledger or broker is its end."""
        try:
            self._deeds[act]()
        except (LedgerUnavailable, BrokerError, Refusal) as error:
            self.world.tell("person", f"{act.value} failed: {error}")

    def _did(self, act: Act) -> None:
        self.world.count(f"act: {act.value}")

    # ---- at the desk -----------------------------------------------------------------------

    def kill(self) -> None:
        """Use the kill switch: the latch first; without a session, a process of its own does the rest."""
        latch, halted = latch_events(self._clock_only(), cause="a person said so", by=PERSON)
        self._did(Act.KILL)
        self.world.tell("person", "uses the kill switch")
        self.world.store.write([latch, halted], operator=True)
        if self.world.running is None:
            self._run.kill_cold()

    def resume(self) -> None:
        """Release every latch, once no break is open."""
        books = self._books()
        if books.breaks:
            self.accept()
            self.world.tell("person", "cannot resume yet: breaks were open")
        if not books.latches and books.trading_state is TradingState.ACTIVE:
            return
        now = self.world.now()
        events: list[AnyEvent] = [
            LatchReleased(at=now, name=name, by=PERSON, cause="resume") for name in books.latches
        ]
        events.append(TradingStateChanged(at=now, state=TradingState.ACTIVE, cause="resume", by=PERSON))
        self._did(Act.RESUME)
        self.world.tell("person", "resumes the desk")
        self.world.store.write(events, operator=True)

    def accept(self) -> None:
        """Accept every open break; an order by hand is canceled instead."""
        found = self._books().breaks.values()
        for item in found:
            if item.kind is BreakKind.FOREIGN_ORDER:
                self._cancel_at_venue(item.key)
        events = [
            BreakResolved(
                at=self.world.now(), break_id=item.break_id, how="accepted", by=PERSON, cause="looked at it"
            )
            for item in found
        ]
        if events:
            self._did(Act.ACCEPT)
            self.world.tell("person", f"accepts {', '.join(event.break_id for event in events)}")
            self.world.store.write(events, operator=True)

    # ---- at the broker ---------------------------------------------------------------------

    def trade(self) -> None:
        """Trade a little or a lot at the broker's web page, or close what the desk holds."""
        held = self.world.venue.floor.books.holdings
        if held and self.chance.strikes(0.5):
            symbol = self.chance.among(sorted(held))
            side = Side.SELL if held[symbol].qty > 0 else Side.BUY
            qty = abs(held[symbol].qty)
        else:
            symbol = self.chance.among(self.world.scenario.symbols)
            side = self.chance.among((Side.BUY, Side.BUY, Side.SELL))
            qty = Decimal(self.chance.among((1, 3, 50)))
        self.world.auditor.touched.add(symbol)
        self._did(Act.TRADE)
        self.world.tell("person", f"trades by hand: {side.value} {qty} {symbol}")
        self.world.venue.trade_by_hand(symbol=symbol, side=side, qty=qty, price=None)
        self._trades.append((symbol, side, qty))

    def undo(self) -> None:
        """Undo the last trade by hand, or cancel the orders by hand."""
        if self._trades:
            symbol, side, qty = self._trades.pop()
            self._did(Act.UNDO)
            self.world.tell("person", f"undoes by hand: {side.opposite.value} {qty} {symbol}")
            self.world.venue.trade_by_hand(symbol=symbol, side=side.opposite, qty=qty, price=None)
        for order in list(self.world.venue.floor.blotter.open.values()):
            if order.source == "manual":
                self._cancel_at_venue(order.order_id)

    def cancel(self) -> None:
        """Cancel one of the desk's open orders at the broker's web page."""
        orders = [o for o in self.world.venue.floor.blotter.open.values() if o.source != "manual"]
        if orders:
            order = self.chance.among(orders)
            self._did(Act.CANCEL)
            self.world.tell("person", f"cancels {order.client_order_id} by hand")
            self.world.venue.floor.cancel(order.order_id)

    def order(self) -> None:
        """Leave an order of one's own at the broker, far from the market."""
        symbol = self.chance.among(self.world.scenario.symbols)
        self._did(Act.FOREIGN_ORDER)
        self.world.tell("person", f"leaves an order by hand: buy 1 {symbol} at 0.50")
        self.world.venue.floor.submit(
            OrderRequest(
                symbol, "buy", "limit", "day", qty=Decimal(1), limit_price=Decimal("0.50"), source="manual"
            )
        )

    def _cancel_at_venue(self, order_id: str) -> None:
        try:
            self.world.venue.floor.cancel(order_id)
        except Refusal as refusal:
            self.world.tell("person", f"cannot cancel {order_id}: {refusal.message}")

    # ---- to the machine --------------------------------------------------------------------

    def second_session(self) -> None:
        """Start a second session while one runs: the lease refuses it, unless it had run out."""
        if self.world.running is None:
            return
        self._did(Act.SECOND_SESSION)
        try:
            token = self.world.store.acquire("second session")
        except LeaseHeld as error:
            self.world.tell("machine", f"a second session is refused: {error}")
            return
        self.world.tell("machine", "a second session takes the lease, which the first let run out")
        self._run.rival(token, seconds=self.chance.whole(*RIVAL_S))

    def pause(self) -> None:
        """Stop the process past its lease (SIGSTOP), let a second session begin, and wake the first."""
        if self.world.running is None:
            return
        self._did(Act.PAUSE)
        self.world.tell("machine", f"{self.world.running.name} is paused")
        self.world.venue.sleep_until(self.world.now() + timedelta(seconds=self.chance.whole(*PAUSE_S)))
        if self.chance.strikes(0.7):
            try:
                token = self.world.store.acquire("second session")
            except LeaseHeld as error:
                self.world.tell("machine", f"a second session is refused: {error}")
            else:
                self._run.rival(token, seconds=self.chance.whole(*RIVAL_S))
        self.world.tell("machine", "the paused process wakes up")

    def fill_disk(self) -> None:
        """Let the disk be full for a while."""
        self._did(Act.DISK_FULL)
        self.world.tell("machine", "the disk is full")
        self.world.store.is_full = True
        self.world.plan(
            self.world.now() + timedelta(seconds=self.chance.whole(*DISK_FULL_S)), self._empty_disk
        )

    def _empty_disk(self) -> None:
        self.world.tell("machine", "the disk has room again")
        self.world.store.is_full = False

    def move_clock(self) -> None:
        """Let the machine's clock jump."""
        self.world.skew = timedelta(seconds=self.chance.among(SKEWS_S))
        self._did(Act.CLOCK_JUMP)
        self.world.tell("machine", f"its clock jumps to {self.world.skew.total_seconds():+.0f} s")

    # ---- shared ----------------------------------------------------------------------------

    def _books(self) -> Portfolio:
        return replay(event for _, event in self.world.store.read(0))

    def _clock_only(self) -> Desk:
        """Give a desk of which only the time is asked."""
        return self._run.bare_desk()

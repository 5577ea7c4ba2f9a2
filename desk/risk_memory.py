"""What the loss limits and the protections remember, folded from the ledger (R3, R4).

Theory of operation. A loss is measured from a base: the day's, the week's, or the account's peak. A base
has two numbers, because a loss has two witnesses: what our own books were worth, and what the broker said.
They differ by cash and shares that moved at the broker and are not in our books yet (`unbooked`).

- The day's base is taken when the first session process of a date starts, the week's when the first one of
  a New York week (Monday to Sunday) does, and the peak is the highest equity any session started or any
  day closed with. None of them knows of processes, so a restart moves none of them (F6).
- What is put right in the books is neither profit nor loss: cash (`CashAdjusted`, as for a deposit) and
  shares at the price they are taken in at (`PositionAdjusted`: a transfer, an accepted break) move every
  base. What the broker's number held already when the base was taken moves our own number alone.
- When a person releases a loss latch, its base becomes the newest equity known: what happens afterwards
  counts, and the released loss does not latch again at the next minute.

Protections count closed trades and equity. A trade is a strategy's position in a symbol from flat to flat
(or through zero), its result the realized P&L less fees. What led to a pause does not lead to the next:
each protection remembers up to where it has looked (`spent`).

The ex-date of the newest split booked of each symbol is kept, so that none is booked twice (desk/splits.py).

Left out: limits and decisions, which are desk/losses.py and desk/protections.py.
"""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from desk.positions import ZERO, Position
from schemas import events as ev
from schemas.orders import Fill
from schemas.protections import LOOK_BACK_MAX_MINUTES
from schemas.record import Record
from schemas.risk import LatchName, Pause

KEPT = timedelta(minutes=LOOK_BACK_MAX_MINUTES)  # no protection looks back further

Key = tuple[str, str]  # strategy, symbol


class Base(Record):
    """Where a loss is measured from, USD."""

    own: Decimal
    broker: Decimal
    unbooked: Decimal = ZERO  # part of `broker` that our books do not have yet, signed

    def moved(self, amount: Decimal) -> "Base":
        """Give the base after our books were adjusted by a signed amount."""
        same_sign = amount * self.unbooked > 0
        known = min(abs(amount), abs(self.unbooked)) if same_sign else ZERO
        known = known if amount > 0 else -known
        return Base(
            own=self.own + amount, broker=self.broker + amount - known, unbooked=self.unbooked - known
        )


class ClosedTrade(Record):
    """A position that was left, with what it brought."""

    strategy: str
    symbol: str
    number: int  # of all trades ever closed, from 1
    closed_at: datetime
    pnl: Decimal  # after fees, USD
    stopped: bool  # left at a loss by a protective exit


class Spent(Record):
    """Up to where a protection has looked."""

    trades: int  # number of the last trade
    at: datetime


class High(Record):
    """An equity that none later has reached."""

    at: datetime
    equity: Decimal


@dataclass(slots=True)
class RiskMemory:
    """Mutated by the fold alone."""

    start: Base | None = None  # of the session date; what the day's P&L is shown from
    day: Base | None = None
    week: Base | None = None
    week_of: date | None = None  # its Monday
    peak: Base | None = None
    newest: Base | None = None  # the newest equity known
    open_pnl: dict[Key, Decimal] = field(default_factory=dict)  # realized so far of trades not closed
    trades: list[ClosedTrade] = field(default_factory=list)  # oldest first
    closed: int = 0  # trades ever closed
    highs: list[High] = field(default_factory=list)  # falling equity, rising instants
    pauses: dict[tuple[str, str], Pause] = field(default_factory=dict)  # by protection and key
    spent: dict[tuple[str, str], Spent] = field(default_factory=dict)  # likewise
    splits: dict[str, date] = field(default_factory=dict)  # by symbol, ex-date of the newest split booked

    def state(self) -> dict[str, Any]:
        """Give what belongs into the state's hash, by name."""
        return {f"risk_{name}": getattr(self, name) for name in self.__dataclass_fields__}

    # ---- bases ----------------------------------------------------------------------------

    def begin(self, e: ev.SessionStarted, *, unbooked: Decimal) -> None:
        """Take the bases of a new session date.

        Args:
            e: the first start of the date.
            unbooked: value the broker has and our books lack (open breaks), signed.
        """
        base = Base(own=e.equity - unbooked, broker=e.equity, unbooked=unbooked)
        monday = e.session_date - timedelta(days=e.session_date.weekday())
        self.start = self.day = self.newest = base
        if self.week_of != monday:
            self.week, self.week_of = base, monday
        self._raise_peak(base)
        self._forget(e.at)

    def mark(self, e: ev.MinuteClosed, *, unbooked: Decimal) -> None:
        """Note the equity of a minute; `unbooked` as in `begin`."""
        if e.broker_equity is None:
            self.newest = Base(own=e.equity, broker=e.equity)
        else:
            self.newest = Base(own=e.equity, broker=e.broker_equity, unbooked=unbooked)
        while self.highs and self.highs[-1].equity <= e.equity:
            self.highs.pop()
        self.highs.append(High(at=e.at, equity=e.equity))

    def close_day(self, e: ev.DayClosed) -> None:
        """Note the equity a day closed with; there is no open break then."""
        self._raise_peak(Base(own=e.equity, broker=e.equity))

    def adjust(self, amount: Decimal) -> None:
        """Move every base with cash or shares that were put right in the books; USD, signed."""
        self.start, self.day = _moved(self.start, amount), _moved(self.day, amount)
        self.week, self.peak = _moved(self.week, amount), _moved(self.peak, amount)
        self.newest = _moved(self.newest, amount)
        self.highs = [High(at=high.at, equity=high.equity + amount) for high in self.highs]

    def release(self, name: LatchName) -> None:
        """Measure a released loss from the newest equity on."""
        if self.newest is None:
            return
        match name:
            case LatchName.DAILY_LOSS:
                self.day = self.newest
            case LatchName.WEEKLY_LOSS:
                self.week = self.newest
            case LatchName.DRAWDOWN:
                self.peak = self.newest
            case LatchName.KILL:
                return

    def _raise_peak(self, base: Base) -> None:
        if self.peak is None or base.own > self.peak.own:
            self.peak = base

    # ---- trades and pauses ----------------------------------------------------------------

    def fill(self, fill: Fill, *, before: Position, after: Position, protective: bool) -> None:
        """Count an execution into its trade, and close the trade when the position is flat or crossed.

        The fee of the execution that closes counts to the trade it closes.

        Args:
            fill: the execution.
            before: the position it met.
            after: the position it left.
            protective: whether it was of a protective exit.
        """
        key = (fill.strategy, fill.symbol)
        pnl = self.open_pnl.pop(key, ZERO) + after.realized_pnl - before.realized_pnl - fill.fee
        is_closed = before.qty != 0 and after.qty * before.qty <= 0
        if not is_closed:
            self.open_pnl[key] = pnl
            return
        self.closed += 1
        trade = ClosedTrade(
            strategy=fill.strategy,
            symbol=fill.symbol,
            number=self.closed,
            closed_at=fill.filled_at,
            pnl=pnl,
            stopped=protective and pnl < 0,
        )
        self._forget_trades(fill.filled_at)
        self.trades.append(trade)

    def pause(self, e: ev.ProtectionSet) -> None:
        """Take in a pause; one that is longer stays as long."""
        made = Pause(
            protection=e.protection,
            scope=e.scope,
            key=e.key,
            until=e.until,
            number=e.number,
            limit=e.limit,
            cause=e.cause,
            set_at=e.at,
        )
        self._forget(e.at)
        name = (e.protection, e.key)
        self.spent[name] = Spent(trades=self.closed, at=e.at)
        if name not in self.pauses or self.pauses[name].until < made.until:
            self.pauses[name] = made

    def lift(self, e: ev.ProtectionLifted) -> None:
        """End a pause early; what led to it leads to no other."""
        self.pauses.pop((e.protection, e.key), None)
        self.spent[(e.protection, e.key)] = Spent(trades=self.closed, at=e.at)

    def _forget(self, now: datetime) -> None:
        """Drop what no protection looks at any more."""
        self.pauses = {name: pause for name, pause in self.pauses.items() if pause.until > now}
        self.spent = {name: spent for name, spent in self.spent.items() if spent.at > now - KEPT}
        self._forget_trades(now)
        self.highs = [high for high in self.highs if high.at > now - KEPT]

    def _forget_trades(self, now: datetime) -> None:
        """Drop the trades at the front that no protection looks at any more."""
        old = next(
            (n for n, trade in enumerate(self.trades) if trade.closed_at > now - KEPT), len(self.trades)
        )
        del self.trades[:old]


def _moved(base: Base | None, amount: Decimal) -> Base | None:
    return None if base is None else base.moved(amount)

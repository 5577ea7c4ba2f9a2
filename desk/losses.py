"""R3, the losses of day and week and the drawdown, and R5, what a trading state lets through.

A loss is the worse of two witnesses: our own books (realized + unrealized - fees, at the last prices) and
the broker's equity, each since its base (desk/risk_memory.py). Our books may have missed a fill; the
broker's equity may lag or be marked at another price. Whichever is worse decides.

- The day's loss is since the start of the date's first session process, the week's since that of the New
  York week's first one, in USD. The drawdown is the fall from the highest equity at a start or close of any
  day, as a share of it. A number that equals its limit latches.
- Nothing here remembers: the decision is a function of numbers that the ledger gives again after a
  restart, and of the latches already set (F6). A latch is set once and released only by a person (I7); a
  recovery of the price does not release it. A release moves the base to the equity of that moment, so the
  person grants the whole limit anew; the gate's own daily check moves with it.
- A deposit or withdrawal is no result once our books have it. Before that a withdrawal looks like a loss
  of the broker's equity and may latch, which errs on the safe side; a deposit hides nothing, because our
  own books do not have it.

Whatever latched, entries stop (REDUCING) and positions are closed.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_FLOOR, Decimal
from typing import assert_never

from desk.money import FRACTION_STEP, plain, usd
from desk.risk_memory import Base
from schemas.events import LatchSet
from schemas.orders import Purpose
from schemas.risk import Latch, LatchName, RiskLimits, TradingState

LOSS_LATCHES = frozenset({LatchName.DAILY_LOSS, LatchName.WEEKLY_LOSS, LatchName.DRAWDOWN})


@dataclass(frozen=True, slots=True)
class DayResult:
    """The day so far, USD: our own books, and the broker's equity if it was readable."""

    realized_pnl: Decimal  # since the day's start, before fees
    unrealized_pnl: Decimal  # of open positions, at the last prices
    fees: Decimal  # since the day's start, positive
    start_equity: Decimal  # the broker's at the start of the day's first session process
    equity: Decimal | None  # the broker's now; None when it could not be read

    @property
    def own_pnl(self) -> Decimal:
        """Give realized + unrealized - fees, USD."""
        return self.realized_pnl + self.unrealized_pnl - self.fees

    @property
    def broker_pnl(self) -> Decimal | None:
        """Give the change of the broker's equity, USD; None when it could not be read."""
        return None if self.equity is None else self.equity - self.start_equity

    @property
    def pnl(self) -> Decimal:
        """Give the worse of the two, USD."""
        return self.own_pnl if self.broker_pnl is None else min(self.own_pnl, self.broker_pnl)


def daily_loss(
    day: DayResult, limits: RiskLimits, *, latches: Collection[LatchName], now: datetime
) -> LatchSet | None:
    """Decide whether the day's loss latches now; a loss that equals the limit does.

    Args:
        day: The day's result by both witnesses.
        limits: `daily_loss_usd` is the limit.
        latches: Those set already; a set latch is not set again.
        now: The instant of the decision.
    """
    loss = -day.pnl
    if LatchName.DAILY_LOSS in latches or loss < limits.daily_loss_usd:
        return None
    broker = "unreadable" if day.broker_pnl is None else f"{usd(day.broker_pnl)} USD"
    return LatchSet(
        at=now,
        name=LatchName.DAILY_LOSS,
        number=loss,
        limit=limits.daily_loss_usd,
        cause=(
            f"daily loss {usd(loss)} USD reached {usd(limits.daily_loss_usd)}: "
            f"own books {usd(day.own_pnl)} USD, broker's equity {broker}"
        ),
    )


def weekly_loss(
    equity: Base, week: Base, limits: RiskLimits, *, latches: Collection[LatchName], now: datetime
) -> LatchSet | None:
    """Decide whether the week's loss latches now; arguments as for `drawdown`."""
    own, broker = equity.own - week.own, equity.broker - week.broker
    loss = -min(own, broker)
    if LatchName.WEEKLY_LOSS in latches or loss < limits.weekly_loss_usd:
        return None
    return LatchSet(
        at=now,
        name=LatchName.WEEKLY_LOSS,
        number=loss,
        limit=limits.weekly_loss_usd,
        cause=(
            f"weekly loss {usd(loss)} USD reached {usd(limits.weekly_loss_usd)}: "
            f"own books {usd(own)} USD, broker's equity {usd(broker)} USD"
        ),
    )


def drawdown(
    equity: Base, peak: Base, limits: RiskLimits, *, latches: Collection[LatchName], now: datetime
) -> LatchSet | None:
    """Decide whether the fall from the peak latches now; its number is a share of the peak.

    Args:
        equity: what the account is worth now, by both witnesses.
        peak: where the fall is measured from.
        limits: `drawdown_max_frac` is the limit.
        latches: those set already.
        now: the instant of the decision.
    """
    if LatchName.DRAWDOWN in latches or peak.own <= 0 or peak.broker <= 0:
        return None
    own, broker = 1 - equity.own / peak.own, 1 - equity.broker / peak.broker
    fall = max(own, broker)
    if fall < limits.drawdown_max_frac:
        return None
    number = fall.quantize(FRACTION_STEP, ROUND_FLOOR)
    return LatchSet(
        at=now,
        name=LatchName.DRAWDOWN,
        number=number,
        limit=limits.drawdown_max_frac,
        cause=(
            f"drawdown {plain(number)} of equity reached {plain(limits.drawdown_max_frac)}: own books "
            f"{usd(equity.own)} USD from {usd(peak.own)}, broker {usd(equity.broker)} USD from "
            f"{usd(peak.broker)}"
        ),
    )


def loss_cause(latches: Mapping[LatchName, Latch]) -> str | None:
    """Give the cause of the first loss latch that is set, or None."""
    return next((latch.cause for name, latch in latches.items() if name in LOSS_LATCHES), None)


def allowed(state: TradingState, purpose: Purpose, *, flatten: bool = False) -> bool:
    """Tell whether a trading state lets an order of this purpose through.

    Args:
        state: ACTIVE lets all through, REDUCING exits, HALTED only a flatten.
        purpose: Entry or exit.
        flatten: Whether the exit is the kill switch's, a flatten's or a position's protection.
    """
    if flatten and purpose is Purpose.EXIT:
        return True
    match state:
        case TradingState.ACTIVE:
            return True
        case TradingState.REDUCING:
            return purpose is Purpose.EXIT
        case TradingState.HALTED:
            return False
        case _:
            assert_never(state)

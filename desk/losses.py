"""R3, the daily loss, and R5, what a trading state lets through.

The day's result is the worse of two witnesses: our own books (realized + unrealized - fees) and the
broker's equity since the start of the day. Our books may have missed a fill; the broker's equity may
lag or be marked at another price. Whichever is worse decides.

Nothing here remembers: the decision is a function of numbers that the ledger gives again after a
restart, and of the latches already set (F6). A latch is set once and released only by a person (I7);
a recovery of the price does not release it. A deposit or withdrawal changes the broker's equity and
not ours; withdrawing in the session may latch, which errs on the safe side.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import assert_never

from desk.money import usd
from schemas.events import LatchSet
from schemas.orders import Purpose
from schemas.risk import LatchName, RiskLimits, TradingState


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


def allowed(state: TradingState, purpose: Purpose, *, flatten: bool = False) -> bool:
    """Tell whether a trading state lets an order of this purpose through.

    Args:
        state: ACTIVE lets all through, REDUCING exits, HALTED only the kill switch's flatten.
        purpose: Entry or exit.
        flatten: Whether the order is the kill switch's or flatten's own exit.
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

"""What the account is worth each minute, and whether that has become too little (R3).

The books are valued at the newest accepted prices and the minute is recorded; the day's loss is then
the worse of our books and the broker's equity (desk/losses.py).
"""

import logging
from datetime import date, datetime
from decimal import Decimal

from desk.cycle import Cycle
from desk.desk import Desk
from desk.losses import DayResult, daily_loss
from schemas.events import Mark, MinuteClosed, TradingStateChanged
from schemas.risk import TradingState

log = logging.getLogger(__name__)


class Valuation:
    """Marks the books once a minute."""

    def __init__(self, desk: Desk, cycle: Cycle, *, session_date: date) -> None:
        """Keep whom to ask for prices."""
        self.desk = desk
        self.cycle = cycle
        self.session_date = session_date

    def mark(self, minute: datetime) -> None:
        """Value the books at the last prices and record the minute."""
        desk, portfolio = self.desk, self.desk.portfolio
        prices = self.cycle.last_prices()
        marks = {s: prices[s] for s in portfolio.held_symbols() if s in prices}
        exposures = [
            position.qty * marks.get(symbol, position.avg_price)
            for (_, symbol), position in sorted(portfolio.holdings().items())
        ]
        net = sum(exposures, Decimal(0))
        equity = portfolio.cash + net
        realized, fees = portfolio.realized_pnl(), portfolio.fees()
        desk.journal.record(
            MinuteClosed(
                at=desk.now(),
                session_date=self.session_date,
                bar_ts=minute,
                equity=equity,
                cash=portfolio.cash,
                realized_pnl=realized,
                unrealized_pnl=equity - portfolio.equity_start - realized + fees,
                fees=fees,
                gross=sum((abs(value) for value in exposures), Decimal(0)),
                net=net,
                marks=tuple(Mark(symbol=symbol, price=price) for symbol, price in sorted(marks.items())),
            )
        )

    def hold_loss(self) -> str | None:
        """Hold the day's loss against its limit; give the cause when it latched now."""
        desk, portfolio = self.desk, self.desk.portfolio
        minute = portfolio.minute
        if minute is None:
            return None
        day = DayResult(
            realized_pnl=minute.realized_pnl,
            unrealized_pnl=minute.unrealized_pnl,
            fees=minute.fees,
            start_equity=portfolio.equity_start,
            equity=self.cycle.broker_equity(),
        )
        latch = daily_loss(day, desk.settings.risk, latches=portfolio.latches, now=desk.now())
        if latch is None:
            return None
        log.error("daily loss latched", extra={"loss": str(latch.number), "limit": str(latch.limit)})
        desk.journal.record(latch)
        if portfolio.trading_state is TradingState.ACTIVE:  # HALTED is not loosened
            desk.journal.record(
                TradingStateChanged(at=desk.now(), state=TradingState.REDUCING, cause=latch.cause, by="desk")
            )
        return latch.cause

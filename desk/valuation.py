"""What the account is worth each minute, and whether that has become too little (R3).

The books are valued at the newest accepted prices and the minute is recorded together with the broker's
own number, so that the ledger alone says what every loss is (desk/losses.py). What is held and has no bar
of ours (a person's shares, or an overnight position before its first print) is valued at the broker's price:
at cost, the gain of months would look like a loss of this minute. Only our own prices of this session are
recorded as marks, because protective exits are decided by them. A loss is looked at after each minute, and
when a session starts: what was lost overnight is known before the first entry.
"""

import logging
from datetime import date, datetime
from decimal import Decimal

from desk.cycle import Cycle
from desk.desk import Desk
from desk.errors import BrokerUnavailable
from desk.losses import DayResult, daily_loss, drawdown, weekly_loss
from schemas.events import LatchSet, Mark, MinuteClosed, TradingStateChanged
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
        try:
            self.cycle.price_unwatched()
        except BrokerUnavailable as error:
            log.warning("holdings keep the broker's last prices", extra={"cause": str(error)})
        prices, values = self.cycle.bars.last_prices(), self.cycle.values()
        marks = {
            s: prices[s] for s in portfolio.held_symbols() if s in prices and self.cycle.bars.is_todays(s)
        }
        exposures = [
            position.qty * values.get(symbol, position.avg_price)
            for (_, symbol), position in sorted(portfolio.holdings().items())
        ]
        net = sum(exposures, Decimal(0))
        equity = portfolio.cash + net
        realized, fees = portfolio.realized_pnl(), portfolio.fees()
        start = portfolio.risk.start
        assert start is not None, "a session has started"
        broker_equity = self.cycle.broker_equity()
        desk.journal.record(
            MinuteClosed(
                at=desk.now(),
                session_date=self.session_date,
                bar_ts=minute,
                equity=equity,
                cash=portfolio.cash,
                realized_pnl=realized,
                unrealized_pnl=equity - start.own - realized + fees,
                fees=fees,
                gross=sum((abs(value) for value in exposures), Decimal(0)),
                net=net,
                marks=tuple(Mark(symbol=symbol, price=price) for symbol, price in sorted(marks.items())),
                broker_equity=broker_equity,
                requests=None if desk.throttler is None else desk.throttler.used(),
                sight=self.cycle.sight(minute),
            )
        )

    def hold_loss(self) -> None:
        """Hold the losses of day and week and the drawdown against their limits; latch what reached one."""
        desk, portfolio = self.desk, self.desk.portfolio
        memory = portfolio.risk
        equity, week, peak = memory.newest, memory.week, memory.peak
        if equity is None or week is None or peak is None:
            return
        limits, now = desk.settings.risk, desk.now()
        found = (
            self._daily_loss(now),
            weekly_loss(equity, week, limits, latches=portfolio.latches, now=now),
            drawdown(equity, peak, limits, latches=portfolio.latches, now=now),
        )
        for latch in found:
            if latch is None:
                continue
            log.error(
                "loss latched",
                extra={"latch": latch.name.value, "number": str(latch.number), "limit": str(latch.limit)},
            )
            desk.journal.record(latch)
            if portfolio.trading_state is TradingState.ACTIVE:  # HALTED is not loosened
                desk.journal.record(
                    TradingStateChanged(at=now, state=TradingState.REDUCING, cause=latch.cause, by="desk")
                )

    def _daily_loss(self, now: datetime) -> LatchSet | None:
        portfolio = self.desk.portfolio
        minute, start, day = portfolio.minute, portfolio.risk.start, portfolio.risk.day
        if minute is None or start is None or day is None:
            return None
        result = DayResult(
            realized_pnl=minute.realized_pnl,
            unrealized_pnl=minute.unrealized_pnl + start.own - day.own,
            fees=minute.fees,
            start_equity=day.broker,
            equity=minute.broker_equity,
        )
        return daily_loss(result, self.desk.settings.risk, latches=portfolio.latches, now=now)

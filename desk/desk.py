"""A desk: its settings, its ports and its journal, composed once and handed to every role."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from desk.fees import ALPACA_FEES, FeeSchedule
from desk.journal import Journal
from desk.portfolio import Portfolio
from desk.ports import Broker, Clock, MarketData, MarketStream, Recorder, StrategyRunner, TradeUpdates
from desk.throttler import Throttler
from schemas.settings import Settings

REST_SLICE = timedelta(seconds=10)  # a third of the lease's life


@dataclass(frozen=True, slots=True)
class Desk:
    """What a desk is made of; both streams are None where REST alone is used (reconcile, close-day)."""

    settings: Settings
    clock: Clock
    broker: Broker
    market: MarketData
    updates: TradeUpdates | None
    journal: Journal
    recorder: Recorder
    strategies: tuple[StrategyRunner, ...]
    stream: MarketStream | None = None
    fees: FeeSchedule = ALPACA_FEES
    throttler: Throttler | None = None  # the account's budget of requests; None where nobody counts

    @property
    def portfolio(self) -> Portfolio:
        """Give the books."""
        return self.journal.portfolio

    def now(self) -> datetime:
        """Give the instant by the desk's clock."""
        return self.clock.now()

    def rest_until(self, instant: datetime) -> None:
        """Sleep in slices, keeping the account and the phase meanwhile.

        Raises:
            LeaseLost: another session has the account.
        """
        while (now := self.now()) < instant:
            self.clock.sleep_until(min(instant, now + REST_SLICE))
            self.journal.renew()

"""What an account may see of the market data: Alpaca's two plans (ALPACA.md sections 4 and 5).

Basic: SIP history up to 15 minutes ago, live data of IEX, 30 symbols on the stream. Algo Trader Plus:
everything, at once. Either has one connection to an endpoint of the stream. This venue has one tape; the feed
of a request decides what of it may be seen and which exchange letters it carries, not other bars.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

SIP_DELAY = timedelta(minutes=15)
BASIC_SYMBOLS = 30
BASIC_REQUESTS = 200  # a minute
PLUS_REQUESTS = 10_000


class Plan(StrEnum):
    """What was paid for."""

    BASIC = "basic"
    PLUS = "algo_trader_plus"


@dataclass(frozen=True, slots=True)
class DataOptions:
    """How market data is served."""

    plan: Plan = Plan.PLUS
    connections: int = 1  # authenticated ones at a time, per endpoint of the stream
    symbols_max: int | None = None  # on one connection of the stream; None is the plan's own limit

    @property
    def default_feed(self) -> str:
        """Give the feed of a request that names none: the best the plan allows."""
        return "sip" if self.plan is Plan.PLUS else "iex"

    @property
    def requests_a_minute(self) -> int:
        """Give the rate limit."""
        return PLUS_REQUESTS if self.plan is Plan.PLUS else BASIC_REQUESTS

    @property
    def symbol_limit(self) -> int | None:
        """Give how many symbols one connection may subscribe to; None is any number, `*` included."""
        if self.symbols_max is not None:
            return self.symbols_max
        return BASIC_SYMBOLS if self.plan is Plan.BASIC else None

    def streams(self, feed: str) -> bool:
        """Tell whether the plan has a feed's stream."""
        return feed != "sip" or self.plan is Plan.PLUS

    def newest(self, feed: str, now: datetime) -> datetime:
        """Give the instant up to which a feed may be seen."""
        delayed = feed == "delayed_sip" or (feed == "sip" and self.plan is Plan.BASIC)
        return now - SIP_DELAY if delayed else now

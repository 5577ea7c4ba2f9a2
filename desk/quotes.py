"""The best bid and ask of each symbol, with their age.

A quote is only as good as it is young, and half a quote is none: one that is one-sided, crossed or older than
allowed is not given, and whoever asks falls back to the last close. Prices become Decimal here, at the tick.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from desk.money import nearest_tick
from schemas.market_stream import StreamQuote

BPS = Decimal(10_000)


@dataclass(frozen=True, slots=True)
class Nbbo:
    """The national best bid and offer of a symbol; prices USD, sizes shares."""

    bid: Decimal
    ask: Decimal
    bid_size: int
    ask_size: int
    at: datetime  # the quote's own time

    @property
    def mid(self) -> Decimal:
        """Give (bid + ask) / 2, not rounded."""
        return (self.bid + self.ask) / 2

    @property
    def spread(self) -> Decimal:
        """Give ask - bid, USD."""
        return self.ask - self.bid

    @property
    def spread_bps(self) -> Decimal:
        """Give the spread in hundredths of a percent of the middle."""
        return self.spread / self.mid * BPS

    def age(self, now: datetime) -> timedelta:
        """Give how old the quote is."""
        return now - self.at


class QuoteBook:
    """The newest quote of each symbol."""

    def __init__(self) -> None:
        """Know none."""
        self._newest: dict[str, StreamQuote] = {}

    def take(self, quote: StreamQuote) -> None:
        """Keep a quote unless a newer one is here."""
        held = self._newest.get(quote.symbol)
        if held is None or quote.ts >= held.ts:
            self._newest[quote.symbol] = quote

    def nbbo(self, symbol: str, *, now: datetime, max_age: timedelta) -> Nbbo | None:
        """Give a symbol's two-sided quote, or None where it has none that is young enough."""
        quote = self._newest.get(symbol)
        if quote is None or now - quote.ts > max_age:
            return None
        if not 0 < quote.bid_price <= quote.ask_price:  # NaN compares false
            return None
        return Nbbo(
            bid=nearest_tick(quote.bid_price),
            ask=nearest_tick(quote.ask_price),
            bid_size=quote.bid_size,
            ask_size=quote.ask_size,
            at=quote.ts,
        )

    def all(self, symbols: Iterable[str], *, now: datetime, max_age: timedelta) -> Mapping[str, Nbbo]:
        """Give every symbol's quote that is young enough."""
        found = {symbol: self.nbbo(symbol, now=now, max_age=max_age) for symbol in symbols}
        return {symbol: nbbo for symbol, nbbo in found.items() if nbbo is not None}

"""The test feed: FAKEPACA, a share that trades at all hours (ALPACA.md section 5, `/v2/test`).

For clients that want to see messages arrive when the market is closed: a quote and a trade every 15 s of the
venue's time, a bar a second after every minute. Prices are a function of the instant and mean nothing.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from zlib import crc32

from desk.exchange.broadcast import Reader
from desk.exchange.floor import Floor
from desk.exchange.matching import PRINT_SPACING, PRINTS_PER_MINUTE
from desk.exchange.tape import MINUTE, PUBLISH_AFTER
from desk.exchange.ticks import trade_id
from schemas.market_stream import BarKind, StreamBar, StreamMessage, StreamQuote, StreamTrade

SYMBOL = "FAKEPACA"
BASE_CENTS = 13_400  # about what Alpaca's own shows
WIDTH_CENTS = 100
SIZE = 100
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class FakepacaFeed:
    """The test feed of one floor's clock."""

    def __init__(self, floor: Floor) -> None:
        """Listen to the floor's time."""
        self._told = floor.now
        self.readers: list[Reader] = []
        floor.clocks.append(self.tell)

    def tell(self, now: datetime) -> None:
        """Publish what is due up to and including an instant."""
        after, self._told = self._told, max(now, self._told)
        if not self.readers:
            return
        slot = _first_after(after, PRINT_SPACING, timedelta(0))
        marks = [(at, 0) for at in _every(slot, PRINT_SPACING, now)]
        minute = _first_after(after, MINUTE, PUBLISH_AFTER - MINUTE)
        marks += [(at, 1) for at in _every(minute, MINUTE, now)]
        for at, kind in sorted(marks):
            self._deliver([_bar(at - PUBLISH_AFTER)] if kind == 1 else [_quote(at), _trade(at)])

    def _deliver(self, messages: Sequence[StreamMessage]) -> None:
        """Tell the readers what they want."""
        for reader in tuple(self.readers):
            wanted = [message for message in messages if reader.subscription.wants(message)]
            if wanted:
                reader.hear(wanted)


def _price(at: datetime) -> float:
    """Give the price of an instant, USD."""
    return (BASE_CENTS + crc32(at.isoformat().encode()) % WIDTH_CENTS) / 100


def _trade(at: datetime) -> StreamTrade:
    return StreamTrade(SYMBOL, at, trade_id(SYMBOL, at), "V", _price(at), SIZE, ("@",), "C")


def _quote(at: datetime) -> StreamQuote:
    price = _price(at)
    bid, ask = round(price - 0.01, 2), round(price + 0.01, 2)
    return StreamQuote(SYMBOL, at, "V", bid, SIZE, "V", ask, SIZE, ("R",), "C")


def _bar(ts: datetime) -> StreamBar:
    """Give the bar of a minute: that of its four trades."""
    prices = [_price(ts + place * PRINT_SPACING) for place in range(PRINTS_PER_MINUTE)]
    return StreamBar(
        kind=BarKind.MINUTE,
        symbol=SYMBOL,
        ts=ts,
        open=prices[0],
        high=max(prices),
        low=min(prices),
        close=prices[-1],
        volume=SIZE * PRINTS_PER_MINUTE,
        vwap=round(sum(prices) / PRINTS_PER_MINUTE, 4),
        trade_count=PRINTS_PER_MINUTE,
    )


def _first_after(after: datetime, step: timedelta, offset: timedelta) -> datetime:
    """Give the first instant after another that lies on the grid of a step, moved by an offset."""
    count = (after - offset - EPOCH) // step
    return EPOCH + (count + 1) * step + offset


def _every(first: datetime, step: timedelta, through: datetime) -> Iterator[datetime]:
    """Give the instants of a grid up to and including the last."""
    while first <= through:
        yield first
        first += step

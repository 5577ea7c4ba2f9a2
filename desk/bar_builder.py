"""Minute bars from trades, for minutes whose own bar does not come.

Which trade counts for what is the tape's rule, by its sale conditions (UTP and CTA output specifications,
tables of sale condition eligibility, which Alpaca's bars follow): some update high and low, some the last
price, nearly all the volume; an odd lot is volume alone. The most restrictive condition of a trade decides.
A minute in which no trade may update a price has no bar. Trades are taken by their own time, once by id;
a cancellation or a correction that comes before the minute is asked for is heeded.

Only whole minutes are given: the builder knows since when it has heard without a gap. Left out: form T trades
outside the regular session, for only regular minutes are decided on.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from schemas.market_stream import BarKind, StreamBar, StreamCancel, StreamCorrection, StreamTrade

MINUTE = timedelta(minutes=1)
# Sale conditions by what a trade that carries one may not update; a code not listed updates everything.
NO_RANGE = frozenset("CHIMNQRTUVW7")  # neither high nor low: cash, odd lot, official prices, averages, ...
NO_LAST = frozenset("CGHIMNPQRTUVWZ47")  # nor the close: also out of sequence and derived prices
NO_VOLUME = frozenset("MQ9")  # official open and close: they repeat volume that was printed before
KEPT_MINUTES = 3  # a minute is asked for within seconds of its end


@dataclass(frozen=True, slots=True)
class _Print:
    ts: datetime
    price: float
    size: int
    conditions: tuple[str, ...]


class BarBuilder:
    """Trades of the last minutes, by symbol."""

    def __init__(self) -> None:
        """Have heard nothing."""
        self._prints: dict[str, dict[datetime, dict[int, _Print]]] = {}
        self._since: datetime | None = None

    def began(self, at: datetime) -> None:
        """Say since when trades are heard without a gap: at the start and after every reconnection."""
        self._since = at
        self._prints.clear()

    def take(self, message: StreamTrade | StreamCorrection | StreamCancel) -> None:
        """Take in a trade, or what became of one."""
        match message:
            case StreamTrade():
                seen = _Print(message.ts, message.price, message.size, message.conditions)
                self._minute(message.symbol, message.ts).setdefault(message.trade_id, seen)
            case StreamCancel():
                self._drop(message.symbol, message.trade_id)
            case StreamCorrection():
                was = self._drop(message.symbol, message.original_id)
                if was is not None:
                    right = _Print(
                        was.ts,
                        message.corrected_price,
                        message.corrected_size,
                        message.corrected_conditions,
                    )
                    self._minute(message.symbol, was.ts)[message.corrected_id] = right

    def bar(self, symbol: str, minute: datetime) -> StreamBar | None:
        """Give a symbol's bar of a whole minute, or None where trades make none."""
        if self._since is None or self._since > minute:
            return None
        prints = self._prints.get(symbol, {}).get(minute, {})
        ordered = sorted(prints.items(), key=lambda item: (item[1].ts, item[0]))
        return built(symbol, minute, [seen for _, seen in ordered])

    def _minute(self, symbol: str, ts: datetime) -> dict[int, _Print]:
        """Give the trades of a minute, and forget those of old minutes."""
        minutes = self._prints.setdefault(symbol, {})
        minute = ts.replace(second=0, microsecond=0)
        if minute not in minutes:
            minutes[minute] = {}
            for old in sorted(minutes)[:-KEPT_MINUTES]:
                del minutes[old]
        return minutes.get(minute, {})

    def _drop(self, symbol: str, trade_id: int) -> _Print | None:
        """Forget a trade and give it, or None where it is not known."""
        for minute in self._prints.get(symbol, {}).values():
            if trade_id in minute:
                return minute.pop(trade_id)
        return None


def built(symbol: str, minute: datetime, prints: Iterable[_Print]) -> StreamBar | None:
    """Make a bar of trades in order of time; None where none may update a price.

    VWAP = sum(price * size) / sum(size) over the trades that set the range; the count is of those that add
    to the volume.
    """
    first = high = low = last = vwap = None
    money, weight, volume, count = 0.0, 0, 0, 0
    for seen in prints:
        codes = frozenset(seen.conditions)
        if not codes & NO_VOLUME:
            volume, count = volume + seen.size, count + 1
        if not codes & NO_RANGE:
            first = seen.price if first is None else first
            high = seen.price if high is None else max(high, seen.price)
            low = seen.price if low is None else min(low, seen.price)
            money, weight = money + seen.price * seen.size, weight + seen.size
            if last is None or not codes & NO_LAST:
                last = seen.price
    if first is None or weight == 0:
        return None
    vwap = money / weight
    return StreamBar(BarKind.MINUTE, symbol, minute, first, high, low, last, volume, vwap, count)

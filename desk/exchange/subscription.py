"""Who wants to hear what: symbols by channel, as a client of the data stream states them.

Corrections and cancellations of trades follow the trades: whoever hears a symbol's trades hears those, and
they cannot be asked for alone (ALPACA.md section 5). `*` is every symbol, and is listed as such.
"""

from collections.abc import Iterable, Mapping

from schemas.market_stream import Channel, StreamMessage, channel_of

EVERY = "*"
ASKABLE = tuple(channel for channel in Channel if channel not in (Channel.CORRECTIONS, Channel.CANCEL_ERRORS))


class Subscription:
    """The set of one reader."""

    def __init__(self, wanted: Mapping[Channel, Iterable[str]] | None = None) -> None:
        """Begin with a set, by default the empty one."""
        self._wanted: dict[Channel, set[str]] = {channel: set() for channel in ASKABLE}
        for channel, symbols in (wanted or {}).items():
            self.add(channel, symbols)

    def add(self, channel: Channel, symbols: Iterable[str]) -> None:
        """Want symbols on a channel; those of corrections and cancellations follow the trades."""
        if channel in self._wanted:
            self._wanted[channel].update(symbols)

    def remove(self, channel: Channel, symbols: Iterable[str]) -> None:
        """Want symbols on a channel no more; what was not wanted changes nothing."""
        if channel in self._wanted:
            self._wanted[channel].difference_update(symbols)

    def of(self, channel: Channel) -> frozenset[str]:
        """Give the symbols wanted on a channel."""
        followed = Channel.TRADES if channel not in self._wanted else channel
        return frozenset(self._wanted[followed])

    def symbols(self) -> frozenset[str]:
        """Give every symbol wanted on any channel."""
        return frozenset().union(*self._wanted.values())

    def wants(self, message: StreamMessage) -> bool:
        """Tell whether a message is wanted."""
        channel = channel_of(message)
        wanted = self._wanted.get(channel, self._wanted[Channel.TRADES])
        return message.symbol in wanted or EVERY in wanted

    def copy(self) -> "Subscription":
        """Give a second one that wants the same."""
        return Subscription(self._wanted)

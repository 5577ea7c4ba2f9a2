"""What a fault plan does to the stock data stream: mute while open, cut, refused.

Bars that are late, missing or wrong are so wherever they are asked for (`faults_bars`). Here the stream
alone fails: REST still has what it did not tell. In process a cut reader is back `BACK_AFTER` later, and is
never refused; over HTTP the client decides when it comes back, and may be.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from desk.exchange.broadcast import Broadcast, VenueStream
from desk.exchange.faults_stream import Cut
from desk.exchange.floor import Floor
from schemas.market_stream import StreamMessage

BACK_AFTER = timedelta(seconds=1)  # the SDK's first wait is 0.5 to 1 s (ALPACA.md section 1.1)


class Sockets(Protocol):
    """The connections of a data stream on a socket."""

    def cut(self, *, slow: bool) -> None:
        """End every connection, or tell each that it is too slow and end it."""
        ...


class FeedFaults:
    """The filter of one floor's data stream."""

    def __init__(self, floor: Floor, broadcast: Broadcast, sockets: Sockets | None = None) -> None:
        """Stand between what is published and who listens.

        Args:
            floor: whose time it is.
            broadcast: the publisher.
            sockets: the connections, where there are any.
        """
        self._floor = floor
        self._broadcast = broadcast
        self._sockets = sockets
        self._silent_until: datetime | None = None
        broadcast.editors.append(self._edit)

    def silence(self, seconds: float) -> None:
        """Tell nothing for some seconds of the venue's time; what is due meanwhile is lost."""
        until = self._floor.now + timedelta(seconds=seconds)
        self._silent_until = until if self._silent_until is None else max(until, self._silent_until)

    def cut(self, cause: Cut) -> None:
        """End every connection."""
        if self._sockets is not None:
            self._sockets.cut(slow=cause is Cut.SLOW)
        for reader in tuple(self._broadcast.readers):
            if isinstance(reader, VenueStream):
                reader.stop()
                self._floor.at(self._floor.now + BACK_AFTER, _starter(reader))

    def _edit(self, at: datetime, messages: Sequence[StreamMessage]) -> Sequence[StreamMessage]:
        """Let messages pass, unless the stream is mute at their time."""
        if self._silent_until is None or self._floor.now >= self._silent_until:
            return messages
        return ()


def _starter(reader: VenueStream) -> Callable[[], None]:
    """Give the act that connects a reader again."""
    return lambda: reader.start()

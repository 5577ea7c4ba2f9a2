"""The stock data stream behind `desk.ports.MarketStream`: alpaca-py's StockDataStream, made survivable.

The stream makes bars known sooner and nothing else; whatever it loses, REST has (desk/receiver.py asks). So
its duties are those of the user stream (desk/adapters/alpaca_stream.py): never block the session, never
grow, and *say* when something may have been lost, by `connections()`.

What is done here beside what alpaca-py 0.44 does (numbers: traps of the protocol notes, 1.1):

- One thread owns the event loop (desk/adapters/stream_thread.py). No handler is run: frames are read here,
  turned into records and put into a bounded queue, a frame at a time, so whoever is woken finds the whole
  frame and not its first bar (2, 5).
- Connecting and authenticating must be done within a limit (3). A connection counts once the server has
  confirmed the subscription; what it did not confirm is logged with its names (12).
- A server that is connected and silent is asked for its subscription again, which it must confirm. No answer
  means mute, and the connection is made anew (9). The protocol's own pings find a dead peer (8). A server
  that confirms and yet sends nothing is found out by the session, which sees by REST that there were bars,
  and calls `renew`.
- Refusals (402 keys, 405 too many symbols, 406 another connection, 409 plan) are logged as errors in words,
  once each time they change, and the SDK's back-off is kept (6, 7).
"""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from alpaca.common.enums import BaseURL
from alpaca.data.enums import DataFeed
from alpaca.data.live.stock import StockDataStream
from websockets.exceptions import WebSocketException

from desk.adapters import alpaca_market_messages as messages
from desk.adapters.alpaca_login import Login, login
from desk.adapters.stream_thread import StreamThread
from desk.errors import ConfigError
from desk.ports import Wake
from schemas.market_stream import Channel, StreamBar, StreamMessage, StreamStatus
from schemas.settings import Settings

log = logging.getLogger(__name__)

QUEUE_MAX = 200_000  # messages: ten minutes of bars, quotes and trades of 500 symbols; more: nobody reads
HANDSHAKE_S = 10.0  # connect and authenticate; Alpaca needs well under one second
PROBE_ANSWER_S = 3.0  # the server has this long to confirm a subscription
PING_S = 5.0  # the SDK's default leaves a dead peer unnoticed for 210 s
CLOSE_S = 1.0  # of closing handshake; a dead peer does not answer it
SDK_QUEUE = 1024  # frames inside websockets; passing parameters replaces the SDK's own, so it is repeated
FRAME_BYTES_MAX = 16 * 2**20  # websockets' own bound of 1 MiB is less than a minute of 11,000 symbols ("*")
NAMES_SHOWN = 10  # symbols named in a log line
SUBSCRIBE = {
    Channel.BARS: "subscribe_bars",
    Channel.UPDATED_BARS: "subscribe_updated_bars",
    Channel.DAILY_BARS: "subscribe_daily_bars",
    Channel.QUOTES: "subscribe_quotes",
    Channel.TRADES: "subscribe_trades",
    Channel.STATUSES: "subscribe_trading_statuses",
}


def connect_data_stream(settings: Settings) -> "AlpacaDataStream":
    """Check the account's settings and give the stream, not yet started. Raises ConfigError."""
    account = login(settings)
    return AlpacaDataStream(
        stream_url(settings.broker.data_stream_url, account),
        feed=account.feed,
        api_key=account.api_key,
        secret_key=account.secret_key,
        probe_after_s=settings.data.stream_silence_s,
    )


def stream_url(given: str | None, account: Login) -> str:
    """Give the stream's full URL: the configured one, else that of the market data's host.

    Raises:
        ConfigError: the configured one is no ws URL.
    """
    if given is not None:
        if urlsplit(given).scheme not in ("ws", "wss"):
            raise ConfigError(f"broker.data_stream_url is {given!r}; a full ws:// or wss:// URL is needed")
        return given
    if account.data_url == str(BaseURL.DATA.value):
        return f"{BaseURL.MARKET_DATA_STREAM.value}/v2/{account.feed}"
    parts = urlsplit(account.data_url)
    scheme = "wss" if parts.scheme == "https" else "ws"
    return f"{scheme}://{parts.netloc}{parts.path}/v2/{account.feed}"


class MuteStream(WebSocketException):
    """The server is connected and says nothing when asked; the SDK's loop reconnects on this type."""


class _Connection(StockDataStream):
    """StockDataStream with a bounded start, a watchdog and frames instead of handlers."""

    def __init__(
        self,
        url: str,
        *,
        feed: str,
        api_key: str,
        secret_key: str,
        owner: "AlpacaDataStream",
        stopping: threading.Event,
        handshake_s: float,
        probe_after_s: float,
        probe_answer_s: float,
    ) -> None:
        super().__init__(
            api_key,
            secret_key,
            raw_data=True,
            feed=DataFeed(feed),
            url_override=url,
            websocket_params={
                "ping_interval": PING_S,
                "ping_timeout": PING_S,
                "close_timeout": CLOSE_S,
                "open_timeout": handshake_s,
                "max_queue": SDK_QUEUE,
                "max_size": FRAME_BYTES_MAX,
            },
        )
        self._owner = owner
        self._stopping = stopping
        self._handshake_s = handshake_s
        self._probe_after_s = probe_after_s
        self._probe_answer_s = probe_answer_s

    async def follow(self) -> None:
        """Connect, and connect again, until cancelled."""
        await self._run_forever()

    async def _start_ws(self) -> None:
        try:
            await asyncio.wait_for(super()._start_ws(), self._handshake_s)
        except TimeoutError as error:
            raise MuteStream(f"no connection within {self._handshake_s:g} s") from error
        except ValueError as error:
            self._owner.refused(str(error))
            raise

    async def _consume(self) -> bool:
        """Read frames until told to stop; the subscription was just sent and is to be confirmed."""
        is_asked = True
        socket: Any = self._ws
        # Not by cancellation alone: asyncio.wait_for of Python 3.11 swallows one that meets a frame.
        while not self._stopping.is_set():
            limit = self._probe_answer_s if is_asked else self._probe_after_s
            try:
                frame = await asyncio.wait_for(socket.recv(), limit)
            except TimeoutError as error:
                if is_asked:
                    raise MuteStream(f"silent, and no answer to a probe within {limit:g} s") from error
                await self._send_subscribe_msg()
                is_asked = True
                continue
            is_asked = False
            if self._owner.take(frame):
                self._data_received = True  # the SDK resets its back-off by this
        self._should_run = False
        return False


class AlpacaDataStream:
    """`desk.ports.MarketStream` over a WebSocket.

    Args:
        url: the full ws URL.
        feed: iex or sip.
        queue_max: messages kept for `drain`; more are dropped and shown by `connections`.
        handshake_s: limit on connecting and authenticating.
        probe_after_s: silence before the server is asked to answer.
        probe_answer_s: time it has for that answer.
    """

    def __init__(
        self,
        url: str,
        *,
        feed: str,
        api_key: str,
        secret_key: str,
        queue_max: int = QUEUE_MAX,
        handshake_s: float = HANDSHAKE_S,
        probe_after_s: float = 5.0,
        probe_answer_s: float = PROBE_ANSWER_S,
    ) -> None:
        def connect(stopping: threading.Event) -> _Connection:
            connection = _Connection(
                url,
                feed=feed,
                api_key=api_key,
                secret_key=secret_key,
                owner=self,
                stopping=stopping,
                handshake_s=handshake_s,
                probe_after_s=probe_after_s,
                probe_answer_s=probe_answer_s,
            )
            for channel, symbols in self._wanted.items():
                subscribe: Callable[..., None] = getattr(connection, SUBSCRIBE[channel])
                subscribe(_unused, *symbols)
            self._is_confirmed = False
            return connection

        self._thread = StreamThread(connect, name="alpaca-data-stream")
        self._wanted: dict[Channel, tuple[str, ...]] = {}
        self._lock = threading.Lock()
        self._queue: deque[StreamMessage] = deque()
        self._queue_max = queue_max
        self._arrived = threading.Event()
        self._connections = 0
        self._overflowed = 0
        self._is_confirmed = False
        self._refusal = ""

    @property
    def arrived(self) -> Wake:
        """Give what is set while bars or statuses wait to be drained, or the connection changed."""
        return self._arrived

    def start(self, wanted: Mapping[Channel, Sequence[str]]) -> None:
        """Connect and subscribe; a second start changes nothing.

        Raises:
            ConfigError: nothing is wanted, or a channel alpaca-py cannot subscribe to.
        """
        chosen = {channel: tuple(symbols) for channel, symbols in wanted.items() if symbols}
        foreign = sorted(set(chosen) - set(SUBSCRIBE))
        if not chosen or foreign:
            raise ConfigError(
                f"the data stream needs symbols on channels {', '.join(SUBSCRIBE)}; "
                f"got {', '.join(foreign) or 'none'}"
            )
        self._wanted = chosen
        self._thread.start()

    def stop(self) -> None:
        """Stop within a bounded time, whatever the server does; harmless when not started."""
        self._thread.stop()

    def renew(self) -> None:
        """Drop the connection and make another."""
        self._thread.renew()

    def drain(self) -> tuple[StreamMessage, ...]:
        """Give what arrived since the last call, in order of arrival, without waiting."""
        self._thread.revive()
        with self._lock:
            taken = tuple(self._queue)
            self._queue.clear()
            self._arrived.clear()
        return taken

    def connections(self) -> int:
        """Count confirmed connections, overflows and unreadable frames; a change means: ask REST."""
        with self._lock:
            return self._connections

    def overflowed(self) -> int:
        """Count the messages dropped because nobody drained."""
        with self._lock:
            return self._overflowed

    def refusal(self) -> str:
        """Give what the server said when it last refused us; empty once it has confirmed."""
        with self._lock:
            return self._refusal

    # ---- called by the connection, on its thread --------------------------------------------

    def take(self, frame: object) -> bool:
        """Read one frame and queue what it says; give whether there was market data in it."""
        try:
            rows = messages.rows_of(frame)
        except messages.Unreadable as error:
            self._unreadable(str(error))
            return False
        heard: list[StreamMessage] = []
        for row in rows:
            kind = row.get("T")
            if kind == "subscription":
                self._confirm(row)
            elif kind == "error":
                self.refused(f"{row.get('code')} {row.get('msg')}")
            elif kind != "success":
                try:
                    message = messages.message_of(row)
                except messages.Unreadable as error:
                    self._unreadable(str(error))
                    continue
                if message is not None:
                    heard.append(message)
        self._keep(heard)
        return bool(heard)

    def refused(self, cause: str) -> None:
        """Log what the server refuses, when it is news."""
        with self._lock:
            is_news, self._refusal = cause != self._refusal, cause
        if is_news:
            log.error("data stream refused", extra={"cause": cause})

    def _confirm(self, row: Mapping[str, Any]) -> None:
        """Take the server's word on what it sends; its first counts as the connection."""
        lacking = {
            channel: sorted(set(symbols) - set(messages.names_of(row.get(channel.value))))
            for channel, symbols in self._wanted.items()
        }
        for channel, symbols in lacking.items():
            if symbols:
                shown = ", ".join(symbols[:NAMES_SHOWN])
                log.error(
                    "data stream lacks symbols",
                    extra={"channel": channel.value, "count": len(symbols), "symbols": shown},
                )
        if self._is_confirmed:
            return
        self._is_confirmed = True
        with self._lock:
            self._connections += 1
            number = self._connections
            if not any(lacking.values()):
                self._refusal = ""
            self._arrived.set()
        log.info("data stream confirmed", extra={"connections": number})

    def _unreadable(self, cause: str) -> None:
        with self._lock:
            self._connections += 1
        log.warning("data stream message unreadable", extra={"cause": cause})

    def _keep(self, heard: Sequence[StreamMessage]) -> None:
        """Queue messages, all those of a frame at once; past the bound they are dropped and counted."""
        if not heard:
            return
        with self._lock:
            room = self._queue_max - len(self._queue)
            self._queue.extend(heard[:room])
            if len(heard) > room:
                self._overflowed += len(heard) - room
                self._connections += 1
            if any(isinstance(message, StreamBar | StreamStatus) for message in heard):
                self._arrived.set()


async def _unused(message: object) -> None:
    """Satisfy the SDK, which subscribes only with a handler; frames are read before it is asked."""
    log.debug("message by the SDK's way", extra={"message": repr(message)})

"""The user stream behind `desk.ports.TradeUpdates`: alpaca-py's TradingStream, made survivable.

The stream makes fills known sooner and nothing else; whatever it loses, REST finds. So its duties are:
never block the session, never grow, and *say* when something may have been lost. `connections()` is
that word: it goes up with every completed connection, and also when the queue overflowed or a
message could not be read. A session that sees it change reconciles by REST.

What alpaca-py 0.44 does by itself and what is done here (numbers: traps of the protocol notes):

- One thread owns one event loop; handlers only put the raw message into a bounded queue (2, 5).
  Messages stay raw dicts: the SDK's models drop an event for one unknown word (4). They are read in
  `drain`, on the caller's thread.
- `_start_ws` is wrapped: connecting, authenticating and the "listening" acknowledgement must be
  done within a limit, else the SDK would wait for ever for a mute server (3). The connection counts
  only once "listening" arrived, so an order sent after it cannot miss its first events (13).
- `_consume` is replaced: where nothing came for `probe_after_s`, "listen" is sent again, which the
  server acknowledges. No answer means connected but mute, and the connection is made anew (9). The
  protocol's own pings find a dead peer within seconds (8).
- The loop is stopped by a flag and by cancelling its task, at any moment, also before it runs (1, 3,
  11); `stop` waits a bounded time and the thread is a daemon.
- If the SDK's loop ends or fails by itself, it is started again after a pause; a thread that died is
  replaced by the next `drain`. The SDK's back-off between connections (0.5 s to 30 s) is kept (6, 7).
"""

import asyncio
import json
import logging
import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any

from alpaca.trading.stream import TradingStream
from websockets.exceptions import WebSocketException

from desk.adapters import alpaca_parse as parse
from desk.adapters.alpaca_login import login
from desk.adapters.stream_thread import StreamThread
from schemas.orders import TradeUpdate
from schemas.settings import Settings

log = logging.getLogger(__name__)

QUEUE_MAX = 10_000  # a busy day has some thousand events; more unread means nobody reads
DRAIN_MAX = QUEUE_MAX  # one drain cannot be kept busy by a peer that never stops talking
HANDSHAKE_S = 10.0  # connect, authenticate and listen; Alpaca needs well under one second
PROBE_AFTER_S = 20.0  # of silence before asking whether the server still listens to us
PROBE_ANSWER_S = 5.0
PING_S = 5.0  # the SDK's default leaves a dead peer unnoticed for 210 s
CLOSE_S = 1.0  # of closing handshake; a dead peer does not answer it
SDK_QUEUE = 1024  # frames inside websockets; passing parameters replaces the SDK's own, so it is repeated


def connect_stream(settings: Settings) -> "AlpacaStream":
    """Check the account's settings and give the stream, not yet started. Raises ConfigError."""
    account = login(settings)
    return AlpacaStream(account.stream_url, api_key=account.api_key, secret_key=account.secret_key)


class MuteStream(WebSocketException):
    """The server is connected and says nothing when asked; the SDK's loop reconnects on this type."""


class _Connection(TradingStream):
    """TradingStream with a bounded start and a watchdog; `on_listening` is told of each connection."""

    def __init__(
        self,
        url: str,
        *,
        api_key: str,
        secret_key: str,
        on_listening: Callable[[], None],
        on_lost: Callable[[], None],
        on_unreadable: Callable[[str], None],
        stopping: threading.Event,
        handshake_s: float,
        probe_after_s: float,
        probe_answer_s: float,
    ) -> None:
        super().__init__(
            api_key,
            secret_key,
            raw_data=True,
            url_override=url,
            websocket_params={
                "ping_interval": PING_S,
                "ping_timeout": PING_S,
                "close_timeout": CLOSE_S,
                "open_timeout": handshake_s,
                "max_queue": SDK_QUEUE,
            },
        )
        self._on_listening = on_listening
        self._on_lost = on_lost
        self._on_unreadable = on_unreadable
        self._stopping = stopping
        self._handshake_s = handshake_s
        self._probe_after_s = probe_after_s
        self._probe_answer_s = probe_answer_s

    async def follow(self) -> None:
        """Connect, and connect again, until cancelled."""
        await self._run_forever()  # type: ignore[no-untyped-call]

    async def _start_ws(self) -> None:
        try:
            self._on_lost()  # whatever was before, nothing is heard until the acknowledgement
            await asyncio.wait_for(self._listen(), self._handshake_s)
        except TimeoutError as error:
            raise MuteStream(f"no connection within {self._handshake_s:.0f} s") from error
        self._on_listening()

    async def _listen(self) -> None:
        await super()._start_ws()  # type: ignore[no-untyped-call]
        while await self._next() != "listening":
            log.debug("message before the listening acknowledgement")

    async def _next(self) -> str:
        """Receive and deliver one frame; give the stream it belongs to, empty if unreadable."""
        socket: Any = self._ws
        frame = await socket.recv()
        try:
            message = json.loads(frame)
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict):
            self._on_unreadable("a frame is not a JSON object")
            return ""
        stream = str(message.get("stream", ""))
        if stream == "trade_updates":
            self._data_received = True  # the SDK resets its back-off by this
            await self._dispatch(message)
        return stream

    async def _consume(self) -> None:
        try:
            await self._consume_until_stopped()
        finally:
            self._on_lost()

    async def _consume_until_stopped(self) -> None:
        probed = False
        # Not by cancellation alone: asyncio.wait_for of Python 3.11 swallows one that meets a frame.
        while not self._stopping.is_set():
            limit = self._probe_answer_s if probed else self._probe_after_s
            try:
                await asyncio.wait_for(self._next(), limit)
                probed = False
            except TimeoutError as error:
                if probed:
                    raise MuteStream(f"silent, and no answer to a probe within {limit:.0f} s") from error
                await self._subscribe_trade_updates()
                probed = True
        self._should_run = False


class AlpacaStream:
    """`desk.ports.TradeUpdates` over a WebSocket.

    Args:
        url: the full ws URL.
        queue_max: messages kept for `drain`; more are dropped, counted and shown by `connections`.
        handshake_s: limit on connecting, authenticating and listening.
        probe_after_s: silence before the server is asked to answer.
        probe_answer_s: time it has for that answer.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str,
        secret_key: str,
        queue_max: int = QUEUE_MAX,
        handshake_s: float = HANDSHAKE_S,
        probe_after_s: float = PROBE_AFTER_S,
        probe_answer_s: float = PROBE_ANSWER_S,
    ) -> None:
        def connect(stopping: threading.Event) -> _Connection:
            connection = _Connection(
                url,
                api_key=api_key,
                secret_key=secret_key,
                on_listening=self._listening,
                on_lost=self._lost,
                on_unreadable=self._unreadable,
                stopping=stopping,
                handshake_s=handshake_s,
                probe_after_s=probe_after_s,
                probe_answer_s=probe_answer_s,
            )
            connection.subscribe_trade_updates(self._keep)
            return connection

        self._thread = StreamThread(connect, name="alpaca-stream")
        self._messages: queue.Queue[Mapping[str, Any]] = queue.Queue(maxsize=queue_max)
        self._lock = threading.Lock()
        self._connections = 0
        self._overflowed = 0
        self._is_listening = False

    def start(self) -> None:
        """Start the thread; a second call while it runs changes nothing."""
        self._thread.start()

    def stop(self) -> None:
        """Stop within a bounded time, whatever the server does; harmless when not started."""
        self._thread.stop()
        self._lost()

    def drain(self) -> tuple[TradeUpdate, ...]:
        """Give what arrived since the last call, in order of arrival, without waiting.

        A message that cannot be read is left out, logged, and raises `connections`.
        """
        self._thread.revive()
        updates: list[TradeUpdate] = []
        for _ in range(DRAIN_MAX):
            try:
                message = self._messages.get_nowait()
            except queue.Empty:
                break
            try:
                updates.append(parse.update_of(message))
            except parse.Malformed as error:
                self._unreadable(str(error))
        return tuple(updates)

    def connections(self) -> int:
        """Count connections, overflows and unreadable messages; a change means: ask REST."""
        with self._lock:
            return self._connections

    def is_listening(self) -> bool:
        """Tell whether the newest connection was acknowledged and has not ended."""
        with self._lock:
            return self._is_listening

    def overflowed(self) -> int:
        """Count the messages dropped because nobody drained."""
        with self._lock:
            return self._overflowed

    def _listening(self) -> None:
        with self._lock:
            self._connections += 1
            self._is_listening = True
            number = self._connections
        log.info("stream listening", extra={"connections": number})

    def _lost(self) -> None:
        with self._lock:
            self._is_listening = False

    def _unreadable(self, cause: str) -> None:
        with self._lock:
            self._connections += 1
        log.warning("stream message unreadable", extra={"cause": cause})

    async def _keep(self, message: Mapping[str, Any]) -> None:
        """Put a message into the queue; never wait, never raise."""
        try:
            self._messages.put_nowait(message)
        except queue.Full:
            with self._lock:
                self._overflowed += 1
                self._connections += 1

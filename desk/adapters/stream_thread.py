"""A WebSocket client of the SDK in a thread of its own: started, stopped and begun anew at any moment.

One thread owns one event loop. The SDK's own `run` and `stop` lose a stop that comes before the loop runs
and wait for a server that does not answer (traps 1, 3, 11 of the protocol notes), so here the loop's task is
cancelled instead, `stop` waits a bounded time, and the thread is a daemon. If the SDK's loop ends or fails
by itself it is begun again after a pause; a thread that died is replaced by `revive`.
"""

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Protocol

log = logging.getLogger(__name__)

RESTART_S = 1.0  # pause before the SDK's loop is started again
RESTART_MAX_S = 30.0
STOP_S = 5.0  # `stop` waits this long for the thread, then leaves the daemon to itself
CLOSE_S = 2.0  # for closing a connection whose peer may be dead


class Connection(Protocol):
    """What a thread runs: the SDK's client."""

    async def follow(self) -> None:
        """Connect, and connect again, until cancelled."""
        ...

    async def close(self) -> None:
        """Close the socket, if there is one."""
        ...


class StreamThread:
    """The thread; `connect` makes a client that ends once the event it is given is set."""

    def __init__(self, connect: Callable[[threading.Event], Connection], *, name: str) -> None:
        """Prepare; nothing runs before `start`."""
        self._connect = connect
        self._name = name
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._cancel: Callable[[], object] | None = None
        self._drop: Callable[[], object] | None = None
        self._started = False

    def start(self) -> None:
        """Start the thread; a second call while it runs changes nothing."""
        self._started = True
        if self._thread is not None and self._thread.is_alive():
            return
        self._stopping = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(self._stopping,), name=self._name, daemon=True
        )
        self._thread.start()

    def revive(self) -> None:
        """Start another thread where one should run and died."""
        if self._started and (self._thread is None or not self._thread.is_alive()):
            log.error("stream thread died, starting another", extra={"stream": self._name})
            self.start()

    def renew(self) -> None:
        """Drop the client, whatever it is doing, and make another; harmless when none runs."""
        with self._lock:
            if self._drop is not None:
                self._drop()

    def stop(self) -> None:
        """Stop within a bounded time, whatever the server does; harmless when not started."""
        self._started = False
        self._stopping.set()
        if self._thread is None:
            return
        with self._lock:  # held over the call, so that the loop cannot close in between
            if self._cancel is not None:
                self._cancel()
        self._thread.join(STOP_S)
        if self._thread.is_alive():
            log.warning("stream thread left behind", extra={"stream": self._name, "waited_s": STOP_S})

    def _run(self, stopping: threading.Event) -> None:
        """Own the thread: one loop, one task, cancelled by `stop`."""
        try:
            asyncio.run(self._serve(stopping))
        except asyncio.CancelledError:
            log.debug("stream stopped", extra={"stream": self._name})

    async def _serve(self, stopping: threading.Event) -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        with self._lock:
            if stopping.is_set():
                return
            self._cancel = lambda: loop.call_soon_threadsafe(task.cancel)
        pause_s = RESTART_S
        try:
            while not stopping.is_set():
                is_renewed = await self._follow(self._connect(stopping))
                if stopping.is_set():
                    return
                if not is_renewed:
                    await asyncio.sleep(pause_s)
                    pause_s = min(pause_s * 2, RESTART_MAX_S)
        finally:
            with self._lock:
                self._cancel = None

    async def _follow(self, connection: Connection) -> bool:
        """Run a client until it ends and close what it left open; give whether `renew` ended it."""
        loop = asyncio.get_running_loop()
        following = asyncio.ensure_future(connection.follow())
        with self._lock:
            self._drop = lambda: loop.call_soon_threadsafe(following.cancel)
        try:
            (outcome,) = await asyncio.gather(following, return_exceptions=True)
            log.info("stream loop ended", extra={"stream": self._name, "cause": repr(outcome)})
            return isinstance(outcome, asyncio.CancelledError)
        finally:
            with self._lock:
                self._drop = None
            await asyncio.gather(_closed(connection), return_exceptions=True)


async def _closed(connection: Connection) -> None:
    await asyncio.wait_for(connection.close(), CLOSE_S)

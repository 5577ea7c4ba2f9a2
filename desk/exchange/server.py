"""The venue on a socket: Alpaca's paths for its clients, /sim for whoever drives it.

One event loop owns the floor; every request is answered without waiting, so the floor is never entered
twice at a time. In lock step the venue's time moves only by POST /sim/advance. Paced, a task in the
same loop plays it at `pace` times real time. This is the one module of the exchange that knows real
time and sockets.
"""

import asyncio
import contextlib
import logging
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.types import ASGIApp

from desk.errors import ConfigError
from desk.exchange.account import AccountApi
from desk.exchange.activities import ActivitiesApi
from desk.exchange.amendments import Amendments
from desk.exchange.broadcast import Broadcast
from desk.exchange.control import ControlApi, later
from desk.exchange.data_plan import DataOptions
from desk.exchange.data_stream import DataStream
from desk.exchange.door import BoundedBody, FrontDoor
from desk.exchange.fakepaca import FakepacaFeed
from desk.exchange.faults import Mischief
from desk.exchange.faults_feed import FeedFaults
from desk.exchange.faults_floor import FloorFaults
from desk.exchange.faults_http import FaultsApi, FaultyDoor
from desk.exchange.floor import Floor
from desk.exchange.market_data import market_data_routes
from desk.exchange.reference import ReferenceApi
from desk.exchange.rest import TradingApi
from desk.exchange.sessions import SessionsApi
from desk.exchange.stream import UserStream
from desk.exchange.watchlists import WatchlistsApi
from schemas.faults import FaultPlan

log = logging.getLogger(__name__)

PACED_TICK_S = 0.02  # how often a paced venue moves: well under a print's 15 s even at 600 times real time
READY_WAIT_S = 10.0  # a server that does not come up by then never will
SHUTDOWN_S = 2  # open connections get this long to end
HTTP_BACKLOG = 128


@dataclass(frozen=True, slots=True)
class ExchangeUrls:
    """Where a running venue is."""

    url: str  # trading and market data: clients add /v2
    stream_url: str  # the user stream
    control_url: str  # /sim


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How a venue is served."""

    host: str = "127.0.0.1"
    port: int = 0  # 0 takes any free port
    pace: float | None = None  # None is lock step
    key: str | None = None  # None accepts any
    secret: str | None = None
    rate_limit: int | None = None  # requests a minute of the venue's time; None counts and lets all pass
    data: DataOptions = field(default_factory=DataOptions)
    user_streams: int | None = None  # connections of the user stream at once; Alpaca takes one
    faults: FaultPlan | None = None
    faults_seed: int | None = None  # in place of the plan's own


def build_app(floor: Floor, options: ServerOptions) -> Starlette:
    """Give the application that serves a floor."""
    door = FrontDoor(
        floor,
        key=options.key,
        secret=options.secret,
        rate_limit=options.rate_limit,
        data_limit=options.data.requests_a_minute,
        seconds=time.monotonic,
    )
    faults = FloorFaults(floor, Mischief(options.faults, seed=options.faults_seed))
    stream = UserStream(door, faults.stream, connections_max=options.user_streams)
    broadcast = Broadcast(floor)
    data_stream = DataStream(broadcast, FakepacaFeed(floor), door, options.data)
    faults.feed = FeedFaults(floor, broadcast, data_stream)
    data_stream.refuses = faults.refuses_data

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        playing = None if options.pace is None else asyncio.create_task(_play(floor, options.pace))
        yield
        if playing is not None:
            playing.cancel()
            await asyncio.gather(playing, return_exceptions=True)
        await stream.close()
        await data_stream.close()

    app = Starlette(
        routes=[
            *AccountApi(floor, door).routes(),
            *ActivitiesApi(floor, door).routes(),
            *ReferenceApi(floor, door).routes(),
            *SessionsApi(floor, door).routes(),
            *WatchlistsApi(floor, door).routes(),
            *TradingApi(floor, door).routes(),
            *market_data_routes(floor, Amendments(floor, broadcast), door, options.data),
            *ControlApi(
                floor, pace=options.pace, published=data_stream.published, told=lambda: broadcast.decisive
            ).routes(),
            *FaultsApi(faults).routes(),
            *stream.routes(),
            *data_stream.routes(),
        ],
        exception_handlers={HTTPException: door.no_route, 500: door.failed},
        middleware=[Middleware(BoundedBody)],
        lifespan=lifespan,
    )
    app.state.faults = faults
    app.router.redirect_slashes = (
        False  # alpaca-py takes a redirected cancel for a cancel (ALPACA.md section 1)
    )
    return app


def listen(host: str, port: int) -> socket.socket:
    """Bind the port before anything is started.

    Raises:
        ConfigError: the port is taken or the address is not ours.
    """
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    # asyncio sets TCP_NODELAY only on sockets that say they are TCP; without it every answer takes 40 ms.
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen(HTTP_BACKLOG)
    except (OSError, OverflowError) as error:
        bound.close()
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        message = f"cannot listen on {host}:{port}: {reason}; choose another --port, 0 takes a free one"
        raise ConfigError(message) from error
    return bound


def urls_of(bound: socket.socket) -> ExchangeUrls:
    """Give the addresses of a bound socket."""
    host, port = bound.getsockname()[:2]
    base = f"{host}:{port}"
    return ExchangeUrls(f"http://{base}", f"ws://{base}/stream", f"http://{base}/sim")


def serve(floor: Floor, options: ServerOptions, *, on_ready: Callable[[ExchangeUrls], None]) -> None:
    """Serve a floor in this process until SIGINT or SIGTERM; prints nothing.

    Args:
        floor: the venue.
        options: address, pace and keys.
        on_ready: called once when requests are answered.

    Raises:
        ConfigError: the port is taken.
    """
    bound = listen(options.host, options.port)
    serve_app(_faulty(floor, options), bound, on_ready=lambda: on_ready(urls_of(bound)))


def serve_app(app: ASGIApp, bound: socket.socket, *, on_ready: Callable[[], None]) -> None:
    """Serve an application on a bound socket until SIGINT or SIGTERM."""
    asyncio.run(_serve_until_told(_server(app), bound, on_ready))


class ExchangeServer:
    """A venue served from a thread of this process: for tests and demos.

    The floor belongs to the server's thread while it runs: talk to it over HTTP.
    """

    def __init__(self, floor: Floor, options: ServerOptions | None = None) -> None:
        """Bind the port; nothing is served before `start`.

        Raises:
            ConfigError: the port is taken.
        """
        self._options = options if options is not None else ServerOptions()
        self._bound = listen(self._options.host, self._options.port)
        self._urls = urls_of(self._bound)
        self._server = _server(_faulty(floor, self._options))
        self._thread = threading.Thread(target=self._run, name="exchange", daemon=True)
        self._ready = threading.Event()

    @property
    def url(self) -> str:
        """Give the base address of trading and market data."""
        return self._urls.url

    @property
    def stream_url(self) -> str:
        """Give the address of the user stream."""
        return self._urls.stream_url

    @property
    def control_url(self) -> str:
        """Give the address of the control endpoints."""
        return self._urls.control_url

    def start(self) -> Self:
        """Serve, and return when requests are answered.

        Raises:
            ConfigError: the server did not come up in time.
        """
        self._thread.start()
        if not self._ready.wait(READY_WAIT_S):
            raise ConfigError(f"the exchange did not answer on {self.url} within {READY_WAIT_S:g} s")
        return self

    def stop(self) -> None:
        """End the server and wait for its thread; a second stop changes nothing."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join()
        self._bound.close()

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop."""
        self.stop()

    def _run(self) -> None:
        """Run the server in this thread's own loop."""
        asyncio.run(_run_server(self._server, self._bound, self._ready.set))


class _Quiet(uvicorn.Server):
    """A uvicorn server that leaves the process's signals to whoever owns the process."""

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]  # uvicorn's own is a generator
        """Capture none."""
        yield


def _faulty(floor: Floor, options: ServerOptions) -> ASGIApp:
    """Give the application with its fault plan before it; without rules every request passes."""
    app = build_app(floor, options)
    return FaultyDoor(app, app.state.faults)


def _is_news(record: logging.LogRecord) -> bool:
    """Leave out what uvicorn says of every upgrade that is refused with an answer, as a full stream does."""
    return record.getMessage() != "ASGI callable returned without completing handshake."


def _server(app: ASGIApp) -> uvicorn.Server:
    """Make the server of an application."""
    logging.getLogger("uvicorn.error").addFilter(_is_news)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=SHUTDOWN_S,
        ws_per_message_deflate=False,  # loopback: packing a minute of bars costs more than it saves
        ws_ping_interval=None,  # the client pings; ours would only add wall-clock noise to a simulated day
        server_header=False,
        date_header=False,
    )
    return _Quiet(config)


async def _run_server(server: uvicorn.Server, bound: socket.socket, on_ready: Callable[[], None]) -> None:
    """Serve until the server is told to exit."""
    serving = asyncio.create_task(server.serve(sockets=[bound]))
    while not server.started and not serving.done():
        await asyncio.sleep(0.005)
    if server.started:
        on_ready()
    await serving


async def _serve_until_told(
    server: uvicorn.Server, bound: socket.socket, on_ready: Callable[[], None]
) -> None:
    """Serve until SIGINT or SIGTERM."""

    def leave() -> None:
        server.should_exit = True

    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, leave)
    await _run_server(server, bound, on_ready)


async def _play(floor: Floor, pace: float) -> None:
    """Move the venue's time at `pace` times real time, for ever."""
    began, at = time.monotonic(), floor.now
    while True:
        await asyncio.sleep(PACED_TICK_S)
        floor.advance(later(at, time.monotonic() - began, pace))

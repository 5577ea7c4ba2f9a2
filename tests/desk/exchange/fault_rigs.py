"""One desk's doors to a lying venue, in process and over HTTP: the same cases are run on both."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import requests

from desk.adapters.alpaca_broker import AlpacaBroker
from desk.adapters.alpaca_login import Login
from desk.adapters.alpaca_market import AlpacaMarket
from desk.adapters.alpaca_stream import AlpacaStream
from desk.adapters.venue_clock import VenueClock
from desk.exchange.faults_venue import FaultyVenue
from desk.exchange.floor import Floor
from desk.exchange.market import FrameMarket
from desk.exchange.server import ExchangeServer, ServerOptions
from desk.exchange.venue import Venue
from desk.ports import Broker, Clock, MarketData, TradeUpdates
from schemas.faults import FaultPlan, FaultRule
from schemas.orders import OrderIntent, OrderType, Purpose, Side, TimeInForce, TradeUpdate
from tests.desk.exchange.makers import DAY, NEXT_DAY, OPEN, PLAIN, at, flat, minutes_frame

PATIENCE_S = 15.0  # real time for what sockets bring
READ_TIMEOUT_S = 1.0


@dataclass
class Rig:
    """A venue as a desk sees it."""

    broker: Broker
    market: MarketData
    clock: Clock
    updates: TradeUpdates
    counts: Callable[[], dict[str, int]]
    floor: Floor
    over_http: bool

    def to(self, seconds: float) -> None:
        """Play the market to some seconds after the open."""
        self.clock.sleep_until(at(seconds))

    def until(self, holds: Callable[[], bool]) -> None:
        """Wait for what the stream does in its own time: real over HTTP, the venue's in process."""
        deadline = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < deadline, "it did not happen"
            if self.over_http:
                threading.Event().wait(0.02)
            else:
                self.clock.sleep_until(self.clock.now() + timedelta(seconds=1))
                self.updates.drain()

    def listen(self) -> None:
        """Connect the user stream."""
        self.updates.start()
        self.until(lambda: self.updates.connections() > 0)

    def heard(self, last: str) -> list[TradeUpdate]:
        """Give the updates up to the fill of an order, which the plan must let through."""
        found: list[TradeUpdate] = []
        deadline = time.monotonic() + PATIENCE_S
        while not any(u.order.client_order_id == last and u.event == "fill" for u in found):
            assert time.monotonic() < deadline, f"no fill of {last} among {[u.event for u in found]}"
            found.extend(self.updates.drain())
            if self.over_http:
                threading.Event().wait(0.02)
        return found


def venue_market() -> FrameMarket:
    """Give SPY at 100 and QQQ at 50, flat for two days."""
    spy, qqq = minutes_frame([flat(100.0)] * 390), minutes_frame([flat(50.0)] * 390, symbol="QQQ")
    nxt = OPEN + timedelta(days=1)
    return FrameMarket({DAY: pl.concat([spy, qqq]), NEXT_DAY: minutes_frame([flat(100.0)] * 390, start=nxt)})


@contextmanager
def in_process(plan: FaultPlan) -> Iterator[Rig]:
    """Give the ports of a lying venue in this process."""
    place = FaultyVenue(Venue(venue_market(), session_date=DAY, rules=PLAIN, seed=1), plan)
    updates = place.updates()
    yield Rig(place, place, place, updates, lambda: place.counts, place.floor, over_http=False)


@contextmanager
def over_http(plan: FaultPlan) -> Iterator[Rig]:
    """Give the live adapters at a lying server."""
    floor = Floor(venue_market(), session_date=DAY, rules=PLAIN, seed=1)
    with ExchangeServer(floor, ServerOptions(faults=plan)) as server:
        login = Login(
            api_key="k",
            secret_key="s",
            paper=True,
            trading_url=server.url,
            data_url=server.url,
            stream_url=server.stream_url,
            feed="sip",
            connect_timeout_s=1.0,
            read_timeout_s=READ_TIMEOUT_S,
            read_attempts=3,
        )
        stream = AlpacaStream(server.stream_url, api_key="k", secret_key="s")
        counts: Callable[[], Any] = lambda: requests.get(  # noqa: E731
            f"{server.control_url}/faults", timeout=5
        ).json()["counts"]
        try:
            yield Rig(
                AlpacaBroker(login, sleep=lambda seconds: None),
                AlpacaMarket(login, sleep=lambda seconds: None),
                VenueClock(server.url),
                stream,
                counts,
                floor,
                over_http=True,
            )
        finally:
            stream.stop()


RIGS = {"in process": in_process, "over http": over_http}


def plan_of(*rules: dict[str, Any], seed: int = 0) -> FaultPlan:
    """Make a plan of rules written as in a file."""
    return FaultPlan(seed=seed, rules=tuple(FaultRule.model_validate(rule) for rule in rules))


def wish(
    name: str = "a",
    *,
    symbol: str = "SPY",
    side: Side = Side.BUY,
    qty: str = "10",
    limit: str | None = None,
    bar_ts: datetime = OPEN,
) -> OrderIntent:
    """Make an intent; without a limit it is a market order."""
    return OrderIntent(
        client_order_id=name,
        correlation_id=f"x/{symbol}/1",
        strategy="x",
        symbol=symbol,
        side=side,
        qty=Decimal(qty),
        order_type=OrderType.MARKET if limit is None else OrderType.LIMIT,
        time_in_force=TimeInForce.DAY,
        limit_price=None if limit is None else Decimal(limit),
        purpose=Purpose.ENTRY,
        reference_price=Decimal(100),
        bar_ts=bar_ts,
        session_date=DAY,
    )

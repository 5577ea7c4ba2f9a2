"""A client of the exchange's market data, and the days it is asked about."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import polars as pl

from desk.exchange.floor import Floor
from desk.exchange.generated import GeneratedMarket
from desk.exchange.server import ExchangeServer, ServerOptions
from desk.hours import session_hours
from tests.desk.exchange.makers import at, floor_of

KEYS = {"APCA-API-KEY-ID": "k", "APCA-API-SECRET-KEY": "s"}
TODAY = date(2025, 11, 26)  # a Wednesday; the Friday after it closes at 13:00
NOON = datetime(2025, 11, 26, 17, 0, tzinfo=UTC)
SYMBOLS = ("AAPL", "MSFT", "XOM")


@contextmanager
def served(floor: Floor, options: ServerOptions | None = None) -> Iterator[httpx.Client]:
    with (
        ExchangeServer(floor, options) as server,
        httpx.Client(base_url=server.url, headers=KEYS, timeout=30) as client,
    ):
        yield client


@contextmanager
def years_at_noon() -> Iterator[httpx.Client]:
    """A generated market of years, at noon."""
    floor = Floor(GeneratedMarket(7, SYMBOLS), session_date=TODAY)
    floor.advance(NOON)
    with served(floor) as client:
        yield client


@contextmanager
def two_flat_days() -> Iterator[httpx.Client]:
    """The flat market of two days, at 09:40:01 of the first."""
    floor = floor_of()
    floor.advance(at(601))
    with served(floor) as client:
        yield client


def bars(client: httpx.Client, symbol: str, timeframe: str, **wanted: str) -> list[dict[str, Any]]:
    answer = client.get(f"/v2/stocks/{symbol}/bars", params={"timeframe": timeframe, **wanted})
    assert answer.status_code == 200, answer.text
    return answer.json()["bars"]


def minutes(first: date, last: date, symbol: str = "AAPL") -> pl.DataFrame:
    """Give the generated minutes of days, straight from the market."""
    market = GeneratedMarket(7, SYMBOLS)
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    return pl.concat(market.frame(d) for d in days if session_hours(d)).filter(pl.col("symbol") == symbol)

"""Small markets for tests of the exchange: minutes written by hand."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import polars as pl

from desk.exchange.floor import Floor
from desk.exchange.market import FrameMarket
from desk.exchange.matching import Rules
from desk.exchange.orders import OrderRequest
from schemas.account import Asset
from schemas.bars import RAW_SCHEMA

DAY = date(2024, 8, 27)  # a Tuesday in summer: 09:30 New York is 13:30 UTC
NEXT_DAY = date(2024, 8, 28)
OPEN = datetime(2024, 8, 27, 13, 30, tzinfo=UTC)
CLOSE = datetime(2024, 8, 27, 20, 0, tzinfo=UTC)
PLAIN = Rules(spread_bps=Decimal(0), participation=Decimal("0.1"), band=Decimal("0.05"))

Minute = tuple[float, float, float, float, int]


def minutes_frame(
    minutes: Sequence[Minute | None], *, symbol: str = "SPY", start: datetime = OPEN
) -> pl.DataFrame:
    """Make one symbol's frame of (open, high, low, close, volume); None leaves the minute out."""
    rows = [
        (symbol, start + timedelta(minutes=place), *minute, None, None)
        for place, minute in enumerate(minutes)
        if minute is not None
    ]
    return pl.DataFrame(rows, schema=RAW_SCHEMA, orient="row")


def flat(price: float, volume: int = 40_000) -> Minute:
    """Make a minute in which nothing moves; a print gives 1,000 shares at 10 %."""
    return (price, price, price, price, volume)


def floor_of(
    minutes: Sequence[Minute | None] | None = None,
    *,
    rules: Rules = PLAIN,
    cash: Decimal = Decimal(100_000),
    assets: dict[str, Asset] | None = None,
    start: datetime = OPEN,
    seed: int = 1,
) -> Floor:
    """Open a floor on SPY (and QQQ at 50) with the minutes given, or a flat day at 100."""
    spy = minutes_frame(minutes if minutes is not None else [flat(100.0)] * 390, start=start)
    qqq = minutes_frame([flat(50.0)] * 390, symbol="QQQ")
    market = FrameMarket(
        {
            DAY: pl.concat([spy, qqq]),
            NEXT_DAY: minutes_frame([flat(110.0)] * 390, start=OPEN + timedelta(days=1)),
        }
    )
    return Floor(market, session_date=DAY, rules=rules, starting_cash=cash, assets=assets, seed=seed)


def ask_for(
    side: str = "buy",
    qty: str | None = "10",
    kind: str = "market",
    *,
    symbol: str = "SPY",
    force: str = "day",
    limit: str | None = None,
    stop: str | None = None,
    **rest: object,
) -> OrderRequest:
    """Make an order request."""
    return OrderRequest(
        symbol=symbol,
        side=side,
        order_type=kind,
        time_in_force=force,
        qty=None if qty is None else Decimal(qty),
        limit_price=None if limit is None else Decimal(limit),
        stop_price=None if stop is None else Decimal(stop),
        **rest,  # type: ignore[arg-type]
    )


def at(seconds: float) -> datetime:
    """Give the instant some seconds after the open."""
    return OPEN + timedelta(seconds=seconds)

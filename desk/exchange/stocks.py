"""Stock bars over HTTP (ALPACA.md section 4): numbers, sorted by symbol then time, paged by an opaque token.

Only what is public at the venue's time is answered: a bar one second after its minute. Only one-minute
bars are served; an unknown symbol is an answer with nothing in it, as the service does it.
"""

import base64
import binascii
from datetime import datetime, timedelta

import polars as pl
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from desk.exchange import query, wire
from desk.exchange.door import FrontDoor, reply
from desk.exchange.floor import Floor
from desk.exchange.history import latest_bars
from desk.exchange.refusals import BAD_REQUEST, Refusal

BARS_DEFAULT = 1000  # ALPACA.md section 4
BARS_MAX = 10_000
MINUTE_NAMES = frozenset({"1Min", "1T", "1min", "Min"})
FEEDS = ("sip", "iex", "boats", "otc", "delayed_sip", "overnight")


class StocksApi:
    """Handlers over one floor."""

    def __init__(self, floor: Floor, door: FrontDoor) -> None:
        """Keep the floor and the door."""
        self._floor = floor
        self._door = door

    def routes(self) -> list[Route]:
        """Give the routes under /v2/stocks."""
        table = (
            ("/v2/stocks/bars", self.bars),
            ("/v2/stocks/bars/latest", self.latest),
            ("/v2/stocks/{symbol}/bars", self.bars_of),
            ("/v2/stocks/{symbol}/bars/latest", self.latest_of),
        )
        return [Route(path, self._door.guarded(handler), methods=["GET"]) for path, handler in table]

    async def bars(self, request: Request) -> Response:
        """Answer the bars of several symbols."""
        symbols = query.words(request.query_params, "symbols")
        if not symbols:
            raise Refusal(400, BAD_REQUEST, "symbols is required")
        page, token = self._page(request, symbols)
        grouped: dict[str, list[wire.Json]] = {}
        for symbol, bar in wire.bars(page):
            grouped.setdefault(symbol, []).append(bar)
        return reply({"bars": grouped, "next_page_token": token})

    async def bars_of(self, request: Request) -> Response:
        """Answer the bars of one symbol."""
        symbol = request.path_params["symbol"]
        page, token = self._page(request, (symbol,))
        bars = [bar for _, bar in wire.bars(page)]
        return reply({"bars": bars, "symbol": symbol, "next_page_token": token})

    async def latest(self, request: Request) -> Response:
        """Answer the newest public bar of several symbols."""
        symbols = query.words(request.query_params, "symbols")
        if not symbols:
            raise Refusal(400, BAD_REQUEST, "symbols is required")
        return reply(
            {
                "bars": {
                    s: bar
                    for s, bar in wire.bars(latest_bars(self._floor.tape, self._floor.now))
                    if s in symbols
                }
            }
        )

    async def latest_of(self, request: Request) -> Response:
        """Answer the newest public bar of one symbol."""
        symbol = request.path_params["symbol"]
        found = [
            bar for name, bar in wire.bars(latest_bars(self._floor.tape, self._floor.now)) if name == symbol
        ]
        if not found:
            raise Refusal(404, 40410000, f"no bar found for {symbol}")
        return reply({"bar": found[0], "symbol": symbol})

    def _page(self, request: Request, symbols: tuple[str, ...]) -> tuple[pl.DataFrame, str | None]:
        """Give one page of bars and the token of the next."""
        wanted = request.query_params
        if wanted.get("timeframe") not in MINUTE_NAMES:
            raise Refusal(
                400, BAD_REQUEST, f"invalid timeframe: {wanted.get('timeframe')}; this venue has 1Min"
            )
        if wanted.get("feed"):
            query.choice(wanted, "feed", FEEDS)
        limit = query.integer(wanted, "limit", default=BARS_DEFAULT, most=BARS_MAX, status=400)
        newest_first = query.choice(wanted, "sort", ("asc", "desc")) == "desc"
        start = query.moment(wanted, "start", status=400)
        end = query.moment(wanted, "end", status=400)
        found = self._floor.bars(
            start if start is not None else self._floor.tape.starts_at,
            (end if end is not None else self._floor.now) + timedelta(microseconds=1),  # the end is included
        )
        found = found.filter(pl.col("symbol").is_in(list(symbols)))
        found = found.sort("symbol", "ts", descending=[False, newest_first], maintain_order=True)
        skipped = _skipped(found, wanted.get("page_token"), newest_first)
        page = found.slice(skipped, limit)
        more = found.height > skipped + limit
        return page, _token(page) if more else None


def _token(page: pl.DataFrame) -> str:
    """Name the last row of a page: its symbol, its minute, and which of that minute's rows it is."""
    symbol, ts = page["symbol"][-1], page["ts"][-1]
    twins = page.filter((pl.col("symbol") == symbol) & (pl.col("ts") == ts)).height
    return base64.b64encode(f"{symbol}|M|{ts.isoformat()}|{twins}".encode()).decode()


def _skipped(found: pl.DataFrame, token: str | None, newest_first: bool) -> int:
    """Count the rows that earlier pages gave.

    Raises:
        Refusal: the token is not one of ours.
    """
    if not token:
        return 0
    try:
        symbol, _, stamp, twins = base64.b64decode(token, validate=True).decode().split("|")
        ts, given = datetime.fromisoformat(stamp), int(twins)
    except (ValueError, binascii.Error) as error:
        raise Refusal(400, BAD_REQUEST, f"invalid page_token: {token}") from error
    same = pl.col("symbol") == symbol
    sooner = pl.col("ts") > ts if newest_first else pl.col("ts") < ts
    return found.filter((pl.col("symbol") < symbol) | (same & sooner)).height + given

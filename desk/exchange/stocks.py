"""Stock bars and snapshots over HTTP (ALPACA.md section 4): numbers, by symbol then time, paged by a token.

Only what is public at the venue's time is answered. An unknown symbol is an answer with nothing in it, as
the service does it; the newest of one unknown symbol is 404.
"""

from collections.abc import Sequence

import polars as pl
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from desk.exchange import wire
from desk.exchange.aggregate import Timeframe, timeframe
from desk.exchange.archive import Archive
from desk.exchange.data_plan import DataOptions
from desk.exchange.data_request import (
    Latest,
    Mark,
    Window,
    latest,
    one,
    routes,
    several,
    window,
    with_currency,
)
from desk.exchange.door import FrontDoor, reply
from desk.exchange.floor import Floor
from desk.exchange.orders import SplitDone
from desk.exchange.refusals import BAD_REQUEST, NOT_FOUND, Refusal
from desk.exchange.stock_ticks import latest_quote, latest_trade, quote_body, trade_body
from schemas.bars import RAW_SCHEMA

ADJUSTMENTS = frozenset({"raw", "split", "dividend", "spin-off", "all"})
SPLITS_ENTER = frozenset({"split", "all"})


class StocksApi:
    """Handlers over one floor's history."""

    def __init__(self, floor: Floor, archive: Archive, door: FrontDoor, options: DataOptions) -> None:
        """Keep what is served, to whom, and under which plan."""
        self._floor = floor
        self._archive = archive
        self._door = door
        self._options = options

    def routes(self) -> list[Route]:
        """Give the routes under /v2/stocks."""
        return routes(
            self._door,
            {
                "/v2/stocks/bars": self.bars,
                "/v2/stocks/bars/latest": self.latest,
                "/v2/stocks/snapshots": self.snapshots,
                "/v2/stocks/{symbol}/bars": self.bars_of,
                "/v2/stocks/{symbol}/bars/latest": self.latest_of,
                "/v2/stocks/{symbol}/snapshot": self.snapshot_of,
            },
        )

    async def bars(self, request: Request) -> Response:
        """Answer the bars of several symbols."""
        asked = window(request, several(request), self._floor.now, self._options)
        page, token = self._page(request, asked)
        grouped: dict[str, list[wire.Json]] = {}
        for symbol, bar in wire.bars(page):
            grouped.setdefault(symbol, []).append(bar)
        return reply(with_currency({"bars": grouped, "next_page_token": token}, asked.currency))

    async def bars_of(self, request: Request) -> Response:
        """Answer the bars of one symbol."""
        asked = window(request, one(request), self._floor.now, self._options)
        page, token = self._page(request, asked)
        body: dict[str, object] = {
            "bars": [bar for _, bar in wire.bars(page)],
            "symbol": asked.symbols[0],
            "next_page_token": token,
        }
        return reply(with_currency(body, asked.currency))

    async def latest(self, request: Request) -> Response:
        """Answer the newest public minute of several symbols."""
        asked = latest(request, several(request), self._floor.now, self._options)
        found = {} if asked.is_empty else dict(wire.bars(self._newest(asked)))
        return reply(with_currency({"bars": found}, asked.currency))

    async def latest_of(self, request: Request) -> Response:
        """Answer the newest public minute of one symbol."""
        asked = latest(request, one(request), self._floor.now, self._options)
        found = {} if asked.is_empty else dict(wire.bars(self._newest(asked)))
        symbol = asked.symbols[0]
        if symbol not in found:
            raise Refusal(404, NOT_FOUND, f"no bar found for {symbol}")
        return reply(with_currency({"bar": found[symbol], "symbol": symbol}, asked.currency))

    async def snapshots(self, request: Request) -> Response:
        """Answer the snapshots of several symbols; one that never traded is left out."""
        asked = latest(request, several(request), self._floor.now, self._options)
        found = {symbol: self._snapshot(symbol, asked) for symbol in asked.symbols}
        return reply({symbol: body for symbol, body in found.items() if body})

    async def snapshot_of(self, request: Request) -> Response:
        """Answer the snapshot of one symbol."""
        asked = latest(request, one(request), self._floor.now, self._options)
        symbol = asked.symbols[0]
        body = self._snapshot(symbol, asked)
        if not body:
            raise Refusal(404, NOT_FOUND, f"no snapshot found for {symbol}")
        return reply(with_currency({"symbol": symbol, **body}, asked.currency))

    def _snapshot(self, symbol: str, asked: Latest) -> dict[str, object]:
        """Write a symbol's newest trade, quote, minute and days; what it does not have is left out."""
        if asked.is_empty:
            return {}
        trade = latest_trade(self._floor, self._archive, symbol, asked)
        quote = latest_quote(self._floor, self._archive, symbol, asked)
        minute = [bar for _, bar in wire.bars(self._archive.latest_bar(symbol, asked.at))]
        days = [bar for _, bar in wire.bars(self._archive.days(symbol, 2))]
        body: dict[str, object | None] = {
            "dailyBar": days[-1] if days else None,
            "latestQuote": None if quote is None else quote_body(quote),
            "latestTrade": None if trade is None else trade_body(trade),
            "minuteBar": minute[0] if minute else None,
            "prevDailyBar": days[0] if len(days) > 1 else None,
        }
        return {name: part for name, part in body.items() if part is not None}

    def _newest(self, asked: Latest) -> pl.DataFrame:
        """Give the newest public minutes."""
        return self._archive.latest_bars(asked.symbols, asked.at)

    def _page(self, request: Request, asked: Window) -> tuple[pl.DataFrame, str | None]:
        """Give one page of bars and the token of the next."""
        wanted = request.query_params
        frame = _timeframe(wanted.get("timeframe"))
        splits = self._splits(wanted.get("adjustment"))
        if asked.is_empty:
            return pl.DataFrame(schema=RAW_SCHEMA), None
        return page_of(self._archive, asked, frame, splits)

    def _splits(self, adjustment: str | None) -> Sequence[SplitDone]:
        """Give the splits that a request's adjustment makes up for; this venue pays no dividends."""
        words = frozenset((adjustment or "raw").split(","))
        if not words <= ADJUSTMENTS:
            raise Refusal(400, BAD_REQUEST, f"invalid adjustment: {adjustment}")
        return () if words.isdisjoint(SPLITS_ENTER) else tuple(self._floor.splits)


def page_of(
    archive: Archive, asked: Window, frame: Timeframe, splits: Sequence[SplitDone]
) -> tuple[pl.DataFrame, str | None]:
    """Collect one page of bars: what comes after the mark, at most `limit` rows, and the next token."""
    skipped = 0 if asked.begun is None else asked.begun.given
    found = [pl.DataFrame(schema=RAW_SCHEMA)]
    height = 0
    for symbols, start, end in asked.parts():
        for piece in archive.bars(symbols, frame, start, end, splits=splits, newest_first=asked.newest_first):
            found.append(piece)
            height += piece.height
            if height > skipped + asked.limit:
                return _cut(pl.concat(found), skipped, asked.limit)
    return pl.concat(found).slice(skipped), None


def _cut(rows: pl.DataFrame, skipped: int, limit: int) -> tuple[pl.DataFrame, str]:
    """Give a full page and the mark of its last row, by rows of one minute too where a source has twins."""
    upto = rows.head(skipped + limit)
    symbol, ts = upto["symbol"][-1], upto["ts"][-1]
    given = upto.filter((pl.col("symbol") == symbol) & (pl.col("ts") == ts)).height
    return upto.slice(skipped), Mark(symbol, ts, given).token()


def _timeframe(word: str | None) -> Timeframe:
    """Read the timeframe, which must be given."""
    if not word:
        raise Refusal(400, BAD_REQUEST, "timeframe is required")
    found = timeframe(word)
    if found is None:
        raise Refusal(400, BAD_REQUEST, f"invalid timeframe: {word}")
    return found

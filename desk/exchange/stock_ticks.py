"""Trades, quotes and auctions over HTTP (ALPACA.md section 4), as the stream tells them.

Each is made of the tape's prints (desk/exchange/ticks.py); the feed decides the exchange letters. The opening
auction is the first print of the regular session, the closing one its last; both prints have been met by
orders of the auction as well. Each is shown as the auction's trade and the official price after it.
"""

from collections.abc import Callable, Iterator
from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from desk.exchange import ticks, wire
from desk.exchange.amendments import Amendments
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
from desk.exchange.data_wire import fields
from desk.exchange.door import FrontDoor, reply
from desk.exchange.floor import Floor
from desk.exchange.matching import Print
from desk.exchange.refusals import BAD_REQUEST, NOT_FOUND, Refusal
from desk.exchange.ticks import Tick
from schemas.account import SessionHours
from schemas.market_stream import StreamCancel, StreamCorrection, StreamQuote, StreamTrade

OPENING_CONDITIONS = ("O", "Q")  # the auction's trade, the official open
CLOSING_CONDITIONS = ("6", "M")  # the auction's trade, the official close
Row = tuple[str, datetime, wire.Json]  # symbol, instant, body
Bodies = Callable[[str, Tick, Window], list[wire.Json]]  # what REST shows of a tick


class TicksApi:
    """Handlers over one floor's history."""

    def __init__(
        self, floor: Floor, archive: Archive, amendments: Amendments, door: FrontDoor, options: DataOptions
    ) -> None:
        """Keep what is served, to whom, and under which plan."""
        self._floor = floor
        self._amendments = amendments
        self._archive = archive
        self._door = door
        self._options = options

    def routes(self) -> list[Route]:
        """Give the routes under /v2/stocks."""
        return routes(
            self._door,
            {
                "/v2/stocks/trades": self.trades,
                "/v2/stocks/quotes": self.quotes,
                "/v2/stocks/auctions": self.auctions,
                "/v2/stocks/trades/latest": self.latest_trades,
                "/v2/stocks/quotes/latest": self.latest_quotes,
                "/v2/stocks/{symbol}/trades": self.trades_of,
                "/v2/stocks/{symbol}/quotes": self.quotes_of,
                "/v2/stocks/{symbol}/auctions": self.auctions_of,
                "/v2/stocks/{symbol}/trades/latest": self.latest_trade_of,
                "/v2/stocks/{symbol}/quotes/latest": self.latest_quote_of,
            },
        )

    async def trades(self, request: Request) -> Response:
        """Answer the trades of several symbols."""
        return self._several(request, "trades", self._trade)

    async def quotes(self, request: Request) -> Response:
        """Answer the quotes of several symbols."""
        return self._several(request, "quotes", self._quote)

    async def trades_of(self, request: Request) -> Response:
        """Answer the trades of one symbol."""
        return self._single(request, "trades", self._trade)

    async def quotes_of(self, request: Request) -> Response:
        """Answer the quotes of one symbol."""
        return self._single(request, "quotes", self._quote)

    async def latest_trades(self, request: Request) -> Response:
        """Answer the newest trade of several symbols."""
        asked = latest(request, several(request), self._floor.now, self._options)
        found = {s: latest_trade(self._floor, self._archive, s, asked) for s in asked.symbols}
        bodies = {symbol: trade_body(trade) for symbol, trade in found.items() if trade is not None}
        return reply(with_currency({"trades": bodies}, asked.currency))

    async def latest_quotes(self, request: Request) -> Response:
        """Answer the newest quote of several symbols."""
        asked = latest(request, several(request), self._floor.now, self._options)
        found = {s: latest_quote(self._floor, self._archive, s, asked) for s in asked.symbols}
        bodies = {symbol: quote_body(quote) for symbol, quote in found.items() if quote is not None}
        return reply(with_currency({"quotes": bodies}, asked.currency))

    async def latest_trade_of(self, request: Request) -> Response:
        """Answer the newest trade of one symbol."""
        asked = latest(request, one(request), self._floor.now, self._options)
        symbol = asked.symbols[0]
        trade = latest_trade(self._floor, self._archive, symbol, asked)
        if trade is None:
            raise Refusal(404, NOT_FOUND, f"no trade found for {symbol}")
        return reply(with_currency({"symbol": symbol, "trade": trade_body(trade)}, asked.currency))

    async def latest_quote_of(self, request: Request) -> Response:
        """Answer the newest quote of one symbol."""
        asked = latest(request, one(request), self._floor.now, self._options)
        symbol = asked.symbols[0]
        quote = latest_quote(self._floor, self._archive, symbol, asked)
        if quote is None:
            raise Refusal(404, NOT_FOUND, f"no quote found for {symbol}")
        return reply(with_currency({"quote": quote_body(quote), "symbol": symbol}, asked.currency))

    async def auctions(self, request: Request) -> Response:
        """Answer the auctions of several symbols, by day."""
        asked = self._auction_window(request, several(request))
        grouped, token = _grouped(asked, self._days(asked))
        return reply(with_currency({"auctions": grouped, "next_page_token": token}, asked.currency))

    async def auctions_of(self, request: Request) -> Response:
        """Answer the auctions of one symbol, by day."""
        asked = self._auction_window(request, one(request))
        grouped, token = _grouped(asked, self._days(asked))
        symbol = asked.symbols[0]
        body: dict[str, object] = {
            "auctions": grouped.get(symbol, []),
            "symbol": symbol,
            "next_page_token": token,
        }
        return reply(with_currency(body, asked.currency))

    def _several(self, request: Request, name: str, bodies: Bodies) -> Response:
        """Answer a page of several symbols."""
        asked = window(request, several(request), self._floor.now, self._options)
        grouped, token = _grouped(asked, self._rows(asked, bodies))
        return reply(with_currency({name: grouped, "next_page_token": token}, asked.currency))

    def _single(self, request: Request, name: str, bodies: Bodies) -> Response:
        """Answer a page of one symbol."""
        asked = window(request, one(request), self._floor.now, self._options)
        grouped, token = _grouped(asked, self._rows(asked, bodies))
        symbol = asked.symbols[0]
        answer: dict[str, object] = {
            name: grouped.get(symbol, []),
            "symbol": symbol,
            "next_page_token": token,
        }
        return reply(with_currency(answer, asked.currency))

    def _rows(self, asked: Window, bodies: Bodies) -> Iterator[Row]:
        """Give what is left of a request, row by row, made as it is taken."""
        for symbols, start, end in asked.parts():
            for symbol in symbols if not asked.is_empty else ():
                if symbol in self._floor.market.symbols:
                    for tick in self._archive.ticks(symbol, start, end, newest_first=asked.newest_first):
                        for body in bodies(symbol, tick, asked):
                            yield symbol, tick.seen.at, body

    def _trade(self, symbol: str, tick: Tick, asked: Window) -> list[wire.Json]:
        """Write a tick's trade, and what became of it."""
        listed_on = self._floor.asset(symbol).exchange
        trade = ticks.trade(symbol, tick, listed_on=listed_on, iex_only=asked.feed == "iex")
        body = trade_body(trade)
        match self._amendments.of(symbol, trade.trade_id):
            case None:
                return [body]
            case StreamCancel():
                return [body | {"u": "canceled"}]
            case StreamCorrection(corrected_id=name, corrected_price=price, corrected_size=size):
                right = body | {"i": name, "p": price, "s": size, "u": "corrected"}
                return [body | {"u": "incorrect"}, right]

    def _quote(self, symbol: str, tick: Tick, asked: Window) -> list[wire.Json]:
        """Write a tick's quote."""
        listed_on = self._floor.asset(symbol).exchange
        quote = ticks.quote(symbol, tick.seen, listed_on=listed_on, iex_only=asked.feed == "iex")
        return [quote_body(quote)]

    def _auction_window(self, request: Request, symbols: tuple[str, ...]) -> Window:
        """Read a request for auctions: SIP alone reports them."""
        if request.query_params.get("feed") not in (None, "", "sip"):
            raise Refusal(400, BAD_REQUEST, f"invalid feed: {request.query_params['feed']}")
        return window(request, symbols, self._floor.now, self._options)

    def _days(self, asked: Window) -> Iterator[Row]:
        """Give the days with auctions inside the interval."""
        for symbols, start, end in asked.parts():
            sessions = self._archive.sessions(start, end)
            for symbol in symbols if not asked.is_empty else ():
                for hours in reversed(sessions) if asked.newest_first else sessions:
                    day = self._auction_day(symbol, hours, start, end)
                    if day is not None:
                        yield symbol, hours.closes_at if asked.newest_first else hours.opens_at, day

    def _auction_day(
        self, symbol: str, hours: SessionHours, start: datetime, end: datetime
    ) -> wire.Json | None:
        """Write a day's auctions that lie in [start, end], or None when there are none."""
        opening, closing = self._archive.auction_prints(symbol, hours)
        if opening is not None and not start <= opening.at <= end:
            opening = None
        if closing is not None and not start <= hours.closes_at <= end:
            closing = None
        if opening is None and closing is None:
            return None
        return {
            "d": hours.session_date.isoformat(),
            "o": _auction(opening, opening.at if opening is not None else None, OPENING_CONDITIONS),
            "c": _auction(closing, hours.closes_at, CLOSING_CONDITIONS),
        }


def latest_trade(floor: Floor, archive: Archive, symbol: str, asked: Latest) -> StreamTrade | None:
    """Give a symbol's newest trade, or None."""
    if asked.is_empty or symbol not in floor.market.symbols:
        return None
    found = archive.latest_tick(symbol, asked.at)
    if found is None:
        return None
    return ticks.trade(symbol, found, listed_on=floor.asset(symbol).exchange, iex_only=asked.feed == "iex")


def latest_quote(floor: Floor, archive: Archive, symbol: str, asked: Latest) -> StreamQuote | None:
    """Give a symbol's newest quote, or None."""
    if asked.is_empty or symbol not in floor.market.symbols:
        return None
    found = archive.latest_tick(symbol, asked.at)
    if found is None:
        return None
    return ticks.quote(
        symbol, found.seen, listed_on=floor.asset(symbol).exchange, iex_only=asked.feed == "iex"
    )


def trade_body(trade: StreamTrade) -> wire.Json:
    """Write a trade as REST has it: the stream's fields without type and symbol."""
    return _rest(fields(trade))


def quote_body(quote: StreamQuote) -> wire.Json:
    """Write a quote as REST has it."""
    return _rest(fields(quote))


def _rest(body: wire.Json) -> wire.Json:
    """Bring a stream message to REST's form: keys in alphabetical order, the instant as text."""
    kept = {name: value for name, value in body.items() if name not in ("T", "S")}
    return dict(sorted({**kept, "t": wire.instant(body["t"])}.items()))


def _grouped(asked: Window, rows: Iterator[Row]) -> tuple[dict[str, list[wire.Json]], str | None]:
    """Collect one page by symbol, and the token of the next."""
    grouped: dict[str, list[wire.Json]] = {}
    skip = 0 if asked.begun is None else asked.begun.given
    taken = 0
    last: Mark | None = None
    for symbol, at, body in rows:
        same = last is not None and (last.symbol, last.ts) == (symbol, at)
        if taken == asked.limit:
            assert last is not None
            return grouped, last.token()
        last = Mark(symbol, at, last.given + 1 if same and last is not None else 1)
        if skip > 0:
            skip -= 1
            continue
        grouped.setdefault(symbol, []).append(body)
        taken += 1
    return grouped, None


def _auction(seen: Print | None, at: datetime | None, conditions: tuple[str, str]) -> list[wire.Json]:
    """Write an auction's trade and official price, or nothing."""
    if seen is None or at is None:
        return []
    size = max(int(seen.liquidity), 1)
    return [
        {"c": condition, "p": float(seen.price), "s": size, "t": wire.instant(at), "x": "Q"}
        for condition in conditions
    ]

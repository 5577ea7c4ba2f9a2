"""What a market data request asks for: symbols, interval, feed, order, page (ALPACA.md section 4).

Read once for bars, trades, quotes and auctions alike. Market data has error bodies of its own: a message
without a code, but for a feed the plan does not have.
"""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from desk.exchange import query
from desk.exchange.archive import midnight
from desk.exchange.data_plan import DataOptions
from desk.exchange.door import FrontDoor, Handler, reply
from desk.exchange.refusals import BAD_REQUEST, UNPROCESSABLE, Refusal

LIMIT_DEFAULT = 1_000  # ALPACA.md section 4
LIMIT_MAX = 10_000
HISTORICAL_FEEDS = ("sip", "iex", "otc", "boats")
LATEST_FEEDS = ("sip", "iex", "otc", "boats", "delayed_sip", "overnight")
OF_THIS_VENUE = frozenset({"sip", "iex", "delayed_sip"})  # the others have nothing here
TOO_RECENT = "subscription does not permit querying recent SIP data"
_SYMBOL = re.compile(r"[A-Za-z0-9][A-Za-z0-9./_-]{0,31}")


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a page ended: its last row's symbol and instant, and how many rows of that instant it had."""

    symbol: str
    ts: datetime
    given: int

    def token(self) -> str:
        """Write it as the opaque token of the next page."""
        return base64.b64encode(f"{self.symbol}|{self.ts.isoformat()}|{self.given}".encode()).decode()


@dataclass(frozen=True, slots=True)
class Window:
    """A historical request."""

    symbols: tuple[str, ...]  # sorted, each once
    start: datetime
    end: datetime
    limit: int
    newest_first: bool
    feed: str
    after: Mark | None
    currency: str | None

    @property
    def is_empty(self) -> bool:
        """Tell whether there can be nothing: a feed this venue does not have, or an interval that is none."""
        return self.feed not in OF_THIS_VENUE or self.start > self.end

    @property
    def begun(self) -> Mark | None:
        """Give the mark of the symbol that the last page broke off in, if it is one of those asked for."""
        return self.after if self.after is not None and self.after.symbol in self.symbols else None

    def parts(self) -> Iterator[tuple[tuple[str, ...], datetime, datetime]]:
        """Give (symbols, start, end) of what is left: the rest of the symbol begun, then the others whole.

        The first rows of a symbol begun are those of the mark's instant that its page gave already.
        """
        mark = self.after
        if mark is None:
            yield self.symbols, self.start, self.end
            return
        if self.begun is not None:
            if self.newest_first:
                yield (mark.symbol,), self.start, min(mark.ts, self.end)
            else:
                yield (mark.symbol,), max(mark.ts, self.start), self.end
        left = tuple(symbol for symbol in self.symbols if symbol > mark.symbol)
        if left:
            yield left, self.start, self.end


def window(request: Request, symbols: tuple[str, ...], now: datetime, options: DataOptions) -> Window:
    """Read a historical request.

    Raises:
        Refusal: a parameter is wrong, or the plan does not reach so far.
    """
    wanted = request.query_params
    feed = _feed(wanted, HISTORICAL_FEEDS, options)
    newest = options.newest(feed, now)
    start, end = query.moment(wanted, "start", status=400), query.moment(wanted, "end", status=400)
    if end is not None and newest < end and newest != now:
        raise Refusal(403, UNPROCESSABLE, TOO_RECENT)
    if start is not None and end is not None and end < start:
        raise Refusal(400, BAD_REQUEST, "end should not be before start")
    _asof(wanted)
    return Window(
        symbols=checked(symbols),
        start=start if start is not None else min(midnight(now), newest),
        end=end if end is not None else newest,
        limit=query.integer(wanted, "limit", default=LIMIT_DEFAULT, most=LIMIT_MAX, status=400),
        newest_first=query.choice(wanted, "sort", ("asc", "desc"), status=400) == "desc",
        feed=feed,
        after=_mark(wanted.get("page_token")),
        currency=_currency(wanted),
    )


@dataclass(frozen=True, slots=True)
class Latest:
    """A request for the newest of something."""

    symbols: tuple[str, ...]
    feed: str
    at: datetime  # what came later is not shown
    currency: str | None

    @property
    def is_empty(self) -> bool:
        """Tell whether this venue has nothing of the feed."""
        return self.feed not in OF_THIS_VENUE


def latest(request: Request, symbols: tuple[str, ...], now: datetime, options: DataOptions) -> Latest:
    """Read a request for the newest.

    Raises:
        Refusal: a parameter is wrong, or the plan does not have the feed.
    """
    feed = _feed(request.query_params, LATEST_FEEDS, options)
    if feed == "sip" and options.newest(feed, now) != now:
        raise Refusal(403, UNPROCESSABLE, TOO_RECENT)
    return Latest(checked(symbols), feed, options.newest(feed, now), _currency(request.query_params))


def several(request: Request) -> tuple[str, ...]:
    """Read the symbols of a request for several.

    Raises:
        Refusal: there are none.
    """
    symbols = query.words(request.query_params, "symbols")
    if not symbols:
        raise Refusal(400, BAD_REQUEST, "symbols is required")
    return symbols


def one(request: Request) -> tuple[str, ...]:
    """Read the symbol of a request for one."""
    return (str(request.path_params["symbol"]),)


def checked(symbols: tuple[str, ...]) -> tuple[str, ...]:
    """Give symbols sorted, each once.

    Raises:
        Refusal: one is not written as a symbol is; an unknown one is no error.
    """
    for symbol in symbols:
        if _SYMBOL.fullmatch(symbol) is None:
            raise Refusal(400, BAD_REQUEST, f"invalid symbol: {symbol}")
    return tuple(sorted(set(symbols)))


def routes(door: FrontDoor, table: Mapping[str, Handler]) -> list[Route]:
    """Give GET routes whose refusals have the market data's body."""
    return door.routes(*(("GET", path, _worded(handler)) for path, handler in table.items()))


def with_currency(body: dict[str, object], currency: str | None) -> dict[str, object]:
    """Name the currency where the request did."""
    return body if currency is None else {**body, "currency": currency}


def _worded(handler: Handler) -> Handler:
    """Wrap a handler: a refusal of a parameter is a message without a code."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except Refusal as refused:
            if refused.code != BAD_REQUEST:
                raise
            return reply({"message": refused.message}, refused.status)

    return answer


def _feed(wanted: Mapping[str, str], allowed: tuple[str, ...], options: DataOptions) -> str:
    """Read the feed; the best of the plan by default."""
    if not wanted.get("feed"):
        return options.default_feed
    return query.choice(wanted, "feed", allowed, status=400)


def _asof(wanted: Mapping[str, str]) -> date | None:
    """Check `asof`, which changes nothing here: no symbol of this venue ever had another name."""
    return None if wanted.get("asof") == "-" else query.day(wanted, "asof", status=400)


def _currency(wanted: Mapping[str, str]) -> str | None:
    """Read the currency: US dollars are what this venue has."""
    currency = wanted.get("currency")
    if currency and currency.upper() != "USD":
        raise Refusal(400, BAD_REQUEST, f"invalid currency: {currency}; this venue has USD")
    return "USD" if currency else None


def _mark(token: str | None) -> Mark | None:
    """Read a page token.

    Raises:
        Refusal: it is not one of ours.
    """
    if not token:
        return None
    try:
        symbol, stamp, given = base64.b64decode(token, validate=True).decode().split("|")
        ts, count = datetime.fromisoformat(stamp), int(given)
        if ts.tzinfo is None or count < 1:
            raise ValueError(stamp)
    except (ValueError, binascii.Error) as error:
        raise Refusal(400, BAD_REQUEST, f"invalid page_token: {token}") from error
    return Mark(symbol, ts, count)

"""Watchlists: named, ordered lists of symbols that clients keep at the broker; no trade depends on them.

A list is found by its id or by its name, which is unique. Texts of refusals are ours but for "watchlist name
must be unique", which was recorded; the codes are the service's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from desk.exchange import intake
from desk.exchange.account import account_id
from desk.exchange.door import FrontDoor, reply
from desk.exchange.floor import Floor
from desk.exchange.orders import Ids
from desk.exchange.reference import asset
from desk.exchange.refusals import BAD_REQUEST, NOT_FOUND, Refusal
from desk.exchange.wire import Json, instant

NAME_MAX = 64  # characters, as documented
LISTS_MAX = 200  # an account's lists: bounded, as everything a stranger may fill is
SYMBOLS_MAX = 1000


@dataclass(frozen=True, slots=True)
class Watchlist:
    """One list."""

    watchlist_id: str
    name: str
    symbols: tuple[str, ...]
    created_at: datetime
    updated_at: datetime


class WatchlistsApi:
    """Handlers, and the lists themselves."""

    def __init__(self, floor: Floor, door: FrontDoor) -> None:
        """Start without lists."""
        self._floor = floor
        self._door = door
        self._ids = Ids(floor.seed)
        self._lists: dict[str, Watchlist] = {}

    def routes(self) -> list[Route]:
        """Give the routes; by name they are the same handlers as by id."""
        return self._door.routes(
            ("GET", "/v2/watchlists", self.listing),
            ("POST", "/v2/watchlists", self.create),
            ("GET", "/v2/watchlists:by_name", self.one),
            ("PUT", "/v2/watchlists:by_name", self.update),
            ("POST", "/v2/watchlists:by_name", self.add),
            ("DELETE", "/v2/watchlists:by_name", self.delete),
            ("GET", "/v2/watchlists/{watchlist_id}", self.one),
            ("PUT", "/v2/watchlists/{watchlist_id}", self.update),
            ("POST", "/v2/watchlists/{watchlist_id}", self.add),
            ("DELETE", "/v2/watchlists/{watchlist_id}", self.delete),
            ("DELETE", "/v2/watchlists/{watchlist_id}/{symbol:path}", self.remove),
        )

    async def listing(self, request: Request) -> Response:
        """Answer every list, without its assets."""
        return reply([self._head(found) for found in self._lists.values()])

    async def create(self, request: Request) -> Response:
        """Make a list."""
        body = intake.loads(await request.body())
        if len(self._lists) >= LISTS_MAX:
            raise Refusal(422, BAD_REQUEST, f"an account has at most {LISTS_MAX} watchlists")
        name, symbols = self._name(body, None), self._symbols(body)
        now = self._floor.now
        return self._keep(Watchlist(self._ids.next("watchlist"), name, symbols, now, now))

    async def one(self, request: Request) -> Response:
        """Answer one list."""
        return self._answer(self._found(request))

    async def update(self, request: Request) -> Response:
        """Give a list another name, other symbols, or both; null leaves as it is."""
        found = self._found(request)
        body = intake.loads(await request.body())
        name = found.name if body.get("name") is None else self._name(body, found)
        symbols = found.symbols if body.get("symbols") is None else self._symbols(body)
        return self._keep(replace(found, name=name, symbols=symbols, updated_at=self._floor.now))

    async def add(self, request: Request) -> Response:
        """Append a symbol; one that is there already stays where it is."""
        found = self._found(request)
        symbol = intake.text(intake.loads(await request.body()), "symbol")
        symbols = self._symbols({"symbols": [*found.symbols, symbol]})
        return self._keep(replace(found, symbols=symbols, updated_at=self._floor.now))

    async def remove(self, request: Request) -> Response:
        """Take a symbol out."""
        found = self._found(request)
        symbol = request.path_params["symbol"]
        if symbol not in found.symbols:
            raise Refusal(404, NOT_FOUND, f"symbol not found in watchlist: {symbol}")
        symbols = tuple(name for name in found.symbols if name != symbol)
        return self._keep(replace(found, symbols=symbols, updated_at=self._floor.now))

    async def delete(self, request: Request) -> Response:
        """Delete a list: 204."""
        del self._lists[self._found(request).watchlist_id]
        return Response(status_code=204)

    def _found(self, request: Request) -> Watchlist:
        """Find the list a request names by id or by name.

        Raises:
            Refusal: 404.
        """
        wanted = request.path_params.get("watchlist_id")
        if wanted is not None:
            found = self._lists.get(wanted)
        else:
            wanted = request.query_params.get("name", "")
            found = next((one for one in self._lists.values() if one.name == wanted), None)
        if found is None:
            raise Refusal(404, NOT_FOUND, f"watchlist not found for {wanted}")
        return found

    def _name(self, body: Mapping[str, Any], own: Watchlist | None) -> str:
        """Read a list's name.

        Raises:
            Refusal: 422, it is empty, too long, or another list's.
        """
        name = intake.text(body, "name")
        if name == "" or len(name) > NAME_MAX:
            raise Refusal(422, BAD_REQUEST, f"watchlist name must have 1 to {NAME_MAX} characters")
        if any(one.name == name and one is not own for one in self._lists.values()):
            raise Refusal(422, BAD_REQUEST, "watchlist name must be unique")
        return name

    def _symbols(self, body: Mapping[str, Any]) -> tuple[str, ...]:
        """Read a list's symbols, each once; none is an empty list.

        Raises:
            Refusal: 422, they are no list, too many, or one is unknown.
        """
        given = body.get("symbols")
        if given is None:
            return ()
        if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
            raise Refusal(422, BAD_REQUEST, "symbols must be a list of symbols")
        symbols = tuple(dict.fromkeys(given))
        if len(symbols) > SYMBOLS_MAX:
            raise Refusal(422, BAD_REQUEST, f"a watchlist has at most {SYMBOLS_MAX} symbols")
        known = {share.symbol for share in self._floor.assets()}
        for name in symbols:
            if name not in known:
                raise Refusal(422, BAD_REQUEST, f"asset not found for {name}")
        return symbols

    def _keep(self, changed: Watchlist) -> Response:
        """Store a list and answer it."""
        self._lists[changed.watchlist_id] = changed
        return self._answer(changed)

    def _answer(self, found: Watchlist) -> Response:
        """Answer a list with its assets."""
        return reply(
            {**self._head(found), "assets": [asset(self._floor.asset(name)) for name in found.symbols]}
        )

    def _head(self, found: Watchlist) -> Json:
        """Write a list without its assets."""
        return {
            "id": found.watchlist_id,
            "account_id": account_id(self._floor),
            "created_at": instant(found.created_at),
            "updated_at": instant(found.updated_at),
            "name": found.name,
        }

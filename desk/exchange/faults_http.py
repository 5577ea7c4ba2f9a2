"""A fault plan at the door of the HTTP venue: real 504s, silence, cut sockets, HTML, broken JSON.

It stands outside of everything else, so a struck request may never reach the floor, or reach it and lose its
answer. What a call is answered comes from `faults_calls`, as in process. Control paths (/sim) are never
struck.

`GET /sim/faults` tells the plan in force and how often each fault was done; `POST /sim/faults` takes another
plan, as JSON of the same keys, from the venue's next instant on.
"""

import asyncio
import json
import re
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, unquote

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from desk.exchange import intake, wire
from desk.exchange.door import RATE_LIMIT, reply
from desk.exchange.faults import Strike
from desk.exchange.faults_calls import Trouble, trouble_of
from desk.exchange.faults_floor import FloorFaults
from desk.exchange.refusals import BAD_REQUEST, NOT_FOUND, Refusal
from schemas.faults import Call, Family, FaultKind, FaultPlan, complaint

BODY_READ_MAX = 1 << 20  # bytes read to learn an order's symbol; the door refuses more
UNCUT = "the server gave no way to cut the connection"
_ONE_ORDER = {"GET": Call.ORDER, "PATCH": Call.REPLACE, "DELETE": Call.CANCEL}
_ORDERS = {"GET": Call.ORDERS, "POST": Call.SUBMIT, "DELETE": Call.CANCEL_ALL}
_PATHS: tuple[tuple[re.Pattern[str], dict[str, Call] | Call], ...] = tuple(
    (re.compile(pattern), call)
    for pattern, call in (
        (r"/v2/orders", _ORDERS),
        (r"/v2/orders:by_client_order_id", Call.ORDER_BY_CLIENT_ID),
        (r"/v2/orders/[^/]+", _ONE_ORDER),
        (r"/v2/positions(/.+)?", {"GET": Call.POSITIONS, "DELETE": Call.CLOSE}),
        (r"/v2/account", Call.ACCOUNT),
        (r"/v2/account/activities(/.+)?", Call.FILLS),
        (r"/v2/account/portfolio/history", Call.HISTORY),
        (r"/v2/account/configurations", Call.CONFIGURATIONS),
        (r"/v\d/clock", Call.CLOCK),
        (r"/v\d/calendar(/.+)?", Call.CALENDAR),
        (r"/v2/assets(/.+)?", Call.ASSETS),
        (r"/v2/stocks(/.+)?/bars(/latest)?", Call.BARS),
        (r"/v2/stocks/.+", Call.MARKET),
        (r"/v2/(options|corporate_actions)/.+|/v1beta1/.+|/v1/corporate-actions", Call.MARKET),
    )
)


def call_of(method: str, path: str) -> Call | None:
    """Give what a request asks for, or None for a path no plan knows."""
    for pattern, found in _PATHS:
        if pattern.fullmatch(path) is not None:
            return found if isinstance(found, Call) else found.get(method)
    return None


class FaultyDoor:
    """An application with a fault plan before it."""

    def __init__(self, app: ASGIApp, faults: FloorFaults) -> None:
        """Stand before an application."""
        self._app = app
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, or give it what the plan has for it."""
        mischief = self._faults.mischief
        call = call_of(scope["method"], scope["path"]) if scope["type"] == "http" else None
        if call is None or not mischief.has(Family.CALL):
            await self._app(scope, receive, send)
            return
        body = await _body(receive) if scope["method"] in ("POST", "PATCH") else b""
        symbols = self._symbols(call, scope, body)
        strike = mischief.call(call, symbols, self._faults.floor.now)
        given = _Given(body, receive)
        trouble = None if strike is None else trouble_of(strike, "".join(symbols[:1]))
        if strike is None:
            await self._app(scope, given, send)
        elif trouble is None:
            await self._shaped(strike, scope, given, send)
        else:
            await self._troubled(trouble, scope, given, send)

    async def _troubled(self, trouble: Trouble, scope: Scope, given: "_Given", send: Send) -> None:
        """Answer otherwise than asked."""
        answer = _Answer()
        if trouble.lands:
            await self._app(scope, given, answer)
        if trouble.status == 0:
            await given.left(trouble.silent_s)
            await _cut(given, send)
            return
        body, media_type = trouble.body.encode(), trouble.media_type
        if trouble.refusal is not None:
            body, media_type = wire.dumps(wire.refusal(trouble.refusal)), "application/json"
        elif trouble.cuts_body:
            body = answer.body[: len(answer.body) // 2] or b"{"
        headers = dict(trouble.headers)
        if trouble.status == 429 and headers:
            minute = self._faults.floor.now.replace(second=0, microsecond=0) + timedelta(minutes=1)
            headers |= {
                "X-RateLimit-Limit": str(RATE_LIMIT),
                "X-RateLimit-Reset": str(int(minute.timestamp())),
            }
        response = Response(body, trouble.status, headers, media_type)
        await response(scope, given, send)

    async def _shaped(self, strike: Strike, scope: Scope, given: "_Given", send: Send) -> None:
        """Give the true answer, changed."""
        if strike.kind is FaultKind.POSITIONS_LAG:
            await self._old_positions(strike, scope["path"])(scope, given, send)
            return
        answer = _Answer()
        await self._app(scope, given, answer)
        body = answer.body
        if answer.status == 200 and strike.kind is FaultKind.CLOCK_SKEW:
            body = _skewed(body, timedelta(seconds=strike.rule.skew_s))
        elif answer.status == 200 and strike.kind is FaultKind.FILLS_REORDERED:
            body = _reordered(body)
        headers = [(name, value) for name, value in answer.headers if name.lower() != b"content-length"]
        headers.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _old_positions(self, strike: Strike, path: str) -> Response:
        """Answer the positions, or one of them, as they were."""
        floor = self._faults.floor
        held = self._faults.holdings_at(floor.now - timedelta(seconds=strike.rule.delay))
        name = unquote(path.removeprefix("/v2/positions").strip("/"))
        if name == "":
            return reply([wire.position(floor, holding) for holding in held])
        for holding in held:
            if name in (holding.symbol, wire.asset_id(holding.symbol)):
                return reply(wire.position(floor, holding))
        refusal = Refusal(404, NOT_FOUND, "position does not exist")
        return reply(wire.refusal(refusal), refusal.status)

    def _symbols(self, call: Call, scope: Scope, body: bytes) -> tuple[str, ...]:
        """Give the symbols a request is about, as far as it says."""
        path: str = scope["path"]
        if call is Call.SUBMIT:
            try:
                parsed = json.loads(body)
            except (ValueError, RecursionError):
                return ()
            symbol = parsed.get("symbol") if isinstance(parsed, dict) else None
            return (symbol,) if isinstance(symbol, str) else ()
        if call in (Call.ORDER, Call.CANCEL, Call.REPLACE):
            order = self._faults.floor.blotter.orders.get(path.rpartition("/")[2])
            return () if order is None else (order.symbol,)
        if call in (Call.BARS, Call.MARKET):
            named = parse_qs(scope["query_string"].decode("latin-1")).get("symbols")
            if named is not None:
                return tuple(named[0].split(","))
            parts = path.split("/")
            return (unquote(parts[3]),) if len(parts) > 4 and parts[2] == "stocks" else ()
        if call in (Call.ASSETS, Call.CLOSE) and path.count("/") > 2:
            return (unquote(path.rpartition("/")[2]),)
        return ()


class FaultsApi:
    """The plan's own paths, for whoever drives the venue."""

    def __init__(self, faults: FloorFaults) -> None:
        """Keep the plan in force."""
        self._faults = faults

    def routes(self) -> list[Route]:
        """Give the routes under /sim."""
        return [
            Route("/sim/faults", self.counts, methods=["GET"]),
            Route("/sim/faults", self.take, methods=["POST"]),
        ]

    async def counts(self, request: Request) -> Response:
        """Answer what was done so far, and by which plan."""
        return reply(self._state())

    async def take(self, request: Request) -> Response:
        """Put another plan in force."""
        try:
            plan = FaultPlan.model_validate(dict(intake.loads(await request.body())))
        except ValidationError as error:
            return reply({"code": BAD_REQUEST, "message": complaint(error)}, 422)
        except Refusal as refused:
            return reply(wire.refusal(refused), refused.status)
        self._faults.take(plan)
        return reply(self._state())

    def _state(self) -> wire.Json:
        """Write plan, seed and counts."""
        mischief = self._faults.mischief
        counts = self._faults.counts()
        return {
            "seed": mischief.seed,
            "rules": [rule.model_dump(mode="json", exclude_unset=True) for rule in mischief.plan.rules],
            "counts": counts,
            "total": sum(counts.values()),
        }


class _Given:
    """A request's messages once its body was read: the body again, then whatever comes."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        return await self._receive()

    async def left(self, seconds: float) -> None:
        """Wait until the client has gone, at most some real seconds, or until the server shuts down."""
        try:
            async with asyncio.timeout(seconds):
                while (await self._receive())["type"] != "http.disconnect":
                    continue
        except (TimeoutError, asyncio.CancelledError):
            return  # a venue told to stop cancels what hangs; the connection is cut either way


class _Answer:
    """An answer kept instead of sent."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message.get("headers", ()))
        elif message["type"] == "http.response.body":
            self.body += message.get("body", b"")


async def _body(receive: Receive) -> bytes:
    """Read a request's body, as far as anybody will look at it."""
    parts: list[bytes] = []
    size, more = 0, True
    while more and size <= BODY_READ_MAX:
        message = await receive()
        if message["type"] != "http.request":
            break
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        more = message.get("more_body", False)
    return b"".join(parts)


async def _cut(given: _Given, send: Send) -> None:
    """Cut the connection: a reset, as the client sees it.

    ASGI has no word for it, so the transport is taken from the server's own request (uvicorn's
    RequestResponseCycle, whose method `send` is).

    Raises:
        RuntimeError: the server is none that shows its transport.
    """
    transport: Any = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:
        raise RuntimeError(UNCUT)
    transport.abort()
    await given.left(1.0)  # the server learns of it in its next turn


def _skewed(body: bytes, skew: timedelta) -> bytes:
    """Give a clock's answer some time off."""
    told = json.loads(body)
    stamp = datetime.fromisoformat(told["timestamp"])
    return wire.dumps({**told, "timestamp": (stamp + skew).isoformat()})


def _reordered(body: bytes) -> bytes:
    """Give a page of activities with those of one millisecond in the opposite order.

    An activity's id begins with New York's time to the millisecond, seventeen digits.
    """
    rows = json.loads(body)
    if not isinstance(rows, list):
        return body
    groups: dict[str, list[object]] = {}
    for row in rows:
        groups.setdefault(str(row.get("id", ""))[:17], []).append(row)
    return wire.dumps([row for group in groups.values() for row in reversed(group)])

"""The front door of the HTTP venue: keys, rate limits, headers, and every refusal as JSON.

Every answer carries the X-RateLimit headers and a request id of its own, as the service's do, unknown paths
and wrong verbs included. Requests are counted per minute of the venue's time, trading and market data each
for itself: they are two hosts with a limit each. The count is enforced only when a limit is asked for,
because a lock-step day runs hundreds of its minutes in one of ours; it also starts anew after a minute of
ours, for a client that waits it out while a lock-step venue stands still.

Keys come as the two headers, as HTTP Basic, or as a bearer token, which is the secret where one is set.
"""

import base64
import binascii
import hmac
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from desk.exchange import wire
from desk.exchange.floor import Floor
from desk.exchange.orders import Ids
from desk.exchange.refusals import NOT_FOUND, Refusal

RATE_LIMIT = 200  # requests a minute, ALPACA.md section 2
RATE_LIMITED = 42910000
NOT_ALLOWED = 40510000
TOO_LARGE = 41310000
INTERNAL = 50010000
BODY_MAX = 1 << 20  # bytes: a thousand times the largest order, and nothing that hurts to hold
MINUTE = timedelta(minutes=1)
DATA_PATHS = ("/v2/stocks", "/v1beta1", "/v1/corporate-actions")  # the market data host's

Handler = Callable[[Request], Awaitable[Response]]


class Unauthorized(Exception):
    """Keys are missing or wrong."""


def reply(body: object, status: int = 200) -> Response:
    """Give a JSON answer."""
    return Response(wire.dumps(body), status_code=status, media_type="application/json")


class FrontDoor:
    """Lets requests in."""

    def __init__(
        self,
        floor: Floor,
        *,
        key: str | None,
        secret: str | None,
        rate_limit: int | None,
        data_limit: int = RATE_LIMIT,
        seconds: Callable[[], float],
    ) -> None:
        """Keep the keys and the limit; None accepts any keys, and any number of requests.

        Args:
            floor: the venue, whose minutes are counted.
            key: the only key accepted.
            secret: the only secret accepted.
            rate_limit: requests a minute, trading and market data each.
            data_limit: what market data's headers say where no limit is enforced: the plan's.
            seconds: a clock of ours that only goes forward.
        """
        self._floor = floor
        self._seconds = seconds
        self._began = seconds()
        self._key = key
        self._secret = secret
        self._enforce = rate_limit is not None
        self._limits = (RATE_LIMIT, data_limit) if rate_limit is None else (rate_limit, rate_limit)
        self._minute = _minute_of(floor.now)
        self._reset = _reset(self._minute)
        self._counts = [0, 0]  # trading, market data
        self._request_ids = Ids(floor.seed)

    def admits(self, key: str, secret: str) -> bool:
        """Tell whether keys are good: some must be given, and equal those configured, if any are."""
        if self._key is None or self._secret is None:
            return key != "" and secret != ""
        return _equal(key, self._key) and _equal(secret, self._secret)

    def routes(self, *table: tuple[str, str, Handler]) -> list[Route]:
        """Give routes of (verb, path, handler), each handler guarded; fixed paths come before templates."""
        return [Route(path, self.guarded(handler), methods=[verb]) for verb, path, handler in table]

    def guarded(self, handler: Handler) -> Handler:
        """Wrap a handler: keys, limit, refusals, headers."""

        async def answer(request: Request) -> Response:
            data = request.scope["path"].startswith(DATA_PATHS)
            remaining = self._spend(data=data)
            try:
                self._check(request)
                if self._enforce and remaining < 0:
                    raise Refusal(429, RATE_LIMITED, "too many requests." if data else "rate limit exceeded")
                response = await handler(request)
            except Unauthorized:
                response = reply({"message": "unauthorized."}, 401)
            except Refusal as refused:
                response = reply(wire.refusal(refused), refused.status)
            self._stamp(response, remaining, data=data)
            return response

        return answer

    async def no_route(self, request: Request, error: Exception) -> Response:
        """Answer an unknown path or a wrong verb, with the same checks as any other request."""
        assert isinstance(error, HTTPException)
        refusal = Refusal(404, NOT_FOUND, "endpoint not found")
        if error.status_code != 404:
            refusal = Refusal(405, NOT_ALLOWED, "method not allowed")

        async def refuse(request: Request) -> Response:
            raise refusal

        response = await self.guarded(refuse)(request)
        if response.status_code == 405:
            response.headers["Allow"] = ", ".join(_verbs(request))
        return response

    async def failed(self, request: Request, error: Exception) -> Response:
        """Answer a defect of ours as the service does; the server logs the error."""
        response = reply({"code": INTERNAL, "message": "internal server error occurred"}, 500)
        self._stamp(response, self._limits[0] - self._counts[0], data=False)
        return response

    def _check(self, request: Request) -> None:
        """Check the keys a request brings.

        Raises:
            Unauthorized: there are none, or they are wrong.
        """
        headers = request.headers
        key, secret = headers.get("APCA-API-KEY-ID", ""), headers.get("APCA-API-SECRET-KEY", "")
        if key == "" and secret == "":
            kind, _, token = headers.get("Authorization", "").partition(" ")
            if kind.lower() == "basic":
                key, secret = _basic(token)
            elif kind.lower() == "bearer":
                key, secret = self._key or "oauth", token.strip()
        if not self.admits(key, secret):
            raise Unauthorized

    def _spend(self, *, data: bool) -> int:
        """Count one request and give what is left of this minute; below zero is over the limit."""
        now = self._seconds()
        within = self._minute <= self._floor.now < self._minute + MINUTE and now < self._began + 60.0
        if not within:
            self._began, self._minute, self._counts = now, _minute_of(self._floor.now), [0, 0]
            self._reset = _reset(self._minute)
        self._counts[data] += 1
        return self._limits[data] - self._counts[data]

    def _stamp(self, response: Response, remaining: int, *, data: bool) -> None:
        """Add the headers of every answer."""
        response.raw_headers += [
            (b"x-ratelimit-limit", b"%d" % self._limits[data]),
            (b"x-ratelimit-remaining", b"%d" % max(remaining, 0)),
            (b"x-ratelimit-reset", self._reset),
            (b"x-request-id", self._request_ids.next("request").replace("-", "").encode()),
        ]


class BoundedBody:
    """Keeps bodies that are too large out, and reads paths as the service's proxy does.

    A declared length is judged before anything is read; a chunked body is read up to the limit. Slashes
    that follow one another count as one: a base address with a slash at its end is common.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Keep the application behind."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if "//" in scope["path"]:
            scope = {**scope, "path": "/" + "/".join(part for part in scope["path"].split("/") if part)}
        length = 0
        for name, value in scope["headers"]:
            if name == b"content-length":
                length = int(value) if value.isdigit() else 0
            elif name == b"transfer-encoding":
                body = await _read(receive)
                length = len(body)
                receive = _again(body, receive)
        if length > BODY_MAX:
            message = f"request body is larger than {BODY_MAX} bytes"
            await reply({"code": TOO_LARGE, "message": message}, 413)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _verbs(request: Request) -> list[str]:
    """Give the verbs a path is served under."""
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    found = (route.methods or set() for route in routes if route.matches(request.scope)[0] is not Match.NONE)
    return sorted(set().union(*found))


async def _read(receive: Receive) -> bytes:
    """Read a body to its end, or to just past the limit."""
    body = bytearray()
    while len(body) <= BODY_MAX:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            break
    return bytes(body)


def _again(body: bytes, receive: Receive) -> Receive:
    """Give a body that was read already, then what comes after it."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay


def _basic(token: str) -> tuple[str, str]:
    """Read key and secret of an HTTP Basic token; empty where it is none."""
    try:
        key, _, secret = base64.b64decode(token, validate=True).decode().partition(":")
    except (ValueError, binascii.Error):
        return "", ""
    return key, secret


def _equal(given: str, wanted: str) -> bool:
    """Compare without telling by time how much was right."""
    return hmac.compare_digest(given.encode(), wanted.encode())


def _minute_of(at: datetime) -> datetime:
    """Give the minute's start."""
    return at.replace(second=0, microsecond=0)


def _reset(minute: datetime) -> bytes:
    """Write when the minute's count starts anew."""
    return b"%d" % int((minute + MINUTE).timestamp())

"""The front door of the HTTP venue: keys, rate-limit headers, and refusals as JSON.

Every answer under /v2 carries the X-RateLimit headers and a request id, as the service's do. The count
is per minute of the venue's time; it is enforced only when a limit is asked for, because a lock-step
day runs hundreds of its minutes in one of ours.
"""

import hmac
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from desk.exchange import wire
from desk.exchange.floor import Floor
from desk.exchange.orders import Ids
from desk.exchange.refusals import Refusal

RATE_LIMIT = 200  # requests a minute, ALPACA.md section 2
RATE_LIMITED = 42910000

Handler = Callable[[Request], Awaitable[Response]]


class Unauthorized(Exception):
    """Keys are missing or wrong."""


def reply(body: object, status: int = 200) -> Response:
    """Give a JSON answer."""
    return Response(wire.dumps(body), status_code=status, media_type="application/json")


class FrontDoor:
    """Lets requests in."""

    def __init__(
        self, floor: Floor, *, key: str | None, secret: str | None, enforce_rate_limit: bool
    ) -> None:
        """Keep the keys; None accepts any."""
        self._floor = floor
        self._key = key
        self._secret = secret
        self._enforce = enforce_rate_limit
        self._minute = floor.now
        self._count = 0
        self._request_ids = Ids(floor.seed)

    def admits(self, key: str, secret: str) -> bool:
        """Tell whether keys are good: some must be given, and equal those configured, if any are."""
        if self._key is None or self._secret is None:
            return key != "" and secret != ""
        return hmac.compare_digest(key.encode(), self._key.encode()) and hmac.compare_digest(
            secret.encode(), self._secret.encode()
        )

    def routes(self, *table: tuple[str, str, Handler]) -> list[Route]:
        """Give routes of (verb, path, handler), each handler guarded; fixed paths come before templates."""
        return [Route(path, self.guarded(handler), methods=[verb]) for verb, path, handler in table]

    def guarded(self, handler: Handler) -> Handler:
        """Wrap a handler: keys, refusals, headers."""

        async def answer(request: Request) -> Response:
            remaining = self._spend()
            try:
                self._check(request)
                if self._enforce and remaining < 0:
                    raise Refusal(429, RATE_LIMITED, "rate limit exceeded")
                response = await handler(request)
            except Unauthorized:
                response = reply({"message": "unauthorized."}, 401)
            except Refusal as refused:
                response = reply(wire.refusal(refused), refused.status)
            response.headers["X-RateLimit-Limit"] = str(RATE_LIMIT)
            response.headers["X-RateLimit-Remaining"] = str(max(remaining, 0))
            response.headers["X-RateLimit-Reset"] = str(
                int((self._minute + timedelta(minutes=1)).timestamp())
            )
            response.headers["X-Request-ID"] = self._request_ids.next("request").replace("-", "")
            return response

        return answer

    def _check(self, request: Request) -> None:
        """Check the two headers, or any bearer token when no keys are configured."""
        headers = request.headers
        key = headers.get("APCA-API-KEY-ID", "")
        secret = headers.get("APCA-API-SECRET-KEY", "")
        if self._key is None and headers.get("Authorization", "") != "":
            return
        if not self.admits(key, secret):
            raise Unauthorized

    def _spend(self) -> int:
        """Count one request and give what is left of this minute; below zero is over the limit."""
        minute = _minute_of(self._floor.now)
        if minute != self._minute:
            self._minute, self._count = minute, 0
        self._count += 1
        return RATE_LIMIT - self._count


def _minute_of(at: datetime) -> datetime:
    """Give the minute's start."""
    return at.replace(second=0, microsecond=0)

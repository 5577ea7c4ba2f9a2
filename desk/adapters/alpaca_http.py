"""Speak HTTP through alpaca-py without its surprises.

alpaca-py 0.44 sets no timeout, sends every verb again on 429 and 504 (an order up to four times),
takes a 301 for a success with an empty answer, and lets requests' own exceptions through. Here its
transport is made to behave: `bound` mounts an adapter with connect, read and total limits that
refuses redirects, switches the retries off, and keeps .netrc and cookies out. `AlpacaHttp` then
gives two verbs with opposite rules:

- `read` may be repeated, so it is, a bounded number of times, on trouble that may pass
  (connection, timeout, 408, 429, 5xx, a broken body). It ends in an answer, NotFound or
  BrokerUnavailable. A 404 counts as NotFound only with Alpaca's own JSON: a proxy's or a wrong
  URL's 404 says nothing about an order.
- `write` is sent once. A 4xx that refuses the request is `Rejected`: Alpaca answers those before an
  order exists. So is a connection that was never made, because then nothing was sent, and a short
  outage would otherwise block a symbol until the close. Everything else is `OutcomeUnknown`:
  timeouts, lost connections, redirects, 408, 409, 5xx and a 2xx whose body cannot be read. A 429 is a
  definite refusal whoever says it: a rate limiter stands before what it protects.

Both ask the account's throttler first (desk/throttler.py), and tell it of every answer.

The total limit is there because a read timeout is per packet: a peer that drips one byte a second
would hold the desk for hours.
"""

import json
import logging
import re
from collections.abc import Callable, Mapping
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Literal

import requests
import tenacity
import urllib3
from alpaca.common.exceptions import APIError
from alpaca.common.rest import RESTClient
from requests.adapters import HTTPAdapter

from desk.adapters.alpaca_login import is_loopback
from desk.adapters.system_clock import monotonic
from desk.errors import BrokerUnavailable, NotFound, OutcomeUnknown, Rejected
from desk.throttler import Errand, Throttler

log = logging.getLogger(__name__)

REFUSALS = frozenset({400, 401, 403, 404, 405, 410, 413, 414, 415, 422})  # answered before an order exists
NOT_SENT = "not_sent"  # our own code: the connection was never made
PASSING = frozenset({408, 425, 429})  # 4xx that a later read may not meet
RETRY_WAIT_S = 0.25  # first pause between reads, doubled each time
RETRY_WAIT_MAX_S = 2.0  # a minute's bars are worth little after a few seconds
RETRY_AFTER_MAX_S = 5.0  # a server asking for more is taken for unavailable: the loop must go on
TOTAL_READS = 3  # a body may take this many read timeouts in all before it is given up
BODY_MAX_BYTES = 64 * 1024 * 1024  # 10,000 bars are about 1.5 MB; more than this is not an answer
CHUNK_BYTES = 64 * 1024
QUOTED_CHARS = 200  # of a foreign error body in a message

Body = Mapping[str, str | bool | Mapping[str, str]]  # of a write; take_profit and stop_loss are objects

OnAnswer = Callable[[int, Mapping[str, str]], None]  # told of each answer's status and headers


class Redirected(requests.RequestException):
    """The server pointed elsewhere; alpaca-py would have called it a success."""


class BoundedAdapter(HTTPAdapter):
    """An HTTP adapter with its own timeouts, a limit on the whole answer, and no redirects."""

    def __init__(
        self, *, connect_timeout_s: float, read_timeout_s: float, on_answer: OnAnswer | None = None
    ) -> None:
        self._on_answer = on_answer
        self._timeout = (connect_timeout_s, read_timeout_s)
        self._total_s = connect_timeout_s + TOTAL_READS * read_timeout_s
        super().__init__(max_retries=0)

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Send once and read the body whole within the limits.

        Raises:
            Redirected: any 3xx answer.
            requests.Timeout: a packet, or the whole answer, took too long.
            requests.ConnectionError: the connection failed or broke.
        """
        deadline = monotonic() + self._total_s
        kwargs.update(timeout=self._timeout, stream=True)
        response = super().send(request, **kwargs)
        if self._on_answer is not None:
            self._on_answer(response.status_code, response.headers)
        if 300 <= response.status_code < 400:
            response.close()
            raise Redirected(f"HTTP {response.status_code}, redirects are not followed", response=response)
        try:
            body = self._body(response, deadline)
        except urllib3.exceptions.ReadTimeoutError as error:
            raise requests.ReadTimeout(str(error), request=request) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            if isinstance(error, requests.RequestException):
                raise
            raise requests.ConnectionError(str(error), request=request) from error
        if response.encoding is None:
            response.encoding = "utf-8"  # JSON is; guessing it costs as much as the request
        response._content = body
        response._content_consumed = True  # type: ignore[attr-defined]
        return response

    def _body(self, response: requests.Response, deadline: float) -> bytes:
        """Collect what arrives, packet by packet, so that the deadline is looked at between them."""
        chunks: list[bytes] = []
        size = 0
        while chunk := response.raw.read1(CHUNK_BYTES, decode_content=True):
            chunks.append(chunk)
            size += len(chunk)
            if size > BODY_MAX_BYTES or monotonic() > deadline:
                response.close()
                raise requests.ReadTimeout(
                    f"answer not complete after {self._total_s:.0f} s or {BODY_MAX_BYTES} bytes"
                )
        response.raw.release_conn()
        return b"".join(chunks)


def bound(
    client: RESTClient,
    *,
    url: str,
    connect_timeout_s: float,
    read_timeout_s: float,
    on_answer: OnAnswer | None = None,
) -> None:
    """Make an alpaca-py client safe: timeouts, no hidden retries, no redirects, no .netrc, no cookies."""
    client._retry = 0
    client._retry_codes = []
    session = client._session
    for scheme in ("http://", "https://"):
        session.mount(
            scheme,
            BoundedAdapter(
                connect_timeout_s=connect_timeout_s, read_timeout_s=read_timeout_s, on_answer=on_answer
            ),
        )
    session.auth = _no_netrc
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    if is_loopback(url):
        session.trust_env = False  # a proxy from the environment cannot reach this machine's exchange


def _no_netrc(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Leave the request alone; an auth callable keeps requests from looking into .netrc."""
    return request


class _Passing(BrokerUnavailable):
    """A read's trouble that may pass."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class AlpacaHttp:
    """The two verbs of the adapters over one alpaca-py client.

    Args:
        client: any alpaca-py REST client; it is made safe by `bound`.
        url: the client's base URL, for the proxy rule and for messages.
        read_attempts: tries of a read, the first included.
        sleep: pauses between tries of a read, in seconds.
        throttler: the account's budget of requests; None counts nothing.
    """

    def __init__(
        self,
        client: RESTClient,
        *,
        url: str,
        connect_timeout_s: float,
        read_timeout_s: float,
        read_attempts: int,
        sleep: Callable[[float], None] = tenacity.nap.sleep,
        throttler: Throttler | None = None,
    ) -> None:
        bound(
            client,
            url=url,
            connect_timeout_s=connect_timeout_s,
            read_timeout_s=read_timeout_s,
            on_answer=None if throttler is None else throttler.answered,
        )
        self._throttler = throttler
        self._client = client
        self._read_attempts = read_attempts
        self._sleep = sleep

    def read(self, path: str, params: Mapping[str, str | int] | None = None) -> Any:
        """Give the JSON of a GET.

        Raises:
            NotFound: a 404 in Alpaca's own words.
            BrokerUnavailable: no usable answer after the bounded tries.
        """
        tries = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self._read_attempts),
            wait=_pause,
            retry=tenacity.retry_if_exception_type(_Passing),
            sleep=self._sleep,
            reraise=True,
        )
        answer: Any = None
        for attempt in tries:
            with attempt:
                is_again = attempt.retry_state.attempt_number > 1
                answer = self._read_once(path, params, is_again=is_again)
        return answer

    def _read_once(self, path: str, params: Mapping[str, str | int] | None, *, is_again: bool) -> Any:
        if self._throttler is not None and not self._throttler.admit(Errand.BOOKS, has_waited=is_again):
            raise BrokerUnavailable(f"GET {path}: not sent: {self._throttler.traffic().words}")
        try:
            return self._client.get(path, None if params is None else dict(params))
        except APIError as error:
            status, code, message = _refusal(error)
            said = _said("GET", path, status, code, message)
            if status == 404 and code != "":
                raise NotFound(said) from error
            if status in PASSING or status >= 500:
                raise _Passing(said, retry_after_s=_retry_after(error)) from error
            raise BrokerUnavailable(said) from error
        except Redirected as error:
            raise BrokerUnavailable(f"GET {path}: {error}") from error
        except (OSError, ValueError, RecursionError, urllib3.exceptions.HTTPError) as error:
            raise _Passing(f"GET {path}: {_cause(error)}") from error

    def write(
        self,
        method: Literal["POST", "PATCH", "DELETE"],
        path: str,
        body: Body | None = None,
        *,
        errand: Errand = Errand.EXIT,
    ) -> Any:
        """Send once and give the JSON of the answer, None when it is empty.

        Args:
            method: the verb.
            path: below the version.
            body: sent as JSON.
            errand: which share of the budget it may use.

        Raises:
            Rejected: a definite refusal; nothing changed because of this call.
            OutcomeUnknown: anything else that is not a readable 2xx.
        """
        if self._throttler is not None and not self._throttler.admit(errand):
            raise Rejected(f"not sent: {self._throttler.traffic().words}", code=NOT_SENT)
        try:
            if method == "DELETE":
                return self._client.delete(path)
            send = self._client.post if method == "POST" else self._client.patch
            return send(path, None if body is None else dict(body))
        except APIError as error:
            status, code, message = _refusal(error)
            if status in REFUSALS or status == 429:
                words = message or f"HTTP {status}"
                raise Rejected(words, code=code or str(status), status=status) from error
            raise OutcomeUnknown(_said(method, path, status, code, message)) from error
        except (OSError, ValueError, RecursionError, urllib3.exceptions.HTTPError) as error:
            if _never_connected(error):
                raise Rejected(f"{method} {path}: not sent: {_cause(error)}", code=NOT_SENT) from error
            raise OutcomeUnknown(f"{method} {path}: {_cause(error)}") from error


def _never_connected(error: Exception) -> bool:
    """Tell whether no connection was made, so that no byte of the request can have left."""
    if isinstance(error, requests.exceptions.ProxyError):
        return False
    if isinstance(error, requests.ConnectTimeout):
        return True
    cause = error.args[0] if isinstance(error, requests.ConnectionError) and error.args else None
    reason = getattr(cause, "reason", None)
    return isinstance(reason, urllib3.exceptions.NewConnectionError)


def _cause(error: Exception) -> str:
    """Name a transport error in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:QUOTED_CHARS]}"


def _said(method: str, path: str, status: int, code: str, message: str) -> str:
    """Say an error answer in one line; a title that begins with the status does not say it twice."""
    words = [f"{method} {path}: HTTP {status}", code, message.removeprefix(f"{status} ")]
    return " ".join(word for word in words if word)


def _plain(body: str) -> str:
    """Quote a body that is no JSON in one line; of a proxy's HTML page only its title says anything."""
    title = re.search(r"<title[^>]*>(.*?)</title>", body, re.IGNORECASE | re.DOTALL)
    return " ".join((title[1] if title is not None else body).split())[:QUOTED_CHARS]


def _refusal(error: APIError) -> tuple[int, str, str]:
    """Read status, code and message of an error answer whose body may be anything."""
    status = error.status_code or 0
    try:
        body = json.loads(str(error))
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        return status, "", _plain(str(error))
    code = body.get("code")
    message = body.get("message")
    return (
        status,
        "" if code is None else str(code),
        str(body)[:QUOTED_CHARS] if message is None else str(message),
    )


def _retry_after(error: APIError) -> float | None:
    """Read Retry-After in seconds; None when absent or in the rarely used date form."""
    response = error.response
    header = None if response is None else response.headers.get("Retry-After")
    if header is None or not header.strip().isdigit():
        return None
    return float(header)


def _pause(state: tenacity.RetryCallState) -> float:
    """Give the seconds to wait: what the server asked for within our limit, else doubling."""
    error = None if state.outcome is None else state.outcome.exception()
    if isinstance(error, _Passing) and error.retry_after_s is not None:
        return min(error.retry_after_s, RETRY_AFTER_MAX_S)
    doubled: float = RETRY_WAIT_S * 2 ** (state.attempt_number - 1)
    return min(doubled, RETRY_WAIT_MAX_S)

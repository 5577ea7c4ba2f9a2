"""The clock of the simulated exchange, over HTTP.

The venue owns the time. In lock step it stands still until somebody moves it: `sleep_until(t)` posts
`/sim/advance {"to": t}`, the venue plays the market up to t, and the answer's `now` is the time from
then on. Nothing else moves it, so `now()` needs no request. In paced mode the venue's time runs by
itself at `pace` times ours: `now()` is reckoned from the last answer, and `sleep_until` waits for it.

Advancing is to an absolute instant, so an advance whose answer was lost is simply asked for again.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import requests
import tenacity

from desk.adapters.alpaca_http import QUOTED_CHARS, BoundedAdapter
from desk.adapters.alpaca_login import is_loopback
from desk.adapters.alpaca_parse import Malformed, instant, row_of
from desk.adapters.system_clock import monotonic
from desk.errors import BrokerUnavailable
from desk.ports import Wake

STATE = "/sim/state"
ADVANCE = "/sim/advance"
ADVANCE_TIMEOUT_S = 120.0  # playing a whole day in one step takes seconds; this is a venue that hangs
ATTEMPTS = 3
RETRY_WAIT_S = 0.2
ANCHOR_MAX_S = 5.0  # in paced mode the reckoning is checked against the venue this often
ARRIVE_S = 1.0  # what was published arrives within milliseconds on loopback, unless a fault swallowed it
SLICE_S = 0.25  # in paced mode a sleep looks at the venue's time this often


class VenueClock:
    """`desk.ports.Clock` of an exchange server.

    Args:
        url: the server's base URL, without /v2.
        sleep: waits in paced mode and between tries, in our seconds.
        clock_s: our seconds that only run forward.
    """

    def __init__(
        self,
        url: str,
        *,
        connect_timeout_s: float = 3.0,
        sleep: Callable[[float], None] = tenacity.nap.sleep,
        clock_s: Callable[[], float] = monotonic,
    ) -> None:
        self._url = url
        self._sleep = sleep
        self._clock_s = clock_s
        self._session = requests.Session()
        self._session.trust_env = not is_loopback(url)
        for scheme in ("http://", "https://"):
            self._session.mount(
                scheme, BoundedAdapter(connect_timeout_s=connect_timeout_s, read_timeout_s=ADVANCE_TIMEOUT_S)
            )
        self._pace = 0.0  # venue seconds per second of ours; 0 in lock step
        self._now: datetime | None = None
        self._read_at_s = 0.0

    def now(self) -> datetime:
        """Give the venue's instant, aware UTC.

        Raises:
            BrokerUnavailable: the venue does not answer.
        """
        if self._now is None or (self._pace > 0 and self._clock_s() - self._read_at_s > ANCHOR_MAX_S):
            self._learn(self._ask("GET", STATE, None))
        return self._reckoned()

    def sleep_until(self, instant: datetime, wake: Wake | None = None) -> None:
        """Return when the venue's time is `instant` or later; in lock step it is played up to it.

        With `wake`, return once it is set. In lock step the venue then plays only to the first instant at
        which it publishes bars or a status; what it published may still be on its way, so the wake is given
        a moment of real time.

        Raises:
            BrokerUnavailable: the venue does not answer, or does not advance.
        """
        now = self.now()
        while self._pace > 0 and now < instant:
            left_s = min((instant - now).total_seconds() / self._pace, SLICE_S)
            if wake is None:
                self._sleep(left_s)
            elif wake.wait(left_s):
                return
            now = self.now()
        if now >= instant or (wake is not None and wake.is_set()):
            return
        to = instant.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        body = {"to": to} if wake is None else {"to": to, "until": "published"}
        answer = self._ask("POST", ADVANCE, body)
        self._learn(answer)
        if wake is not None and answer.get("published") is True:
            wake.wait(ARRIVE_S)
        elif self._reckoned() < instant:
            raise BrokerUnavailable(f"{ADVANCE}: asked for {to}, the venue stopped at {self._now}")

    @property
    def pace(self) -> float:
        """Give the venue's seconds in one of ours; 1 in lock step, where it waits for us.

        Raises:
            BrokerUnavailable: the venue does not answer.
        """
        if self._now is None:
            self.now()
        return self._pace if self._pace > 0 else 1.0

    def _reckoned(self) -> datetime:
        assert self._now is not None
        passed_s = self._clock_s() - self._read_at_s
        return self._now + timedelta(seconds=passed_s * self._pace)

    def _learn(self, state: Any) -> None:
        """Take over the venue's instant and pace; its time never runs backwards here."""
        try:
            row = row_of(state, "state")
            now = instant(row, "now")
        except Malformed as error:
            raise BrokerUnavailable(f"{self._url}{STATE}: {error}") from error
        self._now = now if self._now is None else max(now, self._reckoned())
        self._read_at_s = self._clock_s()
        if "pace" in row:
            pace = row["pace"]
            self._pace = float(pace) if isinstance(pace, int | float) else 0.0

    def _ask(self, method: str, path: str, body: dict[str, str] | None) -> Any:
        tries = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(ATTEMPTS),
            wait=tenacity.wait_fixed(RETRY_WAIT_S),
            retry=tenacity.retry_if_exception_type(BrokerUnavailable),
            sleep=self._sleep,
            reraise=True,
        )
        return tries(self._ask_once, method, path, body)

    def _ask_once(self, method: str, path: str, body: dict[str, str] | None) -> Any:
        try:
            response = self._session.request(method, self._url + path, json=body)
            if not response.ok:
                said = " ".join(response.text.split())[:QUOTED_CHARS]
                raise BrokerUnavailable(f"{method} {path}: HTTP {response.status_code} {said}")
            return response.json()
        except (OSError, ValueError) as error:
            raise BrokerUnavailable(f"{method} {path}: {error}") from error

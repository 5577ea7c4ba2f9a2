"""Deliver a notice to Discord, once, or say that it was not delivered.

The outbox in the ledger decides about trying again; here every call is one attempt with limits. A
429 is remembered until Discord's own time is up, so that the outbox can call as often as it likes
without making it worse. Nothing raises and nothing that holds the webhook's address, which is a
secret, is logged.
"""

import logging
import math
from collections.abc import Callable, Mapping

import requests
from discord_webhook import DiscordWebhook

from desk.adapters.system_clock import monotonic
from schemas.events import Channel

log = logging.getLogger(__name__)

CONTENT_MAX = 2000  # Discord refuses more characters in one message
CONNECT_TIMEOUT_S = 3.0
READ_TIMEOUT_S = 5.0  # a notice is never worth more of a minute than this
RETRY_AFTER_DEFAULT_S = 5.0  # for a 429 that does not say
RETRY_AFTER_MAX_S = 3600.0  # a day-long ban is asked about hourly
CUT = " [cut]"


class DiscordNotifier:
    """`desk.ports.Notifier` on Discord's webhooks.

    Args:
        webhooks: the address of each channel that has one.
        clock_s: seconds that only run forward; measures Discord's waiting time.
    """

    def __init__(
        self,
        webhooks: Mapping[Channel, str],
        *,
        timeout_s: tuple[float, float] = (CONNECT_TIMEOUT_S, READ_TIMEOUT_S),
        clock_s: Callable[[], float] = monotonic,
    ) -> None:
        self._webhooks = dict(webhooks)
        self._timeout_s = timeout_s
        self._clock_s = clock_s
        self._not_before_s: dict[str, float] = {}

    def routes(self, channel: str) -> bool:
        """Tell whether a channel has a webhook; a message for one without belongs in the log."""
        return channel in self._webhooks

    def send(self, channel: str, text: str) -> bool:
        """Give True when Discord took the message; False when it should be tried again later.

        False too for a channel without a webhook, which `routes` tells beforehand. Never raises.
        """
        if not self.routes(channel):
            return False
        if self._clock_s() < self._not_before_s.get(channel, 0.0):
            return False
        webhook = DiscordWebhook(
            self._webhooks[Channel(channel)],
            content=_fitted(text),
            allowed_mentions={"parse": []},  # a symbol or an error text must not ring everybody
            timeout=self._timeout_s,
        )
        try:
            # Not execute(): it waits on 429, logs bodies and fails on an answer that is not JSON.
            response = webhook.api_post_request()
        except (OSError, ValueError) as error:
            log.warning("notice not delivered", extra={"channel": channel, "cause": type(error).__name__})
            return False
        return self._judged(channel, response)

    def _judged(self, channel: str, response: requests.Response) -> bool:
        """Read the answer: 2xx without a detour is delivered, a 429 is remembered."""
        if response.status_code == 429:
            wait_s = _retry_after_s(response)
            self._not_before_s[channel] = self._clock_s() + wait_s
            log.warning("notice rate-limited", extra={"channel": channel, "wait_s": wait_s})
            return False
        if response.history or not 200 <= response.status_code < 300:
            log.warning("notice refused", extra={"channel": channel, "status": response.status_code})
            return False
        return True


def _fitted(text: str) -> str:
    """Cut to Discord's limit, visibly; an empty message, which Discord refuses, says so."""
    if text.strip() == "":
        return "(empty notice)"
    return text if len(text) <= CONTENT_MAX else text[: CONTENT_MAX - len(CUT)] + CUT


def _retry_after_s(response: requests.Response) -> float:
    """Read Discord's waiting time in seconds: the body's is finer than the header's."""
    try:
        body = response.json()
    except ValueError:
        body = None
    said = body.get("retry_after") if isinstance(body, dict) else None
    try:
        seconds = float(response.headers.get("Retry-After", "") if said is None else said)
    except (ValueError, TypeError):
        return RETRY_AFTER_DEFAULT_S
    if not math.isfinite(seconds):
        return RETRY_AFTER_DEFAULT_S
    return min(max(seconds, 0.0), RETRY_AFTER_MAX_S)

"""The notifier against a real local HTTP server, through the real discord-webhook."""

import pytest

from desk.adapters.discord import CONTENT_MAX, DiscordNotifier
from schemas.events import Channel
from tests.desk.adapters.rough import DRIP, HANG, RESET, Answer, rough_server

ALERTS = Channel.SYSTEM_ALERTS


def notifier(url: str, now_s: list[float]) -> DiscordNotifier:
    """Give a notifier with one webhook, short limits and a clock moved by hand."""
    return DiscordNotifier({ALERTS: url + "/hook"}, timeout_s=(0.5, 0.3), clock_s=lambda: now_s[0])


def test_a_message_is_sent_once_without_mentions() -> None:
    """One POST with the text, and nobody can be rung by its words."""
    with rough_server(lambda said: Answer(200, {"id": "1"})) as server:
        assert notifier(server.url, [0.0]).send(ALERTS, "@everyone AAPL")

        (said,) = server.seen
        assert said.body["content"] == "@everyone AAPL"
        assert said.body["allowed_mentions"] == {"parse": []}


def test_a_long_message_is_cut_to_discords_limit() -> None:
    """A message over the limit is cut and says so; Discord would refuse it whole."""
    with rough_server(lambda said: Answer(204)) as server:
        assert notifier(server.url, [0.0]).send(ALERTS, "x" * 5000)

        content = server.seen[0].body["content"]
        assert len(content) == CONTENT_MAX
        assert content.endswith("[cut]")


@pytest.mark.parametrize(
    "answer",
    [
        Answer(500, "<html>"),
        Answer(404, {"message": "Unknown Webhook"}),
        Answer(301, "", {"Location": "/elsewhere"}),
        RESET,
        HANG,
    ],
    ids=str,
)
def test_a_message_not_taken_is_to_be_tried_again(answer: Answer | str) -> None:
    """Whatever goes wrong is False, never an exception, and one attempt only."""
    with rough_server(lambda said: Answer(200, {}) if said.path == "/elsewhere" else answer) as server:
        assert not notifier(server.url, [0.0]).send(ALERTS, "text")

        assert server.count("POST") == 1


def test_nobody_there_is_to_be_tried_again() -> None:
    """A refused connection is False."""
    with rough_server(lambda said: DRIP) as server:
        url = server.url

    assert not notifier(url, [0.0]).send(ALERTS, "text")


@pytest.mark.parametrize(
    ("answer", "wait_s"),
    [
        (Answer(429, {"retry_after": 2.5}), 2.5),
        (Answer(429, "", {"Retry-After": "7"}), 7.0),
        (Answer(429, "<html>"), 5.0),
        (Answer(429, {"retry_after": "NaN"}), 5.0),
    ],
    ids=str,
)
def test_a_rate_limit_is_remembered(answer: Answer, wait_s: float) -> None:
    """After a 429 nothing is sent before Discord's time is up, and then it is."""
    answers = iter([answer, Answer(204)])
    now_s = [100.0]
    with rough_server(lambda said: next(answers)) as server:
        discord = notifier(server.url, now_s)

        assert not discord.send(ALERTS, "first")
        now_s[0] += wait_s - 0.01
        assert not discord.send(ALERTS, "too soon")
        assert len(server.seen) == 1
        now_s[0] += 0.02
        assert discord.send(ALERTS, "now")


def test_a_channel_without_a_webhook_is_not_its_business() -> None:
    """Nothing is sent, and `routes` says so beforehand."""
    discord = DiscordNotifier({})

    assert not discord.routes(ALERTS)
    assert not discord.send(ALERTS, "text")

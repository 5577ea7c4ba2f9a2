"""Whose money: every combination that could trade the wrong account is refused by name."""

from typing import Any

import pytest

from desk.adapters.alpaca_broker import connect_broker
from desk.adapters.alpaca_login import login
from desk.errors import ConfigError
from schemas.settings import Settings

PAPER = {"api_key": "PKTEST", "secret_key": "s"}
LIVE = {"api_key": "AKTEST", "secret_key": "s"}


def settings(**parts: Any) -> Settings:
    """Give settings of these parts."""
    return Settings.model_validate(parts)


@pytest.mark.parametrize(
    ("parts", "names"),
    [
        ({"account": {"mode": "live"}, "secrets": LIVE}, "live_confirmed"),
        ({"account": {"mode": "live", "live_confirmed": True}, "secrets": PAPER}, "PK, a paper key"),
        ({"secrets": LIVE}, "AK, a live key"),
        ({"secrets": {}}, "ALPACA_API_KEY and ALPACA_SECRET_KEY"),
        ({"secrets": {"api_key": "PK1"}}, "ALPACA_SECRET_KEY missing"),
        (
            {"secrets": PAPER, "broker": {"trading_url": "https://api.alpaca.markets"}},
            "live host api.alpaca.markets",
        ),
        (
            {"secrets": PAPER, "broker": {"stream_url": "wss://api.alpaca.markets/stream"}},
            "broker.stream_url",
        ),
        (
            {
                "account": {"mode": "live", "live_confirmed": True},
                "secrets": LIVE,
                "broker": {"trading_url": "https://paper-api.alpaca.markets"},
            },
            "paper host",
        ),
        ({"secrets": PAPER, "broker": {"trading_url": "https://data.alpaca.markets"}}, "market data host"),
        ({"secrets": PAPER, "broker": {"trading_url": "http://127.0.0.1:1/"}}, "trailing slash"),
        ({"secrets": PAPER, "broker": {"data_url": "http://127.0.0.1:1/v2"}}, "broker.data_url"),
        ({"secrets": PAPER, "broker": {"trading_url": "localhost:80"}}, "broker.trading_url"),
        ({"secrets": PAPER, "broker": {"stream_url": "http://127.0.0.1:1/stream"}}, "ws://"),
    ],
)
def test_a_contradiction_is_refused_by_name(parts: dict[str, Any], names: str) -> None:
    """Each mistake is one ConfigError naming the setting, before anything connects."""
    with pytest.raises(ConfigError, match=names):
        connect_broker(settings(**parts))


def test_paper_is_the_default_everywhere() -> None:
    """Without a word about mode or URLs everything points at paper."""
    account = login(settings(secrets=PAPER))

    assert account.paper
    assert account.trading_url == "https://paper-api.alpaca.markets"
    assert account.stream_url == "wss://paper-api.alpaca.markets/stream"
    assert account.data_url == "https://data.alpaca.markets"


def test_live_with_both_switches_points_at_live() -> None:
    """Mode and confirmation together, with a live key, mean real money."""
    account = login(settings(account={"mode": "live", "live_confirmed": True}, secrets=LIVE))

    assert not account.paper
    assert account.trading_url == "https://api.alpaca.markets"
    assert account.stream_url == "wss://api.alpaca.markets/stream"


def test_a_foreign_host_needs_no_keys_and_gets_its_own_stream() -> None:
    """The simulated exchange takes any key, and its stream stands beside its API."""
    url = "http://127.0.0.1:8765"
    account = login(settings(broker={"trading_url": url, "data_url": url}))

    assert account.stream_url == "ws://127.0.0.1:8765/stream"
    assert account.api_key != ""


def test_the_keys_are_not_shown() -> None:
    """A login in a log or traceback shows no key."""
    assert "PKTEST" not in repr(login(settings(secrets=PAPER)))

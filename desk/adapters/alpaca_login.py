"""Decide whose account is meant before anything connects: keys, URLs and the switch to real money.

alpaca-py reads nothing from the environment and believes what it is told, so a paper key with the
live URL gives a 401 in the middle of a morning, and a live key with `paper=False` gives real orders.
Both are settled here, once, as a ConfigError that names the setting.

Rules: live needs `account.mode: live` *and* `account.live_confirmed: true`; Alpaca's own hosts and
key prefixes (PK paper, AK live) must agree with the mode; a URL of somebody else (the simulated
exchange, a proxy) takes any key. Keys may be missing only there: the exchange accepts any.
"""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from alpaca.common.enums import BaseURL

from desk.errors import ConfigError
from schemas.settings import BrokerSettings, Mode, Settings

ALPACA_REQUESTS_PER_MINUTE = 200  # per account (ALPACA.md §2)
_PAPER_HOST = "paper-api.alpaca.markets"
_LIVE_HOST = "api.alpaca.markets"
_DATA_HOST = "data.alpaca.markets"
_KEY_PREFIX = {Mode.PAPER: "PK", Mode.LIVE: "AK"}
_HOST_OF = {Mode.PAPER: _PAPER_HOST, Mode.LIVE: _LIVE_HOST}


@dataclass(frozen=True)
class Login:
    """Where to connect and as whom; the keys stay out of its repr."""

    api_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    paper: bool
    trading_url: str
    data_url: str
    stream_url: str
    feed: str
    connect_timeout_s: float
    read_timeout_s: float
    read_attempts: int
    requests_per_minute: int | None = None  # None: nobody counts


def login(settings: Settings) -> Login:
    """Check the account's settings against each other and give what the adapters connect with.

    Raises:
        ConfigError: a missing key, a live mode not confirmed, a key or URL of the other mode, or a
            URL alpaca-py would join wrongly.
    """
    mode, broker = settings.account.mode, settings.broker
    if mode is Mode.LIVE and not settings.account.live_confirmed:
        raise ConfigError(
            "account.mode is live but account.live_confirmed is false; real money needs both, "
            "set account.live_confirmed: true or account.mode: paper"
        )
    trading = _base_url(broker.trading_url, "broker.trading_url", str(_trading_default(mode)))
    data = _base_url(broker.data_url, "broker.data_url", str(BaseURL.DATA.value))
    stream = _stream_url(broker, mode)
    _check_host(trading, "broker.trading_url", mode)
    _check_host(stream, "broker.stream_url", mode)
    api_key, secret_key = _keys(settings, foreign=not _is_alpaca(trading) and not _is_alpaca(data))
    if _is_alpaca(trading):
        _check_key(api_key, mode)
    return Login(
        api_key=api_key,
        secret_key=secret_key,
        paper=mode is Mode.PAPER,
        trading_url=trading,
        data_url=data,
        stream_url=stream,
        feed=broker.feed,
        connect_timeout_s=broker.connect_timeout_s,
        read_timeout_s=broker.read_timeout_s,
        read_attempts=broker.read_attempts,
        requests_per_minute=_budget(broker, trading),
    )


def _budget(broker: BrokerSettings, trading: str) -> int | None:
    """Give the requests a minute: as configured, else Alpaca's limit at Alpaca and none elsewhere."""
    if broker.requests_per_minute is not None:
        return broker.requests_per_minute
    return ALPACA_REQUESTS_PER_MINUTE if _is_alpaca(trading) else None


def is_loopback(url: str) -> bool:
    """Tell whether a URL points at this machine."""
    host = urlsplit(url).hostname or ""
    return host == "localhost" or host == "::1" or host.startswith("127.")


def _trading_default(mode: Mode) -> str:
    return str(BaseURL.TRADING_PAPER.value if mode is Mode.PAPER else BaseURL.TRADING_LIVE.value)


def _stream_url(broker: BrokerSettings, mode: Mode) -> str:
    """Give the stream's full URL; a foreign trading URL without one gets its own /stream."""
    if broker.stream_url is not None:
        if urlsplit(broker.stream_url).scheme not in ("ws", "wss"):
            raise ConfigError(
                f"broker.stream_url is {broker.stream_url!r}; a full ws:// or wss:// URL is needed"
            )
        return broker.stream_url
    if broker.trading_url is not None and not _is_alpaca(broker.trading_url):
        parts = urlsplit(broker.trading_url)
        scheme = "wss" if parts.scheme == "https" else "ws"
        return f"{scheme}://{parts.netloc}{parts.path}/stream"
    default = BaseURL.TRADING_STREAM_PAPER if mode is Mode.PAPER else BaseURL.TRADING_STREAM_LIVE
    return str(default.value)


def _base_url(given: str | None, key: str, default: str) -> str:
    """Refuse what alpaca-py would join wrongly: it appends "/v2" and the path as they are."""
    if given is None:
        return default
    parts = urlsplit(given)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"{key} is {given!r}; an http:// or https:// URL is needed")
    if given.endswith("/") or given.endswith("/v2"):
        raise ConfigError(f"{key} is {given!r}; give it without a trailing slash and without /v2")
    return given


def _is_alpaca(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host == "alpaca.markets" or host.endswith(".alpaca.markets")


def _check_host(url: str, key: str, mode: Mode) -> None:
    host = urlsplit(url).hostname or ""
    other = Mode.LIVE if mode is Mode.PAPER else Mode.PAPER
    if host == _HOST_OF[other]:
        raise ConfigError(
            f"{key} is Alpaca's {other.value} host {host} but account.mode is {mode.value}; "
            f"use {_HOST_OF[mode]} or change the mode"
        )
    if host == _DATA_HOST:
        raise ConfigError(f"{key} is Alpaca's market data host {host}; use {_HOST_OF[mode]}")


def _check_key(api_key: str, mode: Mode) -> None:
    for other, prefix in _KEY_PREFIX.items():
        if other is not mode and api_key.startswith(prefix):
            raise ConfigError(
                f"secrets.api_key starts with {prefix}, a {other.value} key, but account.mode is "
                f"{mode.value}; {mode.value} keys start with {_KEY_PREFIX[mode]}"
            )


def _keys(settings: Settings, *, foreign: bool) -> tuple[str, str]:
    """Give both keys; only a foreign host may go without, alpaca-py itself wants some text."""
    given = {"api_key": settings.secrets.api_key, "secret_key": settings.secrets.secret_key}
    texts = {name: "" if secret is None else secret.get_secret_value() for name, secret in given.items()}
    missing = [name for name, text in texts.items() if text == ""]
    if missing and not foreign:
        names = " and ".join(f"ALPACA_{name.upper()}" for name in missing)
        raise ConfigError(f"{names} missing; Alpaca needs both keys, in .env beside desk.yaml")
    return texts["api_key"] or "none", texts["secret_key"] or "none"

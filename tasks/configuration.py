"""Read desk.yaml, .env and the environment into one checked `Settings`.

Strongest first: arguments, environment (`DESK_RISK__DAILY_LOSS_USD=500`), `.env` beside
desk.yaml, desk.yaml, defaults. Secrets come only from `.env` or the environment. Every mistake
is one line of a ConfigError; none is passed over in silence. With tasks/resources.py this is the
only place that reads the environment.
"""

import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, DotEnvSettingsSource, EnvSettingsSource

from desk.errors import ConfigError
from schemas.events import Channel
from schemas.settings import ClockKind, Mode, Settings
from tasks.config_errors import did_you_mean, lines_of
from tasks.strategy_source import anchored

CONFIG_VARIABLE = "DESK_CONFIG"
CONFIG_DEFAULT = "desk.yaml"
PREFIX = "DESK_"
API_KEY = "ALPACA_API_KEY"
SECRET_KEY = "ALPACA_SECRET_KEY"
WEBHOOK_PREFIX = "DISCORD_WEBHOOK_"
_NOT_SETTINGS = frozenset({"config", "real_data", "seed"})  # variables of the program and its tests

log = logging.getLogger(__name__)


class _Schema(Settings, BaseSettings):  # type: ignore[misc]  # both bases carry a model_config of their own
    """The settings' fields, as pydantic-settings' sources want to see them."""


@dataclass(frozen=True)
class _Layer:
    """Values of one source and the name each was written under."""

    name: str
    values: Mapping[str, Any]


def config_path(path: Path | None = None) -> Path:
    """Give the configuration's path: the argument, else DESK_CONFIG, else ./desk.yaml."""
    if path is not None:
        return path.absolute()
    return Path(os.environ.get(CONFIG_VARIABLE, CONFIG_DEFAULT)).absolute()


def load_settings(path: Path | None = None, *, warns: bool = True, **overrides: Any) -> Settings:
    """Read and check every setting; a relative path (store, a strategy's file) counts from the configuration.

    Args:
        path: the configuration; default DESK_CONFIG, then ./desk.yaml. A named file must exist, the
            default one may be absent.
        warns: whether its absence is worth a warning; research needs none.
        overrides: top-level settings that win over everything.

    Raises:
        ConfigError: with one line for each mistake.
    """
    config = config_path(path)
    named = path is not None or CONFIG_VARIABLE in os.environ
    if not config.is_file():
        if named:
            raise ConfigError(f"{config}: no such file; name a desk.yaml or leave out {CONFIG_VARIABLE}")
        if warns:
            log.warning("no desk.yaml, defaults in use", extra={"path": str(config)})
    dotenv = _DotEnv(config.parent / ".env")
    layers = (
        _Layer(config.name, _yaml_values(config)),
        _Layer(".env", dotenv()),
        _Layer("environment", _Env()()),
        _Layer("arguments", overrides),
    )
    _refuse_misplaced(layers[:2], (dotenv.env_vars, _Env().env_vars))
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = _merged(merged, layer.values)
    merged["secrets"] = _secrets({**dotenv.env_vars, **_present(_Env().env_vars)})
    settings = _checked(merged, layers, fallback=config.name)
    settings = settings.model_copy(
        update={
            "store": config.parent / settings.store,
            "strategies": tuple(
                each.model_copy(update={"name": anchored(each.name, config.parent)})
                for each in settings.strategies
            ),
        }
    )
    _require_consistent(settings)
    return settings


def require_secrets(settings: Settings) -> tuple[str, str]:
    """Give the broker's key and secret; a simulated venue takes any, so there they may be absent.

    Raises:
        ConfigError: a real account without its key.
    """
    key, secret = settings.secrets.api_key, settings.secrets.secret_key
    if settings.broker.clock is ClockKind.VENUE:
        return (
            key.get_secret_value() if key else "simulated",
            secret.get_secret_value() if secret else "simulated",
        )
    missing = [name for name, value in ((API_KEY, key), (SECRET_KEY, secret)) if value is None]
    if key is None or secret is None:
        raise ConfigError(
            f".env: {' and '.join(missing)} missing; allowed: the key pair of your Alpaca "
            f"{settings.account.mode} account, in .env beside desk.yaml or in the environment"
        )
    return key.get_secret_value(), secret.get_secret_value()


class _Env(EnvSettingsSource):
    """The environment; a list may be written with commas instead of JSON."""

    def __init__(self) -> None:
        super().__init__(
            _Schema, env_prefix=PREFIX, env_nested_delimiter="__", env_ignore_empty=True, case_sensitive=False
        )

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        return _decoded(self, field_name, field, value)


class _DotEnv(DotEnvSettingsSource):
    """The `.env` beside desk.yaml; absent is fine."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            _Schema,
            env_file=path,
            env_prefix=PREFIX,
            env_nested_delimiter="__",
            env_ignore_empty=True,
            case_sensitive=False,
            dotenv_filtering="only_existing",
        )

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        return _decoded(self, field_name, field, value)


def _decoded(source: EnvSettingsSource, field_name: str, field: FieldInfo, value: Any) -> Any:
    if isinstance(value, str) and not value.lstrip().startswith(("[", "{", '"')):
        return [part.strip() for part in value.split(",") if part.strip()]
    try:
        return super(type(source), source).decode_complex_value(field_name, field, value)
    except ValueError as error:
        raise ConfigError(
            f"environment: {PREFIX}{field_name.upper()} is {value!r}; allowed: JSON or words with commas"
        ) from error


def _yaml_values(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or "it is not UTF-8 text"
        raise ConfigError(f"{path.name}:{where} is not YAML: {problem}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path.name}: the file is a {type(values).__name__}; allowed: keys and values")
    return {str(key): value for key, value in values.items()}


def _refuse_misplaced(files: tuple[_Layer, ...], variables: tuple[Mapping[str, str | None], ...]) -> None:
    """Refuse secrets in desk.yaml and DESK_ variables that set nothing."""
    lines = [
        f"{layer.name}: secrets may not be written here; allowed: {API_KEY}, {SECRET_KEY} and "
        f"{WEBHOOK_PREFIX}<CHANNEL> in .env or the environment"
        for layer in files
        if "secrets" in layer.values
    ]
    for name in sorted({name for names in variables for name in names}):
        word = name.removeprefix(PREFIX.lower())
        section = word.split("__")[0]
        if word != name and section not in Settings.model_fields and section not in _NOT_SETTINGS:
            known = [key.upper() for key in Settings.model_fields if key != "secrets"]
            lines.append(f"{name.upper()} sets nothing; {did_you_mean(section.upper(), known)}")
    if lines:
        raise ConfigError("\n".join(lines))


def _secrets(variables: Mapping[str, str | None]) -> dict[str, Any]:
    channels = {channel.value: channel for channel in Channel}
    webhooks: dict[Channel, str] = {}
    for name, value in variables.items():
        word = name.removeprefix(WEBHOOK_PREFIX.lower())
        if word == name or value is None or value == "":
            continue
        if word not in channels:
            raise ConfigError(f"{name.upper()} names no channel; {did_you_mean(word, channels)}")
        webhooks[channels[word]] = value
    return {
        "api_key": variables.get(API_KEY.lower()) or None,
        "secret_key": variables.get(SECRET_KEY.lower()) or None,
        "webhooks": webhooks,
    }


def _checked(values: dict[str, Any], layers: tuple[_Layer, ...], *, fallback: str) -> Settings:
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        source_of = {key: layer.name for layer in layers for key in _dotted(layer.values)}
        lines = lines_of(error.errors(), source_of=source_of, fallback=fallback)
        raise ConfigError("\n".join(lines)) from error


def _require_consistent(settings: Settings) -> None:
    """Check what no single key can say.

    Raises:
        ConfigError: with one line for each contradiction.
    """
    lines: list[str] = []
    if settings.account.mode is Mode.LIVE and not settings.account.live_confirmed:
        lines.append(
            "account.mode is 'live' and account.live_confirmed is False; allowed: both switches on "
            "(mode: live and live_confirmed: true), or mode: paper"
        )
    session = settings.session
    if session.bar_delay_s < settings.data.final_after_s:
        lines.append(
            f"session.bar_delay_s is {session.bar_delay_s}; allowed: at least data.final_after_s, which is "
            f"{settings.data.final_after_s} (an earlier bar would be refused as unfinished)"
        )
    if session.close_out_minutes > session.no_entry_minutes:
        lines.append(
            f"session.close_out_minutes is {session.close_out_minutes}; allowed: at most "
            f"session.no_entry_minutes, which is {session.no_entry_minutes}"
        )
    names = [strategy.name for strategy in settings.strategies]
    lines.extend(
        f"strategies: {name} stands there {names.count(name)} times; allowed: once"
        for name in sorted({name for name in names if names.count(name) > 1})
    )
    share = sum(strategy.allocation_frac for strategy in settings.strategies)
    if share > 1:
        lines.append(f"strategies: allocation_frac adds up to {share}; allowed: at most 1")
    for strategy in settings.strategies:
        strange = sorted(set(strategy.symbols or ()) - set(settings.symbols))
        if strange:
            lines.append(
                f"strategies: {strategy.name} names {', '.join(strange)}; allowed: the desk's symbols"
            )
    if lines:
        raise ConfigError("\n".join(lines))


def _present(variables: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in variables.items() if value}


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            merged[key] = _merged(below, value)
        else:
            merged[key] = value
    return merged


def _dotted(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in values.items():
        yield f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _dotted(value, f"{prefix}{key}.")

"""Preflight: everything a session needs, looked at before it needs it. Sends no order, takes no lease.

Each check answers with what it found and, if that is not good, what to do. A check that cannot be made
because an earlier one failed is left out: one cause, one line.
"""

import importlib.metadata
import re
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from data.duckfile import query_readonly
from desk.adapters.alpaca_broker import connect_broker
from desk.adapters.alpaca_login import login
from desk.errors import (
    BadQuery,
    ConfigError,
    DeskError,
    IllegalTransition,
    LedgerUnavailable,
    NotFound,
    WarehouseBusy,
    WarehouseUnavailable,
)
from desk.hours import FIRST_DAY, LAST_DAY, new_york, sessions_between
from desk.ports import Broker, StrategyRunner
from desk.recovery import CLOCK_SKEW_MAX
from desk.warm_up import warm_up_sessions
from schemas.settings import ClockKind, Mode, Settings
from strategies import registry
from tasks.configuration import config_path, load_settings, require_secrets
from tasks.proof import prove
from tasks.resources import make_clock, make_strategies, open_ledger
from tasks.store import warehouse_path
from tasks.strategy_source import known_names

PACKAGE = "miniquantdesk"
PYTHON_MIN = (3, 11)
FREE_FAIL_GB = 0.2  # a day of 100 symbols with its logs, spool and report fits in this
FREE_WARN_GB = 2.0
CALENDAR_DAYS = 14  # ahead: far enough to see the next holiday or early close coming
HTTP_TIMEOUT_S = 2.0
PREFECT_PORT = 4200


class Level(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the preflight; `remedy` is empty when all is well."""

    name: str
    level: Level
    found: str
    remedy: str = ""


def preflight(config: Path | None = None, *, prefect_url: str) -> Iterator[Check]:
    """Make every check, in the order a session needs them.

    Args:
        config: the desk.yaml; None for DESK_CONFIG, then ./desk.yaml.
        prefect_url: the API's address, looked at only to say whether it answers.
    """
    yield _python()
    yield _packages()
    try:
        settings = load_settings(config)
    except ConfigError as error:
        for line in str(error).splitlines():
            yield Check("configuration", Level.FAIL, line, "correct it; docs/settings.md lists every key")
        return
    yield Check("configuration", Level.OK, str(config_path(config)))
    yield from _strategies(settings)
    yield _secrets(settings)
    yield _account_mode(settings)
    yield _store(settings)
    yield _disk(settings)
    yield _ledger(settings)
    yield _warehouse(settings)
    yield from _broker(settings)
    yield _webhooks(settings)
    yield _prefect(prefect_url)


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < PYTHON_MIN:
        return Check("python", Level.FAIL, version, "install Python 3.11 or newer and run `make setup`")
    return Check("python", Level.OK, version)


def _packages() -> Check:
    """Hold the versions that must be exact to what is installed."""
    try:
        stated = importlib.metadata.requires(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        return Check("packages", Level.FAIL, f"{PACKAGE} is not installed", "run `make setup`")
    pins = (re.match(r"([\w.-]+)==([\w.]+)", line) for line in stated)
    exact = {pin[1]: pin[2] for pin in pins if pin is not None}
    wrong = [
        f"{name} {have} instead of {want}"
        for name, want in exact.items()
        if (have := _installed(name)) != want
    ]
    if wrong:
        return Check("packages", Level.FAIL, ", ".join(wrong), "run `make setup`: the lock file has them")
    shown = [f"{name} {_installed(name)}" for name in (*exact, "polars", "duckdb")]
    return Check("packages", Level.OK, ", ".join(shown))


def _installed(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def _strategies(settings: Settings) -> Iterator[Check]:
    broken = registry.load()
    for module, cause in broken.items():
        yield Check("strategy module", Level.WARN, f"{module}: {cause}", "correct it or remove the file")
    known = f"known by name: {', '.join(known_names())}"
    try:
        made = make_strategies(settings)
    except ConfigError as error:
        yield Check("strategies", Level.FAIL, str(error), f"correct desk.yaml; {known}")
        return
    shown = ", ".join(f"{each.name} on {len(each.symbols)} symbols" for each in made)
    yield Check("strategies", Level.OK, f"{shown}; {known}")


def _secrets(settings: Settings) -> Check:
    try:
        require_secrets(settings)
        login(settings)
    except ConfigError as error:
        return Check("secrets", Level.FAIL, str(error), "copy .env.example to .env and fill it in")
    return Check("secrets", Level.OK, "key and secret are there, and fit the account's mode")


def _account_mode(settings: Settings) -> Check:
    if settings.account.mode is Mode.LIVE:
        return Check("mode", Level.WARN, "LIVE: real money", "mode: paper in desk.yaml trades none")
    return Check("mode", Level.OK, settings.account.mode.value)


def _store(settings: Settings) -> Check:
    try:
        settings.store.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=settings.store) as file:
            file.write(b"preflight")
            file.flush()
    except OSError as error:
        return Check(
            "store", Level.FAIL, f"{settings.store}: {error.strerror}", "make it writable or set `store`"
        )
    return Check("store", Level.OK, f"{settings.store} can be written")


def _disk(settings: Settings) -> Check:
    place = next(path for path in (settings.store, *settings.store.parents) if path.exists())
    free_gb = shutil.disk_usage(place).free / 1e9
    found = f"{free_gb:,.1f} GB free"
    if free_gb < FREE_FAIL_GB:
        return Check(
            "disk", Level.FAIL, f"{found}, limit {FREE_FAIL_GB}", "make room: a full disk stops trading"
        )
    if free_gb < FREE_WARN_GB:
        return Check("disk", Level.WARN, f"{found}, limit {FREE_WARN_GB}", "make room soon")
    return Check("disk", Level.OK, found)


def _ledger(settings: Settings) -> Check:
    """Open, read every event, fold, and compare with every recorded hash."""
    try:
        with closing(open_ledger(settings, create=False)) as ledger:
            proof, holder = prove(ledger.read()), ledger.lease_holder()
    except LedgerUnavailable as error:
        if settings.ledger_url is None and not (settings.store / "ledger.sqlite").exists():
            return Check("ledger", Level.OK, "none yet; the first session makes it")
        return Check("ledger", Level.FAIL, str(error), "docs/runbook.md, `The ledger cannot be opened`")
    except IllegalTransition as error:
        return Check("ledger", Level.FAIL, f"does not replay: {error}", "docs/runbook.md, `Replay differs`")
    if not proof.holds:
        return Check("ledger", Level.FAIL, "a replay differs from what ran", "run `desk replay --verify`")
    held = f"; held by {holder}" if holder is not None else ""
    return Check("ledger", Level.OK, f"{proof.events} events replay to {proof.state_hash[:12]}{held}")


def _warehouse(settings: Settings) -> Check:
    path = warehouse_path(settings)
    if not path.exists():
        return Check("warehouse", Level.OK, "none yet; the first session makes it")
    try:
        query_readonly(path, "SELECT 1", attempts=3)
    except WarehouseBusy as error:
        return Check("warehouse", Level.WARN, str(error), "close it; until then rows wait in the spool")
    except (WarehouseUnavailable, BadQuery) as error:
        return Check("warehouse", Level.FAIL, str(error), "docs/runbook.md, `The warehouse is damaged`")
    return Check("warehouse", Level.OK, str(path))


def _broker(settings: Settings) -> Iterator[Check]:
    try:
        broker = connect_broker(settings)
        yield _account(broker)
    except ConfigError as error:
        yield Check("broker", Level.FAIL, str(error), "correct the broker section of desk.yaml")
        return
    except DeskError as error:
        yield Check("broker", Level.FAIL, str(error), "check network, keys and the broker's status page")
        return
    for name, check in (
        ("clock", lambda: _clock(settings, broker)),
        ("calendar", lambda: _calendar(broker)),
        ("symbols", lambda: _symbols(settings, broker)),
    ):
        yield _asked(name, check)
    try:
        made = make_strategies(settings)
    except ConfigError:
        return  # said above
    yield _asked("warm-up", lambda: warm_up_check(made, broker))


def _asked(name: str, check: Callable[[], Check]) -> Check:
    try:
        return check()
    except DeskError as error:
        return Check(name, Level.FAIL, str(error), "the broker did not answer; try again")


def _account(broker: Broker) -> Check:
    account = broker.account()
    found = (
        f"status {account.status}, equity {account.equity:,.2f} USD, "
        f"buying power {account.buying_power:,.2f} USD"
    )
    if account.account_blocked or account.trading_blocked or account.trade_suspended_by_user:
        return Check("broker", Level.FAIL, f"the account is blocked: {found}", "ask the broker why")
    return Check("broker", Level.OK, found)


def _clock(settings: Settings, broker: Broker) -> Check:
    clock = make_clock(settings)
    before = clock.now()
    theirs = broker.clock().now
    skew = max(before - theirs, theirs - clock.now(), timedelta(0))
    found = (
        f"differs {skew.total_seconds():.1f} s from the broker's, limit {CLOCK_SKEW_MAX.total_seconds():.0f}"
    )
    if skew > CLOCK_SKEW_MAX:
        return Check("clock", Level.FAIL, found, "set this machine's time (chrony, timedatectl)")
    whose = "this machine's" if settings.broker.clock is ClockKind.SYSTEM else "the venue's"
    return Check("clock", Level.OK, f"{whose} {found}")


def _calendar(broker: Broker) -> Check:
    today = new_york(broker.clock().now).date()
    last = min(today + timedelta(days=CALENDAR_DAYS), LAST_DAY - timedelta(days=1))
    if not FIRST_DAY <= today <= last:
        return Check("calendar", Level.FAIL, f"{today} is outside the library's calendar", "update the desk")
    ours = {h.session_date: h for h in sessions_between(today, last + timedelta(days=1))}
    theirs = {h.session_date: h for h in broker.calendar(today, last)}
    differ = sorted(
        day
        for day in ours.keys() | theirs.keys()
        if day not in ours
        or day not in theirs
        or (ours[day].opens_at, ours[day].closes_at) != (theirs[day].opens_at, theirs[day].closes_at)
    )
    if differ:
        days = ", ".join(map(str, differ))
        return Check(
            "calendar", Level.FAIL, f"ours and the broker's differ on {days}", "do not trade those days"
        )
    return Check("calendar", Level.OK, f"{len(ours)} sessions to {last} agree")


def warm_up_check(strategies: Iterable[StrategyRunner], broker: Broker) -> Check:
    """Hold the bars that each strategy needs before it speaks to the sessions a desk loads."""
    day, shown = new_york(broker.clock().now).date(), []
    for each in strategies:
        try:
            sessions = warm_up_sessions(each.warm_up, day)
        except ConfigError as error:
            return Check("warm-up", Level.FAIL, f"{each.name}: {error}", "let it look back less far")
        shown.append(f"{each.name} {each.warm_up:,} bars, sessions to load: {len(sessions)}")
    return Check("warm-up", Level.OK, "; ".join(shown))


def _symbols(settings: Settings, broker: Broker) -> Check:
    unknown, untradable = [], []
    for symbol in settings.symbols:
        try:
            if not broker.asset(symbol).tradable:
                untradable.append(symbol)
        except NotFound:
            unknown.append(symbol)
    if unknown:
        return Check(
            "symbols", Level.FAIL, f"the broker does not know {', '.join(unknown)}", "correct `symbols`"
        )
    if untradable:
        return Check("symbols", Level.WARN, f"not tradable: {', '.join(untradable)}", "they get no entries")
    return Check("symbols", Level.OK, f"{len(settings.symbols)} known and tradable")


def _webhooks(settings: Settings) -> Check:
    channels = sorted(channel.value for channel in settings.secrets.webhooks)
    if not channels:
        return Check("notices", Level.OK, "no webhook: notices go to the log only")
    return Check("notices", Level.OK, f"Discord: {', '.join(channels)}")


def _prefect(url: str) -> Check:
    """Prefect may be down: it is worth a word, never a failure."""
    if _is_healthy(f"{url}/health"):
        return Check("prefect", Level.OK, f"{url} answers")
    if _is_taken(PREFECT_PORT):
        found = f"{url} does not answer, and something else has port {PREFECT_PORT}"
        return Check("prefect", Level.WARN, found, "`desk up --port N` takes another")
    found = f"{url} does not answer; nothing that protects money needs it"
    return Check("prefect", Level.WARN, found, "`desk up` starts it, `desk session` does without")


def _is_healthy(url: str) -> bool:
    try:
        with urlopen(url, timeout=HTTP_TIMEOUT_S) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError, ValueError):
        return False


def _is_taken(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(HTTP_TIMEOUT_S)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def worst(checks: list[Check]) -> Level:
    """Give the worst level of them."""
    levels = [check.level for check in checks]
    return next((level for level in (Level.FAIL, Level.WARN) if level in levels), Level.OK)

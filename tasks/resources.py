"""Compose a desk: the one place where settings become a broker, a clock, a ledger and a warehouse.

Three ways in, by what is needed: `open_ledger` reads (or appends as an operator), `open_account` adds
the clock and the phase claims, `seat` takes the lease and gives a whole `Desk`. What was opened is closed
on the way out, in reverse; the lease is given back, so the next phase need not wait for it to run out.
"""

import logging
import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager

from data.ledger import Ledger
from data.warehouse import Warehouse
from desk.adapters.alpaca_broker import connect_broker
from desk.adapters.alpaca_data_stream import connect_data_stream
from desk.adapters.alpaca_market import connect_market
from desk.adapters.alpaca_stream import connect_stream
from desk.adapters.discord import DiscordNotifier
from desk.adapters.system_clock import SystemClock
from desk.adapters.venue_clock import VenueClock
from desk.desk import Desk
from desk.errors import ConfigError, LeaseHeld
from desk.journal import Journal
from desk.ports import Clock, StrategyRunner
from schemas.events import Channel
from schemas.settings import ClockKind, Settings
from strategies.base import StrategyError
from tasks.configuration import require_secrets
from tasks.outbox import OutboxPump
from tasks.pace import at_pace, pauses_at, seconds_at
from tasks.store import ledger_path, warehouse_path
from tasks.strategy_source import make_strategy
from tasks.unhurried import UnhurriedRecorder

TRANSACTIONS_FILE = "transactions.ndjson"
SPOOL_FOLDER = "spool"
# A phase may still be ending when the next one starts (cron is on the minute): it gets this long.
LEASE_WAIT_S = 120.0
_LEASE_LOOK_S = 1.0

log = logging.getLogger(__name__)


class Account:
    """An account's ledger and clock in this process; no lease yet."""

    def __init__(self, settings: Settings, ledger: Ledger, clock: Clock) -> None:
        """Hold what `open_account` opened."""
        self.settings = settings
        self.ledger = ledger
        self.clock = clock

    @contextmanager
    def seat(self, *, holder: str, stream: bool, wait_s: float = 0.0) -> Iterator[Desk]:
        """Take the account's lease and give a whole desk; notices are sent meanwhile.

        Args:
            holder: who takes it, in words a person reads when somebody else wants it.
            stream: whether fills and bars are also heard over the broker's streams.
            wait_s: how long to wait for another holder, real seconds.

        Raises:
            LeaseHeld: somebody else had the account all that time.
            ConfigError: keys, URLs or strategies are wrong.
            LedgerUnavailable: the ledger does not answer.
            BrokerUnavailable: the clock is the venue's, and the venue does not answer.
        """
        settings = self.settings
        require_secrets(settings)
        strategies = make_strategies(settings)
        pace = self.clock.pace if isinstance(self.clock, VenueClock) else 1.0
        towards, sleep = at_pace(under_own_names(settings, strategies), pace), pauses_at(pace)
        broker = connect_broker(towards, sleep=sleep, clock_s=seconds_at(pace))
        market = connect_market(towards, sleep=sleep)
        with ExitStack() as stack:
            self._take_lease(holder, wait_s=wait_s)
            stack.callback(self.ledger.release)
            stack.enter_context(self._outbox())
            yield Desk(
                settings=towards,
                clock=self.clock,
                broker=broker,
                market=market,
                updates=connect_stream(towards) if stream else None,
                stream=connect_data_stream(towards) if stream and settings.data.stream else None,
                journal=Journal(self.ledger),
                recorder=UnhurriedRecorder(make_warehouse(settings, self.ledger)),
                strategies=strategies,
                throttler=broker.throttler,
            )

    def _take_lease(self, holder: str, *, wait_s: float) -> None:
        deadline = time.monotonic() + wait_s
        is_told = False
        while True:
            try:
                self.ledger.acquire(holder)
                return
            except LeaseHeld as error:
                if time.monotonic() >= deadline:
                    raise
                if not is_told:
                    log.info("waiting for the account", extra={"cause": str(error), "at_most_s": wait_s})
                    is_told = True
            time.sleep(_LEASE_LOOK_S)

    def _outbox(self) -> OutboxPump:
        notifier = DiscordNotifier(webhooks_of(self.settings))
        return OutboxPump(
            lambda: open_ledger(self.settings),
            mode=self.settings.account.mode,
            notifiers={channel: notifier for channel in self.settings.secrets.webhooks},
            now=self.clock.now,
        )


@contextmanager
def open_account(settings: Settings) -> Iterator[Account]:
    """Open an account's ledger (made if it is new) and clock.

    Raises:
        LedgerUnavailable: the ledger cannot be opened.
        ConfigError: the clock is the venue's and there is no URL of it.
    """
    clock = make_clock(settings)
    with closing(open_ledger(settings, log=True)) as ledger:
        yield Account(settings, ledger, clock)


@contextmanager
def open_desk(settings: Settings, *, holder: str, stream: bool = True, wait_s: float = 0.0) -> Iterator[Desk]:
    """Open an account and take its seat, for callers that need no claims. Raises as both do."""
    with (
        open_account(settings) as account,
        account.seat(holder=holder, stream=stream, wait_s=wait_s) as desk,
    ):
        yield desk


def open_ledger(settings: Settings, *, create: bool = True, log: bool = False) -> Ledger:
    """Open the account's ledger, without lease; the caller closes it.

    Args:
        settings: whose.
        create: False refuses a store without a ledger.
        log: whether this process keeps the running NDJSON log of transactions.

    Raises:
        LedgerUnavailable: it cannot be opened.
    """
    return Ledger.open(
        ledger_url(settings),
        settings.account.name,
        SystemClock().now,
        socket.gethostname(),
        os.getpid(),
        settings.store / TRANSACTIONS_FILE if log else None,
        create=create,
    )


def ledger_url(settings: Settings) -> str:
    """Give the ledger's URL: the configured one, else a SQLite file in the store."""
    return settings.ledger_url or f"sqlite:///{ledger_path(settings)}"


def make_warehouse(settings: Settings, ledger: Ledger) -> Warehouse:
    """Give the warehouse, which follows this ledger; nothing is opened yet."""
    return Warehouse(
        warehouse_path(settings),
        settings.store / SPOOL_FOLDER,
        account=settings.account.name,
        wall_clock=SystemClock().now,
        ledger=ledger,
    )


def make_clock(settings: Settings) -> Clock:
    """Give the desk's clock.

    Raises:
        ConfigError: the clock is the venue's and there is no URL of it.
    """
    if settings.broker.clock is ClockKind.SYSTEM:
        return SystemClock()
    if settings.broker.trading_url is None:
        raise ConfigError(
            "broker.clock is venue and broker.trading_url is not set; "
            "allowed: the URL of a simulated exchange, or clock: system"
        )
    return VenueClock(settings.broker.trading_url, connect_timeout_s=settings.broker.connect_timeout_s)


def make_strategies(settings: Settings) -> tuple[StrategyRunner, ...]:
    """Give the configured strategies, checked.

    Raises:
        ConfigError: an unknown name, a wrong parameter, or two of one name.
    """
    try:
        made = tuple(
            make_strategy(chosen.name, chosen.symbols or settings.symbols, chosen.params)
            for chosen in settings.strategies
        )
    except StrategyError as error:
        raise ConfigError(f"strategies: {error}") from error
    names = [each.name for each in made]
    for name in sorted({name for name in names if names.count(name) > 1}):
        sources = [chosen.name for chosen, own in zip(settings.strategies, names, strict=True) if own == name]
        raise ConfigError(f"strategies: {name} is the name of {' and '.join(sources)}; rename one of them")
    return made


def under_own_names(settings: Settings, strategies: Sequence[StrategyRunner]) -> Settings:
    """Give the settings with each strategy under the name its orders carry, not that of its file.

    Args:
        settings: as they were read.
        strategies: what `make_strategies` gave for them.
    """
    renamed = tuple(
        chosen.model_copy(update={"name": made.name})
        for chosen, made in zip(settings.strategies, strategies, strict=True)
    )
    return settings.model_copy(update={"strategies": renamed})


def webhooks_of(settings: Settings) -> dict[Channel, str]:
    """Give the address of each channel that has one."""
    return {channel: secret.get_secret_value() for channel, secret in settings.secrets.webhooks.items()}


def secret_texts(settings: Settings) -> list[str]:
    """Give every secret's text, for the logs to keep out."""
    secrets = settings.secrets
    keys = [key.get_secret_value() for key in (secrets.api_key, secrets.secret_key) if key is not None]
    return [*keys, *webhooks_of(settings).values()]

"""Settings: `desk.yaml` for what may be read by anyone, `.env` for secrets, one checked record.

Order, strongest first: arguments, environment (`DESK_RISK__DAILY_LOSS_USD=500`), `.env`,
`desk.yaml`, the defaults below. `tasks/resources.py` is the only place that reads them.
"""

from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from schemas.events import Channel
from schemas.protections import CoolDown, MaxDrawdown, Protection, StopGuard
from schemas.research import SizeWords
from schemas.risk import RiskLimits

BAR_DELAY_MAX_S = 50.0  # a decision later than this would be the next minute's
SYMBOL = r"^[A-Z]{1,5}(\.[A-Z]{1,2})?$"
Symbol = Annotated[str, Field(pattern=SYMBOL)]


class Section(BaseModel):
    """A part of desk.yaml: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Mode(StrEnum):
    """Which Alpaca account: paper money or real money."""

    PAPER = "paper"
    LIVE = "live"


class AccountSettings(Section):
    """Whose money, and the two switches that make it real."""

    name: str = Field(
        "paper", pattern=r"^[a-z][a-z0-9_-]{0,31}$", description="Name of the account in ledger and lease."
    )
    mode: Mode = Field(Mode.PAPER, description="paper or live.")
    live_confirmed: bool = Field(False, description="The second switch: live mode does not start without it.")


class ClockKind(StrEnum):
    """Whose time: this machine's, checked against the broker's, or the simulated venue's."""

    SYSTEM = "system"
    VENUE = "venue"


class BrokerSettings(Section):
    """Where the broker is; empty URLs mean Alpaca's own for the account's mode."""

    trading_url: str | None = Field(None, description="Base URL without /v2, no trailing slash.")
    data_url: str | None = Field(None, description="Base URL of market data without /v2.")
    stream_url: str | None = Field(None, description="Full ws URL of the user stream.")
    data_stream_url: str | None = Field(None, description="Full ws URL of the stock data stream.")
    feed: str = Field(
        "iex", pattern="^(iex|sip)$", description="Market data feed; never mixed in one series."
    )
    clock: ClockKind = Field(ClockKind.SYSTEM, description="system, or venue for the simulated exchange.")
    connect_timeout_s: float = Field(3.0, gt=0, le=60, description="How long a connection may take.")
    read_timeout_s: float = Field(10.0, gt=0, le=120, description="How long an answer may take.")
    read_attempts: int = Field(3, ge=1, le=10, description="Tries of a read; writes are tried once.")
    requests_per_minute: int | None = Field(
        None, ge=20, description="Budget of requests, shared by purpose; default 200 at Alpaca, else none."
    )


class ExitsAt(StrEnum):
    """Who watches a protective exit's price."""

    AUTO = "auto"  # the broker when it can, else the desk
    DESK = "desk"


class ExitSettings(Section):
    """How a position is left without being told: fractions of its average price, or of its best price."""

    stop_frac: Decimal | None = Field(
        None, gt=0, lt=1, description="Leave when the price is this much worse than the entry."
    )
    target_frac: Decimal | None = Field(
        None, gt=0, lt=1, description="Leave when the price is this much better than the entry."
    )
    trail_frac: Decimal | None = Field(
        None, gt=0, lt=1, description="Leave when the price is this much worse than the best since the entry."
    )
    at: ExitsAt = Field(ExitsAt.AUTO, description="auto: rest at the broker when it can; desk: never.")

    @model_validator(mode="after")
    def _says_something(self) -> "ExitSettings":
        if self.stop_frac is None and self.target_frac is None and self.trail_frac is None:
            raise ValueError("exits: give at least one of stop_frac, target_frac and trail_frac")
        if self.stop_frac is not None and self.trail_frac is not None:
            raise ValueError("exits: stop_frac and trail_frac are both stops; give one of them")
        return self


class StrategySettings(Section):
    """One strategy to run."""

    name: str = Field(
        description="A name `desk doctor` lists, path/to/mine.py:MyIdea, or package.module:MyIdea."
    )
    symbols: tuple[Symbol, ...] | None = Field(None, description="Default: the desk's symbols.")
    allocation_frac: Decimal = Field(
        Decimal("0.25"), gt=0, le=1, description="Share of equity this strategy may use."
    )
    params: dict[str, float | int | str | bool] = Field(
        default_factory=dict, description="The strategy's own parameters (docs/strategies.md)."
    )
    size: SizeWords | None = Field(
        None,
        description="shares:100, notional:1000 or equity:0.1 an entry; default: allocation and slots.",
    )
    exits: ExitSettings | None = Field(
        None, description="Protective exits of its positions: stop_frac, target_frac, trail_frac, at."
    )


class EntryOrder(StrEnum):
    """What an entry is sent as."""

    LIMIT = "limit"  # a little through the last price: never much worse than what was decided on
    MARKET = "market"


class SessionSettings(Section):
    """The day's rhythm."""

    bar_delay_s: float = Field(
        2.0,
        ge=0,
        le=BAR_DELAY_MAX_S,
        description="Longest wait for a minute's bars after it ends; without the data stream, the wait.",
    )
    settle_every_s: float = Field(
        10.0, ge=1, le=60, description="How often fills are settled between minutes."
    )
    entry_ttl_minutes: int | None = Field(
        3, ge=1, le=60, description="An entry not filled by then is canceled; null: never."
    )
    entry_order: EntryOrder = Field(
        EntryOrder.LIMIT, description="limit, entry_offset_bps through the last price, or market."
    )
    entry_offset_bps: float = Field(
        5.0, ge=0, le=100, description="Entries are limit orders this far through the last price."
    )
    no_entry_minutes: int = Field(15, ge=1, le=120, description="No entries this long before the close.")
    close_out_minutes: int = Field(
        5, ge=1, le=60, description="Positions are closed this long before the close."
    )
    close_out: bool = Field(True, description="False holds positions overnight.")
    overnight: bool = Field(
        False,
        description="Decide on the session's last bars too, for the next open; without close_out.",
    )
    slots: int = Field(
        4, ge=1, le=100, description="A strategy's allocation is divided into this many positions."
    )

    @model_validator(mode="after")
    def _leaves_or_holds(self) -> "SessionSettings":
        if self.overnight and self.close_out:
            raise ValueError("session: overnight and close_out exclude each other; set close_out to false")
        return self


class DataSettings(Section):
    """What a live check calls wrong."""

    jump_frac: Decimal = Field(
        Decimal("0.10"), gt=0, le=1, description="A minute's prices may differ this much from the last."
    )
    jump_confirm_minutes: int = Field(
        5, ge=2, le=120, description="A price that jumped further is believed after so many bars in a row."
    )
    stale_after_s: int = Field(180, ge=60, description="A feed whose newest bar ended longer ago is stale.")
    final_after_s: float = Field(
        1.0, ge=0, le=30, description="A bar may still change this long after its minute ended."
    )
    stream: bool = Field(True, description="Hear bars over the stock data stream; false polls them alone.")
    stream_silence_s: float = Field(
        5.0, ge=0.1, le=60, description="A silent data stream is asked for a sign of life after this long."
    )
    quotes: bool = Field(
        False, description="Hear quotes too: entries are priced off their middle, not off closes."
    )
    quote_max_age_s: float = Field(
        10.0, gt=0, le=600, description="An older quote prices nothing: the last close does."
    )
    trades: bool = Field(False, description="Hear trades too: bars are built of them while bars stay away.")


class Secrets(Section):
    """From `.env` or the environment; never logged."""

    api_key: SecretStr | None = None
    secret_key: SecretStr | None = None
    webhooks: dict[Channel, SecretStr] = Field(default_factory=dict)


class Settings(Section):
    """Everything a desk is configured by."""

    account: AccountSettings = AccountSettings()
    broker: BrokerSettings = BrokerSettings()
    symbols: tuple[Symbol, ...] = Field(
        ("SPY", "QQQ"), min_length=1, max_length=500, description="What the desk watches and may trade."
    )
    strategies: tuple[StrategySettings, ...] = Field(
        (StrategySettings(name="vwap_mean_reversion"),), min_length=1
    )
    risk: RiskLimits = RiskLimits()
    protections: tuple[Protection, ...] = Field(
        (StopGuard(), MaxDrawdown(), CoolDown()),
        max_length=32,  # each is looked at between the minutes
        description="When entries pause by themselves; [] switches all off.",
    )
    session: SessionSettings = SessionSettings()
    data: DataSettings = DataSettings()
    store: Path = Field(
        Path("data/store"), description="Where ledger, warehouse, spool, logs and reports live."
    )
    ledger_url: str | None = Field(None, description="SQLAlchemy URL; default a SQLite file in the store.")
    secrets: Secrets = Secrets()

    @model_validator(mode="after")
    def _names_protections_apart(self) -> "Settings":
        names = [each.called for each in self.protections]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"protections: {', '.join(twice)} is there twice; give each a name of its own")
        return self

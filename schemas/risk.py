"""Limits, trading states and latches: what the gate judges by."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from pydantic import ConfigDict, Field

from schemas.record import Record


class TradingState(StrEnum):
    """R5: what the desk may send."""

    ACTIVE = "active"
    REDUCING = "reducing"  # exits only
    HALTED = "halted"  # nothing but a flatten and what protects a position


class LatchName(StrEnum):
    """A latch, once set, holds until a person releases it (I7)."""

    DAILY_LOSS = "daily_loss"
    WEEKLY_LOSS = "weekly_loss"
    DRAWDOWN = "drawdown"
    KILL = "kill"


class Latch(Record):
    """A set latch: what was measured, the limit, and when."""

    name: LatchName
    number: Decimal
    limit: Decimal
    cause: str
    set_at: datetime


class ProtectionScope(StrEnum):
    """What a protection counts over and pauses (R4)."""

    GLOBAL = "global"
    STRATEGY = "strategy"
    SYMBOL = "symbol"


class Pause(Record):
    """No entries in a scope until an instant, or until a person lifts it."""

    protection: str  # its name in the settings
    scope: ProtectionScope
    key: str  # the strategy or symbol; empty for global
    until: datetime
    number: Decimal
    limit: Decimal
    cause: str
    set_at: datetime

    def covers(self, *, strategy: str, symbol: str, now: datetime) -> bool:
        """Tell whether an entry of a strategy in a symbol is paused at an instant."""
        key = {
            ProtectionScope.GLOBAL: "",
            ProtectionScope.STRATEGY: strategy,
            ProtectionScope.SYMBOL: symbol,
        }[self.scope]
        return now < self.until and self.key == key


class BreakKind(StrEnum):
    """How our books and the broker's may differ after every explainable difference was repaired."""

    POSITION = "position"  # quantities differ
    CASH = "cash"
    FOREIGN_ORDER = "foreign_order"  # the broker has an open order that is not ours
    ORPHAN_ORDER = "orphan_order"  # the broker has an open order named like ours that our ledger lacks
    SHADOW_ORDER = "shadow_order"  # we hold an order working that the broker does not know
    FOREIGN_FILL = "foreign_fill"  # executions in a symbol, of orders that are not ours
    OVERFILL = "overfill"  # an order of ours has more executed than it asked for


class Break(Record):
    """A mismatch that no evidence explains; a person accepts it, or it clears."""

    break_id: str  # a function of kind, key and the two values: found twice, it is the same break
    kind: BreakKind
    key: str  # the symbol, order id or execution id it is about
    ours: Decimal
    theirs: Decimal
    notional_usd: Decimal  # how large it is, for the halt limit
    detail: str
    found_at: datetime
    symbol: str | None = None  # of an order's break, whose key is not the symbol


class RiskLimits(Record):
    """The limits of R1 to R3. USD unless the name says otherwise; fractions are of equity."""

    model_config = ConfigDict(strict=False)  # desk.yaml writes plain numbers

    daily_loss_usd: Decimal = Field(
        Decimal("1000"), gt=0, description="Open and realized loss with fees that latches the day."
    )
    weekly_loss_usd: Decimal = Field(
        Decimal("2500"), gt=0, description="The same since the New York week's first session started."
    )
    drawdown_max_frac: Decimal = Field(
        Decimal("0.20"), gt=0, le=1, description="Equity this share under its peak latches."
    )
    position_shares_max: Decimal = Field(
        Decimal("1000"), gt=0, description="Shares of one symbol, long or short."
    )
    position_notional_max_usd: Decimal = Field(Decimal("25000"), gt=0, description="Notional of one symbol.")
    position_equity_frac: Decimal = Field(
        Decimal("0.25"), gt=0, le=4, description="Notional of one symbol as a share of equity."
    )
    order_notional_max_usd: Decimal = Field(Decimal("25000"), gt=0, description="Notional of one order.")
    gross_max_usd: Decimal = Field(
        Decimal("100000"), gt=0, description="Sum of absolute exposures, working orders included."
    )
    net_max_usd: Decimal = Field(
        Decimal("100000"), gt=0, description="Absolute net exposure, working orders included."
    )
    orders_per_day: int = Field(500, ge=1, description="Entries and exits sent in one session.")
    orders_per_minute: int = Field(60, ge=1, description="Entries sent for one minute's bars.")
    price_collar_frac: Decimal = Field(
        Decimal("0.03"), gt=0, le=1, description="Limit price may differ this much from the last price."
    )
    stale_after_s: int = Field(
        180, ge=60, description="A symbol whose newest bar ended longer ago gets no entry."
    )
    allow_short: bool = Field(False, description="Whether entries may sell short.")
    allow_fractional: bool = Field(False, description="Whether quantities may be fractions of a share.")
    break_halt_usd: Decimal = Field(
        Decimal("500"),
        ge=0,
        description="A start-up break larger than this halts; smaller ones are adjusted in the books.",
    )
    cash_tolerance_usd: Decimal = Field(
        Decimal("0.05"), ge=0, description="Cash may differ this much before it is a break."
    )

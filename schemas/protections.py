"""Protections (R4): when the desk pauses by itself, and for how long.

Each is a record of its own kind in the setting `protections`; a kind may be there more than once, under
different names. The four kinds and their meaning follow freqtrade's protections
(https://www.freqtrade.io/en/stable/plugins/#protections), in USD and by the desk's scopes.
"""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.risk import ProtectionScope

LOOK_BACK_MAX_MINUTES = 7 * 24 * 60  # a week: what a protection may remember, and what a restart replays


class Protected(BaseModel):
    """What all protections have."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str | None = Field(
        None,
        pattern=r"^[a-z][a-z0-9_]{0,31}$",
        description="Default: the kind; needed where one kind is twice.",
    )

    @property
    def called(self) -> str:
        """Give the name it goes by in ledger, messages and `desk resume`."""
        kind: str = self.kind  # type: ignore[attr-defined]  # each kind has it
        return kind if self.name is None else self.name


class StopGuard(Protected):
    """So many positions left at a loss by their stop within a time."""

    kind: Literal["stop_guard"] = "stop_guard"
    stops: int = Field(3, ge=1, le=100, description="So many losing stop exits ...")
    within_minutes: int = Field(60, ge=1, le=LOOK_BACK_MAX_MINUTES, description="... within so long ...")
    pause_minutes: int = Field(60, ge=1, le=LOOK_BACK_MAX_MINUTES, description="... pause entries so long.")
    scope: ProtectionScope = Field(
        ProtectionScope.GLOBAL, description="Counted and paused over everything, by strategy or by symbol."
    )


class MaxDrawdown(Protected):
    """Equity so far under its highest within a time; of the whole account, as in freqtrade."""

    kind: Literal["max_drawdown"] = "max_drawdown"
    max_frac: Decimal = Field(
        Decimal("0.15"), gt=0, lt=1, description="Equity this share under its highest ..."
    )
    within_minutes: int = Field(1440, ge=1, le=LOOK_BACK_MAX_MINUTES, description="... within so long ...")
    pause_minutes: int = Field(
        1440, ge=1, le=LOOK_BACK_MAX_MINUTES, description="... pauses entries so long."
    )
    scope: Literal[ProtectionScope.GLOBAL] = Field(ProtectionScope.GLOBAL, description="Always global.")


class CoolDown(Protected):
    """One closed trade that lost too much."""

    kind: Literal["cool_down"] = "cool_down"
    loss_usd: Decimal = Field(
        Decimal(500), gt=0, description="A closed trade that lost this much, fees included, ..."
    )
    pause_minutes: int = Field(30, ge=1, le=LOOK_BACK_MAX_MINUTES, description="... pauses entries so long.")
    scope: ProtectionScope = Field(
        ProtectionScope.GLOBAL, description="Paused is everything, the trade's strategy or its symbol."
    )


class LowProfit(Protected):
    """Closed trades of a symbol or strategy that together earned too little."""

    kind: Literal["low_profit"] = "low_profit"
    trades: int = Field(3, ge=1, le=1000, description="At least so many closed trades ...")
    within_minutes: int = Field(1440, ge=1, le=LOOK_BACK_MAX_MINUTES, description="... within so long ...")
    required_usd: Decimal = Field(
        Decimal(0), description="... that together earned less than this, fees included, ..."
    )
    pause_minutes: int = Field(60, ge=1, le=LOOK_BACK_MAX_MINUTES, description="... pause entries so long.")
    scope: ProtectionScope = Field(
        ProtectionScope.SYMBOL, description="Counted and paused by symbol, by strategy or over everything."
    )


Protection = Annotated[StopGuard | MaxDrawdown | CoolDown | LowProfit, Field(discriminator="kind")]

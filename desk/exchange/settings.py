"""The account's own settings, as PATCH /v2/account/configurations changes them (ALPACA.md section 2.2).

A change is partial: what is not named, or named as null, stays (alpaca-py sends every field, most of them
null). A refused change changes nothing. Four settings bear on orders: `suspend_trade` refuses every new
one, `no_shorting` refuses to open a short, `fractional_trading` off refuses parts of a share, and
`max_margin_multiplier` caps what the account is granted. The others are kept and given back: this venue
has no overnight session, no options, no partnerships and sends no mail.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from desk.exchange.refusals import BAD_REQUEST, FORBIDDEN, Draft, Refusal

MULTIPLIERS = ("1", "2", "4")
CONFIRMATIONS = ("all", "none")
OPTIONS_LEVELS = ("0", "1", "2", "3")
_SWITCHES = (
    "disable_overnight_trading",
    "fractional_trading",
    "no_shorting",
    "ptp_no_exception_entry",
    "suspend_trade",
)


@dataclass(frozen=True, slots=True)
class AccountSettings:
    """What the account's owner may set; the defaults are a new paper account's."""

    disable_overnight_trading: bool = False
    fractional_trading: bool = True
    max_margin_multiplier: int = 4
    max_options_trading_level: int = 0
    no_shorting: bool = False
    ptp_no_exception_entry: bool = False
    suspend_trade: bool = False
    trade_confirm_email: str = "none"

    def patched(self, body: Mapping[str, Any]) -> "AccountSettings":
        """Give the settings after a partial change; unknown names are ignored.

        Raises:
            Refusal: 422, a value is none its setting can have.
        """
        changes: dict[str, Any] = {
            name: _switch(name, body[name]) for name in _SWITCHES if body.get(name) is not None
        }
        if body.get("max_margin_multiplier") is not None:
            changes["max_margin_multiplier"] = int(_one_of(body, "max_margin_multiplier", MULTIPLIERS))
        if body.get("max_options_trading_level") is not None:
            level = int(_one_of(body, "max_options_trading_level", OPTIONS_LEVELS))
            changes["max_options_trading_level"] = level
        if body.get("trade_confirm_email") is not None:
            changes["trade_confirm_email"] = _one_of(body, "trade_confirm_email", CONFIRMATIONS)
        return replace(self, **changes)

    def check(self, draft: Draft) -> None:
        """Refuse what the owner has switched off.

        Raises:
            Refusal: 403, new orders are suspended, or parts of shares are.
        """
        if self.suspend_trade:
            raise Refusal(403, FORBIDDEN, "new orders are rejected by user request")
        if not self.fractional_trading and draft.is_fractional:
            raise Refusal(403, FORBIDDEN, "fractional trading is disabled for this account")

    def to_json(self) -> dict[str, Any]:
        """Write the settings as the service does: the multiplier is a string, the level a number."""
        return {
            "disable_overnight_trading": self.disable_overnight_trading,
            "fractional_trading": self.fractional_trading,
            "max_margin_multiplier": str(self.max_margin_multiplier),
            "max_options_trading_level": self.max_options_trading_level,
            "no_shorting": self.no_shorting,
            "ptp_no_exception_entry": self.ptp_no_exception_entry,
            "suspend_trade": self.suspend_trade,
            "trade_confirm_email": self.trade_confirm_email,
        }


def _switch(name: str, value: object) -> bool:
    """Read a switch: a boolean, or its word.

    Raises:
        Refusal: 422.
    """
    word = str(value).lower() if isinstance(value, bool | str) else ""
    if word not in ("true", "false"):
        raise Refusal(422, BAD_REQUEST, f"invalid {name}: {value}, allowed are true and false")
    return word == "true"


def _one_of(body: Mapping[str, Any], name: str, allowed: tuple[str, ...]) -> str:
    """Read one of a closed set, sent as a string or a number.

    Raises:
        Refusal: 422.
    """
    value = body[name]
    word = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if word not in allowed:
        raise Refusal(422, BAD_REQUEST, f"invalid {name}: {value}, allowed are {', '.join(allowed)}")
    return word

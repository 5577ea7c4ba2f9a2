"""One spelling for the state: equal states have equal hashes, whatever their past (I8).

What is empty or at its default is left out, so a field added later does not always change the hashes of
older ledgers. Where it does, because the desk remembers more of the same events, `STATE_VERSION` is raised:
a recorded hash is compared by the rule it was made by; one of another rule is said to be so, not to differ.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

from desk.own_order import UNHASHED, Order
from desk.positions import ZERO, Position

# Raised whenever equal events give another hash: 2 since loss bases, closed trades and marks are remembered,
# 3 since it is remembered when a position was opened.
STATE_VERSION = 3
UNPROVEN = 0  # no hash was taken: a backtest replays its whole ledger when somebody asks


def hash_of(state: Mapping[str, Any]) -> str:
    """Give the SHA-256 of named parts of the state."""
    found = {name: _canonical(value) for name, value in state.items()}
    kept = {name: value for name, value in found.items() if value not in (None, {}, [])}
    return hashlib.sha256(json.dumps(kept, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _canonical(value: Any) -> Any:
    """Give plain JSON values with one spelling per value: sorted sets, normal Decimals, UTC instants."""
    match value:
        case Decimal():
            normal = value.normalize()
            return format(normal if normal != 0 else ZERO, "f")
        case Enum():
            return value.value
        case datetime() | date():
            return value.isoformat()
        case dict():
            return {_key(key): _canonical(item) for key, item in value.items()}
        case set() | frozenset():
            return sorted(_key(item) for item in value)
        case list() | tuple():
            return [_canonical(item) for item in value]
        case Order() | Position():
            names = (name for name in value.__dataclass_fields__ if name not in UNHASHED)
            found = {name: getattr(value, name) for name in names}
            return {name: _canonical(item) for name, item in found.items() if item is not None and item != ()}
        case None | str() | bool() | int():
            return value
        case _:
            return _canonical(value.model_dump(exclude_defaults=True))


def _key(value: Any) -> str:
    plain = _canonical(value)
    return plain if isinstance(plain, str) else json.dumps(plain)

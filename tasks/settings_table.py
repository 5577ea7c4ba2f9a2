"""The table of every setting, from the settings record itself: docs/settings.md is its output.

Renew it with `python -m tasks.settings_table > docs/settings.md`; a test holds the file to it.
"""

import sys
from collections.abc import Iterator
from enum import Enum
from types import NoneType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from schemas.settings import Secrets, Settings
from tasks.config_errors import models_in
from tasks.configuration import API_KEY, SECRET_KEY, WEBHOOK_PREFIX

_HEAD = f"""# Settings

`desk.yaml` holds what anybody may read, `.env` beside it the secrets. Strongest first: the environment,
`.env`, `desk.yaml`, the default. Every setting can come from the environment: `risk.daily_loss_usd` is
`DESK_RISK__DAILY_LOSS_USD`, a list is written with commas (`DESK_SYMBOLS=SPY,QQQ`). `DESK_CONFIG` names
another `desk.yaml`; a relative `store` lies beside it. An unknown key, a value out of bounds or a secret in
`desk.yaml` is refused with one line that says what is allowed.

Secrets, in `.env` or the environment only: `{API_KEY}`, `{SECRET_KEY}`, and for each Discord
channel in use `{WEBHOOK_PREFIX}<CHANNEL>` (paper_trades, live_trades, economic_calendar, scanner, heartbeat,
backtests, system_alerts; upper or lower case).

| setting | default | allowed | meaning |
| --- | --- | --- | --- |"""
_BOUNDS = (("gt", "> {}"), ("ge", "≥ {}"), ("lt", "< {}"), ("le", "≤ {}"), ("pattern", "`{}`"))


def settings_table() -> str:
    """Give docs/settings.md, complete."""
    rows = [
        f"| `{key}` | {_default(field)} | {_allowed(field)} | {_meaning(field)} |"
        for key, field in _fields(Settings)
    ]
    return "\n".join([_HEAD, *rows, ""])


def _fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        inner = models_in(field.annotation)
        if inner == [Secrets]:
            continue
        many = "[]" if get_origin(field.annotation) is tuple else ""
        if not inner:
            yield f"{prefix}{name}", field
        elif len(inner) == 1:
            yield from _fields(inner[0], f"{prefix}{name}{many}.")
        else:  # of several kinds, each with keys of its own
            yield f"{prefix}{name}", field
            for model in inner:
                kind = model.model_fields["kind"].default
                for key, option in _fields(model, f"{prefix}{name}[{kind}]."):
                    if not key.endswith(".kind"):
                        yield key, option


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = (
        field.default
        if field.default is not PydanticUndefined
        else field.get_default(call_default_factory=True)
    )
    match value:
        case None:
            return "none"
        case Enum():
            return f"`{value.value}`"
        case bool():
            return f"`{str(value).lower()}`"
        case tuple() if value and isinstance(value[0], BaseModel):
            return f"`[{', '.join(each.kind for each in value)}]`"
        case tuple():
            return f"`[{', '.join(map(str, value))}]`"
        case dict():
            return "`{}`"
        case _:
            return f"`{value}`"


def _allowed(field: FieldInfo) -> str:
    bounds = [
        words.format(str(getattr(limit, name)).replace("|", "\\|"))
        for limit in field.metadata
        for name, words in _BOUNDS
        if getattr(limit, name, None) is not None
    ]
    return ", ".join([_type_words(field.annotation), *bounds])


def _type_words(annotation: Any) -> str:
    origin = get_origin(annotation)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in get_args(annotation))
    if len(models_in(annotation)) > 1:
        return "list of " + ", ".join(f"`{m.model_fields['kind'].default}`" for m in models_in(annotation))
    if origin is Union or type(annotation).__name__ == "UnionType":
        return " or ".join(_type_words(arg) for arg in get_args(annotation) if arg is not NoneType)
    if origin is tuple:
        return f"list of {_type_words(get_args(annotation)[0])}"
    if origin is dict:
        return "keys and values"
    if origin is not None:  # Annotated
        return _type_words(get_args(annotation)[0])
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return ", ".join(f"`{member.value}`" for member in annotation)
    return {
        "str": "text",
        "int": "whole number",
        "float": "number",
        "Decimal": "number",
        "bool": "true or false",
    }.get(getattr(annotation, "__name__", ""), getattr(annotation, "__name__", str(annotation)).lower())


def _meaning(field: FieldInfo) -> str:
    return (field.description or "").replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(settings_table())

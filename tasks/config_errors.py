"""Turn pydantic's findings about desk.yaml into lines a person can act on.

Each line names where the value was written, the key, the value, and what is allowed.
"""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from schemas.settings import Settings

_VALUE_CHARS_MAX = 60  # a longer value is cut: the line must stay readable
_BOUNDS = (
    ("gt", "greater than {}"),
    ("ge", "at least {}"),
    ("lt", "less than {}"),
    ("le", "at most {}"),
    ("min_length", "at least {} of them"),
    ("max_length", "at most {} of them"),
)


def lines_of(errors: Iterable[ErrorDetails], *, source_of: Mapping[str, str], fallback: str) -> list[str]:
    """Give one line for each wrong key, in order of appearance.

    Args:
        errors: pydantic's `errors()`.
        source_of: which file or variable each dotted key was read from.
        fallback: the source named when a key is in none of them.
    """
    found = list(errors)
    locs = [_written_loc(error["loc"]) for error in found]
    lines: dict[str, str] = {}
    for error, loc in zip(found, locs, strict=True):
        if any(other[: len(loc)] == loc and other != loc for other in locs):
            continue  # a list is "too short" because a member was wrong: the member says it better
        key = ".".join(loc)
        source = next((source_of[k] for k in _ancestors(loc) if k in source_of), fallback)
        lines.setdefault(key, f"{source}: {_sentence(error, loc)}")
    return list(lines.values())


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Give a suggestion for a misspelled word, or the list of what is known."""
    names = sorted(known)
    close = get_close_matches(word, names, n=1)
    return f"did you mean {close[0]}?" if close else f"known here: {', '.join(names)}"


def _sentence(error: ErrorDetails, loc: tuple[str, ...]) -> str:
    key = ".".join(loc) or "the file"
    if error["type"] == "extra_forbidden":
        return f"{key} is not a setting; {did_you_mean(loc[-1], _keys_beside(loc))}"
    if error["type"] == "missing":
        return f"{key} is missing"
    context = error.get("ctx", {})
    tag = str(context.get("discriminator", "")).strip("'")
    if error["type"] == "union_tag_not_found":
        return f"{key} is {_shown(error['input'])}; its {tag} is missing"
    if error["type"] == "union_tag_invalid":
        return f"{key}.{tag} is {context['tag']!r}; allowed: {context['expected_tags']}"
    return f"{key} is {_shown(error['input'])}; allowed: {_allowed(error, loc)}"


def _allowed(error: ErrorDetails, loc: tuple[str, ...]) -> str:
    context = error.get("ctx", {})
    if "expected" in context:
        return str(context["expected"])
    if "pattern" in context:
        return f"text that matches {context['pattern']}"
    bounds = [words.format(context[name]) for name, words in _BOUNDS if name in context]
    allowed = (
        " and ".join(bounds)
        if bounds
        else error["msg"].removeprefix("Input should be ").split(",")[0].lower()
    )
    description = _description(loc)
    return f"{allowed} ({description})" if description else allowed


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _VALUE_CHARS_MAX else f"{text[:_VALUE_CHARS_MAX]}…"


def _written_loc(loc: tuple[int | str, ...]) -> tuple[str, ...]:
    """Leave out what pydantic adds behind a key: the member of a union it tried."""
    words = tuple(str(part) for part in loc)
    if "params" in words:
        return words[: words.index("params") + 2]
    return words


def _ancestors(loc: tuple[str, ...]) -> Iterable[str]:
    for end in range(len(loc), 0, -1):
        yield ".".join(loc[:end])


def _section_at(loc: tuple[str, ...]) -> type[BaseModel] | None:
    """Find the settings section that holds the last word of `loc`."""
    model: type[BaseModel] = Settings
    choices: list[type[BaseModel]] = []  # where a list holds several kinds, the next word names one
    for part in loc[:-1]:
        if part.isdigit():
            continue
        named = [each for each in choices if each.model_fields["kind"].default == part]
        if named:
            model, choices = named[0], []
            continue
        field = model.model_fields.get(part)
        inner = models_in(field.annotation) if field is not None else []
        if not inner:
            return None
        model, choices = inner[0], inner if len(inner) > 1 else []
    return None if choices else model


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """Give the settings sections an annotation holds, through lists and unions, in order."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for arg in get_args(annotation) for found in models_in(arg)]


def _keys_beside(loc: tuple[str, ...]) -> list[str]:
    section = _section_at(loc)
    return list(section.model_fields) if section is not None else []


def _description(loc: tuple[str, ...]) -> str:
    section = _section_at(loc)
    field = section.model_fields.get(loc[-1]) if section is not None and loc else None
    return (field.description or "").rstrip(".") if field is not None else ""

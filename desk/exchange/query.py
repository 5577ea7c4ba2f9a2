"""Query strings: the parameters of listings, read strictly enough to be told when they are wrong."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from typing import TypeVar

from desk.exchange.refusals import BAD_REQUEST, Refusal
from desk.hours import from_new_york

T = TypeVar("T")


def words(query: Mapping[str, str], name: str) -> tuple[str, ...]:
    """Read a comma-joined list; none when absent."""
    return tuple(word for word in query.get(name, "").split(",") if word)


def choice(query: Mapping[str, str], name: str, allowed: Sequence[str], *, status: int = 422) -> str:
    """Read one of a closed set; the first is the default.

    Raises:
        Refusal: it is another word.
    """
    value = query.get(name) or allowed[0]
    if value not in allowed:
        raise Refusal(status, BAD_REQUEST, f"invalid {name}: {value}, allowed are {', '.join(allowed)}")
    return value


def integer(query: Mapping[str, str], name: str, *, default: int, most: int, status: int = 422) -> int:
    """Read a count from 1 to `most`.

    Raises:
        Refusal: it is no number or out of bounds.
    """
    value = query.get(name) or str(default)
    if not value.isascii() or not value.isdigit() or int(value) < 1:
        raise Refusal(status, BAD_REQUEST, f"invalid {name}: {value}")
    if int(value) > most:
        raise Refusal(status, BAD_REQUEST, f"invalid {name}: larger than the allowed maximum of {most}")
    return int(value)


def moment(query: Mapping[str, str], name: str, *, status: int = 422) -> datetime | None:
    """Read an instant: RFC 3339 (a naive one is UTC), or a date, which is that day's midnight in New York.

    Raises:
        Refusal: it is neither.
    """
    value = query.get(name)
    if not value:
        return None
    try:
        if len(value) == len("2026-01-01"):
            return from_new_york(date.fromisoformat(value), time(0))
        # A "+" that a client did not escape arrives as a blank; nanoseconds are more than Python keeps.
        found = datetime.fromisoformat(_microseconds(value.replace(" ", "+")))
    except (ValueError, OverflowError) as error:
        raise Refusal(status, BAD_REQUEST, f"invalid {name}: {value}") from error
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def day(query: Mapping[str, str], name: str, *, status: int = 422) -> date | None:
    """Read a date, or the date in an ISO timestamp (Alpaca's Node client sends the latter).

    Raises:
        Refusal: it is neither.
    """
    value = query.get(name)
    if not value:
        return None
    try:
        return date.fromisoformat(value[:10])
    except ValueError as error:
        raise Refusal(status, BAD_REQUEST, f"invalid {name}: {value}") from error


def _microseconds(value: str) -> str:
    """Cut fractions of a second to six digits."""
    head, dot, tail = value.partition(".")
    if dot == "":
        return value
    digits = len(tail) - len(tail.lstrip("0123456789"))
    return f"{head}.{tail[: min(digits, 6)]}{tail[digits:]}"

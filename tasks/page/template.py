"""What every page is made with: the templates' environment, their words for numbers, and plotly itself.

plotly.js is packed into the page (gzip, base64: 2 MB instead of 5) and unpacked by the browser;
without it, or in a browser too old for that, every number still stands in a table. A content
security policy forbids the page any request. The same contents give the same bytes: no build time,
no random ids, sorted JSON.
"""

import base64
import gzip
import os
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs, get_plotlyjs_version

from desk.hours import new_york

MINUS = "\N{MINUS SIGN}"
NOT_KNOWN = "\N{EN DASH}"

Number = Decimal | float


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One plot of the page."""

    id: str
    title: str
    summary: str  # what a person who cannot see it must know
    spec: str  # plotly JSON


def figures_of(*candidates: tuple[str, str, str | None, str]) -> tuple[Figure, ...]:
    """Give the figures of those (id, title, plotly JSON, summary) that have something to show."""
    return tuple(
        Figure(id=name, title=title, summary=summary, spec=spec)
        for name, title, spec, summary in candidates
        if spec is not None
    )


def fill_template(template: str, /, *, has_plots: bool, **contents: object) -> str:
    """Give a page's HTML.

    Args:
        template: its file in tasks/page.
        has_plots: whether the page needs plotly.
        contents: what the template shows.
    """
    return (
        _environment()
        .get_template(template)
        .render(
            has_plots=has_plots,
            plotly=Markup(_packed_plotly()),
            plotly_version=get_plotlyjs_version(),
            **contents,
        )
    )


def put_page(path: Path, page: bytes) -> None:
    """Write a page, whole or not at all; its folder is made.

    Raises:
        OSError: it cannot be written; an earlier one is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        beside.write_bytes(page)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def money(amount: Number | None) -> str:
    """Give USD as people read it: 1,234.50; a dash for what is not known; zero has no sign."""
    return NOT_KNOWN if amount is None else f"{amount:z,.2f}".replace("-", MINUS)


def signed(amount: Number | None, digits: int = 2) -> str:
    """Give a number with its sign; zero has none."""
    if amount is None:
        return NOT_KNOWN
    rounded = round(amount, digits)
    text = f"{rounded:+,.{digits}f}" if rounded != 0 else f"{abs(rounded):,.{digits}f}"
    return text.replace("-", MINUS)


def whole(amount: Number | None) -> str:
    """Give a number without decimals; a dash for what is not known."""
    return NOT_KNOWN if amount is None else f"{amount:z,.0f}".replace("-", MINUS)


def tone(amount: Number | None, digits: int = 2) -> str:
    """Give the class of a result: up, down or even where it rounds to zero."""
    if amount is None or round(amount, digits) == 0:
        return "even"
    return "up" if amount > 0 else "down"


def quantity(qty: Decimal) -> str:
    """Give shares without trailing zeros."""
    normal = qty.normalize() if qty != 0 else Decimal(0)
    return f"{normal:,f}".replace("-", MINUS)


def price(amount: Number | None) -> str:
    """Give a price with two digits, or up to four where the tick is finer."""
    if amount is None:
        return NOT_KNOWN
    cents = round(amount, 2)
    return f"{cents:z,.2f}" if cents == amount else f"{round(amount, 4):,.4f}"


def percent(share: Number | None, digits: int = 0) -> str:
    """Give a fraction as per cent."""
    return NOT_KNOWN if share is None else f"{share * 100:z.{digits}f} %".replace("-", MINUS)


def clock(instant: datetime | None, shape: str = "%H:%M:%S") -> str:
    """Give an instant's New York wall time."""
    return NOT_KNOWN if instant is None else new_york(instant).strftime(shape)


def words(machine_word: str) -> str:
    """Give a machine word as people read it."""
    return machine_word.replace("_", " ")


def counted(count: int, noun: str) -> str:
    """Give so many of something: 1 session, 2 sessions."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def own_name(strategy: str) -> str:
    """Give a strategy's own name: of path/to/mine.py:MyIdea the last, of a shipped one all."""
    return strategy.rpartition(":")[2]


@lru_cache(maxsize=1)
def _packed_plotly() -> str:
    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), compresslevel=9, mtime=0)).decode()


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(_source),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "money": money,
        "signed": signed,
        "tone": tone,
        "whole": whole,
        "quantity": quantity,
        "price": price,
        "percent": percent,
        "clock": clock,
        "words": words,
        "counted": counted,
        "own_name": own_name,
    }
    return environment


def _source(name: str) -> str:
    return files("tasks.page").joinpath(name).read_text(encoding="utf-8")

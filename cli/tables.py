"""How the terminal shows records: aligned numbers, New York times, and the same facts as JSON."""

import dataclasses
import json
import sys
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import BaseModel
from rich.console import Console
from rich.table import Table

NEW_YORK = ZoneInfo("America/New_York")
PIPE_WIDTH = 200  # a pipe has no width of its own; wide enough for every table of ours
NOTHING = "-"


def console() -> Console:
    """Give a console for answers; into a pipe it writes full lines without colour."""
    width = None if sys.stdout.isatty() else PIPE_WIDTH
    return Console(width=width, highlight=False, markup=False, emoji=False)  # data are shown as they are


def grid(title: str | None, *columns: str) -> Table:
    """Make a table; a column whose name starts with ">" holds numbers and is aligned right."""
    table = Table(title=title, title_justify="left", header_style="bold", title_style="bold")
    for column in columns:
        name = column.removeprefix(">")
        table.add_column(name, justify="left" if name == column else "right", no_wrap=name != column)
    return table


def usd(amount: Decimal | None) -> str:
    """Give an amount with cents: 1,234.50."""
    return NOTHING if amount is None else f"{amount:,.2f}"


def signed(amount: Decimal | None) -> str:
    """Give an amount with its sign: +1,234.50."""
    return NOTHING if amount is None else f"{amount:+,.2f}"


def number(value: Decimal | None) -> str:
    """Give a quantity or a price without trailing zeros, thousands grouped."""
    if value is None:
        return NOTHING
    normal = value.normalize()
    return f"{normal:,f}" if normal != 0 else "0"


def price(value: Decimal | None) -> str:
    """Give a price with at least cents and at most four decimals: 1,234.50, 0.1234."""
    if value is None:
        return NOTHING
    shown = f"{value:,.4f}"
    return shown.removesuffix("00")


def clock_time(at: datetime | None) -> str:
    """Give an instant as New York's clock shows it: 10:31:02."""
    return NOTHING if at is None else f"{at.astimezone(NEW_YORK):%H:%M:%S}"


def moment(at: datetime | None) -> str:
    """Give an instant with its date, New York: 2025-11-26 10:31:02."""
    return NOTHING if at is None else f"{at.astimezone(NEW_YORK):%Y-%m-%d %H:%M:%S}"


def as_json(value: Any) -> str:
    """Give records as JSON: Decimals as strings, instants in ISO 8601, UTC."""
    return json.dumps(plain(value), indent=2, ensure_ascii=False)


def plain(value: Any) -> Any:
    """Give a value as JSON knows it."""
    match value:
        case BaseModel():
            return value.model_dump(mode="json")
        case Enum():
            return value.value
        case Decimal():
            return f"{value:f}"
        case datetime() | date():
            return value.isoformat()
        case dict():
            return {str(key): plain(item) for key, item in value.items()}
        case str() | int() | float() | None:
            return value
        case Sequence() | set() | frozenset():
            return [plain(item) for item in value]
        case _ if hasattr(value, "iter_rows"):  # a polars frame, without loading polars for who has none
            return [plain(row) for row in value.iter_rows(named=True)]
        case _ if dataclasses.is_dataclass(value):
            return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        case _:
            return str(value)


def cell(value: Any) -> str:
    """Give a value of a query as people read it; null stays visible."""
    match value:
        case None:
            return NOTHING
        case bool():
            return str(value).lower()
        case datetime():
            return f"{value:%Y-%m-%d %H:%M:%S}"
        case Decimal():
            return number(value)
        case float():
            return f"{value:,.4f}".rstrip("0").rstrip(".")
        case _:
            return str(value)

"""The day's page: one HTML file that needs nothing but a browser.

plotly.js is packed into the page (gzip, base64: 2 MB instead of 5) and unpacked by the browser;
without it, or in a browser too old for that, every number still stands in a table. A content
security policy forbids the page any request. The same report gives the same bytes: no build time,
no random ids, sorted JSON.
"""

import base64
import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from importlib.resources import files

import polars as pl
from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup
from plotly.offline import get_plotlyjs, get_plotlyjs_version

from desk.hours import new_york
from schemas.account import SessionHours
from schemas.report import DayReport
from tasks.page import plots

ROWS_MAX = 1_000  # rows of orders and of fills; the warehouse has the rest
MINUS = "\N{MINUS SIGN}"
NOT_KNOWN = "\N{EN DASH}"


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One plot of the page."""

    id: str
    title: str
    summary: str  # what a person who cannot see it must know
    spec: str  # plotly JSON


def render_page(report: DayReport, bars: pl.DataFrame, *, hours: SessionHours | None) -> str:
    """Give the page's HTML.

    Args:
        report: the day.
        bars: latest prints of the day, columns of `schemas.bars.RAW_SCHEMA`; may be empty.
        hours: the session, for the price plots' edges; None when it is not known.
    """
    symbols = plots.plotted_symbols(report, bars)
    return _template().render(
        report=report,
        head=report.headline,
        equity=_figures(
            ("equity", "Each minute's close", plots.equity_figure(report, hours=hours), _equity_words(report))
        ),
        prices=[_price(report, bars, symbol=symbol, hours=hours) for symbol in symbols],
        symbols_left_out=bars["symbol"].n_unique() - len(symbols),
        pnl=_figures(("pnl", "Net P&L by symbol and strategy", plots.pnl_figure(report), "See the table.")),
        slippage=_figures(
            (
                "slippage",
                "Slippage of each fill",
                plots.slippage_figure(report, hours=hours),
                "See the table of fills.",
            )
        ),
        denials=_figures(("denials", "Denials by reason", plots.denials_figure(report), "See the table.")),
        by_strategy=_by_strategy(report),
        rows_max=ROWS_MAX,
        plotly=Markup(_packed_plotly()),
        plotly_version=get_plotlyjs_version(),
    )


def _figures(*candidates: tuple[str, str, str | None, str]) -> tuple[Figure, ...]:
    return tuple(
        Figure(id=name, title=title, summary=summary, spec=spec)
        for name, title, spec, summary in candidates
        if spec is not None
    )


def _price(report: DayReport, bars: pl.DataFrame, *, symbol: str, hours: SessionHours | None) -> Figure:
    mine = bars.filter(pl.col("symbol") == symbol)
    fills = [fill for fill in report.fills if fill.symbol == symbol]
    closes: list[float] = mine.sort("ts")["close"].to_list()
    return Figure(
        id=f"price-{symbol}",
        title=symbol,
        summary=f"{mine.height} bars, closes from {closes[0]:,.2f} to {closes[-1]:,.2f}, {len(fills)} fills.",
        spec=plots.price_figure(mine, fills, hours=hours),
    )


def _equity_words(report: DayReport) -> str:
    head = report.headline
    return (
        f"From {money(head.equity_start)} to {money(head.equity_end)} USD, "
        f"deepest fall {money(head.max_drawdown_usd)} USD."
    )


@dataclass(frozen=True)
class StrategyLine:
    """A strategy's day over all its symbols."""

    strategy: str
    symbols: int
    realized: Decimal
    unrealized: Decimal | None
    fees: Decimal
    net: Decimal
    round_trips: int
    wins: int


def _by_strategy(report: DayReport) -> Sequence[StrategyLine]:
    names = sorted({line.strategy for line in report.pnl})
    return [_strategy_line(report, name) for name in names]


def _strategy_line(report: DayReport, name: str) -> StrategyLine:
    lines = [line for line in report.pnl if line.strategy == name]
    marks = [line.unrealized for line in lines]
    zero = Decimal(0)
    return StrategyLine(
        strategy=name,
        symbols=len(lines),
        realized=sum((line.realized for line in lines), zero),
        unrealized=None if None in marks else sum((mark for mark in marks if mark is not None), zero),
        fees=sum((line.fees for line in lines), zero),
        net=sum((line.net for line in lines), zero),
        round_trips=sum(line.round_trips for line in lines),
        wins=sum(line.wins for line in lines),
    )


def money(amount: Decimal | None) -> str:
    """Give USD as people read it: 1,234.50; a dash for what is not known."""
    return NOT_KNOWN if amount is None else f"{amount:,.2f}".replace("-", MINUS)


def signed(amount: Decimal | None, digits: int = 2) -> str:
    """Give a number with its sign; zero has none."""
    if amount is None:
        return NOT_KNOWN
    rounded = round(amount, digits)
    text = f"{rounded:+,.{digits}f}" if rounded != 0 else f"{abs(rounded):,.{digits}f}"
    return text.replace("-", MINUS)


def tone(amount: Decimal | None) -> str:
    """Give the class of a result: up, down or even."""
    if amount is None or round(amount, 2) == 0:
        return "even"
    return "up" if amount > 0 else "down"


def quantity(qty: Decimal) -> str:
    """Give shares without trailing zeros."""
    normal = qty.normalize() if qty != 0 else Decimal(0)
    return f"{normal:,f}".replace("-", MINUS)


def price(amount: Decimal | None) -> str:
    """Give a price with two digits, or up to four where the tick is finer."""
    if amount is None:
        return NOT_KNOWN
    cents = round(amount, 2)
    return f"{cents:,.2f}" if cents == amount else f"{round(amount, 4):,.4f}"


def percent(share: Decimal | None, digits: int = 0) -> str:
    """Give a fraction as per cent."""
    return NOT_KNOWN if share is None else f"{share * 100:.{digits}f} %".replace("-", MINUS)


def clock(instant: datetime | None, shape: str = "%H:%M:%S") -> str:
    """Give an instant's New York wall time."""
    return NOT_KNOWN if instant is None else new_york(instant).strftime(shape)


def words(machine_word: str) -> str:
    """Give a machine word as people read it."""
    return machine_word.replace("_", " ")


@lru_cache(maxsize=1)
def _packed_plotly() -> str:
    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), compresslevel=9, mtime=0)).decode()


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "money": money,
        "signed": signed,
        "tone": tone,
        "quantity": quantity,
        "price": price,
        "percent": percent,
        "clock": clock,
        "words": words,
    }
    return environment


def _template() -> Template:
    source = files("tasks.page").joinpath("day.html.j2").read_text(encoding="utf-8")
    return _environment().from_string(source)

"""The day's page: one HTML file that needs nothing but a browser (tasks/page/template.py)."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import polars as pl

from schemas.account import SessionHours
from schemas.report import DayReport
from tasks.page import plots
from tasks.page.template import Figure, figures_of, fill_template, money

ROWS_MAX = 1_000  # rows of orders and of fills; the warehouse has the rest


def render_page(report: DayReport, bars: pl.DataFrame, *, hours: SessionHours | None) -> str:
    """Give the page's HTML.

    Args:
        report: the day.
        bars: latest prints of the day, columns of `schemas.bars.RAW_SCHEMA`; may be empty.
        hours: the session, for the price plots' edges; None when it is not known.
    """
    symbols = plots.plotted_symbols(report, bars)
    equity = figures_of(
        ("equity", "Each minute's close", plots.equity_figure(report, hours=hours), _equity_words(report))
    )
    pnl = figures_of(("pnl", "Net P&L by symbol and strategy", plots.pnl_figure(report), "See the table."))
    slippage = figures_of(
        (
            "slippage",
            "Slippage of each fill",
            plots.slippage_figure(report, hours=hours),
            "See the table of fills.",
        )
    )
    denials = figures_of(("denials", "Denials by reason", plots.denials_figure(report), "See the table."))
    return fill_template(
        "day.html.j2",
        has_plots=bool(equity or symbols or pnl or slippage or denials),
        report=report,
        head=report.headline,
        equity=equity,
        prices=[_price(report, bars, symbol=symbol, hours=hours) for symbol in symbols],
        symbols_left_out=bars["symbol"].n_unique() - len(symbols),
        pnl=pnl,
        slippage=slippage,
        denials=denials,
        by_strategy=_by_strategy(report),
        rows_max=ROWS_MAX,
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

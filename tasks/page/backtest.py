"""A backtest's page (tasks/page/template.py): its numbers, tables and figures into backtest.html.j2."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from desk.research.breakdown import by_key, by_minute, by_month
from desk.research.cautions import cautions
from desk.research.overfitting import Tries, plain_words, sharpe_moments
from desk.research.performance import Performance
from schemas.research import Run
from tasks.page import backtest_plots as plots
from tasks.page import backtest_prices as prices
from tasks.page.conventions import conventions
from tasks.page.template import Figure, counted, figures_of, fill_template, money, percent

MINUTES_A_ROW = 30  # of the table by time of day: thirteen rows
ROWS_MAX = 50  # symbols in the table; the warehouse has all
EXTREMES = 8  # best and worst trades each
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, kw_only=True)
class MonthRow:
    """A year of the monthly table."""

    year: int
    months: dict[str, float | None]  # returns by name, of the months with a session; None: it has none
    return_frac: float | None
    pnl: float


def render_tear_sheet(
    run: Run,
    *,
    performance: Performance,
    fills: pl.DataFrame,
    bars: pl.DataFrame,
    curve: pl.DataFrame,
    trades: pl.DataFrame,
    tries: Tries | None = None,
    symbol: str | None = None,
    doubts: Sequence[str] = (),
) -> str:
    """Give the page's HTML; arguments as of `write_tear_sheet`."""
    symbols = by_key(trades, "symbol")
    table = by_minute(curve, trades, opening=float(run.cash), minutes=MINUTES_A_ROW)
    table = table.filter((pl.col("pnl").abs() > 0) | (pl.col("trades") > 0))
    drawn = symbol if symbol is not None else prices.chosen_symbol(fills, bars)
    closed = trades.filter(pl.col("left_at").is_not_null()).sort("pnl", descending=True, maintain_order=True)
    moments = sharpe_moments(performance.days["return_frac"].cast(pl.Float64).fill_null(np.nan).to_numpy())
    months = monthly(performance.days)
    figures = {
        "equity": figures_of(_equity(run, performance, curve)),
        "minutes": figures_of(
            ("minutes", "P&L by time of day", plots.minutes_figure(table), "See the table.")
        ),
        "prices": () if drawn is None else _price_figures(bars, trades, drawn),
        "exposure": figures_of(
            ("exposure", "Positions in per cent of equity", plots.exposure_figure(curve), "Gross and net.")
        ),
        "costs_plot": _cost_figures(performance),
        "results": _trade_figures(performance, trades),
    }
    return fill_template(
        "backtest.html.j2",
        has_plots=any(figures.values()),
        run=run,
        account=performance.account,
        numbers=performance.trades,
        costs=performance.costs,
        cautions=(*doubts, *cautions(run, performance, symbols)),
        luck=None if moments is None else plain_words(moments, tries),
        months=months,
        months_shown=[each for each in MONTHS if any(each in row.months for row in months)],
        table=table.to_dicts(),
        minutes_a_row=MINUTES_A_ROW,
        symbol=drawn,
        by_symbol=symbols.head(ROWS_MAX).to_dicts(),
        symbols_traded=symbols.height,
        by_strategy=by_key(trades, "strategy").to_dicts(),
        best=closed.head(EXTREMES).to_dicts(),
        worst=closed.tail(max(min(EXTREMES, closed.height - EXTREMES), 0)).reverse().to_dicts(),
        thinned=curve.height > plots.POINTS_MAX,
        points=plots.POINTS_MAX,
        dots=plots.DOTS_MAX,
        conventions=conventions(run),
        **figures,
    )


def monthly(days: pl.DataFrame) -> tuple[MonthRow, ...]:
    """Give the monthly table, one row a year."""
    rows = []
    for (year,), frame in by_month(days).partition_by("year", as_dict=True, maintain_order=True).items():
        found = dict(zip(frame["month"], frame["return_frac"], strict=True))
        whole = frame["return_frac"].null_count() == 0
        growth = float(np.prod(1.0 + frame["return_frac"].to_numpy()) - 1.0) if whole else None
        rows.append(
            MonthRow(
                year=int(year),
                months={MONTHS[month - 1]: value for month, value in found.items()},
                return_frac=growth,
                pnl=float(frame["pnl"].sum()),
            )
        )
    return tuple(rows)


def cost_steps(performance: Performance) -> tuple[tuple[str, float], ...]:
    """Give profit before costs, what each cost took, and the profit."""
    costs = performance.costs
    dividends = (("dividends", costs.dividends_usd),) if costs.dividends_usd else ()
    return (
        ("before costs", costs.profit_before_costs_usd - costs.dividends_usd),
        *dividends,
        ("spread, slippage", -costs.spread_usd),
        ("fees", -costs.fees_usd),
        ("borrow", -costs.borrow_usd),
        ("profit", performance.account.profit_usd),
    )


def _equity(run: Run, performance: Performance, curve: pl.DataFrame) -> tuple[str, str, str | None, str]:
    account = performance.account
    words = (
        f"From {money(account.equity_start)} to {money(account.equity_end)} USD, "
        f"deepest fall {percent(account.max_drawdown_frac, 2)}."
    )
    return ("equity", "Equity, and its fall from the highest so far", plots.equity_figure(run, curve), words)


def _cost_figures(performance: Performance) -> tuple[Figure, ...]:
    if not performance.costs.fills:
        return ()
    spec = plots.costs_figure(cost_steps(performance))
    return figures_of(("costs", "From profit before costs to profit", spec, "See the table."))


def _trade_figures(performance: Performance, trades: pl.DataFrame) -> tuple[Figure, ...]:
    numbers = performance.trades
    words = (
        f"{counted(numbers.trades, 'trade')}, {numbers.wins} won, mean {money(numbers.expectancy_usd)} USD."
    )
    standing = "Each trade's result against the worst (MAE) and the best (MFE) it stood at."
    return figures_of(
        ("results", plots.results_words(trades), plots.results_figure(trades), words),
        ("excursions", "How trades stood, and how they ended", plots.excursions_figure(trades), standing),
    )


def _price_figures(bars: pl.DataFrame, trades: pl.DataFrame, symbol: str) -> Sequence[Figure]:
    """Draw a symbol's last days, and its whole period where that is longer."""
    mine = bars.filter(pl.col("symbol") == symbol).sort("ts")
    if mine.is_empty():
        return ()
    own = trades.filter(pl.col("symbol") == symbol)
    near, far = prices.close_up(mine, own), prices.whole_period(mine, own)
    plotted = [("near", near, f"{symbol}, {_last(near.sessions)}, every minute")]
    if far.sessions > near.sessions:
        plotted.append(("far", far, f"{symbol}, all {far.sessions} sessions, entries"))
    return [
        Figure(
            id=f"price-{name}",
            title=title if plot.trades == plot.trades_there else f"{title}: {_left_out(name, plot)}",
            summary=f"{counted(plot.trades, 'trade')} drawn.",
            spec=plot.spec,
        )
        for name, plot, title in plotted
    ]


def _last(sessions: int) -> str:
    return "the last session" if sessions == 1 else f"the last {sessions} sessions"


def _left_out(name: str, plot: prices.PricePlot) -> str:
    which = "last" if name == "near" else "largest results"
    return f"the {plot.trades} {which} of {plot.trades_there:,}"

"""The page that holds two backtests against each other: their numbers and curves into compare.html.j2."""

import plotly.graph_objects as go
import polars as pl

from desk.research.comparison import Comparison, KeptRun, Metric, Numbers, Unit
from schemas.research import Run
from tasks.page.backtest_plots import POINTS_MAX, thinned
from tasks.page.canvas import AMBER, BLUE, GREY, as_json, new_figure, rounded
from tasks.page.conventions import cost_words
from tasks.page.template import figures_of, fill_template, money, percent, signed, tone, whole
from tasks.page.timescale import TimeScale

CENTS_BELOW = 1_000_000  # USD; of more nobody reads the cents, and a phone has no room for them
ROWS_MAX = 50  # symbols in the table, the largest changes


def render_comparison(first: KeptRun, second: KeptRun, comparison: Comparison) -> str:
    """Give the page's HTML."""
    figures = figures_of(
        (
            "equity",
            "Equity of both",
            equity_figure(first, second),
            f"The first ends with {money(first.run.final_equity)} USD, "
            f"the second with {money(second.run.final_equity)} USD.",
        )
    )
    symbols = comparison.symbols
    return fill_template(
        "compare.html.j2",
        has_plots=bool(figures),
        comparison=comparison,
        runs=(
            ("First", comparison.first, _said(first.run)),
            ("Second", comparison.second, _said(second.run)),
        ),
        numbers=[row_of(each) for each in comparison.numbers],
        figures=figures,
        in_percent=first.run.cash != second.run.cash,
        thinned=max(first.curve.height, second.curve.height) > POINTS_MAX,
        points=POINTS_MAX,
        symbols=symbols.head(ROWS_MAX).to_dicts(),
        symbols_traded=symbols.height,
    )


def equity_figure(first: KeptRun, second: KeptRun) -> str | None:
    """Give both curves over their difference; in per cent of the cash where that differs.

    None without two points to join.
    """
    if min(first.curve.height, second.curve.height) < 2:
        return None
    scaled = first.run.cash != second.run.cash
    unit = "%" if scaled else "USD"
    curves = [_values(each, scaled=scaled) for each in (first, second)]
    scale = TimeScale.over(pl.concat(curve.select("ts") for curve in curves))
    figure = new_figure(height=420)
    for name, curve, colour in (("first", curves[0], BLUE), ("second", curves[1], AMBER)):
        shown = thinned(curve, "value")
        figure.add_scatter(
            **scale.points(shown["ts"]),
            y=rounded(shown["value"]),
            mode="lines",
            name=name,
            line={"color": colour, "width": 1.6},
            hovertemplate=scale.hover + "  %{y:,.2f} " + unit + f"<extra>{name}</extra>",
        )
    ahead = _ahead(*curves)
    if ahead.height:
        _add_ahead(figure, scale, thinned(ahead, "value"), unit=unit)
    title = "change, per cent of the cash" if scaled else "equity, USD"
    domain = [0.36, 1] if ahead.height else [0, 1]
    figure.update_layout(
        hovermode="closest",
        yaxis={"domain": domain, "tickformat": ",.2~f", "title": {"text": title}},
        xaxis={"anchor": "y2" if ahead.height else "y", **scale.axis()},
    )
    return as_json(figure)


def _add_ahead(figure: go.Figure, scale: TimeScale, ahead: pl.DataFrame, *, unit: str) -> None:
    """Draw below the curves how far the second is ahead."""
    figure.add_scatter(
        **scale.points(ahead["ts"]),
        y=rounded(ahead["value"]),
        mode="lines",
        name="second less first",
        yaxis="y2",
        line={"color": GREY, "width": 1},
        fill="tozeroy",
        fillcolor="rgba(139,148,163,0.22)",
        hovertemplate=scale.hover + "  %{y:+,.2f} " + unit + "<extra>second less first</extra>",
    )
    figure.update_layout(
        yaxis2={
            "domain": [0, 0.26],
            "tickformat": ",.2~f",
            "title": {"text": "ahead"},
            "anchor": "x",
            "zeroline": True,
            "automargin": True,
        }
    )


def _values(kept: KeptRun, *, scaled: bool) -> pl.DataFrame:
    """Give `ts` and `value`: equity, or its change in per cent of the cash."""
    cash = float(kept.run.cash)
    value = (pl.col("equity") / cash - 1.0) * 100 if scaled else pl.col("equity")
    return kept.curve.select("ts", value=value).sort("ts")


def _ahead(first: pl.DataFrame, second: pl.DataFrame) -> pl.DataFrame:
    """Give `ts` and second less first, from where both have begun, each held until its next row."""
    instants = pl.concat([first.select("ts"), second.select("ts")]).unique().sort("ts")
    both = instants.join_asof(first, on="ts").join_asof(second, on="ts", suffix="_second")
    ends = min(first["ts"][-1], second["ts"][-1])
    return (
        both.filter(pl.col("ts") <= ends)
        .drop_nulls()
        .select("ts", value=pl.col("value_second") - pl.col("value"))
    )


def row_of(numbers: Numbers) -> dict[str, str]:
    """Give a number's row in words: name, first, second, change, and the tone of the change."""
    metric = numbers.metric
    digits = 4 if metric.unit is Unit.FRACTION else 2
    return {
        "name": metric.name + (", USD" if metric.unit is Unit.USD else ""),
        "first": in_words(metric, numbers.first),
        "second": in_words(metric, numbers.second),
        "change": change_in_words(metric, numbers.change),
        "tone": tone(numbers.gain, digits),
    }


def in_words(metric: Metric, value: float | None) -> str:
    """Write a number in its unit."""
    match metric.unit:
        case Unit.FRACTION:
            return percent(value, 2)
        case Unit.COUNT:
            return whole(value)
        case Unit.USD if value is not None and abs(value) >= CENTS_BELOW:
            return whole(value)
        case _:
            return money(value)


def change_in_words(metric: Metric, value: float | None) -> str:
    """Write a change in its unit, with its sign; of fractions in points."""
    match metric.unit:
        case Unit.FRACTION:
            return signed(None if value is None else value * 100) + ("" if value is None else " points")
        case Unit.COUNT:
            return signed(value, 0)
        case Unit.USD if value is not None and abs(value) >= CENTS_BELOW:
            return signed(value, 0)
        case _:
            return signed(value)


def _said(run: Run) -> str:
    """Say in a line what was played."""
    count = len(run.symbols)
    return (
        f"{run.first} to {run.last}, {count} symbol{'' if count == 1 else 's'}, {run.bars:,} bars; "
        f"costs: {cost_words(run.costs)}"
    )

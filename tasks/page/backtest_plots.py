"""A backtest's figures (tasks/page/canvas.py): long series are thinned to what a screen can show.

Thinning keeps the lowest and the highest point of each stretch, so that no fall and no peak goes missing,
only the way between them. Everything else that is left out is counted, and the page says so.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import polars as pl

from desk.research.overfitting import Floats
from schemas.research import Run
from tasks.page.canvas import BLUE, GREEN, GREY, RED, as_json, new_figure, rounded
from tasks.page.template import money
from tasks.page.timescale import TimeScale

POINTS_MAX = 1_600  # of a line; the page is 1,080 pixels wide
CLOSE_UP_SESSIONS = 5  # of one symbol's minutes: a week
CLOSE_UP_TRADES_MAX = 150  # more hide the price
MARKS_MAX = 120  # trades drawn over the whole period, the largest results first; more hide the price
DOTS_MAX = 1_500  # trades in the excursions' plot
BINS = 50
TAIL_FRAC = 0.01  # of the trades on each side that share the outermost bars


def thinned(frame: pl.DataFrame, by: str) -> pl.DataFrame:
    """Give at most POINTS_MAX rows in order: of each stretch the lowest and highest `by`, and the edges."""
    if frame.height <= POINTS_MAX:
        return frame
    stretches = POINTS_MAX // 2 - 1
    kept = (
        frame.with_row_index("row")
        .group_by(pl.col("row") * stretches // frame.height, maintain_order=True)
        .agg(low=pl.col("row").get(pl.col(by).arg_min()), high=pl.col("row").get(pl.col(by).arg_max()))
    )
    rows = {0, frame.height - 1, *kept["low"].to_list(), *kept["high"].to_list()}
    return frame[sorted(rows)]


def equity_figure(run: Run, curve: pl.DataFrame) -> str | None:
    """Give equity over its drawdown in per cent of the peak; None without two points to join."""
    if curve.height < 2:
        return None
    peak = pl.max_horizontal(pl.col("equity").cum_max(), pl.lit(float(run.cash)))
    frame = thinned(curve.with_columns(fall=(pl.col("equity") / peak - 1.0) * 100), "equity")
    scale = TimeScale.over(curve)
    at = scale.points(frame["ts"])
    figure = new_figure(height=400)
    figure.add_scatter(
        **at,
        y=frame["equity"].round(2).to_list(),
        mode="lines",
        name="equity",
        line={"color": BLUE, "width": 1.6},
        hovertemplate=scale.hover + "  %{y:,.2f} USD<extra>equity</extra>",
    )
    figure.add_scatter(
        **at,
        y=rounded(frame["fall"]),
        mode="lines",
        name="drawdown",
        yaxis="y2",
        line={"color": RED, "width": 1},
        fill="tozeroy",
        fillcolor="rgba(229,72,77,0.18)",
        hovertemplate=scale.hover + "  %{y:.2f} %<extra>drawdown</extra>",
    )
    figure.update_layout(
        hovermode="closest",
        yaxis={"domain": [0.34, 1], "tickformat": ",.2~f", "title": {"text": "equity, USD"}},
        yaxis2={"domain": [0, 0.26], "ticksuffix": " %", "title": {"text": "drawdown"}, "anchor": "x"},
        xaxis={"anchor": "y2", **scale.axis()},
    )
    return as_json(figure)


def exposure_figure(curve: pl.DataFrame) -> str | None:
    """Give gross and net positions in per cent of equity; None where nothing was ever held.

    Many sessions give one point a day: the highest gross, and the net at the close.
    """
    if curve.is_empty() or not (curve["gross"] > 0).any():
        return None
    share = pl.when(pl.col("equity") > 0).then(100.0 / pl.col("equity"))
    frame = curve.with_columns(gross_share=pl.col("gross") * share, net_share=pl.col("net") * share)
    names = ("gross", "net")
    scale = TimeScale.over(curve)
    if scale.by_minutes:
        frame = thinned(frame, "gross")
    else:
        names = ("gross, highest of the day", "net, at the close")
        frame = frame.group_by("session_date", maintain_order=True).agg(
            pl.col("ts", "net_share").last(), pl.col("gross_share").max()
        )
    at = scale.points(frame["ts"])
    figure = new_figure(height=260)
    for column, name, colour in zip(("gross_share", "net_share"), names, (GREY, BLUE), strict=True):
        figure.add_scatter(
            **at,
            y=rounded(frame[column]),
            mode="lines",
            name=name,
            line={"color": colour, "width": 1.2, "shape": "hv"},
            # Where only one side was held net lies upon gross: the area shows that both are there.
            fill="tozeroy" if column == "gross_share" else "none",
            fillcolor="rgba(139,148,163,0.22)",
            hovertemplate=scale.hover + "  %{y:.2f} %<extra>" + name + "</extra>",
        )
    figure.update_layout(
        hovermode="closest",
        xaxis=scale.axis(),
        yaxis={"ticksuffix": " %", "title": {"text": "of equity"}, "zeroline": True},
    )
    return as_json(figure)


def minutes_figure(table: pl.DataFrame) -> str | None:
    """Give P&L by time of day; None for an empty table (`desk.research.breakdown.by_minute`)."""
    if table.is_empty():
        return None
    figure = new_figure(height=280)
    figure.add_bar(
        x=[f"{minute // 60}:{minute % 60:02}" for minute in table["minute"]],
        y=table["pnl"].round(2).to_list(),
        marker={"color": [GREEN if value >= 0 else RED for value in table["pnl"]], "line": {"width": 0}},
        customdata=table["trades"].to_list(),
        hovertemplate="%{x}  %{y:,.2f} USD, %{customdata} trades entered<extra></extra>",
        showlegend=False,
    )
    figure.update_layout(
        bargap=0.25,
        xaxis={"type": "category", "title": {"text": "New York time"}},
        yaxis={"tickformat": ",.2~f", "title": {"text": "P&L, USD"}, "zeroline": True},
    )
    return as_json(figure)


def costs_figure(steps: Sequence[tuple[str, float]]) -> str:
    """Give the way from profit before costs to profit: first and last of `steps` are sums, others changes."""
    figure = new_figure(height=300)
    figure.add_waterfall(
        x=[name for name, _ in steps],
        y=[round(value, 2) for _, value in steps],
        measure=["absolute", *(["relative"] * (len(steps) - 2)), "total"],
        increasing={"marker": {"color": GREEN}},
        decreasing={"marker": {"color": RED}},
        totals={"marker": {"color": BLUE}},
        connector={"line": {"color": GREY, "width": 1}},
        hovertemplate="%{x}  %{y:,.2f} USD<extra></extra>",
        showlegend=False,
    )
    figure.update_layout(
        xaxis={"type": "category"}, yaxis={"tickformat": ",.2~f", "title": {"text": "USD"}, "zeroline": True}
    )
    return as_json(figure)


def results_figure(trades: pl.DataFrame) -> str | None:
    """Give how often trades made what; None without a closed one."""
    results = _results(trades)
    if not len(results):
        return None
    edges = _edges(results)
    width = float(edges[1] - edges[0])
    counts, _ = np.histogram(-np.clip(results, edges[1], edges[-1] - width / 2), bins=-edges[::-1])
    middles = (edges[:-1] + edges[1:]) / 2
    figure = new_figure(height=280)
    figure.add_bar(
        x=[round(float(each), 4) for each in middles],
        y=counts[::-1].tolist(),
        width=width * 0.92,
        marker={"color": [GREEN if each >= 0 else RED for each in middles], "line": {"width": 0}},
        text=_spans(results, edges),
        textposition="none",
        hovertemplate="%{text}  %{y} trades<extra></extra>",
        showlegend=False,
    )
    figure.update_layout(
        xaxis={"tickformat": ",.2~f", "title": {"text": "result of a trade, USD after fees"}},
        yaxis={"tickformat": ",d", "title": {"text": "trades"}},
    )
    return as_json(figure)


def results_words(trades: pl.DataFrame) -> str:
    """Give the caption of `results_figure`: it names the extremes that its first and last bar gather."""
    results, words = _results(trades), []
    if len(results):
        edges = _edges(results)
        below, above = results.min() < edges[0], results.max() > edges[-1]
        words += [f"the first bar holds all down to {money(float(results.min()))}"] if below else []
        words += (
            [f"the last {'' if below else 'bar holds '}all up to {money(float(results.max()))}"]
            if above
            else []
        )
    return "Results of the trades" + ("; " + ", ".join(words) if words else "")


def _results(trades: pl.DataFrame) -> Floats:
    return trades.filter(pl.col("left_at").is_not_null())["pnl"].to_numpy()


def _edges(results: Floats) -> Floats:
    """Give the edges of the bars; of the results beyond them the first and the last bar have all."""
    low, high = np.quantile(results, [TAIL_FRAC, 1 - TAIL_FRAC])
    width = max(float(high - low) / BINS, 0.01)
    # Zero is an edge: a bar is of gains or of losses. A result of zero is no gain.
    edges: Floats = np.arange(math.floor(low / width) - 1, math.ceil(high / width) + 1) * width
    return edges


def _spans(results: Floats, edges: Floats) -> list[str]:
    """Give what hovering says of each bar."""
    spans = [f"{money(float(a))} to {money(float(b))} USD" for a, b in pairwise(edges)]
    if results.min() < edges[0]:
        spans[0] = f"{money(float(edges[1]))} and less, down to {money(float(results.min()))} USD"
    if results.max() > edges[-1]:
        spans[-1] = f"{money(float(edges[-2]))} and more, up to {money(float(results.max()))} USD"
    return spans


def excursions_figure(trades: pl.DataFrame) -> str | None:
    """Give each trade's result against its worst and its best moment; None without a closed trade."""
    closed = trades.filter(pl.col("left_at").is_not_null())
    if closed.is_empty():
        return None
    closed = closed.gather_every(-(-closed.height // DOTS_MAX))
    figure = new_figure(height=360)
    for column, name, colour in (("mae", "worst moment (MAE)", RED), ("mfe", "best moment (MFE)", GREEN)):
        figure.add_scatter(
            x=closed[column].round(2).to_list(),
            y=closed["pnl"].round(2).to_list(),
            mode="markers",
            name=name,
            marker={"color": colour, "size": 5, "opacity": 0.55},
            text=closed["symbol"].to_list(),
            hovertemplate="%{text}  stood at %{x:,.2f}, ended at %{y:,.2f} USD<extra></extra>",
        )
    figure.update_layout(
        hovermode="closest",
        xaxis={"tickformat": ",.2~f", "title": {"text": "how it stood, USD before fees"}, "zeroline": True},
        yaxis={"tickformat": ",.2~f", "title": {"text": "result, USD"}, "zeroline": True},
    )
    return as_json(figure)

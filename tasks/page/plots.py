"""The day's figures, as plotly JSON without colours of the page (tasks/page/canvas.py)."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import plotly.graph_objects as go
import polars as pl

from schemas.account import SessionHours
from schemas.orders import Purpose, Side
from schemas.report import DayReport, FillLine
from tasks.page.canvas import AMBER, BLUE, GREEN, GREY, RED, as_json, new_figure, rounded, wall

BAND_SIGMAS = 2.0  # width of the VWAP bands that are drawn, in standard deviations
BAND_FILL = "rgba(217,119,6,0.13)"
PRICE_PLOTS_MAX = 12  # symbols drawn, the most traded first: about 20 kB and 40 ms each
BARS_MAX = 20  # bars of a ranking; the table beside it has the rest
MARK_SIZE = 11
AXIS_MARGIN = 0.015  # of the session on each side, so that a fill at the bell is not cut

# side, purpose: legend, symbol, colour. Filled enters, open leaves.
_MARKS = {
    (Side.BUY, Purpose.ENTRY): ("buy, entry", "triangle-up", GREEN),
    (Side.SELL, Purpose.EXIT): ("sell, exit", "triangle-down-open", RED),
    (Side.SELL, Purpose.ENTRY): ("sell short, entry", "triangle-down", RED),
    (Side.BUY, Purpose.EXIT): ("buy to cover, exit", "triangle-up-open", GREEN),
    (Side.BUY, None): ("buy, not ours", "diamond-open", GREY),
    (Side.SELL, None): ("sell, not ours", "diamond-open", GREY),
}


def equity_figure(report: DayReport, *, hours: SessionHours | None) -> str | None:
    """Give equity over drawdown; None without two points to join."""
    points = report.equity
    if len(points) < 2:
        return None
    at = [wall(point.at) for point in points]
    figure = new_figure(height=380)
    figure.add_scatter(
        x=at,
        y=[float(point.equity) for point in points],
        mode="lines",
        name="equity",
        line={"color": BLUE, "width": 1.8},
        hovertemplate="%{x|%H:%M}  %{y:,.2f} USD<extra>equity</extra>",
    )
    figure.add_scatter(
        x=at,
        y=[float(point.drawdown_usd) for point in points],
        mode="lines",
        name="drawdown",
        yaxis="y2",
        line={"color": RED, "width": 1},
        fill="tozeroy",
        fillcolor="rgba(229,72,77,0.18)",
        hovertemplate="%{x|%H:%M}  %{y:,.2f} USD<extra>drawdown</extra>",
    )
    figure.update_layout(
        hovermode="x unified",
        yaxis={"domain": [0.36, 1], "tickformat": ",.2~f", "title": {"text": "equity, USD"}},
        yaxis2={"domain": [0, 0.28], "tickformat": ",.2~f", "title": {"text": "drawdown"}, "anchor": "x"},
        xaxis={"anchor": "y2", **_day_axis(hours)},
    )
    return as_json(figure)


def vwap_bands(bars: pl.DataFrame) -> pl.DataFrame:
    """Add `session_vwap`, `lower` and `upper` to one symbol's bars, sorted by ts.

    Formula: p_t is the bar's own VWAP, else (high + low + close) / 3; V = sum(v);
    session_vwap = sum(p v) / V; variance = sum(p^2 v) / V - session_vwap^2; bands are
    session_vwap -/+ 2 standard deviations. Null until something traded.
    """
    typical = pl.coalesce("vwap", (pl.col("high") + pl.col("low") + pl.col("close")) / 3)
    # Moments around the first price: squares of prices lose the digits a small variance needs.
    centred = typical - typical.first()
    volume = pl.col("volume").cast(pl.Float64)
    total = volume.cum_sum()
    known = pl.when(total > 0)
    mean = (centred * volume).cum_sum() / total
    deviation = ((centred.pow(2) * volume).cum_sum() / total - mean.pow(2)).clip(lower_bound=0).sqrt()
    middle = mean + typical.first()
    return bars.sort("ts").with_columns(
        session_vwap=known.then(middle),
        lower=known.then(middle - BAND_SIGMAS * deviation),
        upper=known.then(middle + BAND_SIGMAS * deviation),
    )


def plotted_symbols(report: DayReport, bars: pl.DataFrame) -> tuple[str, ...]:
    """Give the symbols worth a price plot, the most traded first, then by name."""
    traded: dict[str, Decimal] = {}
    for fill in report.fills:
        traded[fill.symbol] = traded.get(fill.symbol, Decimal(0)) + fill.qty * fill.price
    symbols = sorted(
        bars["symbol"].unique().to_list(), key=lambda name: (-traded.get(name, Decimal(0)), name)
    )
    return tuple(symbols[:PRICE_PLOTS_MAX])


def price_figure(bars: pl.DataFrame, fills: Sequence[FillLine], *, hours: SessionHours | None) -> str:
    """Give one symbol's closes with session VWAP bands and a mark for each fill.

    Args:
        bars: one symbol's minute bars.
        fills: the symbol's fills.
        hours: the session; bars outside it are not drawn. None draws all.
    """
    if hours is not None:
        bars = bars.filter((pl.col("ts") >= hours.opens_at) & (pl.col("ts") < hours.closes_at))
    frame = vwap_bands(bars)
    at = [wall(ts) for ts in frame["ts"]]
    figure = new_figure(height=360)
    flat = {"width": 0}
    figure.add_scatter(
        x=at, y=rounded(frame["lower"]), mode="lines", line=flat, hoverinfo="skip", showlegend=False
    )
    figure.add_scatter(
        x=at,
        y=rounded(frame["upper"]),
        mode="lines",
        line=flat,
        fill="tonexty",
        fillcolor=BAND_FILL,
        hoverinfo="skip",
        name="VWAP ± 2 sd",
    )
    figure.add_scatter(
        x=at,
        y=rounded(frame["session_vwap"]),
        mode="lines",
        name="VWAP",
        line={"color": AMBER, "width": 1.2, "dash": "dot"},
        hovertemplate="%{x|%H:%M}  %{y:,.2f}<extra>VWAP</extra>",
    )
    figure.add_scatter(
        x=at,
        y=rounded(frame["close"]),
        mode="lines",
        name="close",
        line={"color": BLUE, "width": 1.4},
        hovertemplate="%{x|%H:%M}  %{y:,.2f}<extra>close</extra>",
    )
    for (side, purpose), (name, shape, colour) in _MARKS.items():
        mine = [fill for fill in fills if (fill.side, fill.purpose) == (side, purpose)]
        if mine:
            _add_marks(figure, mine, name=name, shape=shape, colour=colour)
    figure.update_layout(
        hovermode="closest",
        yaxis={"tickformat": ",.2f", "title": {"text": "USD"}},
        xaxis=_day_axis(hours),
    )
    return as_json(figure)


def _add_marks(figure: go.Figure, fills: Sequence[FillLine], *, name: str, shape: str, colour: str) -> None:
    figure.add_scatter(
        x=[wall(fill.filled_at) for fill in fills],
        y=[float(fill.price) for fill in fills],
        mode="markers",
        name=name,
        marker={"symbol": shape, "size": MARK_SIZE, "color": colour, "line": {"width": 1.6, "color": colour}},
        text=[f"{fill.qty.normalize():f} at {fill.price:,.2f}, {fill.strategy}" for fill in fills],
        hovertemplate="%{x|%H:%M:%S}  %{text}<extra>" + name + "</extra>",
    )


def pnl_figure(report: DayReport) -> str | None:
    """Give net P&L per strategy and symbol, worst below; None without any."""
    lines = sorted(report.pnl, key=lambda line: (line.net, line.strategy, line.symbol))
    if not lines:
        return None
    if len(lines) > BARS_MAX:
        half = BARS_MAX // 2
        lines = lines[:half] + lines[-half:]
    figure = new_figure(height=90 + 40 * len(lines))
    figure.add_bar(
        orientation="h",
        x=[float(line.net) for line in lines],
        y=[f"{line.symbol}<br>{line.strategy}" for line in lines],
        marker={"color": [GREEN if line.net >= 0 else RED for line in lines], "line": {"width": 0}},
        hovertemplate="%{y}  %{x:,.2f} USD<extra></extra>",
        showlegend=False,
    )
    figure.update_layout(xaxis={"tickformat": ",.2~f", "title": {"text": "net P&L, USD"}}, bargap=0.35)
    return as_json(figure)


def slippage_figure(report: DayReport, *, hours: SessionHours | None) -> str | None:
    """Give each fill's slippage over the day; None where no fill has a reference price."""
    known = [fill for fill in report.fills if fill.slippage_bps is not None]
    if not known:
        return None
    figure = new_figure(height=300)
    for side, shape, colour in ((Side.BUY, "triangle-up", GREEN), (Side.SELL, "triangle-down", RED)):
        mine = [fill for fill in known if fill.side is side]
        if mine:
            figure.add_scatter(
                x=[wall(fill.filled_at) for fill in mine],
                y=[round(float(fill.slippage_bps or 0), 2) for fill in mine],
                mode="markers",
                name=side.value,
                marker={"symbol": shape, "size": MARK_SIZE - 2, "color": colour},
                text=[f"{fill.symbol} {fill.qty.normalize():f} at {fill.price:,.2f}" for fill in mine],
                hovertemplate="%{x|%H:%M}  %{text}  %{y:.1f} bps<extra></extra>",
            )
    figure.update_layout(
        xaxis=_day_axis(hours),
        yaxis={"title": {"text": "bps, above 0 costs"}, "zeroline": True},
    )
    return as_json(figure)


def denials_figure(report: DayReport) -> str | None:
    """Give how many intents each reason stopped; None without a denial."""
    counts: dict[str, int] = {}
    for line in report.denials:
        counts[line.reason] = counts.get(line.reason, 0) + line.count
    ranked = sorted(counts.items(), key=lambda item: (item[1], item[0]))[-BARS_MAX:]
    if not ranked:
        return None
    figure = new_figure(height=90 + 30 * len(ranked))
    figure.add_bar(
        orientation="h",
        x=[count for _, count in ranked],
        y=[reason.replace("_", " ") for reason, _ in ranked],
        marker={"color": AMBER, "line": {"width": 0}},
        hovertemplate="%{y}  %{x}<extra></extra>",
        showlegend=False,
    )
    figure.update_layout(xaxis={"title": {"text": "intents denied"}}, bargap=0.35)
    return as_json(figure)


def _day_axis(hours: SessionHours | None) -> dict[str, Any]:
    """Give the time axis: the whole session where it is known, so that plots line up."""
    axis: dict[str, Any] = {"tickformat": "%H:%M", "type": "date"}
    if hours is not None:
        margin = (hours.closes_at - hours.opens_at) * AXIS_MARGIN
        axis["range"] = [wall(hours.opens_at - margin), wall(hours.closes_at + margin)]
    return axis

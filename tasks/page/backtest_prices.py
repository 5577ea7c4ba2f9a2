"""A backtest's trades on the price of one symbol: the last days in full, and the whole period thinned."""

from dataclasses import dataclass

import plotly.graph_objects as go
import polars as pl

from desk.research.curve import session_date
from tasks.page.backtest_plots import (
    CLOSE_UP_SESSIONS,
    CLOSE_UP_TRADES_MAX,
    MARKS_MAX,
    thinned,
)
from tasks.page.canvas import BLUE, GREEN, RED, as_json, new_figure, rounded
from tasks.page.timescale import TimeScale

MARK_SIZE = 9
CLOSE_LINE = {"color": BLUE, "width": 1.2}


@dataclass(frozen=True, kw_only=True)
class PricePlot:
    """A figure of prices, and how much of what it has to show it shows."""

    spec: str
    sessions: int
    trades: int
    trades_there: int


def chosen_symbol(fills: pl.DataFrame, bars: pl.DataFrame) -> str | None:
    """Give the most traded symbol that has bars, by notional and then by name; any, where none was traded."""
    there = bars["symbol"].unique().sort()
    if there.is_empty():
        return None
    ranked = (
        fills.filter(pl.col("symbol").is_in(there.implode()))
        .group_by("symbol")
        .agg(traded=(pl.col("qty").cast(pl.Float64) * pl.col("price").cast(pl.Float64)).sum())
        .sort("traded", "symbol", descending=[True, False])
    )
    name: str = ranked["symbol"][0] if ranked.height else there[0]
    return name


def close_up(bars: pl.DataFrame, trades: pl.DataFrame) -> PricePlot:
    """Give the last days' closes with each trade from entry to exit.

    Args:
        bars: one symbol's, by ts, at least one.
        trades: the symbol's.
    """
    days = bars.select(day=session_date()).to_series().unique().sort()
    for count in range(min(CLOSE_UP_SESSIONS, len(days)), 0, -1):
        shown = bars.filter(session_date() >= days[-count])
        began = shown["ts"][0]
        mine = trades.filter(pl.col("left_at").is_null() | (pl.col("left_at") >= began))
        if mine.height <= CLOSE_UP_TRADES_MAX:
            break
    drawn = mine.tail(CLOSE_UP_TRADES_MAX)
    return PricePlot(
        spec=_figure(shown, _within(drawn, shown), scaled=shown, lines=True),
        sessions=count,
        trades=drawn.height,
        trades_there=mine.height,
    )


def whole_period(bars: pl.DataFrame, trades: pl.DataFrame) -> PricePlot:
    """Give the thinned closes with the entries of the trades of largest result.

    Args:
        bars: one symbol's, by ts, at least one.
        trades: the symbol's.
    """
    largest = trades.sort(pl.col("pnl").abs(), descending=True, maintain_order=True).head(MARKS_MAX)
    return PricePlot(
        spec=_figure(thinned(bars, "close"), largest.sort("entered_at"), scaled=bars, lines=False),
        sessions=bars.select(session_date()).to_series().n_unique(),
        trades=largest.height,
        trades_there=trades.height,
    )


def _within(trades: pl.DataFrame, bars: pl.DataFrame) -> pl.DataFrame:
    """Let a trade that began before the first bar begin at it, and one still open end at the last."""
    first, last = bars["ts"][0], bars["ts"][-1]
    return trades.with_columns(
        entry_price=pl.when(pl.col("entered_at") < first).then(None).otherwise("entry_price"),
        left_at=pl.col("left_at").fill_null(last),
    ).with_columns(entered_at=pl.max_horizontal("entered_at", pl.lit(first)))


def _figure(bars: pl.DataFrame, trades: pl.DataFrame, *, scaled: pl.DataFrame, lines: bool) -> str:
    """Draw bars and trades on the scale of the sessions of `scaled`."""
    scale = TimeScale.over(scaled)
    figure = new_figure(height=420)
    figure.add_scatter(
        **scale.points(bars["ts"]),
        y=rounded(bars["close"]),
        mode="lines",
        name="close",
        line=CLOSE_LINE,
        hovertemplate=scale.hover + "  %{y:,.2f}<extra>close</extra>",
    )
    for name, colour, mine in (
        ("won", GREEN, trades.filter(pl.col("pnl") > 0)),
        ("lost", RED, trades.filter(pl.col("pnl") <= 0)),
    ):
        if mine.height and lines:
            _add_ways(figure, scale, mine, name=name, colour=colour)
        elif mine.height:
            _add_entries(figure, scale, mine, name=name, colour=colour)
    figure.update_layout(
        hovermode="closest",
        yaxis={"tickformat": ",.2f", "title": {"text": "USD"}},
        xaxis=scale.axis(),
    )
    return as_json(figure)


def _add_ways(figure: go.Figure, scale: TimeScale, trades: pl.DataFrame, *, name: str, colour: str) -> None:
    """Draw each trade as a line from its entry (a triangle) to its exit (a ring)."""
    # Three points a trade: its entry, its exit, and the gap before the next.
    ways = trades.select(
        at=pl.concat_list("entered_at", "left_at", pl.lit(None, dtype=pl.Datetime("us", "UTC")))
    ).explode("at")
    entry, exit_ = rounded(trades["entry_price"]), rounded(trades["exit_price"])
    words = _words(trades)
    marks = [_shape(side) for side in trades["side"]]
    figure.add_scatter(
        **scale.points(ways["at"]),
        y=[at for pair in zip(entry, exit_, strict=True) for at in (*pair, None)],
        text=[word for each in words for word in (each, each, "")],
        mode="lines+markers",
        name=name,
        line={"color": colour, "width": 1.6},
        marker={
            "symbol": [shape for each in marks for shape in (each, "circle-open", "circle")],
            "size": MARK_SIZE,
            "color": colour,
        },
        hovertemplate=scale.hover + "  %{text}<extra>" + name + "</extra>",
    )


def _add_entries(
    figure: go.Figure, scale: TimeScale, trades: pl.DataFrame, *, name: str, colour: str
) -> None:
    figure.add_scatter(
        **scale.points(trades["entered_at"]),
        y=rounded(trades["entry_price"]),
        text=_words(trades),
        mode="markers",
        name=name,
        marker={"symbol": [_shape(side) for side in trades["side"]], "size": MARK_SIZE - 2, "color": colour},
        hovertemplate=scale.hover + "  %{text}<extra>" + name + "</extra>",
    )


def _shape(side: str) -> str:
    return "triangle-up" if side == "long" else "triangle-down"


def _words(trades: pl.DataFrame) -> list[str]:
    return [
        f"{side} {qty:,.10g}, {pnl:+z,.2f} USD"
        for side, qty, pnl in trades.select("side", "qty", "pnl").iter_rows()
    ]

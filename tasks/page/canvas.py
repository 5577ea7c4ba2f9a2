"""What the plots of every page share: colours, empty figures, and JSON spelled the same way every time.

Trace colours are middle tones that read on white and on near-black; the page's script adds those of
paper, grid and words, which follow light, dark and print. Instants are New York wall time, because that
is how people remember a trading day; plotly itself knows no time zones.
"""

import json
from datetime import datetime
from typing import Any

import plotly.graph_objects as go
import polars as pl

from desk.hours import new_york

BLUE, AMBER, GREEN, RED, GREY = "#3b82f6", "#d97706", "#16a34a", "#e5484d", "#8b94a3"


def wall(instant: datetime) -> str:
    """Give an instant as New York wall time, to the second, as plotly reads it."""
    return new_york(instant).strftime("%Y-%m-%dT%H:%M:%S")


def new_figure(*, height: int) -> go.Figure:
    """Give an empty figure with what all share; the page's script adds the colours."""
    figure = go.Figure()
    figure.update_layout(
        template={},
        height=height,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "traceorder": "normal"},
        xaxis={"automargin": True},
        yaxis={"automargin": True, "zeroline": False},
    )
    return figure


def rounded(series: pl.Series) -> list[float | None]:
    """Give prices to a hundredth of a cent: more digits only make the page heavier."""
    values: list[float | None] = series.round(4).to_list()
    return values


def as_json(figure: go.Figure) -> str:
    """Give data and layout, spelled the same way every time."""
    plain: dict[str, Any] = figure.to_plotly_json()
    body = {"data": plain["data"], "layout": plain["layout"]}
    # A "<" could end, or begin, a script element inside the one it is put in.
    return json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")

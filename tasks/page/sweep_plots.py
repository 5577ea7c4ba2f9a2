"""A sweep's figures (tasks/page/canvas.py): the tests' curve, heat maps, training against test, stability."""

from collections.abc import Mapping, Sequence
from datetime import date

import numpy as np
import plotly.graph_objects as go

from desk.research.walk import Trial, Verdict
from schemas.sweep import Objective, Range, Value
from tasks.page.canvas import AMBER, BLUE, GREEN, GREY, RED, as_json, new_figure

DOTS_MAX = 1_500  # sets in the plot of training against test
HEAT_CELLS_MAX = 4_096  # of a map; more are smaller than a fingertip
LOW, MIDDLE, HIGH = "#e5484d", "#8b94a3", "#16a34a"  # losing, nothing, gaining


def curve_figure(verdict: Verdict) -> str | None:
    """Give the P&L of the chained tests added up, each fold in its turn; None for less than two sessions."""
    if len(verdict.days) < 2:
        return None
    figure = new_figure(height=340)
    total = np.cumsum(verdict.days)
    figure.add_scatter(
        x=[day.isoformat() for day in verdict.dates],
        y=np.round(total, 2).tolist(),
        mode="lines+markers",
        name="P&L so far",
        line={"color": BLUE, "width": 1.6},
        marker={"size": 4},
        hovertemplate="%{x}  %{y:,.2f} USD<extra></extra>",
    )
    begins = 0
    for number, choice in enumerate(verdict.choices):
        length = len(choice.best.test_days)
        if length and number:
            figure.add_vline(
                x=verdict.dates[begins].isoformat(), line={"color": GREY, "width": 1, "dash": "dot"}
            )
        begins += length
    figure.update_layout(
        hovermode="x unified",
        showlegend=False,
        yaxis={"title": {"text": "USD"}, "tickformat": ",.2~f"},
        xaxis={"type": "category", "nticks": 8, "categoryarray": [_iso(day) for day in verdict.dates]},
    )
    return as_json(figure)


def heat_figure(
    trials: Sequence[Trial],
    sets: Mapping[int, Mapping[str, Value]],
    across: Range,
    down: Range,
    *,
    objective: Objective,
    of_test: bool,
) -> str | None:
    """Give the mean of the objective by two parameters, over folds and all others; None where there is none.

    Args:
        trials: every set in every fold.
        sets: parameters by place.
        across: whose values go from left to right.
        down: whose values go from bottom to top.
        objective: what is averaged.
        of_test: of the tests; else of the training.
    """
    if len(across.values) * len(down.values) > HEAT_CELLS_MAX:
        return None
    cells: dict[tuple[str, str], list[float]] = {}
    for trial in trials:
        found = (trial.test if of_test else trial.train).of(objective)
        if found is not None:
            chosen = sets[trial.place]
            key = str(chosen[across.name]), str(chosen[down.name])
            cells.setdefault(key, []).append(found)
    if not cells:
        return None
    means = {key: sum(values) / len(values) for key, values in cells.items()}
    rows = [[_rounded(means.get((str(x), str(y)))) for x in across.values] for y in down.values]
    reach = max(abs(value) for value in means.values()) or 1.0
    figure = new_figure(height=max(260, min(620, 60 + 26 * len(down.values))))
    figure.add_trace(
        go.Heatmap(
            x=[str(value) for value in across.values],
            y=[str(value) for value in down.values],
            z=rows,
            zmin=-reach,
            zmax=reach,
            colorscale=[[0, LOW], [0.5, "rgba(139,148,163,0.15)"], [1, HIGH]],
            colorbar={"thickness": 10, "outlinewidth": 0, "tickfont": {"color": GREY}},
            hoverongaps=False,
            hovertemplate=f"{across.name} %{{x}}, {down.name} %{{y}}: %{{z:,.2f}}<extra></extra>",
        )
    )
    figure.update_layout(
        xaxis={"type": "category", "title": {"text": across.name}, "nticks": 12},
        yaxis={"type": "category", "title": {"text": down.name}, "nticks": 12},
    )
    return as_json(figure)


def agreement_figure(trials: Sequence[Trial], best: Sequence[Trial], objective: Objective) -> str | None:
    """Give each set's test against its training, the chosen ones marked; None without two of them."""
    known = [each for each in trials if each.train.of(objective) is not None]
    known = [each for each in known if each.test.of(objective) is not None]
    if len(known) < 2:
        return None
    step = max(len(known) // DOTS_MAX, 1)
    figure = new_figure(height=380)
    for name, some, colour, size in (
        ("tried", known[::step][:DOTS_MAX], GREY, 5),
        ("chosen", [each for each in known if each in set(best)], AMBER, 11),
    ):
        figure.add_scatter(
            x=[_rounded(each.train.of(objective)) for each in some],
            y=[_rounded(each.test.of(objective)) for each in some],
            mode="markers",
            name=name,
            marker={"color": colour, "size": size, "opacity": 0.6 if size < 8 else 1},
            hovertemplate="training %{x:,.2f}, test %{y:,.2f}<extra>" + name + "</extra>",
        )
    figure.update_layout(
        hovermode="closest",
        xaxis={"title": {"text": f"{objective} in training"}},
        yaxis={"title": {"text": f"{objective} in the test"}},
    )
    return as_json(figure)


def stability_figure(
    verdict: Verdict, ranges: Sequence[Range], sets: Mapping[int, Mapping[str, Value]]
) -> str | None:
    """Give where in its range each parameter's choice stood, fold by fold; None for less than two folds."""
    moving = [each for each in ranges if len(each.values) > 1]
    if len(verdict.choices) < 2 or not moving:
        return None
    colours = (BLUE, AMBER, GREEN, RED, GREY)
    figure = new_figure(height=300)
    for number, each in enumerate(moving):
        values = [sets[choice.best.place][each.name] for choice in verdict.choices]
        figure.add_scatter(
            x=[choice.best.fold.number for choice in verdict.choices],
            y=[each.values.index(value) / (len(each.values) - 1) for value in values],
            text=[str(value) for value in values],
            mode="lines+markers",
            name=each.name,
            line={"color": colours[number % len(colours)], "width": 1.6},
            hovertemplate=f"fold %{{x}}: {each.name} %{{text}}<extra></extra>",
        )
    figure.update_layout(
        hovermode="closest",
        xaxis={"title": {"text": "fold"}, "dtick": max(len(verdict.choices) // 10, 1)},
        yaxis={"range": [-0.06, 1.06], "tickvals": [0, 1], "ticktext": ["lowest tried", "highest"]},
    )
    return as_json(figure)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _iso(day: date) -> str:
    return day.isoformat()

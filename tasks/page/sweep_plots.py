"""A sweep's figures (tasks/page/canvas.py): the tests' curve, heat maps, training against test, stability."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from desk.research.walk import Trial, Verdict
from schemas.sweep import Objective, Range, Value
from tasks.page.canvas import AMBER, BLUE, GREEN, GREY, RED, as_json, new_figure

DOTS_MAX = 1_500  # sets in the plot of training against test
HEAT_CELLS_MAX = 4_096  # of a map; more are smaller than a fingertip
FULL_COLOUR_QUANTILE = 0.9  # of the maps' values; those beyond it have the colour of its ends
LOW, HIGH = "#e5484d", "#16a34a"  # losing, gaining
OBJECTIVE_WORDS = {
    Objective.SHARPE: "Sharpe ratio",
    Objective.PNL: "P&L",
    Objective.CALMAR: "Calmar ratio",
}

Sets = Mapping[int, Mapping[str, Value]]  # parameters by place
Cells = Mapping[tuple[str, str], float]  # by the two values, as people read them
Chosen = Sequence[tuple[Mapping[str, Value], int]]  # parameters and fold


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
        hovertemplate="%{x|%Y-%m-%d}  %{y:,.2f} USD<extra></extra>",
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
        hovermode="closest",
        showlegend=False,
        yaxis={"title": {"text": "USD"}, "tickformat": ",.2~f"},
        xaxis={"type": "date", "nticks": 6, "rangebreaks": [{"bounds": ["sat", "mon"]}]},
    )
    return as_json(figure)


def cell_means(
    trials: Sequence[Trial], sets: Sets, across: Range, down: Range, *, objective: Objective, of_test: bool
) -> Cells:
    """Give the mean of the objective by two parameters' values, over folds and all other parameters.

    Args:
        trials: every set in every fold.
        sets: parameters by place.
        across: whose values go from left to right.
        down: whose values go from bottom to top.
        objective: what is averaged; where it has no number, a trial is left out.
        of_test: of the tests; else of the training.
    """
    cells: dict[tuple[str, str], list[float]] = {}
    for trial in trials:
        found = (trial.test if of_test else trial.train).of(objective)
        if found is not None:
            cells.setdefault(_cell(sets[trial.place], across, down), []).append(found)
    return {key: sum(values) / len(values) for key, values in cells.items()}


def reach_of(*maps: Cells) -> float:
    """Give the value of full colour, one for all maps: few cells far out must not hide the rest."""
    values = np.abs([value for cells in maps for value in cells.values()])
    return float(np.quantile(values, FULL_COLOUR_QUANTILE)) or 1.0 if len(values) else 1.0


def heat_figure(
    cells: Cells, across: Range, down: Range, *, reach: float, words: str, chosen: Chosen
) -> str | None:
    """Give a map of two parameters; None where nothing is known or there are too many values.

    Args:
        cells: as `cell_means` gives them.
        across: whose values go from left to right.
        down: whose values go from bottom to top.
        reach: the value of full colour, both ways from nothing.
        words: what the values are.
        chosen: what each fold chose: its parameters and the fold's number.
    """
    if not cells or len(across.values) * len(down.values) > HEAT_CELLS_MAX:
        return None
    rows = [[_rounded(cells.get((str(x), str(y)))) for x in across.values] for y in down.values]
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
            hovertemplate=f"{across.name} %{{x}}, {down.name} %{{y}}: {words} %{{z:,.2f}}<extra></extra>",
        )
    )
    folds: dict[tuple[str, str], list[int]] = {}
    for params, fold in chosen:
        folds.setdefault(_cell(params, across, down), []).append(fold)
    figure.add_scatter(
        x=[x for x, _ in folds],
        y=[y for _, y in folds],
        text=[f"fold {' and '.join(str(number) for number in numbers)}" for numbers in folds.values()],
        mode="markers",
        marker={"symbol": "circle-open", "size": 13, "color": AMBER, "line": {"width": 2.5}},
        hovertemplate=f"chosen by %{{text}}: {across.name} %{{x}}, {down.name} %{{y}}<extra></extra>",
        showlegend=False,
    )
    figure.update_layout(
        hovermode="closest",
        xaxis={"type": "category", "title": {"text": across.name}, "nticks": 12, "showgrid": False},
        yaxis={"type": "category", "title": {"text": down.name}, "nticks": 12, "showgrid": False},
    )
    figure.update_xaxes(categoryorder="array", categoryarray=[str(value) for value in across.values])
    figure.update_yaxes(categoryorder="array", categoryarray=[str(value) for value in down.values])
    return as_json(figure)


def agreement_figure(
    trials: Sequence[Trial], best: Sequence[Trial], sets: Sets, objective: Objective
) -> str | None:
    """Give each set's test against its training, the chosen ones marked; None without two of them."""
    known = [each for each in trials if each.train.of(objective) is not None]
    known = [each for each in known if each.test.of(objective) is not None]
    if len(known) < 2:
        return None
    step = -(-len(known) // DOTS_MAX)  # of all folds, evenly
    words = OBJECTIVE_WORDS[objective]
    figure = new_figure(height=380)
    for name, some, colour, size in (
        ("tried", known[::step], GREY, 5),
        ("chosen", [each for each in known if each in set(best)], AMBER, 11),
    ):
        figure.add_scatter(
            x=[_rounded(each.train.of(objective)) for each in some],
            y=[_rounded(each.test.of(objective)) for each in some],
            mode="markers",
            name=name,
            marker={"color": colour, "size": size, "opacity": 0.6 if size < 8 else 1},
            text=[f"fold {each.fold.number}: {set_words(sets[each.place])}" for each in some],
            hovertemplate="%{text}<br>training %{x:,.2f}, test %{y:,.2f}<extra>" + name + "</extra>",
        )
    figure.update_layout(
        hovermode="closest",
        xaxis={"title": {"text": f"{words} in training"}},
        yaxis={"title": {"text": f"{words} in the test"}},
    )
    return as_json(figure)


def stability_figure(verdict: Verdict, ranges: Sequence[Range], sets: Sets) -> str | None:
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


def _cell(params: Mapping[str, Value], across: Range, down: Range) -> tuple[str, str]:
    return str(params[across.name]), str(params[down.name])


def set_words(params: Mapping[str, Value]) -> str:
    """Give a set as people write it."""
    return ", ".join(f"{name} {value}" for name, value in params.items())

"""A sweep's page: offline, right on a phone, and it says what the search found."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from functools import lru_cache
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from desk.errors import ConfigError
from desk.research.walk import Trial, marks
from schemas.research import ALPACA_COSTS
from schemas.sweep import Fold, Method, Objective, Range, Value
from tasks.page import sweep_plots as plots
from tasks.page.sweep import agreement_of, range_words
from tasks.sweep import Sweep
from tasks.sweep_page import shown_ranges, write_sweep_page
from tests.tasks.browsing import WAIT_MS, look_at, specs
from tests.tasks.sweeps import made, plan_of, write_bars

PAGE_MAX_BYTES = 4_000_000
EVERY_PLOT = {"curve", "stability", "heat-train", "heat-test", "agreement"}
ONE_RANGE = {"ranges": ("fast=5,15",)}
FIRST = Fold(number=1, train_start=0, train_end=5, test_start=5, test_end=8)
SECOND = Fold(number=2, train_start=3, train_end=8, test_start=8, test_end=11)


@pytest.fixture(scope="module")
def sweeps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Sweep]:
    """Give a walk and others: untested, one parameter, never trading, by Bayes, by the exact engine."""
    folder = tmp_path_factory.mktemp("sweeps")
    bars = write_bars(folder)
    dear = replace(plan_of(bars).backtest, costs=ALPACA_COSTS)  # which the screen does not cover
    return {
        "walk": made(bars, folder),
        "untested": made(bars, folder, train=None, test=None, objective=Objective.PNL),
        "single": made(bars, folder, **ONE_RANGE),
        "idle": made(bars, folder, ranges=("band_bps=999,1000", "fast=5,6")),
        "bayes": made(bars, folder, method=Method.BAYES, trials=4, objective=Objective.CALMAR),
        "exact": made(bars, folder, **ONE_RANGE, backtest=dear),
    }


@pytest.fixture(scope="module")
def page(sweeps: dict[str, Sweep], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Give a sweep's page by name."""
    folder = tmp_path_factory.mktemp("pages")

    @lru_cache(maxsize=8)
    def written(name: str) -> str:
        write_sweep_page(sweeps[name], folder / "deep" / f"{name}.html")
        return (folder / "deep" / f"{name}.html").read_text(encoding="utf-8")

    return written


def spec_of(spec: str | None) -> Any:
    """Give a figure's specification."""
    assert spec is not None
    return json.loads(spec)


def trial(place: int, fold: Fold, train: float, test: float) -> Trial:
    """Give a set whose days made so much."""
    days, later = np.full(5, train / 5), np.full(3, test / 3)
    return Trial(
        place=place,
        fold=fold,
        train=marks(days, cash=1000.0),
        train_trades=1,
        train_days=days,
        test=marks(later, cash=1000.0),
        test_trades=1,
        test_days=later,
    )


def test_a_walk_has_every_plot_and_the_same_bytes_twice(
    page: Callable[[str], str], sweeps: dict[str, Sweep], tmp_path: Path
) -> None:
    """Nothing of it depends on when it is written, and it stays light."""
    write_sweep_page(sweeps["walk"], tmp_path / "again.html")

    assert set(specs(page("walk"))) == EVERY_PLOT
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == page("walk")
    assert len(page("walk").encode()) < PAGE_MAX_BYTES


def test_the_page_says_the_verdict(page: Callable[[str], str], sweeps: dict[str, Sweep]) -> None:
    """The plain words, every fold's choice, and the fills both engines gave."""
    sweep, text = sweeps["walk"], unescape(page("walk"))

    assert sweep.verdict.truth in text
    assert sweep.verdict.luck in text
    for choice in sweep.verdict.choices:
        params = sweep.params(choice.best.place)
        assert f"fast {params['fast']}, slow {params['slow']}" in text
        assert f">{sweep.proven[choice.best.fold.number]}<" in text
    assert sweep.prepared.job.sweep_id in text


def test_both_engines_are_named_where_both_played(page: Callable[[str], str]) -> None:
    """The exact engine alone proves nothing: there are no fills to compare, so no column of them."""
    assert "the same by both engines" in page("walk")
    assert '<th scope="col" class="n">Fills</th>' in page("walk")
    for name in ("exact", "untested"):
        assert "both engines" not in page(name)
        assert '<th scope="col" class="n">Fills</th>' not in page(name)


@pytest.mark.browser
def test_no_table_is_cut_on_a_wide_screen(browser: Any, sweeps: dict[str, Sweep], tmp_path: Path) -> None:
    """Not even where folds begin and end in different years, and a set has many parameters."""
    walk = sweeps["walk"]
    days = tuple(day.replace(year=2000 + 2 * place) for place, day in enumerate(walk.prepared.job.sessions))
    more = tuple(Range(name=f"a_long_parameter_{place}", values=(0.25,)) for place in range(4))
    job = walk.prepared.job.model_copy(
        update={"sessions": days, "ranges": (*walk.prepared.job.ranges, *more)}
    )
    far = replace(walk, prepared=replace(walk.prepared, job=job))
    write_sweep_page(far, tmp_path / "far.html")
    tab = browser.new_page(viewport={"width": 1280, "height": 844})
    tab.goto((tmp_path / "far.html").as_uri())
    tab.wait_for_selector("html[data-plots]", state="attached", timeout=WAIT_MS)

    cut = tab.evaluate(
        "[...document.querySelectorAll('.scroll')].filter(each => each.scrollWidth > each.clientWidth)"
        ".map(each => each.ariaLabel)"
    )

    assert cut == []
    tab.close()


def test_doubts_about_the_bars_stand_among_the_cautions(sweeps: dict[str, Sweep], tmp_path: Path) -> None:
    """What the terminal says of them the page says too."""
    walk, doubt = sweeps["walk"], "Prices jumped over night as by a split: S01"
    write_sweep_page(
        replace(walk, prepared=replace(walk.prepared, notes=(doubt, "purge 9 sessions, not 2"))),
        tmp_path / "doubted.html",
    )

    text = (tmp_path / "doubted.html").read_text(encoding="utf-8")

    assert f"<li>{doubt}.</li><li>Purge 9 sessions, not 2.</li>" in text
    assert text.index("Before you believe it") < text.index(doubt) < text.index('id="curve-section"')


def test_one_session_is_singular(
    page: Callable[[str], str], sweeps: dict[str, Sweep], tmp_path: Path
) -> None:
    """Nowhere does a page write 1 sessions or 1 folds."""
    walk = sweeps["walk"]
    job = walk.prepared.job
    short = job.model_copy(update={"sessions": job.sessions[:1], "folds": job.folds[:1]})
    found = replace(walk.verdict, choices=(), dates=walk.verdict.dates[:1], days=walk.verdict.days[:1])
    facts = {**walk.prepared.facts, "purge": 1, "embargo": 1}
    write_sweep_page(
        replace(walk, prepared=replace(walk.prepared, job=short, facts=facts), verdict=found),
        tmp_path / "one.html",
    )

    text = (tmp_path / "one.html").read_text(encoding="utf-8")

    assert not re.search(r"\b1 (sessions|folds|sets|symbols|fills)\b", text)
    assert not re.search(r"\b1 (sessions|folds|sets|symbols|fills)\b", page("single"))


def test_without_a_test_the_page_does_not_pretend(page: Callable[[str], str]) -> None:
    """It says that nothing was tested and draws no test."""
    text = page("untested")

    assert "Nothing here was tested" in text
    assert "Out of sample, USD" not in text
    assert set(specs(text)) == {"curve", "heat-train"}


def test_one_parameter_has_no_map(page: Callable[[str], str]) -> None:
    """There are no two to draw, and the page says so."""
    assert set(specs(page("single"))) == EVERY_PLOT - {"heat-train", "heat-test"}
    assert "There are no two parameters to draw" in page("single")


FAST, SLOW = Range(name="fast", values=(5, 10)), Range(name="slow", values=(20, 60, 90))
SETS = {
    0: {"fast": 5, "slow": 20, "band": 1},
    1: {"fast": 5, "slow": 20, "band": 2},
    2: {"fast": 10, "slow": 60, "band": 1},
}


def test_a_map_is_the_mean_of_the_folds() -> None:
    """Over folds and all other parameters, in the ranges' order; what was not tried is empty."""
    trials = [
        trial(0, FIRST, 10.0, -3.0),
        trial(0, SECOND, 20.0, -6.0),
        trial(1, FIRST, 60.0, 0.0),
        trial(2, SECOND, -8.0, 9.0),
    ]

    def drawn(*, of_test: bool) -> list[list[float | None]]:
        cells = plots.cell_means(trials, SETS, FAST, SLOW, objective=Objective.PNL, of_test=of_test)
        rows: list[list[float | None]] = spec_of(
            plots.heat_figure(cells, FAST, SLOW, reach=1.0, words="P&L", chosen=())
        )["data"][0]["z"]
        return rows

    assert drawn(of_test=False) == [[30.0, None], [None, -8.0], [None, None]]
    assert drawn(of_test=True) == [[-3.0, None], [None, 9.0], [None, None]]


def test_a_map_marks_what_each_fold_chose() -> None:
    """One circle a place, named by all folds that chose it."""
    cells = {("5", "20"): 1.0, ("10", "60"): 2.0}

    marks_drawn = spec_of(
        plots.heat_figure(
            cells, FAST, SLOW, reach=1.0, words="P&L", chosen=[(SETS[0], 1), (SETS[2], 2), (SETS[1], 3)]
        )
    )["data"][1]

    found = zip(marks_drawn["x"], marks_drawn["y"], marks_drawn["text"], strict=True)
    assert list(found) == [("5", "20", "fold 1 and 3"), ("10", "60", "fold 2")]


def test_a_cell_far_out_does_not_take_the_colours_of_the_others() -> None:
    """Of a hundred cells the ten largest may have full colour; both maps have the same."""
    cells = {(str(place), "0"): float(place) for place in range(1, 100)} | {("far", "0"): -1e9}

    assert 85 < plots.reach_of(cells) < 95
    assert plots.reach_of(cells, cells) == pytest.approx(plots.reach_of(cells), rel=0.02)
    assert plots.reach_of({}) == plots.reach_of({("5", "20"): 0.0}) == 1.0


def test_a_map_with_more_cells_than_can_be_seen_is_not_drawn() -> None:
    """A hundred by a hundred is refused rather than drawn as a grey square."""
    wide = tuple(range(100))
    across, down = Range(name="fast", values=wide), Range(name="slow", values=wide)

    assert plots.heat_figure({("0", "0"): 1.0}, across, down, reach=1.0, words="P&L", chosen=()) is None


def test_the_cloud_shows_every_fold() -> None:
    """More dots than can be seen are thinned evenly, not cut off at the end."""
    trials = [trial(place, fold, float(place), 1.0) for fold in (FIRST, SECOND) for place in range(1_000)]
    sets = {place: {"fast": place} for place in range(1_000)}

    tried = spec_of(plots.agreement_figure(trials, [], sets, Objective.PNL))["data"][0]

    assert len(tried["x"]) <= plots.DOTS_MAX
    folds = [words.partition(":")[0] for words in tried["text"]]
    assert folds.count("fold 1") == folds.count("fold 2") > 0


@pytest.mark.parametrize(
    ("tests", "expected"),
    [([1.0, 2.0, 3.0], 1.0), ([3.0, 2.0, 1.0], -1.0), ([1.0, 3.0, 2.0], 0.5), ([2.0, 2.0, 2.0], None)],
)
def test_agreement_is_spearmans(tests: list[float], expected: float | None) -> None:
    """By hand: 1 - 6 sum d^2 / (n (n^2 - 1)); no answer where all are equal or there are two."""
    trials = [trial(place, FIRST, float(place), found) for place, found in enumerate(tests)]

    assert agreement_of(trials, Objective.PNL) == (None if expected is None else pytest.approx(expected))
    assert agreement_of(trials[:2], Objective.PNL) is None


def test_agreement_is_within_a_fold() -> None:
    """Two folds of which one holds and one turns round agree by nothing, however far apart they lie."""
    trials = [trial(place, FIRST, float(place), float(place)) for place in range(3)]
    trials += [trial(place, SECOND, 100.0 + place, 100.0 - place) for place in range(3)]

    assert agreement_of(trials, Objective.PNL) == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((5, 10, 15, 20), "5 to 20 in steps of 5, 4 values"),
        ((0.1, 0.2, 0.3), "0.1 to 0.3 in steps of 0.1, 3 values"),
        ((5, 20), "5, 20"),
        ((20, 50, 100), "20, 50, 100"),
        ((True, False), "True, False"),
        (tuple(each**2 for each in range(30)), f"{', '.join(str(n**2) for n in range(20))} … 841, 30 values"),
    ],
)
def test_a_range_is_told_as_it_was_written(values: tuple[Value, ...], words: str) -> None:
    """By its step where it has one, else its values; many are cut short and counted."""
    assert range_words(Range(name="it", values=values)) == words


def test_the_curve_adds_the_tests_up(page: Callable[[str], str], sweeps: dict[str, Sweep]) -> None:
    """One point a tested session, the last the sum of all, in order of date."""
    curve = specs(page("walk"))["curve"]["data"][0]

    assert curve["x"] == sorted(day.isoformat() for day in sweeps["walk"].verdict.dates)
    assert curve["x"][0] == date(2025, 11, 18).isoformat()
    assert curve["y"][-1] == pytest.approx(sweeps["walk"].verdict.marks.pnl, abs=0.01)


@pytest.mark.parametrize("words", ["fast", "fast,fast", "fast,speed", "fast,slow,band_bps", ""])
def test_a_wrong_pair_of_the_maps_is_refused(sweeps: dict[str, Sweep], words: str) -> None:
    """In one line that names what may be written."""
    with pytest.raises(ConfigError, match=r"--heat .*: write two of fast, slow, as in fast,slow") as caught:
        shown_ranges(sweeps["walk"].prepared.job, words)

    assert "\n" not in str(caught.value)


def test_the_maps_parameters_can_be_chosen(sweeps: dict[str, Sweep]) -> None:
    """In the order they are written; else the first two that move."""
    job = sweeps["walk"].prepared.job

    turned, usual = shown_ranges(job, "slow, fast"), shown_ranges(job, None)

    assert turned is not None
    assert usual is not None
    assert [each.name for each in turned] == ["slow", "fast"]
    assert [each.name for each in usual] == ["fast", "slow"]
    assert shown_ranges(sweeps["single"].prepared.job, None) is None


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (390, "dark"), (1280, "light")])
@pytest.mark.parametrize("name", ["walk", "untested", "single", "idle", "bayes", "exact"])
def test_the_page_works_offline_in_a_real_browser(
    browser: Any, page: Callable[[str], str], tmp_path: Path, name: str, width: int, scheme: str
) -> None:
    """It asks for nothing, complains of nothing, fits its width and draws every plot."""
    look_at(browser, page(name), folder=tmp_path, width=width, scheme=scheme)

"""`desk compare` on runs that were played and kept: found by name, told apart, and drawn."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from data.kept_runs import RunName
from desk.errors import ConfigError, NoBars
from schemas.research import Size
from schemas.settings import Settings
from tasks.backtest import Backtest, keep, run_backtest
from tasks.backtest_plan import BacktestPlan
from tasks.compare import Compared, compared, named, write_comparison
from tasks.page.compare import equity_figure
from tests.desk.research import market
from tests.tasks.browsing import look_at, specs

PAGE_MAX_BYTES = 3_000_000
NEWEST = datetime(2026, 11, 21, 12, tzinfo=UTC)
RUNS = tuple(
    RunName(run_id, "rsi", NEWEST - timedelta(hours=age))
    for age, run_id in enumerate(("ab12cd34", "ab99ffff", "0f0f0f0f", "77778888"))
)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(store=tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def played(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> list[Backtest]:
    """Keep five runs: one, another parameter, other days, other cash, and one that never trades."""
    path = tmp_path_factory.mktemp("bars") / "bars.parquet"
    market.make_bars().write_parquet(path)
    asked: list[dict[str, Any]] = [
        {},
        {"params": ("fast=8", "slow=30")},
        {"start": date(2025, 12, 1)},
        {"cash": Decimal(50_000)},
        {"params": ("band_bps=999",)},
    ]
    runs = []
    for changes in asked:
        plan = BacktestPlan(
            **{"strategy": "sma_crossover", "bars": path, "size": Size.parse("shares:10")} | changes
        )
        runs.append(run_backtest(plan, settings, began=lambda _: None, after=lambda _: None))
        assert keep(runs[-1], settings) is None
    return runs


@pytest.fixture
def pair(settings: Settings, played: list[Backtest]) -> Any:
    """Compare two of them by their place."""

    def found(first: int, second: int) -> Compared:
        return compared(settings, played[first].run.run_id, played[second].run.run_id)

    return found


def page_of(found: Compared, folder: Path) -> str:
    path = folder / "deep" / "compare.html"
    write_comparison(found, path)
    return path.read_text(encoding="utf-8")


def test_a_kept_run_is_read_as_it_was_written(pair: Any, played: list[Backtest]) -> None:
    """Record, fills, trades and curve come back as they were."""
    kept, done = pair(0, 1).first, played[0]

    assert kept.run == done.run
    assert kept.fills.equals(done.fills)
    assert kept.trades.equals(done.trades)
    assert kept.curve.equals(done.curve)
    assert kept.numbers["sharpe"] == done.performance.account.sharpe
    assert kept.numbers["profit_usd"] == pytest.approx(done.performance.account.profit_usd, abs=0.01)
    assert kept.numbers["trades"] == done.performance.trades.trades


def test_another_parameter_is_what_differs(pair: Any, played: list[Backtest]) -> None:
    """On the same bars: the parameters and the settings made of them, and the numbers' change."""
    found = pair(0, 1)
    profits = [done.performance.account.profit_usd for done in played[:2]]

    assert [each.name for each in found.comparison.asked] == ["fast", "settings"]
    assert found.comparison.same_data
    assert found.facts["numbers"]["profit_usd"]["change"] == pytest.approx(profits[1] - profits[0], abs=0.01)
    assert found.comparison.fill is not None
    assert sum(line["change"] for line in found.symbols) == pytest.approx(profits[1] - profits[0], abs=0.01)
    assert found.rows[0]["name"] == "profit, USD"


def test_other_days_do_not_compare(pair: Any) -> None:
    """Two periods are different data, and no number is called better."""
    found = pair(0, 2)

    assert not found.comparison.same_data
    assert "different data" in found.comparison.remarks[0]


def test_last_and_beginnings_name_runs(settings: Settings, played: list[Backtest]) -> None:
    """`last` is the newest, `last~1` the one before, and the beginning of an id is enough."""
    ids = [done.run.run_id for done in played]

    found = compared(settings, "last", "last~1")
    begun = compared(settings, ids[0][:10], ids[1].upper())

    assert (found.first.run.run_id, found.second.run.run_id) == (ids[-1], ids[-2])
    assert (begun.first.run.run_id, begun.second.run.run_id) == (ids[0], ids[1])


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("ab", "ab: 2 runs begin so: ab12cd34 .rsi, 2026-11-21 12:00., ab99ffff"),
        ("ab12cd35", "'ab12cd35': there is none of that name; the nearest: ab12cd34 .rsi"),
        ("zzzz", "the newest: ab12cd34 .*, 0f0f0f0f .rsi, 2026-11-21 10:00. and 1 more; or write last"),
        ("", "'': there is none of that name"),
        ("last~4", "last~4: there are 4 runs, so the oldest is last~3"),
    ],
)
def test_a_name_that_means_no_one_run_is_refused(words: str, complaint: str) -> None:
    """The nearest are named, or the newest where nothing is near."""
    with pytest.raises(ConfigError, match=complaint):
        named(words, RUNS)


def test_an_id_that_begins_another_means_itself() -> None:
    """A whole id is never ambiguous."""
    longer = RunName("ab12cd34ff", "rsi", NEWEST)

    assert named("ab12cd34", (longer, *RUNS)) == "ab12cd34"
    assert named("last~3", RUNS) == "77778888"


def test_without_runs_there_is_nothing_to_compare(tmp_path: Path) -> None:
    """A new desk says how to get one, and makes no warehouse."""
    with pytest.raises(NoBars, match="desk backtest keeps one"):
        compared(Settings(store=tmp_path), "last", "last~1")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")]
)
def test_the_page_is_right_in_a_browser(
    pair: Any, browser: Any, tmp_path: Path, width: int, scheme: str
) -> None:
    """It asks for nothing, complains of nothing, fits the screen and draws both curves."""
    for first, second in ((0, 1), (0, 2), (0, 3), (0, 4)):
        look_at(browser, page_of(pair(first, second), tmp_path), folder=tmp_path, width=width, scheme=scheme)


def test_the_page_draws_both_curves_over_their_difference(pair: Any, tmp_path: Path) -> None:
    """In USD; the last point of the difference is that of the final equities."""
    found = pair(0, 1)
    page = page_of(found, tmp_path)
    traces = {trace["name"]: trace for trace in specs(page)["equity"]["data"]}

    ends = [each.curve["equity"][-1] for each in (found.first, found.second)]
    assert [traces[name]["y"][-1] for name in ("first", "second")] == pytest.approx(ends, abs=0.001)
    assert traces["second less first"]["y"][-1] == pytest.approx(ends[1] - ends[0], abs=0.001)
    assert page.encode() == page_of(found, tmp_path).encode()
    assert len(page.encode()) < PAGE_MAX_BYTES


def test_other_cash_is_drawn_in_per_cent_of_it(pair: Any, tmp_path: Path) -> None:
    """Both begin at nought, and the page says so."""
    page = page_of(pair(0, 3), tmp_path)
    traces = specs(page)["equity"]["data"]

    assert [trace["y"][0] for trace in traces[:2]] == pytest.approx([0.0, 0.0], abs=0.1)
    assert "They began with different cash, so both are in per cent of it." in page


def test_periods_that_do_not_meet_have_no_difference_to_draw(pair: Any) -> None:
    """Only the curves are drawn where one had ended before the other began."""
    found = pair(0, 2)
    early = found.first.curve.filter(found.first.curve["session_date"] < date(2025, 12, 1))

    spec = equity_figure(replace(found.first, curve=early), found.second)
    assert spec is not None
    assert "second less first" not in spec
    assert equity_figure(replace(found.first, curve=early.clear()), found.second) is None


def test_the_page_says_what_the_terminal_says(pair: Any, tmp_path: Path) -> None:
    """Both runs' ids, what was asked, where they part, and that other data do not compare."""
    found = pair(0, 1)
    page = page_of(found, tmp_path)
    other = page_of(pair(0, 2), tmp_path)

    assert found.first.run.run_id in page
    assert found.second.run.run_id in page
    assert found.comparison.fill is not None
    assert found.comparison.fill.first in page
    assert all(row["change"] in page for row in found.rows)
    assert "their numbers do not compare" not in page
    assert "their numbers do not compare" in other

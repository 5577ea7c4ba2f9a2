"""The day's page: offline, the same bytes every time, right on a phone and on days without anything."""

import json
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from desk.quality import data_quality
from desk.reporter import day_report
from schemas.account import SessionHours
from schemas.events import AnyEvent
from schemas.report import DayReport, Link
from schemas.settings import Mode
from tasks.page import plots, render
from tests.tasks import sample_day as sample
from tests.tasks.browsing import look_at, specs

PAGE_MAX_BYTES = 6_000_000


def make_report(events: list[AnyEvent], bars: pl.DataFrame, *, links: tuple[Link, ...] = ()) -> DayReport:
    """Fold the sample's ledger and bars."""
    quality = data_quality(
        bars, symbols=(), hours=sample.HOURS, revisions=2, quarantined={"ohlc_order": 3} if events else {}
    )
    return day_report(
        events, session_date=sample.DAY, account="paper", mode=Mode.PAPER, data=quality, links=links
    )


def make_page(
    events: list[AnyEvent], bars: pl.DataFrame, *, hours: SessionHours | None = sample.HOURS
) -> str:
    """Render the sample."""
    return render.render_page(make_report(events, bars), bars, hours=hours)


@lru_cache(maxsize=1)
def days() -> dict[str, str]:
    """Give the pages of a busy day, a quiet one, and one without anything."""
    bars = sample.bars()
    quiet: list[AnyEvent] = [sample.started(), *(sample.minute_closed(each, "100000") for each in range(390))]
    return {
        "busy": make_page(sample.busy_day(), bars),
        "quiet": make_page(quiet, bars.filter(pl.col("symbol") == "SPY")),
        "empty": make_page([], bars.clear()),
    }


def test_the_same_day_gives_the_same_bytes() -> None:
    """Made twice, from records built twice, the page does not differ in a byte."""
    again = make_page(sample.busy_day(), sample.bars())

    assert again == days()["busy"]


def test_a_page_stays_below_its_weight() -> None:
    """The busiest page, plotly included, is light enough for a phone."""
    assert len(days()["busy"].encode()) < PAGE_MAX_BYTES


def test_a_busy_day_has_every_plot() -> None:
    """Equity, a price plot per symbol, P&L, slippage and denials."""
    drawn = specs(days()["busy"])

    assert set(drawn) == {
        "equity",
        "pnl",
        "slippage",
        "denials",
        *(f"price-{name}" for name in sample.PRICES),
    }


def test_a_day_without_anything_says_so_in_each_section() -> None:
    """No plot, no table, no plotly, and a sentence in every section."""
    page = days()["empty"]

    assert specs(page) == {}
    assert "<table" not in page
    assert len(page) < 50_000
    for words in ("No order was sent", "No order was filled", "denied nothing", "No session started"):
        assert words in page


def test_every_fill_is_marked_on_its_symbols_plot() -> None:
    """Entries and exits are separate marks at the fill's price and New York time."""
    report = make_report(sample.busy_day(), sample.bars())
    marks = [
        (trace["name"], at, price)
        for trace in specs(days()["busy"])["price-SPY"]["data"]
        if trace["mode"] == "markers"
        for at, price in zip(trace["x"], trace["y"], strict=True)
    ]

    mine = [fill for fill in report.fills if fill.symbol == "SPY"]
    assert len(marks) == len(mine)
    assert ("buy, entry", plots.wall(mine[0].filled_at), float(mine[0].price)) in marks


def test_vwap_bands_have_their_known_values() -> None:
    """Prices 10 and 14 with volumes 3 and 1: VWAP 11, deviation sqrt(3), bands two of them away."""
    bars = pl.DataFrame(
        {
            "ts": [sample.OPEN, sample.OPEN + timedelta(minutes=1)],
            "high": [10.0, 15.0],
            "low": [10.0, 13.0],
            "close": [10.0, 14.0],
            "volume": [3, 1],
            "vwap": [None, 14.0],
        },
        schema_overrides={"vwap": pl.Float64},
    )

    last = plots.vwap_bands(bars).row(-1, named=True)

    assert last["session_vwap"] == pytest.approx(11.0)
    assert last["lower"] == pytest.approx(11 - 2 * 3**0.5)
    assert last["upper"] == pytest.approx(11 + 2 * 3**0.5)


def test_bars_outside_the_session_are_not_drawn() -> None:
    """A bar before the open would shift the session's VWAP and squeeze the plot."""
    early = sample.bars().head(1).with_columns(ts=pl.col("ts") - timedelta(hours=2))
    frame = pl.concat([early, sample.bars().filter(pl.col("symbol") == "SPY")])

    spec = json.loads(plots.price_figure(frame, [], hours=sample.HOURS))

    assert min(spec["data"][-1]["x"]) == "2024-08-27T09:30:00"


def test_only_the_most_traded_symbols_are_drawn_and_the_page_says_so() -> None:
    """A universe of many symbols gives a bounded page."""
    one = sample.bars().filter(pl.col("symbol") == "SPY")
    many = pl.concat([one.with_columns(symbol=pl.lit(f"S{each:02}")) for each in range(15)])

    page = make_page([], many)

    assert len([name for name in specs(page) if name.startswith("price-")]) == plots.PRICE_PLOTS_MAX
    assert "3 more symbols have bars" in page


def test_words_from_outside_cannot_become_markup() -> None:
    """A reason, a symbol or a title with tags is shown, not run."""
    events = sample.busy_day()
    evil = Link(title="<script>alert(1)</script>", url="https://example.invalid/?a=1&b=2")
    bars = sample.bars()
    page = render.render_page(make_report(events, bars, links=(evil,)), bars, hours=sample.HOURS)

    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_an_early_close_and_an_unknown_session_are_drawn_alike() -> None:
    """A date whose hours nobody knows still has its page."""
    assert specs(make_page(sample.busy_day(), sample.bars(), hours=None))


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (390, "dark"), (1280, "light")])
@pytest.mark.parametrize("day", ["busy", "quiet", "empty"])
def test_the_page_works_offline_in_a_real_browser(
    browser: Any, tmp_path: Path, day: str, width: int, scheme: str
) -> None:
    """It asks for nothing, complains of nothing, fits its width and draws every plot."""
    look_at(browser, days()[day], folder=tmp_path, width=width, scheme=scheme)


def test_the_sample_is_a_real_session() -> None:
    """The sample's hours are the calendar's, so the plots' edges are."""
    assert sample.HOURS is not None
    assert sample.HOURS.session_date == date(2024, 8, 27)

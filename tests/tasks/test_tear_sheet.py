"""The tear sheet: offline, bounded, right on a phone, and on runs that did nothing."""

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from desk.research.curve import equity_curve
from desk.research.overfitting import Tries
from desk.research.performance import measure
from desk.research.trades import round_trips
from schemas.research import ALPACA_COSTS, FLOW_SCHEMA, NO_COSTS, Costs, Run
from tasks.page import backtest_plots as plots
from tasks.page import backtest_prices as prices
from tasks.page import template
from tasks.page.backtest import ROWS_MAX, monthly, render_tear_sheet
from tasks.page.conventions import cost_words
from tasks.page.timescale import SESSIONS_MAX, TimeScale
from tasks.tear_sheet import write_tear_sheet
from tests.desk.research import market
from tests.desk.research.test_curve import bar, fill, fills_of, frame
from tests.tasks.browsing import WAIT_MS, look_at, specs

PAGE_MAX_BYTES = 4_000_000
EVERY_PLOT = {"equity", "minutes", "price-near", "price-far", "exposure", "costs", "results", "excursions"}


@dataclass(frozen=True)
class Made:
    """A run and all that belongs to it."""

    run: Run
    fills: pl.DataFrame
    bars: pl.DataFrame
    curve: pl.DataFrame
    trades: pl.DataFrame
    flows: pl.DataFrame

    def page(self, run: Run | None = None, **extra: Any) -> str:
        """Render it."""
        shown = run or self.run
        performance = measure(
            cash=shown.cash,
            curve=self.curve,
            trades=self.trades,
            fills=self.fills,
            bars=self.bars,
            flows=self.flows,
        )
        return render_tear_sheet(
            shown,
            performance=performance,
            fills=self.fills,
            bars=self.bars,
            curve=self.curve,
            trades=self.trades,
            **extra,
        )


def make(bars: pl.DataFrame, fills: pl.DataFrame, *, costs: Costs = NO_COSTS) -> Made:
    """Play fills on bars; one borrow is charged where there is a fill."""
    flows = pl.DataFrame(
        [{"ts": ts, "kind": "borrow", "amount": Decimal("-12.5")} for ts in fills["ts"].head(1)],
        schema=FLOW_SCHEMA,
    )
    curve = equity_curve(fills, bars, cash=market.CASH, flows=flows)
    final = Decimal(f"{curve['equity'][-1]:.2f}") if curve.height else market.CASH
    run = market.make_run(market.Play(bars, fills), costs=costs, final_equity=final)
    return Made(run, fills, bars, curve, round_trips(fills, bars), flows)


@lru_cache(maxsize=1)
def runs() -> dict[str, Made]:
    """Give a long busy run, a short one, one that never traded, and one without a bar."""
    long_bars = market.make_bars(symbols=3, first=date(2025, 6, 2), last=date(2025, 9, 16))
    short_bars = market.make_bars()
    none = market.make_fills(short_bars).clear()
    return {
        "long": make(
            long_bars,
            market.make_fills(long_bars, every=30, strategies=("sma_crossover", "opening_range"), wild=True),
            costs=ALPACA_COSTS,
        ),
        "short": make(short_bars, market.make_fills(short_bars)),
        "idle": make(short_bars, none),
        "empty": make(short_bars.clear(), none),
    }


@lru_cache(maxsize=8)
def page(name: str) -> str:
    """Give a run's page."""
    return runs()[name].page()


def test_the_same_run_gives_the_same_bytes() -> None:
    """Rendered twice, the page does not differ in a byte."""
    assert runs()["short"].page() == page("short")


@pytest.mark.parametrize("name", ["long", "short"])
def test_a_run_that_traded_has_every_plot(name: str) -> None:
    """Whatever its length."""
    assert set(specs(page(name))) == EVERY_PLOT


def test_a_page_stays_below_its_weight() -> None:
    """Many rows of equity and thousands of trades are thinned; no line has more points than a screen."""
    long = runs()["long"]

    assert long.curve.height > 10 * plots.POINTS_MAX
    assert long.trades.height > plots.DOTS_MAX
    assert len(page("long").encode()) < PAGE_MAX_BYTES
    for name, spec in specs(page("long")).items():
        lengths = [len(trace["y"]) for trace in spec["data"] if not name.startswith("price-near")]
        assert all(length <= plots.POINTS_MAX for length in lengths)
    for words in ("Thinned to 1,600 points", "evenly chosen", "largest results of"):
        assert words in page("long")


def test_thinning_keeps_the_edges_and_the_extremes() -> None:
    """The lowest and the highest of every stretch, the first and the last row; a short frame is untouched."""
    values = [float((each * 7919) % 10_007) for each in range(50_000)]
    long = pl.DataFrame({"number": range(50_000), "value": values})

    found = plots.thinned(long, "value")

    assert found.height <= plots.POINTS_MAX
    assert found["number"].is_sorted()
    assert (found["number"][0], found["number"][-1]) == (0, 49_999)
    assert (found["value"].min(), found["value"].max()) == (min(values), max(values))
    assert plots.thinned(long.head(100), "value").height == 100


def test_the_page_says_the_numbers_of_the_run(tmp_path: Path) -> None:
    """What `write_tear_sheet` returns is what the page shows and the file has."""
    made = runs()["short"]
    path = tmp_path / "deep" / "report.html"

    found = write_tear_sheet(
        made.run,
        fills=made.fills,
        bars=made.bars,
        curve=made.curve,
        trades=made.trades,
        flows=made.flows,
        path=path,
    )

    text = path.read_text(encoding="utf-8")
    assert text == page("short")
    assert f"{found.account.profit_usd:+,.2f}".replace("-", "\N{MINUS SIGN}") in text
    assert f'<b class="">{found.trades.trades}</b>' in text
    assert [each.name for each in path.parent.iterdir()] == ["report.html"]


def test_a_run_that_did_nothing_says_so() -> None:
    """No trade, no bar: sentences instead of plots, and no plotly where nothing is drawn."""
    assert set(specs(page("idle"))) == {"equity", "price-near", "price-far"}
    for words in (
        "Nothing changed the account",
        "Nothing was ever held",
        "Nothing was traded",
        "No trade was closed",
    ):
        assert words in page("idle")
    assert specs(page("empty")) == {}
    assert len(page("empty")) < 60_000
    assert "There are no bars" in page("empty")


def test_luck_is_said_of_the_best_of_many() -> None:
    """A run chosen among 500 says so; alone, it says that it is one try."""
    made = runs()["short"]

    assert "Of 500 tries the best" in made.page(tries=Tries(count=500, variance=0.004))
    assert "This is one try" in page("short")


def test_doubts_come_first() -> None:
    """Another final equity than the engine's is the first doubt after luck."""
    made = runs()["short"]

    text = made.page(made.run.model_copy(update={"final_equity": Decimal(5)}))

    assert "not of the same money" in text
    assert "not of the same money" not in page("short")


def test_words_from_outside_cannot_become_markup() -> None:
    """A strategy's path and its parameters are shown, not run."""
    made = runs()["short"]
    evil = made.run.model_copy(
        update={"strategy": "<script>alert(1)</script>", "params": (("<b>", '"</script>"'),)}
    )

    text = made.page(evil)

    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text
    assert "<b> " not in text


def test_many_symbols_are_bounded_and_the_page_says_so() -> None:
    """The table has the best; the warehouse has all."""
    one = market.make_bars(symbols=1, last=date(2025, 11, 25))
    fills = market.make_fills(one)
    names = [f"N{each:03}" for each in range(ROWS_MAX + 9)]
    made = make(
        pl.concat([one.with_columns(symbol=pl.lit(name)) for name in names]),
        pl.concat([fills.with_columns(symbol=pl.lit(name)) for name in names]).sort(
            "ts", maintain_order=True
        ),
    )

    assert f"the {ROWS_MAX} best of {len(names)}" in made.page()


def test_bars_of_results_are_gains_or_losses() -> None:
    """Zero is an edge of the histogram, a result of zero is no gain, and every trade is in a bar."""
    results = [-30.0, -0.01, 0.0, 0.01, 5.0, 100.0, 1e6]
    trades = runs()["short"].trades.head(1).select(pl.all().repeat_by(7)).explode(pl.all())
    trades = trades.with_columns(pnl=pl.Series(results), left_at=pl.col("entered_at"))

    spec = plots.results_figure(trades)

    assert spec is not None
    (drawn,) = json.loads(spec)["data"]
    by_sign = {
        sign: sum(count for at, count in zip(drawn["x"], drawn["y"], strict=True) if (at > 0) is sign)
        for sign in (True, False)
    }
    assert by_sign == {True: 4, False: 3}
    assert [at > 0 for at in drawn["x"]] == [colour == plots.GREEN for colour in drawn["marker"]["color"]]


def test_bars_that_gather_what_lies_beyond_say_so() -> None:
    """The caption has the true extremes, and so has hovering; without outliers nothing is said."""
    results = [-360.84, *(float(each) for each in range(-100, 101)), 259.26]
    trades = runs()["short"].trades.head(1).select(pl.all().repeat_by(len(results))).explode(pl.all())
    trades = trades.with_columns(pnl=pl.Series(results), left_at=pl.col("entered_at"))

    spec = plots.results_figure(trades)

    assert plots.results_words(trades) == (
        "Results of the trades; the first bar holds all down to "
        "\N{MINUS SIGN}360.84, the last all up to 259.26"
    )
    assert spec is not None
    (drawn,) = json.loads(spec)["data"]
    assert drawn["text"][0].endswith("and less, down to \N{MINUS SIGN}360.84 USD")
    assert drawn["text"][-1].endswith("and more, up to 259.26 USD")
    assert sum(drawn["y"]) == len(results)
    even = trades.with_columns(pnl=pl.col("pnl").sign() * 50)
    assert plots.results_words(even) == "Results of the trades"
    assert plots.results_words(even.clear()) == "Results of the trades"


def test_the_most_traded_symbol_is_drawn() -> None:
    """By notional of its fills; of those with bars."""
    bars = frame(bar("A", 0, 10.0), bar("B", 0, 10.0))
    fills = fills_of(
        fill("A", 0, "buy", "1", "10"), fill("B", 0, "buy", "2", "10"), fill("C", 0, "buy", "9", "10")
    )

    assert prices.chosen_symbol(fills, bars) == "B"
    assert prices.chosen_symbol(fills.clear(), bars) == "A"
    assert prices.chosen_symbol(fills, bars.clear()) is None


def test_a_close_up_draws_each_trade_from_entry_to_exit() -> None:
    """Three points a trade, the third a gap; one that began before the window begins at its edge."""
    made = runs()["short"]
    mine = made.bars.filter(pl.col("symbol") == "S01").sort("ts")
    own = made.trades.filter(pl.col("symbol") == "S01")

    plot = prices.close_up(mine, own)

    traces = {trace["name"]: trace for trace in json.loads(plot.spec)["data"]}
    points = sum(len(traces[name]["x"]) for name in ("won", "lost") if name in traces)
    assert points == 3 * plot.trades
    assert traces["won"]["x"][2] is None
    assert max(traces["close"]["x"]) >= max(at for at in traces["won"]["x"] if at is not None)


def test_short_periods_leave_the_nights_out() -> None:
    """Minutes follow one another over nights, weekends and an early close; long periods have dates."""
    bars = market.make_bars(symbols=1, gaps=0.0)
    scale = TimeScale.over(bars)

    at = scale.points(bars["ts"])

    assert at["x"] == list(range(bars.height))
    assert at["customdata"][0] == "Mon 24 Nov 2025 09:30"
    assert scale.axis()["tickvals"] == [0, 390, 780, 1170, 1380, 1770]
    assert scale.axis()["ticktext"][0] == "24 Nov<br>2025"
    assert scale.axis()["ticktext"][3:5] == ["28 Nov", "1 Dec"]
    late = pl.Series([bars["ts"][389] + timedelta(minutes=5), None])
    assert scale.points(late)["x"] == [389, None]
    long = TimeScale.over(runs()["long"].bars)
    assert len(long.firsts) > SESSIONS_MAX
    assert long.axis() == {"type": "date"}
    assert long.points(bars["ts"].head(1))["x"] == ["2025-11-24T09:30:00"]


def test_a_year_stands_where_it_begins() -> None:
    """Below the first day written, and below each whose year is another than that before it."""
    days = [(2011, 1, 3), (2011, 1, 25), (2018, 11, 5), (2018, 11, 6), (2024, 8, 19)]
    opens = pl.Series("ts", [datetime(*day, 15, tzinfo=UTC) for day in days], dtype=pl.Datetime("us", "UTC"))

    words = TimeScale.over(opens.to_frame()).axis()["ticktext"]

    assert words == ["3 Jan<br>2011", "25 Jan", "5 Nov<br>2018", "6 Nov", "19 Aug<br>2024"]


def test_a_year_between_two_written_days_is_written() -> None:
    """Of many sessions some are written, and the first of each year always, in place of its neighbours."""
    days = [datetime(2011, 1, day, 15, tzinfo=UTC) for day in range(3, 23)]
    days += [datetime(year, 8, 20, 15, tzinfo=UTC) for year in (2018, 2024)]
    opens = pl.Series("ts", days, dtype=pl.Datetime("us", "UTC"))

    axis = TimeScale.over(opens.to_frame()).axis()

    assert axis["ticktext"] == [
        "3 Jan<br>2011", "7 Jan", "11 Jan", "15 Jan", "19 Jan", "20 Aug<br>2018", "20 Aug<br>2024",
    ]  # fmt: skip
    assert axis["tickvals"] == [0, 4, 8, 12, 16, 20, 21]


def test_the_monthly_table_compounds() -> None:
    """A year's return is that of its months, and a month without a session is not there."""
    days = pl.DataFrame(
        {
            "session_date": [date(2025, 1, 2), date(2025, 1, 3), date(2025, 3, 3), date(2026, 1, 2)],
            "pnl": [1.0, 2.0, 3.0, 4.0],
            "return_frac": [0.1, 0.1, -0.5, 0.2],
        }
    )

    first, second = monthly(days)

    assert first.months == {"Jan": pytest.approx(0.21), "Mar": pytest.approx(-0.5)}
    assert (first.return_frac, first.pnl) == (pytest.approx(1.21 * 0.5 - 1), 6.0)
    assert (second.year, second.return_frac) == (2026, pytest.approx(0.2))


@pytest.mark.parametrize("amount", [-0.001, -0.0, Decimal("-0.001"), 0.0])
def test_nothing_is_never_less_than_nothing(amount: float) -> None:
    """What rounds to zero has no sign."""
    shown = (template.money(amount), template.whole(amount), template.percent(amount), template.price(amount))

    assert not any(template.MINUS in each or "-" in each for each in shown[:3])
    assert template.money(amount) == template.signed(amount) == "0.00"
    assert template.price(-0.0) == "0.00"
    assert template.money(-0.006) == "\N{MINUS SIGN}0.01"


@pytest.mark.parametrize(("count", "words"), [(0, "0 fills"), (1, "1 fill"), (1234, "1,234 fills")])
def test_one_is_singular(count: int, words: str) -> None:
    """One fill, more fills."""
    assert template.counted(count, "fill") == words


def test_costs_are_said_in_words() -> None:
    """Each that applies, and none that does not."""
    assert cost_words(NO_COSTS) == "none"
    assert cost_words(ALPACA_COSTS) == (
        "half of a spread of 2 bps, at least one tick; at most 10 % of a bar's volume a fill; "
        "SEC and TAF fees of the date on sales"
    )
    dear = Costs(commission_per_share=Decimal("0.005"), borrow_annual_frac=Decimal("0.03"), latency_bars=2)
    assert cost_words(dear) == (
        "2 bars of latency; commission 0.005 USD a share, at least 0.00; borrow 3.0 % a year on shorts"
    )


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (390, "dark"), (1280, "light")])
@pytest.mark.parametrize("name", ["long", "short", "idle", "empty"])
def test_the_page_works_offline_in_a_real_browser(
    browser: Any, tmp_path: Path, name: str, width: int, scheme: str
) -> None:
    """It asks for nothing, complains of nothing, fits its width and draws every plot."""
    look_at(browser, page(name), folder=tmp_path, width=width, scheme=scheme)


def test_a_hash_that_was_not_made_is_not_shown() -> None:
    """The ledger's is made on request only; the page says nothing of one that is not there."""
    made = runs()["short"]

    text = made.page(made.run.model_copy(update={"ledger_hash": ""}))

    assert made.run.ledger_hash in page("short")
    assert "Ledger" in page("short")
    assert "Ledger" not in text


LONG_NAME = "../" + "mine/" * 30 + "a_strategy_with_a_long_name.py:" + "AnIdea" * 20


def test_the_title_is_the_strategys_own_name() -> None:
    """Not the path of its file, which stands below where the run is named."""
    made = runs()["short"]

    text = made.page(made.run.model_copy(update={"strategy": "../mine/vwaprev.py:VwapRev"}))

    assert "<h1>Backtest of VwapRev</h1>" in text
    assert "../mine/vwaprev.py:VwapRev" in text
    assert f"<h1>Backtest of {made.run.strategy}</h1>" in page("short")


@pytest.mark.browser
def test_long_names_break(browser: Any, tmp_path: Path) -> None:
    """On a phone neither a strategy's name nor its parameters push the page aside."""
    made = runs()["short"]
    run = made.run.model_copy(update={"strategy": LONG_NAME, "params": (("words", "x" * 200),)})

    look_at(browser, made.page(run), folder=tmp_path, width=390, scheme="light")


@pytest.mark.browser
def test_dragging_zooms_and_a_double_click_resets(browser: Any, tmp_path: Path) -> None:
    """Without a toolbar both still work."""
    path = tmp_path / "page.html"
    path.write_text(page("long"), encoding="utf-8")
    tab = browser.new_page(viewport={"width": 1280, "height": 844})
    tab.goto(path.as_uri())
    tab.wait_for_selector("html[data-plots]", state="attached", timeout=WAIT_MS)
    span = "document.getElementById('equity').layout.xaxis.range.map(each => +new Date(each))"
    tab.locator("#equity").scroll_into_view_if_needed()
    before = tab.evaluate(span)
    box = tab.locator("#equity .nsewdrag").first.bounding_box()
    middle = box["y"] + box["height"] / 2

    tab.mouse.move(box["x"] + 200, middle)
    tab.mouse.down()
    tab.mouse.move(box["x"] + 400, middle, steps=5)
    tab.mouse.up()
    zoomed = tab.evaluate(span)
    tab.mouse.dblclick(box["x"] + 300, middle)
    tab.wait_for_timeout(500)

    assert zoomed[1] - zoomed[0] < (before[1] - before[0]) / 2
    assert tab.evaluate(span) == before
    tab.close()

"""A run's numbers: known ones by hand, adding up on generated runs, and none where there is none."""

import dataclasses
import math
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from desk.research.breakdown import by_key, by_minute, by_month
from desk.research.cautions import cautions
from desk.research.curve import equity_curve
from desk.research.performance import Performance, measure
from desk.research.trades import round_trips
from schemas.research import FLOW_SCHEMA
from tests.desk.research import market
from tests.desk.research.test_curve import OPEN, bar, fill, fills_of, frame


def measured(
    bars: pl.DataFrame, fills: pl.DataFrame, *, cash: str = "100000", flows: pl.DataFrame | None = None
) -> tuple[Performance, pl.DataFrame, pl.DataFrame]:
    """Give the numbers, the curve and the trades of a play."""
    opening = Decimal(cash)
    curve = equity_curve(fills, bars, cash=opening, flows=flows)
    trades = round_trips(fills, bars)
    found = measure(cash=opening, curve=curve, trades=trades, fills=fills, bars=bars, flows=flows)
    return found, curve, trades


def small() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Give two days of three minutes: 10 shares won 20 less 1 in fees, then 10 lost 10."""
    next_day = OPEN + timedelta(days=1)
    bars = frame(
        *(bar("A", minute, close) for minute, close in enumerate([100.0, 101.0, 102.0])),
        *(bar("A", minute, close, start=next_day) for minute, close in enumerate([102.0, 101.0, 101.0])),
    )
    late = 24 * 60
    fills = fills_of(
        fill("A", 0, "buy", "10", "100.0"),
        fill("A", 2, "sell", "10", "102.0", fee="1"),
        fill("A", late, "buy", "10", "102.0"),
        fill("A", late + 2, "sell", "10", "101.0"),
    )
    return bars, fills


def test_a_small_run_by_hand() -> None:
    """1,000 USD: 1,019 after a day, 1,009 after two."""
    found, _, _ = measured(*small(), cash="1000")

    account, trades = found.account, found.trades
    assert found.days["pnl"].to_list() == pytest.approx([19.0, -10.0])
    assert (account.sessions, account.profit_usd) == (2, pytest.approx(9.0))
    assert account.total_return_frac == pytest.approx(0.009)
    assert account.annual_return_frac == pytest.approx(1.009**126 - 1)
    assert account.max_drawdown_usd == pytest.approx(10.0)
    assert account.max_drawdown_frac == pytest.approx(10 / 1019)
    assert account.longest_drawdown_days == 1
    assert (account.best_day, account.worst_day) == (date(2025, 11, 24), date(2025, 11, 25))
    assert account.exposed_frac == pytest.approx(4 / 6)
    assert account.gross_mean_usd == pytest.approx((1000 + 1010 + 1020 + 1010) / 6)
    assert account.turnover_daily == pytest.approx(4050 / (1019 + 1009))
    assert (trades.trades, trades.wins, trades.win_rate_frac) == (2, 1, 0.5)
    assert (trades.profit_factor, trades.expectancy_usd) == (pytest.approx(1.9), pytest.approx(4.5))
    assert (trades.average_win_usd, trades.average_loss_usd) == (pytest.approx(19.0), pytest.approx(-10.0))
    assert trades.average_bars == 2.0


def test_costs_are_told_apart() -> None:
    """Decided at 100, the bar opens at 101, filled at 101.5: 10 of delay and 5 of spread on 10 shares."""
    rows = frame({**bar("A", 0, 101.0), "open": 101.0})
    hit = {**fill("A", 0, "buy", "10", "101.5", fee="2"), "reference_price": Decimal(100)}
    flows = pl.DataFrame(
        [
            {"ts": OPEN, "kind": "borrow", "amount": Decimal("-3")},
            {"ts": OPEN, "kind": "fee", "amount": Decimal("-0.25")},
        ],
        schema=FLOW_SCHEMA,
    )

    costs = measured(rows, fills_of(hit), flows=flows)[0].costs

    assert (costs.delay_usd, costs.spread_usd, costs.slippage_usd) == (10.0, 5.0, 15.0)
    assert costs.slippage_bps == 150.0
    assert (costs.fees_usd, costs.borrow_usd) == (2.25, 3.0)
    assert costs.charged_usd == 10.25
    assert costs.profit_before_costs_usd == pytest.approx(0.0)


def test_a_sellers_costs_have_the_same_sign() -> None:
    """Sold lower than the open and than the reference: both cost."""
    rows = frame({**bar("A", 0, 99.0), "open": 99.0})
    hit = {**fill("A", 0, "sell", "10", "98.5"), "reference_price": Decimal(100)}

    costs = measured(rows, fills_of(hit))[0].costs

    assert (costs.delay_usd, costs.spread_usd) == (10.0, 5.0)


@pytest.mark.parametrize("seed", range(3))
def test_everything_adds_up(seed: int) -> None:
    """Days, months, minutes, symbols and strategies each divide the same profit."""
    bars = market.make_bars(first=date(2025, 11, 19), gaps=0.1, seed=seed)
    fills = market.make_fills(bars, strategies=("a", "b"), wild=True, seed=seed)

    found, curve, trades = measured(bars, fills)

    profit = pytest.approx(found.account.profit_usd, abs=1e-6)
    assert found.days["pnl"].sum() == profit
    assert by_month(found.days)["pnl"].sum() == profit
    for minutes in (1, 30):
        table = by_minute(curve, trades, opening=100_000.0, minutes=minutes)
        assert table["pnl"].sum() == profit
        assert table["trades"].sum() == trades.height
        assert table["minute"].min() >= 570
        assert table["minute"].max() < 960
    for key in ("symbol", "strategy"):
        table = by_key(trades, key)
        assert table["pnl"].sum() == profit
        assert table["trades"].sum() == found.trades.trades
        assert table["pnl"].is_sorted(descending=True)
    growth = math.prod(1 + each for each in by_month(found.days)["return_frac"]) - 1
    assert growth == pytest.approx(found.account.total_return_frac)


def numbers(found: Performance) -> list[Any]:
    """Give every number of the three parts."""
    parts = (found.account, found.trades, found.costs)
    return [value for part in parts for value in dataclasses.asdict(part).values()]


def odd_runs() -> dict[str, tuple[pl.DataFrame, pl.DataFrame]]:
    """Give runs at the edges: nothing, flat, one day, one open trade, ruin, and more than ruin."""
    day = frame(*(bar("A", minute, close) for minute, close in enumerate([10.0, 9.0, 8.0])))
    two = pl.concat([day, frame(bar("A", 0, 8.0, start=OPEN + timedelta(days=1)))])
    return {
        "no bars": (frame(), fills_of()),
        "no trades": (two, fills_of()),
        "one day": (day, fills_of(fill("A", 0, "buy", "1", "10"), fill("A", 2, "sell", "1", "8"))),
        "open": (two, fills_of(fill("A", 0, "buy", "1", "10"))),
        "ruin": (two, fills_of(fill("A", 0, "buy", "50", "10"), fill("A", 2, "sell", "50", "8"))),
        "debt": (two, fills_of(fill("A", 0, "buy", "90", "10"))),
    }


@pytest.mark.parametrize("name", odd_runs())
def test_odd_runs_have_numbers_or_none(name: str) -> None:
    """Nothing is NaN or infinite, and the sentences can be said of each."""
    bars, fills = odd_runs()[name]

    found, curve, trades = measured(bars, fills, cash="100")

    for value in numbers(found):
        assert not isinstance(value, float) or math.isfinite(value)
    by_month(found.days)
    by_minute(curve, trades, opening=100.0, minutes=30)
    run = market.make_run(market.Play(market.make_bars(symbols=1), fills))
    assert cautions(run, found, by_key(trades, "symbol"))


def test_losing_everything_is_said() -> None:
    """100 USD lost on 100: minus one in total and a year, a drawdown of one."""
    found, _, _ = measured(*odd_runs()["ruin"], cash="100")

    assert found.account.total_return_frac == -1.0
    assert found.account.max_drawdown_frac == 1.0
    assert found.account.sharpe is None


def test_a_fall_from_the_first_minute_counts() -> None:
    """The opening cash is a peak: what the first fill lost at once is a drawdown."""
    found, _, _ = measured(frame(bar("A", 0, 9.0)), fills_of(fill("A", 0, "buy", "10", "10")), cash="100")

    assert found.account.max_drawdown_usd == pytest.approx(10.0)
    assert found.account.max_drawdown_frac == pytest.approx(0.1)


def test_a_debt_has_no_ratios() -> None:
    """A day that begins below zero has no return, and so the run no ratio of returns."""
    found, _, _ = measured(*odd_runs()["debt"], cash="100")

    assert found.account.profit_usd == pytest.approx(-180.0)
    assert found.account.annual_return_frac is None
    assert found.days["return_frac"].to_list() == [pytest.approx(-1.8), None]
    assert by_month(found.days)["return_frac"].to_list() == [None]


def test_cautions_name_what_is_there() -> None:
    """Few trades, few days, no costs, dirty code, and a profit that hangs on one symbol and one day."""
    bars, fills = small()
    bars = pl.concat([bars, frame(bar("B", 0, 5.0), bar("B", 2, 5.0))])
    fills = pl.concat([fills, fills_of(fill("B", 0, "buy", "1", "5.5"), fill("B", 2, "sell", "1", "5"))])
    found, _, trades = measured(bars, fills, cash="1000")
    run = market.make_run(market.Play(bars, fills), final_equity=Decimal("1008.5"))

    said = " ".join(cautions(run, found, by_key(trades, "symbol")))

    for words in (
        "no commit", "One symbol, A, made 9.00 of 8.50", "One day, 2025-11-24", "3 closed trades",
        "2 sessions", "No costs", "In-sample",
    ):  # fmt: skip
        assert words in said
    assert "not of the same money" not in said
    other = run.model_copy(update={"final_equity": Decimal(1000)})
    assert "+8.50 USD" in cautions(other, found, by_key(trades, "symbol"))[0]


def test_costs_that_eat_the_profit_are_named() -> None:
    """10 before costs, 6 of fees."""
    bars = frame(bar("A", 0, 10.0), bar("A", 1, 11.0))
    fills = fills_of(fill("A", 0, "buy", "10", "10"), fill("A", 1, "sell", "10", "11", fee="6"))
    found, _, trades = measured(bars, fills)

    said = cautions(market.make_run(market.Play(bars, fills)), found, by_key(trades, "symbol"))

    assert any("Costs took 60 % of the profit before costs (6.00 of 10.00 USD)" in words for words in said)


def test_the_minute_table_is_new_yorks() -> None:
    """A trade entered at the open stands at 9:30, its later gain where it came."""
    found, curve, trades = measured(*small(), cash="1000")

    table = by_minute(curve, trades, opening=1000.0, minutes=1)

    assert table["minute"].to_list() == [570, 571, 572]
    assert table["pnl"].to_list() == pytest.approx([0.0, 10 - 10, 9.0])
    assert table["trades"].to_list() == [2, 0, 0]
    assert found.account.sessions == 2

"""Two runs held against each other: what was asked otherwise, where they part, and whether they compare."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from desk.research.comparison import METRICS, Comparison, KeptRun, compare
from desk.research.curve import equity_curve
from desk.research.trades import round_trips
from schemas.research import ALPACA_COSTS, Engine
from tests.desk.research import market
from tests.desk.research.test_curve import OPEN, bar, fill, fills_of, frame

BARS = frame(*(bar(symbol, minute, 100.0 + minute) for symbol in ("A", "B") for minute in range(10)))
ROUND = (fill("A", 1, "buy", "10", "101"), fill("A", 4, "sell", "10", "104", fee="0.02"))
OTHER = (fill("B", 2, "buy", "5", "102"), fill("B", 6, "sell", "5", "106"))


def kept(*fills: dict[str, object], numbers: dict[str, float | None] | None = None, **record: Any) -> KeptRun:
    """Give a run of these fills, in order of time."""
    ordered = fills_of(*sorted(fills, key=lambda each: str(each["ts"])))
    run = market.make_run(market.Play(BARS, ordered)).model_copy(
        update={"run_id": str(record), "code_version": "a", **record}
    )
    return KeptRun(
        run=run,
        numbers={metric.column: None for metric in METRICS} | (numbers or {}),
        fills=ordered,
        trades=round_trips(ordered, BARS),
        curve=equity_curve(ordered, BARS, cash=run.cash),
    )


def asked(comparison: Comparison) -> list[tuple[str, str, str]]:
    return [(each.name, each.first, each.second) for each in comparison.asked]


def test_a_run_is_equal_to_itself() -> None:
    """Nothing differs, and that is said."""
    run = kept(*ROUND)

    found = compare(run, run)

    assert (found.asked, found.fill, found.trade) == ((), None, None)
    assert (found.fills_equal, found.fills_first, found.fills_second) == (2, 0, 0)
    assert found.remarks == ("Both are the same run.",)


@pytest.mark.parametrize(
    ("record", "names"),
    [
        ({"params": (("fast", "10"), ("slow", "60"))}, {"fast", "slow"}),
        ({"costs": ALPACA_COSTS}, {"costs: spread_bps", "costs: participation", "costs: regulatory_fees"}),
        ({"symbols": ("A",)}, {"symbols"}),
        ({"first": date(2025, 1, 2), "last": date(2025, 1, 3)}, {"first day", "last day"}),
        ({"cash": Decimal(5)}, {"cash"}),
        ({"size": "shares:7", "gate": False, "seed": 9}, {"size", "gate", "seed"}),
        ({"engine": Engine.SCREEN, "strategy": "rsi"}, {"engine", "strategy"}),
        ({"settings_hash": "b", "data_hash": "b", "code_version": "b"}, {"settings", "bars", "code"}),
    ],
)
def test_what_was_asked_otherwise_is_named(record: dict[str, Any], names: set[str]) -> None:
    """Each thing that decides a run has its own line, and nothing else has one."""
    found = compare(kept(), kept(**record))

    assert {each.name for each in found.asked} == names


def test_a_changed_parameter_stands_with_both_values() -> None:
    """Also one that only one run has."""
    one, other = kept(params=(("fast", "10"),)), kept(params=(("fast", "12"), ("slow", "50")))

    assert asked(compare(one, other)) == [("fast", "10", "12"), ("slow", "not there", "50")]


def test_numbers_stand_side_by_side_and_none_stays_none() -> None:
    """The change is second less first; less drawdown is a gain; what is not known has no change."""
    one = kept(numbers={"profit_usd": -5.0, "max_drawdown_frac": 0.10, "sharpe": None, "trades": 3})
    other = kept(numbers={"profit_usd": 7.5, "max_drawdown_frac": 0.04, "sharpe": 1.0, "trades": 5})

    found = {each.metric.column: each for each in compare(one, other).numbers}

    assert (found["profit_usd"].change, found["profit_usd"].gain) == (12.5, 12.5)
    assert found["max_drawdown_frac"].change == pytest.approx(-0.06)
    assert found["max_drawdown_frac"].gain == pytest.approx(0.06)
    assert (found["sharpe"].change, found["sharpe"].gain) == (None, None)
    assert (found["trades"].change, found["trades"].gain) == (2, None)


def test_the_first_fill_that_differs_is_named_with_its_order() -> None:
    """A price that differs, the fills after it left out; the trade it belongs to too."""
    worse = {**ROUND[1], "price": Decimal("103.50")}

    found = compare(kept(*ROUND, *OTHER), kept(ROUND[0], worse, *OTHER))

    assert found.fill is not None
    assert found.fill.at == OPEN + timedelta(minutes=4)
    assert found.fill.first == "sell 10 A at 104, fee 0.02, order x"
    assert found.fill.second == "sell 10 A at 103.5, fee 0.02, order x"
    assert (found.fills_equal, found.fills_first, found.fills_second) == (3, 1, 1)
    assert found.trade is not None
    assert found.trade.first.startswith(
        "long 10 A at 101.0000, left 2025-11-24 09:34 at 104.0000: +29.98 USD"
    )
    assert found.trade.second.endswith("+24.98 USD")


def test_what_does_not_show_is_no_difference() -> None:
    """Times are told in minutes: a trade left microseconds later is the same, and the first told differs."""
    late = [{**each, "ts": each["ts"] + timedelta(microseconds=7)} for each in ROUND]
    worse = {**OTHER[1], "price": Decimal("103.50")}

    same, found = (
        compare(kept(*ROUND), kept(*late)),
        compare(kept(*ROUND, *OTHER), kept(*late, OTHER[0], worse)),
    )

    assert (same.fill, same.trade, same.fills_equal) == (None, None, 2)
    for parting in (found.fill, found.trade):
        assert parting is not None
        assert parting.first != parting.second
        assert " B at " in parting.first


def test_a_trade_that_made_nothing_has_no_minus() -> None:
    """Less than half a cent is nothing."""
    run = kept(fill("A", 1, "buy", "10", "101"), fill("A", 4, "sell", "10", "101"))
    nothing = replace(run, trades=run.trades.with_columns(pnl=pl.lit(-0.001)))

    parting = compare(nothing, kept()).trade

    assert parting is not None
    assert parting.first.endswith(": +0.00 USD")


@pytest.mark.parametrize("name", ["qty", "entry_price"])
def test_a_trade_that_differs_shows_by_what(name: str) -> None:
    """A ten-thousandth is told; what is less does not differ."""
    run = kept(fill("A", 1, "buy", "12345.6", "101"), fill("A", 4, "sell", "12345.6", "104"))
    moved, nearly = (
        replace(run, trades=run.trades.with_columns(pl.col(name) + by)) for by in (0.0003, 0.00003)
    )

    parting = compare(run, moved).trade

    assert parting is not None
    assert parting.first != parting.second
    assert compare(run, nearly).trade is None


@pytest.mark.parametrize("swapped", [False, True])
def test_a_fill_that_only_one_run_has_stands_beside_none(swapped: bool) -> None:
    """Whichever run it is, and wherever in time."""
    runs = [kept(*ROUND, *OTHER), kept(*ROUND)]
    found = compare(*(runs[::-1] if swapped else runs))

    assert found.fill is not None
    words = (found.fill.first, found.fill.second)
    assert found.fill.at == OPEN + timedelta(minutes=2)
    assert words[not swapped] == "none"
    assert words[swapped].startswith("buy 5 B at 102")


def test_the_order_of_one_minutes_fills_is_no_difference() -> None:
    """Two engines may write a minute's symbols in any order."""
    a, b = fill("A", 1, "buy", "1", "101"), fill("B", 1, "buy", "1", "101")

    assert compare(kept(a, b), kept(b, a)).fill is None


def test_the_same_fill_twice_is_counted_twice() -> None:
    """A run with one of two equal executions lacks one."""
    found = compare(kept(ROUND[0], ROUND[0], ROUND[1]), kept(*ROUND))

    assert (found.fills_equal, found.fills_first, found.fills_second) == (2, 1, 0)
    assert found.fill is not None


def test_symbols_are_listed_by_the_size_of_their_change() -> None:
    """One that only one run traded is there with nothing on the other side."""
    found = compare(kept(*ROUND), kept(*ROUND, *OTHER)).symbols

    assert found.select("symbol", "change", "trades_first", "trades_second").rows() == [
        ("B", pytest.approx(20.0), 0, 1),
        ("A", pytest.approx(0.0), 1, 1),
    ]


def test_runs_on_other_bars_do_not_compare() -> None:
    """It is the first thing said, with what each was played on."""
    found = compare(kept(), kept(data_hash="b", bars=7))
    alike = compare(kept(), kept(data_hash="b"))

    assert not found.same_data
    assert "20 bars of 2 symbols" in found.remarks[0]
    assert "7 bars of 2 symbols" in found.remarks[0]
    assert found.remarks[0].endswith("their numbers do not compare.")
    assert "with other prices" in alike.remarks[0]


@pytest.mark.parametrize(
    ("record", "fills", "words"),
    [
        ({"code_version": "b"}, ROUND, "Every fill is the same."),
        ({"code_version": "b"}, (), "Nothing was asked otherwise: the difference is the code's."),
        (
            {"cash": Decimal(5)},
            (),
            "They began with different cash: of the numbers only fractions",
        ),
        ({"engine": Engine.SCREEN}, (), "One was played by the exact engine and one by the screen"),
        ({"code_version": "b+"}, (), "A code version with + is a checkout with changes"),
    ],
)
def test_what_must_be_known_first_is_said(
    record: dict[str, Any], fills: tuple[dict[str, object], ...], words: str
) -> None:
    """Why two runs differ, or that they do not; nothing of the kind where it is not so."""
    assert not any(
        remark.startswith(words) for remark in compare(kept(*ROUND), kept(size="shares:1")).remarks
    )
    remarks = compare(kept(*ROUND), kept(*fills, **record)).remarks

    assert any(remark.startswith(words) for remark in remarks), remarks


def test_runs_without_a_fill_compare() -> None:
    """Nothing parts, nothing is traded, nothing raises."""
    found = compare(kept(), kept(seed=1))

    assert (found.fill, found.trade, found.symbols.height) == (None, None, 0)
    assert isinstance(found.symbols, pl.DataFrame)

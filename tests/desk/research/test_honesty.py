"""Every kind of dishonesty is caught under its name, with the bar that shows it; the honest pass."""

from datetime import timedelta

import polars as pl
import pytest

from desk.exchange.generated import GeneratedMarket
from desk.hours import minute_words, next_session
from desk.research.findings import Check, Finding, Verdict
from desk.research.honesty import examine, needs
from schemas.bars import RAW_SCHEMA
from strategies import registry
from strategies.base import Strategy
from tests.desk.research import dishonest
from tests.strategies.bars import OPENS, walk

SYMBOLS = ("AAA", "BBB", "CCC")
BARS = walk(SYMBOLS, seed=7, minutes=220)
ALL = set(Check)


def failing(kind: type[Strategy], bars: pl.DataFrame = BARS) -> dict[Check, Finding]:
    """Give the checks a strategy fails."""
    findings = examine(kind(SYMBOLS), bars, cuts=24)
    assert [each.check for each in findings] == list(Check)
    return {each.check: each for each in findings if each.verdict is Verdict.FAILS}


def test_an_honest_strategy_passes_every_check() -> None:
    """Nothing is held against a strategy that uses each bar and the one before it."""
    findings = examine(dishonest.Honest(SYMBOLS), BARS)

    assert {each.check: each.words for each in findings if each.verdict is not Verdict.HOLDS} == {}


@pytest.mark.parametrize(
    ("kind", "caught"),
    [
        (dishonest.OneBarAhead, {Check.LOOK_AHEAD, Check.UNFINISHED_BAR}),
        (dishonest.WholeDay, {Check.LOOK_AHEAD, Check.UNFINISHED_BAR}),
        (dishonest.Unfinished, {Check.LOOK_AHEAD, Check.UNFINISHED_BAR}),
        (dishonest.FirstSymbol, {Check.SYMBOL_ORDER, Check.SYMBOL_SET}),
        (dishonest.Strongest, {Check.SYMBOL_SET}),
        (dishonest.TooShort, {Check.WINDOW}),
        (dishonest.NotAnchored, {Check.WINDOW}),
        (dishonest.Eager, {Check.WARM_UP}),
        (dishonest.Ranged, {Check.NAN_AND_NULLS}),
        (dishonest.GreenwichHours, {Check.DAYLIGHT_SAVING}),
        (dishonest.FullDays, {Check.EARLY_CLOSE}),
        (dishonest.EarlyBell, {Check.EARLY_CLOSE}),
        (dishonest.FromNothing, {Check.EMPTY_FRAME}),
    ],
)
def test_a_fault_is_caught_by_its_name_and_no_other(kind: type[Strategy], caught: set[Check]) -> None:
    """What is wrong is named, and what is right beside it is not."""
    assert set(failing(kind)) == caught


def test_a_forgotten_over_is_caught_between_symbols() -> None:
    """The first bar of a symbol compared with the last one of the symbol before: later bars of another."""
    found = failing(dishonest.BeforeSymbol)

    assert {Check.LATER_BARS_OF_OTHERS, Check.SYMBOL_SET} <= set(found)
    shown = found[Check.LATER_BARS_OF_OTHERS].difference
    assert shown is not None
    assert (shown.symbol in SYMBOLS[1:], shown.ts) == (True, OPENS[0])


def test_prices_of_others_to_come_are_caught() -> None:
    """What other symbols will reach is the future too."""
    assert Check.LATER_BARS_OF_OTHERS in failing(dishonest.LastOfOthers)


def test_state_left_behind_is_caught() -> None:
    """A strategy that counts the questions answers each of them otherwise."""
    assert Check.DETERMINISM in failing(dishonest.Counting)


def test_the_first_bar_that_differs_is_shown_with_both_answers() -> None:
    """A person sees which bar it was, and what was said with and without the future."""
    finding = failing(dishonest.OneBarAhead)[Check.LOOK_AHEAD]

    assert finding.difference is not None
    bar = finding.difference
    closes = BARS.filter((pl.col("symbol") == bar.symbol) & (pl.col("ts") >= bar.ts))["close"]
    assert closes[1] > closes[0]  # it knew
    assert bar.expected.startswith("target 1 at ")
    assert bar.found.startswith("target 0 at ")
    assert minute_words(bar.ts) in finding.words  # one clock, that of the line with both answers


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (dishonest.Doubled, "breaks the contract"),
        (dishonest.NextMinute, "a bar it was not given"),
        (dishonest.Raising, "it raised RuntimeError: the moon is full"),
        (dishonest.Wordless, "the answer is a NoneType; allowed: a polars DataFrame"),
    ],
)
def test_a_broken_answer_is_told_and_nothing_else_is_asked(kind: type[Strategy], words: str) -> None:
    """Where the answer to all bars is no answer, the other checks are untried and not passed."""
    findings = {each.check: each for each in examine(kind(SYMBOLS), BARS, cuts=4)}

    assert findings[Check.SCHEMA].verdict is Verdict.FAILS
    assert words in findings[Check.SCHEMA].words
    assert {each.verdict for check, each in findings.items() if check is not Check.SCHEMA} == {
        Verdict.UNTRIED
    }


def test_silence_proves_nothing() -> None:
    """A strategy that said nothing of the bars has not passed."""
    findings = {each.check: each.verdict for each in examine(dishonest.Quiet(SYMBOLS), BARS, cuts=4)}

    assert findings[Check.SCHEMA] is Verdict.UNTRIED
    assert findings[Check.LOOK_AHEAD] is Verdict.UNTRIED
    assert Verdict.FAILS not in findings.values()


def test_one_symbol_cannot_show_what_takes_two() -> None:
    """With one symbol the checks between symbols are untried, and say why."""
    bars = BARS.filter(pl.col("symbol") == "AAA")
    findings = {each.check: each for each in examine(dishonest.Strongest(["AAA"]), bars, cuts=4)}

    for check in (Check.LATER_BARS_OF_OTHERS, Check.SYMBOL_SET):
        assert (findings[check].verdict, findings[check].words) == (Verdict.UNTRIED, "it takes two symbols")


def test_too_few_bars_cannot_show_the_window() -> None:
    """Where there are not more bars than the warm-up, a window of them is no test."""
    strategy = registry.create("sma_crossover", SYMBOLS, {"slow": 400})
    findings = {each.check: each for each in examine(strategy, BARS.head(300), cuts=4)}

    assert findings[Check.WINDOW].verdict is Verdict.UNTRIED
    assert "400" in findings[Check.WINDOW].words


def test_one_session_is_enough_for_the_calendar() -> None:
    """A single session is moved onto the early close and onto both clocks."""
    day = BARS.filter(pl.col("ts") < OPENS[1])

    assert Check.DAYLIGHT_SAVING in failing(dishonest.GreenwichHours, day)
    assert Check.EARLY_CLOSE in failing(dishonest.EarlyBell, day)


def test_a_market_with_halts_and_an_early_close() -> None:
    """On generated days with gaps, an early close among them, shipped and dishonest ones are told apart."""
    market = GeneratedMarket(3, SYMBOLS)
    days = [OPENS[0].date() + timedelta(days=264)]  # the Tuesday before Thanksgiving of 2024
    while len(days) < 4:
        days.append(next_session(days[-1]).session_date)
    bars = pl.concat([market.frame(day) for day in days]).sort("symbol", "ts")
    assert bars.filter(pl.col("ts").dt.date() == days[2]).height <= 210 * len(SYMBOLS)

    shipped = examine(registry.create("rsi", SYMBOLS), bars, cuts=16)

    assert {each.check: each.words for each in shipped if each.verdict is not Verdict.HOLDS} == {}
    assert Check.LOOK_AHEAD in failing(dishonest.WholeDay, bars)


def test_needs_are_told() -> None:
    """What a strategy needs is said with where a live session may lack it."""
    anchored = needs(registry.create("rsi", SYMBOLS), BARS)
    small = needs(registry.create("sma_crossover", SYMBOLS), BARS)
    large = needs(registry.create("sma_crossover", SYMBOLS, {"slow": 300}), BARS)
    patient = registry.create("sma_crossover", SYMBOLS)
    patient.warm_up = 9_000
    huge = needs(patient, BARS)

    assert "from bar 15" in anchored
    assert "30 bars" in small
    assert "from the open" in small
    assert "6 of 6 times here they have fewer bars" in large
    assert "it does not start" in huge


def test_no_bars_are_refused_by_assertion() -> None:
    """There is nothing to examine without bars; the caller answers for that."""
    with pytest.raises(AssertionError, match="at least one bar"):
        examine(dishonest.Honest(SYMBOLS), pl.DataFrame(schema=RAW_SCHEMA))

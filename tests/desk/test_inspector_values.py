"""The inspector over generated deliveries: repeats, prices, many symbols, and anything at all."""

import json
from datetime import timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from desk.inspection import Mode
from desk.inspector import inspect
from schemas.bars import PRINT_SCHEMA, Flaw, Verdict, contract_breach
from tests.desk.deliveries import (
    OPEN,
    TEN,
    bar,
    bars,
    ctx,
    flaws,
    reasons,
    remembering,
    verdicts,
)

# ---- repeats ------------------------------------------------------------------------------


def test_whole_delivery_again() -> None:
    """A delivery that says nothing new adds nothing and is not quarantined."""
    rows = bars()

    result = inspect(rows, ctx(rows, memory=remembering(rows)))

    assert result.verdict is Verdict.WARN
    assert set(reasons(result)) == {Flaw.DUPLICATE}
    assert result.bars.is_empty()
    assert result.quarantine.is_empty()
    assert result.suspects == frozenset()


def test_revision_of_a_known_minute() -> None:
    """Other values for a known minute are a revision with the next number, once; then a redelivery."""
    memory = remembering(bars())
    revised = [bar(minute=3, volume=99_999)]

    first = inspect(revised, ctx(now=TEN + timedelta(minutes=5, seconds=2), memory=memory))
    memory.add(first.bars, TEN + timedelta(minutes=5, seconds=2))
    again = inspect(revised, ctx(now=TEN + timedelta(minutes=6), memory=memory))

    assert reasons(first) == [Flaw.REVISION]
    assert verdicts(first) == ["warn"]
    assert first.bars["revision"].to_list() == [1]
    assert memory.frame().filter(pl.col("ts") == TEN + timedelta(minutes=3))["volume"].to_list() == [99_999]
    assert reasons(again) == [Flaw.DUPLICATE]


def test_revisions_inside_one_delivery() -> None:
    """A print, its revision, the same again, and back: three prints of which the last is used."""
    rows = [bar(volume=1), bar(volume=2), bar(volume=2), bar(volume=1)]

    result = inspect(rows, ctx(rows))

    assert reasons(result) == [None, Flaw.REVISION, Flaw.DUPLICATE, Flaw.REVISION]
    assert result.bars["revision"].to_list() == [0, 1, 2]
    assert result.accepted["volume"].to_list() == [1]
    prints = result.prints(known_at=ctx(rows).now, provider="p", feed="f")
    assert dict(prints.schema) == PRINT_SCHEMA


def test_implausible_revision_is_no_revision() -> None:
    """A known minute that comes again at a hundredth of the price is refused."""
    memory = remembering(bars())
    rows = [bar(minute=4, price=0.5)]

    result = inspect(rows, ctx(rows, memory=memory))

    assert reasons(result) == [Flaw.SCALE_MISMATCH]
    assert result.suspects == {"AAA"}


@pytest.mark.parametrize("mode", [Mode.LIVE, Mode.LIVE_STREAM])
def test_late_bar_after_newer_ones_were_acted_on(mode: Mode) -> None:
    """A minute never seen that lies before the newest known one is kept aside in live modes."""
    rows = bars()
    memory = remembering(rows[:2] + rows[3:])
    late = [rows[2]]

    result = inspect(late, ctx(now=TEN + timedelta(minutes=5, seconds=30), mode=mode, memory=memory))

    assert reasons(result) == [Flaw.LATE_BAR]
    assert result.bars.is_empty()
    assert result.quarantine.height == 1


def test_late_bar_fills_a_historical_load() -> None:
    """A backfill may bring what live refused."""
    rows = bars()
    memory = remembering(rows[:2] + rows[3:])

    result = inspect([rows[2]], ctx(now=TEN + timedelta(hours=8), mode=Mode.EOD, memory=memory))

    assert verdicts(result) == ["accept"]


def test_poll_out_of_order_is_sorted_but_a_stream_is_not() -> None:
    """In a poll order means nothing; in a stream it is the order of arrival."""
    rows = bars()
    rows[1], rows[3] = rows[3], rows[1]

    poll = inspect(rows, ctx(rows))
    stream = inspect(rows, ctx(rows, mode=Mode.LIVE_STREAM))

    assert poll.accepted.height == 5
    assert Flaw.OUT_OF_ORDER in flaws(poll)
    assert reasons(stream) == [None, None, Flaw.LATE_BAR, Flaw.LATE_BAR, None]


# ---- prices -------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [10_000.0, 1_000.0, 100.0, 10.0, 0.1, 0.01, 0.0001])
def test_wrong_unit_against_history(factor: float) -> None:
    """A delivery in another unit is refused whole when the bars before it say so."""
    memory = remembering(bars(3))
    rows = [bar(minute=minute, price=50.0 * factor) for minute in range(3, 6)]

    result = inspect(rows, ctx(rows, memory=memory))

    assert result.verdict is Verdict.REJECT_BATCH
    assert set(reasons(result)) == {Flaw.SCALE_MISMATCH}


@pytest.mark.parametrize("bad", [[0], [3], [4], [0, 1], [2, 3]])
def test_wrong_unit_in_some_rows_without_history(bad: list[int]) -> None:
    """With nothing known before, the majority's unit is the unit, wherever the bad rows stand."""
    rows = [bar(minute=minute, price=5_000.0 if minute in bad else 50.0) for minute in range(5)]

    result = inspect(rows, ctx(rows))

    assert [index for index, verdict in enumerate(verdicts(result)) if verdict != "accept"] == bad
    assert result.suspects == {"AAA"}


def test_two_rows_that_disagree_without_history() -> None:
    """Of two rows a hundredfold apart nobody knows which is right: neither is used."""
    rows = [bar(minute=0, price=50.0), bar(minute=1, price=5_000.0)]

    assert inspect(rows, ctx(rows)).accepted.is_empty()


def test_one_symbol_of_many_in_the_wrong_unit() -> None:
    """One bad symbol costs nobody else anything."""
    names = [f"S{number:03d}"[:5] for number in range(50)]
    names = [name.translate(str.maketrans("0123456789", "ABCDEFGHIJ")) for name in names]
    memory = remembering([row for name in names for row in bars(3, name)])
    rows = [bar(name, 3, 500_000.0 if name == names[7] else 50.0) for name in names]

    result = inspect(rows, ctx(rows, expected=names, memory=memory))

    assert result.suspects == {names[7]}
    assert result.accepted.height == 49
    assert verdicts(result)[7] == "reject_row"


def test_jump_is_kept_aside_and_is_no_reference() -> None:
    """A price a fifth away is quarantined, and the next sound price is accepted."""
    rows = [bar(minute=minute, price=60.0 if minute == 2 else 50.0) for minute in range(5)]

    result = inspect(rows, ctx(rows))

    assert reasons(result) == [None, None, Flaw.PRICE_JUMP, None, None]
    assert "20.0%" in result.quarantine["detail"][0]


def test_jump_that_stays_is_believed_after_a_while_and_at_once_in_hindsight() -> None:
    """Live a new level is believed from its fifth bar on; a historical load sees the bars after it."""
    rows = [bar(minute=minute, price=50.0 if minute < 3 else 60.0) for minute in range(30)]

    live = inspect(rows, ctx(rows))
    later = inspect(rows, ctx(rows, mode=Mode.BACKFILL))

    assert reasons(live)[2:9] == [None, *[Flaw.PRICE_JUMP] * 5, None]
    assert verdicts(live)[6:8] == ["quarantine", "warn"]
    assert live.accepted.height == 26
    assert later.accepted.height == 30
    assert later.rows.filter(pl.col("verdict") == "warn")["row"].to_list() == [3]


def test_bad_open_that_comes_back_is_not_confirmed_in_hindsight() -> None:
    """A bar that opens a fifth low and closes at the old level is an error print, not a move."""
    rows = [bar(minute=minute) for minute in range(30)]
    rows[3].update(open=40.0, low=40.0)

    result = inspect(rows, ctx(rows, mode=Mode.BACKFILL))

    assert reasons(result)[3] == Flaw.PRICE_JUMP
    assert verdicts(result)[3] == "quarantine"


def test_overnight_gap_is_no_jump() -> None:
    """A stock may open a third lower: between sessions only the unit is judged."""
    memory = remembering(bars(base=OPEN - timedelta(days=1)), mode=Mode.BACKFILL)
    rows = bars(price=33.0, base=OPEN)
    cents = bars(price=5_000.0, base=OPEN)

    assert inspect(rows, ctx(rows, memory=memory)).accepted.height == 5
    assert inspect(cents, ctx(cents, memory=memory)).verdict is Verdict.REJECT_BATCH


def test_wick_without_volume_is_held_to_less() -> None:
    """A range of 4 % is possible with trades and not without any."""
    rows = bars()
    rows[1].update(low=48.0, volume=500)
    rows[2].update(low=48.0, volume=0)

    assert reasons(inspect(rows, ctx(rows))) == [None, None, Flaw.PRICE_OUTLIER, None, None]


# ---- size and safety ----------------------------------------------------------------------


def test_halted_symbol_does_not_hold_up_the_others() -> None:
    """A symbol without bars becomes suspect when its newest bar is too old, and only then."""
    memory = remembering([*bars(), *bars(symbol="HALT")])
    soon = [bar(minute=5)]
    later = [bar(minute=minute) for minute in range(5, 9)]

    assert inspect(soon, ctx(soon, expected=("AAA", "HALT"), memory=memory)).suspects == frozenset()
    assert inspect(later, ctx(later, expected=("AAA", "HALT"), memory=memory)).suspects == {"HALT"}


ODD_CELLS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(min_value=-(2**70), max_value=2**70),
    st.floats(allow_nan=True, allow_infinity=True),
    st.text(max_size=5),
    st.datetimes(),
    st.sampled_from(["2024-03-07T15:00:00Z", "NaN", "", "AAA"]),
)
COLUMNS = ["symbol", "ts", "open", "high", "low", "close", "volume", "vwap", "trade_count", "other"]


@settings(max_examples=60, deadline=None)
@given(
    edits=st.lists(st.tuples(st.integers(0, 9), st.sampled_from(COLUMNS), ODD_CELLS), max_size=12),
    mode=st.sampled_from(list(Mode)),
)
def test_anything_delivered_gets_an_answer(edits: list[tuple[int, str, object]], mode: Mode) -> None:
    """Whatever a delivery holds: no exception, one verdict a row, accepted bars within the contract."""
    rows = bars(10)
    for index, column, value in edits:
        rows[index][column] = value

    result = inspect(rows, ctx(mode=mode, now=TEN + timedelta(minutes=10, seconds=2)))

    assert result.rows["row"].to_list() == list(range(10))
    assert set(verdicts(result)) <= {verdict.value for verdict in Verdict}
    assert contract_breach(result.accepted) is None
    untouched = set(range(10)) - {index for index, _, _ in edits}
    refused = {row for row, verdict in enumerate(verdicts(result)) if verdict not in ("accept", "warn")}
    assert len(refused) == result.quarantine.height + reasons(result).count(Flaw.DUPLICATE.value)
    for row in result.quarantine["row"]:
        json.loads(row)
    if result.verdict is not Verdict.REJECT_BATCH and not edits:
        assert untouched.isdisjoint(refused)

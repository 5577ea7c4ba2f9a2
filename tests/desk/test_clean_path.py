"""The short way for clean deliveries says what the inspector would have said, or nothing."""

import math
from datetime import date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pandera.errors import SchemaError

from desk.clean_path import clean
from desk.inspection import Context, Inspection
from desk.inspector import judge
from desk.tape import Tape
from schemas.bars import RAW_SCHEMA, contract_breach
from schemas.contracts import BarContract, SignalContract
from schemas.signals import SIGNAL_SCHEMA, UnlawfulSignal, checked_signals
from tests.desk.deliveries import OPEN, TEN, Row, bar, ctx

SYMBOLS = ("AAA", "BBB", "CCC")
HISTORY = 15  # minutes on the tape before the delivery
# What may become of one delivered row; most rows stay as they are.
FAULTS: tuple[dict[str, object], ...] = (
    {"close": math.nan},
    {"close": None},
    {"open": -1.0},
    {"high": math.inf},
    {"low": 60.0},
    {"close": 56.0, "high": 56.0},
    {"close": 5_000.0, "open": 5_000.0, "high": 5_000.0, "low": 5_000.0},
    {"high": 58.0},
    {"volume": 0},
    {"volume": -5},
    {"volume": 20_000_000_000},
    {"vwap": 70.0},
    {"vwap": math.nan},
    {"vwap": 50.0},
    {"trade_count": -1},
    {"trade_count": 7},
    {"symbol": "ZZZ"},
    {"symbol": "aaa"},
    {"symbol": None},
    {"ts": TEN - timedelta(days=1)},
    {"ts": OPEN - timedelta(minutes=5)},
    {"ts": TEN + timedelta(seconds=30)},
    {"ts": TEN + timedelta(hours=3)},
    {"ts": None},
)


def framed(rows: list[Row]) -> pl.DataFrame:
    full = [{"vwap": None, "trade_count": None, **row} for row in rows]
    return pl.DataFrame([[row[name] for name in RAW_SCHEMA] for row in full], schema=RAW_SCHEMA, orient="row")


def known_before(last_minutes: dict[str, int]) -> Tape:
    """Give a tape that holds each symbol's minutes up to its last one; minute 0 is 10:00."""
    rows = [
        bar(symbol, minute)
        for symbol, last in last_minutes.items()
        for minute in range(last - HISTORY + 1, last + 1)
    ]
    tape = Tape()
    if rows:
        now = TEN + timedelta(minutes=2)
        tape.add(judge(framed(rows), context_at(rows, tape, now)).bars, now)
    return tape


def context_at(rows: list[Row], tape: Tape, now: datetime) -> Context:
    return ctx(rows, now=now, expected=SYMBOLS, memory=tape)


def same(one: Inspection, two: Inspection) -> bool:
    return (
        one.verdict is two.verdict
        and one.bars.equals(two.bars, null_equal=True)
        and one.bars.schema == two.bars.schema
        and one.rows.equals(two.rows)
        and one.rows.schema == two.rows.schema
        and one.quarantine.equals(two.quarantine)
        and one.suspects == two.suspects
        and one.findings == two.findings
    )


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[Row], Tape, datetime]:
    """Draw a tape, a delivery that overlaps it, and the moment: mostly clean, sometimes not."""
    lasts = {
        symbol: draw(st.sampled_from((0, 0, 0, -1, -4, -9)))
        for symbol in draw(st.sampled_from((SYMBOLS, SYMBOLS, SYMBOLS[:1], ())))
    }
    rows: list[Row] = []
    for symbol in draw(st.sampled_from((SYMBOLS, SYMBOLS, SYMBOLS[:2]))):
        first = draw(st.sampled_from((1, 1, 0, -2, -12)))
        rows += [bar(symbol, minute) for minute in range(first, draw(st.sampled_from((2, 2, 3))))]
    for place in draw(st.lists(st.integers(0, len(rows) - 1), max_size=2)) if rows else ():
        rows[place] = {**rows[place], **draw(st.sampled_from(FAULTS))}
    if rows and draw(st.integers(0, 9)) == 0:
        rows.append(rows[0])
    if draw(st.integers(0, 4)) == 0:
        rows = draw(st.permutations(rows))
    seconds = draw(st.sampled_from((62, 62, 62, 122, 60, 300, 7_200, 90_000)))
    return rows, known_before(lasts), TEN + timedelta(minutes=1, seconds=seconds)


@settings(max_examples=150, deadline=None)
@given(deliveries())
def test_the_short_way_says_what_the_long_way_says(case: tuple[list[Row], Tape, datetime]) -> None:
    """Whatever is delivered, the short way gives the inspector's own judgement or none."""
    rows, tape, now = case
    frame, context = framed(rows), context_at(rows, tape, now)

    quick = clean(frame, context)

    if quick is not None:
        assert same(quick, judge(frame, context))


@pytest.mark.parametrize("first", [1, 0, -2])
def test_a_clean_minute_goes_the_short_way(first: int) -> None:
    """New bars of every symbol, with or without the overlap of a poll, need no long way."""
    rows = [bar(symbol, minute) for symbol in SYMBOLS for minute in range(first, 2)]
    tape = known_before(dict.fromkeys(SYMBOLS, 0))
    frame, context = framed(rows), context_at(rows, tape, TEN + timedelta(minutes=2, seconds=2))

    quick = clean(frame, context)

    assert quick is not None
    assert same(quick, judge(frame, context))
    assert quick.bars.height == len(SYMBOLS)


@pytest.mark.parametrize(
    ("lasts", "delivered", "minute"),
    [
        ({"AAA": 0, "BBB": 0, "CCC": 0}, {"AAA": (1,), "BBB": (1,)}, 2),  # one is missing
        ({"AAA": 0, "BBB": 0, "CCC": -3}, {"AAA": (1,), "BBB": (1,), "CCC": (1,)}, 2),  # one comes again
        (
            {"AAA": 0, "BBB": 0, "CCC": -2},
            {"AAA": (1,), "BBB": (1,), "CCC": (-1, 1)},
            2,
        ),  # and one comes late
        ({"AAA": 0, "BBB": 0, "CCC": -9}, {"AAA": (1,), "BBB": (1,)}, 2),  # one is stale
        ({"AAA": 0, "BBB": 0}, {"AAA": (1,), "BBB": (1,)}, 2),  # one was never seen
        ({"AAA": -9, "BBB": -9, "CCC": -9}, {"AAA": (-8,)}, 2),  # all are stale
    ],
)
def test_what_is_missing_goes_the_short_way(
    lasts: dict[str, int], delivered: dict[str, tuple[int, ...]], minute: int
) -> None:
    """Gaps and stale symbols are the inspector's own, found without a second look at sound rows."""
    rows = [bar(symbol, each) for symbol, minutes in delivered.items() for each in minutes]
    frame = framed(rows)
    context = context_at(rows, known_before(lasts), TEN + timedelta(minutes=minute, seconds=2))

    quick, slow = clean(frame, context), judge(frame, context)

    assert quick is not None
    assert same(quick, slow)


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_goes_the_long_way(fault: dict[str, object]) -> None:
    """A delivery with one faulty row is not called clean, nor with a value that differs from a print's."""
    rows = [bar(symbol, minute) for symbol in SYMBOLS for minute in (0, 1)]
    rows[0] = {**rows[0], **fault}
    tape = known_before(dict.fromkeys(SYMBOLS, 0))

    assert clean(framed(rows), context_at(rows, tape, TEN + timedelta(minutes=2, seconds=2))) is None


PRICES = st.sampled_from((50.0, 49.0, 51.0, 0.0, -1.0, math.nan, math.inf, None))
BAR_ROWS = st.lists(
    st.tuples(
        st.sampled_from(("AAA", "BBB", "", None)),
        st.sampled_from((TEN, TEN + timedelta(minutes=1), TEN + timedelta(seconds=1), None)),
        *(st.one_of(st.just(50.0), PRICES) for _ in range(4)),
        st.sampled_from((100, 100, 0, -1, None)),
        st.sampled_from((None, 50.0, 99.0, math.nan)),
        st.sampled_from((None, 3, -1)),
    ),
    max_size=3,
)


@settings(max_examples=100, deadline=None)
@given(BAR_ROWS)
def test_the_quick_contract_is_the_contract(rows: list[tuple[object, ...]]) -> None:
    """The one expression holds exactly where pandera finds nothing."""
    frame = pl.DataFrame(rows, schema=RAW_SCHEMA, orient="row")

    try:
        BarContract.validate(frame)
        expected = True
    except SchemaError:
        expected = False

    assert (contract_breach(frame) is None) is expected


SIGNAL_ROWS = st.lists(
    st.tuples(
        st.sampled_from(("one", "one", "", None)),
        st.sampled_from(("AAA", "BBB", None)),
        st.sampled_from((TEN, TEN + timedelta(minutes=1), None)),
        st.sampled_from((0.0, 1.0, -1.0, 1.5, math.nan, None)),
        st.sampled_from((50.0, 0.0, -1.0, math.nan, math.inf, None)),
        st.sampled_from(("why", "", None)),
    ),
    max_size=3,
)


@settings(max_examples=100, deadline=None)
@example([("one", "AAA", TEN, 0.0, math.inf, "why")])
@given(SIGNAL_ROWS)
def test_quickly_checked_signals_break_no_contract(rows: list[tuple[object, ...]]) -> None:
    """What passes quickly passes pandera; what pandera refuses is refused."""
    frame = pl.DataFrame(rows, schema=SIGNAL_SCHEMA, orient="row")

    try:
        SignalContract.validate(frame)
    except SchemaError:
        with pytest.raises(UnlawfulSignal):
            checked_signals(frame)
    else:
        assert checked_signals(frame).equals(frame)


def test_signals_in_another_order_of_columns_are_put_in_order() -> None:
    """A strategy may name its columns in any order."""
    row = ("one", "AAA", TEN, 1.0, 50.0, "why")
    frame = pl.DataFrame([row], schema=SIGNAL_SCHEMA, orient="row").select(sorted(SIGNAL_SCHEMA))

    assert checked_signals(frame).columns == list(SIGNAL_SCHEMA)


def test_the_tape_forgets_old_values_and_says_so() -> None:
    """Minutes beyond those at hand are looked up in the frames: a redelivery of them goes the long way."""
    tape = known_before(dict.fromkeys(SYMBOLS, 0))
    old = [bar(symbol, minute) for symbol in SYMBOLS for minute in range(-12, 2)]
    context = context_at(old, tape, TEN + timedelta(minutes=2, seconds=2))

    assert clean(framed(old), context) is None
    assert tape.last()["last_session"].to_list() == [date(2024, 3, 7)] * 3
    assert judge(framed(old), context).bars.height == 3

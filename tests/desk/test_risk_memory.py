"""desk/risk_memory.py: what a loss is measured from, whatever restarts, deposits and releases come."""

from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desk.losses import drawdown, weekly_loss
from desk.portfolio import Portfolio, replay
from desk.risk_memory import Base
from schemas import events as ev
from schemas.risk import Break, BreakKind, LatchName, RiskLimits
from tests.makers import NOON, filled, intent, planned

LIMITS = RiskLimits(weekly_loss_usd=Decimal(2500), drawdown_max_frac=Decimal("0.20"))
MONDAY = date(2025, 11, 24)
D = Decimal


def start(day: date, equity: str, at: datetime = NOON) -> ev.SessionStarted:
    """Start a session process."""
    return ev.SessionStarted(
        at=at, session_date=day, run_id="r", strategies=(), symbols=(), settings_hash="", equity=D(equity)
    )


def minute(own: str, broker: str | None = None, day: date = MONDAY) -> ev.MinuteClosed:
    """Close a minute with an equity; the broker says the same unless told otherwise."""
    return ev.MinuteClosed(
        at=NOON,
        session_date=day,
        bar_ts=NOON,
        equity=D(own),
        cash=D(own),
        realized_pnl=D(0),
        unrealized_pnl=D(0),
        fees=D(0),
        gross=D(0),
        net=D(0),
        marks=(),
        broker_equity=D(own if broker is None else broker),
    )


def released(name: LatchName) -> ev.LatchReleased:
    """Release a latch."""
    return ev.LatchReleased(at=NOON, name=name, by="ann", cause="looked at it")


def cash(amount: str) -> ev.CashAdjusted:
    """Adjust our cash."""
    return ev.CashAdjusted(at=NOON, amount=D(amount), cause="deposit")


def cash_break(ours: str, theirs: str) -> ev.BreakFound:
    """Find that the broker has other cash than we have."""
    return ev.BreakFound(
        at=NOON,
        session_date=MONDAY,
        found=Break(
            break_id="cash-USD-1",
            kind=BreakKind.CASH,
            key="USD",
            ours=D(ours),
            theirs=D(theirs),
            notional_usd=abs(D(theirs) - D(ours)),
            detail="cash",
            found_at=NOON,
        ),
    )


def week_of(books: Portfolio) -> Decimal | None:
    """Give the week's loss that would latch, or None."""
    memory = books.risk
    assert memory.newest is not None
    assert memory.week is not None
    found = weekly_loss(memory.newest, memory.week, LIMITS, latches=books.latches, now=NOON)
    return None if found is None else found.number


def fall_of(books: Portfolio) -> Decimal | None:
    """Give the drawdown that would latch, or None."""
    memory = books.risk
    assert memory.newest is not None
    assert memory.peak is not None
    found = drawdown(memory.newest, memory.peak, LIMITS, latches=books.latches, now=NOON)
    return None if found is None else found.number


def test_a_week_counts_from_its_first_start_whatever_days_and_restarts_follow() -> None:
    """R3, F6: 1,300 lost on Monday and 1,200 on Friday are 2,500, over four nights and a restart."""
    days = [MONDAY + timedelta(days=n) for n in range(5)]
    before = [start(days[0], "100000"), *(start(day, "98700") for day in days[1:]), start(days[4], "98700")]

    assert week_of(replay([*before, minute("97500.01")])) is None
    assert week_of(replay([*before, minute("97500")])) == D(2500)


def test_a_new_week_begins_on_monday() -> None:
    """The next Monday's first session takes a new base; so does Tuesday's when Monday is a holiday."""
    lost = [start(MONDAY, "100000"), minute("98000")]

    for day in (MONDAY + timedelta(days=7), MONDAY + timedelta(days=8)):
        books = replay([*lost, start(day, "98000"), minute("96000", day=day)])
        assert week_of(books) is None
        assert books.risk.week == Base(own=D(98000), broker=D(98000))


@pytest.mark.parametrize(("own", "broker"), [("97500", "99000"), ("99000", "97500")])
def test_the_worse_witness_of_the_week_decides(own: str, broker: str) -> None:
    """Our books or the broker's equity: 2,500 by either latches."""
    assert week_of(replay([start(MONDAY, "100000"), minute(own, broker)])) == D(2500)


def test_the_peak_is_the_highest_start_or_close_of_any_day() -> None:
    """A high within a day is no peak; a close is. A fifth below it latches."""
    closed = ev.DayClosed(
        at=NOON,
        session_date=MONDAY,
        equity=D(110_000),
        cash=D(110_000),
        realized_pnl=D(0),
        fees=D(0),
    )
    intraday = [start(MONDAY, "100000"), minute("125000")]

    assert fall_of(replay([*intraday, minute("88000")])) is None
    assert fall_of(
        replay([*intraday, closed, start(MONDAY + timedelta(days=9), "90000"), minute("88000")])
    ) == D("0.2")


def test_a_late_close_of_an_older_day_is_no_peak() -> None:
    """Closing Monday's books on Wednesday says nothing of Wednesday's equity."""
    late = ev.DayClosed(
        at=NOON, session_date=MONDAY, equity=D(150_000), cash=D(0), realized_pnl=D(0), fees=D(0)
    )

    books = replay([start(MONDAY, "100000"), start(MONDAY + timedelta(days=2), "100000"), late])

    assert books.risk.peak == Base(own=D(100_000), broker=D(100_000))


@given(
    moves=st.lists(
        st.one_of(st.integers(-9_000, 9_000).map(str), st.sampled_from(["day", "week", "minute"])),
        max_size=12,
    )
)
def test_deposits_and_withdrawals_are_no_result(moves: list[str]) -> None:
    """Whatever cash comes and goes in whatever hour, equity that only followed it lost nothing."""
    equity, day = 100_000, MONDAY
    events: list[ev.AnyEvent] = [start(day, str(equity))]
    for move in moves:
        if move == "minute":
            events.append(minute(str(equity), day=day))
        elif move in ("day", "week"):
            day += timedelta(days=1 if move == "day" else 7)
            events.append(start(day, str(equity)))
        else:
            equity += int(move)
            events.append(cash(move))
    memory = replay([*events, minute(str(equity), day=day)]).risk

    assert memory.start is not None
    assert memory.newest is not None
    for base in (memory.start, memory.day, memory.week, memory.peak):
        assert base == memory.newest


@pytest.mark.parametrize("amount", [5_000, -5_000])
def test_cash_the_broker_had_at_the_start_is_not_counted_twice(amount: int) -> None:
    """A deposit overnight is in the broker's number at the start and in ours when a person accepts it."""
    before = [
        start(MONDAY, "100000"),
        cash_break("100000", str(100_000 + amount)),
        start(MONDAY + timedelta(days=1), str(100_000 + amount)),
    ]
    unbooked = replay([*before, minute("100000", str(100_000 + amount))]).risk
    resolved = ev.BreakResolved(at=NOON, break_id="cash-USD-1", how="accepted", by="ann", cause="mine")

    books = replay([*before, minute("100000", str(100_000 + amount)), resolved, cash(str(amount))]).risk

    assert unbooked.day is not None
    assert unbooked.newest is not None
    assert unbooked.newest.own == unbooked.day.own
    assert unbooked.newest.broker == unbooked.day.broker
    flat = Base(own=D(100_000 + amount), broker=D(100_000 + amount))
    assert (books.day, books.week, books.newest) == (flat, flat, flat)


@pytest.mark.parametrize("night", [False, True])
def test_shares_that_became_cash_unseen_are_no_result(night: bool) -> None:
    """A position the broker shows as cash, without an execution, and both accepted: nothing was lost."""
    bought = intent("b", qty="100")
    breaks = [
        cash_break("90000", "110000"),
        cash_break("0", "0").model_copy(
            update={
                "found": Break(
                    break_id="position-AAPL-1",
                    kind=BreakKind.POSITION,
                    key="AAPL",
                    ours=D(100),
                    theirs=D(0),
                    notional_usd=D(20_000),
                    detail="AAPL",
                    found_at=NOON,
                )
            }
        ),
    ]
    events: list[ev.AnyEvent] = [
        start(MONDAY, "110000"),
        planned(bought),
        filled(bought, "x", "100", price="200"),
        *breaks,
        *([start(MONDAY + timedelta(days=1), "110000")] if night else []),
        minute("110000"),
        *(
            ev.BreakResolved(at=NOON, break_id=name, how="accepted", by="ann", cause="mine")
            for name in ("cash-USD-1", "position-AAPL-1")
        ),
        ev.PositionAdjusted(
            at=NOON,
            strategy="external",
            symbol="AAPL",
            qty_change=D(-100),
            price=D(200),
            cause="accepted",
            settles="position-AAPL-1",
        ),
        cash("20000"),
        minute("110000"),
    ]

    memory = replay(events).risk

    flat = Base(own=D(110_000), broker=D(110_000))
    assert (memory.day, memory.week, memory.peak, memory.newest) == (flat, flat, flat, flat)


@pytest.mark.parametrize("name", [LatchName.DAILY_LOSS, LatchName.WEEKLY_LOSS, LatchName.DRAWDOWN])
def test_a_released_loss_does_not_latch_again_at_once(name: LatchName) -> None:
    """I7: after the release what happens from then on counts, and the whole limit is there again."""
    lost = [start(MONDAY, "100000"), minute("75000", "74000")]
    again = replay([*lost, released(name), minute("75000", "74000")])
    lost_more = replay([*lost, released(name), minute("59000", "59000")])

    match name:
        case LatchName.DAILY_LOSS:
            assert again.risk.day == again.risk.newest
        case LatchName.WEEKLY_LOSS:
            assert (week_of(again), week_of(lost_more)) == (None, D(16_000))
        case _:
            assert fall_of(again) is None
            assert fall_of(lost_more) == D("0.213333")


def test_a_release_of_one_loss_releases_no_other() -> None:
    """Releasing the day's loss leaves week and peak where they were."""
    books = replay([start(MONDAY, "100000"), minute("75000"), released(LatchName.DAILY_LOSS)])

    assert week_of(books) == D(25_000)
    assert fall_of(books) == D("0.25")


def test_a_set_latch_is_not_set_again() -> None:
    """The second minute at the limit adds nothing."""
    latch = ev.LatchSet(at=NOON, name=LatchName.WEEKLY_LOSS, number=D(1), limit=D(1), cause="loss")

    assert week_of(replay([start(MONDAY, "100000"), minute("75000"), latch])) is None


def test_i8_the_hash_knows_the_bases() -> None:
    """Two ledgers that differ in a release alone have different states."""
    lost = [start(MONDAY, "100000"), minute("75000")]

    assert replay(lost).state_hash() != replay([*lost, released(LatchName.WEEKLY_LOSS)]).state_hash()

"""The day's report is a fold of the ledger, the same however often it is made."""

from datetime import date, timedelta
from decimal import Decimal

import polars as pl

from desk.quality import data_quality
from desk.reporter import day_report
from schemas.bars import RAW_SCHEMA
from schemas.events import AnyEvent, Mark, PositionAdjusted
from schemas.orders import OrderState, Purpose, Reason, Side
from schemas.report import DataQuality, DayReport
from schemas.settings import Mode
from tests.tasks import sample_day as sample

D = Decimal
NOTHING = DataQuality(bars=0, symbols=0, revisions=0, quarantined=(), gaps=(), session_minutes=None)


def report(events: list[AnyEvent], day: date = sample.DAY) -> DayReport:
    """Fold events into a day's report without bars."""
    return day_report(events, session_date=day, account="paper", mode=Mode.PAPER, data=NOTHING)


def round_trip() -> list[AnyEvent]:
    """Give a session with one order bought at 100.10 (reference 100) and sold at 101 (reference 101)."""
    buy = sample.intent(
        symbol="SPY", minute=5, side=Side.BUY, purpose=Purpose.ENTRY, qty="10", reference=D("100")
    )
    sell = sample.intent(
        symbol="SPY", minute=9, side=Side.SELL, purpose=Purpose.EXIT, qty="10", reference=D("101")
    )
    first, second = sample.OPEN + timedelta(minutes=6), sample.OPEN + timedelta(minutes=10)
    return [
        sample.started(),
        *sample.approved(buy, first),
        sample.filled(buy, at=first, price=D("100.10")),
        sample.minute_closed(5, "99990"),
        *sample.approved(sell, second),
        sample.filled(sell, at=second, price=D("101")),
        sample.minute_closed(9, "100008.98"),
    ]


def test_a_round_trip_gives_its_known_numbers() -> None:
    """9.00 realized, 0.02 of fees; 1.00 USD of slippage on 2,010 of reference notional."""
    made = report(round_trip())

    head = made.headline
    assert (head.realized, head.unrealized, head.fees, head.net) == (D("9.00"), D(0), D("0.02"), D("8.98"))
    assert (head.orders, head.fills, head.round_trips, head.win_rate_frac) == (2, 2, 1, D(1))
    assert head.slippage_usd == D("1.00")
    assert head.slippage_bps == D("1.00") / D("2010") * 10_000
    assert [fill.slippage_bps for fill in made.fills] == [D(10), D(0)]
    assert (head.equity_start, head.equity_end) == (D(100_000), D("100008.98"))
    assert head.max_drawdown_usd == D(10)


def test_orders_say_what_became_of_them() -> None:
    """State, filled quantity and average price come from the portfolio's own fold."""
    first, second = report(round_trip()).orders

    assert (first.state, first.filled_qty, first.average_price) == (OrderState.FILLED, D(10), D("100.10"))
    assert second.purpose is Purpose.EXIT


def test_an_execution_delivered_twice_is_reported_once() -> None:
    """Duplicates change nothing (I3)."""
    events = round_trip()
    twice = [
        each for event in events for each in ([event, event] if event.kind == "fill_recorded" else [event])
    ]

    assert report(twice) == report(events)


def test_an_open_position_is_valued_at_the_last_mark_or_not_at_all() -> None:
    """10 bought at 100.10 and marked at 99.10 are 10 under; without a mark it is not known."""
    events = round_trip()[:4]
    marked = [*events, sample.minute_closed(6, "99990", (Mark(symbol="SPY", price=D("99.10")),))]

    assert report(marked).headline.unrealized == D("-10.00")
    assert report(events).headline.unrealized is None


def test_another_dates_report_has_nothing_of_this_one() -> None:
    """A day without a session is empty and is no error."""
    made = report(round_trip(), sample.DAY + timedelta(days=1))

    assert made.headline.orders == made.headline.fills == 0
    assert made.equity == made.pnl == made.sessions == ()
    assert made.headline.equity_end is None


def test_denials_are_counted_by_reason_strategy_and_symbol() -> None:
    """Each line has its count, its first and last instant and the last words."""
    wanted = sample.intent(
        symbol="SPY", minute=1, side=Side.BUY, purpose=Purpose.ENTRY, qty="500", reference=D("560")
    )
    at = sample.OPEN + timedelta(minutes=2)
    events = [
        sample.denied(
            wanted, at + timedelta(minutes=each), Reason.ORDER_NOTIONAL, str(280_000 + each), "25000"
        )
        for each in range(3)
    ]

    (line,) = report(list(events)).denials

    assert (line.count, line.first_at, line.last_at) == (3, at, at + timedelta(minutes=2))
    assert "280002" in line.example


def test_the_busy_day_adds_up() -> None:
    """Attributed P&L equals the books' cash; the break is resolved, the restart is seen."""
    events = sample.busy_day()
    made = report(events)
    closed = events[-1]
    assert closed.kind == "day_closed"

    assert made.headline.net == closed.cash - D(100_000)
    assert sum(line.net for line in made.pnl) == made.headline.net
    assert made.closed
    assert [line.ended_at is None for line in made.sessions] == [True, False]
    assert made.breaks[0].resolved == "accepted by ann: bought by hand at 15:20"
    assert [line.what for line in made.incidents] == ["unknown outcome"]
    assert {order.state for order in made.orders} == {
        OrderState.FILLED,
        OrderState.REJECTED,
        OrderState.UNKNOWN,
    }


def test_an_open_break_means_the_day_is_not_closed() -> None:
    """Without its resolution the break is open and the day is not reported as closed."""
    events = [event for event in sample.busy_day() if event.kind != "break_resolved"]

    made = report(events)

    assert not made.closed
    assert made.breaks[0].resolved is None


def test_an_adjustment_is_an_incident_and_moves_the_position() -> None:
    """Books repaired during the day show up in the position and in the list."""
    adjusted = PositionAdjusted(
        at=sample.OPEN, strategy="external", symbol="NVDA", qty_change=D(3), price=D("127"), cause="by hand"
    )

    made = report([sample.started(), adjusted])

    assert (made.pnl[0].strategy, made.pnl[0].position) == ("external", D(3))
    assert made.incidents[0].what == "books adjusted"


def test_a_symbols_gaps_are_the_sessions_minutes_without_a_bar() -> None:
    """Seven minutes of XOM are missing from 11:30; a symbol without any bar misses all 390."""
    quality = data_quality(
        sample.bars(), symbols=("XOM", "TSLA"), hours=sample.HOURS, revisions=3, quarantined={"b": 1, "a": 2}
    )

    gaps = {line.symbol: line for line in quality.gaps}
    assert (gaps["XOM"].missing, gaps["XOM"].longest) == (7, 7)
    assert gaps["XOM"].longest_from == sample.OPEN + timedelta(minutes=120)
    assert (gaps["TSLA"].bars, gaps["TSLA"].missing) == (0, 390)
    assert gaps["SPY"].missing == 0
    assert quality.missing == 397
    assert [line.name for line in quality.quarantined] == ["a", "b"]


def test_without_known_hours_no_gap_is_claimed() -> None:
    """Not known is not zero: the record says that the session's minutes are not known."""
    quality = data_quality(
        pl.DataFrame(schema=RAW_SCHEMA), symbols=("SPY",), hours=None, revisions=0, quarantined={}
    )

    assert quality.session_minutes is None
    assert quality.gaps[0].missing == 0

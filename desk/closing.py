"""End of day (O3): prove that our books equal the broker's, or name what differs.

Entries stop, orders still working are canceled and waited for, the books are compared, and the day is
recorded as closed. An order that would not be canceled would trade at the next open, so the day stays open
until it is. No break is adjusted here: a person accepts it (or undoes it at the broker), and
the close is run again. It may be run for any past date, as often as wanted: `DayClosed` is recorded
once, and a rerun changes nothing that is right.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from desk.bookkeeper import level_books
from desk.desk import Desk
from desk.dispatcher import cancel
from desk.errors import NotReady, OpenBreaks
from desk.hours import next_session, session_hours
from desk.own_order import Order
from desk.prober import end_never_arrived, lose_pending, may_arrive_until
from desk.settler import settle
from desk.split_watch import resting_over
from schemas.events import DayClosed
from schemas.orders import OrderState, TimeInForce

# Cancels at Alpaca take effect within seconds; after this the rest is a matter for reconcile.
CANCEL_WAIT = timedelta(seconds=60)
POLL = timedelta(seconds=2)
ARRIVAL_WAIT_MAX = timedelta(
    minutes=6
)  # past prober.OVERLAP after the close; another day's order is not awaited


@dataclass(frozen=True, slots=True)
class DayResult:
    """The closed day in numbers, USD."""

    session_date: date
    equity: Decimal  # at the last minute of the session, else the broker's now
    cash: Decimal  # ours, fees owed deducted
    realized_pnl: Decimal  # before fees
    fees: Decimal
    already_closed: bool
    booked: int  # events this run recorded to bring the books level


def close_day(desk: Desk, session_date: date) -> DayResult:
    """Close a session's books.

    Raises:
        NotReady: the date has no session, it has not closed yet, this desk ran none on it, or an order of
            ours still works at the broker; try again.
        OpenBreaks: the books differ; each break is recorded and named.
        BrokerUnavailable: the broker could not be read.
    """
    hours = session_hours(session_date)
    if hours is None:
        raise NotReady(f"{session_date} is not a trading day")
    if desk.now() < hours.closes_at:
        raise NotReady(
            f"the session of {session_date} closes at {hours.closes_at:%H:%M} UTC; it is still open"
        )
    desk.journal.catch_up()
    before = desk.journal.recorded
    lose_pending(desk)
    settle(desk, urgent=True)
    _end_working_orders(desk, session_date)
    _end_unanswered(desk)
    breaks = level_books(desk, adjust_max_usd=None)
    if breaks:
        named = "; ".join(f"{item.break_id} ({item.detail})" for item in breaks)
        raise OpenBreaks(f"{session_date}: {len(breaks)} open breaks: {named}", [b.break_id for b in breaks])
    return _closed(desk, session_date, booked=desk.journal.recorded - before)


def _end_working_orders(desk: Desk, session_date: date) -> None:
    """Cancel what outlived the session and wait, boundedly, until it has ended.

    A GTC order may live on, but not over the ex-date of a split (desk/splits.py).

    Raises:
        NotReady: an order the broker knows works on.
    """
    deadline = desk.now() + CANCEL_WAIT
    until = next_session(session_date).session_date
    over = {order.intent.client_order_id: why for order, why in resting_over(desk, session_date, until)}

    def live() -> list[Order]:
        return [
            order
            for order in desk.portfolio.working_orders()
            if order.intent.time_in_force is not TimeInForce.GTC or order.intent.client_order_id in over
        ]

    while (left := live()) and desk.now() < deadline:
        for order in left:
            cancel(desk, order, cause=over.get(order.intent.client_order_id, "end of day"))
        desk.clock.sleep_until(desk.now() + POLL)
        settle(desk, urgent=True)
    known = [order.intent.client_order_id for order in left if order.state is not OrderState.UNKNOWN]
    if known:
        raise NotReady(
            f"{session_date}: {', '.join(known)} was not canceled in {CANCEL_WAIT.total_seconds():.0f} s "
            "and would trade at the next open; close the day again, or cancel by hand at the broker"
        )


def _end_unanswered(desk: Desk) -> None:
    """Wait, minutes at most, until no unanswered order of a past session can come to life; end them."""
    closed = [
        may_arrive_until(order)
        for order in desk.portfolio.working_orders()
        if order.state is OrderState.UNKNOWN
    ]
    due = [until for until in closed if until <= desk.now() + ARRIVAL_WAIT_MAX]
    if due:
        desk.rest_until(max(due))
        settle(desk, urgent=True)
    end_never_arrived(desk)


def _closed(desk: Desk, session_date: date, *, booked: int) -> DayResult:
    already = session_date in desk.portfolio.closed_days
    books = desk.journal.at_end_of(session_date)
    if books.session_date != session_date:
        raise NotReady(f"{session_date}: the books equal the broker's, but no session ran on that date")
    marked = books.minute is not None and books.minute.session_date == session_date
    equity = books.minute.equity if marked and books.minute is not None else desk.broker.account().equity
    result = DayResult(
        session_date=session_date,
        equity=equity,
        cash=books.cash,
        realized_pnl=books.realized_pnl(),
        fees=books.fees(),
        already_closed=already,
        booked=booked,
    )
    if not already:
        desk.journal.record(
            DayClosed(
                at=desk.now(),
                session_date=session_date,
                equity=result.equity,
                cash=result.cash,
                realized_pnl=result.realized_pnl,
                fees=result.fees,
            )
        )
    return result

"""After each session of a backtest: the books are compared with the venue's, and the night is charged."""

from decimal import Decimal

from desk.desk import Desk
from desk.exchange.venue import Venue
from desk.hours import next_session
from desk.money import cents_up
from desk.research.takings import BORROW
from schemas.account import SessionHours
from schemas.events import CashAdjusted, DayClosed


class BooksDiffer(AssertionError):
    """Our books and the venue's differ at a session's end: a defect of this program."""


def close_day(desk: Desk, venue: Venue, hours: SessionHours) -> None:
    """Compare the books with the venue's and close the day in the ledger.

    Raises:
        BooksDiffer: they are not equal.
    """
    portfolio, books = desk.portfolio, venue.floor.books
    for symbol in portfolio.held_symbols() + tuple(books.holdings):
        if portfolio.position(symbol) != books.qty(symbol):
            raise BooksDiffer(
                f"{hours.session_date}: {symbol} is {portfolio.position(symbol)} in our books, "
                f"{books.qty(symbol)} at the venue"
            )
    totals = venue.floor.totals()
    desk.journal.record(
        DayClosed(
            at=desk.now(),
            session_date=hours.session_date,
            equity=totals.equity,
            cash=portfolio.cash,
            realized_pnl=portfolio.realized_pnl(),
            fees=portfolio.fees(),
        )
    )


def charge_borrow(desk: Desk, venue: Venue, hours: SessionHours, annual_frac: Decimal) -> None:
    """Charge what is short for the nights until the next session, at the closing marks, up to the cent.

    Formula: |qty| x mark x annual_frac x nights / 360 (a year of money is 360 days), as brokers charge it.
    The loss limits do not see it: it is booked as cash put right.
    """
    if annual_frac == 0:
        return
    nights = (next_session(hours.session_date).session_date - hours.session_date).days
    marks, shorts = (
        venue.floor.marks(),
        (each for each in venue.floor.books.holdings.values() if each.qty < 0),
    )
    owed = sum((-each.qty * marks[each.symbol] for each in shorts), Decimal(0)) * annual_frac * nights / 360
    if owed > 0:
        charge = cents_up(owed)
        venue.floor.books.cash -= charge
        desk.journal.record(CashAdjusted(at=desk.now(), amount=-charge, cause=BORROW))

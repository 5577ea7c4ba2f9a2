"""Bringing the books level with the broker's: apply `reconcile` until nothing is left to repair.

Used at start-up (small breaks are adjusted, a large one halts), at the end of the day (none is
adjusted, a person decides) and by the kill switch (everything is adjusted, because flat at the
broker is the goal).
"""

import logging
from datetime import datetime, timedelta
from decimal import Decimal

from desk.desk import Desk
from desk.hours import session_hours
from desk.portfolio import EXTERNAL
from desk.reconciler import Reconciliation, reconcile
from desk.scribe import booking_date
from desk.settler import snapshot
from desk.split_watch import known_splits
from desk.splits import hiding_places
from schemas.account import Split
from schemas.events import AnyEvent, BreakFound, BreakResolved, FillRecorded, PositionAdjusted
from schemas.risk import Break, BreakKind

log = logging.getLogger(__name__)

# Each round books one kind of news: fills, then statuses, then adjustments. Ten rounds is a fault.
ROUNDS_MAX = 10
# The broker's positions may lag its fills by seconds; a break must be seen this often to be believed.
LOOKS = 3
LOOK_AGAIN = timedelta(seconds=2)
BEFORE_OPEN = timedelta(hours=12)
# A break is found at the latest at the next start-up, and four days without a session are the longest.
BREAK_REACH = timedelta(days=5)
# Only what the books can take over is adjusted without a person; an open order needs one.
ADJUSTABLE = frozenset({BreakKind.POSITION, BreakKind.FOREIGN_FILL, BreakKind.CASH})


def books_since(desk: Desk) -> datetime:
    """Give the instant from which orders and executions are compared.

    That is half a day before the open of the last session this ledger knows, never before the account
    was opened in it: what is older was closed by an earlier reconcile or is part of the balance. While a
    break is open it reaches back to what caused it, whatever sessions began since.
    """
    portfolio = desk.portfolio
    day = portfolio.session_date if portfolio.session_date is not None else booking_date(desk.now())
    hours = session_hours(day)
    since = (hours.opens_at if hours is not None else desk.now()) - BEFORE_OPEN
    working = [order.planned_at for order in portfolio.working_orders()]
    unbooked = (*portfolio.breaks.values(), *portfolio.to_book.values())
    causes = [item.found_at - BREAK_REACH for item in unbooked]
    since = min([since, *working, *causes])
    return since if portfolio.opened_at is None else max(since, portfolio.opened_at)


def level_books(
    desk: Desk, *, adjust_max_usd: Decimal | None, after_night: bool = False
) -> tuple[Break, ...]:
    """Record repairs and breaks until our books equal the broker's but for the breaks given back.

    Args:
        desk: the desk; its journal must hold the lease.
        adjust_max_usd: breaks of quantities and cash up to this are adjusted in the books at once; None
            adjusts nothing. Breaks of orders always wait for a person.
        after_night: look for splits that no quantity shows, too; it costs a request where any may be.

    Raises:
        BrokerUnavailable: the broker's books could not be read.
    """
    found = _settle_books(desk, after_night=after_night)
    for _ in range(LOOKS - 1):
        if not found.breaks:
            break
        desk.clock.sleep_until(desk.now() + LOOK_AGAIN)
        found = _settle_books(desk)
    _record_breaks(desk, found.breaks)
    small = [
        item
        for item in found.breaks
        if adjust_max_usd is not None and item.kind in ADJUSTABLE and item.notional_usd <= adjust_max_usd
    ]
    for item in small:
        log.warning("break adjusted in the books", extra={"break_id": item.break_id, "detail": item.detail})
        desk.journal.record(
            BreakResolved(at=desk.now(), break_id=item.break_id, how="adjusted", by="desk", cause=item.detail)
        )
    if not small:
        return found.breaks
    remaining = _settle_books(desk).breaks
    _record_breaks(desk, remaining)
    return remaining


def _settle_books(desk: Desk, *, after_night: bool = False) -> Reconciliation:
    """Repair until settled and give the final comparison; what a person accepted meanwhile is booked too."""
    desk.journal.catch_up()
    splits: tuple[Split, ...] | None = None  # not asked for yet
    for _ in range(ROUNDS_MAX):
        result = reconcile(
            desk.portfolio,
            snapshot(desk, since=books_since(desk)),
            limits=desk.settings.risk,
            session_date_at=booking_date,
            now=desk.now(),
            first_seen=desk.portfolio.opened_at is None,
            splits=splits or (),
            fees=desk.fees,
        )
        if result.settled and splits is None:
            splits = _splits_behind(desk, result.breaks, after_night=after_night)
            if splits:
                continue
        if result.settled:
            return result
        if all(_is_whole(event) for event in result.repairs):
            desk.journal.record(*result.repairs)
            continue
        for event in result.repairs:
            desk.journal.record(event)
    raise AssertionError(f"reconcile did not settle in {ROUNDS_MAX} rounds: {result.repairs[:3]}")


def _is_whole(event: AnyEvent) -> bool:
    """Tell whether a repair is booked with its fellows or not at all: a move, an accepted break's trades."""
    by_hand = isinstance(event, FillRecorded) and event.fill.strategy == EXTERNAL
    return by_hand or isinstance(event, PositionAdjusted)


def _splits_behind(desk: Desk, breaks: tuple[Break, ...], *, after_night: bool) -> tuple[Split, ...]:
    """Ask whether quantities that differ, or might not show it, were split since the books' last session."""
    symbols = [item.key for item in breaks if item.kind is BreakKind.POSITION]
    today = booking_date(desk.now())
    if after_night:
        symbols += hiding_places(desk.portfolio, today=today)
    return known_splits(desk, symbols, min(desk.portfolio.session_date or today, today), today)


def _record_breaks(desk: Desk, breaks: tuple[Break, ...]) -> None:
    """Record new breaks, and that earlier ones cleared."""
    portfolio = desk.portfolio
    current = {item.break_id for item in breaks}
    known = (*portfolio.breaks, *portfolio.to_book)  # what was accepted and has ended otherwise, too
    for break_id in [b for b in known if b not in current]:
        desk.journal.record(
            BreakResolved(
                at=desk.now(), break_id=break_id, how="cleared", by="desk", cause="the books are equal again"
            )
        )
    day = portfolio.session_date if portfolio.session_date is not None else booking_date(desk.now())
    for item in breaks:
        if item.break_id not in portfolio.breaks:
            log.error("break found", extra={"break_id": item.break_id, "detail": item.detail})
            desk.journal.record(BreakFound(at=desk.now(), session_date=day, found=item))

"""Start-up is recovery (T2): there is no other path to a trading session.

The journal has replayed the ledger. Then: clocks and calendars must agree, the account must be
tradable, unanswered orders are asked about, and the books are brought level with the broker's. Small
breaks are adjusted in the books and recorded; a break above `risk.break_halt_usd` halts trading until
a person accepts it (I9). Loss latches come back with the replay (I7). Running it twice changes nothing.
"""

import logging
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from desk.bookkeeper import level_books
from desk.desk import Desk
from desk.dispatcher import cancel
from desk.errors import NotReady
from desk.hours import session_hours
from desk.prober import end_never_arrived, lose_pending
from desk.settler import settle
from desk.split_watch import resting_over
from schemas.account import SessionHours
from schemas.events import TradingStateChanged
from schemas.risk import Break, BreakKind, TradingState

log = logging.getLogger(__name__)

# A bar is acted on about 2 s after its minute; a clock further off than this acts on the wrong one.
CLOCK_SKEW_MAX = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Recovery:
    """How start-up found the account."""

    hours: SessionHours
    events_replayed: int
    breaks: tuple[Break, ...]  # open after adjustment
    trading_state: TradingState


def recover(desk: Desk, session_date: date) -> Recovery:
    """Bring the desk to where it may trade, or halt it saying why.

    Raises:
        NotReady: the date has no session, clocks or calendars disagree, or the account is blocked.
        BrokerUnavailable: the broker could not be read; nothing was traded.
    """
    desk.journal.catch_up()
    replayed = desk.journal.seq
    hours = _agreed_hours(desk, session_date)
    _check_clock(desk)
    _check_account(desk)
    lose_pending(desk)
    settle(desk, urgent=True)
    end_never_arrived(desk)
    breaks = level_books(desk, adjust_max_usd=desk.settings.risk.break_halt_usd, after_night=True)
    for order, why in resting_over(desk, session_date, session_date):
        cancel(desk, order, cause=why)  # the split was announced after the close before
    grave = [item for item in breaks if _is_grave(item, desk.settings.risk.break_halt_usd)]
    if grave and desk.portfolio.trading_state is not TradingState.HALTED:
        worst = max(grave, key=lambda item: item.notional_usd)
        desk.journal.record(
            TradingStateChanged(
                at=desk.now(),
                state=TradingState.HALTED,
                by="start-up",
                cause=f"{len(grave)} breaks, the largest: {worst.detail} "
                f"({worst.notional_usd:.2f} USD over {desk.settings.risk.break_halt_usd})",
            )
        )
    return Recovery(
        hours=hours,
        events_replayed=replayed,
        breaks=breaks,
        trading_state=desk.portfolio.trading_state,
    )


def _is_grave(item: Break, halt_usd: Decimal) -> bool:
    """Tell whether trading waits for a person: large, of unknown size, or of an order of ours."""
    ours = item.kind in (BreakKind.SHADOW_ORDER, BreakKind.OVERFILL, BreakKind.ORPHAN_ORDER)
    return ours or item.notional_usd > halt_usd or item.notional_usd == 0


def _agreed_hours(desk: Desk, session_date: date) -> SessionHours:
    """Give the session's hours on which library and broker agree (D6)."""
    ours = session_hours(session_date)
    theirs = next((h for h in desk.broker.calendar(session_date, session_date)), None)
    if ours is None:
        raise NotReady(f"{session_date} is not a trading day")
    if theirs is None or (theirs.opens_at, theirs.closes_at) != (ours.opens_at, ours.closes_at):
        stated = (
            "no session" if theirs is None else f"{theirs.opens_at:%H:%M} to {theirs.closes_at:%H:%M} UTC"
        )
        expected = f"{ours.opens_at:%H:%M} to {ours.closes_at:%H:%M} UTC"
        raise NotReady(f"calendars disagree on {session_date}: ours {expected}, the broker's {stated}")
    return ours


def _check_clock(desk: Desk) -> None:
    before = desk.now()
    theirs = desk.broker.clock().now
    skew = max(before - theirs, theirs - desk.now())
    if skew > CLOCK_SKEW_MAX:
        raise NotReady(
            f"clock differs from the broker's by {skew.total_seconds():.1f} s, "
            f"limit {CLOCK_SKEW_MAX.total_seconds():.0f} s: set this machine's time"
        )


def _check_account(desk: Desk) -> None:
    account = desk.broker.account()
    if account.account_blocked or account.trading_blocked or account.trade_suspended_by_user:
        raise NotReady(
            f"the broker blocks the account: status {account.status}, "
            f"account_blocked {account.account_blocked}, trading_blocked {account.trading_blocked}, "
            f"suspended by user {account.trade_suspended_by_user}"
        )

"""A day of a small desk as events: orders of every ending, two fills under two names, breaks, a restart."""

from datetime import date, datetime, timedelta
from decimal import Decimal

from schemas import events as ev
from schemas.orders import Check, Denial, OrderIntent, Purpose, Reason, Side
from schemas.risk import Break, BreakKind
from tests.makers import DAY, NOON, filled, intent, planned


def at(minutes: int) -> datetime:
    """Give an instant of the day."""
    return NOON + timedelta(minutes=minutes)


def started(run_id: str, *, day: date = DAY, minute: int = 0) -> ev.SessionStarted:
    """Make the event a session process begins with."""
    return ev.SessionStarted(
        at=at(minute),
        session_date=day,
        run_id=run_id,
        strategies=("sma_crossover",),
        symbols=("AAPL", "MSFT"),
        settings_hash="h",
        equity=Decimal("100000"),
    )


def minute_closed(minute: int, equity: str, *, day: date = DAY) -> ev.MinuteClosed:
    """Make the event a minute ends with."""
    zero = Decimal(0)
    return ev.MinuteClosed(
        at=at(minute + 1),
        session_date=day,
        bar_ts=at(minute),
        equity=Decimal(equity),
        cash=Decimal(equity),
        realized_pnl=zero,
        unrealized_pnl=zero,
        fees=zero,
        gross=zero,
        net=zero,
        marks=(),
    )


def denied(order: OrderIntent) -> ev.IntentDenied:
    """Make the gate's no."""
    denial = Denial(
        client_order_id=order.client_order_id,
        reason=Reason.GROSS_EXPOSURE,
        number=Decimal("51200") / Decimal("3"),
        limit=Decimal("15000"),
        message="MSFT buy 500 denied: gross 17,066.67 USD over 15,000",
        judged_at=NOON,
    )
    return ev.IntentDenied(at=NOON, intent=order, denial=denial)


def approved(order: OrderIntent) -> ev.OrderPlanned:
    """Make the gate's yes with a number it was judged by."""
    plain = planned(order)
    check = Check(reason=Reason.GROSS_EXPOSURE, number=Decimal("10000"), limit=Decimal("15000"))
    return plain.model_copy(update={"approval": plain.approval.model_copy(update={"checks": (check,)})})


def acknowledged(order: OrderIntent) -> ev.OrderAcknowledged:
    """Make the broker's answer."""
    cid = order.client_order_id
    return ev.OrderAcknowledged(at=at(1), client_order_id=cid, broker_order_id=f"b-{cid}")


BUY = intent("mqd-buy", qty="100", limit_price="100.10")
SELL = intent("mqd-sell", side=Side.SELL, qty="60", purpose=Purpose.EXIT)
LOST = intent("mqd-lost", symbol="MSFT", qty="5")
REFUSED = intent("mqd-refused", symbol="MSFT", qty="7")
CANCELED = intent("mqd-canceled", symbol="MSFT", qty="9")
TOO_MUCH = intent("mqd-denied", symbol="MSFT", qty="500")

BREAK = Break(
    break_id="position-XOM",
    kind=BreakKind.POSITION,
    key="XOM",
    ours=Decimal(0),
    theirs=Decimal(10),
    notional_usd=Decimal("1100"),
    detail="XOM: ours 0, theirs 10",
    found_at=at(5),
)


def first_day() -> list[ev.AnyEvent]:
    """Give the events of DAY in order."""
    return [
        ev.AccountOpened(at=NOON, cash=Decimal("100000")),
        started("run-1"),
        approved(BUY),
        denied(TOO_MUCH),
        acknowledged(BUY),
        filled(BUY, "e1", "40", price="100.05", cum_qty="40", fee="0.01"),
        filled(BUY, "e1", "40", price="100.05", cum_qty="40", fee="0.01"),  # again
        filled(BUY, "other-name", "40", price="100.05", cum_qty="40", fee="0.01"),  # under its other name
        filled(BUY, "e2", "60", price="100.08", cum_qty="100", fee="0.02"),
        minute_closed(0, "100010.5"),
        planned(LOST),
        ev.OrderOutcomeLost(at=at(2), client_order_id="mqd-lost", cause="HTTP 504 after 10.0 s"),
        ev.OrderProbed(at=at(2), client_order_id="mqd-lost"),
        planned(REFUSED),
        ev.OrderRejected(at=at(3), client_order_id="mqd-refused", code="40310000", message="no"),
        planned(CANCELED),
        acknowledged(CANCELED),
        ev.CancelRequested(at=at(4), client_order_id="mqd-canceled", cause="entry is 3 minutes old"),
        ev.OrderCanceled(at=at(4), client_order_id="mqd-canceled"),
        filled(CANCELED, "e3", "4", price="50", cum_qty="4"),  # before the cancel, told after it
        started("run-2", minute=4),
        minute_closed(0, "100011"),
        planned(SELL),
        filled(SELL, "e4", "60", price="101", cum_qty="60", fee="0.03"),
        ev.BreakFound(at=at(5), session_date=DAY, found=BREAK),
        ev.BreakResolved(at=at(6), break_id=BREAK.break_id, how="accepted", by="ann", cause="by hand"),
        ev.PositionAdjusted(
            at=at(6),
            strategy="external",
            symbol="XOM",
            qty_change=Decimal(10),
            price=Decimal(110),
            cause="break",
        ),
        ev.CashAdjusted(at=at(6), amount=Decimal("-1100"), cause="break"),
        ev.OrderNeverArrived(at=at(300), client_order_id="mqd-lost"),
        ev.SessionEnded(
            at=at(300), session_date=DAY, run_id="run-2", cause="close", state_seq=0, state_hash="x"
        ),
        ev.DayClosed(
            at=at(310),
            session_date=DAY,
            equity=Decimal("100055.5"),
            cash=Decimal("94000"),
            realized_pnl=Decimal("56.48"),
            fees=Decimal("0.06"),
        ),
    ]


def next_day() -> list[ev.AnyEvent]:
    """Give a second session: what was held is held, and some of it sold."""
    day = DAY + timedelta(days=2)
    out = intent("mqd-out", side=Side.SELL, qty="40", purpose=Purpose.EXIT).model_copy(
        update={"session_date": day}
    )
    sold = filled(out, "e9", "40", price="102", cum_qty="40", fee="0.02")
    sold = sold.model_copy(update={"fill": sold.fill.model_copy(update={"session_date": day})})
    return [
        started("run-3", day=day, minute=3_000),
        planned(out),
        sold,
        minute_closed(3_000, "100100", day=day),
    ]

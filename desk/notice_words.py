"""The words of notices: short, and each names the thing, the number and the limit."""

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal

from schemas.events import (
    AnyEvent,
    BreakFound,
    BreakResolved,
    CashAdjusted,
    DayClosed,
    KillVerified,
    LatchReleased,
    LatchSet,
    OrderOutcomeLost,
    PositionAdjusted,
    ProtectionLifted,
    ProtectionSet,
    StreamChanged,
    TradingStateChanged,
)
from schemas.orders import Denial, Fill
from schemas.risk import LatchName

TEXT_MAX = 300  # characters of one notice; six fit one Discord message
DENIALS_SHOWN = 3  # reasons named in a minute's notice; the report has them all


def usd(amount: Decimal) -> str:
    """Give an amount as people read it: 1,234.50."""
    return f"{amount:,.2f}"


def cut(text: str) -> str:
    """Give the text, or its beginning where it is longer than a notice may be."""
    return text if len(text) <= TEXT_MAX else text[: TEXT_MAX - 1] + "…"


def names(symbols: Sequence[str]) -> str:
    """Name a few symbols and count the rest."""
    shown = 5  # what fits a phone's line
    more = f" and {len(symbols) - shown} more" if len(symbols) > shown else ""
    return ", ".join(symbols[:shown]) + more


def fill_text(fill: Fill, purpose: str) -> str:
    """Say one execution."""
    return (
        f"{fill.symbol} {fill.side.value.upper()} {fill.qty.normalize():f} at {fill.price:f} "
        f"({purpose}, {fill.strategy}, fee {usd(fill.fee)} USD)"
    )


def denials_text(denials: Sequence[Denial]) -> str:
    """Give a single denial's own words, or counts by reason with the last one's words."""
    if len(denials) == 1:
        return denials[0].message
    counts = Counter(denial.reason.value for denial in denials).most_common()
    shown = ", ".join(f"{count} {reason}" for reason, count in counts[:DENIALS_SHOWN])
    more = f" and {len(counts) - DENIALS_SHOWN} more reasons" if len(counts) > DENIALS_SHOWN else ""
    return f"{len(denials)} intents denied: {shown}{more}; last: {denials[-1].message}"


def alert_words(event: AnyEvent) -> tuple[str, str] | None:
    """Give the notice id and text of an event a person may have to act on; None for all others.

    An event that can recur is told apart by its instant, which the ledger keeps.
    """
    stamp = f"{event.at:%Y%m%dT%H%M%S.%f}"
    match event:
        case OrderOutcomeLost(client_order_id=order_id):
            consequence = "the symbol is blocked until the broker answers"
            return f"unknown/{order_id}", f"UNKNOWN order {order_id}: {event.cause}; {consequence}"
        case BreakFound(found=found):
            sides = f"ours {found.ours:f}, broker {found.theirs:f} ({usd(found.notional_usd)} USD)"
            text = f"BREAK {found.kind.value} {found.key}: {sides}: {found.detail}"
            return f"break/{found.break_id}", text
        case BreakResolved(break_id=break_id):
            text = f"Break {break_id} {event.how} by {event.by}: {event.cause}"
            return f"resolved/{break_id}/{stamp}", text
        case TradingStateChanged(state=state):
            text = f"Trading state {state.value.upper()} by {event.by}: {event.cause}"
            return f"state/{state.value}/{stamp}", text
        case LatchSet(name=LatchName.KILL):
            return f"latch/{LatchName.KILL.value}/{stamp}", f"LATCH kill: {event.cause}"  # it has no numbers
        case LatchSet(name=name):
            share = f"{event.number:.4f} of equity over {event.limit:f}"
            numbers = (
                share if name is LatchName.DRAWDOWN else f"{usd(event.number)} over {usd(event.limit)} USD"
            )
            return f"latch/{name.value}/{stamp}", f"LATCH {name.value}: {numbers}: {event.cause}"
        case LatchReleased(name=name):
            text = f"Latch {name.value} released by {event.by}: {event.cause}"
            return f"released/{name.value}/{stamp}", text
        case ProtectionSet(protection=protection):
            scope = "everything" if event.key == "" else f"{event.scope.value} {event.key}"
            text = f"PAUSED until {event.until:%Y-%m-%d %H:%M} UTC: {scope}, by {protection}: {event.cause}"
            return f"paused/{protection}/{event.key}/{stamp}", text
        case ProtectionLifted(protection=protection):
            text = f"Pause by {protection} {event.key} lifted by {event.by}: {event.cause}"
            return f"lifted/{protection}/{event.key}/{stamp}", text
        case KillVerified():
            done = f"{event.orders_canceled} orders canceled, {event.positions_closed} positions closed"
            return f"kill/{stamp}", f"KILL verified at the broker: {done}"
        case StreamChanged():
            text = f"User stream {'heard again' if event.is_up else 'LOST'}: {event.cause}"
            return f"stream/{stamp}", text
        case PositionAdjusted(symbol=symbol):
            text = f"Books adjusted: {symbol} {event.qty_change:+f} at {event.price:f}: {event.cause}"
            return f"adjusted/{symbol}/{stamp}", text
        case CashAdjusted():
            return f"adjusted/cash/{stamp}", f"Books adjusted: cash {usd(event.amount)} USD: {event.cause}"
        case _:
            return None


def day_text(event: DayClosed) -> str:
    """Say a closed day."""
    return (
        f"Day {event.session_date} closed: realized {usd(event.realized_pnl)} USD, "
        f"fees {usd(event.fees)} USD, equity {usd(event.equity)} USD; books equal the broker's"
    )

"""The whole story of one intent: bar, reason, verdict with every number, ledger, broker, fills, state.

One pass over the ledger. Nothing is guessed: what the ledger does not say is not told.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from difflib import get_close_matches

from desk.errors import ConfigError
from desk.metrics import slippage_bps, slippage_usd
from desk.portfolio import Order, Portfolio
from schemas.events import (
    AnyEvent,
    CancelRefused,
    CancelRequested,
    FillRecorded,
    FillSource,
    IntentDenied,
    OrderAcknowledged,
    OrderCanceled,
    OrderExpired,
    OrderNeverArrived,
    OrderOutcomeLost,
    OrderPlanned,
    OrderProbed,
    OrderRejected,
)
from schemas.orders import Approval, Denial, Fill, OrderIntent

SUGGESTIONS_MAX = 3


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened to an order."""

    seq: int  # in the ledger
    at: datetime
    what: str
    detail: str


@dataclass(frozen=True, slots=True)
class FillTold:
    """An execution and what it cost against the price the sizer saw; positive costs money."""

    seq: int
    fill: Fill
    source: FillSource
    slippage_bps: Decimal
    slippage_usd: Decimal


@dataclass(frozen=True, slots=True)
class Story:
    """An intent from its bar to its end; `order` is None for a denied one."""

    intent: OrderIntent
    verdict: Approval | Denial
    judged_seq: int  # of the approval, written ahead of the wire, or of the denial
    written_at: datetime
    steps: tuple[Step, ...]
    fills: tuple[FillTold, ...]
    order: Order | None


def tell(events: Iterable[tuple[int, AnyEvent]], wanted: str) -> Story:
    """Tell the story of a client order id, of a broker order id, or of an unmistakable part of one.

    Raises:
        ConfigError: no intent, or more than one, has such an id.
    """
    kept = list(events)
    portfolio = Portfolio()
    intents: dict[str, tuple[int, OrderPlanned | IntentDenied]] = {}
    for seq, event in kept:
        portfolio.apply(event)
        if isinstance(event, OrderPlanned | IntentDenied):
            intents[event.intent.client_order_id] = (seq, event)
    client_order_id = _identify(wanted, tuple(intents), portfolio)
    seq, judged = intents[client_order_id]
    intent = judged.intent
    return Story(
        intent=intent,
        verdict=judged.approval if isinstance(judged, OrderPlanned) else judged.denial,
        judged_seq=seq,
        written_at=judged.at,
        steps=tuple(step for s, e in kept if (step := _step(s, e, client_order_id)) is not None),
        fills=tuple(
            _told(s, e, intent)
            for s, e in kept
            if isinstance(e, FillRecorded) and e.fill.client_order_id == client_order_id
        ),
        order=portfolio.orders.get(client_order_id),
    )


def _identify(wanted: str, known: tuple[str, ...], portfolio: Portfolio) -> str:
    if wanted in known:
        return wanted
    by_broker = portfolio.order_by_broker_id(wanted)
    if by_broker is not None:
        return by_broker.intent.client_order_id
    matches = [name for name in known if wanted != "" and wanted in name]
    if len(matches) == 1:
        return matches[0]
    if matches:
        shown = ", ".join(matches[:SUGGESTIONS_MAX])
        raise ConfigError(
            f"{wanted} is part of {len(matches)} order ids ({shown}, ...); allowed: one of them"
        )
    close = get_close_matches(wanted, known, n=SUGGESTIONS_MAX, cutoff=0.5)
    hint = f"did you mean {', '.join(close)}?" if close else "`desk orders` lists them"
    raise ConfigError(f"no order or denied intent {wanted!r} in the ledger; {hint}")


def _told(seq: int, event: FillRecorded, intent: OrderIntent) -> FillTold:
    fill = event.fill
    return FillTold(
        seq=seq,
        fill=fill,
        source=event.source,
        slippage_bps=slippage_bps(side=fill.side, price=fill.price, reference_price=intent.reference_price),
        slippage_usd=slippage_usd(
            side=fill.side, qty=fill.qty, price=fill.price, reference_price=intent.reference_price
        ),
    )


def _step(seq: int, event: AnyEvent, client_order_id: str) -> Step | None:
    words = _words(event, client_order_id)
    return None if words is None else Step(seq, event.at, *words)


def _words(event: AnyEvent, client_order_id: str) -> tuple[str, str] | None:
    """Give (what, detail) if the event is about this order."""
    match event:
        case OrderPlanned(intent=intent) if intent.client_order_id == client_order_id:
            return "written ahead", "approved; synced to disk before anything went on the wire"
        case IntentDenied(intent=intent) if intent.client_order_id == client_order_id:
            return "denied", event.denial.message
        case FillRecorded(fill=fill) if fill.client_order_id == client_order_id:
            return "fill", f"{fill.qty:f} at {fill.price:f}, learned from {event.source.value}"
        case OrderAcknowledged(client_order_id=client_id) if client_id == client_order_id:
            return "acknowledged", f"the broker's id is {event.broker_order_id}"
        case OrderRejected(client_order_id=client_id) if client_id == client_order_id:
            return "rejected", f"{event.code} {event.message}".strip()
        case OrderOutcomeLost(client_order_id=client_id) if client_id == client_order_id:
            return "outcome unknown", f"{event.cause}; symbol blocked, exposure reserved"
        case OrderProbed(client_order_id=client_id) if client_id == client_order_id:
            return "asked about", "the broker does not know it (yet); that is no proof"
        case OrderNeverArrived(client_order_id=client_id) if client_id == client_order_id:
            return "never arrived", "the session is over and the broker's complete list lacks it"
        case CancelRequested(client_order_id=client_id) if client_id == client_order_id:
            return "cancel asked", event.cause
        case CancelRefused(client_order_id=client_id) if client_id == client_order_id:
            return "cancel refused", event.message
        case OrderCanceled(client_order_id=client_id) if client_id == client_order_id:
            return "canceled", "as the broker says"
        case OrderExpired(client_order_id=client_id) if client_id == client_order_id:
            return "expired", "its time in force ended"
        case _:
            return None

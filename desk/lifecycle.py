"""The order machine (E1): one literal table.

Theory of operation. An order is planned in the ledger (PENDING), then sent. The broker's answers
reach us by three roads (the answer of the POST, the stream, REST) that overtake one another, so
every event may arrive in any state it could be true in:

* a fill or a cancel may overtake the acknowledgement;
* a late acknowledgement says nothing new about an order that already moved on;
* a fill may follow a cancel, an expiry or even a refusal: money moved, so it is booked;
* a replaced order is over under its own name: it ends CANCELED, its child is an order of its own;
* a lost answer (UNKNOWN) ends only on evidence (I4), never by absence within the session.

Whether a fill completes the order is decided by quantities, not by the broker's word: of two fills
that arrive in the wrong order the last one completes it. Duplicated executions never get here; the
fold drops them by execution id. What is not in the table is illegal: it raises and changes nothing.
"""

from enum import StrEnum

from desk.errors import IllegalTransition
from schemas.orders import OrderState


class OrderEvent(StrEnum):
    """What can happen to an order."""

    ACKNOWLEDGED = "acknowledged"
    REJECTED = "rejected"
    OUTCOME_LOST = "outcome_lost"
    PROBED = "probed"
    NEVER_ARRIVED = "never_arrived"
    PARTIAL_FILL = "partial_fill"
    FILL = "fill"
    CANCEL_REQUESTED = "cancel_requested"
    CANCEL_REFUSED = "cancel_refused"
    CANCELED = "canceled"
    REPLACED = "replaced"
    EXPIRED = "expired"


_S = OrderState
_E = OrderEvent

TRANSITIONS: dict[OrderState, dict[OrderEvent, OrderState]] = {
    _S.PENDING: {
        _E.ACKNOWLEDGED: _S.SUBMITTED,
        _E.REJECTED: _S.REJECTED,
        _E.OUTCOME_LOST: _S.UNKNOWN,
        _E.PARTIAL_FILL: _S.PARTIALLY_FILLED,
        _E.FILL: _S.FILLED,
        _E.CANCELED: _S.CANCELED,
        _E.REPLACED: _S.CANCELED,
        _E.EXPIRED: _S.EXPIRED,
    },
    _S.UNKNOWN: {
        _E.ACKNOWLEDGED: _S.SUBMITTED,
        _E.REJECTED: _S.REJECTED,
        _E.OUTCOME_LOST: _S.UNKNOWN,
        _E.PROBED: _S.UNKNOWN,
        _E.NEVER_ARRIVED: _S.REJECTED,
        _E.PARTIAL_FILL: _S.PARTIALLY_FILLED,
        _E.FILL: _S.FILLED,
        _E.CANCELED: _S.CANCELED,
        _E.REPLACED: _S.CANCELED,
        _E.EXPIRED: _S.EXPIRED,
    },
    _S.SUBMITTED: {
        _E.ACKNOWLEDGED: _S.SUBMITTED,
        _E.REJECTED: _S.REJECTED,  # asynchronous, after a 200
        _E.PARTIAL_FILL: _S.PARTIALLY_FILLED,
        _E.FILL: _S.FILLED,
        _E.CANCEL_REQUESTED: _S.SUBMITTED,
        _E.CANCEL_REFUSED: _S.SUBMITTED,
        _E.CANCELED: _S.CANCELED,
        _E.REPLACED: _S.CANCELED,
        _E.EXPIRED: _S.EXPIRED,
    },
    _S.PARTIALLY_FILLED: {
        _E.ACKNOWLEDGED: _S.PARTIALLY_FILLED,
        _E.PARTIAL_FILL: _S.PARTIALLY_FILLED,
        _E.FILL: _S.FILLED,
        _E.CANCEL_REQUESTED: _S.PARTIALLY_FILLED,
        _E.CANCEL_REFUSED: _S.PARTIALLY_FILLED,
        _E.CANCELED: _S.CANCELED,
        _E.REPLACED: _S.CANCELED,
        _E.EXPIRED: _S.EXPIRED,
    },
    _S.FILLED: {
        _E.ACKNOWLEDGED: _S.FILLED,
        _E.FILL: _S.FILLED,  # executed beyond its quantity: booked, and a break
        _E.CANCEL_REFUSED: _S.FILLED,  # the cancel lost to the fill
    },
    _S.CANCELED: {
        _E.ACKNOWLEDGED: _S.CANCELED,
        _E.PARTIAL_FILL: _S.CANCELED,  # a late fill is booked, the order stays ended
        _E.FILL: _S.FILLED,
        _E.CANCEL_REFUSED: _S.CANCELED,
        _E.CANCELED: _S.CANCELED,
        _E.REPLACED: _S.CANCELED,
    },
    _S.EXPIRED: {
        _E.ACKNOWLEDGED: _S.EXPIRED,
        _E.PARTIAL_FILL: _S.EXPIRED,
        _E.FILL: _S.FILLED,
        _E.CANCEL_REFUSED: _S.EXPIRED,
        _E.EXPIRED: _S.EXPIRED,
    },
    _S.REJECTED: {
        # A refusal that turns out to have been accepted: the broker's later word is evidence.
        _E.ACKNOWLEDGED: _S.SUBMITTED,
        _E.REJECTED: _S.REJECTED,
        _E.PARTIAL_FILL: _S.PARTIALLY_FILLED,
        _E.FILL: _S.FILLED,
        _E.CANCELED: _S.CANCELED,
        _E.REPLACED: _S.CANCELED,
        _E.EXPIRED: _S.EXPIRED,
    },
}

# Alpaca's 18 status words (ALPACA.md §2.5) as the event they are evidence of. Fills are booked from
# executions alone, so `partially_filled` and `filled` say here only that the broker has the order.
STATUS_EVENTS: dict[str, OrderEvent] = {
    "pending_review": _E.ACKNOWLEDGED,
    "accepted": _E.ACKNOWLEDGED,
    "pending_new": _E.ACKNOWLEDGED,
    "accepted_for_bidding": _E.ACKNOWLEDGED,
    "held": _E.ACKNOWLEDGED,
    "new": _E.ACKNOWLEDGED,
    "stopped": _E.ACKNOWLEDGED,
    "suspended": _E.ACKNOWLEDGED,
    "calculated": _E.ACKNOWLEDGED,
    "done_for_day": _E.ACKNOWLEDGED,
    "pending_cancel": _E.ACKNOWLEDGED,
    "pending_replace": _E.ACKNOWLEDGED,
    "partially_filled": _E.ACKNOWLEDGED,
    "filled": _E.ACKNOWLEDGED,
    "canceled": _E.CANCELED,
    "replaced": _E.CANCELED,
    "expired": _E.EXPIRED,
    "rejected": _E.REJECTED,
}


def transition(state: OrderState, event: OrderEvent) -> OrderState:
    """Give the state after `event`.

    Raises:
        IllegalTransition: the event cannot follow the state.
    """
    after = TRANSITIONS[state].get(event)
    if after is None:
        raise IllegalTransition(f"{event.value} cannot follow {state.value}")
    return after


def diagram() -> str:
    """Give the table as a Mermaid state diagram; docs/architecture.md is kept in step with it."""
    lines = ["stateDiagram-v2", "    [*] --> pending: planned"]
    for state, row in TRANSITIONS.items():
        targets: dict[OrderState, list[str]] = {}
        for event, after in row.items():
            if after is not state:
                targets.setdefault(after, []).append(event.value)
        lines += [
            f"    {state.value} --> {after.value}: {', '.join(events)}" for after, events in targets.items()
        ]
    return "\n".join(lines)

"""What a refusal of an order means when its client order id may be at the broker already.

A broker takes an id once (ALPACA.md §2.3), so a refusal may speak of an order that an earlier, unanswered
send has made. Before it is believed the id is looked up: found, and the same order, it is ours; found and
another, or refused as taken and not found, or not to be asked, nothing is known (I2, I4). The live adapter
and the simulated venue share this rule, so that the simulation proves what runs.
"""

from collections.abc import Callable

from desk.errors import BrokerUnavailable, NotFound, OutcomeUnknown, Rejected
from schemas.orders import BrokerOrder, OrderIntent

TAKEN = "must be unique"  # of Alpaca's words for an id that was used (ALPACA.md §2.3)


def settle_refusal(
    intent: OrderIntent, refusal: Rejected, look_up: Callable[[str], BrokerOrder]
) -> BrokerOrder:
    """Give the order that has the intent's id already.

    Args:
        intent: what was sent.
        refusal: the broker's no.
        look_up: gives the order of a client order id; raises NotFound, BrokerUnavailable.

    Raises:
        Rejected: the refusal, when the broker has no order under the id.
        OutcomeUnknown: another order has it, or whether one has could not be learned.
    """
    name = intent.client_order_id
    asked = f"{intent.symbol} {intent.side} {intent.qty}"
    try:
        found = look_up(name)
    except NotFound:
        if TAKEN in str(refusal):
            raise OutcomeUnknown(f"{name} ({asked}): refused as taken, yet not found: {refusal}") from refusal
        raise refusal from None
    except BrokerUnavailable as error:
        raise OutcomeUnknown(
            f"{name} ({asked}): refused ({refusal}), and whether the id was taken could not be asked: {error}"
        ) from error
    if (found.symbol, found.side, found.qty) != (intent.symbol, intent.side, intent.qty):
        raise OutcomeUnknown(
            f"{name}: the broker has {found.symbol} {found.side} {found.qty} under this id ({found.status}), "
            f"we asked for {asked}; a person must look"
        ) from refusal
    return found

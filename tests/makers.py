"""Records for tests, with every field that a case does not speak of given a plain value."""

from datetime import UTC, date, datetime
from decimal import Decimal

from schemas.events import FillRecorded, FillSource, OrderPlanned
from schemas.orders import Approval, Fill, OrderIntent, OrderType, Purpose, Side, TimeInForce

DAY = date(2025, 11, 26)
NOON = datetime(2025, 11, 26, 17, 0, tzinfo=UTC)


def intent(
    client_order_id: str = "mqd-a",
    *,
    symbol: str = "AAPL",
    side: Side = Side.BUY,
    qty: str = "100",
    purpose: Purpose = Purpose.ENTRY,
    strategy: str = "sma_crossover",
    limit_price: str | None = None,
    reference_price: str = "100",
) -> OrderIntent:
    """Make an intent: a market order, or a limit order when a limit price is given."""
    return OrderIntent(
        client_order_id=client_order_id,
        correlation_id=f"{strategy}/{symbol}/{NOON.isoformat()}",
        strategy=strategy,
        symbol=symbol,
        side=side,
        qty=Decimal(qty),
        order_type=OrderType.MARKET if limit_price is None else OrderType.LIMIT,
        time_in_force=TimeInForce.DAY,
        limit_price=None if limit_price is None else Decimal(limit_price),
        purpose=purpose,
        reference_price=Decimal(reference_price),
        bar_ts=NOON,
        session_date=DAY,
    )


def planned(order: OrderIntent) -> OrderPlanned:
    """Make the event that writes an intent ahead."""
    approval = Approval(client_order_id=order.client_order_id, checks=(), judged_at=NOON)
    return OrderPlanned(at=NOON, intent=order, approval=approval)


def filled(
    order: OrderIntent,
    execution_id: str,
    qty: str,
    *,
    price: str = "100",
    cum_qty: str | None = None,
    fee: str = "0",
    source: FillSource = FillSource.STREAM,
) -> FillRecorded:
    """Make the event that books an execution of an order."""
    fill = Fill(
        execution_id=execution_id,
        client_order_id=order.client_order_id,
        broker_order_id=f"b-{order.client_order_id}",
        strategy=order.strategy,
        symbol=order.symbol,
        side=order.side,
        qty=Decimal(qty),
        price=Decimal(price),
        cum_qty=None if cum_qty is None else Decimal(cum_qty),
        fee=Decimal(fee),
        filled_at=NOON,
        session_date=DAY,
    )
    return FillRecorded(at=NOON, fill=fill, source=source)

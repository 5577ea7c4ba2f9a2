"""reconcile: what evidence explains is repaired, what nothing explains is a break, and nothing trades."""

from datetime import timedelta
from decimal import Decimal

from desk.portfolio import EXTERNAL, Portfolio, replay
from desk.reconciler import Reconciliation, reconcile
from schemas import events as ev
from schemas.account import BrokerAccount, BrokerPosition, BrokerSnapshot
from schemas.orders import BrokerFill, BrokerOrder, Side
from schemas.risk import BreakKind, RiskLimits
from tests.makers import DAY, NOON, filled, intent, planned


def account(cash: str = "0", accrued: str = "0") -> BrokerAccount:
    """Make a broker's account with this cash."""
    return BrokerAccount(
        equity=Decimal(cash),
        last_equity=Decimal(cash),
        cash=Decimal(cash),
        buying_power=Decimal(cash),
        multiplier=4,
        accrued_fees=Decimal(accrued),
        trading_blocked=False,
        account_blocked=False,
        trade_suspended_by_user=False,
        shorting_enabled=True,
        status="ACTIVE",
    )


def position(symbol: str, qty: str, price: str = "100") -> BrokerPosition:
    """Make a broker's position."""
    return BrokerPosition(
        symbol=symbol,
        qty=Decimal(qty),
        avg_entry_price=Decimal(price),
        current_price=Decimal(price),
        unrealized_pnl=Decimal(0),
    )


def stated(client_order_id: str, status: str, *, filled_qty: str = "0", qty: str = "100") -> BrokerOrder:
    """Make a broker's order."""
    return BrokerOrder(
        broker_order_id=f"b-{client_order_id}",
        client_order_id=client_order_id,
        symbol="AAPL",
        side=Side.BUY,
        qty=Decimal(qty),
        filled_qty=Decimal(filled_qty),
        filled_avg_price=None,
        order_type="limit",
        time_in_force="day",
        limit_price=Decimal(100),
        stop_price=None,
        status=status,
        submitted_at=NOON,
        updated_at=NOON,
    )


def execution(
    order_id: str, qty: str, *, side: Side = Side.BUY, price: str = "100", name: str = "x1"
) -> BrokerFill:
    """Make an execution as the activities state it: without a client order id."""
    return BrokerFill(
        execution_id=name,
        broker_order_id=order_id,
        client_order_id=None,
        symbol="AAPL",
        side=side,
        qty=Decimal(qty),
        price=Decimal(price),
        cum_qty=Decimal(qty),
        filled_at=NOON + timedelta(seconds=1),
    )


def snapshot(
    *orders: BrokerOrder,
    positions: tuple[BrokerPosition, ...] = (),
    fills: tuple[BrokerFill, ...] = (),
    cash: str = "0",
    accrued: str = "0",
) -> BrokerSnapshot:
    """Make the broker's side of the books."""
    return BrokerSnapshot(
        account=account(cash, accrued), positions=positions, orders=orders, fills=fills, taken_at=NOON
    )


def compare(ours: Portfolio, theirs: BrokerSnapshot, *, first_seen: bool = False) -> Reconciliation:
    """Reconcile with plain limits."""
    return reconcile(
        ours,
        theirs,
        limits=RiskLimits(),
        session_date_at=lambda _: DAY,
        now=NOON,
        first_seen=first_seen,
    )


def settled(ours: Portfolio, theirs: BrokerSnapshot) -> Reconciliation:
    """Apply repairs until there are none."""
    for _ in range(10):
        result = compare(ours, theirs)
        if result.settled:
            return result
        for event in result.repairs:
            ours.apply(event)
    raise AssertionError("reconcile does not settle")


def acknowledged() -> Portfolio:
    """Give books with one order working at the broker."""
    order = intent(qty="100", limit_price="100")
    return replay(
        [planned(order), ev.OrderAcknowledged(at=NOON, client_order_id="mqd-a", broker_order_id="b-mqd-a")]
    )


def test_an_empty_ledger_takes_the_brokers_books_as_opening_balance() -> None:
    """Positions and cash before the desk's first day are the balance, not a break."""
    ours = Portfolio()

    result = compare(
        ours, snapshot(positions=(position("AAPL", "-5"),), cash="900.10", accrued="0.10"), first_seen=True
    )
    for event in result.repairs:
        ours.apply(event)

    assert ours.position("AAPL") == -5
    assert ours.cash == 900
    assert ours.opened_at == NOON


def test_an_execution_within_the_opening_balance_is_never_booked_again() -> None:
    """What the first snapshot shows is part of the balance, also when it is of the opening's own instant."""
    ours = Portfolio()
    theirs = snapshot(positions=(position("AAPL", "5"),), fills=(execution("b-by-hand", "5"),), cash="500")

    for event in compare(ours, theirs, first_seen=True).repairs:
        ours.apply(event)

    assert compare(ours, theirs) == Reconciliation((), ())


def test_equal_books_give_nothing() -> None:
    """No difference, no repair, no break."""
    result = compare(acknowledged(), snapshot(stated("mqd-a", "new")))

    assert result == Reconciliation((), ())


def test_a_missed_fill_and_the_missed_end_are_booked_from_rest() -> None:
    """What the stream lost, the activities tell: position, cash and state are right without a break."""
    ours = acknowledged()
    theirs = snapshot(
        stated("mqd-a", "canceled", filled_qty="40"),
        positions=(position("AAPL", "40"),),
        fills=(execution("b-mqd-a", "40"),),
        cash="-4000",
    )

    result = settled(ours, theirs)

    assert result.breaks == ()
    assert ours.position("AAPL") == 40
    assert ours.orders["mqd-a"].state.value == "canceled"


def test_an_order_is_not_ended_before_its_executions_are_known() -> None:
    """Activities lag: the broker says filled, lists no execution; the order stays working until it does."""
    ours = acknowledged()

    result = settled(ours, snapshot(stated("mqd-a", "canceled", filled_qty="40"), cash="0"))

    assert ours.orders["mqd-a"].is_working
    assert result.breaks == ()


def test_a_position_nothing_explains_is_a_break_and_adjusted_once_accepted() -> None:
    """The break names both numbers; acceptance adjusts the books without any execution."""
    ours = Portfolio(opened_at=NOON)
    theirs = snapshot(positions=(position("AAPL", "12", "50"),))

    (found,) = settled(ours, theirs).breaks
    ours.apply(ev.BreakFound(at=NOON, session_date=DAY, found=found))
    ours.apply(ev.BreakResolved(at=NOON, break_id=found.break_id, how="accepted", by="me", cause="split"))
    result = settled(ours, theirs)

    assert (found.kind, found.ours, found.theirs, found.notional_usd) == (BreakKind.POSITION, 0, 12, 600)
    assert result.breaks == ()
    assert ours.holdings()[(EXTERNAL, "AAPL")].qty == 12


def test_accepting_one_difference_does_not_accept_the_next() -> None:
    """A break's id holds its numbers: 12 accepted says nothing of 13."""
    ours = Portfolio(opened_at=NOON)
    (found,) = settled(ours, snapshot(positions=(position("AAPL", "12"),))).breaks
    ours.apply(ev.BreakResolved(at=NOON, break_id=found.break_id, how="accepted", by="me", cause=""))

    result = settled(ours, snapshot(positions=(position("AAPL", "13"),)))

    assert [item.theirs for item in result.breaks] == [13]


def test_t3_an_acceptance_is_used_once() -> None:
    """Shares and cash moved twice in the same amounts are asked about twice (T3)."""
    ours = Portfolio(opened_at=NOON)
    for qty, cash in (("3", "500"), ("0", "0")):
        held = (position("AAPL", qty),) if qty != "0" else ()
        for found in settled(ours, snapshot(positions=held, cash=cash)).breaks:
            ours.apply(ev.BreakFound(at=NOON, session_date=DAY, found=found))
            ours.apply(
                ev.BreakResolved(at=NOON, break_id=found.break_id, how="accepted", by="me", cause="moved")
            )
        assert settled(ours, snapshot(positions=held, cash=cash)).breaks == ()
        assert (ours.position("AAPL"), ours.cash) == (Decimal(qty), Decimal(cash))

    again = settled(ours, snapshot(positions=(position("AAPL", "3"),), cash="500"))

    assert {item.kind for item in again.breaks} == {BreakKind.POSITION, BreakKind.CASH}
    assert ours.locked_symbols() == frozenset()


def test_foreign_orders_shadows_overfills_and_cash_are_breaks() -> None:
    """Each way the books can differ has its kind, its key and its size."""
    shadow, over = intent("mqd-s", qty="10"), intent("mqd-o", qty="10")
    ours = replay(
        [
            ev.AccountOpened(at=NOON, cash=Decimal(1200)),
            planned(shadow),
            ev.OrderAcknowledged(at=NOON, client_order_id="mqd-s", broker_order_id="b-mqd-s"),
            planned(over),
            filled(over, "x1", "10"),
            filled(over, "x2", "2"),
        ]
    )
    foreign = stated("by-hand", "new", qty="3")

    result = settled(ours, snapshot(foreign, positions=(position("AAPL", "12"),), cash="100"))

    kinds = {item.kind: item for item in result.breaks}
    assert set(kinds) == {
        BreakKind.FOREIGN_ORDER,
        BreakKind.SHADOW_ORDER,
        BreakKind.OVERFILL,
        BreakKind.CASH,
    }
    assert kinds[BreakKind.FOREIGN_ORDER].notional_usd == 300
    assert kinds[BreakKind.SHADOW_ORDER].key == "mqd-s"
    assert (kinds[BreakKind.OVERFILL].ours, kinds[BreakKind.OVERFILL].theirs) == (10, 12)
    assert kinds[BreakKind.CASH].notional_usd == 100


def test_cash_within_the_tolerance_is_no_break() -> None:
    """Rounding of fees to the cent by the broker is not a mismatch."""
    ours = Portfolio(opened_at=NOON, cash=Decimal("100.04"))

    assert compare(ours, snapshot(cash="100.00")).breaks == ()
    assert compare(ours, snapshot(cash="99.98")).breaks[0].kind is BreakKind.CASH


def test_an_open_foreign_fill_explains_its_part_of_position_and_cash() -> None:
    """One hand-made trade is one break, not three."""
    ours = Portfolio(opened_at=NOON, cash=Decimal(1000))
    theirs = snapshot(positions=(position("AAPL", "3"),), fills=(execution("by-hand", "3"),), cash="700")

    result = settled(ours, theirs)

    assert [item.kind for item in result.breaks] == [BreakKind.FOREIGN_FILL]
    assert result.breaks[0].key == "AAPL"


def test_reconcile_changes_nothing_by_itself() -> None:
    """It decides; somebody else acts."""
    ours = acknowledged()
    before = ours.state_hash()

    compare(ours, snapshot(stated("mqd-a", "canceled"), positions=(position("MSFT", "1"),)))

    assert ours.state_hash() == before


def test_an_unanswered_order_is_no_shadow() -> None:
    """UNKNOWN has its own way to end; its absence at the broker is not held against the books."""
    ours = replay([planned(intent()), ev.OrderOutcomeLost(at=NOON, client_order_id="mqd-a", cause="504")])

    assert compare(ours, snapshot()).breaks == ()


def test_an_accepted_shadow_ends_the_order() -> None:
    """A person says that the broker is right: the order is not working any more."""
    order = intent("mqd-s", qty="10")
    ours = replay(
        [
            ev.AccountOpened(at=NOON, cash=Decimal(0)),
            planned(order),
            ev.OrderAcknowledged(at=NOON, client_order_id="mqd-s", broker_order_id="b-mqd-s"),
        ]
    )
    (found,) = settled(ours, snapshot()).breaks
    ours.apply(ev.BreakResolved(at=NOON, break_id=found.break_id, how="accepted", by="me", cause="gone"))

    result = settled(ours, snapshot())

    assert result.breaks == ()
    assert ours.orders["mqd-s"].state.value == "canceled"

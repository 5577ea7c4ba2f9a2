"""Compare our books with the broker's: repairs where evidence explains, breaks where nothing does.

Theory of operation. `reconcile` is pure and works on a portfolio that the caller brought up to date.
It goes from what explains most to what explains least:

1. Executions of our orders that we missed are booked; then order statuses are brought level.
2. Executions of orders that are not ours: a set that leaves the symbol flat is a round trip a person
   made and undid: booked to EXTERNAL. Otherwise it is one break per symbol, until a person accepts it,
   and then it is booked the same way.
   What EXTERNAL then holds against a strategy in the same symbol is moved to the strategy, at the price
   it was executed at: the broker knows one position, so a person's sale closed the strategy's shares.
   A quantity that a known split explains is adjusted by its ratio (desk/splits.py).
3. Quantities that still differ, orders (desk/order_breaks.py), and cash: breaks. An accepted position or cash
   break is adjusted in the books. Nothing here ever trades (I9).

A break's id is a function of what differs, so the same break found twice is one, and acceptance of one
difference does not accept another. `first_seen` books (an empty ledger) take the broker's as opening
balance. Repairs of round 1 change the books, so the caller applies them and asks again: `reconcile`
says with `settled` whether its breaks are final.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from desk.fees import ALPACA_FEES, FeeSchedule
from desk.order_breaks import break_of, order_breaks, overfills
from desk.portfolio import EXTERNAL, Portfolio
from desk.positions import ZERO
from desk.splits import split_repairs
from desk.tracker import by_broker_id, external_fill, fill_event, legs_ending, order_of, status_events
from schemas.account import BrokerSnapshot, Split
from schemas.events import (
    AccountOpened,
    AnyEvent,
    CashAdjusted,
    FillRecorded,
    FillSource,
    OrderCanceled,
    PositionAdjusted,
)
from schemas.risk import Break, BreakKind, RiskLimits


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What to record, and what nobody can explain.

    When `repairs` is not empty, record them and reconcile again: `breaks` are final only when `settled`.
    """

    repairs: tuple[AnyEvent, ...]
    breaks: tuple[Break, ...]

    @property
    def settled(self) -> bool:
        """Tell whether there is nothing left to repair."""
        return not self.repairs


def reconcile(
    ours: Portfolio,
    theirs: BrokerSnapshot,
    *,
    limits: RiskLimits,
    session_date_at: Callable[[datetime], date],
    now: datetime,
    first_seen: bool = False,
    splits: Sequence[Split] = (),
    fees: FeeSchedule = ALPACA_FEES,
) -> Reconciliation:
    """Give repairs, or when there are none, the breaks.

    Args:
        ours: our books; not changed.
        theirs: the broker's, with every order and execution since the last closed day.
        limits: the cash tolerance.
        session_date_at: the session an instant belongs to.
        now: the instant the events get.
        first_seen: the ledger knows no earlier state, so positions and cash are opening balances.
        splits: share splits that may have been since our books were last equal.
        fees: what an execution costs.
    """
    if first_seen:
        return Reconciliation(_opening(ours, theirs, now), ())
    repairs = _missed_fills(ours, theirs, session_date_at, now, fees)
    if repairs:
        return Reconciliation(repairs, ())
    repairs = tuple(event for stated in theirs.orders for event in status_events(ours, stated, now=now)[:1])
    repairs += _ended_with_legs(ours, theirs, now)
    if repairs:
        return Reconciliation(repairs, ())
    foreign = _foreign_fills(ours, theirs, session_date_at, now)
    fill_breaks = _foreign_fill_breaks(ours, theirs, foreign, now)
    open_breaks = {item.key for item in fill_breaks if item.break_id not in ours.accepted_breaks}
    repairs = tuple(e for symbol, fills in foreign.items() if symbol not in open_breaks for e in fills)
    if repairs:
        return Reconciliation(repairs, ())
    repairs = _offsets(ours, now)
    if repairs:
        return Reconciliation(repairs, ())
    untouched = [each for each in splits if each.symbol not in foreign]
    repairs = split_repairs(ours, theirs, untouched, now=now)
    if repairs:
        return Reconciliation(repairs, ())
    return _differences(
        ours, theirs, tuple(b for b in fill_breaks if b.key in open_breaks), foreign, limits, now
    )


def _opening(ours: Portfolio, theirs: BrokerSnapshot, now: datetime) -> tuple[AnyEvent, ...]:
    events: list[AnyEvent] = []
    for stated in theirs.positions:
        change = stated.qty - ours.position(stated.symbol)
        if change != 0:
            events.append(
                PositionAdjusted(
                    at=now,
                    strategy=EXTERNAL,
                    symbol=stated.symbol,
                    qty_change=change,
                    price=stated.avg_entry_price,
                    cause="opening balance",
                )
            )
    events.append(
        AccountOpened(
            at=now,
            cash=theirs.account.cash - theirs.account.accrued_fees,
            executions=tuple(stated.execution_id for stated in theirs.fills),
        )
    )
    return tuple(events)


def _missed_fills(
    ours: Portfolio,
    theirs: BrokerSnapshot,
    session_date_at: Callable[[datetime], date],
    now: datetime,
    fees: FeeSchedule,
) -> tuple[AnyEvent, ...]:
    events = (
        fill_event(
            ours,
            stated,
            session_date=session_date_at(stated.filled_at),
            source=FillSource.REST,
            now=now,
            fees=fees,
        )
        for stated in theirs.fills
    )
    return tuple(event for event in events if event is not None)


def _ended_with_legs(ours: Portfolio, theirs: BrokerSnapshot, now: datetime) -> tuple[AnyEvent, ...]:
    statements = by_broker_id(theirs.orders)
    ended = (legs_ending(o, statements, now=now) for o in ours.working_orders() if o.has_legs)
    return tuple(event for event in ended if event is not None)


_Foreign = dict[str, list[FillRecorded]]  # by symbol: executions of orders that are not ours, not booked


def _foreign_fills(
    ours: Portfolio, theirs: BrokerSnapshot, session_date_at: Callable[[datetime], date], now: datetime
) -> _Foreign:
    foreign: _Foreign = {}
    for stated in theirs.fills:
        if order_of(ours, broker_order_id=stated.broker_order_id, client_order_id=stated.client_order_id):
            continue
        event = external_fill(stated, session_date=session_date_at(stated.filled_at), now=now)
        if not ours.has_execution(event.fill):
            foreign.setdefault(stated.symbol, []).append(event)
    return foreign


def _offsets(ours: Portfolio, now: datetime) -> tuple[AnyEvent, ...]:
    """Give the moves that leave no symbol in which EXTERNAL and a strategy hold against each other.

    Each is a pair of adjustments that belong together, so record all at once. Neither a symbol's
    quantity nor cash changes.
    """
    holdings = ours.holdings()
    by_hand = {symbol: position for (name, symbol), position in holdings.items() if name == EXTERNAL}
    left = {symbol: position.qty for symbol, position in by_hand.items()}
    events: list[AnyEvent] = []
    for (strategy, symbol), position in sorted(holdings.items()):
        if strategy == EXTERNAL or position.qty * left.get(symbol, ZERO) >= 0:
            continue
        moved = min(abs(position.qty), abs(left[symbol])) * (1 if left[symbol] > 0 else -1)
        left[symbol] -= moved
        events += [
            PositionAdjusted(
                at=now,
                strategy=name,
                symbol=symbol,
                qty_change=qty,
                price=by_hand[symbol].avg_price,
                cause=f"traded by hand against {strategy}",
            )
            for name, qty in ((strategy, moved), (EXTERNAL, -moved))
        ]
    return tuple(events)


def _signed(fills: Iterable[FillRecorded]) -> Decimal:
    return sum((e.fill.qty * e.fill.side.sign for e in fills), ZERO)


def _foreign_fill_breaks(
    ours: Portfolio, theirs: BrokerSnapshot, foreign: _Foreign, now: datetime
) -> tuple[Break, ...]:
    stated_qty = {p.symbol: p.qty for p in theirs.positions}
    breaks = []
    for symbol, fills in sorted(foreign.items()):
        net = _signed(fills)
        if net == 0:
            continue
        words = ", ".join(f"{e.fill.side.value} {e.fill.qty} at {e.fill.price}" for e in fills)
        breaks.append(
            break_of(
                BreakKind.FOREIGN_FILL,
                key=symbol,
                ours=ours.position(symbol),
                theirs=stated_qty.get(symbol, ZERO),
                notional=abs(sum((e.fill.qty * e.fill.side.sign * e.fill.price for e in fills), ZERO)),
                detail=f"{symbol}: traded by hand or by another program, not by this desk: {words}",
                identity=" ".join(sorted(e.fill.execution_id for e in fills)),
                now=now,
            )
        )
    return tuple(breaks)


def _differences(
    ours: Portfolio,
    theirs: BrokerSnapshot,
    found: tuple[Break, ...],
    foreign: _Foreign,
    limits: RiskLimits,
    now: datetime,
) -> Reconciliation:
    """Compare what is left once every execution is booked or part of an open break."""
    breaks = list(found)
    repairs: list[AnyEvent] = []
    for item, repair in _position_differences(ours, theirs, foreign, now):
        if item.break_id in ours.accepted_breaks:
            repairs.append(repair)
        else:
            breaks.append(item)
    cash = _cash_difference(ours, theirs, foreign, limits, now)
    if cash is not None and cash.break_id in ours.accepted_breaks:
        repairs.append(
            CashAdjusted(
                at=now,
                amount=cash.theirs - cash.ours,
                cause=f"accepted {cash.break_id}",
                settles=cash.break_id,
            )
        )
    elif cash is not None:
        breaks.append(cash)
    orders = (*order_breaks(ours, theirs, now), *overfills(ours, now))
    repairs += [
        OrderCanceled(at=now, client_order_id=item.key)
        for item in orders
        if item.kind is BreakKind.SHADOW_ORDER and item.break_id in ours.accepted_breaks
    ]
    breaks += [item for item in orders if item.break_id not in ours.accepted_breaks]
    return Reconciliation(tuple(repairs), tuple(breaks) if not repairs else ())


def _position_differences(
    ours: Portfolio, theirs: BrokerSnapshot, foreign: _Foreign, now: datetime
) -> list[tuple[Break, AnyEvent]]:
    stated = {p.symbol: p for p in theirs.positions}
    result: list[tuple[Break, AnyEvent]] = []
    for symbol in sorted(set(stated) | set(ours.held_symbols())):
        mine = ours.position(symbol)
        explained = mine + _signed(foreign.get(symbol, ()))
        broker_qty = stated[symbol].qty if symbol in stated else ZERO
        if broker_qty == explained:
            continue
        price = _price_of(ours, theirs, symbol)
        item = break_of(
            BreakKind.POSITION,
            key=symbol,
            ours=mine,
            theirs=broker_qty,
            notional=abs(broker_qty - explained) * price,
            detail=f"{symbol}: we hold {explained}, the broker says {broker_qty}, no execution explains it",
            identity=f"{explained}>{broker_qty}",
            now=now,
        )
        repair = PositionAdjusted(
            at=now,
            strategy=EXTERNAL,
            symbol=symbol,
            qty_change=broker_qty - explained,
            price=price,
            cause=f"accepted {item.break_id}",
            settles=item.break_id,
        )
        result.append((item, repair))
    return result


def _price_of(ours: Portfolio, theirs: BrokerSnapshot, symbol: str) -> Decimal:
    for stated in theirs.positions:
        if stated.symbol == symbol:
            return stated.current_price if stated.current_price is not None else stated.avg_entry_price
    prices = [p.avg_price for (_, name), p in ours.holdings().items() if name == symbol]
    return prices[0] if prices else ZERO


def _cash_difference(
    ours: Portfolio,
    theirs: BrokerSnapshot,
    foreign: _Foreign,
    limits: RiskLimits,
    now: datetime,
) -> Break | None:
    """Compare cash net of fees owed; open foreign executions explain their part."""
    mine = ours.cash
    for fills in foreign.values():
        for event in fills:
            mine -= event.fill.qty * event.fill.side.sign * event.fill.price + event.fill.fee
    broker_cash = theirs.account.cash - theirs.account.accrued_fees
    difference = abs(broker_cash - mine)
    if difference <= limits.cash_tolerance_usd:
        return None
    return break_of(
        BreakKind.CASH,
        key="USD",
        ours=mine,
        theirs=broker_cash,
        notional=difference,
        detail=f"cash: we have {mine:.2f} USD, the broker says {broker_cash:.2f} USD",
        identity=f"{broker_cash - mine:.2f}",
        now=now,
    )

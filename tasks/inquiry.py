"""Answers about the desk from its ledger: status, positions, orders, events, breaks.

A question takes no lease and writes nothing, so it may be asked while a session runs. Every answer is
a fold of the events read at that moment; amounts are USD, instants UTC.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from desk.exposure import order_price
from desk.hours import NEW_YORK
from desk.notice_words import alert_words
from desk.portfolio import Order, Portfolio
from desk.prober import next_probe_at, unknown_since
from schemas.events import EVENTS, AnyEvent, MinuteClosed, SessionEnded, SessionStarted, StreamChanged
from schemas.orders import OrderState
from schemas.risk import Break, Latch, Pause, TradingState

ZERO = Decimal(0)
FACTS_SHOWN = 6  # of an event without words of its own: what fits a line


@dataclass(frozen=True, slots=True)
class PositionLine:
    """A strategy's position in a symbol; unrealized P&L at the last minute's mark, None without one."""

    strategy: str
    symbol: str
    qty: Decimal  # signed
    avg_price: Decimal
    mark: Decimal | None
    unrealized: Decimal | None
    realized_today: Decimal  # before fees
    fees_today: Decimal


@dataclass(frozen=True, slots=True)
class OrderRow:
    """An order of ours as it stands."""

    client_order_id: str
    session_date: date
    planned_at: datetime
    strategy: str
    symbol: str
    side: str
    purpose: str
    qty: Decimal
    filled_qty: Decimal
    average_price: Decimal | None  # None: nothing filled
    limit_price: Decimal | None
    state: OrderState
    note: str  # the reject's or lost answer's words
    reserved_usd: Decimal  # what may still execute, at the order's price: counted against every limit
    unanswered_since: datetime | None  # its answer is missing since then; None: it is answered
    unanswered_s: float | None  # its age then, at the newest event
    next_probe_at: datetime | None  # when the broker is asked about it again
    cancel_asked_at: datetime | None  # of the first cancel, while the order still works

    @property
    def words(self) -> str:
        """Say what is missing of it, and the broker's words."""
        said = []
        if self.unanswered_s is not None:
            said.append(f"no answer for {_age(self.unanswered_s)}, {self.reserved_usd:,.2f} USD reserved")
        if self.cancel_asked_at is not None:
            said.append("its cancel is not carried out")
        return "; ".join([*said, self.note] if self.note else said)


@dataclass(frozen=True, slots=True)
class LogLine:
    """An event in one line."""

    seq: int
    at: datetime
    kind: str
    words: str


@dataclass(frozen=True, slots=True)
class Standing:
    """How the desk stands by its ledger."""

    last_seq: int
    last_at: datetime | None  # None: an empty ledger
    trading_state: TradingState
    latches: tuple[Latch, ...]
    pauses: tuple[Pause, ...]  # not over at the newest event
    breaks: tuple[Break, ...]
    session_date: date | None
    session_open: bool
    run_id: str | None
    equity: Decimal | None  # at the newest minute, else the session's start
    day_pnl: Decimal | None  # realized + unrealized - fees, by the newest minute
    realized: Decimal
    unrealized: Decimal | None
    fees: Decimal
    cash: Decimal
    newest_minute: datetime | None  # left edge of the newest minute done
    orders_today: int
    denied_today: int
    fills_today: int
    positions: tuple[PositionLine, ...]
    working: tuple[OrderRow, ...]
    pending_notices: int
    requests: int | None  # to the broker in the newest minute; None when nobody counts
    stream_lost_at: datetime | None  # None: the user stream is heard, as far as the ledger knows

    @property
    def unanswered(self) -> tuple[OrderRow, ...]:
        """Give the orders whose answer is missing, oldest first."""
        return tuple(row for row in self.working if row.unanswered_since is not None)


def standing(events: Iterable[tuple[int, AnyEvent]]) -> Standing:
    """Fold the ledger into the desk's standing."""
    portfolio, run_id, last_seq, last_at, lost_at = Portfolio(), None, 0, None, None
    for seq, event in events:
        portfolio.apply(event)
        last_seq, last_at = seq, event.at
        if isinstance(event, SessionStarted):
            run_id, lost_at = event.run_id, None
        if isinstance(event, StreamChanged):
            lost_at = None if event.is_up else event.at
    minute = portfolio.minute
    started = portfolio.session_date is not None
    return Standing(
        last_seq=last_seq,
        last_at=last_at,
        trading_state=portfolio.trading_state,
        latches=tuple(portfolio.latches.values()),
        pauses=tuple(p for p in portfolio.risk.pauses.values() if last_at is None or p.until > last_at),
        breaks=tuple(portfolio.breaks.values()),
        session_date=portfolio.session_date,
        session_open=portfolio.session_open,
        run_id=run_id,
        equity=minute.equity if minute is not None else portfolio.equity_start if started else None,
        day_pnl=None if minute is None else minute.realized_pnl + minute.unrealized_pnl - minute.fees,
        realized=portfolio.realized_pnl(),
        unrealized=None if minute is None else minute.unrealized_pnl,
        fees=portfolio.fees(),
        cash=portfolio.cash,
        newest_minute=None if minute is None else minute.bar_ts,
        orders_today=portfolio.orders_today,
        denied_today=portfolio.denied_today,
        fills_today=portfolio.fills_today,
        positions=_positions(portfolio),
        working=tuple(_order_row(order, last_at) for order in portfolio.working_orders()),
        pending_notices=len(portfolio.pending_notices),
        requests=None if minute is None else minute.requests,
        stream_lost_at=lost_at,
    )


def _positions(portfolio: Portfolio) -> tuple[PositionLine, ...]:
    minute = portfolio.minute
    marks = {} if minute is None else {mark.symbol: mark.price for mark in minute.marks}
    lines = []
    for (strategy, symbol), position in sorted(portfolio.holdings().items()):
        mark = marks.get(symbol)
        lines.append(
            PositionLine(
                strategy=strategy,
                symbol=symbol,
                qty=position.qty,
                avg_price=position.avg_price,
                mark=mark,
                unrealized=None if mark is None else (mark - position.avg_price) * position.qty,
                realized_today=position.realized_pnl,
                fees_today=position.fees,
            )
        )
    return tuple(lines)


def order_rows(
    events: Iterable[tuple[int, AnyEvent]],
    *,
    session_date: date | None = None,
    symbol: str | None = None,
    state: OrderState | None = None,
) -> tuple[OrderRow, ...]:
    """Give the orders of a session date, oldest first.

    Args:
        events: the ledger.
        session_date: whose orders; None for the newest session's.
        symbol: only this symbol's.
        state: only those in this state.
    """
    portfolio, last_at = Portfolio(), None
    for _, event in events:
        portfolio.apply(event)
        last_at = event.at
    day = session_date if session_date is not None else portfolio.session_date
    rows = (_order_row(order, last_at) for order in portfolio.orders.values())
    return tuple(
        row
        for row in rows
        if row.session_date == day
        and (symbol is None or row.symbol == symbol)
        and (state is None or row.state is state)
    )


def _order_row(order: Order, last_at: datetime | None) -> OrderRow:
    intent = order.intent
    since = unknown_since(order)
    price = max(order_price(intent), intent.reference_price)
    return OrderRow(
        client_order_id=intent.client_order_id,
        session_date=intent.session_date,
        planned_at=order.planned_at,
        strategy=intent.strategy,
        symbol=intent.symbol,
        side=intent.side.value,
        purpose=intent.purpose.value,
        qty=intent.qty,
        filled_qty=order.filled_qty,
        average_price=None if order.filled_qty == 0 else order.filled_notional / order.filled_qty,
        limit_price=intent.limit_price,
        state=order.state,
        note=order.message,
        reserved_usd=order.remaining_qty * price,
        unanswered_since=since,
        unanswered_s=None if since is None or last_at is None else (last_at - since).total_seconds(),
        next_probe_at=next_probe_at(order),
        cancel_asked_at=order.cancel_asked_at if order.is_working else None,
    )


def _age(seconds: float) -> str:
    """Give a length of time as people say it."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def log_lines(
    events: Iterable[tuple[int, AnyEvent]], *, kinds: frozenset[str] = frozenset()
) -> list[LogLine]:
    """Give events as lines, all kinds or only those named."""
    return [
        LogLine(seq=seq, at=event.at, kind=event.kind, words=words_of(event))
        for seq, event in events
        if not kinds or event.kind in kinds
    ]


def event_kinds() -> tuple[str, ...]:
    """Give the kinds of events there are, sorted."""
    schema = EVENTS.json_schema()
    return tuple(sorted(schema["discriminator"]["mapping"]))


def words_of(event: AnyEvent) -> str:
    """Say an event in one line."""
    alert = alert_words(event)
    if alert is not None:
        return alert[1]
    match event:
        case MinuteClosed():
            minute = event.bar_ts.astimezone(NEW_YORK)
            return f"{minute:%H:%M} equity {event.equity:,.2f}, gross {event.gross:,.2f}"
        case SessionStarted():
            return f"{event.session_date} by run {event.run_id}: {', '.join(event.symbols)}"
        case SessionEnded():
            return f"{event.session_date} {event.cause}; state {event.state_hash[:12]} at {event.state_seq}"
        case _:
            return _facts(event)


def _facts(event: AnyEvent) -> str:
    """Give the telling fields of an event: of an intent or a fill, its own."""
    facts = event.model_dump(mode="json", exclude={"at", "kind"}, exclude_none=True)
    inner = facts.pop("denial", None) or facts.pop("intent", None) or facts.pop("fill", None) or {}
    facts.pop("intent", None)
    facts.pop("approval", None)
    if "message" in inner:
        return str(inner["message"])
    if "side" in inner:
        price = inner.get("limit_price") or inner.get("price")
        at = "" if price is None else f" at {price}"
        return f"{inner['symbol']} {inner['side']} {inner['qty']}{at} {inner['client_order_id']}"
    shown = list(facts.items())[:FACTS_SHOWN]
    return " ".join(f"{name}={value}" for name, value in shown)

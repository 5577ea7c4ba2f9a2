"""The day's report, folded from the ledger.

Theory of operation. One pass over the events keeps two books: `Portfolio`, which is the desk's own
fold and knows what became of each order, and the executions of the date, from which `metrics`
attributes P&L a second time. What carries a session date (intents, fills, minutes, breaks) belongs to
that date whenever it was learned; what does not (latches, states, adjustments) belongs to the New York
day of its instant. So a report of a past date is the same report however often it is made, and a fill
learned late is in it.

Left out: bars. Data quality comes from the warehouse (`desk.quality`) and is handed in.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal

from desk import metrics
from desk.hours import new_york
from desk.notice_words import alert_words
from desk.portfolio import Order, Portfolio
from schemas.events import (
    AnyEvent,
    BreakFound,
    BreakResolved,
    CashAdjusted,
    DayClosed,
    FillRecorded,
    IntentDenied,
    KillVerified,
    LatchReleased,
    LatchSet,
    MinuteClosed,
    OrderOutcomeLost,
    PositionAdjusted,
    SessionEnded,
    SessionStarted,
    TradingStateChanged,
)
from schemas.orders import Fill, Side
from schemas.report import (
    BreakLine,
    DataQuality,
    DayReport,
    DenialLine,
    EquityPoint,
    FillLine,
    Headline,
    Incident,
    Link,
    OrderLine,
    PnlLine,
    SessionLine,
)
from schemas.settings import Mode

ZERO = Decimal(0)

_INCIDENTS = {
    TradingStateChanged: "trading state",
    LatchSet: "latch",
    LatchReleased: "latch released",
    KillVerified: "kill switch",
    PositionAdjusted: "books adjusted",
    CashAdjusted: "books adjusted",
    OrderOutcomeLost: "unknown outcome",
}


class Day:
    """What one session date left in the ledger; fed in the ledger's order."""

    def __init__(self, session_date: date) -> None:
        self.session_date = session_date
        self.portfolio = Portfolio()
        self.minutes: list[MinuteClosed] = []
        self.fills: list[Fill] = []
        self.trades: list[metrics.Trade] = []
        self.earlier: list[metrics.Trade] = []
        self.denials: dict[tuple[str, str, str], DenialLine] = {}
        self.breaks: dict[str, BreakLine] = {}
        self.sessions: dict[str, SessionLine] = {}
        self.incidents: list[Incident] = []
        self.closed: DayClosed | None = None

    def apply(self, event: AnyEvent) -> None:
        """Fold one event.

        Raises:
            IllegalTransition: the events are not a ledger this desk wrote.
        """
        if isinstance(event, FillRecorded) and not self.portfolio.has_execution(event.fill):
            self._filled(event.fill)
        self.portfolio.apply(event)
        match event:
            case SessionStarted(session_date=self.session_date):
                self._started(event)
            case SessionEnded(session_date=self.session_date):
                self._ended(event)
            case MinuteClosed(session_date=self.session_date):
                self.minutes.append(event)
            case DayClosed(session_date=self.session_date):
                self.closed = event
            case IntentDenied() if event.intent.session_date == self.session_date:
                self._denied(event)
            case BreakFound(session_date=self.session_date):
                self._broke(event)
            case BreakResolved():
                self._resolved(event)
            case PositionAdjusted():
                self._adjusted(event)
            case _:
                self._incident(event)

    def _filled(self, fill: Fill) -> None:
        trade = metrics.Trade(
            strategy=fill.strategy,
            symbol=fill.symbol,
            side=fill.side,
            qty=fill.qty,
            price=fill.price,
            fee=fill.fee,
        )
        if fill.session_date == self.session_date:
            self.fills.append(fill)
            self.trades.append(trade)
        elif fill.session_date < self.session_date:
            self.earlier.append(trade)

    def _adjusted(self, event: PositionAdjusted) -> None:
        """Take an adjustment as the execution the books pretend it was."""
        day = new_york(event.at).date()
        trade = metrics.Trade(
            strategy=event.strategy,
            symbol=event.symbol,
            side=Side.BUY if event.qty_change > 0 else Side.SELL,
            qty=abs(event.qty_change),
            price=event.price,
        )
        if day == self.session_date and trade.qty != 0:
            self.trades.append(trade)
        elif day < self.session_date and trade.qty != 0:
            self.earlier.append(trade)
        self._incident(event)

    def _started(self, event: SessionStarted) -> None:
        self.sessions[event.run_id] = SessionLine(
            run_id=event.run_id,
            started_at=event.at,
            ended_at=None,
            cause="",
            strategies=event.strategies,
            symbols=event.symbols,
            equity=event.equity,
        )

    def _ended(self, event: SessionEnded) -> None:
        line = self.sessions.get(event.run_id)
        if line is not None:
            self.sessions[event.run_id] = line.model_copy(update={"ended_at": event.at, "cause": event.cause})

    def _denied(self, event: IntentDenied) -> None:
        denial, intent = event.denial, event.intent
        key = (denial.reason.value, intent.strategy, intent.symbol)
        before = self.denials.get(key)
        self.denials[key] = DenialLine(
            reason=denial.reason.value,
            strategy=intent.strategy,
            symbol=intent.symbol,
            count=1 if before is None else before.count + 1,
            first_at=event.at if before is None else before.first_at,
            last_at=event.at,
            example=denial.message,
        )

    def _broke(self, event: BreakFound) -> None:
        found = event.found
        known = self.breaks.get(found.break_id)
        self.breaks[found.break_id] = BreakLine(
            break_id=found.break_id,
            kind=found.kind,
            key=found.key,
            ours=found.ours,
            theirs=found.theirs,
            notional_usd=found.notional_usd,
            detail=found.detail,
            found_at=known.found_at if known is not None else found.found_at,
            resolved=None,
        )

    def _resolved(self, event: BreakResolved) -> None:
        line = self.breaks.get(event.break_id)
        if line is not None:
            words = f"{event.how} by {event.by}: {event.cause}"
            self.breaks[event.break_id] = line.model_copy(update={"resolved": words})

    def _incident(self, event: AnyEvent) -> None:
        what = _INCIDENTS.get(type(event))
        words = alert_words(event)
        if what is None or words is None or new_york(event.at).date() != self.session_date:
            return
        name = event.name if isinstance(event, LatchSet | LatchReleased) else None
        self.incidents.append(Incident(at=event.at, what=what, detail=words[1], latch=name))


def day_report(
    events: Iterable[AnyEvent],
    *,
    session_date: date,
    account: str,
    mode: Mode,
    data: DataQuality,
    links: Sequence[Link] = (),
) -> DayReport:
    """Fold the ledger into one date's report; a date of which it knows nothing gives an empty one.

    Args:
        events: the whole ledger, in order; what comes after the date decides only how its orders
            and breaks ended.
        session_date: the date reported.
        account: the account's name, as people call it.
        mode: paper or live.
        data: what `desk.quality` found in the bars.
        links: where to look further.

    Raises:
        IllegalTransition: the events are not a ledger this desk wrote.
    """
    day = Day(session_date)
    for event in events:
        day.apply(event)
    equity = _equity(day)
    orders = [order for order in day.portfolio.orders.values() if order.intent.session_date == session_date]
    fills = tuple(_fill_line(fill, day.portfolio.orders.get(fill.client_order_id)) for fill in day.fills)
    book = metrics.attribute_pnl(day.trades, metrics.attribute_pnl(day.earlier))
    marks = {mark.symbol: mark.price for mark in day.minutes[-1].marks} if day.minutes else {}
    pnl = tuple(_pnl_line(line, marks) for line in book)
    results = [result for line in book for result in line.results]
    return DayReport(
        session_date=session_date,
        account=account,
        mode=mode,
        closed=day.closed is not None and all(line.resolved is not None for line in day.breaks.values()),
        headline=_headline(day, equity=equity, pnl=pnl, fills=fills, results=results, orders=len(orders)),
        equity=equity,
        pnl=pnl,
        orders=tuple(_order_line(order) for order in orders),
        fills=fills,
        denials=tuple(sorted(day.denials.values(), key=lambda line: (-line.count, line.reason, line.symbol))),
        data=data,
        breaks=tuple(day.breaks.values()),
        sessions=tuple(day.sessions.values()),
        incidents=tuple(day.incidents),
        links=tuple(links),
    )


def _equity(day: Day) -> tuple[EquityPoint, ...]:
    """Give the curve: the broker's equity at the first start, then each minute's close, once."""
    curve: dict[datetime, Decimal] = {}
    for session in list(day.sessions.values())[:1]:
        curve[session.started_at] = session.equity
    for minute in day.minutes:
        curve[minute.at] = minute.equity
    instants = sorted(curve)
    falls = metrics.drawdowns([curve[at] for at in instants])
    return tuple(
        EquityPoint(at=at, equity=curve[at], drawdown_usd=fall)
        for at, fall in zip(instants, falls, strict=True)
    )


def _headline(
    day: Day,
    *,
    equity: Sequence[EquityPoint],
    pnl: Sequence[PnlLine],
    fills: Sequence[FillLine],
    results: Sequence[Decimal],
    orders: int,
) -> Headline:
    values = [point.equity for point in equity]
    open_pnl = [line.unrealized for line in pnl]
    end = values[-1] if values else None
    known = [each for each in fills if each.reference_price is not None and each.slippage_usd is not None]
    return Headline(
        equity_start=values[0] if values else None,
        equity_end=day.closed.equity if day.closed is not None else end,
        realized=sum((line.realized for line in pnl), ZERO),
        unrealized=None if None in open_pnl else sum((each for each in open_pnl if each is not None), ZERO),
        fees=sum((line.fees for line in pnl), ZERO),
        max_drawdown_usd=metrics.max_drawdown_usd(values),
        max_drawdown_frac=metrics.max_drawdown_frac(values),
        round_trips=len(results),
        win_rate_frac=metrics.win_rate_frac(
            wins=sum(1 for result in results if result > 0), round_trips=len(results)
        ),
        profit_factor=metrics.profit_factor(results),
        slippage_bps=metrics.weighted_slippage_bps(
            (each.slippage_usd or ZERO, (each.reference_price or ZERO) * each.qty) for each in known
        ),
        slippage_usd=sum((each.slippage_usd or ZERO for each in known), ZERO) if known else None,
        orders=orders,
        fills=len(fills),
        denials=sum(line.count for line in day.denials.values()),
    )


def _pnl_line(line: metrics.Attribution, marks: dict[str, Decimal]) -> PnlLine:
    position = line.position
    mark = marks.get(line.symbol)
    if position.qty == 0:
        unrealized: Decimal | None = ZERO
    else:
        unrealized = None if mark is None else position.unrealized_pnl(mark)
    return PnlLine(
        strategy=line.strategy,
        symbol=line.symbol,
        realized=position.realized_pnl,
        unrealized=unrealized,
        fees=position.fees,
        round_trips=len(line.results),
        wins=line.wins,
        qty_bought=line.qty_bought,
        qty_sold=line.qty_sold,
        notional=line.notional,
        position=position.qty,
    )


def _order_line(order: Order) -> OrderLine:
    intent = order.intent
    return OrderLine(
        client_order_id=intent.client_order_id,
        strategy=intent.strategy,
        symbol=intent.symbol,
        side=intent.side,
        purpose=intent.purpose,
        qty=intent.qty,
        order_type=intent.order_type,
        limit_price=intent.limit_price,
        stop_price=intent.stop_price,
        reference_price=intent.reference_price,
        planned_at=order.planned_at,
        state=order.state,
        filled_qty=order.filled_qty,
        average_price=order.filled_notional / order.filled_qty if order.filled_qty > 0 else None,
        reason=intent.reason,
        note=order.message,
    )


def _fill_line(fill: Fill, order: Order | None) -> FillLine:
    reference = order.intent.reference_price if order is not None else None
    return FillLine(
        execution_id=fill.execution_id,
        client_order_id=fill.client_order_id,
        strategy=fill.strategy,
        symbol=fill.symbol,
        side=fill.side,
        purpose=order.intent.purpose if order is not None else None,
        qty=fill.qty,
        price=fill.price,
        fee=fill.fee,
        filled_at=fill.filled_at,
        reference_price=reference,
        slippage_bps=None
        if reference is None
        else metrics.slippage_bps(side=fill.side, price=fill.price, reference_price=reference),
        slippage_usd=None
        if reference is None
        else metrics.slippage_usd(side=fill.side, qty=fill.qty, price=fill.price, reference_price=reference),
    )

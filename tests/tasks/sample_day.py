"""A made-up trading day: events of a ledger and the bars they belong to, the same for every run."""

import math
import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import polars as pl

from desk.hours import session_hours
from schemas.events import (
    AccountOpened,
    AnyEvent,
    BreakFound,
    BreakResolved,
    DayClosed,
    FillRecorded,
    FillSource,
    IntentDenied,
    Mark,
    MinuteClosed,
    OrderAcknowledged,
    OrderOutcomeLost,
    OrderPlanned,
    OrderRejected,
    SessionEnded,
    SessionStarted,
)
from schemas.orders import (
    Approval,
    Check,
    Denial,
    Fill,
    OrderIntent,
    OrderType,
    Purpose,
    Reason,
    Side,
    TimeInForce,
)
from schemas.risk import Break, BreakKind

DAY = date(2024, 8, 27)
OPEN = datetime(2024, 8, 27, 13, 30, tzinfo=UTC)
HOURS = session_hours(DAY)
MINUTE = timedelta(minutes=1)
STRATEGY = "vwap_mean_reversion"
PRICES = {"SPY": 560.0, "QQQ": 476.0, "NVDA": 127.0, "XOM": 116.5, "JPM": 219.0}


def bars(seed: int = 7) -> pl.DataFrame:
    """Give a day of minute bars per symbol, with a gap in XOM."""
    chance = random.Random(seed)
    rows = []
    for symbol, start in PRICES.items():
        price = start
        for minute in range(390):
            if symbol == "XOM" and 120 <= minute < 127:
                continue
            before = price
            price *= 1 + chance.gauss(0, 0.00045) + 0.00012 * math.sin(minute / 23)
            volume = int(2_000 * (1.2 + math.cos(minute / 390 * 2 * math.pi)) * chance.uniform(0.5, 1.5))
            rows.append(
                {
                    "symbol": symbol,
                    "ts": OPEN + minute * MINUTE,
                    "open": before,
                    "high": max(before, price) * 1.0002,
                    "low": min(before, price) * 0.9998,
                    "close": price,
                    "volume": volume,
                    "vwap": None if symbol == "JPM" else (before + price) / 2,
                    "trade_count": volume // 40,
                }
            )
    return pl.DataFrame(rows, schema_overrides={"ts": pl.Datetime("us", "UTC"), "vwap": pl.Float64})


def intent(
    *,
    symbol: str,
    minute: int,
    side: Side,
    purpose: Purpose,
    qty: str,
    reference: Decimal,
    strategy: str = STRATEGY,
) -> OrderIntent:
    """Give an intent with the ids the desk would derive."""
    ts = OPEN + minute * MINUTE
    letter = "n" if purpose is Purpose.ENTRY else "x"
    return OrderIntent(
        client_order_id=f"mqd-{strategy}-{DAY:%Y%m%d}-{symbol}-{ts:%H%M}-{letter}0",
        correlation_id=f"{strategy}/{symbol}/{ts.isoformat()}",
        strategy=strategy,
        symbol=symbol,
        side=side,
        qty=Decimal(qty),
        order_type=OrderType.LIMIT if purpose is Purpose.ENTRY else OrderType.MARKET,
        time_in_force=TimeInForce.DAY,
        limit_price=reference if purpose is Purpose.ENTRY else None,
        purpose=purpose,
        reference_price=reference,
        bar_ts=ts,
        session_date=DAY,
        reason="close 2.1 sd below VWAP, RSI 24" if purpose is Purpose.ENTRY else "back at VWAP",
    )


def approved(wanted: OrderIntent, at: datetime) -> list[AnyEvent]:
    """Give the events of an order that the broker took."""
    check = Check(reason=Reason.GROSS_EXPOSURE, number=Decimal("12000"), limit=Decimal("100000"))
    approval = Approval(client_order_id=wanted.client_order_id, checks=(check,), judged_at=at)
    return [
        OrderPlanned(at=at, intent=wanted, approval=approval),
        OrderAcknowledged(
            at=at, client_order_id=wanted.client_order_id, broker_order_id=f"b-{wanted.client_order_id}"
        ),
    ]


def filled(
    wanted: OrderIntent,
    *,
    at: datetime,
    price: Decimal,
    qty: Decimal | None = None,
    cum: Decimal | None = None,
) -> FillRecorded:
    """Give an execution of an order."""
    size = wanted.qty if qty is None else qty
    total = size if cum is None else cum
    return FillRecorded(
        at=at,
        source=FillSource.STREAM,
        fill=Fill(
            execution_id=f"{wanted.client_order_id}/{total}",
            client_order_id=wanted.client_order_id,
            broker_order_id=f"b-{wanted.client_order_id}",
            strategy=wanted.strategy,
            symbol=wanted.symbol,
            side=wanted.side,
            qty=size,
            price=price,
            cum_qty=total,
            fee=Decimal("0.02") if wanted.side is Side.SELL else Decimal("0"),
            filled_at=at,
            session_date=DAY,
        ),
    )


def denied(wanted: OrderIntent, at: datetime, reason: Reason, number: str, limit: str) -> IntentDenied:
    """Give a denial with its words."""
    words = f"{wanted.symbol} {wanted.side} {wanted.qty} denied: {reason} {number} over {limit}"
    denial = Denial(
        client_order_id=wanted.client_order_id,
        reason=reason,
        number=Decimal(number),
        limit=Decimal(limit),
        message=words,
        judged_at=at,
    )
    return IntentDenied(at=at, intent=wanted, denial=denial)


def started(
    run_id: str = "run-1", at: datetime = OPEN - 5 * MINUTE, equity: str = "100000"
) -> SessionStarted:
    """Give a session's start."""
    return SessionStarted(
        at=at,
        session_date=DAY,
        run_id=run_id,
        strategies=(STRATEGY, "sma_crossover"),
        symbols=tuple(PRICES),
        settings_hash="0" * 8,
        equity=Decimal(equity),
    )


def minute_closed(minute: int, equity: str, marks: tuple[Mark, ...] = ()) -> MinuteClosed:
    """Give a minute's close."""
    return MinuteClosed(
        at=OPEN + (minute + 1) * MINUTE + timedelta(seconds=2),
        session_date=DAY,
        bar_ts=OPEN + minute * MINUTE,
        equity=Decimal(equity),
        cash=Decimal(equity),
        realized_pnl=Decimal(0),
        unrealized_pnl=Decimal(0),
        fees=Decimal(0),
        gross=Decimal(0),
        net=Decimal(0),
        marks=marks,
    )


def _cents(value: float) -> Decimal:
    return Decimal(f"{value:.2f}")


def busy_day() -> list[AnyEvent]:
    """Give a whole day: five symbols, fills, denials, a reject, a lost answer, a restart, a break."""
    chance = random.Random(11)
    frame = bars()
    closes = {(symbol, ts): close for symbol, ts, close in frame.select("symbol", "ts", "close").iter_rows()}
    events: list[AnyEvent] = [
        AccountOpened(at=OPEN - 6 * MINUTE, cash=Decimal("100000")),
        started(),
    ]
    held: dict[str, tuple[Decimal, Decimal]] = {}
    cash = Decimal("100000")
    for minute in range(390):
        ts = OPEN + minute * MINUTE
        at = ts + MINUTE + timedelta(seconds=2)
        if minute == 211:
            events.append(started("run-2", at=at - timedelta(seconds=1), equity=str(cash)))
        for number, symbol in enumerate(PRICES):
            close = closes.get((symbol, ts))
            if close is None:
                continue
            strategy = STRATEGY if number % 2 == 0 else "sma_crossover"
            reference = _cents(close)
            phase = (minute + 37 * number) % 97
            common = {"symbol": symbol, "minute": minute, "reference": reference, "strategy": strategy}
            if phase == 5 and symbol not in held and minute < 370:
                wanted = intent(side=Side.BUY, purpose=Purpose.ENTRY, qty="20", **common)
                price = _cents(close * (1 + chance.gauss(0.0001, 0.0002)))
                events += approved(wanted, at)
                events.append(filled(wanted, at=at + timedelta(seconds=15), price=price))
                held[symbol] = (wanted.qty, price)
                cash -= wanted.qty * price
            elif (phase == 48 or minute == 384) and symbol in held:
                wanted = intent(side=Side.SELL, purpose=Purpose.EXIT, qty="20", **common)
                price = _cents(close * (1 - chance.gauss(0.0001, 0.0002)))
                events += approved(wanted, at)
                half = Decimal(12)
                events.append(filled(wanted, at=at + timedelta(seconds=15), price=price, qty=half, cum=half))
                events.append(
                    filled(
                        wanted, at=at + timedelta(seconds=30), price=price, qty=Decimal(8), cum=Decimal(20)
                    )
                )
                cash += wanted.qty * price - Decimal("0.04")
                del held[symbol]
            elif phase in (20, 21, 22) and symbol in ("NVDA", "SPY"):
                wanted = intent(side=Side.BUY, purpose=Purpose.ENTRY, qty="500", **common)
                events.append(denied(wanted, at, Reason.ORDER_NOTIONAL, "63500.00", "25000"))
            elif phase == 60 and symbol == "JPM":
                wanted = intent(side=Side.BUY, purpose=Purpose.ENTRY, qty="10", **common)
                events.append(denied(wanted, at, Reason.STALE_DATA, "240", "180"))
            elif minute == 300 and symbol == "QQQ":
                wanted = intent(side=Side.BUY, purpose=Purpose.ENTRY, qty="5", **common)
                events += approved(wanted, at)[:1]
                events.append(
                    OrderRejected(
                        at=at,
                        client_order_id=wanted.client_order_id,
                        code="40310000",
                        message="insufficient buying power",
                    )
                )
            elif minute == 305 and symbol == "XOM":
                wanted = intent(side=Side.BUY, purpose=Purpose.ENTRY, qty="5", **common)
                events += approved(wanted, at)[:1]
                events.append(
                    OrderOutcomeLost(at=at, client_order_id=wanted.client_order_id, cause="504 after 10 s")
                )
        latest = {symbol: _cents(closes.get((symbol, ts), PRICES[symbol])) for symbol in held}
        equity = cash + sum((qty * latest[symbol] for symbol, (qty, _) in held.items()), Decimal(0))
        marks = tuple(Mark(symbol=symbol, price=latest[symbol]) for symbol in sorted(held))
        events.append(minute_closed(minute, str(equity), marks))
    return [*events, *_evening(cash)]


def _evening(cash: Decimal) -> list[AnyEvent]:
    at = OPEN + 391 * MINUTE
    found = Break(
        break_id="position/NVDA/0/3",
        kind=BreakKind.POSITION,
        key="NVDA",
        ours=Decimal(0),
        theirs=Decimal(3),
        notional_usd=Decimal("381.90"),
        detail="the broker holds 3 NVDA that no order of ours explains",
        found_at=at,
    )
    return [
        SessionEnded(
            at=at - MINUTE, session_date=DAY, run_id="run-2", cause="the close", state_seq=1, state_hash="0"
        ),
        BreakFound(at=at, session_date=DAY, found=found),
        BreakResolved(
            at=at + MINUTE, break_id=found.break_id, how="accepted", by="ann", cause="bought by hand at 15:20"
        ),
        DayClosed(
            at=at + 2 * MINUTE,
            session_date=DAY,
            equity=cash,
            cash=cash,
            realized_pnl=cash - Decimal("100000"),
            fees=Decimal("0.80"),
        ),
    ]

"""A backtest as a person would write it down: the judge of the exact engine and of the screen.

Plain Python over bars in order of time, Decimals for money, no polars in the loop, nothing compiled, nothing
shared with what it judges but the calendar, the fee tables and the records of `schemas.research`. What it
plays at the beginning of each minute:

1. Orders that wait and whose symbol has a bar of this minute execute at its open, whichever session it is in.
   Costs: the open (four decimals), plus for a buy, less for a sale, half of max(spread, one tick) and the
   slippage, rounded to the tick against the trader; no costs, no rounding.
2. The closes of the minute before become known, and each symbol with a bar of it may make an order:

   - a position whose level is zero or of the other sign: an exit of all of it;
   - else a position whose close has reached its stop or target: an exit, by protection;
   - flat and the level is not zero: an entry of the size, shares floored, at this close. None while the last
     thing filled in this session was an exit by protection of the same side, until a level of zero or of the
     other sign was seen since.

3. Orders just made execute at this minute's open too, where there is a bar; else they wait.

With close-out, `close_out_minutes` before the bell, entries that wait are canceled and every position
without an order gets an exit; from `no_entry_minutes` before the bell no entry is made; from the close-out to
the bell no level is looked at; and orders stand for the day, so one whose symbol had no more bar ends at the
bell.

Equity, for sizes that are a share of it, is cash and positions at the newest closes after step 1.
Fees leave cash with their execution, to the millionth.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal

import polars as pl

from desk.fees import fees_for
from schemas.account import SessionHours
from schemas.orders import Side
from schemas.research import NO_COSTS, Costs, Size, SizeKind

MINUTE = timedelta(minutes=1)
CENT, MILLIONTH, TAPE_STEP = Decimal("0.01"), Decimal("0.000001"), Decimal("0.0001")
TIE_USD = Decimal("0.000001")  # averages and bands this near each other are the same: no opinion
BPS = Decimal(10_000)

Levels = Mapping[str, Mapping[datetime, float]]  # by symbol, by left edge of the bar


@dataclass(frozen=True)
class PlainBar:
    """A minute of a symbol; USD as the text of its floats reads."""

    symbol: str
    ts: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: int


@dataclass(frozen=True)
class PlainFill:
    """An execution; `qty` positive, USD."""

    ts: datetime  # left edge of the bar that filled
    symbol: str
    side: str
    qty: Decimal
    price: Decimal
    fee: Decimal
    reference_price: Decimal


@dataclass(frozen=True)
class Outcome:
    """What was played."""

    fills: list[PlainFill]  # by time, then symbol
    equity_by_day: dict[date, Decimal]  # at each session's end
    final_equity: Decimal


@dataclass
class Book:
    """What is known of one symbol."""

    qty: Decimal = Decimal(0)
    entry_price: Decimal = Decimal(0)
    order: tuple[str, Decimal, Decimal] | None = None  # kind, signed quantity, reference price
    close: Decimal | None = None
    stopped: int = 0  # the sign of the position that protection closed, while its level counts for nothing
    stopped_on: date | None = None


@dataclass
class Ledger:
    """Cash and what was executed."""

    cash: Decimal
    fills: list[PlainFill] = field(default_factory=list)


def plain_bars(bars: pl.DataFrame) -> list[PlainBar]:
    """Give a frame's rows (`RAW_SCHEMA`), in order of time, then symbol."""
    rows = bars.sort("ts", "symbol").select("symbol", "ts", "open", "high", "low", "close", "volume").rows()
    return [PlainBar(symbol, ts, *(Decimal(repr(x)) for x in prices), v) for symbol, ts, *prices, v in rows]


def play(
    bars: Sequence[PlainBar],
    levels: Levels,
    sessions: Iterable[SessionHours],
    *,
    size: Size,
    costs: Costs = NO_COSTS,
    cash: Decimal = Decimal(100_000),
    close_out: bool = False,
    close_out_minutes: int = 5,
    no_entry_minutes: int = 15,
    stop_frac: Decimal | None = None,
    target_frac: Decimal | None = None,
    allow_short: bool = True,
) -> Outcome:
    """Play bars and levels."""
    ledger, equity_by_day = Ledger(cash), {}
    books = {symbol: Book() for symbol in sorted({bar.symbol for bar in bars})}
    by_ts: dict[datetime, list[PlainBar]] = {}
    for bar in bars:
        by_ts.setdefault(bar.ts, []).append(bar)
    for hours in sorted(sessions, key=lambda each: each.opens_at):
        out_at = hours.closes_at - timedelta(minutes=close_out_minutes)
        no_entry_at = hours.closes_at - timedelta(minutes=max(no_entry_minutes, close_out_minutes))
        now = hours.opens_at
        while now <= hours.closes_at:
            opening = by_ts.get(now, []) if now < hours.closes_at else []
            ended = by_ts.get(now - MINUTE, []) if now > hours.opens_at else []
            for bar in opening:
                execute(books[bar.symbol], bar, ledger, costs, hours.session_date)
            for bar in ended:
                books[bar.symbol].close = bar.close
            if close_out and now == out_at:
                leave_everything(books)
            equity = worth(ledger, books)
            for bar in ended:
                if close_out and now >= out_at:
                    continue
                level = levels.get(bar.symbol, {}).get(bar.ts)
                decide(
                    books[bar.symbol],
                    tick_near(bar.close),
                    None if level is None else Decimal(repr(level)).quantize(MILLIONTH, ROUND_HALF_EVEN),
                    day=hours.session_date,
                    size=size,
                    equity=equity,
                    may_enter=not close_out or now < no_entry_at,
                    stop_frac=stop_frac,
                    target_frac=target_frac,
                    allow_short=allow_short,
                )
            for bar in opening:
                execute(books[bar.symbol], bar, ledger, costs, hours.session_date)
            now += MINUTE
        if close_out:
            end_orders(books)
        equity_by_day[hours.session_date] = worth(ledger, books)
    fills = sorted(ledger.fills, key=lambda fill: (fill.ts, fill.symbol))
    return Outcome(fills, equity_by_day, worth(ledger, books))


def execute(book: Book, bar: PlainBar, ledger: Ledger, costs: Costs, day: date) -> None:
    """Execute a symbol's order, if it has one, at the bar's open."""
    if book.order is None:
        return
    kind, change, reference = book.order
    side = Side.BUY if change > 0 else Side.SELL
    price = fill_price(bar.open, side, costs)
    fee = fee_of(side, abs(change), price, day, costs)
    ledger.fills.append(PlainFill(bar.ts, bar.symbol, side.value, abs(change), price, fee, reference))
    ledger.cash -= change * price + fee
    book.stopped, book.stopped_on = 0, None
    if kind == "protection":
        book.stopped, book.stopped_on = (1 if book.qty > 0 else -1), day
    book.qty += change
    book.entry_price = price if book.qty != 0 else Decimal(0)
    book.order = None


def decide(
    book: Book,
    close: Decimal,
    level: Decimal | None,
    *,
    day: date,
    size: Size,
    equity: Decimal,
    may_enter: bool,
    stop_frac: Decimal | None,
    target_frac: Decimal | None,
    allow_short: bool,
) -> None:
    """Make a symbol's order at the end of its bar, if there is a reason for one."""
    if book.qty != 0:
        if level is not None and level * book.qty <= 0:
            book.order = ("level", -book.qty, close)
        elif is_reached(book, close, stop_frac=stop_frac, target_frac=target_frac):
            book.order = ("protection", -book.qty, close)
        return
    if level is None:
        return
    if book.stopped != 0 and book.stopped_on == day:
        if level * book.stopped > 0:
            return
        book.stopped = 0
    if level == 0 or not may_enter or (level < 0 and not allow_short):
        return
    shares = shares_of(size, abs(level), close=close, equity=equity)
    if shares > 0:
        book.order = ("entry", shares if level > 0 else -shares, close)


def leave_everything(books: Mapping[str, Book]) -> None:
    """Close out: cancel entries that wait, and make an exit of every position without one."""
    for book in books.values():
        if book.order is not None and book.order[0] == "entry":
            book.order = None
        if book.qty != 0 and book.order is None:
            assert book.close is not None, "what is held has had a bar"
            book.order = ("close-out", -book.qty, tick_near(book.close))


def end_orders(books: Mapping[str, Book]) -> None:
    """End what was ordered for the day only."""
    for book in books.values():
        book.order = None


def is_reached(book: Book, close: Decimal, *, stop_frac: Decimal | None, target_frac: Decimal | None) -> bool:
    """Tell whether a close has reached a position's stop or target."""
    if book.qty > 0:
        stop = None if stop_frac is None else tick_up(book.entry_price * (1 - stop_frac))
        target = None if target_frac is None else tick_up(book.entry_price * (1 + target_frac))
        return (stop is not None and close <= stop) or (target is not None and close >= target)
    stop = None if stop_frac is None else tick_down(book.entry_price * (1 + stop_frac))
    target = None if target_frac is None else tick_down(book.entry_price * (1 - target_frac))
    return (stop is not None and close >= stop) or (target is not None and close <= target)


def shares_of(size: Size, strength: Decimal, *, close: Decimal, equity: Decimal) -> Decimal:
    """Give the whole shares of an entry."""
    if size.kind is SizeKind.SHARES:
        exact = size.amount * strength
    elif size.kind is SizeKind.NOTIONAL:
        exact = size.amount * strength / close
    else:
        exact = equity * size.amount * strength / close
    return max(exact, Decimal(0)).to_integral_value(ROUND_FLOOR)


def fill_price(opened: Decimal, side: Side, costs: Costs) -> Decimal:
    """Give what an execution at an open costs a share."""
    printed = opened.quantize(MILLIONTH, ROUND_HALF_EVEN).quantize(TAPE_STEP, ROUND_HALF_EVEN)
    if costs.spread_bps is None and costs.slippage_bps == 0:
        return printed
    tick = tick_of(printed)
    away = printed * costs.slippage_bps / BPS
    if costs.spread_bps is not None:
        away += max(printed * costs.spread_bps / BPS, tick) / 2
    if side is Side.BUY:
        return ((printed + away) / tick).to_integral_value(ROUND_CEILING) * tick
    return max(((printed - away) / tick).to_integral_value(ROUND_FLOOR) * tick, tick)


def fee_of(side: Side, qty: Decimal, price: Decimal, day: date, costs: Costs) -> Decimal:
    """Give the fees of an execution."""
    fee = fees_for(side, qty, price, day) if costs.regulatory_fees else Decimal(0)
    if costs.commission_per_share > 0:
        commission = max(qty * costs.commission_per_share, costs.commission_min)
        fee += commission.quantize(MILLIONTH, ROUND_CEILING)
    return fee


def worth(ledger: Ledger, books: Mapping[str, Book]) -> Decimal:
    """Give cash and positions at the newest closes, USD."""
    total = ledger.cash
    for book in books.values():
        if book.qty != 0:
            assert book.close is not None, "what is held has had a bar"
            total += book.qty * tick_near(book.close)
    return total


def tick_of(price: Decimal) -> Decimal:
    """Give a cent from one dollar, a hundredth of a cent below."""
    return CENT if price >= 1 else TAPE_STEP


def tick_near(price: Decimal) -> Decimal:
    """Round a price to its nearest tick."""
    return price.quantize(tick_of(price), ROUND_HALF_EVEN)


def tick_up(price: Decimal) -> Decimal:
    """Round a price up to its tick."""
    return price.quantize(tick_of(price), ROUND_CEILING)


def tick_down(price: Decimal) -> Decimal:
    """Round a price down to its tick."""
    return price.quantize(tick_of(price), ROUND_FLOOR)


# ---- two ideas ----------------------------------------------------------------------------


def sma_levels(
    bars: Sequence[PlainBar], *, fast: int = 20, slow: int = 50, allow_short: bool = False
) -> dict[str, dict[datetime, float]]:
    """Give long while the fast average is over the slow one, flat (or short) while it is under it."""
    closes: dict[str, list[Decimal]] = {}
    levels: dict[str, dict[datetime, float]] = {}
    for bar in bars:
        seen = closes.setdefault(bar.symbol, [])
        seen.append(bar.close)
        if len(seen) < slow:
            continue
        difference = sum(seen[-fast:]) / Decimal(fast) - sum(seen[-slow:]) / Decimal(slow)
        if abs(difference) <= TIE_USD:
            continue
        below = -1.0 if allow_short else 0.0
        levels.setdefault(bar.symbol, {})[bar.ts] = 1.0 if difference > 0 else below
    return levels


def vwap_levels(
    bars: Sequence[PlainBar],
    *,
    band_bps: Decimal = Decimal(20),
    settle_bars: int = 15,
    allow_short: bool = False,
) -> dict[str, dict[datetime, float]]:
    """Give long below the session's VWAP less a band, short above it plus a band, flat back at the VWAP.

    A long is left at the VWAP or over it, a short at it or under it; the side is that of the session's last
    entry level. VWAP of typical prices, (high + low + close) / 3; nothing before `settle_bars` of a session.
    """
    levels: dict[str, dict[datetime, float]] = {}
    days: dict[str, date] = {}
    money: dict[str, Decimal] = {}
    volume: dict[str, int] = {}
    count: dict[str, int] = {}
    side: dict[str, int] = {}
    for bar in bars:
        if days.get(bar.symbol) != bar.ts.date():  # a regular session lies within one UTC day
            days[bar.symbol] = bar.ts.date()
            money[bar.symbol], volume[bar.symbol] = Decimal(0), 0
            count[bar.symbol] = side[bar.symbol] = 0
        money[bar.symbol] += (bar.high + bar.low + bar.close) * bar.volume
        volume[bar.symbol] += bar.volume
        count[bar.symbol] += 1
        if count[bar.symbol] < settle_bars or volume[bar.symbol] == 0:
            continue
        vwap = money[bar.symbol] / (3 * volume[bar.symbol])
        band = vwap * band_bps / BPS
        said = None
        if bar.close < vwap - band - TIE_USD:
            said, side[bar.symbol] = 1.0, 1
        elif allow_short and bar.close > vwap + band + TIE_USD:
            said, side[bar.symbol] = -1.0, -1
        elif side[bar.symbol] >= 0:
            said = 0.0 if bar.close > vwap + TIE_USD else None
        else:
            said = 0.0 if bar.close < vwap - TIE_USD else None
        if said is not None:
            levels.setdefault(bar.symbol, {})[bar.ts] = said
    return levels

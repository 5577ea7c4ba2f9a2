"""From signals to order intents (R2): how much, at what price, and when nothing at all.

A signal is a level. For each strategy and symbol the sizer compares the level of the minute with the
position and the working orders, and acts only on a difference:

- flat, nothing working, level not zero: an entry, a marketable limit order (or a market order, as the
  settings say) for its share of equity or of the size its strategy has;
- a position whose level is zero or of the other sign, no exit working: a market exit of all of it
  (a reversal leaves first; the next minute restates the level and enters);
- anything else: nothing. A level that only changed its size is left alone.

Notional of an entry = equity * allocation / slots * |target|; shares are that over the worse of limit
and last price, floored to the lot. A strategy with a size of its own (`schemas.research.Size`) has no slots:
its entries are size * |target|, counted in shares, USD or fractions of equity. So $200 never enter a $600
share, unless fractions are allowed. An entry that is wanted and cannot be made is a `Skip` with its reason:
nothing is done in silence.

Exits come first, then entries by strength of the level, then by name; so the order of the rows given
changes nothing. Only rows of the minute `bar_ts` count: an older level may have been left already.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal

import polars as pl

from desk.exposure import WorkingOrder
from desk.money import (
    ZERO,
    affordable_qty,
    fraction,
    is_legal_price,
    limit_price,
    nearest_tick,
    plain,
    qty_down,
    through,
    usd,
)
from schemas.account import Asset, SessionHours
from schemas.orders import OrderIntent, OrderType, Purpose, Side, TimeInForce
from schemas.research import Size, SizeKind
from schemas.settings import EntryOrder

# Alpaca refuses a longer client order id (ALPACA.md §2.3).
CLIENT_ORDER_ID_MAX = 128

Key = tuple[str, str]  # strategy, symbol


@dataclass(frozen=True, slots=True)
class SizingView:
    """What the sizer looks at; plain mappings, built once a minute."""

    now: datetime
    session: SessionHours
    bar_ts: datetime  # left edge of the minute that was evaluated
    equity: Decimal  # USD, the broker's
    own_equity: Decimal  # USD, our books' at the last prices: sizes in fractions are of it
    prices: Mapping[str, Decimal]  # last price by symbol
    positions: Mapping[Key, Decimal]  # signed shares by strategy and symbol
    working: Mapping[Key, tuple[WorkingOrder, ...]]  # not terminal, UNKNOWN included
    allocations: Mapping[str, Decimal]  # share of equity by strategy
    slots: int  # positions a strategy's allocation is divided into
    entry_offset_bps: Decimal  # how far through the last price an entry's limit lies
    allow_fractional: bool
    allow_short: bool
    assets: Mapping[str, Asset]
    entry_order: EntryOrder = EntryOrder.LIMIT
    sizes: Mapping[str, Size] = field(default_factory=dict)  # by strategy, of those that have one
    time_in_force: TimeInForce = TimeInForce.DAY  # GTC where orders may be left for the next open


@dataclass(frozen=True, slots=True)
class Skip:
    """A level that was wanted and could not become an order."""

    strategy: str
    symbol: str
    why: str


@dataclass(frozen=True, slots=True)
class Sizing:
    """The minute's intents, exits first, and what was skipped."""

    intents: tuple[OrderIntent, ...]
    skipped: tuple[Skip, ...]


@dataclass(frozen=True, slots=True)
class Level:
    """What a strategy wants to hold of a symbol this minute."""

    strategy: str
    symbol: str
    target: Decimal
    price: float  # the close the strategy saw, USD
    reason: str


def size(signals: pl.DataFrame, view: SizingView) -> tuple[OrderIntent, ...]:
    """Give the minute's intents, exits first; `sizing` also tells what was skipped and why."""
    return sizing(levels_of(signals, view.bar_ts), view).intents


def levels_of(signals: pl.DataFrame, bar_ts: datetime) -> tuple[Level, ...]:
    """Give a minute's levels, strongest first, then by strategy and symbol.

    Args:
        signals: Columns of `schemas.signals.SIGNAL_SCHEMA`, any order; rows of other minutes are ignored.
        bar_ts: Left edge of the minute.
    """
    chosen = signals.filter(signals["ts"] == bar_ts)
    columns = (chosen[name].to_list() for name in ("strategy", "symbol", "target", "price", "reason"))
    levels = [
        Level(strategy=strategy, symbol=symbol, target=fraction(target), price=price, reason=reason)
        for strategy, symbol, target, price, reason in zip(*columns, strict=True)
    ]
    return tuple(sorted(levels, key=lambda each: (-abs(each.target), each.strategy, each.symbol)))


def sizing(levels: Sequence[Level], view: SizingView) -> Sizing:
    """Give the minute's intents and skips.

    Args:
        levels: Those of the view's minute, in the order of `levels_of`.
        view: The book and the settings of this minute.
    """
    exits = tuple(_exit(level, view) for level in levels if _wants_exit(level, view))
    entries: list[OrderIntent] = []
    skipped: list[Skip] = []
    slots = _slots_used(view)
    for level in levels:
        if not _wants_entry(level, view):
            continue
        made = _entry(level, view, slots_used=slots.get(level.strategy, 0))
        if isinstance(made, Skip):
            skipped.append(made)
            continue
        entries.append(made)
        slots[level.strategy] = slots.get(level.strategy, 0) + 1
    return Sizing(intents=(*exits, *entries), skipped=tuple(skipped))


def unwanted_entries(levels: Sequence[Level], view: SizingView) -> tuple[WorkingOrder, ...]:
    """Give working entries whose level is now zero or of the other sign: to be canceled before any exit.

    The broker refuses an exit against a resting entry of the same symbol as a wash trade.
    """
    return tuple(
        order
        for level in levels
        for order in view.working.get((level.strategy, level.symbol), ())
        if order.intent.purpose is Purpose.ENTRY and order.intent.side.sign * level.target <= 0
    )


def leaving_protected(levels: Sequence[Level], view: SizingView) -> frozenset[Key]:
    """Give the positions whose level says leave while a protective order holds their shares."""
    if not any(order.intent.protects for orders in view.working.values() for order in orders):
        return frozenset()
    unprotected = {
        key: tuple(order for order in orders if not order.intent.protects)
        for key, orders in view.working.items()
    }
    protected = {key for key, orders in view.working.items() if len(unprotected[key]) < len(orders)}
    bare = replace(view, working=unprotected)
    return frozenset(
        (level.strategy, level.symbol)
        for level in levels
        if (level.strategy, level.symbol) in protected and _wants_exit(level, bare)
    )


def client_order_id(
    *, strategy: str, session_date: date, symbol: str, bar_ts: datetime, purpose: Purpose, attempt: int
) -> str:
    """Give `mqd-<strategy>-<yyyymmdd>-<symbol>-<hhmm>-<n|x><attempt>`, hhmm the bar's left edge in UTC.

    Raises:
        ValueError: The id would be longer than the broker takes, or the attempt is negative.
    """
    if attempt < 0:
        raise ValueError(f"an attempt is counted from 0, got {attempt}")
    word = "n" if purpose is Purpose.ENTRY else "x"
    minute = bar_ts.astimezone(UTC)
    made = f"mqd-{strategy}-{session_date:%Y%m%d}-{symbol}-{minute:%H%M}-{word}{attempt}"
    if len(made) > CLIENT_ORDER_ID_MAX:
        raise ValueError(f"client order id of {len(made)} characters over {CLIENT_ORDER_ID_MAX}: {made}")
    return made


def correlation_id(*, strategy: str, symbol: str, bar_ts: datetime) -> str:
    """Give `<strategy>/<symbol>/<bar_ts>`, which follows a bar to its signal, order and fill."""
    return f"{strategy}/{symbol}/{bar_ts.isoformat()}"


def exit_intent(
    *,
    strategy: str,
    symbol: str,
    position: Decimal,
    price: Decimal,
    bar_ts: datetime,
    session_date: date,
    attempt: int,
    reason: str,
    time_in_force: TimeInForce = TimeInForce.DAY,
) -> OrderIntent:
    """Give the market order that closes a whole position; also for close-out, kill switch and flatten.

    Args:
        strategy: Whose position it is.
        symbol: What is held.
        position: Signed shares, not zero.
        price: The last price, which slippage is measured against.
        bar_ts: Left edge of the minute that caused it.
        session_date: The session's date.
        attempt: 0 for the first exit of this minute; the next after a refusal or expiry.
        reason: Why, in words.
        time_in_force: How long it stands.

    Raises:
        ValueError: The position is zero.
    """
    if position == 0:
        raise ValueError(f"{strategy} holds no {symbol}: there is nothing to exit")
    return OrderIntent(
        client_order_id=client_order_id(
            strategy=strategy,
            session_date=session_date,
            symbol=symbol,
            bar_ts=bar_ts,
            purpose=Purpose.EXIT,
            attempt=attempt,
        ),
        correlation_id=correlation_id(strategy=strategy, symbol=symbol, bar_ts=bar_ts),
        strategy=strategy,
        symbol=symbol,
        side=Side.SELL if position > 0 else Side.BUY,
        qty=abs(position),
        order_type=OrderType.MARKET,
        time_in_force=time_in_force,
        purpose=Purpose.EXIT,
        reference_price=price,
        bar_ts=bar_ts,
        session_date=session_date,
        attempt=attempt,
        reason=reason,
    )


def _position(level: Level, view: SizingView) -> Decimal:
    return view.positions.get((level.strategy, level.symbol), ZERO)


def _works(level: Level, view: SizingView, purpose: Purpose) -> bool:
    orders = view.working.get((level.strategy, level.symbol), ())
    return any(order.intent.purpose is purpose for order in orders)


def _wants_exit(level: Level, view: SizingView) -> bool:
    position = _position(level, view)
    return position != 0 and position * level.target <= 0 and not _works(level, view, Purpose.EXIT)


def _wants_entry(level: Level, view: SizingView) -> bool:
    busy = bool(view.working.get((level.strategy, level.symbol), ()))
    return level.target != 0 and _position(level, view) == 0 and not busy


def _slots_used(view: SizingView) -> dict[str, int]:
    """Count the symbols each strategy holds or has an entry working in."""
    held = {key for key, qty in view.positions.items() if qty != 0}
    entering = {
        key
        for key, orders in view.working.items()
        if any(order.intent.purpose is Purpose.ENTRY for order in orders)
    }
    used: dict[str, int] = {}
    for strategy, _ in held | entering:
        used[strategy] = used.get(strategy, 0) + 1
    return used


def _exit(level: Level, view: SizingView) -> OrderIntent:
    position, last = _position(level, view), view.prices.get(level.symbol)
    return exit_intent(
        strategy=level.strategy,
        symbol=level.symbol,
        position=position,
        price=nearest_tick(level.price) if last is None else last,
        bar_ts=view.bar_ts,
        session_date=view.session.session_date,
        attempt=0,
        reason=level.reason,
        time_in_force=view.time_in_force,
    )


def _entry(level: Level, view: SizingView, *, slots_used: int) -> OrderIntent | Skip:
    side = Side.BUY if level.target > 0 else Side.SELL
    last = view.prices.get(level.symbol)
    allocation = view.allocations.get(level.strategy)
    asset = view.assets.get(level.symbol)
    if last is None or allocation is None or asset is None:
        lacks = "price" if last is None else "allocation" if allocation is None else "asset data"
        return Skip(level.strategy, level.symbol, f"no {lacks}")
    if side is Side.SELL and not view.allow_short:
        return Skip(level.strategy, level.symbol, "short sales are switched off (risk.allow_short)")
    size = view.sizes.get(level.strategy)
    if size is None and slots_used >= view.slots:
        return Skip(level.strategy, level.symbol, f"{slots_used} positions in {view.slots} slots")
    limit = None
    if view.entry_order is EntryOrder.LIMIT:
        limit = limit_price(through(last, side=side, offset_bps=view.entry_offset_bps), side=side)
        if not is_legal_price(limit):
            return Skip(level.strategy, level.symbol, f"no legal limit price at {plain(last)} USD")
    price = last if limit is None else max(limit, last)
    fractional = view.allow_fractional and asset.fractionable and side is Side.BUY
    if size is not None and size.kind is SizeKind.SHARES:
        qty = qty_down(size.amount * abs(level.target), fractional=fractional)
        if qty == 0:
            return Skip(level.strategy, level.symbol, f"{size} at {plain(abs(level.target))} is no share")
    else:
        notional = _notional(level, view, size=size, allocation=allocation)
        qty = affordable_qty(notional, price=price, fractional=fractional)
        if qty == 0:
            why = f"{usd(notional)} USD buy no share at {plain(price)}"
            return Skip(level.strategy, level.symbol, why)
    return _entry_intent(level, view, side=side, qty=qty, limit=limit, last=last)


def _notional(level: Level, view: SizingView, *, size: Size | None, allocation: Decimal) -> Decimal:
    """Give what an entry may cost, USD."""
    if size is None:
        whole = view.equity * allocation / view.slots
    elif size.kind is SizeKind.NOTIONAL:
        whole = size.amount
    else:
        whole = view.own_equity * size.amount
    return whole * abs(level.target)


def _entry_intent(
    level: Level, view: SizingView, *, side: Side, qty: Decimal, limit: Decimal | None, last: Decimal
) -> OrderIntent:
    session_date = view.session.session_date
    return OrderIntent(
        client_order_id=client_order_id(
            strategy=level.strategy,
            session_date=session_date,
            symbol=level.symbol,
            bar_ts=view.bar_ts,
            purpose=Purpose.ENTRY,
            attempt=0,
        ),
        correlation_id=correlation_id(strategy=level.strategy, symbol=level.symbol, bar_ts=view.bar_ts),
        strategy=level.strategy,
        symbol=level.symbol,
        side=side,
        qty=qty,
        order_type=OrderType.MARKET if limit is None else OrderType.LIMIT,
        time_in_force=view.time_in_force,
        limit_price=limit,
        purpose=Purpose.ENTRY,
        reference_price=last,
        bar_ts=view.bar_ts,
        session_date=session_date,
        attempt=0,
        reason=level.reason,
    )

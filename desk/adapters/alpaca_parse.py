"""Read Alpaca's JSON into records: strict on what is decided by, tolerant of all else.

Rules: unknown words (status, type, event) stay readable as they are; unknown fields are ignored; a
missing optional field gets the value that permits least; a missing or unreadable field the desk
decides on raises `Malformed`, which names it, and the caller settles what that means for the list.
Amounts are strings on the wire; numbers are tolerated through their text. NaN, infinities and
booleans are no amounts. Timestamps may carry nanoseconds; what lies below a microsecond is cut off.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

from schemas.account import Asset, BrokerAccount, BrokerClock, BrokerPosition, SessionHours
from schemas.orders import BrokerFill, BrokerOrder, Side, TradeUpdate

NEW_YORK = ZoneInfo("America/New_York")  # calendar answers are in exchange time
REGULAR_CLOSE = time(16, 0)
FILL_EVENTS = frozenset({"fill", "partial_fill"})

Row = Mapping[str, Any]


class Malformed(ValueError):
    """A field the desk decides on is missing or unreadable."""


def row_of(value: object, what: str) -> Row:
    """Give a JSON object, or raise Malformed saying what was expected."""
    if not isinstance(value, dict):
        raise Malformed(f"{what} is {_shown(value)}, not an object")
    return value


def rows_of(value: object, what: str) -> list[object]:
    """Give a JSON array, or raise Malformed saying what was expected."""
    if not isinstance(value, list):
        raise Malformed(f"{what} is {_shown(value)}, not a list")
    return value


def text(row: Row, key: str) -> str:
    """Give a field that must be non-empty text."""
    value = row.get(key)
    if not isinstance(value, str) or value == "":
        raise Malformed(f"{key} is {_shown(value)}, text is needed")
    return value


def word(row: Row, *keys: str) -> str:
    """Give the first of several fields that is text; empty when none is."""
    return next((value for key in keys if isinstance(value := row.get(key), str) and value != ""), "")


def amount(row: Row, key: str) -> Decimal:
    """Give a field that must be a finite amount."""
    value = row.get(key)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Malformed(f"{key} is {_shown(value)}, an amount is needed")
    try:
        number = Decimal(str(value))
    except InvalidOperation as error:
        raise Malformed(f"{key} is {_shown(value)}, an amount is needed") from error
    if not number.is_finite():
        raise Malformed(f"{key} is {_shown(value)}, a finite amount is needed")
    return number


def optional_amount(row: Row, key: str) -> Decimal | None:
    """Give an amount, or None when the field is absent, null or empty."""
    return None if row.get(key) in (None, "") else amount(row, key)


def instant(row: Row, key: str) -> datetime:
    """Give a field that must be an RFC 3339 instant, as aware UTC."""
    value = row.get(key)
    if not isinstance(value, str):
        raise Malformed(f"{key} is {_shown(value)}, an instant is needed")
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise Malformed(f"{key} is {_shown(value)}, its UTC offset is missing")
        return moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise Malformed(f"{key} is {_shown(value)}, an instant is needed") from error


def first_instant(row: Row, *keys: str) -> datetime:
    """Give the first of several fields that is set."""
    for key in keys:
        if row.get(key) is not None:
            return instant(row, key)
    raise Malformed(f"none of {', '.join(keys)} is set")


def flag(row: Row, key: str) -> bool:
    """Give a true field; anything else, absent included, is False."""
    return row.get(key) is True


def side_of(row: Row) -> Side:
    """Give the side; activities also say sell_short and the like."""
    value = word(row, "side")
    if value.startswith("buy"):
        return Side.BUY
    if value.startswith("sell"):
        return Side.SELL
    raise Malformed(f"side is {_shown(row.get('side'))}, buy or sell is needed")


def order_of(row: Row) -> BrokerOrder:
    """Read an order of REST or of the stream.

    Raises:
        Malformed: id, symbol, side, an amount or every instant is unreadable.
    """
    submitted_at = first_instant(row, "submitted_at", "created_at", "updated_at")
    filled_qty = optional_amount(row, "filled_qty")
    return BrokerOrder(
        broker_order_id=text(row, "id"),
        client_order_id=word(row, "client_order_id"),
        symbol=text(row, "symbol"),
        side=side_of(row),
        qty=optional_amount(row, "qty"),
        filled_qty=Decimal(0) if filled_qty is None else filled_qty,
        filled_avg_price=optional_amount(row, "filled_avg_price"),
        order_type=word(row, "order_type", "type"),
        time_in_force=word(row, "time_in_force"),
        limit_price=optional_amount(row, "limit_price"),
        stop_price=optional_amount(row, "stop_price"),
        status=word(row, "status"),
        submitted_at=submitted_at,
        updated_at=submitted_at if row.get("updated_at") is None else instant(row, "updated_at"),
        replaced_by=word(row, "replaced_by") or None,
        replaces=word(row, "replaces") or None,
        message=word(row, "reject_reason", "message"),
        order_class=word(row, "order_class"),
        trail_price=optional_amount(row, "trail_price"),
        trail_percent=optional_amount(row, "trail_percent"),
        legs=_legs(row.get("legs")),
    )


def _legs(value: object) -> tuple[BrokerOrder, ...]:
    """Read the further orders of a bracket, oco or oto; null where the answer is not nested."""
    return () if value is None else tuple(order_of(row_of(leg, "leg")) for leg in rows_of(value, "legs"))


def fill_of(row: Row) -> BrokerFill:
    """Read a FILL activity; the part of its id after "::" is the stream's execution id.

    Raises:
        Malformed: an identity, side, amount or the instant is unreadable.
    """
    return BrokerFill(
        execution_id=text(row, "id").rpartition("::")[2],
        broker_order_id=text(row, "order_id"),
        client_order_id=None,
        symbol=text(row, "symbol"),
        side=side_of(row),
        qty=amount(row, "qty"),
        price=amount(row, "price"),
        cum_qty=optional_amount(row, "cum_qty"),
        filled_at=instant(row, "transaction_time"),
    )


def position_of(row: Row) -> BrokerPosition:
    """Read a position; its qty is signed, whatever sign the wire gave a short one.

    Raises:
        Malformed: symbol, qty, or both ways to the entry price are unreadable.
    """
    qty = amount(row, "qty")
    if word(row, "side") == "short":
        qty = -abs(qty)
    entry = optional_amount(row, "avg_entry_price")
    if entry is None:
        if qty == 0:
            raise Malformed("avg_entry_price is missing and qty is 0")
        entry = abs(amount(row, "cost_basis") / qty)
    return BrokerPosition(
        symbol=text(row, "symbol"),
        qty=qty,
        avg_entry_price=entry,
        current_price=optional_amount(row, "current_price"),
        unrealized_pnl=optional_amount(row, "unrealized_pl"),
    )


def account_of(row: Row) -> BrokerAccount:
    """Read the account; only the fields the desk decides on (fields come and go: PDT went in 2026).

    Raises:
        Malformed: equity, last equity, cash or buying power is unreadable.
    """
    multiplier = optional_amount(row, "multiplier")
    fees = optional_amount(row, "accrued_fees")
    return BrokerAccount(
        equity=amount(row, "equity"),
        last_equity=amount(row, "last_equity"),
        cash=amount(row, "cash"),
        buying_power=amount(row, "buying_power"),
        multiplier=1 if multiplier is None else int(multiplier),
        accrued_fees=Decimal(0) if fees is None else fees,
        trading_blocked=flag(row, "trading_blocked"),
        account_blocked=flag(row, "account_blocked"),
        trade_suspended_by_user=flag(row, "trade_suspended_by_user"),
        shorting_enabled=flag(row, "shorting_enabled"),
        status=word(row, "status"),
    )


def asset_of(row: Row) -> Asset:
    """Read an asset; a property that is not stated is not granted.

    `easy_to_borrow` is announced to go away in favour of `borrow_status`; either will do.

    Raises:
        Malformed: the symbol is unreadable.
    """
    return Asset(
        symbol=text(row, "symbol"),
        tradable=flag(row, "tradable"),
        fractionable=flag(row, "fractionable"),
        shortable=flag(row, "shortable"),
        marginable=flag(row, "marginable"),
        easy_to_borrow=flag(row, "easy_to_borrow") or word(row, "borrow_status") == "easy_to_borrow",
        status=word(row, "status"),
        exchange=word(row, "exchange"),
    )


def clock_of(row: Row) -> BrokerClock:
    """Read the broker's clock.

    Raises:
        Malformed: an instant is unreadable.
    """
    return BrokerClock(
        now=instant(row, "timestamp"),
        is_open=flag(row, "is_open"),
        next_open=instant(row, "next_open"),
        next_close=instant(row, "next_close"),
    )


def hours_of(row: Row) -> SessionHours:
    """Read a day of the calendar: New York wall-clock times into UTC.

    Raises:
        Malformed: date or time is unreadable.
    """
    try:
        day = date.fromisoformat(text(row, "date"))
        opens, closes = time.fromisoformat(text(row, "open")), time.fromisoformat(text(row, "close"))
    except ValueError as error:
        raise Malformed(f"calendar day is unreadable: {error}") from error
    return SessionHours(
        session_date=day,
        opens_at=datetime.combine(day, opens, NEW_YORK).astimezone(UTC),
        closes_at=datetime.combine(day, closes, NEW_YORK).astimezone(UTC),
        early_close=closes < REGULAR_CLOSE,
    )


def update_of(message: Row) -> TradeUpdate:
    """Read a message of the trade_updates stream; unknown events keep their word.

    Raises:
        Malformed: the order, or the execution of a fill event, is unreadable.
    """
    data = row_of(message.get("data"), "data")
    event = text(data, "event")
    order = order_of(row_of(data.get("order"), "order"))
    at = first_instant(data, "timestamp", "at") if data.keys() & {"timestamp", "at"} else order.updated_at
    fill = None
    if event in FILL_EVENTS:
        fill = BrokerFill(
            execution_id=text(data, "execution_id"),
            broker_order_id=order.broker_order_id,
            client_order_id=order.client_order_id,
            symbol=order.symbol,
            side=order.side,
            qty=amount(data, "qty"),
            price=amount(data, "price"),
            cum_qty=order.filled_qty,
            filled_at=at,
        )
    return TradeUpdate(event=event, order=order, fill=fill, at=at)


def _shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."

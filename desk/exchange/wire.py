"""Alpaca's JSON, outgoing: the venue's records as the real service writes them.

Trading answers carry money and quantities as strings, market data as numbers; instants are RFC 3339
in UTC but for the clock, which speaks New York's offset (ALPACA.md sections 0 and 2.2).
"""

import json
import math
from collections.abc import Callable, Iterable
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from typing import Any

import polars as pl

from desk.exchange.books import FeeCharge, Holding
from desk.exchange.floor import EXTENDED_AFTER, Floor
from desk.exchange.orders import Execution, Status, VenueEvent, VenueOrder, fixed_id
from desk.exchange.refusals import Refusal
from desk.exchange.venue import next_edges
from desk.hours import new_york, next_session
from desk.money import ZERO
from schemas.account import Asset, SessionHours
from schemas.orders import Side

Json = dict[str, Any]
AMOUNT_DECIMALS = 9  # Alpaca's longest: nine decimals of a share
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # a ULID's alphabet
T_PLUS_2_FROM = date(2017, 9, 5)  # SEC rule 15c6-1 as amended; T+3 before
T_PLUS_1_FROM = date(2024, 5, 28)  # SEC release 34-96930


def amount(value: Decimal) -> str:
    """Write an amount: plain, without padding."""
    text = f"{round(value, AMOUNT_DECIMALS):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def optional(value: Decimal | None) -> str | None:
    """Write an amount or null."""
    return None if value is None else amount(value)


def instant(at: datetime) -> str:
    """Write an instant in UTC with a Z."""
    return at.isoformat()[:-6] + "Z"


def maybe(at: datetime | None) -> str | None:
    """Write an instant or null."""
    return None if at is None else instant(at)


def fraction(part: Decimal, whole: Decimal) -> str:
    """Write part / whole; zero of nothing is zero."""
    return "0" if whole == 0 else amount(part / whole)


def clock(floor: Floor) -> Json:
    """Write the clock."""
    next_open, next_close = next_edges(floor)
    return {
        "timestamp": new_york(floor.now).isoformat(),
        "is_open": floor.is_open,
        "next_open": new_york(next_open).isoformat(),
        "next_close": new_york(next_close).isoformat(),
    }


def calendar_day(hours: SessionHours) -> Json:
    """Write one session."""
    return {
        "date": hours.session_date.isoformat(),
        "open": new_york(hours.opens_at).strftime("%H:%M"),
        "close": new_york(hours.closes_at).strftime("%H:%M"),
        "session_open": "0400",
        "session_close": new_york(hours.closes_at + EXTENDED_AFTER).strftime("%H%M"),
        "settlement_date": settlement(hours.session_date).isoformat(),
    }


def settlement(day: date) -> date:
    """Give the settlement date of a trade date under the rule of its time."""
    days = 1 if day >= T_PLUS_1_FROM else 2 if day >= T_PLUS_2_FROM else 3
    for _ in range(days):
        day = next_session(day).session_date
    return day


def asset(found: Asset) -> Json:
    """Write an asset; `easy_to_borrow` is sent for alpaca-py's sake."""
    percent = "30" if found.marginable else "100"
    return {
        "id": asset_id(found.symbol),
        "class": "us_equity",
        "exchange": found.exchange,
        "symbol": found.symbol,
        "name": f"{found.symbol} Common Stock",
        "status": found.status,
        "tradable": found.tradable,
        "marginable": found.marginable,
        "maintenance_margin_requirement": int(percent),
        "margin_requirement_long": percent,
        "margin_requirement_short": percent,
        "shortable": found.shortable,
        "easy_to_borrow": found.easy_to_borrow,
        "borrow_status": "easy_to_borrow" if found.easy_to_borrow else "hard_to_borrow",
        "fractionable": found.fractionable,
        "attributes": [],
    }


def asset_id(symbol: str) -> str:
    """Give a symbol's asset id: the same at every venue."""
    return fixed_id(f"asset:{symbol}")


def order(found: VenueOrder) -> Json:
    """Write an order."""
    kind = str(found.order_type)
    return {
        "id": found.order_id,
        "client_order_id": found.client_order_id,
        "created_at": instant(found.created_at),
        "updated_at": instant(found.updated_at),
        "submitted_at": instant(found.submitted_at),
        "filled_at": maybe(found.filled_at),
        "expired_at": maybe(found.expired_at),
        "canceled_at": maybe(found.canceled_at),
        "failed_at": None,
        "replaced_at": None,
        "replaced_by": None,
        "replaces": None,
        "asset_id": asset_id(found.symbol),
        "symbol": found.symbol,
        "asset_class": "us_equity",
        "notional": None,
        "qty": amount(found.qty),
        "filled_qty": amount(found.filled_qty),
        "filled_avg_price": optional(found.filled_avg_price),
        "order_class": "",
        "order_type": kind,
        "type": kind,
        "side": str(found.side),
        "position_intent": found.position_intent,
        "time_in_force": str(found.time_in_force),
        "limit_price": optional(found.limit_price),
        "stop_price": optional(found.stop_price),
        "status": str(found.status),
        "extended_hours": found.extended_hours,
        "legs": None,
        "trail_percent": None,
        "trail_price": None,
        "hwm": None,
        "subtag": None,
        "source": found.source,
        "expires_at": instant(found.expires_at),
    }


def position(floor: Floor, held: Holding) -> Json:
    """Write a position, valued now."""
    mark = floor.mark(held.symbol)
    price = mark if mark is not None else held.avg_entry_price
    prior = floor.tape.prior_close(held.symbol)
    last_day = prior if prior is not None else price
    value = held.qty * price
    closing = Side.SELL if held.qty > 0 else Side.BUY
    available = max(abs(held.qty) - floor.blotter.open_qty(held.symbol, closing), ZERO)
    return {
        "asset_id": asset_id(held.symbol),
        "symbol": held.symbol,
        "exchange": floor.asset(held.symbol).exchange,
        "asset_class": "us_equity",
        "asset_marginable": floor.asset(held.symbol).marginable,
        "qty": amount(held.qty),
        "qty_available": amount(available if held.qty > 0 else -available),
        "avg_entry_price": amount(held.avg_entry_price),
        "side": "long" if held.qty > 0 else "short",
        "market_value": amount(value),
        "cost_basis": amount(held.cost),
        "unrealized_pl": amount(value - held.cost),
        "unrealized_plpc": fraction(value - held.cost, abs(held.cost)),
        "unrealized_intraday_pl": amount(value - held.day_cost),
        "unrealized_intraday_plpc": fraction(value - held.day_cost, abs(held.day_cost)),
        "current_price": amount(price),
        "lastday_price": amount(last_day),
        "change_today": fraction(price - last_day, last_day),
    }


def fill_activity(done: Execution) -> Json:
    """Write an execution as a FILL activity."""
    return {
        "activity_type": "FILL",
        "id": activity_id(done.at, done.execution_id),
        "type": "fill" if done.order_status is Status.FILLED else "partial_fill",
        "price": amount(done.price),
        "qty": amount(done.qty),
        "cum_qty": amount(done.cum_qty),
        "leaves_qty": amount(done.leaves_qty),
        "side": str(done.side),
        "symbol": done.symbol,
        "order_id": done.order_id,
        "order_status": str(done.order_status),
        "transaction_time": instant(done.at),
    }


def fee_activity(charge: FeeCharge) -> Json:
    """Write a session's fees as a FEE activity."""
    return {
        "activity_type": "FEE",
        "id": activity_id(charge.at, charge.activity_id),
        "date": charge.session_date.isoformat(),
        "created_at": instant(charge.at),
        "net_amount": amount(-charge.amount),
        "description": f"SEC and TAF fees of {charge.session_date.isoformat()}",
        "status": "executed",
    }


ActivityRow = tuple[datetime, date, str, str, Callable[[], Json]]  # at, New York date, id, order id, writer


def fill_row(done: Execution) -> ActivityRow:
    """Give what a listing filters a FILL by, and how to write it."""
    name = activity_id(done.at, done.execution_id)
    return done.at, new_york(done.at).date(), name, done.order_id, partial(fill_activity, done)


def fee_row(charge: FeeCharge) -> ActivityRow:
    """Give what a listing filters a FEE by, and how to write it."""
    name = activity_id(charge.at, charge.activity_id)
    return charge.at, new_york(charge.at).date(), name, "", partial(fee_activity, charge)


def activity_id(at: datetime, name: str) -> str:
    """Give an activity's id: New York's local time to the millisecond, then the thing's own id."""
    local = new_york(at)
    return f"{local.strftime('%Y%m%d%H%M%S')}{local.microsecond // 1000:03d}::{name}"


def stream_update(told: VenueEvent) -> Json:
    """Write a stream event; its order lacks subtag and source and says when a cancel was asked."""
    body = order(told.order)
    del body["subtag"], body["source"]
    body["cancel_requested_at"] = maybe(told.order.canceled_at)
    data: Json = {
        "at": instant(told.at),
        "event_id": ulid(told.at, told.event_id),
        "event": told.event,
        "timestamp": instant(told.at),
        "order": body,
    }
    if told.execution_id is not None:
        data["execution_id"] = told.execution_id
    done = told.execution
    if done is not None:
        data |= {
            "price": amount(done.price),
            "qty": amount(done.qty),
            "position_qty": amount(done.position_qty),
            "settle_date": settlement(done.session_date).isoformat(),
        }
    return {"stream": "trade_updates", "data": data}


def ulid(at: datetime, name: str) -> str:
    """Give a ULID: 48 bits of milliseconds, 80 bits of the name."""
    number = (int(at.timestamp() * 1000) << 80) | int(name.replace("-", "")[:20], 16)
    return "".join(CROCKFORD[(number >> shift) & 31] for shift in range(125, -1, -5))


def bars(frame: pl.DataFrame) -> Iterable[tuple[str, Json]]:
    """Write bars as (symbol, bar); a price that is no number becomes null."""
    names = ("symbol", "ts", "open", "high", "low", "close", "volume", "trade_count", "vwap")
    for symbol, ts, *prices, volume, count, vwap in frame.select(names).iter_rows():
        o, h, low, c, vw = (None if p is None or not math.isfinite(p) else p for p in (*prices, vwap))
        stamp = ts.isoformat()[:-6] + "Z"
        yield symbol, {"c": c, "h": h, "l": low, "n": count, "o": o, "t": stamp, "v": volume, "vw": vw}


def dumps(body: object) -> bytes:
    """Encode JSON compactly; NaN never leaves the venue."""
    return json.dumps(body, separators=(",", ":"), allow_nan=False).encode()


def refusal(refused: Refusal) -> Json:
    """Write a refusal's body, keys in alphabetical order as the service does."""
    return dict(sorted({"code": refused.code, "message": refused.message, **refused.extra}.items()))

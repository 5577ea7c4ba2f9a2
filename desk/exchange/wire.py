"""Alpaca's JSON, outgoing: the venue's records as the real service writes them.

Trading answers carry money and quantities as strings, market data as numbers; instants are RFC 3339
in UTC but for the clock, which speaks New York's offset (ALPACA.md sections 0 and 2.2).
"""

import math
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

import orjson
import polars as pl

from desk.exchange.books import Holding
from desk.exchange.floor import Floor
from desk.exchange.orders import VenueEvent, VenueOrder, fixed_id
from desk.exchange.refusals import Refusal
from desk.hours import next_session
from desk.money import ZERO
from schemas.orders import Side

Json = dict[str, Any]
AMOUNT_DECIMALS = 9  # Alpaca's longest: nine decimals of a share
ASSET_IDS_KEPT = 16_384  # more symbols than the country has listed
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


def settlement(day: date) -> date:
    """Give the settlement date of a trade date under the rule of its time."""
    days = 1 if day >= T_PLUS_1_FROM else 2 if day >= T_PLUS_2_FROM else 3
    for _ in range(days):
        day = next_session(day).session_date
    return day


@lru_cache(maxsize=ASSET_IDS_KEPT)
def asset_id(symbol: str) -> str:
    """Give a symbol's asset id: the same at every venue."""
    return fixed_id(f"asset:{symbol}")


def order(found: VenueOrder, legs: Sequence[VenueOrder] = ()) -> Json:
    """Write an order, its legs nested where they are given; only grouped orders name their group."""
    kind = str(found.order_type)
    body = {
        "id": found.order_id,
        "client_order_id": found.client_order_id,
        "created_at": instant(found.created_at),
        "updated_at": instant(found.updated_at),
        "submitted_at": instant(found.submitted_at),
        "filled_at": maybe(found.filled_at),
        "expired_at": maybe(found.expired_at),
        "canceled_at": maybe(found.canceled_at),
        "failed_at": maybe(found.failed_at),
        "replaced_at": maybe(found.replaced_at),
        "replaced_by": found.replaced_by,
        "replaces": found.replaces,
        "asset_id": asset_id(found.symbol),
        "symbol": found.symbol,
        "asset_class": "us_equity",
        "notional": optional(found.notional),
        "qty": optional(found.qty),
        "filled_qty": amount(found.filled_qty),
        "filled_avg_price": optional(found.filled_avg_price),
        "order_class": found.order_class,
        "order_type": kind,
        "type": kind,
        "side": str(found.side),
        "position_intent": found.position_intent,
        "time_in_force": str(found.time_in_force),
        "limit_price": optional(found.limit_price),
        "stop_price": optional(found.stop_price),
        "status": str(found.status),
        "extended_hours": found.extended_hours,
        "legs": [order(leg) for leg in legs] or None,
        "trail_percent": optional(found.trail_percent),
        "trail_price": optional(found.trail_price),
        "hwm": optional(found.hwm),
        "subtag": None,
        "source": found.source,
        "expires_at": instant(found.expires_at),
    }
    if found.group_id is not None:
        body["group_id"], body["group_role"] = found.group_id, found.group_role
    return body


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


def stream_update(told: VenueEvent) -> Json:
    """Write a stream event; its order lacks subtag and source and says when a cancel was asked."""
    body = order(told.order)
    del body["subtag"], body["source"]
    body["cancel_requested_at"] = maybe(told.order.cancel_requested_at)
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
    """Encode JSON compactly; NaN never leaves the venue: it becomes null."""
    return orjson.dumps(body)


def refusal(refused: Refusal) -> Json:
    """Write a refusal's body, keys in alphabetical order as the service does."""
    return dict(sorted({"code": refused.code, "message": refused.message, **refused.extra}.items()))

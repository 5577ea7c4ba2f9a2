"""Alpaca's JSON, incoming: requests as clients send them.

alpaca-py sends numbers, Node's client strings, others either; content types lie, and unknown fields are
common (ALPACA.md section 7). All are taken. Numbers keep their digits: a float never becomes a Decimal
through binary.
"""

import json
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from desk.exchange.orders import OrderRequest, ReplaceRequest
from desk.exchange.refusals import BAD_REQUEST, Refusal

AMOUNT_MAX = Decimal(10) ** 12  # beyond any order, and far inside a Decimal's precision


def loads(body: bytes) -> dict[str, Any]:
    """Parse a request's body whatever its content type; numbers keep their digits.

    Raises:
        Refusal: it is not a JSON object.
    """
    try:
        parsed = json.loads(body or b"{}", parse_float=Decimal)
    except ValueError as error:
        raise Refusal(400, BAD_REQUEST, f"request body format is invalid: {error}") from error
    if not isinstance(parsed, dict):
        raise Refusal(400, BAD_REQUEST, "request body format is invalid: expected an object")
    return parsed


def order_request(body: Mapping[str, Any]) -> OrderRequest:
    """Read an order request; unknown fields are ignored.

    Raises:
        Refusal: an amount is no number.
    """
    profit, loss = part(body, "take_profit"), part(body, "stop_loss")
    return OrderRequest(
        symbol=text(body, "symbol"),
        side=text(body, "side"),
        order_type=text(body, "type") or text(body, "order_type"),
        time_in_force=text(body, "time_in_force"),
        qty=number(body, "qty"),
        notional=number(body, "notional"),
        limit_price=number(body, "limit_price"),
        stop_price=number(body, "stop_price"),
        extended_hours=truth(body.get("extended_hours")),
        client_order_id=text(body, "client_order_id") or None,
        order_class=text(body, "order_class"),
        position_intent=text(body, "position_intent") or None,
        trail_price=number(body, "trail_price"),
        trail_percent=number(body, "trail_percent"),
        take_profit_price=number(profit, "limit_price", "take_profit.limit_price"),
        stop_loss_price=number(loss, "stop_price", "stop_loss.stop_price"),
        stop_loss_limit_price=number(loss, "limit_price", "stop_loss.limit_price"),
    )


def replace_request(body: Mapping[str, Any]) -> ReplaceRequest:
    """Read what is to change of an order; unknown fields are ignored.

    Raises:
        Refusal: an amount is no number.
    """
    return ReplaceRequest(
        qty=number(body, "qty"),
        notional=number(body, "notional"),
        time_in_force=text(body, "time_in_force") or None,
        limit_price=number(body, "limit_price"),
        stop_price=number(body, "stop_price"),
        trail=number(body, "trail"),
        client_order_id=text(body, "client_order_id") or None,
    )


def part(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Read an object inside the body; a missing one is empty.

    Raises:
        Refusal: it is something else.
    """
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise Refusal(422, BAD_REQUEST, f"invalid {name}")
    return value


def text(body: Mapping[str, Any], name: str) -> str:
    """Read a word; a missing one is empty."""
    value = body.get(name)
    return "" if value is None else str(value)


def number(body: Mapping[str, Any], name: str, shown: str | None = None) -> Decimal | None:
    """Read an amount sent as a string or a number.

    Args:
        body: where it stands.
        name: its field.
        shown: its name in a refusal, where that is another one.

    Raises:
        Refusal: it is neither.
    """
    value = body.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise Refusal(422, BAD_REQUEST, f"invalid {shown or name}")
    try:
        found = Decimal(value)
    except InvalidOperation as error:
        raise Refusal(422, BAD_REQUEST, f"invalid {shown or name}") from error
    if not found.is_finite() or abs(found) > AMOUNT_MAX:
        raise Refusal(422, BAD_REQUEST, f"invalid {shown or name}")
    return found


def truth(value: object) -> bool:
    """Read a boolean in any of the forms clients send: true, True, "true", 1."""
    return value is True or str(value).lower() in ("true", "1")

"""What the venue refuses, with Alpaca's status, code, message and extra fields (ALPACA.md section 2.4).

Two kinds: what is wrong with the request by itself (`checked` turns a request into a typed draft), and what
is wrong with it now, given the account and its open orders (`admit`). Nothing here changes anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from desk.exchange.books import Books
from desk.exchange.matching import stop_collar
from desk.exchange.orders import OrderRequest, VenueOrder
from desk.money import FRACTIONAL_LOT, ZERO, is_whole, tick_size
from schemas.account import Asset
from schemas.orders import OrderType, Side, TimeInForce

BAD_REQUEST = 40010001
FORBIDDEN = 40310000
NOT_FOUND = 40410000
UNPROCESSABLE = 42210000
CLIENT_ORDER_ID_MAX = 128  # ALPACA.md section 2.3
SHORT_PRICE_FACTOR = Decimal("1.03")  # a short is charged at ask + 3 %
TIMES_SERVED = frozenset({TimeInForce.DAY, TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK})
_NEEDS_STOP = frozenset({OrderType.STOP, OrderType.STOP_LIMIT})
_NEEDS_LIMIT = frozenset({OrderType.LIMIT, OrderType.STOP_LIMIT})


class Refusal(Exception):
    """A definite no, as it goes on the wire; nothing changed."""

    def __init__(self, status: int, code: int, message: str, **extra: object) -> None:
        """Keep HTTP status, Alpaca's code, the message and further fields of the body."""
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.extra = extra


@dataclass(frozen=True, slots=True)
class Draft:
    """A request whose words and numbers are in order."""

    symbol: str
    side: Side
    qty: Decimal
    order_type: OrderType
    time_in_force: TimeInForce
    limit_price: Decimal | None
    stop_price: Decimal | None
    extended_hours: bool
    client_order_id: str | None
    position_intent: str | None
    source: str


@dataclass(frozen=True, slots=True)
class Situation:
    """What a draft is judged against."""

    asset: Asset
    books: Books
    resting: Sequence[VenueOrder]  # open orders of the symbol
    buying_power: Decimal
    bid: Decimal | None
    ask: Decimal | None
    shorting_enabled: bool


@dataclass(frozen=True, slots=True)
class Admission:
    """What an admitted order is: what it does to the position, and what it holds of buying power."""

    position_intent: str
    reserve_price: Decimal


def checked(request: OrderRequest) -> Draft:
    """Give the typed draft of a request.

    Raises:
        Refusal: a word is unknown, or a number is missing, superfluous, not positive or of an illegal step.
    """
    if request.symbol == "":
        raise Refusal(422, BAD_REQUEST, "symbol is required")
    side = Side(_word(request.side, {str(s) for s in Side}, "side"))
    if request.order_type == "trailing_stop":
        raise Refusal(422, UNPROCESSABLE, "order type trailing_stop is not served by this venue")
    order_type = OrderType(_word(request.order_type, {str(t) for t in OrderType}, "order type"))
    force = TimeInForce(_word(request.time_in_force, {str(t) for t in TimeInForce}, "time_in_force"))
    if force not in TIMES_SERVED:
        raise Refusal(422, UNPROCESSABLE, f"time_in_force {force} is not served by this venue")
    if request.order_class not in ("", "simple"):
        raise Refusal(422, UNPROCESSABLE, f"order_class {request.order_class} is not served by this venue")
    qty = _qty(request)
    _check_prices(order_type, request)
    if request.client_order_id is not None and len(request.client_order_id) > CLIENT_ORDER_ID_MAX:
        raise Refusal(
            422, BAD_REQUEST, f"client_order_id must be no more than {CLIENT_ORDER_ID_MAX} characters"
        )
    if request.extended_hours and (
        order_type is not OrderType.LIMIT or force not in (TimeInForce.DAY, TimeInForce.GTC)
    ):
        raise Refusal(422, UNPROCESSABLE, "extended hours order must be DAY or GTC limit orders")
    if not is_whole(qty) and force is not TimeInForce.DAY:
        raise Refusal(422, UNPROCESSABLE, "fractional orders must be DAY orders")
    return Draft(
        symbol=request.symbol,
        side=side,
        qty=qty,
        order_type=order_type,
        time_in_force=force,
        limit_price=request.limit_price,
        stop_price=request.stop_price,
        extended_hours=request.extended_hours,
        client_order_id=request.client_order_id,
        position_intent=request.position_intent,
        source=request.source,
    )


def admit(draft: Draft, situation: Situation) -> Admission:
    """Judge a draft against the account.

    Raises:
        Refusal: asset, wash trade, held shares, shorting or buying power forbid it.
    """
    asset = situation.asset
    if not asset.tradable:
        raise Refusal(422, UNPROCESSABLE, f'asset "{draft.symbol}" is not tradable')
    if not is_whole(draft.qty) and not asset.fractionable:
        raise Refusal(403, FORBIDDEN, f'asset "{draft.symbol}" is not fractionable')
    _check_wash_trade(draft, situation.resting)
    position = situation.books.qty(draft.symbol)
    if position == 0 or (position > 0) == (draft.side is Side.BUY):
        intent = "buy_to_open" if draft.side is Side.BUY else "sell_to_open"
        price = _check_opening(draft, situation)
    else:
        intent = "sell_to_close" if draft.side is Side.SELL else "buy_to_close"
        _check_available(draft, position, situation.resting)
        price = ZERO
    if draft.position_intent is not None and draft.position_intent != intent:
        message = f"position intent mismatch, inferred: {intent}, specified: {draft.position_intent}"
        raise Refusal(422, UNPROCESSABLE, message)
    return Admission(intent, price)


def _word(value: str, known: set[str], name: str) -> str:
    """Give the word if it is known."""
    if value not in known:
        raise Refusal(422, BAD_REQUEST, f"invalid {name}")
    return value


def _qty(request: OrderRequest) -> Decimal:
    """Give the quantity of a request."""
    if request.qty is not None and request.notional is not None:
        raise Refusal(422, BAD_REQUEST, "only one of qty or notional is accepted")
    if request.notional is not None:
        raise Refusal(422, UNPROCESSABLE, "notional orders are not served by this venue")
    if request.qty is None:
        raise Refusal(422, BAD_REQUEST, "qty or notional is required")
    if not request.qty.is_finite() or request.qty <= 0:
        raise Refusal(422, BAD_REQUEST, "qty must be > 0")
    if request.qty % FRACTIONAL_LOT != 0:
        raise Refusal(422, UNPROCESSABLE, "qty must be limited to 9 decimal places")
    return request.qty


def _check_prices(order_type: OrderType, request: OrderRequest) -> None:
    """Check that exactly the prices of the type are there, positive and on the tick."""
    limit, stop = request.limit_price, request.stop_price
    if order_type is OrderType.MARKET and (limit is not None or stop is not None):
        raise Refusal(422, BAD_REQUEST, "market orders require no stop or limit price")
    if order_type is OrderType.STOP_LIMIT and (limit is None or stop is None):
        raise Refusal(422, BAD_REQUEST, "stop limit orders require both stop and limit price")
    if order_type in _NEEDS_LIMIT and limit is None:
        raise Refusal(422, BAD_REQUEST, "limit orders require a limit price")
    if order_type in _NEEDS_STOP and stop is None:
        raise Refusal(422, BAD_REQUEST, "stop orders require a stop price")
    if order_type is OrderType.LIMIT and stop is not None:
        raise Refusal(422, BAD_REQUEST, "limit orders require no stop price")
    if order_type is OrderType.STOP and limit is not None:
        raise Refusal(422, BAD_REQUEST, "stop orders require no limit price")
    for name, price in (("limit", limit), ("stop", stop)):
        if price is None:
            continue
        if not price.is_finite() or price <= 0:
            raise Refusal(422, BAD_REQUEST, f"{name} price must be > 0")
        if price % tick_size(price) != 0:
            shown = f"{price.normalize():f}"
            message = (
                f"invalid {name}_price {shown}. sub-penny increment does not fulfill minimum pricing criteria"
            )
            raise Refusal(422, UNPROCESSABLE, message)


def _check_wash_trade(draft: Draft, resting: Sequence[VenueOrder]) -> None:
    """Refuse an order that could trade with one of the account's own (also in paper)."""
    for other in resting:
        if other.side is draft.side:
            continue
        both_limits = draft.order_type in _NEEDS_LIMIT and other.order_type in _NEEDS_LIMIT
        if both_limits:
            assert draft.limit_price is not None
            assert other.limit_price is not None
            buying, selling = draft.limit_price, other.limit_price
            if draft.side is Side.SELL:
                buying, selling = selling, buying
            if buying < selling:
                continue
        kind = "limit" if both_limits else "market/stop"
        raise Refusal(
            403,
            FORBIDDEN,
            "potential wash trade detected. use complex orders",
            existing_order_id=other.order_id,
            reject_reason=f"opposite side {kind} order exists",
        )


def _check_available(draft: Draft, position: Decimal, resting: Sequence[VenueOrder]) -> None:
    """Refuse to close more than is held and not already held for other orders."""
    closing = [other for other in resting if other.side is draft.side]
    held = sum((other.remaining for other in closing), ZERO)
    available = max(abs(position) - held, ZERO)
    if draft.qty <= available:
        return
    asked = f"requested: {_text(draft.qty)}, available: {_text(available)}"
    related = {"related_orders": [other.order_id for other in closing]} if closing else {}
    raise Refusal(
        403,
        FORBIDDEN,
        f"insufficient qty available for order ({asked})",
        available=_text(available),
        existing_qty=_text(abs(position)),
        held_for_orders=_text(held),
        symbol=draft.symbol,
        **related,
    )


def _check_opening(draft: Draft, situation: Situation) -> Decimal:
    """Check an opening order and give the price at which it holds buying power."""
    short = draft.side is Side.SELL
    if short:
        if not is_whole(draft.qty):
            raise Refusal(422, UNPROCESSABLE, "fractional orders cannot be sold short")
        if not situation.shorting_enabled:
            raise Refusal(403, FORBIDDEN, "account is not allowed to short")
        if not situation.asset.shortable or not situation.asset.easy_to_borrow:
            raise Refusal(422, UNPROCESSABLE, f"asset {draft.symbol} cannot be sold short")
    if any(other.side is not draft.side and other.reserve_price > 0 for other in situation.resting):
        opened, by = ("short sell", "long buy") if short else ("long buy", "short sell")
        raise Refusal(403, FORBIDDEN, f"cannot open a {opened} while a {by} order is open")
    price = _reserve_price(draft, situation)
    basis = draft.qty * price
    if basis > situation.buying_power:
        raise Refusal(
            403,
            FORBIDDEN,
            "insufficient buying power",
            buying_power=_text(situation.buying_power),
            cost_basis=_text(basis),
        )
    return price


def _reserve_price(draft: Draft, situation: Situation) -> Decimal:
    """Give the price a share is charged at while the order is open; zero when no price is known yet."""
    ask = situation.ask if situation.ask is not None else ZERO
    if draft.side is Side.SELL:
        return max(draft.limit_price if draft.limit_price is not None else ZERO, ask * SHORT_PRICE_FACTOR)
    if draft.limit_price is not None:
        return draft.limit_price
    return ask if draft.stop_price is None else stop_collar(draft.stop_price)


def _text(amount: Decimal) -> str:
    """Write an amount as Alpaca does: plain, without padding, at most nine decimals."""
    return f"{round(amount, 9).normalize():f}"

"""What is wrong with a request by itself, with Alpaca's status, code and message (ALPACA.md section 2.4).

`checked` turns a request into a typed draft, or refuses it. What is wrong with it now, given the account and
its open orders, is `desk.exchange.admission`. Nothing here changes anything.
"""

from dataclasses import dataclass
from decimal import Decimal

from desk.exchange.orders import OrderRequest
from desk.money import CENT, FRACTIONAL_LOT, is_whole, tick_size
from schemas.orders import OrderClass, OrderType, Side, TimeInForce

BAD_REQUEST = 40010001
FORBIDDEN = 40310000
NOT_FOUND = 40410000
UNPROCESSABLE = 42210000
CLIENT_ORDER_ID_MAX = 128  # ALPACA.md section 2.3
NOTIONAL_MIN_USD = Decimal("1.00")
TRAIL_PERCENT_MIN = Decimal("0.1")
SIMPLE = ("", str(OrderClass.SIMPLE))
RESTING = frozenset({TimeInForce.DAY, TimeInForce.GTC})
AUCTIONS = frozenset({TimeInForce.OPG, TimeInForce.CLS})
NEEDS_STOP = frozenset({OrderType.STOP, OrderType.STOP_LIMIT})
NEEDS_LIMIT = frozenset({OrderType.LIMIT, OrderType.STOP_LIMIT})


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
    qty: Decimal | None
    order_type: OrderType
    time_in_force: TimeInForce
    limit_price: Decimal | None
    stop_price: Decimal | None
    extended_hours: bool
    client_order_id: str | None
    position_intent: str | None
    source: str
    notional: Decimal | None = None
    trail_price: Decimal | None = None
    trail_percent: Decimal | None = None
    order_class: str = ""
    take_profit_price: Decimal | None = None
    stop_loss_price: Decimal | None = None
    stop_loss_limit_price: Decimal | None = None

    @property
    def is_fractional(self) -> bool:
        """Tell whether the order asks for parts of a share, by quantity or by money."""
        return self.qty is None or not is_whole(self.qty)


def bad(message: str) -> Refusal:
    """Give the refusal of a request that makes no sense."""
    return Refusal(422, BAD_REQUEST, message)


def unprocessable(message: str, **extra: object) -> Refusal:
    """Give the refusal of a request that makes sense and is against a rule."""
    return Refusal(422, UNPROCESSABLE, message, **extra)


def checked(request: OrderRequest) -> Draft:
    """Give the typed draft of a request.

    Raises:
        Refusal: a word is unknown, or a number is missing, superfluous, not positive or of an illegal step.
    """
    if request.symbol == "":
        raise bad("symbol is required")
    side = Side(_word(request.side, {str(s) for s in Side}, "side"))
    order_type = OrderType(_word(request.order_type, {str(t) for t in OrderType}, "order type"))
    force = TimeInForce(_word(request.time_in_force, {str(t) for t in TimeInForce}, "time_in_force"))
    order_class = _word(request.order_class, {"", *(str(c) for c in OrderClass)}, "order_class")
    order_class = "" if order_class in SIMPLE else order_class
    _check_amount(request)
    limit = request.limit_price
    is_oco = order_class == OrderClass.OCO and order_type is OrderType.LIMIT
    if is_oco and request.take_profit_price is not None:
        limit = request.take_profit_price
    _check_prices(order_type, limit, request.stop_price)
    _check_trail(order_type, request)
    draft = Draft(
        symbol=request.symbol,
        side=side,
        qty=request.qty,
        order_type=order_type,
        time_in_force=force,
        limit_price=limit,
        stop_price=request.stop_price,
        extended_hours=request.extended_hours,
        client_order_id=request.client_order_id,
        position_intent=request.position_intent,
        source=request.source,
        notional=request.notional,
        trail_price=request.trail_price,
        trail_percent=request.trail_percent,
        order_class=order_class,
        take_profit_price=limit if is_oco else request.take_profit_price,
        stop_loss_price=request.stop_loss_price,
        stop_loss_limit_price=request.stop_loss_limit_price,
    )
    if draft.client_order_id is not None and len(draft.client_order_id) > CLIENT_ORDER_ID_MAX:
        raise bad(f"client_order_id must be no more than {CLIENT_ORDER_ID_MAX} characters")
    _check_legs(draft)
    _check_time(draft)
    _check_fraction(draft)
    return draft


def check_price(name: str, price: Decimal | None) -> None:
    """Refuse a price that is not positive or not on its tick; None is fine.

    Args:
        name: the field, as `limit_price` or `stop_loss.stop_price`.
        price: the amount.

    Raises:
        Refusal: 422.
    """
    if price is None:
        return
    if not price.is_finite() or price <= 0:
        raise bad(f"{name.replace('_', ' ')} must be > 0")
    if price % tick_size(price) != 0:
        shown = f"{price.normalize():f}"
        raise unprocessable(
            f"invalid {name} {shown}. sub-penny increment does not fulfill minimum pricing criteria"
        )


def _word(value: str, known: set[str], name: str) -> str:
    """Give the word if it is known."""
    if value not in known:
        raise bad(f"invalid {name}")
    return value


def _check_amount(request: OrderRequest) -> None:
    """Check that there is one of quantity and notional, positive and of a legal step."""
    if request.qty is not None and request.notional is not None:
        raise bad("only one of qty or notional is accepted")
    if request.notional is not None:
        if not request.notional.is_finite() or request.notional < NOTIONAL_MIN_USD:
            raise bad(f"notional must be >= {NOTIONAL_MIN_USD}")
        if request.notional % CENT != 0:
            raise unprocessable("notional value must be limited to 2 decimal places")
        return
    if request.qty is None:
        raise bad("qty or notional is required")
    if not request.qty.is_finite() or request.qty <= 0:
        raise bad("qty must be > 0")
    if request.qty % FRACTIONAL_LOT != 0:
        raise unprocessable("qty must be limited to 9 decimal places")


def _check_prices(order_type: OrderType, limit: Decimal | None, stop: Decimal | None) -> None:
    """Check that exactly the prices of the type are there, positive and on the tick."""
    if order_type is OrderType.MARKET and (limit is not None or stop is not None):
        raise bad("market orders require no stop or limit price")
    if order_type is OrderType.TRAILING_STOP and (limit is not None or stop is not None):
        raise bad("trailing stop orders require no stop or limit price")
    if order_type is OrderType.STOP_LIMIT and (limit is None or stop is None):
        raise bad("stop limit orders require both stop and limit price")
    if order_type in NEEDS_LIMIT and limit is None:
        raise bad("limit orders require a limit price")
    if order_type in NEEDS_STOP and stop is None:
        raise bad("stop orders require a stop price")
    if order_type is OrderType.LIMIT and stop is not None:
        raise bad("limit orders require no stop price")
    if order_type is OrderType.STOP and limit is not None:
        raise bad("stop orders require no limit price")
    check_price("limit_price", limit)
    check_price("stop_price", stop)


def _check_trail(order_type: OrderType, request: OrderRequest) -> None:
    """Check that a trailing stop has exactly one trail, and nothing else has any."""
    price, percent = request.trail_price, request.trail_percent
    if order_type is not OrderType.TRAILING_STOP:
        if price is not None or percent is not None:
            raise bad("trail_price and trail_percent are for trailing stop orders only")
        return
    if (price is None) == (percent is None):
        raise bad("trailing stop orders must specify one of trail_price or trail_percent")
    if price is not None and (not price.is_finite() or price <= 0):
        raise bad("trail_price must be > 0")
    if percent is not None and (not percent.is_finite() or not TRAIL_PERCENT_MIN <= percent < 100):
        raise bad(f"trail_percent must be >= {TRAIL_PERCENT_MIN} and < 100")
    if price is not None and price % tick_size(price) != 0:
        raise unprocessable(
            f"invalid trail_price {price.normalize():f}. sub-penny increment does not fulfill minimum "
            "pricing criteria"
        )


def _check_legs(draft: Draft) -> None:
    """Check that the legs are those of the class, and their prices among themselves."""
    kind = draft.order_class
    profit, loss, loss_limit = draft.take_profit_price, draft.stop_loss_price, draft.stop_loss_limit_price
    if kind == "":
        if not profit is loss is loss_limit is None:
            raise bad("take_profit and stop_loss require order_class bracket, oco or oto")
        return
    if draft.order_type is OrderType.TRAILING_STOP or (
        kind == OrderClass.OCO and draft.order_type is not OrderType.LIMIT
    ):
        allowed = "limit" if kind == OrderClass.OCO else "market, limit, stop, or stop_limit"
        raise unprocessable(f"{kind} orders must be {allowed} orders")
    if loss_limit is not None and loss is None:
        raise bad(f"{kind} orders require stop_loss.stop_price")
    if kind == OrderClass.OTO:
        if (profit is None) == (loss is None):
            raise bad("oto orders require exactly one of take_profit or stop_loss")
    elif profit is None:
        raise bad(f"{kind} orders require take_profit.limit_price")
    elif loss is None:
        raise bad(f"{kind} orders require stop_loss.stop_price")
    check_price("take_profit.limit_price", profit)
    check_price("stop_loss.stop_price", loss)
    check_price("stop_loss.limit_price", loss_limit)
    if draft.extended_hours:
        raise unprocessable(f"{kind} orders are not accepted for extended hours")
    if draft.time_in_force not in RESTING:
        raise unprocessable(f"{kind} orders must be DAY or GTC orders")


def _check_time(draft: Draft) -> None:
    """Check what the time in force and the extended hours allow."""
    force, kind = draft.time_in_force, draft.order_type
    if kind is OrderType.TRAILING_STOP and force not in RESTING:
        raise unprocessable("trailing stop orders must be DAY or GTC orders")
    if draft.extended_hours and (kind is not OrderType.LIMIT or force not in RESTING):
        raise unprocessable("extended hours order must be DAY or GTC limit orders")
    if force in AUCTIONS and kind not in (OrderType.MARKET, OrderType.LIMIT):
        raise unprocessable(f"{force} orders must be market or limit orders")


def _check_fraction(draft: Draft) -> None:
    """Check what parts of a share may be asked for with."""
    if not draft.is_fractional:
        return
    if draft.time_in_force is not TimeInForce.DAY:
        raise unprocessable("fractional orders must be DAY orders")
    if draft.order_type is OrderType.TRAILING_STOP:
        raise unprocessable("fractional orders must be market, limit, stop, or stop_limit orders")
    if draft.order_class != "":
        raise unprocessable("fractional orders must be simple orders")

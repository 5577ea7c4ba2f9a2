"""What the venue refuses for what the account is and has open now (ALPACA.md section 2.4).

`admit` judges a draft against its situation and says what the order does to the position and what it holds
of buying power. A replacement is judged as a new order in the place of the old one. Nothing here changes
anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from decimal import Decimal

from desk.exchange.books import Books, Totals
from desk.exchange.matching import stop_collar
from desk.exchange.orders import VenueOrder
from desk.exchange.refusals import FORBIDDEN, NEEDS_LIMIT, Draft, Refusal, unprocessable
from desk.hours import from_new_york
from desk.money import CENT, ZERO
from schemas.account import Asset, SessionHours
from schemas.orders import OrderClass, OrderType, Side, TimeInForce

SHORT_PRICE_FACTOR = Decimal("1.03")  # a short is charged at ask + 3 %
CLOSING_ONLY_FROM = 6  # positions above 600 % of equity may only be closed
OPG_UNTIL = timedelta(minutes=2)  # before the open: 09:28
CLS_UNTIL = timedelta(minutes=10)  # before the close: 15:50
_EVENING = time(19)  # New York; from then on an auction order is for the next session


@dataclass(frozen=True, slots=True)
class Standing:
    """What the broker lets the account do, whatever its owner set."""

    trading_blocked: bool = False
    liquidation_only: bool = False


@dataclass(frozen=True, slots=True)
class Situation:
    """What a draft is judged against."""

    asset: Asset
    books: Books
    standing: Standing
    totals: Totals
    resting: Sequence[VenueOrder]  # open orders of the symbol
    buying_power: Decimal
    price: Decimal | None  # a share bought now: ask, midpoint in extended hours, last trade when closed
    bid: Decimal | None
    ask: Decimal | None
    shorting_enabled: bool


@dataclass(frozen=True, slots=True)
class Admission:
    """What an admitted order is: what it does to the position, and what it holds of buying power."""

    position_intent: str
    reserve_price: Decimal
    qty_price: Decimal = ZERO


def admit(draft: Draft, situation: Situation) -> Admission:
    """Judge a draft against the account.

    Raises:
        Refusal: account, asset, wash trade, held shares, shorting, legs or buying power forbid it.
    """
    asset = situation.asset
    if situation.standing.trading_blocked:
        raise Refusal(403, FORBIDDEN, "account is not authorized to trade")
    if not asset.tradable:
        raise unprocessable(f'asset "{draft.symbol}" is not tradable')
    if draft.is_fractional and not asset.fractionable:
        raise Refusal(403, FORBIDDEN, f'asset "{draft.symbol}" is not fractionable')
    _check_wash_trade(draft, situation.resting)
    position = situation.books.qty(draft.symbol)
    shares = _shares(draft, situation)
    if position == 0 or (position > 0) == (draft.side is Side.BUY):
        intent = "buy_to_open" if draft.side is Side.BUY else "sell_to_open"
        if draft.order_class == OrderClass.OCO:
            raise unprocessable("oco orders must be exit orders")
        price = _check_opening(draft, situation)
    else:
        intent = "sell_to_close" if draft.side is Side.SELL else "buy_to_close"
        if draft.order_class in (OrderClass.BRACKET, OrderClass.OTO):
            raise unprocessable(f"{draft.order_class} orders must be entry orders")
        check_available(draft, shares, position, situation.resting)
        price = ZERO
    _check_leg_prices(draft, situation)
    if draft.position_intent is not None and draft.position_intent != intent:
        raise unprocessable(
            f"position intent mismatch, inferred: {intent}, specified: {draft.position_intent}"
        )
    return Admission(intent, price, ZERO if draft.qty is not None else _unit_price(draft, situation))


def check_available(draft: Draft, shares: Decimal, position: Decimal, resting: Sequence[VenueOrder]) -> None:
    """Refuse to close more than is held and not already held for other orders."""
    closing = [other for other in resting if other.side is draft.side and other.shares_held > 0]
    held = sum((other.shares_held for other in closing), ZERO)
    available = max(abs(position) - held, ZERO)
    if shares <= available:
        return
    asked = f"requested: {_text(shares)}, available: {_text(available)}"
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


def check_window(force: TimeInForce, now: datetime, hours: SessionHours) -> None:
    """Refuse an auction order that comes too late for this session's auction and too early for the next.

    Raises:
        Refusal: 403.
    """
    if force not in (TimeInForce.OPG, TimeInForce.CLS):
        return
    late = hours.opens_at - OPG_UNTIL if force is TimeInForce.OPG else hours.closes_at - CLS_UNTIL
    evening = from_new_york(hours.session_date, _EVENING)
    if late <= now < evening:
        until = "9:28am" if force is TimeInForce.OPG else "3:50pm"
        raise Refusal(403, FORBIDDEN, f"{force} orders must be submitted after 7:00pm and before {until}")


def _unit_price(draft: Draft, situation: Situation) -> Decimal:
    """Give the price that turns an order in USD into shares while it is open; zero when none is known."""
    if draft.limit_price is not None:
        return draft.limit_price
    price = situation.price if draft.side is Side.BUY else situation.bid
    return ZERO if price is None else price


def _shares(draft: Draft, situation: Situation) -> Decimal:
    """Give the shares asked for; of an order in USD an estimate."""
    if draft.qty is not None:
        return draft.qty
    price = _unit_price(draft, situation)
    assert draft.notional is not None
    return ZERO if price <= 0 else round(draft.notional / price, 9)


def _check_wash_trade(draft: Draft, resting: Sequence[VenueOrder]) -> None:
    """Refuse an order that could trade with one of the account's own (also in paper).

    Brackets, oco and trailing stops are exempt, whichever of the two orders is one.
    """
    if draft.order_class != "" or draft.order_type is OrderType.TRAILING_STOP:
        return
    for other in resting:
        if other.side is draft.side or other.is_complex or other.order_type is OrderType.TRAILING_STOP:
            continue
        both_limits = draft.order_type in NEEDS_LIMIT and other.order_type in NEEDS_LIMIT
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


def _check_opening(draft: Draft, situation: Situation) -> Decimal:
    """Check an opening order and give the price at which it holds buying power."""
    short = draft.side is Side.SELL
    totals = situation.totals
    if situation.standing.liquidation_only or (
        totals.gross > 0 and totals.gross > totals.equity * CLOSING_ONLY_FROM
    ):
        raise Refusal(403, FORBIDDEN, "account is restricted to liquidation only")
    if short:
        if draft.is_fractional:
            raise unprocessable("fractional orders cannot be sold short")
        if not situation.shorting_enabled:
            raise Refusal(403, FORBIDDEN, "account is not allowed to short")
        if not situation.asset.shortable or not situation.asset.easy_to_borrow:
            raise unprocessable(f"asset {draft.symbol} cannot be sold short")
    if any(other.side is not draft.side and other.reserve_price > 0 for other in situation.resting):
        opened, by = ("short sell", "long buy") if short else ("long buy", "short sell")
        raise Refusal(403, FORBIDDEN, f"cannot open a {opened} while a {by} order is open")
    price = _reserve_price(draft, situation)
    basis = draft.notional if draft.qty is None else draft.qty * price
    assert basis is not None
    if basis > situation.buying_power:
        raise Refusal(
            403,
            FORBIDDEN,
            "insufficient buying power",
            buying_power=_text(situation.buying_power),
            cost_basis=_text(basis),
        )
    return price


def _check_leg_prices(draft: Draft, situation: Situation) -> None:
    """Check that the legs lie on their sides of each other and of the entry's price."""
    if draft.order_class == "":
        return
    # The position's direction: a bracket's entry goes with it, an oco against it.
    long = (draft.side is Side.BUY) != (draft.order_class == OrderClass.OCO)
    profit, loss = draft.take_profit_price, draft.stop_loss_price
    if profit is not None and loss is not None and not (profit > loss if long else profit < loss):
        raise unprocessable(f"take_profit.limit_price must be {'>' if long else '<'} stop_loss.stop_price")
    base = situation.bid if long else situation.ask
    if draft.order_class != OrderClass.OCO:
        base = next((p for p in (draft.limit_price, draft.stop_price) if p is not None), base)
    if base is None:
        return
    shown = _text(base)
    if loss is not None and not (loss <= base - CENT if long else loss >= base + CENT):
        rule = "<= base_price - 0.01" if long else ">= base_price + 0.01"
        raise unprocessable(f"stop_loss.stop_price must be {rule}", base_price=shown)
    if draft.order_class == OrderClass.OCO or profit is None:
        return
    if not (profit >= base + CENT if long else profit <= base - CENT):
        rule = ">= base_price + 0.01" if long else "<= base_price - 0.01"
        raise unprocessable(f"take_profit.limit_price must be {rule}", base_price=shown)


def _reserve_price(draft: Draft, situation: Situation) -> Decimal:
    """Give the price a share is charged at while the order is open; zero when no price is known yet."""
    price = situation.price if situation.price is not None else ZERO
    if draft.side is Side.SELL:
        ask = situation.ask if situation.ask is not None else ZERO
        return max(draft.limit_price if draft.limit_price is not None else ZERO, ask * SHORT_PRICE_FACTOR)
    if draft.limit_price is not None:
        return draft.limit_price
    return price if draft.stop_price is None else stop_collar(draft.stop_price)


def _text(amount: Decimal) -> str:
    """Write an amount as Alpaca does: plain, without padding, at most nine decimals."""
    return f"{round(amount, 9).normalize():f}"

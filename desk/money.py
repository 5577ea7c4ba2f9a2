"""Money, prices and quantities: the one place where floats become Decimals.

Signals and indicators are float64; from the sizer outward every amount is a Decimal (I15). A float
crosses here, through its shortest decimal text and then the tick or lot, never by `Decimal(float)`,
which would carry the binary tail of 0.1 into an order.

Rounding is named by what it is for, and never costs the user more than one tick or lot:

- a buy limit (or buy stop) goes down, a sell limit (or sell stop) goes up: never a worse price than
  was asked for; a protective stop triggers a tick early rather than late;
- a quantity goes down: never more shares than the money was meant for;
- a reference price goes to the nearest tick.

The tick is Rule 612 of Regulation NMS (17 CFR 242.612): one cent from $1, a hundredth of a cent
below; the broker refuses anything finer. The half-cent ticks SEC adopted in 2024 are not in force at
the broker and are left out.
"""

from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal

from schemas.orders import Side

ONE_DOLLAR = Decimal(1)
CENT_TICK = Decimal("0.01")
SUB_DOLLAR_TICK = Decimal("0.0001")
WHOLE_LOT = Decimal(1)
# Alpaca takes at most nine decimals of a share (ALPACA.md §2.4).
FRACTIONAL_LOT = Decimal("0.000000001")
# Targets and offsets are written by hand; six decimals keep them exact and their products short.
FRACTION_STEP = Decimal("0.000001")
CENT = Decimal("0.01")
BPS = Decimal(10_000)
ZERO = Decimal(0)


def tick_size(price: Decimal) -> Decimal:
    """Give the smallest price step that is legal at this price, in USD."""
    return CENT_TICK if abs(price) >= ONE_DOLLAR else SUB_DOLLAR_TICK


def is_legal_price(price: Decimal) -> bool:
    """Tell whether an order may carry this price: positive and a multiple of its tick."""
    return price.is_finite() and price > 0 and price % tick_size(price) == 0


def nearest_tick(price: Decimal | float) -> Decimal:
    """Give the price at the nearest legal tick: a reference, not a limit.

    Raises:
        ValueError: The price is NaN or infinite.
    """
    return _to_tick(price, ROUND_HALF_EVEN)


def limit_price(price: Decimal | float, *, side: Side) -> Decimal:
    """Round a limit price to a legal tick: a buy down, a sell up.

    A buy limit below one tick becomes 0, which `is_legal_price` and the gate refuse.

    Raises:
        ValueError: The price is NaN or infinite.
    """
    return _to_tick(price, ROUND_FLOOR if side is Side.BUY else ROUND_CEILING)


def stop_price(price: Decimal | float, *, side: Side) -> Decimal:
    """Round a stop price to a legal tick: a buy stop down, a sell stop up, so it triggers early, not late.

    Raises:
        ValueError: The price is NaN or infinite.
    """
    return limit_price(price, side=side)


def qty_down(shares: Decimal | float, *, fractional: bool) -> Decimal:
    """Floor a positive number of shares to whole shares, or to nine decimals when fractions are allowed.

    Raises:
        ValueError: The number is negative, NaN or infinite.
    """
    exact = _exact(shares)
    if exact < 0:
        raise ValueError(f"a quantity is never negative, got {shares}")
    return exact.quantize(FRACTIONAL_LOT if fractional else WHOLE_LOT, ROUND_FLOOR)


def affordable_qty(notional: Decimal, *, price: Decimal, fractional: bool) -> Decimal:
    """Give the shares a notional in USD buys at a price, floored to the lot.

    Raises:
        ValueError: The price is not positive.
    """
    if price <= 0:
        raise ValueError(f"a price is positive, got {price}")
    return qty_down(max(notional, ZERO) / price, fractional=fractional)


def notional(*, qty: Decimal, price: Decimal) -> Decimal:
    """Give qty * price in USD, unrounded; signed if the quantity is."""
    return qty * price


def is_whole(qty: Decimal) -> bool:
    """Tell whether a quantity is a number of whole shares."""
    return qty == qty.to_integral_value()


def is_legal_qty(qty: Decimal) -> bool:
    """Tell whether an order may carry this quantity: positive, at most nine decimals."""
    return qty.is_finite() and qty > 0 and qty % FRACTIONAL_LOT == 0


def fraction(value: float) -> Decimal:
    """Give a signal's target or an offset as a Decimal of at most six decimals, nearest.

    Raises:
        ValueError: The value is NaN or infinite.
    """
    return _exact(value).quantize(FRACTION_STEP, ROUND_HALF_EVEN)


def through(price: Decimal, *, side: Side, offset_bps: Decimal) -> Decimal:
    """Move a price through the market: a buy up, a sell down, by `offset_bps` of it; unrounded."""
    return price * (1 + side.sign * offset_bps / BPS)


def cents_up(amount: Decimal) -> Decimal:
    """Round an amount in USD up to the cent, as a broker charges fees."""
    return amount.quantize(CENT, ROUND_CEILING)


def usd(amount: Decimal) -> str:
    """Write an amount for people: "51,200", "-1,000.50"; cents only where there are any."""
    cents = amount.quantize(CENT, ROUND_HALF_EVEN)
    return f"{cents:,.0f}" if is_whole(cents) else f"{cents:,.2f}"


def plain(number: Decimal) -> str:
    """Write a quantity or ratio for people: no exponent, no trailing zeros, thousands separated."""
    text = f"{number:,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _exact(value: Decimal | float) -> Decimal:
    """Give the shortest decimal that reads back as the same float; a Decimal as it is."""
    exact = value if isinstance(value, Decimal) else Decimal(repr(float(value)))
    if not exact.is_finite():
        raise ValueError(f"an amount is a finite number, got {value}")
    return exact


def _to_tick(price: Decimal | float, rounding: str) -> Decimal:
    exact = _exact(price)
    rounded = exact.quantize(tick_size(exact), rounding)
    # 0.99996 rounds up to 1.0000, where the tick is a cent: same value, fewer zeros.
    return rounded.quantize(tick_size(rounded), rounding)

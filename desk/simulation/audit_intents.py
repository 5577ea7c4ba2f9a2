"""What the auditor asks of an order when it is planned: its form, its limits, that an exit only leaves.

Each function raises `Broken` or returns. They are given the auditor's books, never the desk's.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from desk.simulation.audit_books import Broken, Known, Row, Rules, signed, tick

# A price the desk judged at may be rounded to a tick; more than this over a limit is no rounding.
SLACK = Fraction(1, 1000)
NOTHING = Fraction(0)
STEP_OF_FRACTIONS = Fraction(1, 10**9)


@dataclass(frozen=True)
class Book:
    """The auditor's books at the moment of an order."""

    held: Mapping[str, Fraction]  # signed shares by symbol
    working: tuple[Known, ...]  # every order that may still execute, as the ledger tells
    prices: Mapping[str, Fraction]  # newest accepted closes
    orders_today: int  # this one included


def check_form(intent: Row, rules: Rules) -> None:
    """Amounts are text of exact decimals, prices on their tick, quantities on their step (I15)."""
    name = intent["client_order_id"]
    for key in ("qty", "limit_price", "stop_price", "reference_price"):
        value = intent.get(key)
        if value is not None and not isinstance(value, str):
            raise Broken("I15", f"{name}: {key} {value!r} is no decimal text")
    qty = Fraction(intent["qty"])
    is_fine = rules.allow_fractional or intent["purpose"] == "exit"
    step = STEP_OF_FRACTIONS if is_fine else Fraction(1)
    if qty <= 0 or qty % step != 0:
        raise Broken("I15", f"{name}: {intent['qty']} is no positive multiple of {step} shares")
    for key in ("limit_price", "stop_price", "take_profit_price", "stop_loss_price"):
        if intent.get(key) is not None:
            price = Fraction(intent[key])
            if price <= 0 or price % tick(price) != 0:
                raise Broken("I15", f"{name}: {key} {intent[key]} is off its tick")
    if intent["purpose"] == "entry" and intent["order_type"] == "limit":
        _check_rounding(intent, rules)


def _check_rounding(intent: Row, rules: Rules) -> None:
    """The entry's limit is what was asked for, and less than a tick on the safe side of it."""
    sign = 1 if intent["side"] == "buy" else -1
    asked = Fraction(intent["reference_price"]) * (1 + sign * Fraction(rules.offset_bps) / 10_000)
    limit = Fraction(intent["limit_price"])
    if not -tick(limit) < (limit - asked) * sign <= 0:
        raise Broken(
            "I15",
            f"{intent['client_order_id']}: limit {intent['limit_price']} for an asked {float(asked):.6f}",
        )


# The gate's words and the limits they are judged by.
_LIMIT_OF = {
    "position_shares": "position_shares_max",
    "position_notional": "position_notional_max_usd",
    "position_equity_frac": "position_equity_frac",
    "order_notional": "order_notional_max_usd",
    "gross_exposure": "gross_max_usd",
    "net_exposure": "net_max_usd",
    "orders_per_day": "orders_per_day",
    "orders_per_minute": "orders_per_minute",
}


def check_judged(name: str, checks: Iterable[Row], limits: Mapping[str, Fraction]) -> None:
    """The limits an order was judged by are those the desk was told (I5)."""
    for check in checks:
        limit = limits.get(_LIMIT_OF.get(check["reason"], ""))
        if limit is not None and Fraction(check["limit"]) != limit:
            raise Broken("I5", f"{name}: {check['reason']} judged by {check['limit']}, told {float(limit):g}")


def check_limits(intent: Row, book: Book, limits: Mapping[str, Fraction]) -> None:
    """Approved, resting and UNKNOWN exposure together stay within every limit (I6)."""
    everything = (*book.working, Known(intent))
    low, high = _notional(everything, book)
    symbol = intent["symbol"]
    shares = _shares(symbol, everything, book)
    net = max(abs(sum(low.values(), Fraction(0))), abs(sum(high.values(), Fraction(0))))
    for limit, number in (
        ("position_shares_max", max(abs(shares[0]), abs(shares[1]))),
        ("position_notional_max_usd", max(abs(low[symbol]), abs(high[symbol]))),
        ("order_notional_max_usd", Fraction(intent["qty"]) * _worst(intent, book)),
        ("gross_max_usd", sum((max(abs(low[s]), abs(high[s])) for s in low), Fraction(0))),
        ("net_max_usd", net),
        ("orders_per_day", Fraction(book.orders_today)),
    ):
        allowed = limits.get(limit)
        if allowed is not None and number > allowed * (1 + SLACK):
            raise Broken(
                "I6",
                f"{intent['client_order_id']}: {limit} is {float(allowed):.2f}, with it {float(number):.2f}",
            )


def _shares(symbol: str, orders: Iterable[Known], book: Book) -> tuple[Fraction, Fraction]:
    low = high = book.held.get(symbol, Fraction(0))
    for each in orders:
        if each.intent["symbol"] == symbol:
            change = signed(each.intent["side"], each.remaining)
            low, high = low + min(change, NOTHING), high + max(change, NOTHING)
    return low, high


def _notional(orders: Iterable[Known], book: Book) -> tuple[dict[str, Fraction], dict[str, Fraction]]:
    """Give each symbol's least and largest notional when all that works has done its worst."""
    low = {symbol: qty * book.prices[symbol] for symbol, qty in book.held.items() if symbol in book.prices}
    high = dict(low)
    for each in orders:
        symbol = each.intent["symbol"]
        usd = signed(each.intent["side"], each.remaining) * _worst(each.intent, book)
        low[symbol] = low.get(symbol, Fraction(0)) + min(usd, NOTHING)
        high[symbol] = high.get(symbol, Fraction(0)) + max(usd, NOTHING)
    return low, high


def _worst(intent: Row, book: Book) -> Fraction:
    own = intent.get("limit_price") or intent.get("stop_price") or intent["reference_price"]
    return max(Fraction(own), book.prices.get(intent["symbol"], Fraction(0)))


def check_exit(intent: Row, book: Book) -> None:
    """All that leaves a symbol together is no more than what is held (I2)."""
    symbol, side = intent["symbol"], intent["side"]
    held = book.held.get(symbol, Fraction(0))
    leaving = Fraction(intent["qty"]) + sum(
        (
            known.remaining
            for known in book.working
            if known.intent["client_order_id"] != intent.get("replaces")
            and (known.intent["symbol"], known.intent["side"]) == (symbol, side)
            and known.intent["purpose"] == "exit"
        ),
        Fraction(0),
    )
    if leaving > max(-signed(side, Fraction(1)) * held, Fraction(0)):
        raise Broken(
            "I2", f"{intent['client_order_id']}: exits of {float(leaving):g} for {float(held):g} held"
        )

"""How an order meets a minute bar: the venue's rules, without state.

A bar says where a minute traded, not when. So the rules below are fixed, stated, and each is
decided against the trader where the bar leaves a choice (F12):

1. A minute is played as four prints, 15 s apart: open, then low and high if the bar closed at or above
   its open, else high and low, then close. Each print has a quarter of the minute's volume.
2. Bid and ask stand half a spread (and `slippage_bps`, none by default) below and above the print, rounded
   outward to the tick; the spread is `spread_bps` of the price and never under one tick, or there is none.
   Buys trade at the ask, sells at the bid.
3. One print gives all orders of the account together at most `participation` of its volume; what is
   left of an order waits for the next print. A print lives 15 s: an order that arrives after that (a
   missing minute, a halt) waits for the next one. A minute without volume fills nobody. Without
   `participation` a print gives whatever is asked of it. Whole-share
   orders take whole shares.
4. A print outside `band` around the bar's open and close (a bad wick; LULD would have stopped it), or
   of a bar whose prices are not positive numbers with low <= open, close <= high, neither fills an
   order nor triggers a stop.
5. Market orders fill at the far side.
6. A limit order that is marketable when it arrives, or at the first print of a minute, fills at the far
   side, which is its limit or better. Crossed between two prints of a minute, it fills at its limit: no
   better.
7. A stop triggers when a print reaches it, and fills at the worse of the stop and the far side. A buy
   stop is protected as Alpaca does it: 4 % above a stop under 50 USD, 2.5 % from 50 USD; beyond that it
   rests as a limit. A stop-limit becomes a limit order arriving at the print that triggered it.
8. Orders without `extended_hours` meet only prints of the regular session.
9. A trailing stop stands its trail behind the best print since it began to work, rounded to the tick
   nearest to the market, and is a stop there; a buy's has no collar. A print is first held against the stop
   that stood before it, and then moves it.
10. In an auction everybody trades at the print's own price: opg orders at the first print of the regular
   session, cls orders at its last one. What that print's share does not cover is not filled.
11. An order in USD takes as many billionths of a share as its rest buys at the price.

Left out: queue position (a limit fills when the far side reaches it, not when a trade passes through it),
market impact, odd-lot effects, auction imbalances.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, Decimal

from desk.fees import ALPACA_FEES, FeeSchedule
from desk.money import FRACTIONAL_LOT, WHOLE_LOT, fraction, tick_size
from schemas.orders import OrderType, Side

PRINTS_PER_MINUTE = 4
PRINT_SPACING = timedelta(seconds=15)  # four prints cover the minute evenly
PRICE_STEP = Decimal("0.0001")  # prints of the tape are kept to four decimals
UNLIMITED = Decimal("Infinity")
STOPS = frozenset({OrderType.STOP, OrderType.STOP_LIMIT, OrderType.TRAILING_STOP})
STOP_COLLAR_FROM = Decimal(50)
STOP_COLLAR_LOW = Decimal("1.04")  # ALPACA.md section 2.4
STOP_COLLAR_HIGH = Decimal("1.025")


@dataclass(frozen=True, slots=True)
class Rules:
    """The parameters of the rules above."""

    spread_bps: Decimal | None = Decimal(2)  # None: bid and ask are the print
    participation: Decimal | None = Decimal("0.10")  # of a print's volume, for one account; None: all
    slippage_bps: Decimal = Decimal(0)  # beside the half spread, against the trader
    fees: FeeSchedule = ALPACA_FEES
    fees_in_cents: bool = True  # whether a day's fees are charged rounded up to the cent, as Alpaca does
    gtc_life: timedelta = timedelta(days=90)  # ALPACA.md section 2.3
    band: Decimal = Decimal("0.05")  # share of price, around the bar's open and close


@dataclass(frozen=True, slots=True)
class Bar:
    """One minute of one symbol as the tape has it: floats, any nonsense included."""

    open: float
    high: float
    low: float
    close: float
    volume: int


@dataclass(frozen=True, slots=True)
class Print:
    """One of the four prints of a minute."""

    at: datetime
    price: Decimal
    bid: Decimal
    ask: Decimal
    liquidity: Decimal  # shares the account may take of this print
    regular: bool  # inside the regular session
    first: bool  # the first sound print of its minute: orders arrive at it

    @property
    def ends_at(self) -> datetime:
        """Give the instant from which nothing matches this print any more."""
        return self.at + PRINT_SPACING

    def far(self, side: Side) -> Decimal:
        """Give the price this side trades at."""
        return self.ask if side is Side.BUY else self.bid


@dataclass(frozen=True, slots=True)
class Terms:
    """What matching needs to know of an order."""

    side: Side
    order_type: OrderType
    remaining: Decimal
    limit_price: Decimal | None
    stop_price: Decimal | None
    triggered: bool  # a stop that has been reached
    whole: bool  # whole shares only
    notional: Decimal | None = None  # USD left of an order in USD, which has no `remaining`

    def wanted(self, price: Decimal) -> Decimal:
        """Give the shares the order would take at a price."""
        return self.remaining if self.notional is None else self.notional / price


@dataclass(frozen=True, slots=True)
class Match:
    """What a print does to an order; `qty` is zero when it only triggers."""

    triggered: bool
    qty: Decimal
    price: Decimal


def tape_price(value: float) -> Decimal:
    """Give a tape's float as a Decimal of four decimals; exact for what exchanges print."""
    return fraction(value).quantize(PRICE_STEP)


def quote(
    price: Decimal, spread_bps: Decimal | None, slippage_bps: Decimal = Decimal(0)
) -> tuple[Decimal, Decimal]:
    """Give (bid, ask): half of max(spread_bps of price, one tick) and the slippage each way, rounded outward.

    Without spread and slippage both are the price.
    """
    if spread_bps is None and slippage_bps == 0:
        return price, price
    step = tick_size(price)
    half = Decimal(0) if spread_bps is None else max(price * spread_bps / 10000, step) / 2
    half += price * slippage_bps / 10000
    bid = ((price - half) / step).to_integral_value(ROUND_FLOOR) * step
    ask = ((price + half) / step).to_integral_value(ROUND_CEILING) * step
    return max(bid, step), ask


def is_sound(bar: Bar) -> bool:
    """Tell whether the bar's prices can be traded on: positive numbers with low <= open, close <= high."""
    low, high = bar.low, bar.high  # a comparison with NaN is False
    return 0 < low <= bar.open <= high < math.inf and low <= bar.close <= high


def prints(
    bar: Bar,
    starts_at: datetime,
    *,
    opens_at: datetime,
    closes_at: datetime,
    rules: Rules,
    only_open: bool = False,
) -> tuple[Print, ...]:
    """Give the sound prints of a minute in order of time: at most four, none for an unsound or empty bar.

    Args:
        bar: the minute.
        starts_at: its left edge.
        opens_at: start of the regular session.
        closes_at: end of the regular session, excluded.
        rules: spread, participation and band.
        only_open: give the print at the open alone: the band is laid around it.
    """
    if (bar.volume <= 0 and rules.participation is not None) or not is_sound(bar):
        return ()
    liquidity = UNLIMITED
    if rules.participation is not None:
        liquidity = Decimal(bar.volume) * rules.participation / PRINTS_PER_MINUTE
    sound: list[Print] = []
    for place, price in _banded(bar, rules.band, only_open=only_open):
        at = starts_at + place * PRINT_SPACING
        bid, ask = quote(price, rules.spread_bps, rules.slippage_bps)
        regular = opens_at <= at < closes_at
        sound.append(Print(at, price, bid, ask, liquidity, regular, not sound))
    return tuple(sound)


def _banded(bar: Bar, band: Decimal, *, only_open: bool) -> Iterator[tuple[int, Decimal]]:
    """Give the prices of a minute that are positive and inside the band, each with its place."""
    first = tape_price(bar.open)
    if first > 0:
        yield 0, first
    if only_open:
        return
    floor = tape_price(min(bar.open, bar.close)) * (1 - band)
    ceiling = tape_price(max(bar.open, bar.close)) * (1 + band)
    rest = (bar.low, bar.high, bar.close) if bar.close >= bar.open else (bar.high, bar.low, bar.close)
    for place, value in enumerate(rest, start=1):
        price = tape_price(value)
        if price > 0 and floor <= price <= ceiling:
            yield place, price


def stop_collar(stop_price: Decimal) -> Decimal:
    """Give the limit a buy stop becomes when it triggers."""
    factor = STOP_COLLAR_LOW if stop_price < STOP_COLLAR_FROM else STOP_COLLAR_HIGH
    return (stop_price * factor).quantize(tick_size(stop_price), ROUND_DOWN)


def match(terms: Terms, seen: Print, *, before: Print | None, available: Decimal) -> Match | None:
    """Decide what one print does to one order, or None for nothing.

    Args:
        terms: the order.
        seen: the print.
        before: the sound print just before this one in the same minute, or None when the order arrives
            at this print.
        available: shares left of the print's liquidity.
    """
    is_stop = terms.order_type in STOPS
    fresh = is_stop and not terms.triggered
    if fresh and (terms.stop_price is None or not _reached(terms, seen.price)):
        return None
    price = _price(terms, seen, None if fresh or seen.first else before)
    if price is None:
        return Match(True, Decimal(0), seen.price) if fresh else None
    if fresh and terms.order_type is not OrderType.STOP_LIMIT and terms.stop_price is not None:
        price = _worse(terms.side, price, terms.stop_price)
    qty = _lots(terms, min(terms.wanted(price), available))
    if qty <= 0:
        return Match(True, Decimal(0), price) if fresh else None
    return Match(is_stop, qty, price)


def auction(terms: Terms, seen: Print, *, available: Decimal) -> Match | None:
    """Decide what an auction at a print's price does to an order, or None for nothing."""
    if terms.limit_price is not None and not _within(terms.side, seen.price, terms.limit_price):
        return None
    qty = _lots(terms, min(terms.wanted(seen.price), available))
    return None if qty <= 0 else Match(False, qty, seen.price)


def trailing_stop(
    *, side: Side, hwm: Decimal, trail_price: Decimal | None, trail_percent: Decimal | None
) -> Decimal:
    """Give where a trailing stop stands: hwm -/+ trail, to the tick towards the market, one tick at least."""
    away = trail_price if trail_price is not None else hwm * (trail_percent or Decimal(0)) / 100
    raw = hwm + side.sign * away
    step = tick_size(raw)
    towards = ROUND_FLOOR if side is Side.BUY else ROUND_CEILING
    return max((raw / step).to_integral_value(towards) * step, step)


def _lots(terms: Terms, shares: Decimal) -> Decimal:
    """Round shares down to what the order takes: whole ones, or billionths."""
    return shares.quantize(WHOLE_LOT if terms.whole else FRACTIONAL_LOT, ROUND_DOWN)


def _reached(terms: Terms, price: Decimal) -> bool:
    """Tell whether a print reaches the order's stop."""
    assert terms.stop_price is not None
    return price >= terms.stop_price if terms.side is Side.BUY else price <= terms.stop_price


def _worse(side: Side, one: Decimal, other: Decimal) -> Decimal:
    """Give the price the trader likes less."""
    return max(one, other) if side is Side.BUY else min(one, other)


def _price(terms: Terms, seen: Print, before: Print | None) -> Decimal | None:
    """Give the price a working order trades at on this print, or None when it is not marketable."""
    far = seen.far(terms.side)
    limit = _working_limit(terms)
    if limit is None:
        return far
    if not _within(terms.side, far, limit):
        return None
    if before is not None and not _within(terms.side, before.far(terms.side), limit):
        return limit
    return far


def _working_limit(terms: Terms) -> Decimal | None:
    """Give the limit that binds, Alpaca's collar of a buy stop included."""
    if terms.order_type is OrderType.STOP and terms.side is Side.BUY:
        assert terms.stop_price is not None
        return stop_collar(terms.stop_price)
    return terms.limit_price


def _within(side: Side, price: Decimal, limit: Decimal) -> bool:
    """Tell whether a price satisfies a limit."""
    return price <= limit if side is Side.BUY else price >= limit

"""What a day was worth: drawdown, slippage, and P&L attributed to who made it.

Theory of operation. Every function is pure, takes Decimals and says its formula. P&L is by average
cost (`desk.positions`). A *round trip* is a position's life from flat back to flat, or through zero,
and it wins if its realized P&L is above its fees. A position carried in from another day brings its
average price and no earlier result.

Left out: anything that needs more than one day (Sharpe, Sortino, Calmar belong to research).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from desk.positions import Position
from schemas.orders import Side

ZERO = Decimal(0)
BPS = Decimal(10_000)  # basis points in one


def drawdowns(equity: Sequence[Decimal]) -> tuple[Decimal, ...]:
    """Give each point's distance below the highest equity so far, USD, zero or negative.

    Formula: d_t = e_t - max(e_0 .. e_t). An empty curve gives an empty tuple.
    """
    falls = []
    peak: Decimal | None = None
    for value in equity:
        peak = value if peak is None else max(peak, value)
        falls.append(value - peak)
    return tuple(falls)


def max_drawdown_usd(equity: Sequence[Decimal]) -> Decimal | None:
    """Give the deepest fall from a peak, USD, positive; None for an empty curve.

    Formula: max over t of (max(e_0 .. e_t) - e_t).
    """
    falls = drawdowns(equity)
    return -min(falls) if falls else None


def max_drawdown_frac(equity: Sequence[Decimal]) -> Decimal | None:
    """Give the deepest fall as a share of the peak it fell from; None for an empty curve.

    Formula: max over t of (peak_t - e_t) / peak_t with peak_t = max(e_0 .. e_t). It need not be at
    the same t as the deepest fall in USD. A peak of zero or less has no share and is left out.
    """
    deepest: Decimal | None = None
    peak: Decimal | None = None
    for value in equity:
        peak = value if peak is None else max(peak, value)
        fall = (peak - value) / peak if peak > 0 else ZERO
        deepest = fall if deepest is None else max(deepest, fall)
    return deepest


def slippage_bps(*, side: Side, price: Decimal, reference_price: Decimal) -> Decimal:
    """Give what a fill cost against its arrival price, basis points; positive costs money.

    Formula: sign(side) * (price - reference) / reference * 10,000.

    Raises:
        ValueError: `reference_price` is not positive.
    """
    if reference_price <= 0:
        raise ValueError(f"reference price {reference_price} is not positive")
    return side.sign * (price - reference_price) / reference_price * BPS


def slippage_usd(*, side: Side, qty: Decimal, price: Decimal, reference_price: Decimal) -> Decimal:
    """Give what a fill cost against its arrival price, USD; positive costs money.

    Formula: sign(side) * (price - reference) * qty.
    """
    return side.sign * (price - reference_price) * qty


def weighted_slippage_bps(costs: Iterable[tuple[Decimal, Decimal]]) -> Decimal | None:
    """Give the slippage of many fills together, basis points; None where nothing was traded.

    Formula: sum(cost_usd) / sum(reference_notional) * 10,000, so a large fill weighs more.

    Args:
        costs: (slippage in USD, reference price times quantity) of each fill.
    """
    cost, notional = ZERO, ZERO
    for cost_usd, reference_notional in costs:
        cost += cost_usd
        notional += reference_notional
    return cost / notional * BPS if notional > 0 else None


def win_rate_frac(*, wins: int, round_trips: int) -> Decimal | None:
    """Give the share of round trips that won; None without one."""
    return Decimal(wins) / Decimal(round_trips) if round_trips > 0 else None


def profit_factor(results: Iterable[Decimal]) -> Decimal | None:
    """Give gross gain over gross loss; None without a loss (it would be infinite) or without a trade.

    Formula: sum(r for r > 0) / -sum(r for r < 0), r net of fees.
    """
    gain, loss = ZERO, ZERO
    for result in results:
        gain += max(result, ZERO)
        loss += max(-result, ZERO)
    return gain / loss if loss > 0 else None


@dataclass(frozen=True, kw_only=True)
class Trade:
    """One execution as attribution needs it; `qty` is positive."""

    strategy: str
    symbol: str
    side: Side
    qty: Decimal
    price: Decimal
    fee: Decimal = ZERO


@dataclass(frozen=True, kw_only=True)
class Attribution:
    """One strategy's result in one symbol since the day began; USD.

    `position` counts since the day began as well. `trip_began` is what the position had realized,
    net of fees, when the running round trip opened; `results` are the finished ones, net of fees.
    """

    strategy: str
    symbol: str
    position: Position = field(default_factory=Position)
    trip_began: Decimal = ZERO
    results: tuple[Decimal, ...] = ()
    qty_bought: Decimal = ZERO
    qty_sold: Decimal = ZERO
    notional: Decimal = ZERO

    @property
    def wins(self) -> int:
        """Count round trips that ended above their fees."""
        return sum(1 for result in self.results if result > 0)


def attribute_pnl(trades: Iterable[Trade], opening: Iterable[Attribution] = ()) -> tuple[Attribution, ...]:
    """Give each (strategy, symbol)'s result of the trades, sorted by both names.

    Args:
        trades: executions, oldest first, each once.
        opening: where the day before ended; only open positions are carried.
    """
    book = {
        (line.strategy, line.symbol): Attribution(
            strategy=line.strategy, symbol=line.symbol, position=line.position.begin_session()
        )
        for line in opening
        if line.position.qty != 0
    }
    for trade in trades:
        key = (trade.strategy, trade.symbol)
        book[key] = _after(book.get(key, Attribution(strategy=trade.strategy, symbol=trade.symbol)), trade)
    return tuple(book[key] for key in sorted(book))


def _after(line: Attribution, trade: Trade) -> Attribution:
    """Give the line after one execution; a fee that goes through zero belongs to the trip it ends."""
    before = line.position
    after = before.after(signed_qty=trade.side.sign * trade.qty, price=trade.price, fee=trade.fee)
    net = after.realized_pnl - after.fees
    ended = before.qty != 0 and before.qty * after.qty <= 0
    bought = trade.qty if trade.side is Side.BUY else ZERO
    return replace(
        line,
        position=after,
        trip_began=net if ended else line.trip_began,
        results=(*line.results, net - line.trip_began) if ended else line.results,
        qty_bought=line.qty_bought + bought,
        qty_sold=line.qty_sold + trade.qty - bought,
        notional=line.notional + trade.qty * trade.price,
    )

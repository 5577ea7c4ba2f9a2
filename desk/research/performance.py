"""What a backtest was worth, in numbers: the account's ratios, its trades, and what trading cost.

Theory of operation. Ratios are of daily returns (desk/research/returns.py: 252 days, risk-free rate 0); the
drawdown is of the minute curve, which is deeper than that of daily closes, while Calmar divides by the daily
one, as is the custom. A trade wins if it made more than its fees; trades still open are counted apart and are
in the account's numbers, not in the trades'. None stands for what cannot be said: no NaN, no infinity.

Costs, all positive where they cost money, in USD:

- delay: sign(side) (open - reference) qty. What the market did between the decision and the open of the bar
  that filled. It is no charge, but it is what waiting for the next bar costs or gives.
- spread and slippage: sign(side) (price - open) qty. What the fill was worse than that open. A limit order
  filled better than the open makes it smaller.
- slippage, against the price the order was sized at: delay + spread and slippage.
- fees: of the fills, and flows of kind `fee`. Borrow: flows of kind `borrow`.

Profit before costs = profit + spread and slippage + fees + borrow. Dividends (flows of kind `dividend`, which
a short pays) are in both: they are no cost.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import numpy as np
import polars as pl

from desk import metrics
from desk.research import returns as ratios
from schemas.research import FLOW_SCHEMA

MINUTE = pl.duration(minutes=1)


@dataclass(frozen=True, kw_only=True)
class Account:
    """The account's numbers; USD and fractions, None where there is no answer."""

    sessions: int
    equity_start: float
    equity_end: float
    profit_usd: float
    total_return_frac: float
    annual_return_frac: float | None
    volatility_frac: float | None
    sharpe: float | None
    sortino: float | None
    calmar: float | None
    max_drawdown_frac: float | None  # of the minute curve
    max_drawdown_usd: float | None
    longest_drawdown_days: int  # daily closes below an earlier one, in a row
    best_day: date | None
    best_day_usd: float | None
    worst_day: date | None
    worst_day_usd: float | None
    exposed_frac: float | None  # share of the sessions' minutes with a position
    gross_mean_usd: float | None  # over all minutes
    gross_max_usd: float | None
    turnover_daily: float | None  # traded USD over the sum of the days' closing equity


@dataclass(frozen=True, kw_only=True)
class TradeNumbers:
    """The closed trades' numbers; USD after fees."""

    trades: int
    still_open: int
    wins: int
    win_rate_frac: float | None
    profit_factor: float | None  # None without a loss: it would be infinite
    expectancy_usd: float | None  # mean result
    average_win_usd: float | None
    average_loss_usd: float | None  # negative
    best_usd: float | None
    worst_usd: float | None
    average_bars: float | None  # the symbol's bars held


@dataclass(frozen=True, kw_only=True)
class CostNumbers:
    """What trading cost; USD, positive costs money."""

    fills: int
    traded_usd: float
    slippage_bps: float | None
    slippage_usd: float
    delay_usd: float
    spread_usd: float  # spread and slippage, against the filling bar's open
    fees_usd: float
    borrow_usd: float
    profit_before_costs_usd: float
    dividends_usd: float = 0.0  # positive came in

    @property
    def charged_usd(self) -> float:
        """Give everything but the delay: what a frictionless market would not have taken."""
        return self.spread_usd + self.fees_usd + self.borrow_usd


@dataclass(frozen=True, kw_only=True)
class Performance:
    """All of a run's numbers, and its daily table."""

    account: Account
    trades: TradeNumbers
    costs: CostNumbers
    days: pl.DataFrame  # session_date, equity, pnl, return_frac (null where a day began with nothing)


def measure(
    *,
    cash: Decimal,
    curve: pl.DataFrame,
    trades: pl.DataFrame,
    fills: pl.DataFrame,
    bars: pl.DataFrame,
    flows: pl.DataFrame | None = None,
) -> Performance:
    """Give a run's numbers.

    Args:
        cash: before the first bar.
        curve: EQUITY_SCHEMA, as `desk.research.curve` gives it.
        trades: TRADE_SCHEMA.
        fills: FILL_SCHEMA.
        bars: RAW_SCHEMA, those of the filled minutes at least; elsewhere a fill has no spread, all is delay.
        flows: FLOW_SCHEMA; None for none.
    """
    opening = float(cash)
    days = daily(curve, opening=opening)
    traded = float((fills["qty"].cast(pl.Float64) * fills["price"].cast(pl.Float64)).sum())
    account = _account(curve, days, opening=opening, traded_usd=traded)
    flows = pl.DataFrame(schema=FLOW_SCHEMA) if flows is None else flows
    costs = _costs(fills, bars, flows, traded_usd=traded, profit_usd=account.profit_usd)
    return Performance(account=account, trades=trade_numbers(trades), costs=costs, days=days)


def daily(curve: pl.DataFrame, *, opening: float) -> pl.DataFrame:
    """Give each session's closing `equity`, `pnl` and `return_frac`."""
    before = pl.col("equity").shift(1, fill_value=opening)
    return (
        curve.group_by("session_date", maintain_order=True)
        .agg(pl.col("equity").last())
        .with_columns(
            pnl=pl.col("equity") - before,
            return_frac=pl.when(before > 0).then(pl.col("equity") / before - 1.0),
        )
    )


def _account(curve: pl.DataFrame, days: pl.DataFrame, *, opening: float, traded_usd: float) -> Account:
    closes, values = days["equity"].to_numpy(), curve["equity"].to_numpy()
    found = ratios.daily_returns(closes, opening=opening)
    series = np.empty(0) if found is None else found
    ending = float(closes[-1]) if len(closes) else opening
    ranked = days.sort("pnl", "session_date")
    some = ranked.height > 0
    best, worst = (ranked.row(-1, named=True), ranked.row(0, named=True)) if some else ({}, {})
    weights = held_minutes(curve)
    minutes = int(weights.sum())
    # The opening cash is a point of the curve: a fall that begins with the first trade counts.
    falls = np.maximum(np.maximum.accumulate(values), opening) - values if some else None
    day_equity = float(closes.sum()) if some else 0.0
    return Account(
        sessions=days.height,
        equity_start=opening,
        equity_end=ending,
        profit_usd=ending - opening,
        total_return_frac=ending / opening - 1.0,
        annual_return_frac=ratios.annual_return_frac(series),
        volatility_frac=ratios.annual_volatility_frac(series),
        sharpe=ratios.sharpe_ratio(series),
        sortino=ratios.sortino_ratio(series),
        calmar=ratios.calmar_ratio(series),
        max_drawdown_frac=ratios.max_drawdown_frac(values, opening=opening),
        max_drawdown_usd=None if falls is None else float(falls.max()),
        longest_drawdown_days=ratios.longest_drawdown_days(closes, opening=opening),
        best_day=best.get("session_date"),
        best_day_usd=best.get("pnl"),
        worst_day=worst.get("session_date"),
        worst_day_usd=worst.get("pnl"),
        exposed_frac=_mean(weights.filter(curve["gross"] > 0).sum(), minutes),
        gross_mean_usd=_mean((weights * curve["gross"]).sum(), minutes),
        gross_max_usd=float(curve["gross"].to_numpy().max()) if some else None,
        turnover_daily=_mean(traded_usd, day_equity),
    )


def held_minutes(curve: pl.DataFrame) -> pl.Series:
    """Give how many minutes each row of the curve stands for: until the session's next row; the last, one."""
    until = pl.col("ts").shift(-1).over("session_date") - pl.col("ts")
    return curve.select((until / MINUTE).fill_null(1.0).cast(pl.Float64)).to_series()


def trade_numbers(trades: pl.DataFrame) -> TradeNumbers:
    """Give the numbers of the trades that were closed.

    Formulas: win rate = wins / trades; profit factor = sum(r > 0) / -sum(r < 0); expectancy = mean(r), r
    net of fees. A result of exactly zero neither wins nor loses.
    """
    closed = trades.filter(pl.col("left_at").is_not_null())
    results = closed["pnl"]
    won, lost = results.filter(results > 0), results.filter(results < 0)
    rate = metrics.win_rate_frac(wins=len(won), round_trips=closed.height)
    return TradeNumbers(
        trades=closed.height,
        still_open=trades.height - closed.height,
        wins=len(won),
        win_rate_frac=None if rate is None else float(rate),
        profit_factor=_mean(won.sum(), -lost.sum()),
        expectancy_usd=_mean(results.sum(), len(results)),
        average_win_usd=_mean(won.sum(), len(won)),
        average_loss_usd=_mean(lost.sum(), len(lost)),
        best_usd=float(results.to_numpy().max()) if len(results) else None,
        worst_usd=float(results.to_numpy().min()) if len(results) else None,
        average_bars=_mean(closed["bars"].sum(), closed.height),
    )


def _costs(
    fills: pl.DataFrame, bars: pl.DataFrame, flows: pl.DataFrame, *, traded_usd: float, profit_usd: float
) -> CostNumbers:
    """Add up what trading cost; the sums of slippage are exact."""
    qty = pl.col("qty").cast(pl.Decimal(38, 9))
    exact = fills.select(
        cost=(pl.when(pl.col("side") == "buy").then(qty).otherwise(-qty))
        * (pl.col("price") - pl.col("reference_price")).cast(pl.Decimal(38, 6)),
        reference=qty * pl.col("reference_price").cast(pl.Decimal(38, 6)),
    ).sum()
    slippage, reference = (value or Decimal(0) for value in exact.row(0))
    bps = metrics.weighted_slippage_bps([(slippage, reference)])
    opens = bars.lazy().select("symbol", "ts", "open").join(fills.lazy(), on=["symbol", "ts"], how="semi")
    charged = (
        fills.lazy()
        .join(opens, on=["symbol", "ts"], how="left")
        .select(
            (pl.when(pl.col("side") == "buy").then(1.0).otherwise(-1.0))
            * (pl.col("price").cast(pl.Float64) - pl.col("open"))
            * pl.col("qty").cast(pl.Float64)
        )
        .sum()
        .collect()
        .item()
    )
    spread = float(charged or 0.0)
    fees = float(fills["fee"].cast(pl.Float64).sum()) - _flowed(flows, "fee")
    borrow = 0.0 - _flowed(flows, "borrow")  # no flow is 0, not -0
    return CostNumbers(
        fills=fills.height,
        traded_usd=traded_usd,
        slippage_bps=None if bps is None else float(bps),
        slippage_usd=float(slippage),
        delay_usd=float(slippage) - spread,
        spread_usd=spread,
        fees_usd=fees,
        borrow_usd=borrow,
        profit_before_costs_usd=profit_usd + spread + fees + borrow,
        dividends_usd=_flowed(flows, "dividend"),
    )


def _flowed(flows: pl.DataFrame, kind: str) -> float:
    """Give what came in by flows of a kind, USD."""
    return float(flows.filter(pl.col("kind") == kind)["amount"].cast(pl.Float64).sum())


def _mean(total: float | Decimal, count: float | Decimal) -> float | None:
    """Divide, where there is something to divide by."""
    return float(total) / float(count) if count > 0 else None

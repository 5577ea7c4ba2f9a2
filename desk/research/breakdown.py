"""Where a backtest's result comes from: by month, by minute of the day, by symbol and by strategy.

Theory of operation. Months and minutes divide the account's curve, so their P&L adds up to the run's profit,
open positions included; symbols and strategies divide the trades, and add up to the same but for flows
(borrow, dividends), which belong to no trade. The night is in the session's first minute: the
curve's row there is the first after the last close.
"""

import polars as pl

from desk.hours import NEW_YORK


def by_month(days: pl.DataFrame) -> pl.DataFrame:
    """Give `year`, `month`, `pnl` and `return_frac` (compounded; null where a day has none), in order.

    Args:
        days: as `desk.research.performance.daily` gives them.
    """
    growth = (1.0 + pl.col("return_frac")).product() - 1.0
    return (
        days.group_by(
            year=pl.col("session_date").dt.year(),
            month=pl.col("session_date").dt.month().cast(pl.Int32),
            maintain_order=True,
        )
        .agg(
            pl.col("pnl").sum(),
            return_frac=pl.when(pl.col("return_frac").is_not_null().all()).then(growth),
        )
        .sort("year", "month")
    )


def by_minute(curve: pl.DataFrame, trades: pl.DataFrame, *, opening: float, minutes: int) -> pl.DataFrame:
    """Give the account's P&L by the New York time at which it came, and the trades by that of their entry.

    Columns: `minute` (of the day, the left edge), `pnl`, `trades`, `trades_pnl`; by minute.

    Args:
        curve: EQUITY_SCHEMA.
        trades: TRADE_SCHEMA.
        opening: cash before the first row.
        minutes: length of a row of the table.
    """
    came = curve.select(
        minute=_minute("ts", minutes), pnl=pl.col("equity") - pl.col("equity").shift(1, fill_value=opening)
    )
    entered = trades.select(minute=_minute("entered_at", minutes), trades_pnl="pnl")
    return (
        came.group_by("minute")
        .agg(pl.col("pnl").sum())
        .join(
            entered.group_by("minute").agg(
                pl.len().cast(pl.Int64).alias("trades"), pl.col("trades_pnl").sum()
            ),
            on="minute",
            how="full",
            coalesce=True,
        )
        .with_columns(pl.col("pnl", "trades_pnl").fill_null(0.0), pl.col("trades").fill_null(0))
        .sort("minute")
        .select("minute", "pnl", "trades", "trades_pnl")
    )


def _minute(column: str, length: int) -> pl.Expr:
    at = pl.col(column).dt.convert_time_zone(NEW_YORK.key)
    return (at.dt.hour().cast(pl.Int64) * 60 + at.dt.minute().cast(pl.Int64)) // length * length


def by_key(trades: pl.DataFrame, key: str) -> pl.DataFrame:
    """Give the trades' numbers by `symbol` or `strategy`, the largest P&L first.

    Columns: the key, `trades`, `still_open`, `wins` (of the closed ones), `win_rate_frac`, `pnl`, `fees`,
    `expectancy_usd` and `profit_factor` (of the closed ones, null without a loss), `average_bars`.
    """
    closed = pl.col("left_at").is_not_null()
    result = pl.col("pnl").filter(closed)
    lost = -result.filter(result < 0).sum()
    return (
        trades.group_by(key)
        .agg(
            trades=closed.sum().cast(pl.Int64),
            still_open=(~closed).sum().cast(pl.Int64),
            wins=(result > 0).sum().cast(pl.Int64),
            pnl=pl.col("pnl").sum(),
            fees=pl.col("fees").sum(),
            expectancy_usd=result.mean(),
            profit_factor=pl.when(lost > 0).then(result.filter(result > 0).sum() / lost),
            average_bars=pl.col("bars").filter(closed).mean(),
        )
        .with_columns(win_rate_frac=pl.when(pl.col("trades") > 0).then(pl.col("wins") / pl.col("trades")))
        .sort("pnl", key, descending=[True, False])
    )

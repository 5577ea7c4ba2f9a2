"""The frames that are loaded into the warehouse, by table; data/sql/tables.sql has the same columns."""

import polars as pl

from schemas.bars import PRINT_SCHEMA, QUARANTINE_SCHEMA, UTC_US
from schemas.research import EQUITY_SCHEMA, FILL_SCHEMA, TRADE_SCHEMA
from schemas.signals import SIGNAL_SCHEMA

Schema = dict[str, pl.DataType]

TEXT = pl.String()
DAY = pl.Date()
SEQ = pl.Int64()
COUNT = pl.Int32()
USD = pl.Decimal(18, 6)
QTY = pl.Decimal(19, 9)  # 19 and not 18 digits: DuckDB multiplies what is wider than 18 without overflow
NUMBER = pl.Decimal(28, 9)  # what the gate judged: shares, dollars, seconds or counts

BACKTESTS: Schema = {
    "run_id": TEXT,
    "engine": TEXT,
    "strategy": TEXT,
    "params": TEXT,
    "symbols": pl.List(pl.String()),
    "first_date": DAY,
    "last_date": DAY,
    "cash": USD,
    "size": TEXT,
    "costs": TEXT,
    "gate": pl.Boolean(),
    "close_out": pl.Boolean(),
    "settings_hash": TEXT,
    "code_version": TEXT,
    "data_hash": TEXT,
    "seed": pl.Int64(),
    "started_at": UTC_US,
    "seconds": pl.Float64(),
    "bars": pl.Int64(),
    "orders": pl.Int64(),
    "fills": pl.Int64(),
    "denied": pl.Int64(),
    "orders_hash": TEXT,
    "ledger_hash": TEXT,
    "final_equity": USD,
    "total_return_frac": pl.Float64(),
    "annual_return_frac": pl.Float64(),
    "volatility_frac": pl.Float64(),
    "sharpe": pl.Float64(),
    "sortino": pl.Float64(),
    "calmar": pl.Float64(),
    "max_drawdown_frac": pl.Float64(),
    "exposed_frac": pl.Float64(),
    "trades": pl.Int64(),
    "win_rate_frac": pl.Float64(),
    "profit_factor": pl.Float64(),
    "traded_usd": pl.Float64(),
    "slippage_usd": pl.Float64(),
    "spread_usd": pl.Float64(),
    "fees_usd": pl.Float64(),
    "borrow_usd": pl.Float64(),
}

# A backtest's tables; a run's rows are replaced together.
BACKTEST: dict[str, Schema] = {
    "backtest_fills": {"run_id": TEXT, "seq": SEQ, **FILL_SCHEMA},
    "backtest_trades": {"run_id": TEXT, "seq": SEQ, **TRADE_SCHEMA},
    "backtest_equity": {"run_id": TEXT, **EQUITY_SCHEMA},
    "backtests": BACKTESTS,
}

SWEEPS: Schema = {
    "sweep_id": TEXT,
    "strategy": TEXT,
    "params": TEXT,
    "ranges": TEXT,
    "method": TEXT,
    "objective": TEXT,
    "trials": pl.Int64(),
    "tried": pl.Int64(),
    "refused": pl.Int64(),
    "symbols": pl.List(pl.String()),
    "first_date": DAY,
    "last_date": DAY,
    "sessions": pl.Int64(),
    "folds": pl.Int64(),
    "purge": pl.Int64(),
    "embargo": pl.Int64(),
    "anchored": pl.Boolean(),
    "engine": TEXT,
    "cash": USD,
    "size": TEXT,
    "costs": TEXT,
    "gate": pl.Boolean(),
    "close_out": pl.Boolean(),
    "settings_hash": TEXT,
    "code_version": TEXT,
    "data_hash": TEXT,
    "seed": pl.Int64(),
    "started_at": UTC_US,
    "seconds": pl.Float64(),
    "bars": pl.Int64(),
    "is_tested": pl.Boolean(),
    "pnl": pl.Float64(),
    "sharpe": pl.Float64(),
    "calmar": pl.Float64(),
    "max_drawdown_frac": pl.Float64(),
    "overfitting_frac": pl.Float64(),
    "truth": TEXT,
    "luck": TEXT,
}

SWEEP_TRIALS: Schema = {
    "sweep_id": TEXT,
    "fold": pl.Int64(),
    "place": pl.Int64(),
    "params": TEXT,
    "train_first": DAY,
    "train_last": DAY,
    "test_first": DAY,
    "test_last": DAY,
    "is_best": pl.Boolean(),
    "deflated_sharpe_frac": pl.Float64(),
    "train_trades": pl.Int64(),
    "train_pnl": pl.Float64(),
    "train_sharpe": pl.Float64(),
    "train_calmar": pl.Float64(),
    "train_max_drawdown_frac": pl.Float64(),
    "test_trades": pl.Int64(),
    "test_pnl": pl.Float64(),
    "test_sharpe": pl.Float64(),
    "test_calmar": pl.Float64(),
    "test_max_drawdown_frac": pl.Float64(),
}

# A sweep's tables; a sweep's rows are replaced together.
SWEEP: dict[str, Schema] = {"sweep_trials": SWEEP_TRIALS, "sweeps": SWEEPS}

SPOOLED: dict[str, Schema] = {
    "bars": PRINT_SCHEMA,
    "quarantine": QUARANTINE_SCHEMA,
    "signals": {"account": TEXT, **SIGNAL_SCHEMA, "recorded_at": UTC_US},
    **BACKTEST,
    **SWEEP,
}

DECISIONS: Schema = {
    "account": TEXT,
    "seq": SEQ,
    "decided_at": UTC_US,
    "session_date": DAY,
    "strategy": TEXT,
    "symbol": TEXT,
    "side": TEXT,
    "qty": QTY,
    "order_type": TEXT,
    "limit_price": USD,
    "stop_price": USD,
    "reference_price": USD,
    "purpose": TEXT,
    "signal_reason": TEXT,
    "bar_ts": UTC_US,
    "client_order_id": TEXT,
    "correlation_id": TEXT,
    "approved": pl.Boolean(),
    "code": TEXT,
    "number": NUMBER,
    "limit": NUMBER,
    "message": TEXT,
    "checks": TEXT,
}

ORDERS: Schema = {
    "account": TEXT,
    "client_order_id": TEXT,
    "broker_order_id": TEXT,
    "correlation_id": TEXT,
    "strategy": TEXT,
    "symbol": TEXT,
    "side": TEXT,
    "qty": QTY,
    "order_type": TEXT,
    "time_in_force": TEXT,
    "limit_price": USD,
    "stop_price": USD,
    "purpose": TEXT,
    "reference_price": USD,
    "bar_ts": UTC_US,
    "session_date": DAY,
    "attempt": COUNT,
    "reason": TEXT,
    "state": TEXT,
    "filled_qty": QTY,
    "filled_avg_price": USD,
    "fees": USD,
    "planned_at": UTC_US,
    "changed_at": UTC_US,
    "cancel_requested_at": UTC_US,
    "message": TEXT,
    "last_seq": SEQ,
}

FILLS: Schema = {
    "account": TEXT,
    "seq": SEQ,
    "execution_id": TEXT,
    "client_order_id": TEXT,
    "broker_order_id": TEXT,
    "strategy": TEXT,
    "symbol": TEXT,
    "side": TEXT,
    "qty": QTY,
    "price": USD,
    "cum_qty": QTY,
    "fee": USD,
    "filled_at": UTC_US,
    "session_date": DAY,
    "source": TEXT,
}

ADJUSTMENTS: Schema = {
    "account": TEXT,
    "seq": SEQ,
    "adjusted_at": UTC_US,
    "session_date": DAY,
    "kind": TEXT,
    "strategy": TEXT,
    "symbol": TEXT,
    "qty_change": QTY,
    "price": USD,
    "amount": USD,
    "cause": TEXT,
}

POSITIONS: Schema = {
    "account": TEXT,
    "session_date": DAY,
    "strategy": TEXT,
    "symbol": TEXT,
    "qty": QTY,
    "avg_price": USD,
    "realized_pnl": USD,
    "fees": USD,
}

EQUITY: Schema = {
    "account": TEXT,
    "session_date": DAY,
    "bar_ts": UTC_US,
    "equity": USD,
    "cash": USD,
    "realized_pnl": USD,
    "unrealized_pnl": USD,
    "fees": USD,
    "gross": USD,
    "net": USD,
    "recorded_at": UTC_US,
    "last_seq": SEQ,
}

SESSIONS: Schema = {
    "account": TEXT,
    "session_date": DAY,
    "runs": COUNT,
    "run_id": TEXT,
    "started_at": UTC_US,
    "ended_at": UTC_US,
    "cause": TEXT,
    "strategies": pl.List(pl.String()),
    "symbols": pl.List(pl.String()),
    "settings_hash": TEXT,
    "equity_start": USD,
    "closed_at": UTC_US,
    "equity_end": USD,
    "cash_end": USD,
    "realized_pnl": USD,
    "fees": USD,
    "first_seq": SEQ,
    "last_seq": SEQ,
}

BREAKS: Schema = {
    "account": TEXT,
    "break_id": TEXT,
    "session_date": DAY,
    "kind": TEXT,
    "key": TEXT,
    "ours": NUMBER,
    "theirs": NUMBER,
    "notional_usd": USD,
    "detail": TEXT,
    "found_at": UTC_US,
    "resolved_at": UTC_US,
    "how": TEXT,
    "resolved_by": TEXT,
    "cause": TEXT,
    "last_seq": SEQ,
}

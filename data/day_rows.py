"""Adjustments, the equity curve, sessions and breaks as rows."""

from typing import Any

from data.rows import Row, Rows, newer
from schemas import events as ev


def _adjustment(rows: Rows, seq: int, event: ev.Event, **facts: Any) -> None:
    row: Row = {
        "account": rows.account,
        "seq": seq,
        "adjusted_at": event.at,
        "session_date": rows.date_of(event),
        "strategy": None,
        "symbol": None,
        "qty_change": None,
        "price": None,
        "amount": None,
    }
    rows.adjustments.append(row | facts)


def opened(rows: Rows, seq: int, e: ev.AccountOpened) -> None:
    """Take in the opening balance."""
    _adjustment(rows, seq, e, kind="opening", amount=e.cash, cause="opening balance")


def position_adjusted(rows: Rows, seq: int, e: ev.PositionAdjusted) -> None:
    """Take in a repair of a position."""
    facts = {"strategy": e.strategy, "symbol": e.symbol, "qty_change": e.qty_change, "price": e.price}
    _adjustment(rows, seq, e, kind="position", cause=e.cause, **facts)


def cash_adjusted(rows: Rows, seq: int, e: ev.CashAdjusted) -> None:
    """Take in a repair of cash."""
    _adjustment(rows, seq, e, kind="cash", amount=e.amount, cause=e.cause)


def minute_closed(rows: Rows, seq: int, e: ev.MinuteClosed) -> None:
    """Take in a minute of the equity curve; a later one of the same minute wins."""
    rows.equity[(e.session_date, e.bar_ts)] = {
        "account": rows.account,
        "session_date": e.session_date,
        "bar_ts": e.bar_ts,
        "equity": e.equity,
        "cash": e.cash,
        "realized_pnl": e.realized_pnl,
        "unrealized_pnl": e.unrealized_pnl,
        "fees": e.fees,
        "gross": e.gross,
        "net": e.net,
        "recorded_at": e.at,
        "last_seq": seq,
    }


def session_started(rows: Rows, seq: int, e: ev.SessionStarted) -> None:
    """Take in a session process; the date's first makes its row."""
    rows.session_date = e.session_date
    row = rows.sessions.get(e.session_date)
    if row is None:
        rows.sessions[e.session_date] = {
            "account": rows.account,
            "session_date": e.session_date,
            "runs": 1,
            "run_id": e.run_id,
            "started_at": e.at,
            "ended_at": None,
            "cause": None,
            "strategies": list(e.strategies),
            "symbols": list(e.symbols),
            "settings_hash": e.settings_hash,
            "equity_start": e.equity,
            "closed_at": None,
            "equity_end": None,
            "cash_end": None,
            "realized_pnl": None,
            "fees": None,
            "first_seq": seq,
            "last_seq": seq,
        }
    elif row["last_seq"] < seq:
        # A restart of the day: the latest run's facts, the first run's start and equity.
        row |= {
            "runs": row["runs"] + 1,
            "run_id": e.run_id,
            "ended_at": None,
            "cause": None,
            "strategies": list(e.strategies),
            "symbols": list(e.symbols),
            "settings_hash": e.settings_hash,
            "last_seq": seq,
        }


def session_ended(rows: Rows, seq: int, e: ev.SessionEnded) -> None:
    """Take in the end of a session."""
    row = newer(rows.sessions.get(e.session_date), seq)
    if row is not None:
        row |= {"ended_at": e.at, "cause": e.cause, "last_seq": seq}


def day_closed(rows: Rows, seq: int, e: ev.DayClosed) -> None:
    """Take in the end-of-day figures."""
    row = newer(rows.sessions.get(e.session_date), seq)
    if row is not None:
        row |= {
            "closed_at": e.at,
            "equity_end": e.equity,
            "cash_end": e.cash,
            "realized_pnl": e.realized_pnl,
            "fees": e.fees,
            "last_seq": seq,
        }


def break_found(rows: Rows, seq: int, e: ev.BreakFound) -> None:
    """Take in a break; found again, it is open again."""
    row = rows.breaks.get(e.found.break_id)
    if row is not None and row["last_seq"] >= seq:
        return
    rows.breaks[e.found.break_id] = {
        "account": rows.account,
        "break_id": e.found.break_id,
        "session_date": e.session_date,
        "kind": e.found.kind.value,
        "key": e.found.key,
        "ours": e.found.ours,
        "theirs": e.found.theirs,
        "notional_usd": e.found.notional_usd,
        "detail": e.found.detail,
        "found_at": e.found.found_at,
        "resolved_at": None,
        "how": None,
        "resolved_by": None,
        "cause": None,
        "last_seq": seq,
    }


def break_resolved(rows: Rows, seq: int, e: ev.BreakResolved) -> None:
    """Take in a break's end."""
    row = newer(rows.breaks.get(e.break_id), seq)
    if row is not None:
        row |= {"resolved_at": e.at, "how": e.how, "resolved_by": e.by, "cause": e.cause, "last_seq": seq}

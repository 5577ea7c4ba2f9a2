"""Positions per session date, from fills and adjustments.

Theory of operation. Each date starts with what the date before ended with and takes in its
executions and adjustments in the ledger's order, by the desk's own arithmetic (desk/positions.py).
A batch recomputes every date from the earliest it touched, so a late fill of yesterday changes
yesterday and what follows from it. A position held over a session without a trade has its row too.
"""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal

import duckdb

from data.rows import Row
from desk.positions import Position
from schemas.orders import Side

Key = tuple[str, str]  # strategy, symbol
Move = tuple[date, str, str, Decimal, Decimal, Decimal]  # date, strategy, symbol, signed qty, price, fee

_BEFORE = """
SELECT strategy, symbol, qty, avg_price FROM positions WHERE account = $account AND session_date < $since
QUALIFY row_number() OVER (PARTITION BY strategy, symbol ORDER BY session_date DESC) = 1
"""

_MOVES = """
SELECT session_date, strategy, symbol, side, qty, price, fee FROM (
    SELECT session_date, seq, strategy, symbol, side, qty, price, fee
    FROM fills WHERE account = $account AND session_date >= $since
    UNION ALL
    SELECT session_date, seq, strategy, symbol, '', qty_change, price, 0
    FROM adjustments WHERE account = $account AND session_date >= $since AND kind = 'position'
) ORDER BY session_date, seq
"""

_DATES = "SELECT DISTINCT session_date FROM sessions WHERE account = $account AND session_date >= $since"


def positions_since(connection: duckdb.DuckDBPyConnection, *, account: str, since: date) -> list[Row]:
    """Compute the position rows of every session date from `since` on, oldest first."""
    where = {"account": account, "since": since}
    held = {
        (strategy, symbol): Position(qty=qty, avg_price=avg_price)
        for strategy, symbol, qty, avg_price in connection.execute(_BEFORE, where).fetchall()
        if qty != 0
    }
    moves: dict[date, list[Move]] = {day: [] for (day,) in connection.execute(_DATES, where).fetchall()}
    for day, strategy, symbol, side, qty, price, fee in connection.execute(_MOVES, where).fetchall():
        signed = qty if side == "" else qty * Side(side).sign
        moves.setdefault(day, []).append((day, strategy, symbol, signed, price, Decimal(fee)))
    rows: list[Row] = []
    for day in sorted(moves):
        held = _after(held, moves[day])
        rows += [_row(account, day, key, position) for key, position in sorted(held.items())]
    return rows


def _after(held: dict[Key, Position], moves: Iterable[Move]) -> dict[Key, Position]:
    """Give the positions at the end of a date: those held into it and those moved on it."""
    positions = {key: position.begin_session() for key, position in held.items() if position.qty != 0}
    for _, strategy, symbol, signed_qty, price, fee in moves:
        position = positions.get((strategy, symbol), Position())
        positions[(strategy, symbol)] = position.after(signed_qty=signed_qty, price=price, fee=fee)
    return positions


def _row(account: str, day: date, key: Key, position: Position) -> Row:
    strategy, symbol = key
    return {
        "account": account,
        "session_date": day,
        "strategy": strategy,
        "symbol": symbol,
        "qty": position.qty,
        "avg_price": position.avg_price,
        "realized_pnl": position.realized_pnl,
        "fees": position.fees,
    }

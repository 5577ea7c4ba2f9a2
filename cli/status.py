"""`desk status`, `desk positions`, `desk orders`: how the desk stands, while a session runs too."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from cli.tables import NOTHING, as_json, clock_time, console, grid, moment, number, price, signed, usd
from schemas.orders import OrderState
from schemas.risk import LatchName
from tasks.configuration import load_settings

if TYPE_CHECKING:
    from tasks.ask import DeskStatus
    from tasks.inquiry import OrderRow, PositionLine

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


def status(json: AsJson = False) -> None:
    """Show trading state, latches, breaks, equity, positions, orders, and what waits."""
    from tasks.ask import desk_status

    found = desk_status(load_settings())
    out = console()
    if json:
        typer.echo(as_json(found))
        return
    out.print(_summary(found))
    desk = found.standing
    if desk.latches:
        table = grid(
            "Latches: `desk resume --by NAME` releases", "latch", ">number", ">limit", "since", "cause"
        )
        for latch in desk.latches:
            write = number if latch.name is LatchName.DRAWDOWN else usd  # a share of equity, the others USD
            is_kill = latch.name is LatchName.KILL  # it has no numbers
            sides = [NOTHING if is_kill else write(side) for side in (latch.number, latch.limit)]
            table.add_row(latch.name.value, *sides, moment(latch.set_at), latch.cause)
        out.print(table)
    if desk.pauses:
        table = grid(
            "Entries paused: `desk resume --by NAME --pause PROTECTION` lifts",
            "protection",
            "over",
            "until",
            "since",
            "cause",
        )
        for pause in desk.pauses:
            over = "everything" if pause.key == "" else f"{pause.scope.value} {pause.key}"
            table.add_row(pause.protection, over, moment(pause.until), moment(pause.set_at), pause.cause)
        out.print(table)
    if desk.breaks:
        out.print(f"open breaks: {len(desk.breaks)}; `desk breaks` lists them")
    if desk.positions:
        out.print(positions_table(desk.positions))
    if desk.working:
        out.print(orders_table("Working orders", desk.working))
    if desk.unanswered:
        out.print(unanswered_table(desk.unanswered))


def _summary(found: "DeskStatus") -> Table:
    desk = found.standing
    table = Table(title=f"{found.account} ({found.mode})", title_justify="left", show_header=False)
    session = "none yet"
    if desk.session_date is not None:
        session = f"{desk.session_date} {'open' if desk.session_open else 'not running'}"
    running = found.lease_holder if found.lease_holder is not None else "nobody"
    state = desk.trading_state.value.upper()
    latched = f", latched: {', '.join(latch.name.value for latch in desk.latches)}" if desk.latches else ""
    table.add_row("trading state", f"{state}{latched}")
    table.add_row("session", session)
    table.add_row("lease held by", running)
    table.add_row("newest minute", moment(desk.newest_minute))
    equity = "none before the first minute" if desk.equity is None else f"{usd(desk.equity)} USD"
    table.add_row("equity", f"{equity} (cash {usd(desk.cash)})")
    table.add_row(
        "day's P&L",
        f"{signed(desk.day_pnl)} USD (realized {signed(desk.realized)}, unrealized "
        f"{signed(desk.unrealized)}, fees {usd(desk.fees)})",
    )
    table.add_row(
        "today", f"orders {desk.orders_today}, fills {desk.fills_today}, denied intents {desk.denied_today}"
    )
    table.add_row("open breaks", str(len(desk.breaks)))
    table.add_row("ledger", f"{desk.last_seq} events, newest {moment(desk.last_at)} New York")
    table.add_row("warehouse", found.backlog_words)
    table.add_row("notices waiting", str(desk.pending_notices))
    if desk.requests is not None:
        table.add_row("requests to broker", f"{desk.requests} in the newest minute")
    if desk.stream_lost_at is not None:
        table.add_row("user stream", f"lost since {moment(desk.stream_lost_at)}; fills are learned by REST")
    return table


def positions(json: AsJson = False) -> None:
    """List positions by strategy and symbol, at the newest minute's marks."""
    from tasks.ask import standing_now

    lines = standing_now(load_settings()).positions
    if json:
        typer.echo(as_json(lines))
    elif lines:
        console().print(positions_table(lines))
    else:
        typer.echo("no positions")


def orders(
    day: Annotated[
        datetime | None, typer.Option("--date", formats=["%Y-%m-%d"], help="Default: the newest session.")
    ] = None,
    symbol: Annotated[str | None, typer.Option(help="Only this symbol.")] = None,
    state: Annotated[OrderState | None, typer.Option(help="Only orders in this state.")] = None,
    json: AsJson = False,
) -> None:
    """List a session's orders, oldest first."""
    from tasks.ask import orders_now

    session_date = None if day is None else day.date()
    rows = orders_now(
        load_settings(),
        session_date=session_date,
        symbol=None if symbol is None else symbol.upper(),
        state=state,
    )
    if json:
        typer.echo(as_json(rows))
    elif rows:
        console().print(orders_table(f"Orders of {rows[0].session_date}", rows))
    else:
        typer.echo("no such orders")


def unanswered_table(rows: "Sequence[OrderRow]") -> Table:
    """Show orders whose answer is missing: since when, what is reserved, when they are asked about."""
    table = grid(
        "Orders without an answer: their symbols are blocked", "order", "since", ">USD reserved", "asked next"
    )
    for row in rows:
        table.add_row(
            row.client_order_id,
            moment(row.unanswered_since),
            usd(row.reserved_usd),
            clock_time(row.next_probe_at),
        )
    return table


def positions_table(lines: "Sequence[PositionLine]") -> Table:
    """Show positions."""
    table = grid(
        "Positions", "strategy", "symbol", ">qty", ">average", ">mark", ">unrealized", ">realized", ">fees"
    )
    for line in lines:
        table.add_row(
            line.strategy,
            line.symbol,
            number(line.qty),
            price(line.avg_price),
            price(line.mark),
            signed(line.unrealized),
            signed(line.realized_today),
            usd(line.fees_today),
        )
    return table


def orders_table(title: str, rows: "Sequence[OrderRow]") -> Table:
    """Show orders."""
    table = grid(
        title,
        "planned",
        "order",
        "symbol",
        "side",
        "purpose",
        ">qty",
        ">limit",
        ">filled",
        ">average",
        "state",
        "note",
    )
    for row in rows:
        table.add_row(
            clock_time(row.planned_at),
            row.client_order_id,
            row.symbol,
            row.side,
            row.purpose,
            number(row.qty),
            price(row.limit_price),
            number(row.filled_qty),
            price(row.average_price),
            row.state.value,
            row.words,
        )
    return table

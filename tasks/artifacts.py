"""What a person sees of a phase in the Prefect UI: the day in words, its orders, denials and breaks.

Artifacts are commentary. When Prefect does not take one, the log has a line and the phase goes on.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import httpx
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.exceptions import PrefectException

from desk.hours import new_york
from schemas.report import BreakLine, DayReport, DenialLine, OrderLine
from schemas.risk import Break
from tasks.occasion import Day
from tasks.report import Written

ROWS_MAX = 500  # of a table in the UI; the report and the warehouse have all
NOT_KNOWN = "?"

log = logging.getLogger(__name__)


def show_summary(day: Day, written: Written) -> None:
    """Show the day in words and numbers, and link the report."""
    markdown = summary(written)
    _offer(
        day,
        lambda: create_markdown_artifact(
            markdown, key="day-summary", description=f"{day.phase} {day.session_date}"
        ),
    )
    path = written.path
    if path is not None:
        _offer(
            day,
            lambda: create_link_artifact(
                path.as_uri(),
                link_text=path.name,
                key="day-report",
                description=f"Report of {day.session_date}",
            ),
        )


def show_trading(day: Day, written: Written) -> None:
    """Show orders and denials as tables."""
    report = written.report
    orders = [order_row(order) for order in report.orders[:ROWS_MAX]]
    denials = [denial_row(line) for line in report.denials[:ROWS_MAX]]
    _table(day, orders, key="orders", words=f"{len(report.orders)} orders of {report.session_date}")
    _table(day, denials, key="denials", words=f"{report.headline.denials} denials of {report.session_date}")


def show_breaks(day: Day) -> None:
    """Show how our books and the broker's differ, or that they do not."""
    breaks = tuple(day.desk.portfolio.breaks.values())
    _offer(
        day,
        lambda: create_markdown_artifact(
            breaks_text(breaks, at=day.desk.now()), key="breaks", description=f"{day.phase}: open breaks"
        ),
    )
    if breaks:
        _table(
            day, [break_row(item) for item in breaks], key="break-table", words=f"{len(breaks)} open breaks"
        )


def summary(written: Written) -> str:
    """Give the day's summary as markdown."""
    report, head = written.report, written.report.headline
    closed = "closed: they equal the broker's" if report.closed else "not closed"
    lines = [
        f"# {report.session_date:%A}, {report.session_date}",
        "",
        f"Account {report.account} ({report.mode.value}); the books are **{closed}**.",
        "",
        "| | USD |",
        "| --- | ---: |",
        f"| equity at start | {_usd(head.equity_start)} |",
        f"| equity at end | {_usd(head.equity_end)} |",
        f"| realized | {_signed(head.realized)} |",
        f"| unrealized | {_signed(head.unrealized)} |",
        f"| fees | {_usd(head.fees)} |",
        f"| net | {_signed(head.net)} |",
        f"| deepest fall | {_usd(head.max_drawdown_usd)} |",
        "",
        f"{head.orders} orders, {head.fills} fills, {head.denials} denials, {head.round_trips} round trips; "
        f"{report.data.bars} bars of {report.data.symbols} symbols, {report.data.missing} minutes missing, "
        f"{sum(count.count for count in report.data.quarantined)} rows quarantined.",
    ]
    lines += _pnl_lines(report)
    lines += _break_lines(report.breaks)
    if report.incidents:
        lines += ["", "## What a person must know of", ""]
        lines += [f"- {_clock(item.at)} {item.what}: {item.detail}" for item in report.incidents]
    path = written.path
    lines += ["", f"Report: `{path}`" if path is not None else "Report: not written, the warehouse was held"]
    return "\n".join(lines)


def _pnl_lines(report: DayReport) -> list[str]:
    if not report.pnl:
        return []
    rows = [
        f"| {line.strategy} | {line.symbol} | {_signed(line.net)} | {line.round_trips} | {line.position:f} |"
        for line in report.pnl[:ROWS_MAX]
    ]
    head = ["| strategy | symbol | net USD | round trips | position |", "| --- | --- | ---: | ---: | ---: |"]
    return ["", "## By strategy and symbol", "", *head, *rows]


def _break_lines(breaks: Sequence[BreakLine]) -> list[str]:
    if not breaks:
        return []
    rows = [f"- `{line.break_id}` {line.detail}: **{line.resolved or 'open'}**" for line in breaks]
    return ["", "## Breaks", "", *rows]


def breaks_text(breaks: Sequence[Break], *, at: datetime) -> str:
    """Give the open breaks as markdown, with what a person does about them."""
    if not breaks:
        return f"No open breaks at {_clock(at)} New York: our books equal the broker's."
    rows = [
        f"- **{item.key}** ({item.kind.value}): ours {item.ours:f}, broker's {item.theirs:f}, "
        f"{item.notional_usd:,.2f} USD; {item.detail}. Id `{item.break_id}`"
        for item in breaks
    ]
    return "\n".join(
        [
            f"# {len(breaks)} open breaks at {_clock(at)} New York",
            "",
            *rows,
            "",
            "Undo it at the broker, or accept it into the books with `desk breaks --accept <id>`; then retry "
            "the failed run.",
        ]
    )


def order_row(order: OrderLine) -> dict[str, Any]:
    """Give an order as a table's row."""
    return {
        "New York": _clock(order.planned_at),
        "strategy": order.strategy,
        "symbol": order.symbol,
        "side": order.side.value,
        "purpose": order.purpose.value,
        "qty": f"{order.qty:f}",
        "type": order.order_type.value,
        "limit": _price(order.limit_price),
        "state": order.state.value,
        "filled": f"{order.filled_qty:f}",
        "average": _price(order.average_price),
        "reason": order.reason,
        "note": order.note,
        "client order id": order.client_order_id,
    }


def denial_row(line: DenialLine) -> dict[str, Any]:
    """Give a reason's denials as a table's row."""
    return {
        "reason": line.reason,
        "strategy": line.strategy,
        "symbol": line.symbol,
        "count": line.count,
        "first": _clock(line.first_at),
        "last": _clock(line.last_at),
        "example": line.example,
    }


def break_row(item: Break) -> dict[str, Any]:
    """Give a break as a table's row."""
    return {
        "about": item.key,
        "kind": item.kind.value,
        "ours": f"{item.ours:f}",
        "broker's": f"{item.theirs:f}",
        "USD": f"{item.notional_usd:,.2f}",
        "detail": item.detail,
        "id": item.break_id,
    }


def _table(day: Day, rows: Sequence[Mapping[str, Any]], *, key: str, words: str) -> None:
    table = [dict(row) for row in rows]
    _offer(day, lambda: create_table_artifact(table, key=key, description=words))


def _offer(day: Day, create: Callable[[], Any]) -> None:
    """Offer Prefect an artifact; once it refused one, the phase does not wait for it again."""
    if day.is_unseen:
        return
    try:
        create()
    except (PrefectException, httpx.HTTPError) as error:
        day.is_unseen = True
        log.warning("Prefect takes no artifacts", extra={"cause": repr(error)})


def _usd(amount: Decimal | None) -> str:
    return NOT_KNOWN if amount is None else f"{amount:,.2f}"


def _signed(amount: Decimal | None) -> str:
    return NOT_KNOWN if amount is None else f"{amount:+,.2f}"


def _price(price: Decimal | None) -> str:
    return NOT_KNOWN if price is None else f"{price:f}"


def _clock(at: datetime) -> str:
    return f"{new_york(at):%H:%M:%S}"

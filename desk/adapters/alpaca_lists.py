"""Lists of orders, positions and executions that are complete or an error.

Orders do not page at Alpaca; windows on `submitted_at` overlap by a
microsecond and are joined by id, and where 500 orders share one instant `after_order_id` steps through
them. An element that cannot be read is reported; what then: an order that is or may be ours, and any
position, makes the list unavailable, because a missing one would be taken for "does not exist"; a
foreign order or an execution is left out, because the order's filled quantity and the position
still tell.
"""

import logging
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from desk.adapters import alpaca_parse as parse
from desk.adapters.alpaca_http import AlpacaHttp
from desk.errors import BrokerUnavailable
from schemas.account import Asset, BrokerPosition
from schemas.orders import BrokerFill, BrokerOrder

log = logging.getLogger(__name__)

ORDERS_PAGE = 500  # Alpaca's maximum
FILLS_PAGE = 100  # Alpaca's maximum
PAGES_MAX = 200  # 100,000 orders or 20,000 fills: far past a day of this desk, so more is an error
TICK = timedelta(microseconds=1)  # the resolution our cursors have
OUR_PREFIX = "mqd-"  # of our client order ids (docs/architecture.md)

T = TypeVar("T")


class AlpacaLists:
    """The reads that give many."""

    def __init__(self, http: AlpacaHttp) -> None:
        self._http = http
        self.unreadable = 0  # elements left out since start, each logged

    def open_orders(self) -> tuple[BrokerOrder, ...]:
        """Give every open order, oldest first, all pages. Raises BrokerUnavailable."""
        return self._orders(status="open", after=None)

    def orders_since(self, after: datetime) -> tuple[BrokerOrder, ...]:
        """Give every order submitted at or after `after`, oldest first. Raises BrokerUnavailable."""
        orders = self._orders(status="all", after=after)
        return tuple(order for order in orders if order.submitted_at >= after)

    def positions(self) -> tuple[BrokerPosition, ...]:
        """Give every position, qty signed. Raises BrokerUnavailable, also for one unreadable element."""
        return tuple(read_as(row, "/positions", parse.position_of) for row in self.rows("/positions"))

    def assets(self, symbols: Collection[str]) -> dict[str, Asset]:
        """Give those of the symbols that are active US shares, in one request. Raises BrokerUnavailable."""
        wanted = frozenset(symbols)
        rows = self.rows("/assets", {"status": "active", "asset_class": "us_equity"})
        return {
            str(row["symbol"]): read_as(row, "/assets", parse.asset_of)
            for row in rows
            if isinstance(row, dict) and row.get("symbol") in wanted
        }

    def fills_since(self, after: datetime) -> tuple[BrokerFill, ...]:
        """Give every execution at or after `after`, oldest first, all pages. Raises BrokerUnavailable."""
        found: dict[str, BrokerFill] = {}
        for row in self._activities(after):
            try:
                fill = parse.fill_of(row)
            except parse.Malformed as error:
                self._report("fill", row, error)
                continue
            if fill.filled_at >= after:
                found[fill.execution_id] = fill
        return tuple(sorted(found.values(), key=lambda fill: fill.filled_at))

    def _activities(self, after: datetime) -> Iterator[parse.Row]:
        """Give every FILL activity since the second before `after`, page by page."""
        path = "/account/activities/FILL"
        # Whole seconds: the only form Alpaca documents for this parameter, and it is exclusive.
        since = (after.astimezone(UTC) - timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        params: dict[str, str | int] = {"after": since, "direction": "asc", "page_size": FILLS_PAGE}
        seen: set[str] = set()
        for _ in range(PAGES_MAX):
            page = [read_as(row, path, _identified) for row in self.rows(path, params)]
            fresh = [row for row in page if row["id"] not in seen]
            yield from fresh
            seen.update(row["id"] for row in fresh)
            if len(page) < FILLS_PAGE:
                return
            if not fresh:
                break
            params["page_token"] = page[-1]["id"]
        raise BrokerUnavailable(f"GET {path}: the list does not end after {len(seen)} fills")

    def _orders(self, *, status: str, after: datetime | None) -> tuple[BrokerOrder, ...]:
        """Give all orders of a status, however many share an instant."""
        path = "/orders"
        fixed: dict[str, str | int] = {
            "status": status,
            "direction": "asc",
            "limit": ORDERS_PAGE,
            "nested": "false",  # a leg is an order of its own here
        }
        cursor = None if after is None else after - TICK  # `after` excludes its own instant
        where = {} if cursor is None else {"after": _stamp(cursor)}
        found: dict[str, parse.Row] = {}
        for _ in range(PAGES_MAX):
            page = [read_as(row, path, _identified) for row in self.rows(path, {**fixed, **where})]
            fresh = sum(row["id"] not in found for row in page)
            found.update((row["id"], row) for row in page)  # a later page knows better
            if len(page) < ORDERS_PAGE:
                return self._readable(found)
            newest = read_as(page[-1], path, _submitted_at) - TICK
            if cursor is None or newest > cursor:
                cursor, where = newest, {"after": _stamp(newest)}
            elif fresh > 0 or "after" in where:
                where = {"after_order_id": page[-1]["id"]}
            else:
                break
        raise BrokerUnavailable(f"GET {path}: the list does not end after {len(found)} orders")

    def _readable(self, rows: dict[str, parse.Row]) -> tuple[BrokerOrder, ...]:
        """Read the orders; leave out and report a foreign one that cannot be read."""
        orders: list[BrokerOrder] = []
        for row in rows.values():
            try:
                orders.append(parse.order_of(row))
            except parse.Malformed as error:
                name = parse.word(row, "client_order_id")
                if name == "" or name.startswith(OUR_PREFIX):
                    raise BrokerUnavailable(f"order {row['id']} ({name}) is unreadable: {error}") from error
                self._report("order", row, error)
        return tuple(sorted(orders, key=lambda order: order.submitted_at))

    def _report(self, kind: str, row: parse.Row, error: parse.Malformed) -> None:
        self.unreadable += 1
        log.error(
            "unreadable element left out", extra={"kind": kind, "id": row.get("id"), "cause": str(error)}
        )

    def rows(self, path: str, params: dict[str, str | int] | None = None) -> list[object]:
        """Give the elements of one answer. Raises BrokerUnavailable."""
        try:
            return parse.rows_of(self._http.read(path, params), "answer")
        except parse.Malformed as error:
            raise BrokerUnavailable(f"GET {path}: {error}") from error


def read_as(value: Any, path: str, reader: Callable[[parse.Row], T]) -> T:
    """Read one object. Raises BrokerUnavailable naming the path and the field."""
    try:
        return reader(parse.row_of(value, "answer"))
    except parse.Malformed as error:
        raise BrokerUnavailable(f"GET {path}: unreadable answer: {error}") from error


def _identified(row: parse.Row) -> parse.Row:
    parse.text(row, "id")
    return row


def _submitted_at(row: parse.Row) -> datetime:
    return parse.first_instant(row, "submitted_at", "created_at")


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")

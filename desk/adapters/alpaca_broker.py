"""The broker behind `desk.ports.Broker`: Alpaca's trading API through alpaca-py.

alpaca-py is used for its client (URLs, keys, headers) with `raw_data=True`; its models are not, for
three reasons found in version 0.44: request models turn qty and prices into floats, one unknown word
in one element makes a whole list unreadable, and the list of orders stops at 500 in silence. So orders
are posted as a dict whose amounts are exact decimal strings (Alpaca accepts both), and answers are read
by `alpaca_parse`; `alpaca_lists` sees to it that lists are complete.

Submit, once: a 2xx must carry our client order id, or the outcome is unknown. A refusal may mean that
the id is taken, which is what a submit after a lost answer meets; its codes and words have varied, and
the order that is already there may itself be the reason (it holds the shares). So after a 403 or
422 the id is looked up. Found and equal, the order is returned as if just acknowledged; found and
different, or not to be asked, the outcome is unknown; not found, the refusal was plain. Only for an id
whose earlier send was never answered is no refusal ever plain: it speaks of the second send, not of the
first.

Replace (PATCH) follows the same rules under the new order's client order id. Its quantity is always
stated: a price-only replace of a partly filled order re-opens the original quantity (Alpaca-API #165).
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Literal, TypeVar
from urllib.parse import quote

import tenacity
from alpaca.trading.client import TradingClient

from desk.adapters import alpaca_parse as parse
from desk.adapters.alpaca_http import NOT_SENT, AlpacaHttp, Body
from desk.adapters.alpaca_lists import AlpacaLists, read_as
from desk.adapters.alpaca_login import Login, login
from desk.adapters.system_clock import monotonic
from desk.errors import BrokerUnavailable, NotFound, OutcomeUnknown, Rejected
from desk.refused_id import settle_refusal
from desk.throttler import Errand, Throttler
from schemas.account import Asset, BrokerAccount, BrokerClock, BrokerPosition, SessionHours
from schemas.orders import BrokerFill, BrokerOrder, OrderClass, OrderIntent, Purpose
from schemas.settings import Settings

log = logging.getLogger(__name__)

ASSETS_ONE_BY_ONE_MAX = 5  # the list of all shares is 11,000 elements: too much for a handful
_WITH_LEGS = frozenset({OrderClass.BRACKET, OrderClass.OCO, OrderClass.OTO})
ABOUT_STATE = frozenset({403, 422})  # refusals that an order already there may have caused or hidden

T = TypeVar("T")


def connect_broker(
    settings: Settings,
    *,
    sleep: Callable[[float], None] = tenacity.nap.sleep,
    clock_s: Callable[[], float] = monotonic,
) -> "AlpacaBroker":
    """Check the account's settings and give the broker; nothing is sent yet.

    Args:
        settings: the account's.
        sleep: pauses for so many of the broker's seconds.
        clock_s: the broker's seconds, that only run forward; requests are counted by them.

    Raises:
        ConfigError: see `alpaca_login.login`; live money needs its second switch.
    """
    return AlpacaBroker(login(settings), sleep=sleep, clock_s=clock_s)


class AlpacaBroker:
    """`desk.ports.Broker` over HTTP."""

    def __init__(
        self,
        account: Login,
        *,
        sleep: Callable[[float], None] = tenacity.nap.sleep,
        clock_s: Callable[[], float] = monotonic,
    ) -> None:
        client = TradingClient(
            account.api_key,
            account.secret_key,
            paper=account.paper,
            raw_data=True,
            url_override=account.trading_url,
        )
        self.throttler = Throttler(account.requests_per_minute, clock=clock_s, sleep=sleep)
        self._http = AlpacaHttp(
            client,
            url=account.trading_url,
            connect_timeout_s=account.connect_timeout_s,
            read_timeout_s=account.read_timeout_s,
            read_attempts=account.read_attempts,
            sleep=sleep,
            throttler=self.throttler,
        )
        self._unanswered: set[str] = (
            set()
        )  # client order ids sent without an answer; bounded by orders_per_day
        self._lists = AlpacaLists(self._http)

    def account(self) -> BrokerAccount:
        """Give the account. Raises BrokerUnavailable."""
        return self._one("/account", parse.account_of)

    def clock(self) -> BrokerClock:
        """Give the broker's clock. Raises BrokerUnavailable."""
        return self._one("/clock", parse.clock_of)

    def calendar(self, start: date, end: date) -> tuple[SessionHours, ...]:
        """Give the sessions from start to end, both included, oldest first. Raises BrokerUnavailable."""
        params: dict[str, str | int] = {"start": start.isoformat(), "end": end.isoformat()}
        rows = self._lists.rows("/calendar", params)
        days = [read_as(row, "/calendar", parse.hours_of) for row in rows]
        return tuple(
            sorted(
                (day for day in days if start <= day.session_date <= end), key=lambda day: day.session_date
            )
        )

    def asset(self, symbol: str) -> Asset:
        """Give a symbol's properties. Raises NotFound, BrokerUnavailable."""
        return self._one(f"/assets/{quote(symbol, safe='')}", parse.asset_of)

    def assets(self, symbols: Sequence[str]) -> Mapping[str, Asset]:
        """Give the properties of those symbols the broker knows. Raises BrokerUnavailable.

        A few are asked one by one; more come with the list of all active shares (some megabytes), and
        only what it lacks is asked by name, since the broker counts requests and not bytes.
        """
        listed = self._lists.assets(symbols) if len(symbols) > ASSETS_ONE_BY_ONE_MAX else {}
        for symbol in symbols:
            if symbol not in listed:
                try:
                    listed[symbol] = self.asset(symbol)
                except NotFound:
                    log.debug("symbol not known to the broker", extra={"symbol": symbol})
        return listed

    def submit(self, intent: OrderIntent) -> BrokerOrder:
        """Send one order under the intent's client order id, once.

        Raises:
            Rejected: a definite refusal.
            OutcomeUnknown: no definite answer, or the id belongs to a different order.
        """
        return self._once(intent, lambda: self._sent("POST", "/orders", intent, _body(intent)))

    def replace(self, broker_order_id: str, intent: OrderIntent) -> BrokerOrder:
        """Ask, once, that the intent take the place of a working order; give the new order.

        Raises:
            Rejected: a definite refusal; the old order is as it was.
            OutcomeUnknown: no definite answer: the old order or the new one is at work.
        """
        if intent.qty != intent.qty.to_integral_value():
            raise Rejected(
                f"{intent.client_order_id}: a replace is in whole shares, not {_plain(intent.qty)}",
                code=NOT_SENT,
            )
        path = f"/orders/{quote(broker_order_id, safe='')}"
        order = self._once(intent, lambda: self._sent("PATCH", path, intent, _changes(intent)))
        if order.replaces not in (None, broker_order_id):
            raise OutcomeUnknown(
                f"PATCH {path}: the answer {order.broker_order_id} replaces {order.replaces}"
            )
        return order

    def _once(self, intent: OrderIntent, send: Callable[[], BrokerOrder]) -> BrokerOrder:
        """Send, remembering an id whose answer was lost: no later refusal of it is plain."""
        client_order_id = intent.client_order_id
        try:
            order = send()
        except OutcomeUnknown:
            self._unanswered.add(client_order_id)
            raise
        except Rejected as refusal:
            if client_order_id in self._unanswered:
                raise OutcomeUnknown(
                    f"{client_order_id}: refused ({refusal}), but an earlier send was never answered"
                ) from refusal
            raise
        self._unanswered.discard(client_order_id)
        return order

    def _sent(
        self, method: Literal["POST", "PATCH"], path: str, intent: OrderIntent, body: Body
    ) -> BrokerOrder:
        try:
            errand = Errand.EXIT if intent.purpose is Purpose.EXIT else Errand.ENTRY
            answer = self._http.write(method, path, body, errand=errand)
        except Rejected as refusal:
            if refusal.status not in ABOUT_STATE:
                raise
            return self._resolve(intent, refusal)
        try:
            order = parse.order_of(parse.row_of(answer, "answer"))
        except parse.Malformed as error:
            raise OutcomeUnknown(
                f"{method} {path} {intent.client_order_id}: unreadable answer: {error}"
            ) from error
        if order.client_order_id != intent.client_order_id:
            raise OutcomeUnknown(
                f"{method} {path} {intent.client_order_id}: the answer is about {order.client_order_id!r}"
            )
        return order

    def _resolve(self, intent: OrderIntent, refusal: Rejected) -> BrokerOrder:
        """Settle a refusal: give the order that already has our id, or raise the plain refusal."""
        order = settle_refusal(intent, refusal, self.order_by_client_id)
        log.info("order already at the broker", extra={"client_order_id": intent.client_order_id})
        return order

    def cancel(self, broker_order_id: str) -> None:
        """Ask for a cancel; returning means asked. Raises Rejected, OutcomeUnknown."""
        self._http.write("DELETE", f"/orders/{quote(broker_order_id, safe='')}")

    def cancel_all(self) -> int:
        """Ask for a cancel of every open order; give how many were asked.

        Raises:
            OutcomeUnknown: no list came back.
        """
        answer = self._http.write("DELETE", "/orders")
        try:
            rows = [parse.row_of(row, "entry") for row in parse.rows_of(answer, "answer")]
        except parse.Malformed as error:
            raise OutcomeUnknown(f"DELETE /orders: unreadable answer: {error}") from error
        refused = [row for row in rows if isinstance(row.get("status"), int) and row["status"] >= 400]
        for row in refused:
            log.warning("cancel refused", extra={"order_id": row.get("id"), "status": row.get("status")})
        return len(rows) - len(refused)

    def order(self, broker_order_id: str) -> BrokerOrder:
        """Give one order, its legs with it. Raises NotFound, BrokerUnavailable."""
        path = f"/orders/{quote(broker_order_id, safe='')}"
        return self._one(path, parse.order_of, {"nested": "true"})

    def order_by_client_id(self, client_order_id: str) -> BrokerOrder:
        """Give one order by our id. Raises NotFound, BrokerUnavailable."""
        path = "/orders:by_client_order_id"
        order = self._one(path, parse.order_of, {"client_order_id": client_order_id})
        if order.client_order_id != client_order_id:
            raise BrokerUnavailable(f"GET {path}: asked {client_order_id}, told {order.client_order_id!r}")
        if order.order_class in _WITH_LEGS and not order.legs:
            return self.order(order.broker_order_id)  # this look-up has no word for nesting
        return order

    def open_orders(self) -> tuple[BrokerOrder, ...]:
        """Give every open order, oldest first, all pages. Raises BrokerUnavailable."""
        return self._lists.open_orders()

    def orders_since(self, after: datetime) -> tuple[BrokerOrder, ...]:
        """Give every order submitted at or after `after`, oldest first. Raises BrokerUnavailable."""
        return self._lists.orders_since(after)

    def positions(self) -> tuple[BrokerPosition, ...]:
        """Give every position, qty signed. Raises BrokerUnavailable, also for one unreadable element."""
        return self._lists.positions()

    def fills_since(self, after: datetime) -> tuple[BrokerFill, ...]:
        """Give every execution at or after `after`, oldest first, all pages. Raises BrokerUnavailable."""
        return self._lists.fills_since(after)

    @property
    def unreadable(self) -> int:
        """Count the elements of lists left out since start; each was logged."""
        return self._lists.unreadable

    def _one(
        self, path: str, reader: Callable[[parse.Row], T], params: dict[str, str | int] | None = None
    ) -> T:
        return read_as(self._http.read(path, params), path, reader)


def _plain(number: Decimal) -> str:
    """Write an amount exactly and without an exponent: Decimal("1E+2") becomes "100"."""
    return format(number.normalize(), "f")


def _body(intent: OrderIntent) -> dict[str, str | bool | Mapping[str, str]]:
    """Give the order as posted; amounts are strings so that no float ever touches them."""
    body: dict[str, str | bool | Mapping[str, str]] = {
        "client_order_id": intent.client_order_id,
        "symbol": intent.symbol,
        "side": intent.side.value,
        "qty": _plain(intent.qty),
        "type": intent.order_type.value,
        "time_in_force": intent.time_in_force.value,
    }
    is_oco = intent.order_class is OrderClass.OCO
    amounts = {
        "limit_price": None if is_oco and intent.take_profit_price is not None else intent.limit_price,
        "stop_price": intent.stop_price,
        "trail_price": intent.trail_price,
        "trail_percent": intent.trail_percent,
    }
    body.update(_stated(amounts))
    if intent.extended_hours:
        body["extended_hours"] = True
    if intent.order_class is not OrderClass.SIMPLE:
        body["order_class"] = intent.order_class.value
    if intent.take_profit_price is not None:
        body["take_profit"] = {"limit_price": _plain(intent.take_profit_price)}
    loss = _stated({"stop_price": intent.stop_loss_price, "limit_price": intent.stop_loss_limit_price})
    if loss:
        body["stop_loss"] = loss
    return body


def _changes(intent: OrderIntent) -> dict[str, str]:
    """Give the intent as a replace: what a PATCH may change (ALPACA.md 2.1), quantity always."""
    trail = intent.trail_price if intent.trail_price is not None else intent.trail_percent
    return {
        "client_order_id": intent.client_order_id,
        "qty": _plain(intent.qty),
        "time_in_force": intent.time_in_force.value,
        **_stated({"limit_price": intent.limit_price, "stop_price": intent.stop_price, "trail": trail}),
    }


def _stated(amounts: Mapping[str, Decimal | None]) -> dict[str, str]:
    return {name: _plain(amount) for name, amount in amounts.items() if amount is not None}

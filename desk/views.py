"""What sizer and gate look at, built from the books and from what is known of the market."""

from collections.abc import Collection, Iterator, Mapping, Set
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from itertools import chain
from typing import Protocol

from desk.eligibility import GateView
from desk.exposure import WorkingOrder, with_order
from desk.hours import previous_session, session_date_at, session_hours
from desk.losses import DayResult
from desk.portfolio import Order, Portfolio
from desk.positions import ZERO, Position
from desk.quotes import Nbbo
from desk.risk_memory import Base
from desk.sizer import Key, SizingView
from schemas.account import Asset, BrokerAccount, SessionHours
from schemas.orders import Purpose, TimeInForce
from schemas.settings import Settings

OVERNIGHT = timedelta(hours=12)  # until when orders are taken for the next open
PDT_SESSIONS_BEFORE = 4  # "in five business days" counts today and the four sessions before


class Budget(Protocol):
    """Who counts the requests to the broker (desk/throttler.py)."""

    def entry_budget(self) -> tuple[int, int] | None:
        """Give the requests of the last minute, and what entries may use."""
        ...


class Seat(Protocol):
    """What is looked at of a desk; a replayed day has one too (desk/research/retelling.py)."""

    @property
    def settings(self) -> Settings: ...

    @property
    def portfolio(self) -> Portfolio: ...

    @property
    def throttler(self) -> Budget | None: ...

    def now(self) -> datetime:
        """Give the instant by the desk's clock."""
        ...


@dataclass(frozen=True, slots=True)
class MarketView:
    """What is known of the market and the account this minute; empty means nobody knows, and is a no."""

    prices: Mapping[str, Decimal] = field(default_factory=dict)
    newest_bar_ts: Mapping[str, datetime] = field(default_factory=dict)
    suspects: frozenset[str] = frozenset()
    assets: Mapping[str, Asset] = field(default_factory=dict)
    account: BrokerAccount | None = None
    halted: frozenset[str] = frozenset()  # symbols whose trading is known to be halted
    quotes: Mapping[str, Nbbo] = field(default_factory=dict)  # by symbol; only where quotes are heard

    def reference_prices(self) -> Mapping[str, Decimal]:
        """Give what an entry is priced off: the middle of a young quote, else the last close."""
        if not self.quotes:
            return self.prices
        return {**self.prices, **{symbol: nbbo.mid for symbol, nbbo in self.quotes.items()}}

    splitting: Mapping[str, str] = field(default_factory=dict)  # symbols in a split's way, and which
    splits_ahead: Mapping[str, str] = field(default_factory=dict)  # on the next session's date


class Either(Mapping[str, Decimal]):
    """Prices of one source, and of a second where the first has none."""

    def __init__(self, first: Mapping[str, Decimal], second: Mapping[str, Decimal]) -> None:
        """Keep both; nothing is looked up before it is asked for."""
        self._first = first
        self._second = second

    def __getitem__(self, symbol: str) -> Decimal:
        found = self._first.get(symbol)
        return self._second[symbol] if found is None else found

    def __iter__(self) -> Iterator[str]:
        return iter({**self._second, **self._first})

    def __len__(self) -> int:
        return len({**self._second, **self._first})


class Known(Set[str]):
    """The client order ids of the ledger, and some more, without a copy of them."""

    def __init__(self, orders: Collection[str], more: frozenset[str] = frozenset()) -> None:
        """Keep both."""
        self._orders = orders
        self._more = more

    def __contains__(self, client_order_id: object) -> bool:
        return client_order_id in self._more or client_order_id in self._orders

    def __iter__(self) -> Iterator[str]:
        return chain(self._orders, self._more)

    def __len__(self) -> int:
        return len(self._orders) + len(self._more)

    def __or__(self, other: Set[str]) -> "Known":  # type: ignore[override]  # of names, as it is
        return Known(self._orders, self._more | other)


def working(portfolio: Portfolio) -> tuple[WorkingOrder, ...]:
    """Give every order that may still execute as sizer and gate see it.

    A replacing order and the one it replaces are one entry, since not both execute in full. What legs may
    sell of an entry is an exit.
    """
    found: list[WorkingOrder] = []
    for order in portfolio.working_orders():
        if order.intent.replaces is None:
            found.append(_working(order))
        else:
            found = list(with_order(found, _working(order)))
        if order.leaving_qty > 0:
            found.append(_leaving(order))
    return tuple(found)


def _working(order: Order) -> WorkingOrder:
    return WorkingOrder(intent=order.intent, remaining=order.remaining_qty, state=order.state)


def _leaving(order: Order) -> WorkingOrder:
    """Give what the legs of an entry may still execute, as the exit it is."""
    intent = order.intent.model_copy(
        update={"side": order.intent.side.opposite, "purpose": Purpose.EXIT, "protects": True}
    )
    return WorkingOrder(intent=intent, remaining=order.leaving_qty, state=order.state)


def sizing_view(desk: Seat, market: MarketView, *, session: SessionHours, bar_ts: datetime) -> SizingView:
    """Build the sizer's view of this minute."""
    by_key: dict[Key, tuple[WorkingOrder, ...]] = {}
    for order in working(desk.portfolio):
        key = (order.intent.strategy, order.intent.symbol)
        by_key[key] = (*by_key.get(key, ()), order)
    settings, holdings = desk.settings, desk.portfolio.holdings()
    return SizingView(
        now=desk.now(),
        session=session,
        bar_ts=bar_ts,
        equity=market.account.equity if market.account is not None else ZERO,
        own_equity=desk.portfolio.cash + _value(holdings, market),
        prices=market.reference_prices(),
        positions={key: position.qty for key, position in holdings.items()},
        working=by_key,
        allocations={each.name: each.allocation_frac for each in settings.strategies},
        slots=settings.session.slots,
        entry_offset_bps=Decimal(str(settings.session.entry_offset_bps)),
        allow_fractional=settings.risk.allow_fractional,
        allow_short=settings.risk.allow_short,
        assets=market.assets,
        entry_order=settings.session.entry_order,
        time_in_force=TimeInForce.GTC if settings.session.overnight else TimeInForce.DAY,
        sizes={each.name: each.size for each in settings.strategies if each.size is not None},
    )


def gate_view(desk: Seat, market: MarketView) -> GateView:
    """Build the gate's view of this moment; exits need nothing of `market`."""
    portfolio, now = desk.portfolio, desk.now()
    day = session_date_at(now)
    session = session_hours(day) if day is not None else None
    rhythm = desk.settings.session  # an entry after the close-out began could not be left in time
    no_entry = max(rhythm.no_entry_minutes, rhythm.close_out_minutes if rhythm.close_out else 0)
    before_close = timedelta(minutes=no_entry) if not rhythm.overnight else -OVERNIGHT
    orders = working(portfolio)
    positions: dict[str, Decimal] = {}
    for (_, symbol), position in portfolio.holdings().items():
        positions[symbol] = positions.get(symbol, ZERO) + position.qty
    # A holding the desk does not watch counts at what it cost; entries into it still need a fresh bar.
    costs = {symbol: position.avg_price for (_, symbol), position in portfolio.holdings().items()}
    return GateView(
        now=now,
        session=session,
        no_entry_at=None if session is None else session.closes_at - before_close,
        overnight=rhythm.overnight,
        state=portfolio.trading_state,
        latches=frozenset(portfolio.latches),
        daily_pnl=day_result(desk, market).pnl,
        positions=positions,
        working=orders,
        prices=Either(market.prices, costs),
        newest_bar_ts=market.newest_bar_ts,
        suspect=market.suspects,
        assets=market.assets,
        account=market.account,
        orders_today=portfolio.orders_today,
        entries_this_minute=0,
        known_ids=Known(portfolio.orders),
        broken=portfolio.broken_symbols(),
        locked=portfolio.locked_symbols(),
        day_trades=None if session is None else _day_trades(portfolio, session),
        pauses=tuple(portfolio.risk.pauses.values()),
        halted=market.halted,
        requests=None if desk.throttler is None else desk.throttler.entry_budget(),
        splitting=market.splitting,
        splits_ahead=market.splits_ahead,
    )


def day_result(desk: Seat, market: MarketView) -> DayResult:
    """Give the day so far: own books at the last prices, and the broker's equity if it was read.

    Overnight positions count from the session's start: open P&L is what the equity of the books
    changed since then beyond what was realized.
    """
    portfolio = desk.portfolio
    value = _value(portfolio.holdings(), market)
    base = portfolio.risk.day
    if base is None:  # no session has started yet: nothing was won or lost
        base = Base(own=portfolio.cash + value, broker=portfolio.equity_start)
    realized, fees = portfolio.realized_pnl(), portfolio.fees()
    return DayResult(
        realized_pnl=realized,
        unrealized_pnl=portfolio.cash + value - base.own - realized + fees,
        fees=fees,
        start_equity=base.broker,
        equity=None if market.account is None else market.account.equity,
    )


def _value(holdings: Mapping[Key, Position], market: MarketView) -> Decimal:
    """Give what holdings are worth at the last prices, at cost where there is none."""
    prices = market.prices
    return sum((p.qty * prices.get(symbol, p.avg_price) for (_, symbol), p in holdings.items()), ZERO)


def _day_trades(portfolio: Portfolio, session: SessionHours) -> int:
    return sum(portfolio.day_trades.get(day, 0) for day in _five_sessions(session.session_date))


@lru_cache(maxsize=16)
def _five_sessions(last: date) -> tuple[date, ...]:
    """Give a session's date and those of the four before it."""
    days = [last]
    for _ in range(PDT_SESSIONS_BEFORE):
        days.append(previous_session(days[-1]).session_date)
    return tuple(days)

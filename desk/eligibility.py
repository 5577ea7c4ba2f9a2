"""May this order be sent at all: now, in this state, for this symbol, in this form?

The first half of the gate: the rules that need no sum over the book. Each is a function from the
intent and the view to one `Finding`; `desk/gate.py` asks them in order and stops at the first broken
one. Rules for entries fail closed: a price, bar, asset or account that nobody has is a no.

Exits are judged by far fewer rules, on purpose: a desk that cannot leave is worse than one that left
late. What the broker would refuse anyway (a blocked account, an untradable symbol) is left to the
broker for an exit, whose answer is better evidence than our copy of its state.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from desk.exposure import Exposure, WorkingOrder, order_price, worst_price
from desk.finding import Finding, at_most, kept, missing
from desk.losses import allowed
from desk.money import ZERO, is_whole, plain
from desk.order_form import form_fault
from schemas.account import Asset, BrokerAccount, SessionHours
from schemas.orders import OrderClass, OrderIntent, OrderState, OrderType, Purpose, Reason, Side, TimeInForce
from schemas.risk import LatchName, Pause, RiskLimits, TradingState

NOTIONAL_MIN_USD = Decimal("1.00")  # of fractions (ALPACA.md §2.4)
BAR = timedelta(minutes=1)
ACTIVE = "ACTIVE"
ASSET_ACTIVE = "active"


@dataclass(frozen=True, slots=True)
class GateView:
    """What the gate looks at: plain mappings and numbers, built once a minute.

    A missing key or a None is a number nobody has, and a no for an entry.
    """

    now: datetime
    session: SessionHours | None  # None: no session today
    no_entry_at: datetime | None  # from here on no entries; None: unknown
    state: TradingState
    latches: Set[LatchName]  # those set
    daily_pnl: Decimal | None  # the worse of own books and broker, `desk.losses.DayResult.pnl`
    positions: Mapping[str, Decimal]  # signed shares by symbol, all strategies
    working: tuple[WorkingOrder, ...]  # every order not terminal, UNKNOWN included
    prices: Mapping[str, Decimal]  # last price by symbol
    newest_bar_ts: Mapping[str, datetime]  # left edge of the newest accepted bar by symbol
    suspect: Set[str]  # symbols whose data is doubted this minute
    assets: Mapping[str, Asset]
    account: BrokerAccount | None
    orders_today: int  # entries and exits sent this session
    entries_this_minute: int
    known_ids: Set[str]  # every client order id the ledger has, of this minute's approved ones too
    broken: Set[str]  # symbols whose quantity is in doubt by an open break
    day_trades: int | None  # of this session and the four before; only the legacy margin pack asks
    pauses: tuple[Pause, ...] = ()  # by protections, those that are over among them
    halted: Set[str] = frozenset()  # symbols whose trading is known to be halted
    locked: Set[str] = frozenset()  # symbols with any open break: no entries
    requests: tuple[int, int] | None = None  # of the last minute, and what entries may use; None: not counted
    splitting: Mapping[str, str] = field(default_factory=dict)  # symbols in a split's way, and which
    splits_ahead: Mapping[str, str] = field(default_factory=dict)  # on the next session's date
    overnight: bool = False  # whether orders may be left for the next open
    exposure: Exposure | None = None  # of positions and working orders, where it was summed up already


def duplicate(intent: OrderIntent, view: GateView) -> Finding:
    """Judge whether this client order id was used before (I2)."""
    fresh = intent.client_order_id not in view.known_ids
    return kept(Reason.DUPLICATE, fresh, f"order {intent.client_order_id} is in the ledger already")


def trading_state(intent: OrderIntent, view: GateView, *, flatten: bool) -> Finding:
    """Judge the trading state (R5)."""
    ok = allowed(view.state, intent.purpose, flatten=flatten)
    rest = "only exits pass" if view.state is TradingState.REDUCING else "only a flatten or protection passes"
    return kept(Reason.TRADING_STATE, ok, f"trading state is {view.state.value}, {rest}")


def loss_latch(view: GateView) -> Finding:
    """Judge whether a latch is set (I7)."""
    names = ", ".join(sorted(name.value for name in view.latches))
    return at_most(
        Reason.LOSS_LATCH, number=len(view.latches), limit=0, words=f"latch set until released: {names}"
    )


def daily_loss(view: GateView, limits: RiskLimits) -> Finding:
    """Judge the day's loss (R3); a loss that equals the limit is too large."""
    limit = limits.daily_loss_usd
    if view.daily_pnl is None:
        return missing(Reason.DAILY_LOSS, "the day's result is unknown", limit=limit)
    loss = max(-view.daily_pnl, ZERO)
    words = "daily loss {number} USD at or over {limit}"
    return Finding(Reason.DAILY_LOSS, number=loss, limit=limit, ok=loss < limit, words=words, in_usd=True)


def unpaused(intent: OrderIntent, view: GateView) -> Finding:
    """Judge whether a protection pauses the strategy, the symbol or everything (R4)."""
    found = [
        pause
        for pause in view.pauses
        if pause.covers(strategy=intent.strategy, symbol=intent.symbol, now=view.now)
    ]
    if not found:
        return kept(Reason.PROTECTION, True, "no pause")
    last = max(found, key=lambda pause: pause.until)
    words = f"paused until {last.until:%H:%M} UTC by {last.protection}: {last.cause}"
    return Finding(Reason.PROTECTION, number=last.number, limit=last.limit, ok=False, words=words)


def order_form(intent: OrderIntent, view: GateView, *, flatten: bool) -> Finding:
    """Judge whether the order is well formed and of this session."""
    fault = form_fault(intent, session=view.session, flatten=flatten)
    return kept(Reason.BAD_ORDER, fault is None, fault or "well formed")


def fractional(intent: OrderIntent, view: GateView, limits: RiskLimits) -> Finding:
    """Judge a fraction of a share: allowed, a DAY order, never short (ALPACA.md §2.4).

    A fraction that is held may always be left, whatever the setting or the asset says now.
    """
    if is_whole(intent.qty):
        return kept(Reason.FRACTIONAL, True, "whole shares")
    if intent.time_in_force is not TimeInForce.DAY:
        return kept(Reason.FRACTIONAL, False, "a fractional order must be a DAY order")
    if intent.order_class is not OrderClass.SIMPLE or intent.order_type is OrderType.TRAILING_STOP:
        return kept(Reason.FRACTIONAL, False, "a fractional order has no legs and does not trail")
    if intent.purpose is Purpose.EXIT:
        return kept(Reason.FRACTIONAL, True, "leaves a fraction")
    if intent.side is Side.SELL:
        return kept(Reason.FRACTIONAL, False, "a fraction of a share cannot be sold short")
    asset = view.assets.get(intent.symbol)
    ok = limits.allow_fractional and asset is not None and asset.fractionable
    why = "is not fractionable" if limits.allow_fractional else "in fractions is off (risk.allow_fractional)"
    return kept(Reason.FRACTIONAL, ok, f"{intent.symbol} {why}")


def in_session(view: GateView, *, flatten: bool) -> Finding:
    """Judge whether the session is open: [opens_at, closes_at).

    A flatten may queue for the next open, and so may every order of a desk that holds overnight.
    """
    session = view.session
    if session is None:
        return kept(Reason.OUTSIDE_SESSION, flatten, "there is no session today")
    ok = flatten or (session.opens_at <= view.now and (view.overnight or view.now < session.closes_at))
    hours = f"{session.opens_at:%H:%M} to {session.closes_at:%H:%M} UTC"
    return kept(Reason.OUTSIDE_SESSION, ok, f"{view.now:%H:%M:%S} is outside the session {hours}")


def before_close_out(view: GateView) -> Finding:
    """Judge whether it is early enough for an entry."""
    if view.no_entry_at is None:
        return missing(Reason.CLOSE_OUT, "the end of entries is unknown")
    ok = view.now < view.no_entry_at
    return kept(Reason.CLOSE_OUT, ok, f"no entries from {view.no_entry_at:%H:%M} UTC on")


def account_open(view: GateView) -> Finding:
    """Judge whether the broker lets the account trade."""
    account = view.account
    if account is None:
        return missing(Reason.ACCOUNT_BLOCKED, "the broker's account could not be read")
    faults = [
        word
        for word, found in (
            ("trading_blocked", account.trading_blocked),
            ("account_blocked", account.account_blocked),
            ("trade_suspended_by_user", account.trade_suspended_by_user),
            (f"status {account.status}", account.status != ACTIVE),
        )
        if found
    ]
    return at_most(Reason.ACCOUNT_BLOCKED, number=len(faults), limit=0, words=f"account: {', '.join(faults)}")


def no_unknown_order(intent: OrderIntent, view: GateView) -> Finding:
    """Judge whether the symbol has an order whose answer was lost (I4)."""
    lost = [
        order.intent.client_order_id
        for order in view.working
        if order.state is OrderState.UNKNOWN and order.intent.symbol == intent.symbol
    ]
    return at_most(
        Reason.UNKNOWN_ORDER, number=len(lost), limit=0, words=f"answer still awaited for {', '.join(lost)}"
    )


def no_open_break(intent: OrderIntent, view: GateView) -> Finding:
    """Judge whether the symbol's books are known to be right (T3); for exits too.

    With a position break the position is not known, and an exit of the wrong size opens one (F4). That
    goes for a flatten too; the kill switch adjusts every break before it sends its exits. An order that
    nobody can explain keeps entries out only (desk/order_breaks.py).
    """
    is_locked = intent.purpose is Purpose.ENTRY and intent.symbol in view.locked
    ok = intent.symbol not in view.broken and not is_locked
    return kept(Reason.OPEN_BREAK, ok, f"{intent.symbol} is locked by a break that is open or not booked yet")


def eligible_symbol(intent: OrderIntent, view: GateView) -> Finding:
    """Judge whether the broker trades the symbol."""
    asset = view.assets.get(intent.symbol)
    if asset is None:
        return missing(Reason.INELIGIBLE_SYMBOL, f"nothing is known of asset {intent.symbol}")
    ok = asset.tradable and asset.status == ASSET_ACTIVE
    words = f"{intent.symbol} is not tradable, status {asset.status}"
    return kept(Reason.INELIGIBLE_SYMBOL, ok, words)


def not_halted(intent: OrderIntent, view: GateView) -> Finding:
    """Judge whether the symbol trades now; for entries only.

    An entry into a halt is a bet on the reopening price, which no strategy here has an opinion on. An exit
    is sent all the same: the broker holds it until the reopening (a market order then executes in the
    auction, a resting stop as it always would), and whoever waits with it stands behind everybody who did
    not. Its price may be bad; not being out may be worse, and a desk that cannot leave is the worst.
    """
    ok = intent.symbol not in view.halted
    return kept(Reason.HALTED_SYMBOL, ok, f"trading in {intent.symbol} is halted")


def no_split(intent: OrderIntent, view: GateView) -> Finding:
    """Judge whether a split makes quantity and prices of the symbol doubtful (desk/splits.py)."""
    found = view.splitting.get(intent.symbol)
    if found is None and intent.time_in_force is TimeInForce.GTC:
        found = view.splits_ahead.get(intent.symbol)
    return kept(Reason.CORPORATE_ACTION, found is None, f"{intent.symbol}: {found}")


def fresh_data(intent: OrderIntent, view: GateView, limits: RiskLimits) -> Finding:
    """Judge the age of the symbol's newest bar, from its right edge (F8)."""
    ts = view.newest_bar_ts.get(intent.symbol)
    if ts is None:
        return missing(Reason.STALE_DATA, f"no bar of {intent.symbol} yet", limit=limits.stale_after_s)
    age = Decimal((view.now - ts - BAR) // timedelta(milliseconds=1)) / 1000
    return at_most(
        Reason.STALE_DATA,
        number=age,
        limit=limits.stale_after_s,
        words="newest bar ended {number} s ago, over {limit}",
    )


def trusted_data(intent: OrderIntent, view: GateView) -> Finding:
    """Judge whether the symbol's data is doubted this minute."""
    ok = intent.symbol not in view.suspect
    return kept(Reason.SUSPECT_DATA, ok, f"the bars of {intent.symbol} are in doubt this minute")


def short_allowed(intent: OrderIntent, view: GateView, limits: RiskLimits) -> Finding:
    """Judge a short sale: allowed by us, by the account and by the asset."""
    if intent.side is Side.BUY:
        return kept(Reason.SHORT_NOT_ALLOWED, True, "buys")
    asset = view.assets.get(intent.symbol)
    fault = None
    if not limits.allow_short:
        fault = "short sales are off (risk.allow_short)"
    elif view.account is None or not view.account.shorting_enabled:
        fault = "the account may not sell short"
    elif asset is None or not (asset.shortable and asset.easy_to_borrow):
        fault = f"{intent.symbol} cannot be borrowed easily"
    return kept(Reason.SHORT_NOT_ALLOWED, fault is None, fault or "allowed")


def in_collar(intent: OrderIntent, view: GateView, limits: RiskLimits) -> Finding:
    """Judge how far the order's price lies from the last price, as a fraction of the last price."""
    last = view.prices.get(intent.symbol)
    if last is None or last <= 0:
        words = f"no last price of {intent.symbol}"
        return missing(Reason.PRICE_COLLAR, words, limit=limits.price_collar_frac)
    price = order_price(intent)
    return at_most(
        Reason.PRICE_COLLAR,
        number=round(abs(price - last) / last, 6),
        limit=limits.price_collar_frac,
        words=f"price {plain(price)} is {{number}} away from the last {plain(last)}, over {{limit}}",
    )


def exit_possible(intent: OrderIntent, view: GateView) -> Finding:
    """Judge whether the entry could be left again (R2).

    - Two strategies of opposite opinion share one position at the broker: what one enters eats the
      other's, and then one of their exits is refused. So nothing may be held or entering on the other side.
    - A position that is worth less than a dollar may not be sold where it has fractions (ALPACA.md §2.4).

    The rest of being able to leave has rules of its own, so that a denial names it: time before the
    close-out (CLOSE_OUT), a symbol that trades and is not halted, data that is fresh enough to see the
    exit by, fractions the asset may be held in, day trades left (PATTERN_DAY_TRADER).
    """
    worth = intent.qty * worst_price(intent, last=view.prices.get(intent.symbol))
    if not is_whole(intent.qty) and worth < NOTIONAL_MIN_USD:
        words = "worth {number} USD, and fractions under {limit} cannot be sold again"
        return Finding(
            Reason.EXIT_REFUSABLE, number=worth, limit=NOTIONAL_MIN_USD, ok=False, words=words, in_usd=True
        )
    position = view.positions.get(intent.symbol, ZERO)
    against = abs(position) if position * intent.side.sign < 0 else ZERO
    for order in view.working:
        other = order.intent
        if other.symbol == intent.symbol and other.side is not intent.side and other.purpose is Purpose.ENTRY:
            against += order.most
    return at_most(
        Reason.EXIT_REFUSABLE,
        number=against,
        limit=0,
        words="{number} shares are held or entering on the other side, so an exit could be refused",
    )


def no_wash_trade(intent: OrderIntent, view: GateView, *, flatten: bool) -> Finding:
    """Judge the order against our own working orders on the other side, as the broker does.

    A market or stop order may meet any of them; two limits meet when the buy's is at or over the
    sell's. Brackets, oco, oto and trailing stops are exempt, whichever of the two orders is one (ALPACA.md
    §2.4). For an exit an UNKNOWN order does not count: it may not exist, and the exit may not wait. A
    flatten cancels everything first and is not asked.
    """
    unsure = intent.purpose is Purpose.EXIT
    met = [
        order.intent.client_order_id
        for order in view.working
        if not flatten
        and order.intent.symbol == intent.symbol
        and order.intent.side is not intent.side
        and not (unsure and order.state is OrderState.UNKNOWN)
        and _would_meet(intent, order.intent)
    ]
    return at_most(
        Reason.WASH_TRADE, number=len(met), limit=0, words=f"would trade with our own {', '.join(met)}"
    )


def within_position(intent: OrderIntent, view: GateView) -> Finding:
    """Judge whether an exit stays within the position, working orders of its side included."""
    position = view.positions.get(intent.symbol, ZERO)
    held = abs(position) if position * intent.side.sign < 0 else ZERO
    leaving = intent.qty + sum(
        (
            order.most
            for order in view.working
            if order.intent.symbol == intent.symbol and order.intent.side is intent.side
        ),
        ZERO,
    )
    return at_most(
        Reason.EXIT_EXCEEDS_POSITION,
        number=leaving,
        limit=held,
        words="exits of {number} shares over the {limit} held",
    )


def _would_meet(one: OrderIntent, other: OrderIntent) -> bool:
    if any(
        each.order_class is not OrderClass.SIMPLE or each.order_type is OrderType.TRAILING_STOP
        for each in (one, other)
    ):
        return False
    if one.limit_price is None or other.limit_price is None:
        return True
    buy, sell = (one, other) if one.side is Side.BUY else (other, one)
    return buy.limit_price is None or sell.limit_price is None or buy.limit_price >= sell.limit_price

"""The pre-trade gate (R1): every order is judged here, and the answer carries the numbers.

`review` is pure: an intent, a view of the book and the limits give an `Approval` with every rule
judged (I5), or a `Denial` with the first that failed. Fail closed: no number is a no.

The order of the rules is fixed, from cheap and absolute to sums over the book, and is the order of
`Approval.checks`:

    entries: DUPLICATE, TRADING_STATE, LOSS_LATCH, DAILY_LOSS, PROTECTION, BAD_ORDER, FRACTIONAL,
        OUTSIDE_SESSION, CLOSE_OUT, ACCOUNT_BLOCKED, UNKNOWN_ORDER, OPEN_BREAK, INELIGIBLE_SYMBOL,
        HALTED_SYMBOL, CORPORATE_ACTION, STALE_DATA, SUSPECT_DATA, SHORT_NOT_ALLOWED, PRICE_COLLAR,
        EXIT_REFUSABLE, WASH_TRADE, ORDERS_PER_DAY, ORDERS_PER_MINUTE, REQUEST_BUDGET (where requests are
        counted), ORDER_NOTIONAL, POSITION_SHARES, POSITION_NOTIONAL, POSITION_EQUITY_FRAC,
        GROSS_EXPOSURE, NET_EXPOSURE, BUYING_POWER,
        PATTERN_DAY_TRADER or INTRADAY_MARGIN by date
    exits: DUPLICATE, TRADING_STATE, BAD_ORDER, FRACTIONAL, OUTSIDE_SESSION, OPEN_BREAK,
        EXIT_EXCEEDS_POSITION, WASH_TRADE (the latter against orders known to exist)

Exits pass in REDUCING, under a latch, on stale data, over every limit: they only take exposure away,
which EXIT_EXCEEDS_POSITION makes sure of (net may still rise for a moment, when half a hedge leaves
first). HALTED lets through only exits flagged `flatten`, those of
the kill switch, of a flatten and of a position's protection.

The intents of one minute are judged one after another, each against a view that contains those already
approved (`review_all`): there is no race between signals (F3), and no limit is passed by many small
orders (F7, I6).

Left out: what needs quotes (spread, quote age).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from decimal import ROUND_CEILING, Decimal

from desk import eligibility as may
from desk.eligibility import GateView as GateView
from desk.exposure import Exposure, WorkingOrder, exposure_of, with_order, worst_price
from desk.finding import Finding, at_most, missing
from desk.margin import margin_finding
from desk.money import FRACTION_STEP, ZERO, plain
from schemas.account import BrokerAccount
from schemas.orders import Approval, Denial, OrderIntent, OrderState, Purpose, Reason, Side
from schemas.risk import RiskLimits

# A short sale is charged at MAX(limit, ask + 3 %) (ALPACA.md §2.4); the last price stands for the ask.
SHORT_MARKUP = Decimal("1.03")
# The broker's buying power does not know these yet: planned and not sent, or sent and not answered.
UNRESERVED = (OrderState.PENDING, OrderState.UNKNOWN)

Verdicts = tuple[tuple[OrderIntent, Approval | Denial], ...]
Judge = Callable[[Sequence[OrderIntent], GateView, RiskLimits], Verdicts]


def review(
    intent: OrderIntent, view: GateView, limits: RiskLimits, *, flatten: bool = False
) -> Approval | Denial:
    """Judge one intent.

    Args:
        intent: What the desk would like to send.
        view: The book of this minute, with everything approved so far in it.
        limits: What is held against.
        flatten: Whether this exit is the kill switch's, a flatten's or a position's protection.
    """
    checks = []
    replaced, view = _without_replaced(intent, view)
    for finding in _findings(intent, view, limits, replaced, flatten=flatten):
        if not finding.ok:
            return _denial(intent, finding, view)
        checks.append(finding.check())
    return Approval(client_order_id=intent.client_order_id, checks=tuple(checks), judged_at=view.now)


def review_all(
    intents: Sequence[OrderIntent], view: GateView, limits: RiskLimits, *, flatten: bool = False
) -> Verdicts:
    """Judge a minute's intents in the order given, each with those approved before it in the book."""
    judged: list[tuple[OrderIntent, Approval | Denial]] = []
    if sum(intent.purpose is Purpose.ENTRY for intent in intents) > 1:
        view = replace(view, exposure=exposure_of(view.positions, view.working, view.prices))
    for intent in intents:
        if judged and isinstance(judged[-1][1], Approval):
            view = with_approved(view, judged[-1][0])
        judged.append((intent, review(intent, view, limits, flatten=flatten)))
    return tuple(judged)


def approve_all(
    intents: Sequence[OrderIntent], view: GateView, limits: RiskLimits, *, flatten: bool = False
) -> Verdicts:
    """Approve a minute's intents for a bare backtest; the approvals name no rule.

    Only the session's hours hold, for they are no limit but when the desk trades: an entry that could not be
    left before the close-out is denied.
    """
    hours = may.in_session(view, flatten=flatten), may.before_close_out(view)
    broken = next((finding for finding in hours if not finding.ok), None)
    return tuple(
        (
            intent,
            Approval(client_order_id=intent.client_order_id, checks=(), judged_at=view.now)
            if broken is None or intent.purpose is Purpose.EXIT
            else _denial(intent, broken, view),
        )
        for intent in intents
    )


def with_approved(view: GateView, intent: OrderIntent) -> GateView:
    """Give the view with an approved intent in it as a pending order."""
    summed = view.exposure if intent.replaces is None else None
    if summed is not None:
        summed = summed.plus(intent, qty=intent.qty, price=view.prices.get(intent.symbol))
    return replace(
        view,
        working=with_order(view.working, WorkingOrder(intent=intent, remaining=intent.qty)),
        exposure=summed,
        known_ids=view.known_ids | {intent.client_order_id},
        orders_today=view.orders_today + 1,
        entries_this_minute=view.entries_this_minute + (intent.purpose is Purpose.ENTRY),
        requests=None if view.requests is None else (view.requests[0] + 1, view.requests[1]),
    )


def _without_replaced(intent: OrderIntent, view: GateView) -> tuple[WorkingOrder | None, GateView]:
    """Give the order the intent would replace, and the view without it.

    The two never execute both in full. The old one was judged when it was planned and by every order since,
    so the book with the new one in its place is what is left to judge.
    """
    if intent.replaces is None:
        return None, view
    old = next((o for o in view.working if o.intent.client_order_id == intent.replaces), None)
    rest = tuple(order for order in view.working if order is not old)
    return old, replace(view, working=rest, exposure=None)


def _findings(
    intent: OrderIntent,
    view: GateView,
    limits: RiskLimits,
    replaced: WorkingOrder | None,
    *,
    flatten: bool,
) -> Iterator[Finding]:
    """Judge rule after rule; the caller stops at the first broken one."""
    entry = intent.purpose is Purpose.ENTRY
    yield may.duplicate(intent, view)
    yield may.trading_state(intent, view, flatten=flatten)
    if entry:
        yield may.loss_latch(view)
        yield may.daily_loss(view, limits)
        yield may.unpaused(intent, view)
    yield may.order_form(intent, view, flatten=flatten)
    yield may.fractional(intent, view, limits)
    yield may.in_session(view, flatten=flatten)
    if entry:
        yield from _entry_eligibility(intent, view, limits)
        yield from _entry_limits(intent, view, limits, replaced)
        return
    yield may.no_open_break(intent, view)
    yield may.within_position(intent, view)
    yield may.no_wash_trade(intent, view, flatten=flatten)


def _entry_eligibility(intent: OrderIntent, view: GateView, limits: RiskLimits) -> Iterator[Finding]:
    yield may.before_close_out(view)
    yield may.account_open(view)
    yield may.no_unknown_order(intent, view)
    yield may.no_open_break(intent, view)
    yield may.eligible_symbol(intent, view)
    yield may.not_halted(intent, view)
    yield may.no_split(intent, view)
    yield may.fresh_data(intent, view, limits)
    yield may.trusted_data(intent, view)
    yield may.short_allowed(intent, view, limits)
    yield may.in_collar(intent, view, limits)
    yield may.exit_possible(intent, view)
    yield may.no_wash_trade(intent, view, flatten=False)


def _entry_limits(
    intent: OrderIntent, view: GateView, limits: RiskLimits, replaced: WorkingOrder | None
) -> Iterator[Finding]:
    """Judge counts and sums; account and last price are known to be there by now."""
    account = view.account
    assert account is not None, "ACCOUNT_BLOCKED has refused a missing account"
    yield at_most(
        Reason.ORDERS_PER_DAY,
        number=view.orders_today + 1,
        limit=limits.orders_per_day,
        words="order {number} of the session over {limit}",
    )
    yield at_most(
        Reason.ORDERS_PER_MINUTE,
        number=view.entries_this_minute + 1,
        limit=limits.orders_per_minute,
        words="entry {number} of the minute over {limit}",
    )
    if view.requests is not None:
        used, share = view.requests
        yield at_most(
            Reason.REQUEST_BUDGET,
            number=used + 1,
            limit=share,
            words="request {number} of the minute, and entries may use {limit}: the rest is for exits",
        )
    last = view.prices.get(intent.symbol)
    yield _usd(
        Reason.ORDER_NOTIONAL,
        intent.qty * worst_price(intent, last=last),
        limits.order_notional_max_usd,
        "order notional",
    )
    before = view.exposure
    if before is None:
        before = exposure_of(view.positions, view.working, view.prices)
    after = before.plus(intent, qty=intent.qty, price=last)
    yield from _position_limits(intent, after, account, limits)
    yield from _book_limits(after, limits)
    yield _buying_power(intent, view, account, replaced)
    yield margin_finding(
        intent, account=account, after=after, day_trades=view.day_trades, at_risk=before.symbols.keys()
    )


def _position_limits(
    intent: OrderIntent, after: Exposure, account: BrokerAccount, limits: RiskLimits
) -> Iterator[Finding]:
    exposure = after.symbol(intent.symbol)
    yield at_most(
        Reason.POSITION_SHARES,
        number=exposure.qty_worst,
        limit=limits.position_shares_max,
        words="position {number} shares over {limit}",
    )
    yield _usd(
        Reason.POSITION_NOTIONAL, exposure.usd_worst, limits.position_notional_max_usd, "position notional"
    )
    if account.equity <= 0:
        yield missing(
            Reason.POSITION_EQUITY_FRAC,
            f"equity {plain(account.equity)} USD is not positive",
            limit=limits.position_equity_frac,
        )
        return
    yield at_most(
        Reason.POSITION_EQUITY_FRAC,
        number=(exposure.usd_worst / account.equity).quantize(FRACTION_STEP, ROUND_CEILING),
        limit=limits.position_equity_frac,
        words="position {number} of equity over {limit}",
    )


def _book_limits(after: Exposure, limits: RiskLimits) -> Iterator[Finding]:
    if after.unpriced:
        words = f"no price of {', '.join(after.unpriced)}, which is held"
        yield missing(Reason.GROSS_EXPOSURE, words, limit=limits.gross_max_usd)
        return
    yield _usd(Reason.GROSS_EXPOSURE, after.gross, limits.gross_max_usd, "gross")
    yield _usd(Reason.NET_EXPOSURE, after.net, limits.net_max_usd, "net")


def _buying_power(
    intent: OrderIntent, view: GateView, account: BrokerAccount, replaced: WorkingOrder | None
) -> Finding:
    """Hold the cost of this entry, and of those the broker does not know yet, against its number.

    During a replace Alpaca charges the larger of both orders (ALPACA.md §2.3), and the old one is charged.
    """
    promised = sum(
        (
            _cost(order.intent, order.remaining, view)
            for order in view.working
            if order.state in UNRESERVED and order.intent.purpose is Purpose.ENTRY
        ),
        ZERO,
    )
    charged = ZERO
    if replaced is not None and replaced.state not in UNRESERVED:
        charged = _cost(replaced.intent, replaced.remaining, view)
    return _usd(
        Reason.BUYING_POWER,
        promised + max(ZERO, _cost(intent, intent.qty, view) - charged),
        account.buying_power,
        "buying power needed",
    )


def _cost(intent: OrderIntent, qty: Decimal, view: GateView) -> Decimal:
    last = view.prices.get(intent.symbol)
    if intent.side is Side.SELL and last is not None:
        last *= SHORT_MARKUP
    return qty * worst_price(intent, last=last)


def _usd(reason: Reason, number: Decimal, limit: Decimal, name: str) -> Finding:
    words = name + " {number} USD over {limit}"
    return at_most(reason, number=number, limit=limit, words=words, in_usd=True)


def _denial(intent: OrderIntent, finding: Finding, view: GateView) -> Denial:
    order = f"{intent.symbol} {intent.side.value} {plain(intent.qty)}"
    return Denial(
        client_order_id=intent.client_order_id,
        reason=finding.reason,
        number=finding.number,
        limit=finding.limit,
        message=f"{order} denied: {finding.message()}",
        judged_at=view.now,
    )

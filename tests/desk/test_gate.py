"""desk/gate.py: every rule refuses what it is for, and an approval carries the numbers of all."""

from dataclasses import replace
from datetime import timedelta

import pytest

from desk.finding import MISSING
from desk.gate import GateView, review
from schemas.orders import (
    Approval,
    Denial,
    OrderClass,
    OrderIntent,
    OrderState,
    OrderType,
    Reason,
    Side,
    TimeInForce,
)
from schemas.risk import LatchName, Pause, ProtectionScope, RiskLimits, TradingState
from tests.desk.risk_book import (
    BAR_TS,
    DAY,
    FRESH,
    HELD,
    LIMITS,
    NOW,
    SESSION,
    WIDE,
    D,
    account,
    asset,
    entry,
    gate_view,
    leave,
    limits,
    works,
)

SHORT = entry(side=Side.SELL)
PAUSED = Pause(
    protection="stop_guard",
    scope=ProtectionScope.GLOBAL,
    key="",
    until=NOW + timedelta(microseconds=1),
    number=D(3),
    limit=D(3),
    cause="3 losing stop exits",
    set_at=NOW,
)


def over(scope: str, key: str) -> Pause:
    """Give a pause of one strategy or symbol."""
    return PAUSED.model_copy(update={"scope": ProtectionScope(scope), "key": key})


# One or more cases for every reason: what is asked, in which book, under which limits.
REFUSED: list[tuple[Reason, OrderIntent, GateView, RiskLimits]] = [
    (Reason.DUPLICATE, FRESH, gate_view(known_ids={FRESH.client_order_id}), LIMITS),
    (Reason.TRADING_STATE, FRESH, gate_view(state=TradingState.REDUCING), LIMITS),
    (Reason.TRADING_STATE, FRESH, gate_view(state=TradingState.HALTED), LIMITS),
    (Reason.TRADING_STATE, leave(), gate_view(state=TradingState.HALTED, positions=HELD), LIMITS),
    (Reason.LOSS_LATCH, FRESH, gate_view(latches={LatchName.DAILY_LOSS}), LIMITS),
    (Reason.LOSS_LATCH, FRESH, gate_view(latches={LatchName.KILL}), LIMITS),
    (Reason.DAILY_LOSS, FRESH, gate_view(daily_pnl=D(-1000)), LIMITS),
    (Reason.DAILY_LOSS, FRESH, gate_view(daily_pnl=None), LIMITS),
    (Reason.BAD_ORDER, entry(qty="0"), gate_view(), LIMITS),
    (Reason.BAD_ORDER, entry(qty="1.0000000001"), gate_view(), WIDE),
    (Reason.BAD_ORDER, entry(limit_price=D("200.001")), gate_view(), LIMITS),
    (Reason.BAD_ORDER, entry(limit_price=None), gate_view(), LIMITS),
    (Reason.BAD_ORDER, entry(stop_price=D(200)), gate_view(), LIMITS),
    (Reason.BAD_ORDER, entry(reference_price=D(0)), gate_view(), LIMITS),
    (Reason.BAD_ORDER, entry(client_order_id="x" * 129), gate_view(), LIMITS),
    (Reason.BAD_ORDER, entry(session_date=DAY - timedelta(days=1)), gate_view(), LIMITS),
    (Reason.FRACTIONAL, entry(qty="0.5"), gate_view(), LIMITS),
    (Reason.FRACTIONAL, entry(qty="0.5", time_in_force=TimeInForce.GTC), gate_view(), WIDE),
    (Reason.FRACTIONAL, entry(qty="0.5", side=Side.SELL), gate_view(), WIDE),
    (
        Reason.FRACTIONAL,
        entry(qty="0.5"),
        gate_view(assets={"AAPL": asset("AAPL", fractionable=False)}),
        WIDE,
    ),
    (Reason.FRACTIONAL, entry(qty="0.5"), gate_view(assets={}), WIDE),
    (Reason.OUTSIDE_SESSION, FRESH, gate_view(now=SESSION.opens_at - timedelta(microseconds=1)), LIMITS),
    (Reason.OUTSIDE_SESSION, FRESH, gate_view(session=None), LIMITS),
    (Reason.OUTSIDE_SESSION, leave(), gate_view(now=SESSION.closes_at, positions=HELD), LIMITS),
    (Reason.CLOSE_OUT, FRESH, gate_view(no_entry_at=NOW), LIMITS),
    (Reason.CLOSE_OUT, FRESH, gate_view(no_entry_at=None), LIMITS),
    (Reason.ACCOUNT_BLOCKED, FRESH, gate_view(account=account(trading_blocked=True)), LIMITS),
    (Reason.ACCOUNT_BLOCKED, FRESH, gate_view(account=account(account_blocked=True)), LIMITS),
    (Reason.ACCOUNT_BLOCKED, FRESH, gate_view(account=account(trade_suspended_by_user=True)), LIMITS),
    (Reason.ACCOUNT_BLOCKED, FRESH, gate_view(account=account(status="ACCOUNT_CLOSED")), LIMITS),
    (Reason.ACCOUNT_BLOCKED, FRESH, gate_view(account=None), LIMITS),
    (Reason.UNKNOWN_ORDER, FRESH, gate_view(working=(works(FRESH, state=OrderState.UNKNOWN),)), LIMITS),
    (Reason.OPEN_BREAK, FRESH, gate_view(broken={"AAPL"}), LIMITS),
    (Reason.OPEN_BREAK, leave(), gate_view(broken={"AAPL"}, positions=HELD), LIMITS),
    (Reason.INELIGIBLE_SYMBOL, FRESH, gate_view(assets={"AAPL": asset("AAPL", tradable=False)}), LIMITS),
    (Reason.INELIGIBLE_SYMBOL, FRESH, gate_view(assets={"AAPL": asset("AAPL", status="inactive")}), LIMITS),
    (Reason.INELIGIBLE_SYMBOL, FRESH, gate_view(assets={}), LIMITS),
    (Reason.STALE_DATA, FRESH, gate_view(newest_bar_ts={"AAPL": NOW - timedelta(seconds=241)}), LIMITS),
    (Reason.STALE_DATA, FRESH, gate_view(newest_bar_ts={}), LIMITS),
    (Reason.SUSPECT_DATA, FRESH, gate_view(suspect={"AAPL"}), LIMITS),
    (Reason.SHORT_NOT_ALLOWED, SHORT, gate_view(), LIMITS),
    (Reason.SHORT_NOT_ALLOWED, SHORT, gate_view(account=account(shorting_enabled=False)), WIDE),
    (Reason.SHORT_NOT_ALLOWED, SHORT, gate_view(assets={"AAPL": asset("AAPL", shortable=False)}), WIDE),
    (Reason.SHORT_NOT_ALLOWED, SHORT, gate_view(assets={"AAPL": asset("AAPL", easy_to_borrow=False)}), WIDE),
    (Reason.PRICE_COLLAR, entry(limit_price=D("206.01")), gate_view(), LIMITS),
    (Reason.PRICE_COLLAR, entry(limit_price=D("193.99")), gate_view(), LIMITS),
    (Reason.PRICE_COLLAR, FRESH, gate_view(prices={}), LIMITS),
    (Reason.EXIT_REFUSABLE, SHORT, gate_view(positions=HELD), WIDE),
    (Reason.EXIT_REFUSABLE, FRESH, gate_view(positions={"AAPL": D(-10)}), WIDE),
    (Reason.EXIT_REFUSABLE, SHORT, gate_view(working=(works(FRESH),)), WIDE),
    (Reason.WASH_TRADE, FRESH, gate_view(positions=HELD, working=(works(leave()),)), LIMITS),
    (Reason.WASH_TRADE, leave(), gate_view(positions=HELD, working=(works(FRESH),)), LIMITS),
    (Reason.ORDERS_PER_DAY, FRESH, gate_view(orders_today=500), LIMITS),
    (Reason.ORDERS_PER_MINUTE, FRESH, gate_view(entries_this_minute=60), LIMITS),
    (Reason.REQUEST_BUDGET, FRESH, gate_view(requests=(140, 140)), LIMITS),
    (Reason.ORDER_NOTIONAL, FRESH, gate_view(), limits(order_notional_max_usd=D("1999.99"))),
    (Reason.POSITION_SHARES, FRESH, gate_view(positions=HELD), limits(position_shares_max=D(19))),
    (Reason.POSITION_NOTIONAL, FRESH, gate_view(positions=HELD), limits(position_notional_max_usd=D(3999))),
    (
        Reason.POSITION_EQUITY_FRAC,
        FRESH,
        gate_view(account=account(equity=D(10_000))),
        limits(position_equity_frac=D("0.19")),
    ),
    (Reason.POSITION_EQUITY_FRAC, FRESH, gate_view(account=account(equity=D(0))), WIDE),
    (Reason.GROSS_EXPOSURE, FRESH, gate_view(positions={"SPY": D(-10)}), limits(gross_max_usd=D(7999))),
    (Reason.GROSS_EXPOSURE, FRESH, gate_view(positions={"XOM": D(1)}), WIDE),
    (Reason.NET_EXPOSURE, FRESH, gate_view(positions={"SPY": D(10)}), limits(net_max_usd=D(7999))),
    (Reason.BUYING_POWER, FRESH, gate_view(account=account(buying_power=D("1999.99"))), LIMITS),
    (Reason.BUYING_POWER, SHORT, gate_view(account=account(buying_power=D("2059.99"))), WIDE),
    (
        Reason.BUYING_POWER,
        FRESH,
        gate_view(
            account=account(buying_power=D(5999)),
            working=(works(entry("MSFT"), state=OrderState.UNKNOWN),),
        ),
        LIMITS,
    ),
    (Reason.INTRADAY_MARGIN, SHORT, gate_view(account=account(equity=D(1_999))), WIDE),
    (Reason.EXIT_EXCEEDS_POSITION, leave(position="11"), gate_view(positions=HELD), LIMITS),
    (Reason.EXIT_EXCEEDS_POSITION, leave(position="-10"), gate_view(positions=HELD), LIMITS),
    (Reason.EXIT_EXCEEDS_POSITION, leave(), gate_view(), LIMITS),
    (
        Reason.EXIT_EXCEEDS_POSITION,
        leave(),
        gate_view(positions=HELD, working=(works(leave(), remaining="1", state=OrderState.UNKNOWN),)),
        LIMITS,
    ),
]
BRACKET = {"order_class": OrderClass.BRACKET, "take_profit_price": D(210), "stop_loss_price": D(195)}
OCO = {"order_type": OrderType.LIMIT, "order_class": OrderClass.OCO, "limit_price": D(210)}
OCO |= {"take_profit_price": D(210), "stop_loss_price": D(195), "protects": True}
REFUSED += [
    (Reason.BAD_ORDER, entry(**BRACKET | changed), gate_view(), LIMITS)
    for changed in (
        {"take_profit_price": None},
        {"stop_loss_price": D(211)},
        {"stop_loss_price": D(200)},
        {"take_profit_price": D(200)},
        {"order_class": OrderClass.OCO},
        {"order_class": OrderClass.OTO},
        {"order_class": OrderClass.SIMPLE},
        {"extended_hours": True},
    )
]
REFUSED += [
    (Reason.BAD_ORDER, leave(**changed), gate_view(positions=HELD), LIMITS)
    for changed in (
        {"order_type": OrderType.TRAILING_STOP},
        {"order_type": OrderType.TRAILING_STOP, "trail_percent": D("0.09")},
        {"order_type": OrderType.TRAILING_STOP, "trail_percent": D(1), "trail_price": D(1)},
        {"trail_price": D(1)},
        {"extended_hours": True},
        OCO | {"order_class": OrderClass.BRACKET},
        OCO | {"stop_loss_price": D(211)},
    )
]
REFUSED += [
    (Reason.FRACTIONAL, entry(qty="0.5", **BRACKET), gate_view(), WIDE),
    (Reason.EXIT_REFUSABLE, entry(qty="0.004"), gate_view(), WIDE),
    (Reason.PROTECTION, FRESH, gate_view(pauses=(PAUSED,)), LIMITS),
    (Reason.PROTECTION, FRESH, gate_view(pauses=(over("strategy", "demo"),)), LIMITS),
    (Reason.PROTECTION, FRESH, gate_view(pauses=(over("symbol", "AAPL"),)), LIMITS),
    (Reason.HALTED_SYMBOL, FRESH, gate_view(halted={"AAPL"}), LIMITS),
    (Reason.CORPORATE_ACTION, FRESH, gate_view(splitting={"AAPL": "split 4 for 1 today"}), LIMITS),
]
OLD_DAY = DAY.replace(year=2025)
OLD_SESSION = SESSION.model_copy(update={"session_date": OLD_DAY})
SMALL = account(equity=D(24_999), buying_power=D(99_996))
REFUSED += [
    (
        Reason.PATTERN_DAY_TRADER,
        entry(session_date=OLD_DAY),
        gate_view(session=OLD_SESSION, account=SMALL, day_trades=day_trades),
        WIDE,
    )
    for day_trades in (3, None)
]


@pytest.mark.parametrize(
    ("reason", "intent", "view", "held_against"),
    REFUSED,
    ids=[f"{case[0].value}-{number}" for number, case in enumerate(REFUSED)],
)
def test_refused(reason: Reason, intent: OrderIntent, view: GateView, held_against: RiskLimits) -> None:
    """The case is refused for its reason, with a message that names the order."""
    answer = review(intent, view, held_against)

    assert isinstance(answer, Denial)
    assert answer.reason is reason
    assert answer.message.startswith(f"{intent.symbol} {intent.side.value} ")
    if intent.qty == D("0.004"):
        assert answer.number < answer.limit
        return
    at_limit = reason in (Reason.DAILY_LOSS, Reason.PROTECTION)
    assert answer.number > answer.limit or answer.number == MISSING or at_limit


def test_every_reason_has_a_case() -> None:
    """No reason of the contract is without a test that triggers it."""
    assert {case[0] for case in REFUSED} == set(Reason)


ENTRY_RULES = [
    Reason.DUPLICATE,
    Reason.TRADING_STATE,
    Reason.LOSS_LATCH,
    Reason.DAILY_LOSS,
    Reason.PROTECTION,
    Reason.BAD_ORDER,
    Reason.FRACTIONAL,
    Reason.OUTSIDE_SESSION,
    Reason.CLOSE_OUT,
    Reason.ACCOUNT_BLOCKED,
    Reason.UNKNOWN_ORDER,
    Reason.OPEN_BREAK,
    Reason.INELIGIBLE_SYMBOL,
    Reason.HALTED_SYMBOL,
    Reason.CORPORATE_ACTION,
    Reason.STALE_DATA,
    Reason.SUSPECT_DATA,
    Reason.SHORT_NOT_ALLOWED,
    Reason.PRICE_COLLAR,
    Reason.EXIT_REFUSABLE,
    Reason.WASH_TRADE,
    Reason.ORDERS_PER_DAY,
    Reason.ORDERS_PER_MINUTE,
    Reason.ORDER_NOTIONAL,
    Reason.POSITION_SHARES,
    Reason.POSITION_NOTIONAL,
    Reason.POSITION_EQUITY_FRAC,
    Reason.GROSS_EXPOSURE,
    Reason.NET_EXPOSURE,
    Reason.BUYING_POWER,
    Reason.INTRADAY_MARGIN,
]


def test_a_plain_entry_is_approved_with_every_number() -> None:
    """I5: the approval carries every rule once, in the documented order, none beyond its limit."""
    answer = review(FRESH, gate_view(positions=HELD), LIMITS)

    assert isinstance(answer, Approval)
    assert [check.reason for check in answer.checks] == ENTRY_RULES
    numbers = {check.reason: (check.number, check.limit) for check in answer.checks}
    assert numbers[Reason.GROSS_EXPOSURE] == (D(4000), D(100_000))
    assert numbers[Reason.POSITION_EQUITY_FRAC] == (D("0.04"), D("0.25"))
    assert numbers[Reason.STALE_DATA] == (D(2), D(180))
    assert all(0 <= number <= limit for number, limit in numbers.values())


def test_a_limit_that_is_met_exactly_passes() -> None:
    """Limits are inclusive: gross of exactly the limit is approved, a cent less is not."""
    view = gate_view(positions={"SPY": D(10)})

    assert isinstance(review(FRESH, view, limits(gross_max_usd=D(8000))), Approval)
    assert isinstance(review(FRESH, view, limits(gross_max_usd=D("7999.99"))), Denial)


def test_a_denial_reads_as_a_sentence_with_number_and_limit() -> None:
    """The message names the thing, the number and the limit."""
    answer = review(entry(qty="126"), gate_view(positions={"SPY": D(10)}), limits(gross_max_usd=D(30_000)))

    assert isinstance(answer, Denial)
    assert answer.message == "AAPL buy 126 denied: gross 31,200 USD over 30,000"
    assert (answer.number, answer.limit, answer.judged_at) == (D(31_200), D(30_000), NOW)


WORST_BOOK = gate_view(
    positions=HELD,
    state=TradingState.REDUCING,
    latches=frozenset(LatchName),
    daily_pnl=None,
    no_entry_at=None,
    account=None,
    prices={},
    newest_bar_ts={},
    suspect={"AAPL"},
    assets={},
    orders_today=10_000,
    entries_this_minute=10_000,
    day_trades=None,
    working=(works(FRESH, state=OrderState.UNKNOWN),),
    pauses=(PAUSED,),
    halted={"AAPL"},
    splitting={"AAPL": "split 4 for 1 today"},
)


def test_an_exit_passes_where_nothing_else_does() -> None:
    """REDUCING, latched, paused, halted, blind, over every count and without an account: the exit goes."""
    assert isinstance(review(leave(), WORST_BOOK, LIMITS), Approval)


@pytest.mark.parametrize(
    "pause",
    [over("strategy", "other"), over("symbol", "MSFT"), PAUSED.model_copy(update={"until": NOW})],
    ids=["another strategy", "another symbol", "over"],
)
def test_a_pause_ends_at_its_instant_and_its_scope(pause: Pause) -> None:
    """R4: an entry elsewhere, or from `until` on, passes."""
    assert isinstance(review(FRESH, gate_view(pauses=(pause,)), LIMITS), Approval)


def test_halted_lets_only_a_flatten_through() -> None:
    """HALTED refuses every order but an exit that is the kill switch's or flatten's own."""
    view = replace(WORST_BOOK, state=TradingState.HALTED)

    assert isinstance(review(leave(), view, LIMITS, flatten=True), Approval)
    assert isinstance(review(leave(), view, LIMITS), Denial)
    assert isinstance(review(FRESH, view, LIMITS, flatten=True), Denial)


@pytest.mark.parametrize("flatten", [True, False])
def test_an_entry_is_never_a_flatten(flatten: bool) -> None:
    """The flag opens nothing for an entry, even in an active book."""
    answer = review(FRESH, gate_view(), LIMITS, flatten=flatten)

    assert isinstance(answer, Denial if flatten else Approval)


def test_a_flatten_too_stays_within_the_position() -> None:
    """Not even the kill switch may turn a long position into a short one."""
    answer = review(leave(position="11"), gate_view(positions=HELD), LIMITS, flatten=True)

    assert isinstance(answer, Denial)
    assert answer.reason is Reason.EXIT_EXCEEDS_POSITION


def test_two_limits_that_do_not_cross_are_no_wash_trade() -> None:
    """A resting sell limit above the buy limit cannot meet it."""
    resting = leave(order_type=OrderType.LIMIT, limit_price=D("200.01"))
    view = gate_view(positions=HELD, working=(works(resting),))

    assert isinstance(review(FRESH, view, LIMITS), Approval)


@pytest.mark.parametrize(
    "resting",
    [
        leave(**OCO),
        leave(order_type=OrderType.TRAILING_STOP, trail_percent=D(1), protects=True),
    ],
    ids=["oco", "trailing"],
)
def test_complex_and_trailing_orders_are_no_wash_trade(resting: OrderIntent) -> None:
    """The broker exempts them, whichever of the two orders is one (ALPACA.md §2.4)."""
    beside = gate_view(positions=HELD, working=(works(resting),))
    bracket = gate_view(positions=HELD, working=(works(entry(**BRACKET)),))

    assert isinstance(review(FRESH, beside, LIMITS), Approval)
    assert isinstance(review(leave(**OCO), bracket, LIMITS), Approval)
    assert isinstance(review(leave(), bracket, LIMITS), Approval)


def test_held_shares_are_not_sold_twice() -> None:
    """A resting protective order holds the shares: a further exit of them is refused, of the rest not."""
    resting = works(leave(**OCO), remaining="6")
    view = gate_view(positions=HELD, working=(resting,))

    assert isinstance(review(leave(position="4"), view, LIMITS), Approval)
    answer = review(leave(position="5"), view, LIMITS)
    assert isinstance(answer, Denial)
    assert (answer.reason, answer.number, answer.limit) == (Reason.EXIT_EXCEEDS_POSITION, D(11), D(10))


def test_the_newest_bar_of_this_minute_is_fresh() -> None:
    """A bar is as old as its right edge: at 15:01:02 the 15:00 bar is two seconds old."""
    assert isinstance(review(FRESH, gate_view(newest_bar_ts={"AAPL": BAR_TS}), LIMITS), Approval)

"""The fold: fills by execution id, average prices, sessions, latches, and the hash."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desk.errors import IllegalTransition
from desk.portfolio import EXTERNAL, Portfolio, replay
from schemas import events as ev
from schemas.orders import OrderState, Side
from schemas.risk import LatchName
from tests.makers import DAY, NOON, filled, intent, planned

executions = st.lists(
    st.tuples(
        st.integers(1, 50),  # qty
        st.integers(9_000, 11_000),  # price, cents
        st.booleans(),  # buy
    ),
    min_size=1,
    max_size=8,
)


def orders_and_fills(parts: list[tuple[int, int, bool]]) -> list[tuple[ev.OrderPlanned, ev.FillRecorded]]:
    """Make one order, filled completely, for every part."""
    pairs = []
    for number, (qty, cents, buy) in enumerate(parts):
        order = intent(f"mqd-{number}", side=Side.BUY if buy else Side.SELL, qty=str(qty))
        price = str(Decimal(cents) / 100)
        pairs.append((planned(order), filled(order, f"x{number}", str(qty), price=price, cum_qty=str(qty))))
    return pairs


@given(executions, st.randoms(use_true_random=False))
def test_i3_position_is_the_sum_of_fills_whatever_the_order_and_however_often(parts, random) -> None:
    """Fills duplicated, reordered and late give the same position and cash as each once (I3)."""
    pairs = orders_and_fills(parts)
    deliveries = [fill for _, fill in pairs] * 2
    random.shuffle(deliveries)

    portfolio = replay([plan for plan, _ in pairs] + deliveries)

    signed = sum((qty if buy else -qty) for qty, _, buy in parts)
    spent = sum((qty if buy else -qty) * Decimal(cents) / 100 for qty, cents, buy in parts)
    assert portfolio.position("AAPL") == signed
    assert portfolio.cash == -spent
    assert all(order.state is OrderState.FILLED for order in portfolio.orders.values())


@given(executions)
def test_i3_realized_plus_unrealized_is_cash_flow_plus_value(parts) -> None:
    """Average cost neither makes nor loses money: P&L equals cash flow plus the position's value."""
    portfolio = replay([event for pair in orders_and_fills(parts) for event in pair])

    mark = Decimal("101.37")
    position = portfolio.positions[("sma_crossover", "AAPL")]
    gained = position.realized_pnl + position.unrealized_pnl(mark)
    assert abs(gained - (portfolio.cash + position.qty * mark)) < Decimal("1e-12")


@given(executions)
def test_i8_replay_gives_the_same_hash(parts) -> None:
    """Folding event by event and replaying from empty end in one state."""
    events = [event for pair in orders_and_fills(parts) for event in pair]
    running = Portfolio()
    for event in events:
        running.apply(event)

    assert replay(events).state_hash() == running.state_hash()
    assert replay(events[:-1]).state_hash() != running.state_hash()


def test_i3_an_execution_under_another_name_is_the_same_execution() -> None:
    """Stream and activities may name one execution differently; order and cumulative quantity identify it."""
    order = intent(qty="100")

    portfolio = replay(
        [
            planned(order),
            filled(order, "stream-1", "60", cum_qty="60"),
            filled(order, "rest-1", "60", cum_qty="60", source=ev.FillSource.REST),
            filled(order, "stream-2", "40", cum_qty="100"),
        ]
    )

    assert portfolio.position("AAPL") == 100
    assert portfolio.orders["mqd-a"].state is OrderState.FILLED


def test_f2_a_partial_fill_then_cancel_keeps_what_was_filled() -> None:
    """After a cancel the filled part is the position, and a later fill of the rest is still booked (F2)."""
    order = intent(qty="100")
    events = [
        planned(order),
        ev.OrderAcknowledged(at=NOON, client_order_id="mqd-a", broker_order_id="b-mqd-a"),
        filled(order, "x1", "30", cum_qty="30"),
        ev.OrderCanceled(at=NOON, client_order_id="mqd-a"),
    ]

    canceled = replay(events)
    late = replay([*events, filled(order, "x2", "20", cum_qty="50")])

    assert (canceled.position("AAPL"), canceled.orders["mqd-a"].state) == (30, OrderState.CANCELED)
    assert (late.position("AAPL"), late.orders["mqd-a"].state) == (50, OrderState.CANCELED)


def test_more_than_asked_for_is_booked_all_the_same() -> None:
    """An execution beyond the order's quantity moved money, so the position has it."""
    order = intent(qty="10")

    portfolio = replay([planned(order), filled(order, "x1", "10"), filled(order, "x2", "5")])

    assert portfolio.position("AAPL") == 15
    assert portfolio.orders["mqd-a"].filled_qty == 15


def test_an_illegal_event_raises_and_changes_nothing() -> None:
    """An event that cannot be true leaves the state's hash as it was."""
    portfolio = replay([planned(intent())])
    before = portfolio.state_hash()

    with pytest.raises(IllegalTransition, match="mqd-a"):
        portfolio.apply(ev.OrderNeverArrived(at=NOON, client_order_id="mqd-a"))
    with pytest.raises(IllegalTransition, match="never planned"):
        portfolio.apply(filled(intent("mqd-other"), "x", "1"))
    with pytest.raises(IllegalTransition, match="already planned"):
        portfolio.apply(planned(intent()))

    assert portfolio.state_hash() == before


def session(day: date, equity: str) -> ev.SessionStarted:
    """Make a session start."""
    return ev.SessionStarted(
        at=NOON,
        session_date=day,
        run_id="r",
        strategies=(),
        symbols=(),
        settings_hash="",
        equity=Decimal(equity),
    )


def test_f6_a_restart_of_the_day_resets_no_loss() -> None:
    """The day's equity at start, its realized loss and its counters belong to the date, not the process."""
    buy, sell = intent("b"), intent("s", side=Side.SELL)
    before = [
        session(DAY, "100000"),
        planned(buy),
        filled(buy, "x1", "100", price="100"),
        planned(sell),
        filled(sell, "x2", "100", price="95", fee="0.02"),
    ]

    restarted = replay([*before, session(DAY, "99499.98")])
    next_day = replay([*before, session(DAY + timedelta(days=1), "99499.98")])

    assert (restarted.equity_start, restarted.realized_pnl(), restarted.fees()) == (
        Decimal(100000),
        Decimal(-500),
        Decimal("0.02"),
    )
    assert restarted.orders_today == 2
    assert (next_day.equity_start, next_day.realized_pnl(), next_day.orders_today) == (
        Decimal("99499.98"),
        0,
        0,
    )


def test_f5_a_position_survives_the_night() -> None:
    """A new session date keeps holdings with their average price (F5)."""
    order = intent(qty="10")

    portfolio = replay(
        [
            session(DAY, "1"),
            planned(order),
            filled(order, "x", "10", price="99"),
            session(DAY + timedelta(days=1), "1"),
        ]
    )

    assert portfolio.holdings()[("sma_crossover", "AAPL")].qty == 10
    assert portfolio.holdings()[("sma_crossover", "AAPL")].avg_price == 99


def test_i7_only_a_release_ends_a_latch() -> None:
    """Sessions, days and trading states come and go; the latch stays until a person releases it."""
    latch = ev.LatchSet(
        at=NOON, name=LatchName.DAILY_LOSS, number=Decimal(1200), limit=Decimal(1000), cause="loss"
    )
    others = [session(DAY, "1"), session(DAY + timedelta(days=1), "1")]

    held = replay([latch, *others])
    released = replay(
        [latch, *others, ev.LatchReleased(at=NOON, name=LatchName.DAILY_LOSS, by="me", cause="ok")]
    )

    assert LatchName.DAILY_LOSS in held.latches
    assert released.latches == {}


def test_a_hand_made_execution_is_booked_to_external() -> None:
    """An execution that reconcile assigned to EXTERNAL needs no order of ours."""
    order = intent("manual-1", strategy=EXTERNAL, qty="7")

    portfolio = replay([filled(order, "x", "7", price="50")])

    assert portfolio.position("AAPL") == 7
    assert portfolio.cash == -350
    assert portfolio.orders == {}


def closed_minute(minutes_after_noon: int, price: str) -> ev.MinuteClosed:
    """Make the record of a minute that began so long after noon, with AAPL at a price."""
    zero = Decimal(0)
    bar_ts = NOON + timedelta(minutes=minutes_after_noon)
    return ev.MinuteClosed(
        at=bar_ts + timedelta(seconds=62),
        session_date=DAY,
        bar_ts=bar_ts,
        equity=zero,
        cash=zero,
        realized_pnl=zero,
        unrealized_pnl=zero,
        fees=zero,
        gross=zero,
        net=zero,
        marks=(ev.Mark(symbol="AAPL", price=Decimal(price)),),
    )


def test_a_position_is_marked_by_minutes_that_ended_after_its_entry() -> None:
    """The minute recorded just after an entry ended before it: its price is neither a mark nor a best one."""
    order = intent()
    key = (order.strategy, order.symbol)
    books = replay([planned(order), filled(order, "x", "100", cum_qty="100"), closed_minute(-1, "120")])

    assert not books.is_marked_since_entry(key)
    assert key not in books.best_marks
    books.apply(closed_minute(0, "101"))
    assert books.is_marked_since_entry(key)
    assert books.best_marks[key] == 101

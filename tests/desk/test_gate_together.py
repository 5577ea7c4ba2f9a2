"""desk/gate.py: the orders of a minute and those that work already keep every limit together (F3, F7, I6)."""

from decimal import Decimal
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from desk.exposure import WorkingOrder
from desk.gate import GateView, review, review_all, with_approved
from schemas.orders import Approval, Denial, OrderIntent, OrderState, Purpose, Reason, Side
from tests.desk.risk_book import FRESH, HELD, LIMITS, PRICES, WIDE, D, entry, gate_view, leave, limits, works


def test_f3_race_between_signals_of_one_minute() -> None:
    """F3: three entries of one minute that fit one by one but not together: the third is refused."""
    asked = [
        entry("AAPL", "20", client_order_id="a"),
        entry("MSFT", "10", client_order_id="b"),
        entry("SPY", "7", client_order_id="c"),
    ]
    held_against = limits(gross_max_usd=D(10_000))

    alone = [review(intent, gate_view(), held_against) for intent in asked]
    together = review_all(asked, gate_view(), held_against)

    assert all(isinstance(answer, Approval) for answer in alone)
    assert [isinstance(answer, Approval) for _, answer in together] == [True, True, False]
    last = together[-1][1]
    assert isinstance(last, Denial)
    assert (last.reason, last.number) == (Reason.GROSS_EXPOSURE, D(12_200))


def test_f3_the_same_intent_twice_in_a_minute_is_approved_once() -> None:
    """F3, I2: the second of two equal intents meets the first one's id."""
    (_, first), (_, second) = review_all([FRESH, FRESH], gate_view(), LIMITS)

    assert isinstance(first, Approval)
    assert isinstance(second, Denial)
    assert second.reason is Reason.DUPLICATE


def test_f3_two_exits_of_one_position_in_a_minute() -> None:
    """F3: the first exit takes the whole position, so the second has nothing left to take."""
    judged = review_all([leave(), leave(attempt=1)], gate_view(positions=HELD), LIMITS)

    assert isinstance(judged[0][1], Approval)
    assert isinstance(judged[1][1], Denial)
    assert judged[1][1].reason is Reason.EXIT_EXCEEDS_POSITION


def test_f7_notional_overexposure_by_many_small_orders() -> None:
    """F7: whatever number of small entries is asked for, the symbol's notional never passes its limit."""
    asked = [entry("AAPL", "30", client_order_id=str(number)) for number in range(20)]

    judged = review_all(asked, gate_view(), limits(position_notional_max_usd=D(25_000)))

    approved = [intent for intent, answer in judged if isinstance(answer, Approval)]
    assert sum(intent.qty for intent in approved) * PRICES["AAPL"] == D(24_000)
    assert {answer.reason for _, answer in judged if isinstance(answer, Denial)} == {Reason.POSITION_NOTIONAL}


def test_f7_a_working_exit_makes_no_room_before_it_fills() -> None:
    """F7: 8,000 USD that are leaving still count, because the exit may not fill."""
    view = gate_view(positions={"MSFT": D(20)}, working=(works(leave("MSFT", "20")),))

    answer = review(FRESH, view, limits(gross_max_usd=D(9_999)))

    assert isinstance(answer, Denial)
    assert answer.reason is Reason.GROSS_EXPOSURE


def test_f9_an_order_with_a_lost_answer_keeps_its_exposure() -> None:
    """F9, I4: an UNKNOWN order counts like one that rests at the broker."""
    view = gate_view(working=(works(entry("MSFT", "20"), state=OrderState.UNKNOWN),))

    answer = review(FRESH, view, limits(gross_max_usd=D(9_999)))

    assert isinstance(answer, Denial)
    assert (answer.reason, answer.number) == (Reason.GROSS_EXPOSURE, D(10_000))


def test_with_approved_counts_once() -> None:
    """An approved entry is a pending order, a known id, one order of the day and one of the minute."""
    after = with_approved(gate_view(), FRESH)

    assert after.working == (WorkingOrder(FRESH, FRESH.qty, OrderState.PENDING),)
    assert after.known_ids == {FRESH.client_order_id}
    assert (after.orders_today, after.entries_this_minute) == (1, 1)
    assert with_approved(gate_view(), leave()).entries_this_minute == 0


symbols = st.sampled_from(sorted(PRICES))
shares = st.integers(1, 60)
states = st.sampled_from([OrderState.PENDING, OrderState.SUBMITTED, OrderState.UNKNOWN])


@st.composite
def asks(draw: st.DrawFn) -> OrderIntent:
    """Give an entry or exit of any symbol, side and size, near the last price."""
    symbol, qty = draw(symbols), draw(shares)
    order_id = f"ask-{draw(st.integers(0, 10_000))}"
    if draw(st.booleans()):
        position = qty * draw(st.sampled_from([-1, 1]))
        return leave(symbol, str(position), client_order_id=order_id)
    side = draw(st.sampled_from(Side))
    price = PRICES[symbol] + draw(st.integers(-300, 300)) * D("0.01")
    return entry(symbol, str(qty), side, limit_price=price, client_order_id=order_id)


@st.composite
def books(draw: st.DrawFn) -> GateView:
    """Give a book with positions and working entries on the positions' side."""
    positions = draw(st.dictionaries(symbols, st.integers(-40, 40).map(D)))
    working = tuple(
        works(
            entry(symbol, str(qty), Side.SELL if positions.get(symbol, D(1)) < 0 else Side.BUY),
            state=draw(states),
        )
        for symbol, qty in draw(st.lists(st.tuples(symbols, shares), max_size=3))
    )
    return gate_view(positions=positions, working=working, orders_today=draw(st.integers(0, 5)))


def worst(view: GateView) -> tuple[Decimal, Decimal, dict[str, Decimal]]:
    """Try every combination of orders that fill or do not: the largest gross, net and shares by symbol.

    Independent of desk/exposure.py: it enumerates, where that one reasons in intervals.
    """
    gross, net = D(0), D(0)
    qty_worst = dict.fromkeys(PRICES, D(0))
    lows: dict[str, tuple[Decimal, Decimal]] = {}
    for symbol, price in PRICES.items():
        orders = [order for order in view.working if order.intent.symbol == symbol]
        values = []
        for filled in product((False, True), repeat=len(orders)):
            qty = usd = view.positions.get(symbol, D(0))
            usd *= price
            for order, done in zip(orders, filled, strict=True):
                if done:
                    paid = max(order.intent.limit_price or price, price)
                    qty += order.intent.side.sign * order.remaining
                    usd += order.intent.side.sign * order.remaining * paid
            values.append(usd)
            qty_worst[symbol] = max(qty_worst[symbol], abs(qty))
        gross += max(abs(value) for value in values)
        lows[symbol] = (min(values), max(values))
    net = max(abs(sum(low for low, _ in lows.values())), abs(sum(high for _, high in lows.values())))
    return gross, net, qty_worst


@settings(max_examples=150)
@given(view=books(), asked=st.lists(asks(), min_size=1, max_size=6))
def test_i6_no_combination_of_fills_exceeds_a_limit(view: GateView, asked: list[OrderIntent]) -> None:
    """I6: after every approval of a minute, no way in which the orders may fill passes a limit.

    An exit is let pass whatever the limits say, and can add nothing to gross or to a position. (It may
    add to net: the long half of a hedge that leaves first.)
    """
    held_against = limits(
        gross_max_usd=D(30_000), net_max_usd=D(20_000), position_shares_max=D(70), orders_per_day=7
    )
    after = view
    for intent, answer in review_all(asked, view, held_against):
        if isinstance(answer, Denial):
            continue
        before, after = worst(after), with_approved(after, intent)
        gross, net, held = worst(after)
        if intent.purpose is Purpose.ENTRY:
            assert gross <= held_against.gross_max_usd
            assert net <= held_against.net_max_usd
            assert held[intent.symbol] <= held_against.position_shares_max
        else:
            assert (gross, held) == (before[0], before[2])
    assert after.orders_today <= max(held_against.orders_per_day, view.orders_today + len(asked))


@settings(max_examples=150)
@given(view=books(), asked=st.lists(asks(), min_size=1, max_size=8))
def test_exits_never_reverse_or_grow_a_position(view: GateView, asked: list[OrderIntent]) -> None:
    """The approved exits of a minute, all filled, leave every position between its size and zero."""
    judged = review_all(asked, view, WIDE)

    for symbol, held in view.positions.items():
        exits = [
            intent
            for intent, answer in judged
            if isinstance(answer, Approval) and intent.purpose is Purpose.EXIT and intent.symbol == symbol
        ]
        left = held + sum((intent.side.sign * intent.qty for intent in exits), D(0))
        assert min(held, D(0)) <= left <= max(held, D(0))


@given(view=books(), asked=st.lists(asks(), max_size=6))
def test_review_is_deterministic(view: GateView, asked: list[OrderIntent]) -> None:
    """The same intents, book and limits give the same answers."""
    assert review_all(asked, view, LIMITS) == review_all(asked, view, LIMITS)
